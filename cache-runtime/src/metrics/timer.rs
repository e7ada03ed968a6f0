//! Measuring how long something takes, which costs nothing where nobody is told.

/// A moment to measure from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timer {
    #[cfg(feature = "metrics")]
    began: std::time::Instant,
}

impl Timer {
    pub(crate) fn start() -> Self {
        Self {
            #[cfg(feature = "metrics")]
            began: std::time::Instant::now(),
        }
    }

    #[cfg(feature = "metrics")]
    pub(crate) fn elapsed(&self) -> std::time::Duration {
        self.began.elapsed()
    }
}
