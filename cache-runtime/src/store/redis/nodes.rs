//! The servers of a store, and which of them is asked for what.

use std::sync::Arc;

use tokio::time::Instant;

use super::Settings;
use super::calls::Call;
use super::cluster::Cluster;
use super::cluster::MakeBreaker;
use super::dial::Dial;
use super::finder::Finder;
use super::incarnation::Incarnation;
use super::link::Answered;
use super::link::Link;
use super::settings::Topology;
use super::slots::Slot;
use crate::debt::Debts;
use crate::store::StoreError;

/// See the module.
pub(super) enum Nodes {
    /// One server has everything, wherever it is.
    One(Arc<Link>),
    Cluster(Arc<Cluster>),
}

impl Nodes {
    /// Begins to connect. Must be called on the runtime that does the I/O.
    ///
    /// # Errors
    ///
    /// A sentence, if there can be no such servers.
    pub(super) fn connect(settings: &Settings, breaker: MakeBreaker) -> Result<Arc<Self>, String> {
        let finder = match &settings.topology {
            Topology::Server(address) => Finder::At(address.clone()),
            Topology::Sentinel(sentinels) => Finder::of_sentinels(sentinels, settings)?,
            Topology::Cluster(seeds) => {
                return Ok(Arc::new(Self::Cluster(Cluster::connect(seeds, settings, breaker)?)));
            }
        };
        Ok(Arc::new(Self::One(Link::connect(Dial::new(settings)?, finder, settings))))
    }

    /// What this process owes to each of several servers.
    pub(super) fn debts(&self) -> Option<Debts> {
        match self {
            Self::One(_) => None,
            Self::Cluster(cluster) => Some(cluster.debts()),
        }
    }

    /// Ends when the first attempt to connect has ended, which has a deadline.
    pub(super) async fn tried(&self) {
        match self {
            Self::One(link) => link.tried().await,
            Self::Cluster(cluster) => cluster.tried().await,
        }
    }

    /// The error of every call right now, if there is nobody to ask.
    pub(super) fn away(&self) -> Option<StoreError> {
        match self {
            Self::One(link) => link.away(),
            Self::Cluster(cluster) => cluster.away(),
        }
    }

    /// Makes all calls, those to one server in one write, and returns the answer to each.
    pub(super) async fn ask(&self, deadline: Instant, calls: &[Call]) -> Vec<Answered> {
        match self {
            Self::One(link) => link.ask(deadline, &calls.iter().collect::<Vec<_>>(), false).await,
            Self::Cluster(cluster) => cluster.ask(deadline, calls).await,
        }
    }

    /// The same with calls that are no scripts.
    pub(super) async fn read(&self, deadline: Instant, calls: &[Call]) -> Vec<Answered> {
        match (self, calls) {
            (Self::One(link), [call]) => vec![link.read(deadline, &call.command(Incarnation::ANY)).await],
            _ => self.ask(deadline, calls).await,
        }
    }

    /// Gives the connection up on which something was answered that cannot be.
    pub(super) fn give_up(&self, slot: Slot, why: &str) {
        match self {
            Self::One(link) => link.give_up_any(why),
            Self::Cluster(cluster) => cluster.give_up(slot, why),
        }
    }
}
