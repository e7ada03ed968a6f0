//! Installing the cache that `CACHE_URL` names, and closing it at the end.

use std::time::Duration;

use cache_runtime::Cache;

use crate::report::Failure;

/// Where the cache is: `CACHE_URL`, else the memory of this process.
///
/// On a shared store it is in the namespace `namespace`, unless the URL or `CACHE_NAMESPACE` says another.
pub fn cache_url(namespace: &str) -> String {
    let url = variable("CACHE_URL").unwrap_or_else(|| MEMORY.to_owned());
    if url.starts_with(MEMORY) || url.contains("namespace=") {
        return url;
    }
    let mark = if url.contains('?') { '&' } else { '?' };
    let namespace = variable("CACHE_NAMESPACE").unwrap_or_else(|| namespace.to_owned());
    format!("{url}{mark}namespace={namespace}")
}

/// Whether several processes can share the cache at `url`.
pub fn is_shared(url: &str) -> bool {
    !url.starts_with(MEMORY)
}

/// Makes the cache at `url` the one that every annotated function uses.
///
/// # Errors
///
/// When the URL is not understood, or a cache is installed already.
pub async fn install(url: &str) -> Result<Cache, Failure> {
    let cache = Cache::builder().url(url).op_timeout(PATIENCE).connect().await?;
    cache_runtime::install(cache.clone())?;
    Ok(cache)
}

/// Ends `cache`, so that nobody waits for what this program leaves behind.
///
/// # Errors
///
/// When something was left.
pub async fn close(cache: &Cache) -> Result<(), Failure> {
    let closed = cache.close(PATIENCE).await;
    if closed.is_complete() {
        Ok(())
    } else {
        Err(format!("this was left when the cache was closed: {closed:?}").into())
    }
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// A store that takes longer than this counts as away. The default is 100 ms; examples are also run on machines that are busy with something else.
const PATIENCE: Duration = Duration::from_secs(2);

const MEMORY: &str = "memory:";
