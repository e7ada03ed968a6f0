//! One connection, which heals by itself.
//!
//! - No call waits for a reconnection: while there is no connection, every call fails at once. Only a call that comes before the very first attempt has ended may wait for
//!   that one, within its deadline.
//! - A connection that broke, or on which three deadlines in a row were missed, is given up, and a task connects anew: at once if it had lasted, else after a pause
//!   that grows from 50 ms to 1 s, with jitter. One that does not last counts as an attempt that failed.
//! - Nothing is sent twice, but for a script that the server said it does not know, and so has not run.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::Weak;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use redis::Cmd;
use redis::ConnectionAddr;
use redis::ErrorKind;
use redis::Pipeline;
use redis::RedisError;
use redis::RedisResult;
use redis::ServerErrorKind;
use redis::Value;
use redis::aio::MultiplexedConnection;
use tokio::time::Instant;
use tokio::time::timeout_at;

use super::Settings;
use super::calls::Call;
use super::complaints::Complaints;
use super::complaints::in_words;
use super::complaints::is_of_server;
use super::dial::Dial;
use super::finder::Finder;
use super::finder::News;
use super::incarnation::Identity;
use super::incarnation::Incarnation;
use super::scripts;
use super::settings::Failover;
use super::settings::Topology;
use crate::store::StoreError;
use crate::store::presence::Pause;
use crate::store::presence::Presence;

/// A connection, or the attempts to have one.
pub(super) struct Link {
    dial: Dial,
    finder: Finder,
    connect_timeout: Duration,
    failover: Failover,
    /// Whether it is one of a Cluster, which sends on who asks it for what others have.
    in_cluster: bool,
    live: ArcSwapOption<Live>,
    presence: Presence,
    complaints: Complaints,
}

/// What a server answered, and in which incarnation it did.
pub(super) struct Answer {
    pub(super) value: Value,
    pub(super) at: Incarnation,
}

/// Why there is no answer.
#[derive(Clone, Debug)]
pub(super) struct Failure {
    pub(super) error: StoreError,
    /// Whether it was refused as a whole what may still be done in parts: the server has no memory left, or has only some of the keys while their slot moves.
    pub(super) is_of_parts: bool,
    /// Where it has to be asked for.
    pub(super) redirect: Option<Redirect>,
}

/// Where a server of a Cluster sends a call on to.
#[derive(Clone, Debug)]
pub(super) enum Redirect {
    /// The slot is there from now on.
    Moved(String),
    /// The slot is moving there.
    Ask(String),
}

pub(super) type Answered = Result<Answer, Failure>;

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self { error, is_of_parts: false, redirect: None }
    }
}

impl From<Failure> for StoreError {
    fn from(failure: Failure) -> Self {
        failure.error
    }
}

/// A connection that was made.
struct Reached {
    connection: MultiplexedConnection,
    address: ConnectionAddr,
    /// What its answers count by.
    incarnation: Incarnation,
}

/// A connection in use.
struct Live {
    reached: Reached,
    since: Instant,
    /// How long to wait before the next, if this one does not last.
    pause: Pause,
    /// Deadlines missed since the last answer.
    misses: AtomicU32,
}

impl Link {
    /// Begins to connect. Must be called on the runtime that does the I/O.
    pub(super) fn connect(dial: Dial, finder: Finder, settings: &Settings) -> Arc<Self> {
        let news = finder.news();
        let link = Arc::new(Self {
            dial,
            finder,
            connect_timeout: settings.connect_timeout,
            failover: settings.failover,
            in_cluster: matches!(settings.topology, Topology::Cluster(_)),
            live: ArcSwapOption::empty(),
            presence: Presence::new("not connected yet"),
            complaints: Complaints::default(),
        });
        tokio::spawn(heal(Arc::downgrade(&link), Pause::NONE));
        if news.are_possible() {
            tokio::spawn(follow(Arc::downgrade(&link), news));
        }
        link
    }

    /// Ends when the first attempt to connect has ended, which has a deadline.
    pub(super) async fn tried(&self) {
        self.presence.tried().await;
    }

    /// The error of every call right now, if there is no connection.
    pub(super) fn away(&self) -> Option<StoreError> {
        let away = self.live.load().is_none() && self.presence.is_tried();
        away.then(|| self.presence.gone())
    }

