//! A Cluster: several masters, each with some of the slots.
//!
//! - Who has which slot is asked of the servers themselves: at first of those that the URL names, then of all that are known, every few seconds and whenever one of them says that a slot has moved.
//! - What is asked of several servers is asked of all at once, and each answers for itself: one that is away costs what it holds and nothing else. Each has a breaker of its own, which stays open until the
//!   server has been told what it is owed: whatever is to be invalidated in the slots that are its own now. Whoever takes the slots of another over takes over what those are owed, and is told before it is read.
//! - Only masters are asked. A call that was redirected was not done, so it is made again where it was sent to, within its deadline and only a few times; nothing else is ever sent again.
//! - What two servers hold halves of, while a slot moves, cannot be read or written in one step; then it is unknown, and what is invalidated is removed key by key.

use std::collections::HashMap;
use std::collections::HashSet;
use std::sync::Arc;
use std::sync::Weak;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;
use std::time::Duration;

use arc_swap::ArcSwap;
use futures_util::future::join_all;
use redis::ConnectionAddr;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::Settings;
use super::calls::Call;
use super::dial::Dial;
use super::finder::Finder;
use super::link::Answered;
use super::link::Failure;
use super::link::Link;
use super::link::Redirect;
use super::slots;
use super::slots::SLOTS;
use super::slots::Slot;
use crate::breaker::Breaker;
use crate::debt::Debt;
use crate::debt::Debts;
use crate::debt::Placing;
use crate::key::Name;
use crate::store::StoreError;
use crate::store::presence::Presence;
use crate::store::shielded::health;

/// See the module.
pub(super) struct Cluster {
    dial: Dial,
    settings: Settings,
    seeds: Vec<ConnectionAddr>,
    breaker: MakeBreaker,
    map: Arc<ArcSwap<Map>>,
    debts: Debts,
    /// The number of the next server.
    next: AtomicUsize,
    /// Somebody has said that the map is out of date.
    outdated: Arc<Notify>,
    /// What attempts to draw the map have come to.
    presence: Presence,
}

/// Makes a breaker for each server, by what that is owed.
pub(crate) type MakeBreaker = Arc<dyn Fn(Debt) -> Arc<Breaker> + Send + Sync>;

/// Who has what.
#[derive(Clone, Default)]
struct Map {
    nodes: Vec<Arc<Node>>,
    /// Of each slot, the place of its node, or none.
    of: Vec<Option<u16>>,
    /// Of those that were asked and have no slots, to be asked again.
    idle: Vec<Arc<Node>>,
}

/// One server.
struct Node {
    number: usize,
    host: String,
    port: u16,
    link: Arc<Link>,
    breaker: Arc<Breaker>,
}

/// A call on its way: its place among the calls, whom to ask, and whether that one only takes it when it is told that it was sent there.
struct Way {
    call: usize,
    node: Arc<Node>,
    asking: bool,
}

impl Cluster {
    /// Begins to find out who has what. Must be called on the runtime that does the I/O.
    ///
    /// # Errors
    ///
    /// A sentence, if there can be no such servers.
    pub(super) fn connect(
        seeds: &[ConnectionAddr],
        settings: &Settings,
        breaker: MakeBreaker,
    ) -> Result<Arc<Self>, String> {
        let map = Arc::<ArcSwap<Map>>::default();
        let cluster = Arc::new(Self {
            dial: Dial::new(settings)?,
            settings: settings.clone(),
            seeds: seeds.to_vec(),
            breaker,
            debts: Debts::of(Drawn(Arc::downgrade(&map))),
            map,
            next: AtomicUsize::new(0),
            outdated: Arc::default(),
            presence: Presence::new("no server of the Cluster has answered yet"),
        });
        tokio::spawn(keep_up(Arc::downgrade(&cluster), Arc::clone(&cluster.outdated)));
        Ok(cluster)
    }

    /// What this process owes to whoever has a slot.
    pub(super) fn debts(&self) -> Debts {
        self.debts.clone()
    }

    /// Ends when the first attempt to find out has ended.
    pub(super) async fn tried(&self) {
        self.presence.tried().await;
    }

    /// The error of every call right now, if nobody has anything.
    pub(super) fn away(&self) -> Option<StoreError> {
        (self.presence.is_tried() && self.map.load().nodes.is_empty()).then(|| self.nobody())
    }

