//! A hit on Memcached through an annotated function, beside a bare `mg` and decode on one connection that is pipelined by hand.
//!
//! `cargo run --release --bin memcached_hit [WORD]` starts a server of its own. With a word, only the floor and those whose name has it.
//!
//! As in `redis_hit`, our connection lives on a thread of the cache, and the bare one once on the runtime of its callers and once on another.

use std::collections::VecDeque;

use benches::annotated::Caches;
use benches::annotated::Run;
use benches::hits;
use benches::hits::KEYS;
use benches::hits::User;
use benches::hits::compared;
use benches::hits::rate;
use benches::hits::runtime;
use benches::rounds::Contender;
use benches::server::Memcached;
use benches::table::Table;
use tokio::io::AsyncBufReadExt;
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWriteExt;
use tokio::io::BufReader;
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio::sync::mpsc;
use tokio::sync::oneshot;

fn main() {
    let word = std::env::args().nth(1).unwrap_or_default();
    let server = Memcached::start();
    let (callers, elsewhere) = (runtime(2), runtime(1));
    let bench = callers.block_on(Bench::new(&server, &elsewhere));
    for count in [1, 64] {
        let table = bench.compare(&callers, count, &word);
        println!("A hit of 200 B on Memcached, {}:\n\n{table}", hits::callers(count));
    }
    bench.caches.were_hits();
}

/// Everything that the contenders need, with every key stored.
struct Bench {
    caches: Caches,
    here: Bare,
    elsewhere: Bare,
}

impl Bench {
    async fn new(server: &Memcached, elsewhere: &Runtime) -> Self {
        let port = server.port();
        let here = Bare::connect(port).await;
        let elsewhere = elsewhere.spawn(Bare::connect(port)).await.expect("a connection");
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await.expect("a connection");
        for id in 0..KEYS {
            let value = User::stored(id, SIZE);
            let command = format!("ms floor:{id} {}\r\n", value.len());
            let set = [command.as_bytes(), &value, b"\r\n"].concat();
            stream.write_all(&set).await.expect("a server that listens");
            let mut answer = [0; 4];
            stream.read_exact(&mut answer).await.expect("an answer");
            assert_eq!(&answer, b"HD\r\n");
        }
        Self { caches: Caches::connect(&server.url(), SIZE).await, here, elsewhere }
    }

    fn compare(&self, runtime: &Runtime, callers: u64, word: &str) -> Table {
        let count = if callers == 1 { 500 } else { 32_000 };
        let bare = |bare: &Bare| {
            let bare = bare.clone();
            runtime.block_on(rate(callers, count, move |id| bare.clone().get(id)))
        };
        let mut contenders = vec![
            Contender::new("floor: `mg` and serde_json, pipelined by hand", || bare(&self.here)),
            Contender::new("the same, connection on another runtime", || bare(&self.elsewhere)),
        ];
        contenders.extend(self.caches.contenders(Run { runtime, callers, count }));
        compared(contenders, word)
    }
}

/// The least that a client can be: requests of all callers gather, go out in one write, and are answered in their order.
#[derive(Clone)]
struct Bare(mpsc::Sender<(u64, oneshot::Sender<Vec<u8>>)>);

impl Bare {
    async fn connect(port: u16) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", port)).await.expect("a connection");
        stream.set_nodelay(true).expect("a connection without delay");
        let (reading, mut writing) = stream.into_split();
        let (queue, mut asked) = mpsc::channel::<(u64, oneshot::Sender<Vec<u8>>)>(1024);
        let (waiting, mut answering) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            let (mut together, mut out) = (Vec::new(), String::new());
            while asked.recv_many(&mut together, 256).await > 0 {
                out.clear();
                for (id, reply) in together.drain(..) {
                    out += &format!("mg floor:{id} v\r\n");
                    waiting.send(reply).expect("somebody who reads");
                }
                writing.write_all(out.as_bytes()).await.expect("a server that listens");
            }
        });
        tokio::spawn(async move {
            let (mut reading, mut line) = (BufReader::with_capacity(64 * 1024, reading), String::new());
            let mut replies = VecDeque::new();
            loop {
                line.clear();
                if reading.read_line(&mut line).await.expect("an answer") == 0 {
                    return;
                }
                let length: usize =
                    line.trim_end().strip_prefix("VA ").and_then(|line| line.parse().ok()).expect("a hit");
                let mut value = vec![0; length + 2];
                reading.read_exact(&mut value).await.expect("a whole answer");
                value.truncate(length);
                while let Ok(reply) = answering.try_recv() {
                    replies.push_back(reply);
                }
                let reply: oneshot::Sender<Vec<u8>> = replies.pop_front().expect("somebody who asked");
                // Whoever asked may have gone.
                let _ = reply.send(value);
            }
        });
        Self(queue)
    }

    async fn get(self, id: u64) -> User {
        let (reply, answer) = oneshot::channel();
        self.0.send((id, reply)).await.expect("a connection");
        User::read(&answer.await.expect("an answer"))
    }
}

const SIZE: usize = 200;
