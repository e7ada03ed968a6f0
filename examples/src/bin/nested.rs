//! A cached function that calls cached functions: it goes when any of theirs goes, and does not have to say so.

use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering;

use cache_runtime::cached;
use cache_runtime::invalidates;
use examples::report::Failure;
use examples::report::check;
use examples::report::finish;
use examples::setup;

/// Prices in cents, and how often something was computed.
struct Shop {
    prices: Mutex<[u64; 2]>,
    baskets: AtomicU32,
    invoices: AtomicU32,
}

impl Shop {
    #[cached(ttl = "5m", key = "price:{item}")]
    async fn price(&self, item: usize) -> u64 {
        self.prices()[item]
    }

    /// Made of prices.
    #[cached(ttl = "5m", key = "basket")]
    async fn basket(&self) -> u64 {
        self.baskets.fetch_add(1, Ordering::Relaxed);
        self.price(0).await + self.price(1).await
    }

    /// Made of the basket: two levels above a price.
    #[cached(ttl = "5m", key = "invoice")]
    async fn invoice(&self) -> String {
        self.invoices.fetch_add(1, Ordering::Relaxed);
        format!("{} cents, please", self.basket().await)
    }

    /// Names the price, and nothing that is made of it.
    #[invalidates(key = "price:{item}")]
    async fn set_price(&self, item: usize, cents: u64) {
        self.prices()[item] = cents;
    }

    fn prices(&self) -> std::sync::MutexGuard<'_, [u64; 2]> {
        self.prices.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    finish(run().await)
}

async fn run() -> Result<(), Failure> {
    let shop = Shop { prices: Mutex::new([250, 100]), baskets: AtomicU32::new(0), invoices: AtomicU32::new(0) };
    for _ in 0..3 {
        check(shop.invoice().await == "350 cents, please", "the invoice says 350")?;
    }
    check(shop.invoices.load(Ordering::Relaxed) == 1, "three invoices read, one written")?;

    shop.set_price(1, 150).await;
    check(shop.invoice().await == "400 cents, please", "a price changed, and the invoice two levels above says 400")?;
    shop.invoice().await;
    let made = (shop.baskets.load(Ordering::Relaxed), shop.invoices.load(Ordering::Relaxed));
    check(made == (2, 2), "basket and invoice were each made once more, and are stored again")?;
    setup::close(&cache_runtime::global()).await
}