    /// Makes all calls, those to one server in one write, and returns the answer to each.
    pub(super) async fn ask(&self, deadline: Instant, calls: &[Call]) -> Vec<Answered> {
        if !self.presence.is_tried() {
            // What it came to is seen below.
            let _ = tokio::time::timeout_at(deadline, self.tried()).await;
        }
        let mut answers: Vec<Option<Answered>> = calls.iter().map(|_| None).collect();
        let mut ways: Vec<Way> = calls.iter().enumerate().filter_map(|(at, call)| self.way(at, call)).collect();
        if ways.len() < calls.len() {
            self.outdated.notify_one();
        }
        for round in 0..MOST_WAYS {
            let answered = join_all(grouped(&ways).into_iter().map(|ways| asked(ways, deadline, calls))).await;
            let mut moved = Vec::new();
            for (way, answer) in answered.into_iter().flatten() {
                let elsewhere = answer.as_ref().err().and_then(|failure| self.elsewhere(way, failure));
                moved.extend(elsewhere);
                answers[way.call] = Some(answer);
            }
            if moved.is_empty() || round + 1 == MOST_WAYS || Instant::now() >= deadline {
                break;
            }
            ways = moved;
        }
        answers.into_iter().map(|answer| answer.unwrap_or_else(|| Err(self.nobody().into()))).collect()
    }

    /// Gives the connection up to whoever has a slot.
    pub(super) fn give_up(&self, slot: Slot, why: &str) {
        if let Some(node) = self.map.load().node(slot) {
            node.link.give_up_any(why);
        }
    }

    /// Why there is nobody to ask.
    fn nobody(&self) -> StoreError {
        match &self.map.load().nodes[..] {
            [] => self.presence.gone(),
            _ => StoreError::Gone("no server of the Cluster has that slot".into()),
        }
    }

    fn way(&self, at: usize, call: &Call) -> Option<Way> {
        Some(Way { call: at, node: self.map.load().node(call.slot)?, asking: false })
    }

    /// Where a call goes that was not done where it went.
    fn elsewhere(&self, way: &Way, failure: &Failure) -> Option<Way> {
        let redirect = failure.redirect.as_ref()?;
        let (said, asking) = match redirect {
            Redirect::Moved(said) => (said, false),
            Redirect::Ask(said) => (said, true),
        };
        if !asking {
            self.outdated.notify_one();
        }
        let (host, port) = slots::address(said, &way.node.host)?;
        let node = self.map.load().find(&host, port).unwrap_or_else(|| self.met(&host, port));
        Some(Way { call: way.call, node, asking })
    }

    /// One that the map does not show yet.
    fn met(&self, host: &str, port: u16) -> Arc<Node> {
        let node = self.node(host, port);
        self.map.rcu(|map| {
            let mut map = Map::clone(map);
            map.idle.push(Arc::clone(&node));
            map.idle.drain(..map.idle.len().saturating_sub(MOST_IDLE));
            map
        });
        node
    }

    /// Asks who has what, until somebody says.
    async fn draw(&self) {
        let map = self.map.load_full();
        let known = map.nodes.iter().chain(&map.idle).map(|node| (node.host.clone(), node.port));
        let seeds = self.seeds.iter().filter_map(|seed| match seed {
            ConnectionAddr::Tcp(host, port) => Some((host.clone(), *port)),
            _ => None,
        });
        let mut met = HashSet::new();
        for (host, port) in known.chain(seeds).filter(|address| met.insert(address.clone())).collect::<Vec<_>>() {
            let node = map.find(&host, port).unwrap_or_else(|| self.node(&host, port));
            let deadline = Instant::now() + self.settings.connect_timeout;
            let mut ask = redis::cmd("CLUSTER");
            ask.arg("SLOTS");
            let reason = match node.link.read(deadline, &ask).await.map(|answer| slots::ranges(&answer.value, &host)) {
                Ok(Some(ranges)) if !ranges.is_empty() => {
                    let drawn = self.drawn(&map, &node, &ranges);
                    self.hold_back(&map, &drawn);
                    return self.map.store(Arc::new(drawn));
                }
                Ok(_) => "no server of the Cluster has any slot".to_owned(),
                Err(failure) => failure.error.reason(),
            };
            self.presence.note(&reason);
        }
    }

    fn drawn(&self, before: &Map, told_by: &Arc<Node>, ranges: &[slots::Range]) -> Map {
        let mut nodes: Vec<Arc<Node>> = Vec::new();
        let mut places: HashMap<(&str, u16), u16> = HashMap::new();
        let mut of = vec![None; SLOTS];
        for range in ranges {
            let place = *places.entry((&range.host, range.port)).or_insert_with(|| {
                let known = before.find(&range.host, range.port);
                let same = Some(told_by).filter(|node| node.host == range.host && node.port == range.port);
                nodes.push(known.or(same.cloned()).unwrap_or_else(|| self.node(&range.host, range.port)));
                (nodes.len() - 1) as u16
            });
            of[usize::from(range.from)..=usize::from(range.to)].fill(Some(place));
        }
        let has = |node: &&Arc<Node>| node.link.away().is_none() && !nodes.iter().any(|other| Arc::ptr_eq(other, node));
        let idle = before.nodes.iter().chain(&before.idle).filter(has).take(MOST_IDLE).cloned().collect();
        Map { nodes, of, idle }
    }

