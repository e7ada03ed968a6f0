//! Metrics for Prometheus: what a cache tells the exporter, on a page as it is scraped.
//!
//! With an address as its argument it goes on and serves the page: `cargo run --bin metrics -- 127.0.0.1:9464`.

use std::io;
use std::process::ExitCode;
use std::time::Duration;

use cache_runtime::Cache;
use cache_runtime::cached;
use cache_runtime::invalidates;
use cache_runtime::scope;
use examples::report::Failure;
use examples::report::check;
use examples::report::finish;
use examples::setup;
use metrics_exporter_prometheus::PrometheusBuilder;
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio::net::TcpStream;

#[cached(ttl = "5m", key = "stock:{sku}", tags = ["stock"])]
async fn stock(sku: u64) -> u64 {
    tokio::time::sleep(Duration::from_millis(5)).await;
    100 - sku
}

#[invalidates(tags = ["stock"])]
async fn deliver() {}

#[tokio::main]
async fn main() -> ExitCode {
    finish(run().await)
}

async fn run() -> Result<(), Failure> {
    // Before the first cached call: a handle that was made without a recorder tells nobody anything.
    let page = PrometheusBuilder::new().set_buckets(BUCKETS)?.install_recorder()?;
    let cache = Cache::builder().namespace("shop").build()?;
    scope(cache.clone(), async {
        for sku in 0..10 {
            stock(sku).await;
            stock(sku).await;
        }
        deliver().await;
        tokio::join!(stock(7), stock(7));
    })
    .await;
    check_page(&page.render())?;
    setup::close(&cache).await?;
    match std::env::args().nth(1) {
        Some(address) => serve(&address, page).await,
        None => Ok(()),
    }
}

fn check_page(page: &str) -> Result<(), Failure> {
    let labels = r#"namespace="shop",function="metrics::stock""#;
    for (series, claim) in [
        (format!("cache_hits_total{{{labels}}} 10"), "ten second calls were hits"),
        (format!("cache_misses_total{{{labels},reason=\"absent\"}} 10"), "ten first calls found nothing"),
        (format!("cache_misses_total{{{labels},reason=\"token_gone\"}} 1"), "one came first after the delivery"),
        (format!("cache_joined_total{{{labels}}} 1"), "another came with it, and joined its load"),
        (format!("cache_load_seconds_count{{{labels}}} 11"), "eleven loads were measured"),
    ] {
        check(page.lines().any(|line| line == series), format_args!("{claim}: {series}"))?;
    }
    Ok(())
}

/// The least that a scraper needs.
async fn serve(address: &str, page: PrometheusHandle) -> Result<(), Failure> {
    let listener = TcpListener::bind(address).await?;
    println!("the page is at http://{address}/metrics");
    loop {
        let (mut scraper, _) = listener.accept().await?;
        let answered = tokio::time::timeout(Duration::from_secs(5), answer(&mut scraper, &page)).await;
        if let Ok(Err(error)) = answered {
            eprintln!("a scraper was not answered: {error}");
        }
    }
}

async fn answer(scraper: &mut TcpStream, page: &PrometheusHandle) -> io::Result<()> {
    let mut request = [0; 1024];
    let _ = scraper.read(&mut request).await?;
    let page = page.render();
    let head = "HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\nConnection: close";
    scraper.write_all(format!("{head}\r\nContent-Length: {}\r\n\r\n{page}", page.len()).as_bytes()).await
}

/// In seconds, from a look at a Redis to a slow query.
const BUCKETS: &[f64] = &[0.000_1, 0.000_3, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0];
