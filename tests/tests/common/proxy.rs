//! A TCP proxy in front of a Redis, which goes wrong as it is told to while it runs.
//!
//! Each direction has a [`Fault`] of its own, for all connections, from one moment to the next. What holds:
//!
//! - without a fault every byte arrives, in its order;
//! - what a fault held back arrives when the fault ends, as it does on a real network, unless the connection has been cut off meanwhile;
//! - whatever reaches the proxy is counted, also what goes no further.
#![allow(dead_code, reason = "no test uses all of it")]

#[path = "resp.rs"]
pub(crate) mod resp;

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::io::AsyncReadExt as _;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;
use tokio::net::TcpSocket;
use tokio::net::TcpStream;
use tokio::net::tcp::ReadHalf;
use tokio::net::tcp::WriteHalf;
use tokio::sync::mpsc;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio::time::sleep_until;

use self::resp::Frames;

/// What happens to one direction of every connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Fault {
    #[default]
    None,
    /// Connections are accepted, and nothing goes through. In one direction alone that is a connection that is half open.
    Blackhole,
    /// A connection is reset when so many more bytes have gone through it.
    ResetAfter(u64),
    /// So many bytes go through in a second.
    Throttle(u64),
    /// Every command is delivered once more, so much later and over another connection. Only towards the server.
    Duplicate(Duration),
    /// Of so many bytes one is another: a bit of it is flipped.
    Corrupt(u64),
    /// Everything arrives so much later.
    Delay(Duration),
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Proxy {
    address: SocketAddr,
    /// Keeps the port while connections are refused.
    _reserved: TcpSocket,
    lanes: Lanes,
    traffic: Arc<Traffic>,
    accepting: tokio::sync::Mutex<Option<JoinHandle<()>>>,
    server: watch::Sender<SocketAddr>,
}

/// The state of both directions, and how often all connections were cut off.
#[derive(Clone, Debug)]
struct Lanes {
    to_server: watch::Sender<Fault>,
    to_client: watch::Sender<Fault>,
    cuts: watch::Sender<u64>,
}

/// What the proxy has seen so far.
#[derive(Debug, Default)]
struct Traffic {
    connections: AtomicU64,
    commands: AtomicU64,
    from_client: AtomicU64,
    from_server: AtomicU64,
}

/// What a proxy has seen so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) connections: u64,
    /// Whole commands that clients have sent.
    pub(crate) commands: u64,
    pub(crate) from_client: u64,
    pub(crate) from_server: u64,
}

impl Proxy {
    /// A proxy without faults in front of the server at `url`.
    pub(crate) async fn before(url: &str) -> Self {
        let server = watch::Sender::new(address(url));
        let reserved = socket();
        reserved.bind(([127, 0, 0, 1], 0).into()).expect("a free port");
        let address = reserved.local_addr().expect("a port");
        let (to_server, to_client) = (watch::Sender::default(), watch::Sender::default());
        let lanes = Lanes { to_server, to_client, cuts: watch::Sender::new(0) };
        let accepting = tokio::sync::Mutex::default();
        let proxy = Self { address, _reserved: reserved, lanes, traffic: Arc::default(), accepting, server };
        proxy.accept().await;
        proxy
    }

    /// Its address, as a cache takes it.
    pub(crate) fn url(&self) -> String {
        format!("redis://{}", self.address)
    }

    /// The address of a list of servers of Memcached, each behind one of `ways`.
    pub(crate) fn memcached_url(ways: &[Self]) -> String {
        let addresses: Vec<String> = ways.iter().map(|way| way.address.to_string()).collect();
        format!("memcached://{}", addresses.join(","))
    }

    /// From here on, this happens to what clients send.
    pub(crate) fn to_server(&self, fault: Fault) {
        self.lanes.to_server.send_replace(fault);
    }

    /// From here on, this happens to what the server sends.
    pub(crate) fn to_client(&self, fault: Fault) {
        assert!(!matches!(fault, Fault::Duplicate(_)), "an answer is not delivered twice");
        self.lanes.to_client.send_replace(fault);
    }

    /// From here on, this happens to both.
    pub(crate) fn both(&self, fault: Fault) {
        self.to_server(fault);
        self.to_client(fault);
    }

    /// New connections are to the server at `url` from here on.
    pub(crate) fn turn_to(&self, url: &str) {
        self.server.send_replace(address(url));
    }

