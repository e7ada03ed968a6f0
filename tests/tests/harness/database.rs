//! A database that all processes ask: a row is the number of its last commit.
//!
//! It lives in the process of the test, behind a socket, so that a killed worker takes nothing with it: what it had asked for is committed
//! all the same, as a database would. Each worker has one connection, which also carries what the worker reports. Lines, as text:
//!
//! ```text
//! S <request> <row>                 ->  <request> <number>, or <request> - for a read that failed
//! U <request> <row> <mutation>      ->  <request> <number>
//! P <request>                       ->  <request> 0, when everything before it was taken
//! E <event as JSON>
//!                                   <-  stop
//! ```

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rand::RngExt as _;
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use tokio::io::AsyncBufReadExt as _;
use tokio::io::AsyncWriteExt as _;
use tokio::io::BufReader;
use tokio::net::UnixListener;
use tokio::net::UnixStream;
use tokio::net::unix::OwnedWriteHalf;
use tokio::sync::Notify;
use tokio::sync::mpsc;
use tokio::sync::oneshot;
use tokio::sync::watch;

use crate::history::Event;
use crate::history::Row;
use crate::history::Time;
use crate::history::What;

pub(crate) const ROWS: usize = 208;

/// The database, and the record of everything that happens.
pub(crate) struct Database {
    rows: Mutex<Vec<u64>>,
    events: Mutex<Vec<Event>>,
    chance: Mutex<StdRng>,
    stop: watch::Sender<bool>,
}

impl Database {
    /// Listens at `path`, for as long as the runtime lives.
    pub(crate) fn listen(path: &Path, seed: u64) -> Arc<Self> {
        let database = Arc::new(Self {
            rows: Mutex::new(vec![0; ROWS]),
            events: Mutex::default(),
            chance: Mutex::new(StdRng::seed_from_u64(seed)),
            stop: watch::Sender::new(false),
        });
        let listener = UnixListener::bind(path).expect("a socket for the database");
        let listening = database.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(listening.clone().serve(stream));
            }
        });
        database
    }

    /// Asks all workers to come to an end.
    pub(crate) fn stop(&self) {
        self.stop.send_replace(true);
    }

    pub(crate) fn record(&self, event: Event) {
        self.events.lock().unwrap().push(event);
    }

    /// Everything that happened so far.
    pub(crate) fn events(&self) -> Vec<Event> {
        self.events.lock().unwrap().clone()
    }

    async fn serve(self: Arc<Self>, stream: UnixStream) {
        let (read, write) = stream.into_split();
        let (replies, sent) = mpsc::unbounded_channel();
        tokio::spawn(write_lines(write, sent));
        let mut stopped = self.stop.subscribe();
        let stop = replies.clone();
        tokio::spawn(async move {
            if stopped.wait_for(|stop| *stop).await.is_ok() {
                let _ = stop.send("stop\n".to_owned());
            }
        });
        let mut lines = BufReader::new(read).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            self.clone().answer(&line, &replies);
        }
    }

    /// Takes one line. What it asks for takes its time, and happens whether anybody waits for it or not.
    fn answer(self: Arc<Self>, line: &str, replies: &mpsc::UnboundedSender<String>) {
        if let Some(event) = line.strip_prefix("E ") {
            return self.record(serde_json::from_str(event).expect("an event"));
        }
        let numbers: Vec<u64> = line[2..].split(' ').map(|number| number.parse().expect("a number")).collect();
        let (replies, verb) = (replies.clone(), line.as_bytes()[0]);
        tokio::spawn(async move {
            let reply = match verb {
                b'S' => self.select(numbers[1]).await,
                b'U' => Some(self.update(numbers[1], numbers[2]).await),
                _ => Some(0),
            };
            let reply = reply.map_or("-".to_owned(), |number| number.to_string());
            // A worker that was killed waits for nothing.
            let _ = replies.send(format!("{} {reply}\n", numbers[0]));
        });
    }

    async fn select(&self, row: Row) -> Option<u64> {
        self.pause(2).await;
        let number = self.rows.lock().unwrap()[row as usize];
        match row {
            SLOW..CALM => tokio::time::sleep(SLOWNESS + Duration::from_millis(self.below(200))).await,
            _ => self.pause(12).await,
        }
        // Rows that are held against the bound on loads never fail: a second failure lets everybody load.
        let fails = row < CALM && self.below(50) == 0;
        if fails {
            self.record(Event::since(Time::now(), 0, What::Failed { row }));
        }
        (!fails).then_some(number)
    }

    async fn update(&self, row: Row, mutation: u64) -> u64 {
        self.pause(4).await;
        let number = {
            let mut rows = self.rows.lock().unwrap();
            let from = Time::now();
            rows[row as usize] += 1;
            let number = rows[row as usize];
            self.record(Event::since(from, 0, What::Commit { row, number, mutation }));
            number
        };
        self.pause(4).await;
        number
    }

    /// Up to so many milliseconds, often none.
    async fn pause(&self, most: u64) {
        match self.below(4) {
            0 => {}
            _ => tokio::time::sleep(Duration::from_micros(self.below(most * 1000))).await,
        }
    }

    fn below(&self, below: u64) -> u64 {
        self.chance.lock().unwrap().random_range(0..below)
    }
}