    /// Sends one command, which is no script.
    pub(super) async fn read(self: &Arc<Self>, deadline: Instant, command: &Cmd) -> Answered {
        let live = self.live(deadline).await?;
        let send = async |mut connection: MultiplexedConnection| connection.send_packed_command(command).await;
        let value = self.on(&live, deadline, send).await?;
        self.answered(&live, value.extract_error())
    }

    /// Makes calls in one write and returns the answer to each; with `asking`, as one who was sent here.
    pub(super) async fn ask(self: &Arc<Self>, deadline: Instant, calls: &[&Call], asking: bool) -> Vec<Answered> {
        let asked = async {
            let live = self.live(deadline).await?;
            let commands: Vec<Cow<'_, Cmd>> = calls.iter().map(|call| call.command(live.reached.incarnation)).collect();
            let replies = self.send(&live, deadline, &commands, asking).await?;
            Ok(replies.into_iter().map(|reply| self.answered(&live, reply)).collect())
        };
        asked.await.unwrap_or_else(|error: StoreError| calls.iter().map(|_| Err(error.clone().into())).collect())
    }

    fn answered(&self, live: &Live, reply: RedisResult<Value>) -> Answered {
        reply.map(|value| Answer { value, at: live.reached.incarnation }).map_err(|error| self.failure(&error))
    }

    fn failure(&self, error: &RedisError) -> Failure {
        let redirect = error.redirect_node().filter(|_| self.in_cluster).map(|(to, _)| match error.kind() {
            ErrorKind::Server(ServerErrorKind::Ask) => Redirect::Ask(to.to_owned()),
            _ => Redirect::Moved(to.to_owned()),
        });
        let is_split = self.in_cluster && error.kind() == ErrorKind::Server(ServerErrorKind::TryAgain);
        if redirect.is_some() || is_split {
            // In a Cluster that is nothing to complain about.
            let error = StoreError::Refused(in_words(error));
            return Failure { error, is_of_parts: is_split, redirect };
        }
        Failure { error: self.refusal(error), is_of_parts: is_full(error), redirect }
    }

    /// Sends commands in one write and returns the reply to each. Scripts that the server has forgotten are loaded and called again, once.
    async fn send(
        self: &Arc<Self>,
        live: &Arc<Live>,
        deadline: Instant,
        commands: &[Cow<'_, Cmd>],
        asking: bool,
    ) -> Result<Vec<RedisResult<Value>>, StoreError> {
        let mut replies = self.pipeline(live, deadline, commands.iter().map(AsRef::as_ref), asking).await?;
        let forgotten: Vec<usize> = (0..replies.len()).filter(|&at| is_forgotten(&replies[at])).collect();
        if !forgotten.is_empty() {
            let load: Vec<Cmd> = scripts::load().collect();
            let again = load.iter().chain(forgotten.iter().map(|&at| &*commands[at]));
            let answers = self.pipeline(live, deadline, again, asking).await?;
            for (at, answer) in forgotten.into_iter().zip(answers.into_iter().skip(load.len())) {
                replies[at] = answer;
            }
        }
        Ok(replies)
    }

    async fn pipeline<'a>(
        self: &Arc<Self>,
        live: &Arc<Live>,
        deadline: Instant,
        commands: impl Iterator<Item = &'a Cmd>,
        asking: bool,
    ) -> Result<Vec<RedisResult<Value>>, StoreError> {
        let mut pipeline = Pipeline::new();
        for command in commands {
            if asking {
                pipeline.cmd("ASKING");
            }
            pipeline.add_command(command.clone());
        }
        let count = pipeline.len();
        let ask = async |mut connection: MultiplexedConnection| {
            let replies = connection.send_packed_commands(&pipeline, 0, count).await?;
            if replies.len() == count { Ok(replies) } else { Err(misplaced()) }
        };
        let replies = self.on(live, deadline, ask).await?;
        // Of two replies the first is to `ASKING`.
        let (skipped, step) = if asking { (1, 2) } else { (0, 1) };
        Ok(replies.into_iter().skip(skipped).step_by(step).map(Value::extract_error).collect())
    }

