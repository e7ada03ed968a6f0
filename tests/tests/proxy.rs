//! That the proxy of the other tests does what it is told: each fault, and nothing else.

#[path = "common/proxy.rs"]
mod proxy;

use std::io;
use std::time::Duration;
use std::time::Instant;

use cache_runtime::sim::Server;
use tokio::io::AsyncReadExt as _;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::proxy::Fault;
use crate::proxy::Proxy;
use crate::proxy::resp::Frames;

/// A connection that speaks the protocol by hand.
struct Client {
    stream: TcpStream,
    frames: Frames,
    answers: Vec<Vec<u8>>,
}

impl Client {
    async fn to(proxy: &Proxy) -> Self {
        Self::try_to(proxy).await.expect("a connection")
    }

    async fn try_to(proxy: &Proxy) -> io::Result<Self> {
        let stream = TcpStream::connect(proxy.url().trim_start_matches("redis://")).await?;
        Ok(Self { stream, frames: Frames::default(), answers: Vec::new() })
    }

    async fn send(&mut self, words: &[&str]) {
        let mut command = format!("*{}\r\n", words.len());
        for word in words {
            command += &format!("${}\r\n{word}\r\n", word.len());
        }
        self.stream.write_all(command.as_bytes()).await.expect("to send");
    }

    /// The next answer.
    async fn answer(&mut self) -> io::Result<Vec<u8>> {
        let mut buffer = vec![0; 64 * 1024];
        while self.answers.is_empty() {
            let reading = timeout(PATIENCE, self.stream.read(&mut buffer)).await;
            let count = reading.expect("an answer in time")?;
            if count == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.answers = self.frames.add(&buffer[..count]);
        }
        Ok(self.answers.remove(0))
    }

    async fn ask(&mut self, words: &[&str]) -> String {
        self.send(words).await;
        String::from_utf8(self.answer().await.expect("an answer")).expect("text")
    }

    /// Whether nothing comes for a while.
    async fn hears_nothing(&mut self) -> bool {
        let mut buffer = [0; 1];
        timeout(A_WHILE, self.stream.peek(&mut buffer)).await.is_err()
    }

    /// All that comes until the connection ends, and how it ends.
    async fn rest(&mut self) -> (Vec<u8>, io::Result<usize>) {
        let mut all = Vec::new();
        let end = timeout(PATIENCE, self.stream.read_to_end(&mut all)).await.expect("an end");
        (all, end)
    }
}

const PATIENCE: Duration = Duration::from_secs(20);
const A_WHILE: Duration = Duration::from_millis(150);

async fn rig() -> (Server, Proxy) {
    let server = Server::start();
    let proxy = Proxy::before(&server.url()).await;
    (server, proxy)
}

#[tokio::test]
async fn without_a_fault_every_byte_arrives_and_is_counted() {
    let (_server, proxy) = rig().await;
    let mut client = Client::to(&proxy).await;
    let long = "0123456789".repeat(100_000);
    assert_eq!(client.ask(&["SET", "long", &long]).await, "+OK\r\n");
    assert_eq!(client.ask(&["GET", "long"]).await, format!("$1000000\r\n{long}\r\n"));
    let seen = proxy.seen();
    assert_eq!((seen.connections, seen.commands), (1, 2));
    assert!(seen.from_client > 1_000_000 && seen.from_server > 1_000_000, "{seen:?}");
    let mut other = Client::to(&proxy).await;
    assert_eq!(other.ask(&["PING"]).await, "+PONG\r\n");
    assert_eq!(proxy.seen().connections, 2);
    drop(client);
    assert_eq!(other.ask(&["PING"]).await, "+PONG\r\n", "one connection is not the other");
}

#[tokio::test]
async fn a_black_hole_accepts_and_answers_when_it_ends() {
    let (server, proxy) = rig().await;
    let mut old = Client::to(&proxy).await;
    assert_eq!(old.ask(&["PING"]).await, "+PONG\r\n");
    proxy.both(Fault::Blackhole);
    let mut new = Client::to(&proxy).await;
    old.send(&["INCR", "old"]).await;
    new.send(&["INCR", "new"]).await;
    assert!(old.hears_nothing().await && new.hears_nothing().await);
    assert_eq!(server.command(&["EXISTS", "old", "new"]).unwrap(), "0");
    assert_eq!(proxy.seen().commands, 3, "what goes no further is counted too");
    proxy.heal().await;
    assert_eq!((old.answer().await.unwrap(), new.answer().await.unwrap()), (b":1\r\n".to_vec(), b":1\r\n".to_vec()));
}

#[tokio::test]
async fn of_a_connection_that_is_half_open_one_direction_goes_on() {
    let (server, proxy) = rig().await;
    let mut client = Client::to(&proxy).await;
    proxy.to_client(Fault::Blackhole);
    client.send(&["INCR", "asked"]).await;
    assert!(client.hears_nothing().await);
    assert_eq!(server.command(&["GET", "asked"]).unwrap(), "1");
    proxy.to_server(Fault::Blackhole);
    proxy.to_client(Fault::None);
    assert_eq!(client.answer().await.unwrap(), b":1\r\n");
    client.send(&["INCR", "asked"]).await;
    assert!(client.hears_nothing().await);
    assert_eq!(server.command(&["GET", "asked"]).unwrap(), "1");
}