    /// Whoever had no slots before, and is owed something as it has some now, is told before it is read.
    fn hold_back(&self, before: &Map, after: &Map) {
        let is_new = |node: &&Arc<Node>| !before.nodes.iter().any(|known| Arc::ptr_eq(known, node));
        for node in after.nodes.iter().filter(is_new) {
            if self.debts.are_of(|slot| after.at(slot).is_some_and(|owner| Arc::ptr_eq(owner, node))) {
                node.breaker.hold();
            }
        }
    }

    fn node(&self, host: &str, port: u16) -> Arc<Node> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let finder = Finder::At(ConnectionAddr::Tcp(host.to_owned(), port));
        let link = Link::connect(self.dial.clone(), finder, &self.settings);
        Arc::new(Node { number, host: host.to_owned(), port, link, breaker: (self.breaker)(self.debts.to(number)) })
    }
}

impl Map {
    fn node(&self, slot: Slot) -> Option<Arc<Node>> {
        self.at(usize::from(slot)).cloned()
    }

    fn at(&self, slot: usize) -> Option<&Arc<Node>> {
        let place = self.of.get(slot).copied().flatten()?;
        self.nodes.get(usize::from(place))
    }

    fn find(&self, host: &str, port: u16) -> Option<Arc<Node>> {
        self.nodes.iter().chain(&self.idle).find(|node| node.host == host && node.port == port).cloned()
    }
}

/// Where names are by a map, as long as that is there.
struct Drawn(Weak<ArcSwap<Map>>);

impl Placing for Drawn {
    fn slot(&self, name: &Name) -> usize {
        usize::from(slots::slot_of(name.as_str()))
    }

    fn node(&self, slot: usize) -> Option<usize> {
        self.0.upgrade()?.load().at(slot).map(|node| node.number)
    }

    fn nodes(&self) -> Vec<usize> {
        let map = self.0.upgrade().map(|map| map.load_full());
        map.map_or_else(Vec::new, |map| map.nodes.iter().map(|node| node.number).collect())
    }

    fn parts(&self) -> usize {
        PARTS
    }
}

/// Those that go to one server in one way.
fn grouped(ways: &[Way]) -> Vec<Vec<&Way>> {
    let mut groups: Vec<Vec<&Way>> = Vec::new();
    for way in ways {
        let same = |group: &&mut Vec<&Way>| Arc::ptr_eq(&group[0].node, &way.node) && group[0].asking == way.asking;
        match groups.iter_mut().find(same) {
            Some(group) => group.push(way),
            None => groups.push(vec![way]),
        }
    }
    groups
}

/// Asks one server, or sheds what may be shed while it does not answer.
async fn asked<'a>(ways: Vec<&'a Way>, deadline: Instant, calls: &[Call]) -> Vec<(&'a Way, Answered)> {
    let (node, asking) = (&ways[0].node, ways[0].asking);
    let urgent = ways.iter().any(|way| calls[way.call].urgent);
    let pass = if urgent { Some(node.breaker.admit_urgent()) } else { node.breaker.admit() };
    let Some(pass) = pass else {
        return ways.into_iter().map(|way| (way, Err(StoreError::Shed.into()))).collect();
    };
    let own: Vec<&Call> = ways.iter().map(|way| &calls[way.call]).collect();
    let answers = node.link.ask(deadline, &own, asking).await;
    let worst = answers.iter().find_map(|answer| answer.as_ref().err().map(|failure| failure.error.clone()));
    pass.end(health(&worst.map_or(Ok(()), Err)));
    ways.into_iter().zip(answers).collect()
}

/// Draws the map anew, every few seconds and when it is out of date, and ends when the cluster is dropped.
async fn keep_up(cluster: Weak<Cluster>, outdated: Arc<Notify>) {
    loop {
        let pause = {
            let Some(cluster) = cluster.upgrade() else { return };
            cluster.draw().await;
            cluster.presence.try_ended();
            if cluster.map.load().nodes.is_empty() { AGAIN } else { REFRESH }
        };
        // However many say so, nobody is asked more often.
        tokio::time::sleep(AGAIN).await;
        // Either way it is time to ask.
        let _ = tokio::time::timeout(pause, outdated.notified()).await;
    }
}

/// How often a call goes on to where it was sent.
const MOST_WAYS: usize = 4;
/// How long the map is taken to be right.
const REFRESH: Duration = Duration::from_secs(5);
/// How soon it is drawn anew at the earliest.
const AGAIN: Duration = Duration::from_millis(50);
/// In how many parts what is owed is delivered. With more masters than that, or after as many failovers, some wait for each other.
const PARTS: usize = 64;
/// How many servers without slots are remembered.
const MOST_IDLE: usize = 64;
