//! Writing down the calls of a scope.

use std::sync::Arc;
use std::sync::Mutex;

use tokio::sync::Notify;

use crate::core::lock;
use crate::explain::Calls;
use crate::explain::Ending;
use crate::explain::Explanation;
use crate::explain::Fill;
use crate::explain::Miss;
use crate::site::Site;

/// The calls of one scope so far.
#[derive(Debug, Default)]
pub(crate) struct Recorder {
    book: Mutex<Book>,
    settled: Notify,
}

#[derive(Debug, Default)]
struct Book {
    calls: Vec<Explanation>,
    left_out: usize,
    /// How many loaded values are on their way to a store.
    filling: usize,
}

/// Where a task stands in the list: what it calls is noted under its parent.
#[derive(Clone, Debug)]
pub(crate) struct Trace {
    recorder: Arc<Recorder>,
    parent: Option<usize>,
    depth: usize,
}

/// What is noted of one call.
#[derive(Clone, Debug)]
pub(crate) struct Page {
    recorder: Arc<Recorder>,
    number: usize,
    depth: usize,
}

impl Recorder {
    /// Ends when no loaded value is on its way to a store.
    pub(crate) async fn settled(&self) {
        loop {
            let settled = self.settled.notified();
            if lock(&self.book).filling == 0 {
                return;
            }
            settled.await;
        }
    }

    /// What was noted so far.
    pub(crate) fn calls(&self) -> Calls {
        let book = lock(&self.book);
        Calls { list: book.calls.clone(), left_out: book.left_out }
    }
}

impl Trace {
    pub(crate) fn new(recorder: Arc<Recorder>) -> Self {
        Self { recorder, parent: None, depth: 0 }
    }

    /// Begins the page of a call of `site`, if the list has room for it.
    pub(crate) fn call(&self, site: &'static Site) -> Option<Page> {
        let mut book = lock(&self.recorder.book);
        if book.calls.len() >= Calls::MOST {
            book.left_out += 1;
            return None;
        }
        let number = book.calls.len();
        book.calls.push(Explanation {
            module: site.module(),
            function: site.label(),
            depth: self.depth,
            parent: self.parent,
            ending: Ending::Running,
            missed: None,
            fill: None,
        });
        Some(Page { recorder: self.recorder.clone(), number, depth: self.depth })
    }
}

impl Page {
    /// What is called inside of this call is noted under it.
    pub(crate) fn inside(&self) -> Trace {
        Trace { recorder: self.recorder.clone(), parent: Some(self.number), depth: self.depth + 1 }
    }

    /// The first miss is the one that counts.
    pub(crate) fn missed(&self, why: Miss) {
        self.note(|call| call.missed = call.missed.or(Some(why)));
    }

    pub(crate) fn end(&self, ending: Ending) {
        self.note(|call| call.ending = ending);
    }

    pub(crate) fn fill(&self, fill: Fill) {
        self.note(|call| call.fill = Some(fill));
    }

    /// A loaded value is on its way to a store.
    pub(crate) fn begin_filling(&self) {
        lock(&self.recorder.book).filling += 1;
        self.fill(Fill::Pending);
    }

    /// It is there, or will never be.
    pub(crate) fn end_filling(&self) {
        lock(&self.recorder.book).filling -= 1;
        self.recorder.settled.notify_waiters();
    }

    fn note(&self, change: impl FnOnce(&mut Explanation)) {
        let mut book = lock(&self.recorder.book);
        if let Some(call) = book.calls.get_mut(self.number) {
            change(call);
        }
    }
}
