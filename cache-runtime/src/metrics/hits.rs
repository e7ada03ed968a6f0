//! Counting hits, of which there are many at once.
//!
//! One counter for all threads would go from core to core with every hit. Here each thread has a stripe of its own, to which nobody else writes, so that counting takes no
//! atomic addition. Threads beyond the first few dozen share one stripe, and add to that.

use std::cell::Cell;
use std::sync::OnceLock;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;

use crate::metrics::BLOCK;
use crate::metrics::BLOCKS;

/// The hits of all functions in one cache, by their numbers.
#[derive(Debug)]
pub(super) struct Hits {
    stripes: [OnceLock<Box<Stripe>>; STRIPES],
}

type Stripe = [OnceLock<Box<[AtomicU64; BLOCK]>>; BLOCKS];

const STRIPES: usize = 64;
/// The stripe of those who have none of their own.
const SHARED: usize = STRIPES - 1;

impl Hits {
    pub(super) fn new() -> Self {
        Self { stripes: std::array::from_fn(|_| OnceLock::new()) }
    }

    #[inline]
    pub(super) fn add(&self, index: usize) {
        let place = place();
        let count = self.count(place, index);
        if place == SHARED {
            count.fetch_add(1, Ordering::Relaxed);
        } else {
            count.store(count.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
        }
    }

    #[inline]
    fn count(&self, place: usize, index: usize) -> &AtomicU64 {
        let stripe = self.stripes[place].get_or_init(|| Box::new(std::array::from_fn(|_| OnceLock::new())));
        let block = stripe[index / BLOCK].get_or_init(|| Box::new(std::array::from_fn(|_| AtomicU64::new(0))));
        &block[index % BLOCK]
    }

    pub(super) fn read(&self, index: usize) -> u64 {
        let stripes = self.stripes.iter().filter_map(OnceLock::get);
        let blocks = stripes.filter_map(|stripe| stripe[index / BLOCK].get());
        blocks.map(|block| block[index % BLOCK].load(Ordering::Relaxed)).sum()
    }
}

/// Which stripes are some thread's own.
static TAKEN: AtomicU64 = AtomicU64::new(1 << SHARED);

/// What `PLACE` is before a thread has looked for a stripe.
const NONE_YET: usize = usize::MAX;

thread_local! {
    static PLACE: Cell<usize> = const { Cell::new(NONE_YET) };
    static TENANCY: Tenancy = Tenancy::begin();
}

/// The stripe of this thread.
#[inline]
fn place() -> usize {
    match PLACE.get() {
        NONE_YET => first_place(),
        place => place,
    }
}

#[cold]
fn first_place() -> usize {
    // A thread that is ending takes no stripe any more.
    let place = TENANCY.try_with(|tenancy| tenancy.0).unwrap_or(SHARED);
    PLACE.set(place);
    place
}

/// Holds a stripe for as long as its thread lives.
struct Tenancy(usize);

impl Tenancy {
    fn begin() -> Self {
        let mut taken = TAKEN.load(Ordering::Relaxed);
        loop {
            let free = taken.trailing_ones();
            if free as usize >= STRIPES {
                return Self(SHARED);
            }
            // Acquire and release, so that who takes a stripe over goes on from its counts.
            match TAKEN.compare_exchange_weak(taken, taken | 1 << free, Ordering::Acquire, Ordering::Relaxed) {
                Ok(_) => return Self(free as usize),
                Err(now) => taken = now,
            }
        }
    }
}

impl Drop for Tenancy {
    fn drop(&mut self) {
        // What the thread counts from here on is in the next one's way.
        PLACE.set(SHARED);
        if self.0 != SHARED {
            TAKEN.fetch_and(!(1 << self.0), Ordering::Release);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::Barrier;
    use std::thread;

    use super::*;

    #[test]
    fn no_hit_is_lost_however_many_threads_count_and_come_and_go() {
        const THREADS: usize = 100;
        let hits = Hits::new();
        for _ in 0..3 {
            let together = Barrier::new(THREADS);
            thread::scope(|scope| {
                for number in 0..THREADS {
                    let (hits, together) = (&hits, &together);
                    scope.spawn(move || {
                        together.wait();
                        for _ in 0..1000 {
                            hits.add(number % 2);
                            hits.add(BLOCK * BLOCKS - 1);
                        }
                    });
                }
            });
        }
        let counts = [0, 1, 2, BLOCK * BLOCKS - 1].map(|index| hits.read(index));
        assert_eq!(counts, [150_000, 150_000, 0, 300_000]);
    }

    #[test]
    fn what_a_thread_counts_while_it_ends_is_not_lost() {
        struct AtTheEnd(Arc<Hits>);

        impl Drop for AtTheEnd {
            fn drop(&mut self) {
                self.0.add(7);
            }
        }

        thread_local! {
            static LATE: Cell<Option<AtTheEnd>> = const { Cell::new(None) };
        }

        let hits = Arc::new(Hits::new());
        for first in [true, false] {
            let hits = hits.clone();
            let ended = thread::spawn(move || {
                if first {
                    LATE.set(Some(AtTheEnd(hits.clone())));
                    hits.add(7);
                } else {
                    hits.add(7);
                    LATE.set(Some(AtTheEnd(hits)));
                }
            });
            ended.join().unwrap();
        }
        assert_eq!(hits.read(7), 4);
    }
}