    /// Resets every connection.
    pub(crate) fn cut(&self) {
        self.lanes.cuts.send_modify(|cuts| *cuts += 1);
    }

    /// Refuses connections from here on. Those that stand go on.
    pub(crate) async fn refuse(&self) {
        if let Some(accepting) = self.accepting.lock().await.take() {
            accepting.abort();
            // Until then the listener is open.
            let _ = accepting.await;
        }
    }

    /// Accepts connections again.
    pub(crate) async fn accept(&self) {
        let mut accepting = self.accepting.lock().await;
        if accepting.is_none() {
            let socket = socket();
            socket.bind(self.address).expect("the reserved port");
            let listener = socket.listen(1024).expect("to listen");
            *accepting =
                Some(tokio::spawn(serve(listener, self.server.subscribe(), self.lanes.clone(), self.traffic.clone())));
        }
    }

    /// Ends every fault, and accepts connections.
    pub(crate) async fn heal(&self) {
        self.both(Fault::None);
        self.accept().await;
    }

    pub(crate) fn seen(&self) -> Seen {
        let count = |count: &AtomicU64| count.load(Ordering::SeqCst);
        let Traffic { connections, commands, from_client, from_server } = &*self.traffic;
        Seen {
            connections: count(connections),
            commands: count(commands),
            from_client: count(from_client),
            from_server: count(from_server),
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        if let Some(accepting) = self.accepting.get_mut().take() {
            accepting.abort();
        }
        self.cut();
    }
}

/// One that may share its port with the one that only keeps it.
fn socket() -> TcpSocket {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_reuseaddr(true).expect("a socket that shares its port");
    socket
}

fn address(url: &str) -> SocketAddr {
    let address = url.strip_prefix("redis://").or_else(|| url.strip_prefix("memcached://"));
    address.expect("the address of a server").parse().expect("an address")
}

async fn serve(listener: TcpListener, server: watch::Receiver<SocketAddr>, lanes: Lanes, traffic: Arc<Traffic>) {
    // Failing to accept one connection says nothing of the next.
    loop {
        if let Ok((client, _)) = listener.accept().await {
            traffic.connections.fetch_add(1, Ordering::SeqCst);
            tokio::spawn(connection(client, *server.borrow(), lanes.clone(), traffic.clone()));
        }
    }
}

/// One connection, until both sides have closed it or it is cut off.
async fn connection(mut client: TcpStream, address: SocketAddr, lanes: Lanes, traffic: Arc<Traffic>) {
    let mut cuts = lanes.cuts.subscribe();
    let mut to_server = Lane::new(lanes.to_server.subscribe());
    let mut to_client = Lane::new(lanes.to_client.subscribe());
    // The client of a server that is not there is told so.
    let Ok(mut server) = TcpStream::connect(address).await else { return reset(&client) };
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let late = Late::start(address);
    let ended = {
        let ((from_client, client), (from_server, server)) = (client.split(), server.split());
        let commands = |arrived: &[u8], frames: &mut Frames, fault| {
            traffic.from_client.fetch_add(arrived.len() as u64, Ordering::SeqCst);
            for command in frames.add(arrived) {
                traffic.commands.fetch_add(1, Ordering::SeqCst);
                if let Fault::Duplicate(pause) = fault {
                    late.deliver(command, pause);
                }
            }
        };
        let mut frames = Frames::default();
        let there = to_server.pump(from_client, server, |arrived, fault| commands(arrived, &mut frames, fault));
        let back = to_client.pump(from_server, client, |arrived, _| {
            traffic.from_server.fetch_add(arrived.len() as u64, Ordering::SeqCst);
        });
        tokio::select! {
            ended = async { tokio::try_join!(there, back) } => ended.map(drop),
            _ = cuts.changed() => Err(io::ErrorKind::ConnectionReset.into()),
        }
    };
    if ended.is_err() {
        reset(&client);
        reset(&server);
    }
}

/// Closes with an RST rather than a FIN.
fn reset(stream: &TcpStream) {
    // One that is closed already needs none.
    let _ = stream.set_zero_linger();
}

/// One direction of a connection.
struct Lane {
    fault: watch::Receiver<Fault>,
    /// What is on its way, and when it came.
    queue: VecDeque<(Instant, Vec<u8>)>,
    queued: usize,
    /// Bytes that went on under the fault of now.
    passed: u64,
    /// When the last of them went on.
    last: Instant,
}

impl Lane {
    fn new(fault: watch::Receiver<Fault>) -> Self {
        Self { fault, queue: VecDeque::new(), queued: 0, passed: 0, last: Instant::now() }
    }

