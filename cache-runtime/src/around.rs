//! Something before a future and something after it, without moving the future.
//!
//! Written out rather than as an `async fn`, which would hold the body two or three times over: bodies nest, and their sizes would multiply.

use std::pin::Pin;
use std::task::Context as Poller;
use std::task::Poll;
use std::task::ready;

use pin_project_lite::pin_project;

use crate::host::Task;

/// What comes after the body: given what came before it, its own future, or nothing to wait for.
pub(crate) type After<B> = fn(B) -> Option<Task>;

pin_project! {
    /// Runs `before`, then `body`, then what `after` makes of the result of `before`; ends with the output of `body`.
    ///
    /// Dropped half-way, it drops what `before` gave.
    pub(crate) struct Around<B, F: Future> {
        stage: Stage<B>,
        after: After<B>,
        output: Option<F::Output>,
        #[pin]
        body: F,
    }
}

enum Stage<B> {
    Before(Task<B>),
    Body(B),
    After(Task),
    Over,
}

impl<B, F: Future> Around<B, F> {
    pub(crate) fn new(before: Task<B>, body: F, after: After<B>) -> Self {
        Self { stage: Stage::Before(before), after, output: None, body }
    }
}

impl<B, F: Future> Future for Around<B, F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, poller: &mut Poller<'_>) -> Poll<F::Output> {
        let mut this = self.project();
        if let Stage::Before(before) = this.stage {
            *this.stage = Stage::Body(ready!(before.as_mut().poll(poller)));
        }
        if let Stage::Body(_) = this.stage {
            *this.output = Some(ready!(this.body.as_mut().poll(poller)));
            if let Stage::Body(held) = std::mem::replace(this.stage, Stage::Over) {
                *this.stage = (this.after)(held).map_or(Stage::Over, Stage::After);
            }
        }
        if let Stage::After(after) = this.stage {
            ready!(after.as_mut().poll(poller));
            *this.stage = Stage::Over;
        }
        // There is an output once the body has ended, and a future is not polled after its own end.
        this.output.take().map_or(Poll::Pending, Poll::Ready)
    }
}
