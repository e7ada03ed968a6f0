//! Where the server of a connection is: always at one address, or where its sentinels say that the master is.
//!
//! - Every sentinel is asked once a second, and at once when it says that a master has changed. Each has a connection and deadlines of its own, so that one that is gone or silent keeps nobody waiting.
//! - Of what they say the newest counts. Each change of the master has a number, its epoch, and a sentinel that was cut off has not heard of the last ones. What one said [`FRESH`] ago counts no more.
//! - Who asks for the master waits for the answers of most sentinels, or for a moment. Without any there is no master: the one that was may have been replaced meanwhile, and may not know it if it was
//!   cut off together with who asks. Only a cache that is warm after a failover stays with it.
//!
//! Whether it takes itself for a master is for whoever connects to it to see.

use std::fmt;
use std::future::pending;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use redis::ConnectionAddr;
use redis::ErrorKind;
use redis::Pipeline;
use redis::RedisError;
use redis::RedisResult;
use redis::ServerErrorKind;
use redis::Value;
use redis::aio::MultiplexedConnection;
use tokio::sync::Notify;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio::time::timeout;

use super::complaints::in_words;
use super::dial::Dial;
use super::settings::Failover;
use super::settings::Sentinels;
use super::settings::Settings;

/// See the module.
pub(super) enum Finder {
    At(ConnectionAddr),
    Sentinels(Watch),
}

/// What sentinels say. They are asked as long as this is there.
pub(super) struct Watch {
    sentinels: Sentinels,
    /// Whether a master counts that none of them has confirmed lately.
    trusts_silence: bool,
    heard: watch::Receiver<Vec<Heard>>,
    _askers: JoinSet<()>,
}

/// The last that a sentinel said.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Heard {
    NotYet,
    Master { address: ConnectionAddr, epoch: u64, at: Instant },
    NoSuchMaster,
    Failed(String),
}

impl Finder {
    /// Begins to ask. Must be called on the runtime that does the I/O.
    ///
    /// # Errors
    ///
    /// A sentence about certificates that cannot be used.
    pub(super) fn of_sentinels(sentinels: &Sentinels, settings: &Settings) -> Result<Self, String> {
        let dial = Dial::to_sentinels(sentinels, settings)?;
        let (told, heard) = watch::channel(vec![Heard::NotYet; sentinels.addresses.len()]);
        let mut askers = JoinSet::new();
        for (place, address) in sentinels.addresses.iter().enumerate() {
            askers.spawn(ask_for_ever(Asker {
                dial: dial.clone(),
                address: address.clone(),
                master: sentinels.master.clone(),
                deadline: settings.connect_timeout,
                place,
                told: told.clone(),
            }));
        }
        let trusts_silence = settings.failover == Failover::Warm;
        Ok(Self::Sentinels(Watch { sentinels: sentinels.clone(), trusts_silence, heard, _askers: askers }))
    }

    /// Where to connect to now.
    ///
    /// # Errors
    ///
    /// A sentence, if no sentinel knows.
    pub(super) async fn find(&self) -> io::Result<ConnectionAddr> {
        match self {
            Self::At(address) => Ok(address.clone()),
            Self::Sentinels(watch) => watch.find().await,
        }
    }

    /// Why a connection to `address` is not to be used any more, if so.
    pub(super) fn doubt(&self, address: &ConnectionAddr) -> Option<&'static str> {
        let Self::Sentinels(watch) = self else { return None };
        match newest(&watch.heard.borrow()) {
            Some(newest) if newest == *address => None,
            Some(_) => Some("another server has become the master"),
            None if watch.trusts_silence => None,
            None => Some("no sentinel says whether it still is the master"),
        }
    }

    /// Says when to look again whether there is a [`doubt`](Self::doubt).
    pub(super) fn news(&self) -> News {
        News(match self {
            Self::At(_) => None,
            Self::Sentinels(watch) => Some(watch.heard.clone()),
        })
    }
}

/// See [`Finder::news`].
pub(super) struct News(Option<watch::Receiver<Vec<Heard>>>);

impl News {
    /// Waits for the next, or for silence to have become news; `false` if there is no finder any more.
    pub(super) async fn next(&mut self) -> bool {
        match &mut self.0 {
            Some(heard) => !matches!(timeout(PERIOD, heard.changed()).await, Ok(Err(_))),
            None => pending().await,
        }
    }

    /// Whether there ever are any.
    pub(super) fn are_possible(&self) -> bool {
        self.0.is_some()
    }
}