    /// Carries everything on, until one side has closed and the other has all of it.
    async fn pump(
        &mut self,
        mut from: ReadHalf<'_>,
        mut to: WriteHalf<'_>,
        mut arrives: impl FnMut(&[u8], Fault),
    ) -> io::Result<()> {
        let mut buffer = vec![0; MOST_QUEUED];
        let mut open = true;
        while open || !self.queue.is_empty() {
            let fault = *self.fault.borrow_and_update();
            let due = self.due(fault);
            let room = MOST_QUEUED - self.queued;
            tokio::select! {
                changed = self.fault.changed() => {
                    self.passed = 0;
                    // The proxy is gone, and so is this in a moment.
                    changed.map_err(|_| io::ErrorKind::ConnectionReset)?;
                }
                read = from.read(&mut buffer[..room]), if open && room > 0 => {
                    let count = read?;
                    open = count > 0;
                    let fault = *self.fault.borrow();
                    arrives(&buffer[..count], fault);
                    self.queue(&mut buffer[..count], fault);
                }
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {
                    let Some((_, bytes)) = self.queue.pop_front() else { continue };
                    self.queued -= bytes.len();
                    self.send(&mut to, &bytes, fault).await?;
                }
            }
        }
        // The other side may have closed first.
        let _ = to.shutdown().await;
        Ok(())
    }

    /// Appends what came, in pieces that a throttle lets through one at a time.
    fn queue(&mut self, bytes: &mut [u8], fault: Fault) {
        if let Fault::Corrupt(every) = fault {
            for byte in bytes.iter_mut() {
                self.passed += 1;
                if self.passed.is_multiple_of(every) {
                    *byte ^= 1 << (self.passed / every % 8);
                }
            }
        }
        let now = Instant::now();
        self.queued += bytes.len();
        self.queue.extend(bytes.chunks(PIECE).map(|piece| (now, piece.to_vec())));
    }

    /// When the next piece goes on, if the fault lets it.
    fn due(&self, fault: Fault) -> Option<Instant> {
        let (came, next) = self.queue.front()?;
        match fault {
            Fault::Blackhole => None,
            Fault::Delay(pause) => Some(*came + pause),
            Fault::Throttle(rate) => Some(self.last + Duration::from_secs_f64(next.len() as f64 / rate as f64)),
            _ => Some(*came),
        }
    }

    async fn send(&mut self, to: &mut WriteHalf<'_>, bytes: &[u8], fault: Fault) -> io::Result<()> {
        self.last = Instant::now();
        let Fault::ResetAfter(most) = fault else { return to.write_all(bytes).await };
        let left = usize::try_from(most - self.passed).unwrap_or(usize::MAX);
        if left <= bytes.len() {
            to.write_all(&bytes[..left]).await?;
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        self.passed += bytes.len() as u64;
        to.write_all(bytes).await
    }
}

/// A second connection, for commands that are delivered again.
struct Late {
    commands: mpsc::UnboundedSender<(Instant, Vec<u8>)>,
}

impl Late {
    fn start(server: SocketAddr) -> Self {
        let (commands, asked) = mpsc::unbounded_channel();
        tokio::spawn(repeat(server, asked));
        Self { commands }
    }

    fn deliver(&self, command: Vec<u8>, pause: Duration) {
        // A server that is gone is told nothing twice.
        let _ = self.commands.send((Instant::now() + pause, command));
    }
}

/// Sends each command when its time has come, and throws the answers away.
async fn repeat(server: SocketAddr, mut asked: mpsc::UnboundedReceiver<(Instant, Vec<u8>)>) {
    let Some(mut next) = asked.recv().await else { return };
    let Ok(stream) = TcpStream::connect(server).await else { return };
    let (mut answers, mut to) = stream.into_split();
    let reading = tokio::spawn(async move { tokio::io::copy(&mut answers, &mut tokio::io::sink()).await });
    loop {
        sleep_until(next.0).await;
        if to.write_all(&next.1).await.is_err() {
            break;
        }
        let Some(more) = asked.recv().await else { break };
        next = more;
    }
    drop(to);
    // Until then the server might not have read all of it.
    let _ = reading.await;
}

const PIECE: usize = 256;
const MOST_QUEUED: usize = 64 * 1024;
