//! One connection: requests of many callers go out in one write, and their answers come back in the same order.
//!
//! - Nothing is sent twice, and nothing goes on over another connection: what a request learned of a server, such as the number of an item, is of use on this connection alone. A server that is
//!   started again begins to count anew, and every connection to it has ended before that.
//! - Every request is answered by its deadline. One that is late is answered for it, and its place is kept, so that what comes for it later is nobody else's.
//! - An answer that is not that of its command ends the connection, as do three deadlines in a row without an answer in between. What was under way may have run.
//! - What waits is bounded, in requests and in bytes. A caller that gives up leaves its place, and harms nobody.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::pin::pin;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering;
use std::task::Context;
use std::task::Poll;
use std::task::ready;

use bytes::Buf;
use bytes::BytesMut;
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWriteExt;
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::oneshot;
use tokio::time::Instant;
use tokio::time::sleep_until;

use super::dial::Duplex;
use super::dial::Stream;
use super::wire;
use super::wire::Answer;
use super::wire::Commands;
use crate::store::StoreError;

/// A connection in use.
#[derive(Debug)]
pub(super) struct Session {
    queue: mpsc::Sender<Request>,
    next_number: AtomicU32,
}

/// What [`run`] works on.
pub(super) struct Line {
    stream: Stream,
    requests: mpsc::Receiver<Request>,
}

#[derive(Debug)]
struct Request {
    commands: Commands,
    deadline: Instant,
    reply: oneshot::Sender<Reply>,
}

type Reply = Result<Vec<Answer>, StoreError>;

impl Session {
    /// A session over `stream`, and what somebody has to [`run`] for it.
    pub(super) fn over(stream: Stream) -> (Self, Line) {
        let (queue, requests) = mpsc::channel(QUEUE);
        let session = Self { queue, next_number: AtomicU32::new(0) };
        (session, Line { stream, requests })
    }

    /// Room for `most` commands, with numbers of their own.
    pub(super) fn commands(&self, most: usize) -> Commands {
        let most = u32::try_from(most).unwrap_or(u32::MAX);
        Commands::from(self.next_number.fetch_add(most, Ordering::Relaxed))
    }

    /// Sends `commands` in one write, and returns the answer to each. May be awaited on any executor.
    pub(super) async fn ask(&self, commands: Commands, deadline: Instant) -> Reply {
        if commands.count == 0 {
            return Ok(Vec::new());
        }
        let (reply, answer) = oneshot::channel();
        self.queue.try_send(Request { commands, deadline, reply }).map_err(|error| match error {
            TrySendError::Full(_) => too_many(),
            TrySendError::Closed(_) => ended(),
        })?;
        answer.await.unwrap_or_else(|_| Err(ended()))
    }
}

/// Asks whether a Memcached that knows the meta protocol is at the other end.
pub(super) async fn greet(stream: &mut dyn Duplex) -> Result<(), String> {
    let mut heard = Vec::new();
    let asked = async {
        stream.write_all(b"mn\r\n").await?;
        stream.flush().await
    };
    asked.await.map_err(|error| error.to_string())?;
    while !heard.ends_with(b"\n") && heard.len() < LONGEST_GREETING {
        if stream.read_buf(&mut heard).await.map_err(|error| error.to_string())? == 0 {
            return Err("it closed the connection".into());
        }
    }
    match &heard[..] {
        b"MN\r\n" => Ok(()),
        b"ERROR\r\n" => Err("what answers there does not know the meta commands of Memcached 1.6".into()),
        said if said.starts_with(b"SERVER_ERROR") || said.starts_with(b"ERROR ") => {
            Err(said.trim_ascii_end().escape_ascii().to_string())
        }
        _ => Err("what answers there is no Memcached".into()),
    }
}

/// Carries requests there and answers back until the connection ends or nobody can ask any more, and says why it ended.
pub(super) async fn run(line: Line) -> String {
    let Line { mut stream, mut requests } = line;
    let mut work = Work::default();
    let reason = work.carry(&mut *stream, &mut requests).await;
    requests.close();
    let failed = StoreError::Away(reason.clone());
    for waiting in work.waiting.drain(..) {
        waiting.reply(Err(failed.clone()));
    }
    while let Ok(request) = requests.try_recv() {
        // It was not sent.
        let _ = request.reply.send(Err(StoreError::Gone(reason.clone())));
    }
    reason
}

/// What is under way.
#[derive(Debug, Default)]
struct Work {
    out: BytesMut,
    is_flushed: bool,
    arrived: BytesMut,
    waiting: VecDeque<Waiting>,
    /// Deadlines missed since the last answer.
    misses: u32,
}

/// A request whose answers are not all there.
#[derive(Debug)]
struct Waiting {
    next: u32,
    missing: u32,
    answers: Vec<Answer>,
    deadline: Instant,
    reply: Option<oneshot::Sender<Reply>>,
}

