//! The load: one thread with one poll over all its connections, so that it costs less than any server it asks.
//! It knows WebSocket frames and HTTP answers, and nothing of what is in them.

mod answers;
pub(crate) mod frames;
mod link;
mod pace;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mio::{Events, Interest, Poll, Token, Waker};

use crate::measure;

pub(crate) use answers::header;
pub(crate) use link::{Incoming, Link};
pub(crate) use pace::{Pace, Schedule};

/// What one read takes at most.
const SCRATCH: usize = 256 << 10;
/// What one look at the sockets finds at most.
const EVENTS: usize = 1024;
const WAKER: Token = Token(usize::MAX);

/// All connections, by number.
pub(crate) struct Links {
    poll: Poll,
    events: Events,
    waker: Arc<Waker>,
    all: Vec<Option<Link>>,
    /// If it does not sleep: how often it looks.
    look: Option<Duration>,
    looked: Instant,
    scratch: Vec<u8>,
}

impl Links {
    /// None yet. One that looks so often instead of sleeping has to have a core to itself; whoever sends to it then never pays
    /// for waking it up.
    pub(crate) fn new(look: Option<Duration>) -> io::Result<Self> {
        let poll = Poll::new()?;
        let waker = Arc::new(Waker::new(poll.registry(), WAKER)?);
        let events = Events::with_capacity(EVENTS);
        Ok(Self { poll, events, waker, all: Vec::new(), look, looked: Instant::now(), scratch: vec![0; SCRATCH] })
    }

    /// What ends a wait from another thread.
    pub(crate) fn waker(&self) -> Arc<Waker> {
        Arc::clone(&self.waker)
    }

    /// Begins a WebSocket by this request, and returns its number.
    pub(crate) fn socket(&mut self, address: SocketAddr, request: &Request<'_>) -> io::Result<usize> {
        let number = self.all.len();
        self.all.push(None);
        self.again(number, address, request)?;
        Ok(number)
    }

    /// The same under a number whose connection is over.
    pub(crate) fn again(&mut self, number: usize, address: SocketAddr, request: &Request<'_>) -> io::Result<()> {
        let link = Link::connect(address, request.upgrade(address), true)?;
        self.put(number, link)
    }

    /// Begins a connection for calls by HTTP.
    pub(crate) fn http(&mut self, address: SocketAddr) -> io::Result<usize> {
        let number = self.all.len();
        self.all.push(None);
        self.put(number, Link::connect(address, Vec::new(), false)?)?;
        Ok(number)
    }

    fn put(&mut self, number: usize, mut link: Link) -> io::Result<()> {
        let interest = Interest::READABLE | Interest::WRITABLE;
        self.poll.registry().register(&mut link.stream, Token(number), interest)?;
        self.all[number] = Some(link);
        Ok(())
    }

    /// The connection of this number, unless it is over.
    pub(crate) fn get(&mut self, number: usize) -> Option<&mut Link> {
        self.all.get_mut(number)?.as_mut()
    }

    /// Closes it without a word.
    pub(crate) fn cut(&mut self, number: usize) {
        self.all[number] = None;
    }

    fn wait(&mut self, most: Duration) -> io::Result<()> {
        let begin = Instant::now();
        loop {
            // The kernel has work for this core, too, such as what a disk has done.
            while self.look.is_some_and(|pause| self.looked.elapsed() < pause) {
                std::thread::yield_now();
            }
            self.looked = Instant::now();
            let sleep = if self.look.is_some() { Duration::ZERO } else { most };
            match self.poll.poll(&mut self.events, Some(sleep)) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(()),
                other => other?,
            }
            let waited = begin.elapsed();
            if !self.events.is_empty() || waited >= most {
                if self.look.is_some() {
                    measure::rested(waited);
                }
                return Ok(());
            }
            std::thread::yield_now();
        }
    }

    /// Waits for something at most for so long, and tells all that came.
    pub(crate) fn turn(
        &mut self,
        wait: Duration,
        mut on: impl FnMut(usize, &mut Link, Incoming<'_>),
    ) -> io::Result<()> {
        self.wait(wait)?;
        for event in &self.events {
            let Token(number) = event.token();
            let Some(Some(link)) = self.all.get_mut(number) else { continue };
            let mut on = |link: &mut Link, what: Incoming<'_>| on(number, link, what);
            if event.is_writable()
                && let Err(error) = link.writable()
            {
                link.close(error.to_string(), &mut on);
            }
            if event.is_readable() || event.is_error() || event.is_read_closed() {
                link.readable(&mut self.scratch, &mut on);
            }
            if link.is_closed() {
                self.all[number] = None;
            }
        }
        Ok(())
    }
}

/// What a WebSocket begins with.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Request<'a> {
    pub(crate) path: &'a str,
    pub(crate) token: Option<&'a str>,
}

impl Request<'_> {
    fn upgrade(&self, address: SocketAddr) -> Vec<u8> {
        let Self { path, token } = self;
        let authorization = token.map(|token| format!("Authorization: Bearer {token}\r\n")).unwrap_or_default();
        format!(
            "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{authorization}\r\n"
        )
        .into_bytes()
    }
}