#[tokio::test]
async fn a_connection_is_reset_after_so_many_bytes() {
    let (_server, proxy) = rig().await;
    let mut client = Client::to(&proxy).await;
    client.ask(&["SET", "long", &"x".repeat(10_000)]).await;
    proxy.to_client(Fault::ResetAfter(2_500));
    client.send(&["GET", "long"]).await;
    let (all, end) = client.rest().await;
    assert_eq!(end.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
    // What had not been read is lost with it.
    assert!(all.len() <= 2_500, "{}", all.len());
    let mut next = Client::to(&proxy).await;
    assert_eq!(next.ask(&["PING"]).await, "+PONG\r\n");
    proxy.to_server(Fault::ResetAfter(5));
    next.send(&["PING"]).await;
    assert!(next.answer().await.is_err());
}

#[tokio::test]
async fn a_throttle_lets_so_many_bytes_through_in_a_second() {
    let (_server, proxy) = rig().await;
    let mut client = Client::to(&proxy).await;
    client.ask(&["SET", "long", &"x".repeat(10_000)]).await;
    proxy.to_client(Fault::Throttle(20_000));
    let began = Instant::now();
    assert_eq!(client.ask(&["GET", "long"]).await.len(), 10_000 + 10);
    assert!(began.elapsed() >= Duration::from_millis(450), "{:?}", began.elapsed());
    proxy.to_client(Fault::Throttle(1));
    client.send(&["GET", "long"]).await;
    assert!(client.hears_nothing().await);
    proxy.heal().await;
    assert_eq!(client.answer().await.unwrap().len(), 10_000 + 10, "what it held back comes when it ends");
}

#[tokio::test]
async fn a_command_is_delivered_twice_and_answered_once() {
    let (server, proxy) = rig().await;
    let mut client = Client::to(&proxy).await;
    for (pause, key) in [(Duration::ZERO, "at once"), (Duration::from_millis(200), "late")] {
        proxy.to_server(Fault::Duplicate(pause));
        let began = Instant::now();
        client.send(&["INCR", key]).await;
        client.answer().await.unwrap();
        while server.command(&["GET", key]).unwrap() != "2" {
            assert!(began.elapsed() < PATIENCE, "{key}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert!(began.elapsed() >= pause);
        assert!(client.hears_nothing().await);
        proxy.heal().await;
        client.ask(&["INCR", key]).await;
        assert_eq!(server.command(&["GET", key]).unwrap(), "3");
    }
    // It outlives the connection that it came by.
    proxy.to_server(Fault::Duplicate(A_WHILE));
    client.ask(&["INCR", "orphan"]).await;
    drop(client);
    let began = Instant::now();
    while server.command(&["GET", "orphan"]).unwrap() != "2" {
        assert!(began.elapsed() < PATIENCE);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn one_byte_of_so_many_is_another() {
    let (server, proxy) = rig().await;
    let mut client = Client::to(&proxy).await;
    let sent = "x".repeat(1000);
    client.ask(&["SET", "key", &sent]).await;
    proxy.to_client(Fault::Corrupt(100));
    let answer = {
        client.send(&["GET", "key"]).await;
        client.answer().await.unwrap()
    };
    let whole = format!("$1000\r\n{sent}\r\n");
    let differ = answer.iter().zip(whole.as_bytes()).filter(|(one, other)| one != other).count();
    assert_eq!((answer.len(), differ), (whole.len(), whole.len() / 100));
    assert_eq!(server.command(&["GET", "key"]).unwrap(), sent);
}

#[tokio::test]
async fn everything_arrives_so_much_later_and_not_one_after_the_other() {
    let (_server, proxy) = rig().await;
    let mut client = Client::to(&proxy).await;
    proxy.both(Fault::Delay(Duration::from_millis(100)));
    let began = Instant::now();
    for _ in 0..200 {
        client.send(&["PING"]).await;
    }
    for _ in 0..200 {
        assert_eq!(client.answer().await.unwrap(), b"+PONG\r\n");
    }
    let took = began.elapsed();
    assert!(took >= Duration::from_millis(200) && took < Duration::from_secs(10), "{took:?}");
}

#[tokio::test]
async fn connections_are_refused_and_those_that_stand_go_on() {
    let (_server, proxy) = rig().await;
    let mut old = Client::to(&proxy).await;
    old.ask(&["PING"]).await;
    for _ in 0..3 {
        proxy.refuse().await;
        let error = Client::try_to(&proxy).await.err().expect("no connection");
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
        assert_eq!(old.ask(&["PING"]).await, "+PONG\r\n");
        proxy.heal().await;
        assert_eq!(Client::to(&proxy).await.ask(&["PING"]).await, "+PONG\r\n");
    }
    proxy.cut();
    assert!(old.answer().await.is_err());
    assert_eq!(Client::to(&proxy).await.ask(&["PING"]).await, "+PONG\r\n");
}

#[test]
fn messages_are_whole_however_they_arrive() {
    let messages: [&[u8]; 5] =
        [b"*2\r\n$3\r\nGET\r\n$4\r\n\r\n\r\n\r\n", b"$-1\r\n", b"+OK\r\n", b"*0\r\n", b"*2\r\n*1\r\n:7\r\n$0\r\n\r\n"];
    let stream = messages.concat();
    for size in 1..=stream.len() {
        let mut frames = Frames::default();
        let cut: Vec<Vec<u8>> = stream.chunks(size).flat_map(|chunk| frames.add(chunk)).collect();
        assert_eq!(cut, messages, "in chunks of {size}");
    }
}

#[test]
fn what_is_no_message_is_not_cut() {
    let mut frames = Frames::default();
    assert!(frames.add(b"GET / HTTP/1.1\r\n\r\n").is_empty());
    assert!(frames.add(b"+OK\r\n").is_empty());
}