    /// Asks on one connection, and gives it up where that shows that it is of no use any more.
    async fn on<T>(
        self: &Arc<Self>,
        live: &Arc<Live>,
        deadline: Instant,
        ask: impl AsyncFnOnce(MultiplexedConnection) -> RedisResult<T>,
    ) -> Result<T, StoreError> {
        match timeout_at(deadline, ask(live.reached.connection.clone())).await {
            Ok(Ok(reply)) => {
                live.misses.store(0, Ordering::Relaxed);
                Ok(reply)
            }
            Ok(Err(error)) if is_broken(&error) => {
                self.give_up(live, &error.to_string());
                Err(StoreError::Away(error.to_string()))
            }
            Ok(Err(error)) => Err(self.refusal(&error)),
            Err(_) => {
                if live.misses.fetch_add(1, Ordering::Relaxed) + 1 >= MOST_MISSES {
                    self.give_up(live, "it does not answer in time");
                }
                Err(StoreError::Late)
            }
        }
    }

    async fn live(&self, deadline: Instant) -> Result<Arc<Live>, StoreError> {
        if let Some(live) = self.live.load_full() {
            return Ok(live);
        }
        if !self.presence.is_tried() {
            // Both ways it can fail are seen below.
            let _ = timeout_at(deadline, self.presence.tried()).await;
        }
        self.live.load_full().ok_or_else(|| self.presence.gone())
    }

    /// Gives a connection up, unless that was done already, and begins to connect anew.
    pub(super) fn give_up_any(self: &Arc<Self>, why: &str) {
        if let Some(live) = self.live.load_full() {
            self.give_up(&live, why);
        }
    }

    fn give_up(self: &Arc<Self>, live: &Arc<Live>, why: &str) {
        let before = self.live.compare_and_swap(&Some(Arc::clone(live)), None);
        if before.as_ref().is_some_and(|before| Arc::ptr_eq(before, live)) {
            self.presence.note(why);
            tracing::warn!(address = %self.address(), reason = why, "lost Redis; running without it until it is back");
            tokio::spawn(heal(Arc::downgrade(self), live.pause.unless_lasted(live.since)));
        }
    }

    /// Gives a connection up to a server that was replaced, or may have been.
    fn leave_what_was_replaced(self: &Arc<Self>) {
        if let Some(live) = self.live.load_full()
            && let Some(doubt) = self.finder.doubt(&live.reached.address)
        {
            self.give_up(&live, doubt);
        }
    }

    async fn attempt(&self) -> RedisResult<Reached> {
        let address = self.finder.find().await?;
        let mut connection = self.dial.open(&address).await?;
        let incarnation = self.incarnation(&mut connection).await?;
        let mut load = Pipeline::new();
        for command in scripts::load() {
            load.add_command(command);
        }
        let count = load.len();
        for reply in connection.send_packed_commands(&load, 0, count).await? {
            reply.extract_error()?;
        }
        Ok(Reached { connection, address, incarnation })
    }

    /// What the answers of the server count by, which has to be a master.
    async fn incarnation(&self, connection: &mut MultiplexedConnection) -> RedisResult<Incarnation> {
        let mut said = Vec::new();
        for section in ["server", "replication"] {
            // One after the other: what is no Redis is noticed by its answer to a single command.
            let reply = connection.send_packed_command(redis::cmd("INFO").arg(section)).await?;
            said.push(reply.extract_error());
        }
        let identity = match said.into_iter().collect::<RedisResult<Vec<Value>>>() {
            Ok(said) => Identity::of(&said),
            Err(error) if is_forbidden(&error) => Identity::default(),
            Err(error) => return Err(error),
        };
        match (identity, self.failover) {
            (Identity { is_replica: true, .. }, _) => {
                Err(complaint(ServerErrorKind::ReadOnly, "it is a replica, not a master"))
            }
            (_, Failover::Warm) => Ok(Incarnation::ANY),
            (Identity { incarnation: Some(incarnation), .. }, Failover::Cold) => Ok(incarnation),
            (_, Failover::Cold) => Err(complaint(ServerErrorKind::NoPerm, UNKNOWN)),
        }
    }

    fn use_from_now_on(self: &Arc<Self>, reached: Reached, pause: Pause) {
        let live = Arc::new(Live { reached, since: Instant::now(), pause, misses: AtomicU32::new(0) });
        tokio::spawn(watch_over(Arc::downgrade(self), Arc::downgrade(&live)));
        self.live.store(Some(live));
        let first = self.presence.try_ended();
        tracing::info!(address = %self.address(), first, "connected to Redis");
        // The news may have come while the connection was made.
        self.leave_what_was_replaced();
    }

    fn failed(&self, why: &str, is_said: bool) {
        self.presence.note(why);
        if self.presence.try_ended() && !is_said {
            tracing::warn!(address = %self.address(), reason = why, "cannot connect to Redis; running without it until it is there");
        }
    }

