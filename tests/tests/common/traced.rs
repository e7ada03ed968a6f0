//! What the crate says to `tracing`: its spans with their fields, and its events.

use std::collections::BTreeMap;
use std::collections::HashMap;
use std::fmt::Debug;
use std::sync::Arc;
use std::sync::LazyLock;
use std::sync::Mutex;
use std::thread::ThreadId;

use tracing::Dispatch;
use tracing::Event;
use tracing::Id;
use tracing::Metadata;
use tracing::Subscriber;
use tracing::field::Field;
use tracing::span::Attributes;
use tracing::span::Record;
use tracing::subscriber::DefaultGuard;

/// A subscriber that keeps all that the crate says.
#[derive(Clone, Default)]
pub(crate) struct Traced(Arc<Mutex<Said>>);

#[derive(Default)]
struct Said {
    spans: Vec<Span>,
    events: Vec<String>,
    /// The spans that each thread is in.
    entered: HashMap<ThreadId, Vec<usize>>,
}

#[derive(Clone, Debug)]
pub(crate) struct Span {
    pub(crate) name: &'static str,
    /// The span that it is in.
    pub(crate) parent: Option<usize>,
    fields: Fields,
}

type Fields = BTreeMap<&'static str, String>;

impl Span {
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.fields.get(name).map(String::as_str)
    }
}

/// With one subscriber alone, tracing asks the thread that first meets a span or an event whether anybody listens, and remembers a no of another test's thread.
static SECOND: LazyLock<Dispatch> = LazyLock::new(|| Dispatch::new(Traced::default()));

impl Traced {
    /// What hands it all that is said where it is the default.
    pub(crate) fn dispatch(&self) -> Dispatch {
        LazyLock::force(&SECOND);
        Dispatch::new(self.clone())
    }

    /// Hears this thread until what is returned is dropped.
    pub(crate) fn hear(&self) -> DefaultGuard {
        tracing::dispatcher::set_default(&self.dispatch())
    }

    /// How many events contain `text`.
    pub(crate) fn said(&self, text: &str) -> usize {
        self.events().iter().filter(|event| event.contains(text)).count()
    }

    /// Every span so far, in the order in which they began.
    pub(crate) fn spans(&self) -> Vec<Span> {
        self.0.lock().unwrap().spans.clone()
    }

    /// Every event so far: its level and its fields.
    pub(crate) fn events(&self) -> Vec<String> {
        self.0.lock().unwrap().events.clone()
    }
}

/// What puts into `fields` what it is shown.
fn noted(fields: &mut Fields) -> impl FnMut(&Field, &dyn Debug) {
    |field, value| {
        fields.insert(field.name(), format!("{value:?}").trim_matches('"').to_owned());
    }
}

fn at(id: &Id) -> usize {
    usize::try_from(id.into_u64()).unwrap() - 1
}

impl Subscriber for Traced {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("cache_runtime")
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        let mut said = self.0.lock().unwrap();
        let entered = said.entered.get(&std::thread::current().id()).and_then(|entered| entered.last().copied());
        let parent = if span.is_contextual() { entered } else { span.parent().map(at) };
        let mut fields = BTreeMap::new();
        span.record(&mut noted(&mut fields));
        said.spans.push(Span { name: span.metadata().name(), parent, fields });
        Id::from_u64(said.spans.len() as u64)
    }

    fn record(&self, id: &Id, values: &Record<'_>) {
        let fields = &mut self.0.lock().unwrap().spans[at(id)].fields;
        values.record(&mut noted(fields));
    }

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut text = event.metadata().level().to_string();
        event.record(&mut |field: &Field, value: &dyn Debug| text += &format!(" {field}={value:?}"));
        self.0.lock().unwrap().events.push(text);
    }

    fn enter(&self, id: &Id) {
        self.0.lock().unwrap().entered.entry(std::thread::current().id()).or_default().push(at(id));
    }

    fn exit(&self, id: &Id) {
        let mut said = self.0.lock().unwrap();
        let entered = said.entered.entry(std::thread::current().id()).or_default();
        assert_eq!(entered.pop(), Some(at(id)), "spans are left in the order in which they were entered");
    }
}
