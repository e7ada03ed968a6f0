//! The servers of a store, and which of them is asked for what.

use std::sync::Arc;

use redis::Cmd;
use tokio::time::Instant;

use super::Settings;
use super::calls::Call;
use super::dial::Dial;
use super::finder::Finder;
use super::link::Answered;
use super::link::Link;
use super::settings::Topology;
use crate::store::StoreError;

/// See the module.
pub(super) struct Nodes {
    link: Arc<Link>,
}

impl Nodes {
    /// Begins to connect. Must be called on the runtime that does the I/O.
    ///
    /// # Errors
    ///
    /// A sentence, if there can be no such servers.
    pub(super) fn connect(settings: &Settings) -> Result<Arc<Self>, String> {
        let finder = match &settings.topology {
            Topology::Server(address) => Finder::At(address.clone()),
            Topology::Sentinel(sentinels) => Finder::of_sentinels(sentinels, settings)?,
            Topology::Cluster(_) => return Err(comes_later("redis+cluster")),
        };
        Ok(Arc::new(Self { link: Link::connect(Dial::new(settings)?, finder, settings) }))
    }

    /// Ends when the first attempt to connect has ended, which has a deadline.
    pub(super) async fn tried(&self) {
        self.link.tried().await;
    }

    /// The error of every call right now, if there is nobody to ask.
    pub(super) fn away(&self) -> Option<StoreError> {
        self.link.away()
    }

    /// Makes all calls, those to one server in one write, and returns the answer to each.
    pub(super) async fn ask(&self, deadline: Instant, calls: &[Call]) -> Vec<Answered> {
        self.link.ask(deadline, calls).await
    }

    /// Sends one command that changes nothing.
    pub(super) async fn read(&self, deadline: Instant, command: &Cmd) -> Answered {
        self.link.read(deadline, command).await
    }

    /// Gives the connection up on which something was answered that cannot be.
    pub(super) fn give_up(&self, why: &str) {
        self.link.give_up_any(why);
    }
}

fn comes_later(scheme: &str) -> String {
    format!("`{scheme}://` comes later; name one server as `redis://host:port`")
}