/// Without credentials.
impl fmt::Display for Finder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::At(address) => address.fmt(f),
            Self::Sentinels(watch) => match newest(&watch.heard.borrow()) {
                Some(address) => write!(f, "{address} ({})", watch.sentinels.master),
                None => f.write_str(&watch.sentinels.master),
            },
        }
    }
}

impl Watch {
    async fn find(&self) -> io::Result<ConnectionAddr> {
        let mut heard = self.heard.clone();
        // Both ways it can end are seen below.
        let _ = timeout(GRACE, heard.wait_for(|heard| is_enough(heard))).await;
        let _ = heard.wait_for(|heard| heard.iter().any(|one| *one != Heard::NotYet)).await;
        let heard = self.heard.borrow();
        newest(&heard).ok_or_else(|| io::Error::other(self.excuse(&heard)))
    }

    fn excuse(&self, heard: &[Heard]) -> String {
        let master = &self.sentinels.master;
        if heard.contains(&Heard::NoSuchMaster) {
            return format!("its sentinels know no master called `{master}`");
        }
        let why = heard.iter().find_map(|one| match one {
            Heard::Failed(why) => Some(why.as_str()),
            _ => None,
        });
        format!("no sentinel says where the master `{master}` is: {}", why.unwrap_or("they do not answer"))
    }
}

/// Whether most have answered, or all have been tried.
fn is_enough(heard: &[Heard]) -> bool {
    let masters = heard.iter().filter(|one| is_fresh(one)).count();
    masters * 2 > heard.len() || heard.iter().all(|one| *one != Heard::NotYet)
}

fn is_fresh(heard: &Heard) -> bool {
    matches!(heard, Heard::Master { at, .. } if at.elapsed() < FRESH)
}

/// The master after the last change that any of them knows of. Where they differ on it, what most say: a sentinel that was busy with one change when the next came may name the wrong one under its number.
fn newest(heard: &[Heard]) -> Option<ConnectionAddr> {
    let masters = heard.iter().filter(|one| is_fresh(one)).filter_map(|one| match one {
        Heard::Master { address, epoch, .. } => Some((epoch, address)),
        _ => None,
    });
    let masters: Vec<(&u64, &ConnectionAddr)> = masters.collect();
    let say_so = |master: &(&u64, &ConnectionAddr)| masters.iter().filter(|other| *other == master).count();
    let newest = masters.iter().max_by_key(|master| (master.0, say_so(master)));
    newest.map(|(_, address)| ConnectionAddr::clone(address))
}

/// Who asks one sentinel.
struct Asker {
    dial: Dial,
    address: ConnectionAddr,
    master: String,
    deadline: Duration,
    place: usize,
    told: watch::Sender<Vec<Heard>>,
}

async fn ask_for_ever(asker: Asker) {
    loop {
        let news = Arc::new(Notify::new());
        match timeout(asker.deadline, asker.listen(&news)).await {
            Ok(Ok(connection)) => asker.ask(connection, &news).await,
            Ok(Err(error)) => asker.tell(Heard::Failed(in_words(&error))),
            Err(_) => asker.tell(Heard::Failed("no connection in time".into())),
        }
        tokio::time::sleep(PERIOD.mul_f64(rand::random_range(0.5..1.0))).await;
    }
}

impl Asker {
    async fn listen(&self, news: &Arc<Notify>) -> RedisResult<MultiplexedConnection> {
        let mut connection = self.dial.open_and_hear(&self.address, Arc::clone(news)).await?;
        redis::cmd("SUBSCRIBE").arg(&EVENTS).exec_async(&mut connection).await?;
        Ok(connection)
    }

    /// Asks, until there is no answer.
    async fn ask(&self, mut connection: MultiplexedConnection, news: &Notify) {
        loop {
            match timeout(self.deadline, self.master(&mut connection)).await {
                Ok(Ok(heard)) => self.tell(heard),
                Ok(Err(error)) => return self.tell(Heard::Failed(in_words(&error))),
                Err(_) => return self.tell(Heard::Failed("it does not answer in time".into())),
            }
            // Whether it was time or news is all the same.
            let _ = timeout(PERIOD, news.notified()).await;
        }
    }