impl Waiting {
    fn reply(mut self, reply: Reply) {
        if let Some(to) = self.reply.take() {
            // Whoever asked may have gone.
            let _ = to.send(reply);
        }
    }
}

impl Work {
    async fn carry(&mut self, stream: &mut dyn Duplex, requests: &mut mpsc::Receiver<Request>) -> String {
        let mut timer = std::pin::pin!(sleep_until(Instant::now()));
        let mut is_set = false;
        loop {
            while let Ok(request) = requests.try_recv() {
                self.take(request);
            }
            if !is_set && let Some(next) = self.next_deadline() {
                timer.as_mut().reset(next);
                is_set = true;
            }
            tokio::select! {
                moved = poll_fn(|context| self.carry_bytes(stream, context)) => {
                    if let Err(reason) = moved {
                        return reason;
                    }
                }
                request = requests.recv() => match request {
                    Some(request) => self.take(request),
                    None => return "it is not used any more".into(),
                },
                () = &mut timer, if is_set => {
                    is_set = false;
                    self.expire(Instant::now());
                    if self.misses >= MOST_MISSES {
                        return "it does not answer in time".into();
                    }
                }
            }
        }
    }

    fn take(&mut self, request: Request) {
        let Request { commands, deadline, reply } = request;
        if self.out.len() > MOST_UNSENT || self.waiting.len() > MOST_WAITING {
            let _ = reply.send(Err(too_many()));
            return;
        }
        if reply.is_closed() {
            return;
        }
        self.out.extend_from_slice(&commands.bytes);
        let (next, missing) = (commands.first, commands.count);
        let answers = Vec::with_capacity(missing as usize);
        self.waiting.push_back(Waiting { next, missing, answers, deadline, reply: Some(reply) });
    }

    /// Carries there what can be, and back what has come. Ends when something has come.
    fn carry_bytes(&mut self, stream: &mut dyn Duplex, context: &mut Context<'_>) -> Poll<Result<(), String>> {
        if let Poll::Ready(Err(error)) = self.write(stream, context) {
            return Poll::Ready(Err(error.to_string()));
        }
        self.read(stream, context)
    }

    fn write(&mut self, stream: &mut dyn Duplex, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.out.is_empty() {
            let written = ready!(Pin::new(&mut *stream).poll_write(context, &self.out))?;
            self.out.advance(written);
            self.is_flushed = false;
        }
        if !self.is_flushed {
            // What is encrypted may still be here.
            ready!(Pin::new(stream).poll_flush(context))?;
            self.is_flushed = true;
        }
        Poll::Ready(Ok(()))
    }

    fn read(&mut self, stream: &mut dyn Duplex, context: &mut Context<'_>) -> Poll<Result<(), String>> {
        self.arrived.reserve(READ);
        // What is read is in the buffer when this has ended, and nothing is before that.
        let read = ready!(pin!(stream.read_buf(&mut self.arrived)).poll(context));
        Poll::Ready(match read {
            Ok(0) => Err("it closed the connection".into()),
            Ok(_) => self.hand_out(),
            Err(error) => Err(error.to_string()),
        })
    }

    /// Gives every whole answer to whom it is for.
    fn hand_out(&mut self) -> Result<(), String> {
        while !self.arrived.is_empty() {
            let misplaced = |_| "an answer does not match its command".to_owned();
            let first = self.waiting.front_mut().ok_or_else(|| misplaced(wire::Nonsense))?;
            let Some(answer) = wire::answer(&mut self.arrived, first.next).map_err(misplaced)? else { return Ok(()) };
            self.misses = 0;
            first.next = first.next.wrapping_add(1);
            first.missing -= 1;
            first.answers.push(answer);
            if first.missing == 0
                && let Some(mut whole) = self.waiting.pop_front()
            {
                let answers = std::mem::take(&mut whole.answers);
                whole.reply(Ok(answers));
            }
        }
        Ok(())
    }

    fn next_deadline(&self) -> Option<Instant> {
        self.waiting.iter().find(|waiting| waiting.reply.is_some()).map(|waiting| waiting.deadline)
    }

    /// Answers those whose deadline has passed, for the server.
    fn expire(&mut self, now: Instant) {
        for late in self.waiting.iter_mut().filter(|waiting| waiting.deadline <= now) {
            if let Some(reply) = late.reply.take() {
                let _ = reply.send(Err(StoreError::Late));
                self.misses += 1;
            }
        }
    }
}

fn too_many() -> StoreError {
    StoreError::Away("too many requests are waiting".into())
}

fn ended() -> StoreError {
    StoreError::Gone("its I/O has ended".into())
}

/// How many requests may wait to be taken, and to be answered.
const QUEUE: usize = 16 * 1024;
const MOST_WAITING: usize = 16 * 1024;
/// How many bytes may wait to be sent before nothing is added to them.
const MOST_UNSENT: usize = 16 << 20;
const READ: usize = 16 * 1024;
const MOST_MISSES: u32 = 3;
const LONGEST_GREETING: usize = 1024;