    /// What the server said instead of doing it.
    pub(super) fn refusal(&self, error: &RedisError) -> StoreError {
        self.complaints.hear(&self.address(), error);
        // The code of an error that a script met is wrapped in one of its own.
        let (said, whole) = (in_words(error), error.to_string());
        let is_unfit = |code: &&str| error.code() == Some(*code) || whole.contains(&format!("-{code} "));
        if UNFIT.iter().any(is_unfit) { StoreError::Unfit(said) } else { StoreError::Refused(said) }
    }

    fn address(&self) -> String {
        self.finder.to_string()
    }
}

/// Connects, however long that takes, and ends when the link is dropped.
async fn heal(link: Weak<Link>, mut pause: Pause) {
    loop {
        pause.wait().await;
        let Some(link) = link.upgrade() else { return };
        let next = pause.next();
        match tokio::time::timeout(link.connect_timeout, link.attempt()).await {
            Ok(Ok(reached)) => return link.use_from_now_on(reached, next),
            Ok(Err(error)) => {
                let is_said = is_of_server(&error);
                if is_said {
                    link.complaints.hear(&link.address(), &error);
                }
                link.failed(&in_words(&error), is_said);
            }
            Err(_) => link.failed("no connection in time", false),
        }
        pause = next;
    }
}

/// Follows the server to wherever it is said to be, and ends when the link is dropped.
async fn follow(link: Weak<Link>, mut news: News) {
    while news.next().await {
        let Some(link) = link.upgrade() else { return };
        link.leave_what_was_replaced();
    }
}

/// Asks once in a while who the server is, as long as the connection is in use, and gives the connection up when it is another one by now or no master any more.
async fn watch_over(link: Weak<Link>, live: Weak<Live>) {
    loop {
        tokio::time::sleep(HEARTBEAT).await;
        let (Some(link), Some(live)) = (link.upgrade(), live.upgrade()) else { return };
        let deadline = Instant::now() + link.connect_timeout;
        let ask = async |mut connection: MultiplexedConnection| link.incarnation(&mut connection).await;
        match link.on(&live, deadline, ask).await {
            Ok(incarnation) if incarnation == live.reached.incarnation => {}
            Ok(_) => return link.give_up(&live, "it was replaced, and may have forgotten invalidations"),
            // What is wrong with the way there is seen to by whoever asks; a server that says why it cannot be used is none.
            Err(StoreError::Unfit(why)) => return link.give_up(&live, &why),
            Err(_) => {}
        }
    }
}

/// Of a server that does not serve: it starts, it waits for its master or for a slow script, it is a replica, it cannot save, or it does not know who is asking.
const UNFIT: [&str; 7] = ["LOADING", "MASTERDOWN", "CLUSTERDOWN", "BUSY", "READONLY", "MISCONF", "NOAUTH"];

/// Whether the server was full.
pub(super) fn is_full(error: &RedisError) -> bool {
    // A script that was refused a write may wrap the code: `ERR Error running script ... -OOM command not allowed`.
    error.code() == Some("OOM") || error.to_string().contains("OOM command not allowed")
}

fn is_forgotten(reply: &RedisResult<Value>) -> bool {
    matches!(reply, Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::NoScript))
}

fn is_broken(error: &RedisError) -> bool {
    error.is_io_error()
        || error.is_connection_dropped()
        || error.is_unrecoverable_error()
        || error.kind() == ErrorKind::Parse
}

fn is_forbidden(error: &RedisError) -> bool {
    error.kind() == ErrorKind::Server(ServerErrorKind::NoPerm)
}

/// What is said as if the server had said it.
fn complaint(kind: ServerErrorKind, sentence: &str) -> RedisError {
    RedisError::from((ErrorKind::Server(kind), "of the server", sentence.to_owned()))
}

/// Replies that do not match what was asked: nothing on that connection can be trusted any more.
fn misplaced() -> RedisError {
    RedisError::from((ErrorKind::Parse, "the replies do not match the commands"))
}

const UNKNOWN: &str = "`INFO` does not say which run of a server it is, so that one that forgot invalidations would not be noticed; let the user run it, or do without by `failover=warm`";
const MOST_MISSES: u32 = 3;
/// How long a connection may be to a server that is another one by now.
const HEARTBEAT: Duration = Duration::from_secs(1);
