//! A connection that heals by itself.
//!
//! - No call waits for a reconnection: while there is no connection, every call fails at once. Only a call that comes before the very first attempt has ended may wait for
//!   that one, within its deadline.
//! - When a connection has ended, a task connects anew: at once if it had lasted, else after a pause that grows from 50 ms to 1 s, with jitter. One that does not last counts as an attempt that failed.

use std::sync::Arc;
use std::sync::Weak;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use tokio::time::Instant;
use tokio::time::timeout_at;

use super::dial::Dial;
use super::dial::Stream;
use super::session;
use super::session::Session;
use crate::store::StoreError;
use crate::store::presence::Pause;
use crate::store::presence::Presence;

/// A connection, or the attempts to have one.
pub(super) struct Link {
    server: String,
    dial: Dial,
    connect_timeout: Duration,
    live: ArcSwapOption<Session>,
    presence: Presence,
}

impl Link {
    /// Begins to connect. Must be called on the runtime that does the I/O.
    pub(super) fn connect(server: &str, dial: Dial, connect_timeout: Duration) -> Arc<Self> {
        let link = Arc::new(Self {
            server: server.to_owned(),
            dial,
            connect_timeout,
            live: ArcSwapOption::empty(),
            presence: Presence::new("not connected yet"),
        });
        tokio::spawn(heal(Arc::downgrade(&link)));
        link
    }

    /// Ends when the first attempt to connect has ended, which has a deadline.
    pub(super) async fn tried(&self) {
        self.presence.tried().await;
    }

    /// The connection, if there is one now, or that there is none yet.
    pub(super) fn session(&self) -> Result<Option<Arc<Session>>, StoreError> {
        let live = self.live.load_full();
        if live.is_none() && self.presence.is_tried() { Err(self.presence.gone()) } else { Ok(live) }
    }

    /// The connection, or the first one that there will be.
    pub(super) async fn first_session(&self, deadline: Instant) -> Result<Arc<Session>, StoreError> {
        // Both ways it can fail are seen below.
        let _ = timeout_at(deadline, self.tried()).await;
        self.session()?.ok_or_else(|| self.presence.gone())
    }

    async fn attempt(&self) -> Result<Stream, String> {
        let mut stream = self.dial.open(&self.server).await?;
        session::greet(&mut *stream).await?;
        Ok(stream)
    }

    /// Uses a connection until it ends, and says why it did and how long to wait before the next.
    async fn hold(link: Weak<Self>, stream: Stream, pause: Pause) -> Option<(String, Pause)> {
        let (session, line) = Session::over(stream);
        let since = Instant::now();
        {
            let link = link.upgrade()?;
            link.live.store(Some(Arc::new(session)));
            let first = link.presence.try_ended();
            tracing::info!(address = %link.server, first, "connected to Memcached");
        }
        let why = session::run(line).await;
        Some((why, pause.unless_lasted(since)))
    }

    fn lost(&self, why: &str) {
        self.presence.note(why);
        self.live.store(None);
        tracing::warn!(address = %self.server, reason = why, "lost Memcached; running without it until it is back");
    }

    fn failed(&self, why: &str) {
        let is_news = self.presence.note(why);
        if self.presence.try_ended() {
            tracing::warn!(address = %self.server, reason = why, "cannot connect to Memcached; running without it until it is there");
        } else if is_news {
            tracing::debug!(address = %self.server, reason = why, "cannot connect to Memcached");
        }
    }
}

/// Connects again and again, and ends when the link is dropped.
async fn heal(link: Weak<Link>) {
    let mut pause = Pause::NONE;
    loop {
        pause.wait().await;
        let next = pause.next();
        let Some(connecting) = link.upgrade() else { return };
        let attempt = tokio::time::timeout(connecting.connect_timeout, connecting.attempt()).await;
        pause = next;
        let stream = match attempt.unwrap_or_else(|_| Err("no connection in time".into())) {
            Ok(stream) => stream,
            Err(why) => {
                connecting.failed(&why);
                continue;
            }
        };
        drop(connecting);
        let Some((why, next)) = Link::hold(link.clone(), stream, next).await else { return };
        pause = next;
        let Some(link) = link.upgrade() else { return };
        link.lost(&why);
    }
}
