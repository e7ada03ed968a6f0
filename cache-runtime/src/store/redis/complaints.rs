//! What is wrong with a server, as far as it says so itself. Said in an event, and not at every call.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;

use redis::ErrorKind;
use redis::RedisError;
use tokio::time::Instant;

/// What was said lately.
#[derive(Debug, Default)]
pub(super) struct Complaints {
    said: Mutex<Vec<(String, Instant)>>,
}

impl Complaints {
    /// Says what the server said, unless it has said so lately.
    pub(super) fn hear(&self, address: &str, error: &RedisError) {
        let reason = in_words(error);
        let kind = reason.split(' ').next().unwrap_or_default();
        if !self.is_new(kind) {
            return;
        }
        let is_forbidden = reason.starts_with("The user executing the script");
        if OF_OPERATORS.contains(&kind) || is_forbidden || is_no_redis(error) || is_stranger(error) {
            tracing::error!(%address, %reason, "Redis cannot be used as it is set up; calls load meanwhile");
        } else {
            tracing::warn!(%address, %reason, "Redis does not do what it is asked; calls load meanwhile");
        }
    }

    fn is_new(&self, kind: &str) -> bool {
        let now = Instant::now();
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        said.retain(|(_, at)| now.duration_since(*at) < AGAIN);
        let is_new = said.len() < MOST && said.iter().all(|(other, _)| other != kind);
        if is_new {
            said.push((kind.to_owned(), now));
        }
        is_new
    }
}

/// The error as the server put it, without saying where in a script it met it.
pub(super) fn in_words(error: &RedisError) -> String {
    let whole = as_said(error);
    let said = whole.split(" script: ").next().unwrap_or(&whole);
    said.trim_end_matches('.').to_owned()
}

fn as_said(error: &RedisError) -> String {
    match (error.code(), error.detail()) {
        _ if is_no_redis(error) => "what answers there is no Redis".into(),
        _ if is_stranger(error) => "the user name or the password is wrong".into(),
        // That of an error that a script met is in the detail.
        (Some("ERR"), Some(detail)) => inner(detail).unwrap_or(detail).to_owned(),
        (Some(code), Some(detail)) => format!("{code} {detail}"),
        (Some(code), None) => code.to_owned(),
        (None, _) => error.to_string(),
    }
}

/// Whether it is the server that says so, and not the way there.
pub(super) fn is_of_server(error: &RedisError) -> bool {
    error.code().is_some() || is_no_redis(error) || is_stranger(error)
}

fn is_no_redis(error: &RedisError) -> bool {
    error.kind() == ErrorKind::Parse
}

fn is_stranger(error: &RedisError) -> bool {
    error.kind() == ErrorKind::AuthenticationFailed
}

/// What a script met: `... -OOM command not allowed when used memory > 'maxmemory'.`
fn inner(detail: &str) -> Option<&str> {
    let (_, inner) = detail.split_once('-')?;
    let code = inner.split(' ').next()?;
    (code.len() > 2 && code.bytes().all(|byte| byte.is_ascii_uppercase())).then_some(inner)
}

/// What does not end before somebody changes how the server or this process is set up.
const OF_OPERATORS: [&str; 6] = ["NOAUTH", "WRONGPASS", "NOPERM", "MOVED", "CROSSSLOT", "DENIED"];
/// When the same is said again.
const AGAIN: Duration = Duration::from_secs(60);
/// A server that finds ever new words is not listened to for a while.
const MOST: usize = 16;
