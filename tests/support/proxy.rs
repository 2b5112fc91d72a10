//! A proxy between an instance and what it needs, in which connections break, wait, or fall silent, and publications
//! get lost. A lost publication goes to a name nobody listens to, of the same length, so that the sender gets its
//! answer and no other answer changes its place.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::random::Random;

/// What a proxy does with its connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Line {
    /// Passes everything on.
    Open,
    /// Cuts what is there and takes nothing new.
    Cut,
    /// Takes all and passes nothing on.
    Silent,
}

/// Which publications get lost.
#[derive(Clone)]
pub(crate) enum Loss {
    None,
    All,
    /// So many of a hundred.
    Share(u64, Random),
    /// The next so many that contain this.
    Next(usize, Vec<u8>),
}

/// A running proxy; ends with the test's runtime.
#[derive(Clone)]
pub(crate) struct Proxy(Arc<Inner>);

struct Inner {
    address: SocketAddr,
    target: SocketAddr,
    line: watch::Sender<Line>,
    /// Counts up to end the connections of the moment.
    cuts: watch::Sender<u64>,
    delay_ms: AtomicU64,
    loss: Mutex<Loss>,
    lost: AtomicU64,
    published: AtomicU64,
}

impl Proxy {
    /// To a server on this port of the loopback.
    pub(crate) async fn to(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let proxy = Self(Arc::new(Inner {
            address: listener.local_addr().unwrap(),
            target: ([127, 0, 0, 1], port).into(),
            line: watch::Sender::new(Line::Open),
            cuts: watch::Sender::new(0),
            delay_ms: AtomicU64::new(0),
            loss: Mutex::new(Loss::None),
            lost: AtomicU64::new(0),
            published: AtomicU64::new(0),
        }));
        let accepting = proxy.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(accepting.clone().connection(client));
            }
        });
        proxy
    }

    pub(crate) fn port(&self) -> u16 {
        self.0.address.port()
    }

    pub(crate) fn set(&self, line: Line) {
        self.0.line.send_replace(line);
    }

    /// Ends the connections of the moment; new ones are welcome.
    pub(crate) fn cut(&self) {
        self.0.cuts.send_modify(|cuts| *cuts += 1);
    }

    /// From now on commands arrive later by this.
    pub(crate) fn delay(&self, delay: Duration) {
        self.0.delay_ms.store(u64::try_from(delay.as_millis()).expect("a short delay"), Ordering::Relaxed);
    }

    pub(crate) fn lose(&self, loss: Loss) {
        *self.0.loss.lock().unwrap() = loss;
    }

    /// How many publications were lost so far.
    pub(crate) fn lost(&self) -> u64 {
        self.0.lost.load(Ordering::Relaxed)
    }

    /// How many there were, lost ones included.
    pub(crate) fn published(&self) -> u64 {
        self.0.published.load(Ordering::Relaxed)
    }

    async fn connection(self, client: TcpStream) {
        let mut line = self.0.line.subscribe();
        let mut cuts = self.0.cuts.subscribe();
        if *line.borrow() == Line::Cut {
            return;
        }
        let Ok(server) = TcpStream::connect(self.0.target).await else { return };
        // Else the kernels of both sides wait for each other, 40 ms at a time.
        if client.set_nodelay(true).and(server.set_nodelay(true)).is_err() {
            return;
        }
        let (from_client, to_client) = client.into_split();
        let (from_server, to_server) = server.into_split();
        let there = self.clone().pass(from_client, to_server, true);
        let back = self.clone().pass(from_server, to_client, false);
        tokio::select! {
            () = there => {}
            () = back => {}
            _ = cuts.changed() => {}
            _ = line.wait_for(|line| *line == Line::Cut) => {}
        }
    }

    async fn pass(self, mut from: OwnedReadHalf, mut to: OwnedWriteHalf, commands: bool) {
        let (queue, mut due) = mpsc::channel::<(Instant, Vec<u8>)>(1024);
        let mut line = self.0.line.subscribe();
        let write = async {
            while let Some((when, bytes)) = due.recv().await {
                tokio::time::sleep_until(when).await;
                if line.wait_for(|line| *line != Line::Silent).await.is_err() || to.write_all(&bytes).await.is_err() {
                    return;
                }
            }
        };
        let read = async {
            let mut parser = Parser::default();
            let mut bytes = vec![0; 64 << 10];
            while let Ok(length @ 1..) = from.read(&mut bytes).await {
                let whole = if commands {
                    parser.take(&bytes[..length], |c| self.command(c))
                } else {
                    bytes[..length].to_vec()
                };
                let delay = if commands { self.0.delay_ms.load(Ordering::Relaxed) } else { 0 };
                if queue.send((Instant::now() + Duration::from_millis(delay), whole)).await.is_err() {
                    return;
                }
            }
        };
        tokio::select! {
            () = read => {}
            () = write => {}
        }
    }

    /// Looks at one command, and gives the name it publishes to another one if it is to get lost.
    fn command(&self, command: &mut Command<'_>) {
        let name = command.part(0).to_ascii_uppercase();
        if (name != b"PUBLISH" && name != b"SPUBLISH") || command.parts.len() != 3 {
            return;
        }
        self.0.published.fetch_add(1, Ordering::Relaxed);
        let lost = match &mut *self.0.loss.lock().unwrap() {
            Loss::None => false,
            Loss::All => true,
            Loss::Share(share, random) => random.percent(*share),
            Loss::Next(left, needle) => {
                let hit = *left > 0 && command.part(2).windows(needle.len()).any(|part| part == &needle[..]);
                *left -= usize::from(hit);
                hit
            }
        };
        if lost {
            self.0.lost.fetch_add(1, Ordering::Relaxed);
            let (start, end) = command.parts[1];
            command.bytes[start..end].fill(b'~');
        }
    }
}