/// From this row on answers to who reads it are on their way for longer than a server lives that comes back again and again.
pub(crate) const SLOW: Row = 4;
const SLOWNESS: Duration = Duration::from_millis(1300);
/// From this row on mutations are rare, and loads never fail.
pub(crate) const CALM: Row = 8;
/// From this row on mutations of each are so rare that what becomes of one is seen before the next.
pub(crate) const QUIET: Row = 16;

/// A worker's side of its connection.
pub(crate) struct Remote {
    lines: mpsc::UnboundedSender<String>,
    waiting: Mutex<HashMap<u64, oneshot::Sender<Option<u64>>>>,
    requests: AtomicU64,
    stopped: Notify,
}

impl Remote {
    pub(crate) async fn connect(path: &Path) -> Arc<Self> {
        let stream = UnixStream::connect(path).await.expect("the database");
        let (read, write) = stream.into_split();
        let (lines, sent) = mpsc::unbounded_channel();
        tokio::spawn(write_lines(write, sent));
        let (waiting, requests) = (Mutex::default(), AtomicU64::default());
        let remote = Arc::new(Self { lines, waiting, requests, stopped: Notify::new() });
        let reading = remote.clone();
        tokio::spawn(async move {
            let mut lines = BufReader::new(read).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                reading.take(&line);
            }
            // Without its database a worker has nothing left to do.
            reading.stopped.notify_one();
        });
        remote
    }

    /// The number of the row's last commit, or `None` if the read failed.
    pub(crate) async fn select(&self, row: Row) -> Option<u64> {
        self.ask(|request| format!("S {request} {row}\n")).await
    }

    /// Commits to the row, and returns the number of that.
    pub(crate) async fn update(&self, row: Row, mutation: u64) -> u64 {
        self.ask(|request| format!("U {request} {row} {mutation}\n")).await.expect("an update does not fail")
    }

    /// Ends when everything that was reported is known to the database, whatever becomes of this process.
    pub(crate) async fn flush(&self) {
        self.ask(|request| format!("P {request}\n")).await;
    }

    pub(crate) fn report(&self, event: &Event) {
        let event = serde_json::to_string(event).expect("an event");
        // If the test is gone, so is who would read it.
        let _ = self.lines.send(format!("E {event}\n"));
    }

    /// Ends when the worker is to stop.
    pub(crate) async fn stopped(&self) {
        self.stopped.notified().await;
    }

    async fn ask(&self, line: impl Fn(u64) -> String) -> Option<u64> {
        let request = self.requests.fetch_add(1, Ordering::Relaxed);
        let (to, reply) = oneshot::channel();
        self.waiting.lock().unwrap().insert(request, to);
        // If the test is gone, this is killed in a moment.
        let _ = self.lines.send(line(request));
        match reply.await {
            Ok(number) => number,
            Err(_) => std::future::pending().await,
        }
    }

    fn take(&self, line: &str) {
        let Some((request, number)) = line.split_once(' ') else { return self.stopped.notify_one() };
        let request = request.parse().expect("a number");
        if let Some(to) = self.waiting.lock().unwrap().remove(&request) {
            // One that was dropped waits for nothing.
            let _ = to.send(number.parse().ok());
        }
    }
}

async fn write_lines(mut to: OwnedWriteHalf, mut lines: mpsc::UnboundedReceiver<String>) {
    let mut batch = Vec::new();
    while lines.recv_many(&mut batch, 1000).await > 0 {
        if to.write_all(batch.concat().as_bytes()).await.is_err() {
            return;
        }
        batch.clear();
    }
}
