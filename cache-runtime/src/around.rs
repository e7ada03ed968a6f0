//! Something before a future and something after it, without moving the future.
//!
//! What comes before may refuse, and then the future is never polled.
//!
//! Written out rather than as an `async fn`, which would hold the body two or three times over: bodies nest, and their sizes would multiply.

use std::pin::Pin;
use std::task::Context as Poller;
use std::task::Poll;
use std::task::ready;

use pin_project_lite::pin_project;

use crate::error::Error;
use crate::host::Task;

pin_project! {
    /// Runs `before`, then `body`, then what `after` makes of the result of `before` and the output of `body`, if there is anything to wait for; ends with that output.
    ///
    /// Dropped half-way, it drops what `before` gave. If `before` fails, it ends with what `refused` makes of the error.
    pub(crate) struct Around<B, F: Future, A> {
        stage: Stage<B>,
        after: Option<A>,
        within: fn(&B, &mut dyn FnMut()),
        refused: Option<fn(Error) -> F::Output>,
        output: Option<F::Output>,
        #[pin]
        body: F,
    }
}

enum Stage<B> {
    Before(Task<Result<B, Error>>),
    Body(B),
    After(Task),
    Over,
}

impl<B, F: Future, A: FnOnce(B, &F::Output) -> Option<Task>> Around<B, F, A> {
    /// Polls the body by way of `within`, which is given the result of `before`.
    pub(crate) fn new(before: Task<Result<B, Error>>, body: F, within: fn(&B, &mut dyn FnMut()), after: A) -> Self {
        Self { stage: Stage::Before(before), after: Some(after), within, refused: None, output: None, body }
    }

    /// What to end with if `before` fails. It must not fail where there is nothing.
    pub(crate) fn or(self, refused: Option<fn(Error) -> F::Output>) -> Self {
        Self { refused, ..self }
    }
}

impl<B, F: Future, A: FnOnce(B, &F::Output) -> Option<Task>> Future for Around<B, F, A> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, poller: &mut Poller<'_>) -> Poll<F::Output> {
        let mut this = self.project();
        if let Stage::Before(before) = this.stage {
            match (ready!(before.as_mut().poll(poller)), *this.refused) {
                (Ok(held), _) => *this.stage = Stage::Body(held),
                (Err(error), refused) => {
                    *this.stage = Stage::Over;
                    *this.output = refused.map(|refused| refused(error));
                }
            }
        }
        if let Stage::Body(held) = this.stage {
            let mut polled = Poll::Pending;
            (this.within)(held, &mut || polled = this.body.as_mut().poll(poller));
            let output = this.output.insert(ready!(polled));
            if let (Stage::Body(held), Some(after)) = (std::mem::replace(this.stage, Stage::Over), this.after.take()) {
                *this.stage = after(held, output).map_or(Stage::Over, Stage::After);
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
