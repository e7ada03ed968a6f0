//! Something before a future and something after it, without moving the future.
//!
//! Written out rather than as an `async fn`, which would hold the body two or three times over: bodies nest, and their sizes would multiply.

use std::pin::Pin;
use std::task::Context as Poller;
use std::task::Poll;
use std::task::ready;

use pin_project_lite::pin_project;

use crate::context::Context;
use crate::host::Task;

pin_project! {
    /// Runs `before`, then `body`, then what `after` makes of the result of `before` and the output of `body`, if there is anything to wait for; ends with that output.
    ///
    /// Dropped half-way, it drops what `before` gave.
    pub(crate) struct Around<B, F: Future, A> {
        stage: Stage<B>,
        after: Option<A>,
        context: fn(&B) -> Option<&Context>,
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

impl<B, F: Future, A: FnOnce(B, &F::Output) -> Option<Task>> Around<B, F, A> {
    pub(crate) fn new(before: Task<B>, body: F, after: A) -> Self {
        Self { stage: Stage::Before(before), after: Some(after), context: |_| None, output: None, body }
    }

    /// Runs the body in what `context` makes of the result of `before`, in place of what the task carries.
    pub(crate) fn around(self, context: fn(&B) -> Option<&Context>) -> Self {
        Self { context, ..self }
    }
}

impl<B, F: Future, A: FnOnce(B, &F::Output) -> Option<Task>> Future for Around<B, F, A> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, poller: &mut Poller<'_>) -> Poll<F::Output> {
        let mut this = self.project();
        if let Stage::Before(before) = this.stage {
            *this.stage = Stage::Body(ready!(before.as_mut().poll(poller)));
        }
        if let Stage::Body(held) = this.stage {
            let mut poll = || this.body.as_mut().poll(poller);
            let output = ready!(match (this.context)(held) {
                Some(context) => context.enter(poll),
                None => poll(),
            });
            let output = this.output.insert(output);
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