/// One command of a client: its bytes, and where its parts lie in them.
struct Command<'a> {
    bytes: &'a mut [u8],
    parts: Vec<(usize, usize)>,
}

impl Command<'_> {
    fn part(&self, n: usize) -> &[u8] {
        self.parts.get(n).map_or(&[], |&(start, end)| &self.bytes[start..end])
    }
}

/// Cuts what a client says into commands: arrays of texts, as all clients send them, across reads. What is no
/// command passes as it is.
#[derive(Default)]
struct Parser {
    rest: Vec<u8>,
}

impl Parser {
    /// The bytes that can go on: whole commands, each looked at once.
    fn take(&mut self, bytes: &[u8], mut look: impl FnMut(&mut Command<'_>)) -> Vec<u8> {
        self.rest.extend_from_slice(bytes);
        let mut done = 0;
        while done < self.rest.len() {
            if self.rest[done] != b'*' {
                done = self.rest.len(); // no client's command: PostgreSQL, or nonsense
                break;
            }
            let Some((parts, length)) = parts(&self.rest[done..]) else { break };
            let end = done + length;
            look(&mut Command { bytes: &mut self.rest[done..end], parts });
            done = end;
        }
        self.rest.drain(..done).collect()
    }
}

/// Where the parts of a command lie, and how long it is, if all of it is there.
fn parts(bytes: &[u8]) -> Option<(Vec<(usize, usize)>, usize)> {
    let (count, mut at) = number(bytes, 0)?;
    let mut parts = Vec::with_capacity(count);
    for _ in 0..count {
        let (length, start) = number(bytes, at)?;
        parts.push((start, start + length));
        at = start + length + 2;
    }
    (at <= bytes.len()).then_some((parts, at))
}

/// The number of a line such as `$12`, and where the next one begins.
fn number(bytes: &[u8], at: usize) -> Option<(usize, usize)> {
    let line = bytes.get(at + 1..)?;
    let end = line.windows(2).position(|two| two == b"\r\n")?;
    let number = std::str::from_utf8(&line[..end]).ok()?.parse().ok()?;
    Some((number, at + 1 + end + 2))
}

#[test]
fn commands_are_found_however_they_are_cut() {
    let said = b"*3\r\n$7\r\nPUBLISH\r\n$1\r\na\r\n$6\r\n1\r\n2\r\n\r\n*1\r\n$4\r\nPING\r\n*3\r\n$8\r\nspublish\r\n$2\r\nbc\r\n$0\r\n\r\n";
    for cut in 1..said.len() {
        let mut parser = Parser::default();
        let mut names = Vec::new();
        let mut passed = Vec::new();
        for part in said.chunks(cut) {
            passed.extend(parser.take(part, |command| names.push(command.part(1).to_vec())));
        }
        assert_eq!(names, [b"a".to_vec(), Vec::new(), b"bc".to_vec()], "in pieces of {cut}");
        assert_eq!(passed, said, "in pieces of {cut}");
    }
}