    async fn master(&self, connection: &mut MultiplexedConnection) -> RedisResult<Heard> {
        let mut questions = Pipeline::new();
        // Only this one knows of a change that is not over yet, and only the other says its number.
        questions.cmd("SENTINEL").arg("GET-MASTER-ADDR-BY-NAME").arg(&self.master);
        questions.cmd("SENTINEL").arg("MASTER").arg(&self.master);
        let answers = connection.send_packed_commands(&questions, 0, 2).await?;
        let at = Instant::now();
        match &answers[..] {
            [Value::Nil, _] => Ok(Heard::NoSuchMaster),
            [Value::Array(address), facts] => match (address.first().and_then(text), address.get(1).and_then(number)) {
                (Some(host), Some(port)) => {
                    let port = u16::try_from(port).map_err(|_| no_sentinel())?;
                    let epoch = epoch(facts).unwrap_or(0);
                    Ok(Heard::Master { address: ConnectionAddr::Tcp(host, port), epoch, at })
                }
                _ => Err(no_sentinel()),
            },
            [Value::ServerError(error), _] => Err(error.clone().into()),
            _ => Err(no_sentinel()),
        }
    }

    /// That a sentinel says the same again is no news.
    fn tell(&self, heard: Heard) {
        self.told.send_if_modified(|all| {
            let before = std::mem::replace(&mut all[self.place], heard);
            let after = &all[self.place];
            match (&before, after) {
                (
                    Heard::Master { address: one, epoch: first, .. },
                    Heard::Master { address: other, epoch: second, .. },
                ) => one != other || first != second,
                _ => before != *after,
            }
        });
    }
}

/// What `config-epoch` stands for, in a map or in a list of names and values.
fn epoch(facts: &Value) -> Option<u64> {
    let is_epoch = |name: &Value| text(name).is_some_and(|name| name == "config-epoch");
    match facts {
        Value::Map(facts) => facts.iter().find(|(name, _)| is_epoch(name)).and_then(|(_, value)| number(value)),
        Value::Array(facts) => facts.chunks_exact(2).find(|fact| is_epoch(&fact[0])).and_then(|fact| number(&fact[1])),
        _ => None,
    }
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::BulkString(bytes) => String::from_utf8(bytes.clone()).ok(),
        Value::SimpleString(text) => Some(text.clone()),
        _ => None,
    }
}

fn number(value: &Value) -> Option<u64> {
    text(value)?.parse().ok()
}

fn no_sentinel() -> RedisError {
    RedisError::from((ErrorKind::Server(ServerErrorKind::ResponseError), "it does not answer as a sentinel does"))
}

/// How long a sentinel says nothing of itself.
const PERIOD: Duration = Duration::from_secs(1);
/// How long what it said counts.
const FRESH: Duration = Duration::from_secs(3);
/// How long most of them are waited for.
const GRACE: Duration = Duration::from_millis(200);
/// After either another is the master.
const EVENTS: [&str; 2] = ["+switch-master", "+failover-state-reconf-slaves"];

#[cfg(test)]
mod tests {
    use super::*;

    fn said(host: &str, epoch: u64) -> Heard {
        Heard::Master { address: address(host), epoch, at: Instant::now() }
    }

    fn address(host: &str) -> ConnectionAddr {
        ConnectionAddr::Tcp(host.into(), 1)
    }

    #[tokio::test(start_paused = true)]
    async fn the_last_change_counts_whoever_knows_of_it_and_what_is_old_does_not() {
        let heard = [said("old", 3), said("new", 4), said("old", 3)];
        assert_eq!(newest(&heard), Some(address("new")));
        tokio::time::advance(FRESH).await;
        assert_eq!(newest(&heard), None);
        assert_eq!(newest(&[heard[1].clone(), said("old", 3), Heard::NoSuchMaster]), Some(address("old")));
    }

    #[test]
    fn of_two_masters_after_one_change_most_decide() {
        let heard = [said("a", 4), said("a", 4), said("b", 4)];
        for turned in 0..3 {
            let mut heard = heard.clone();
            heard.rotate_left(turned);
            assert_eq!(newest(&heard), Some(address("a")));
        }
        assert_eq!(newest(&[said("a", 4), said("a", 4), said("b", 5)]), Some(address("b")));
    }

    #[test]
    fn most_are_enough_and_so_are_all_who_were_tried() {
        let down = || Heard::Failed("down".into());
        assert!(is_enough(&[said("a", 1), said("a", 1), Heard::NotYet]));
        assert!(!is_enough(&[said("a", 1), down(), Heard::NotYet]));
        assert!(is_enough(&[said("a", 1), down(), down()]));
    }
}
