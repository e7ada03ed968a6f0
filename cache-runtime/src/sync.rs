//! What threads share state through, where that is written by hand: the standard library's, or shuttle's, which lets a test choose every interleaving.

#[cfg(not(shuttle))]
pub(crate) use std::sync::Mutex;
#[cfg(not(shuttle))]
pub(crate) use std::sync::MutexGuard;
#[cfg(not(shuttle))]
pub(crate) use std::sync::atomic::AtomicU64;

#[cfg(shuttle)]
pub(crate) use shuttle::sync::Mutex;
#[cfg(shuttle)]
pub(crate) use shuttle::sync::MutexGuard;
#[cfg(shuttle)]
pub(crate) use shuttle::sync::atomic::AtomicU64;

/// Locks `mutex`; what a panic left behind is whole, because no code of ours panics half-way through a change.
pub(crate) fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
