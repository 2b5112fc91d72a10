//! A connection of the load: a non-blocking socket, and of its bytes only what is incomplete.

use std::io::{self, Read, Write};
use std::net::SocketAddr;

use mio::net::TcpStream;

use super::answers::{self, Answer};
use super::frames::{self, Opcode, Taken};

/// What a connection heard.
#[derive(Debug)]
pub(crate) enum Incoming<'a> {
    /// The server took the upgrade.
    Upgraded,
    /// A text frame's payload.
    Text(&'a [u8]),
    /// An answer by HTTP, also one that refuses an upgrade.
    Answer { status: u16, head: &'a [u8], body: &'a [u8] },
    /// It is over, and this is why.
    Closed(String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Connecting,
    Upgrading,
    Socket,
    Http,
    Closed,
}

/// One connection.
#[derive(Debug)]
pub(crate) struct Link {
    pub(super) stream: TcpStream,
    phase: Phase,
    upgrade: bool,
    unread: Vec<u8>,
    unsent: Vec<u8>,
}

impl Link {
    /// Begins to connect; `first` is said as soon as there is a connection.
    pub(super) fn connect(address: SocketAddr, first: Vec<u8>, upgrade: bool) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, phase: Phase::Connecting, upgrade, unread: Vec::new(), unsent: first })
    }

    /// Whether frames or answers can come.
    pub(crate) fn is_closed(&self) -> bool {
        self.phase == Phase::Closed
    }

    /// Says a text frame.
    pub(crate) fn text(&mut self, payload: &[u8]) {
        self.send(&frames::text(payload));
    }

    /// Sends bytes as they are; what the kernel does not take now waits.
    pub(crate) fn send(&mut self, bytes: &[u8]) {
        let sent = if self.unsent.is_empty() && self.phase != Phase::Connecting {
            self.stream.write(bytes).unwrap_or(0)
        } else {
            0
        };
        self.unsent.extend_from_slice(&bytes[sent..]);
    }

    /// The socket can be written: connected, or there is room again.
    pub(super) fn writable(&mut self) -> io::Result<()> {
        if self.phase == Phase::Connecting {
            if let Some(error) = self.stream.take_error()? {
                return Err(error);
            }
            match self.stream.peer_addr() {
                Ok(_) => self.phase = if self.upgrade { Phase::Upgrading } else { Phase::Http },
                Err(error) if error.kind() == io::ErrorKind::NotConnected => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        while !self.unsent.is_empty() {
            match self.stream.write(&self.unsent) {
                Ok(sent) => drop(self.unsent.drain(..sent)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.unsent = Vec::new(); // thousands of them hold no memory
        Ok(())
    }

    /// Reads what there is, and tells what it was.
    pub(super) fn readable(&mut self, scratch: &mut [u8], on: &mut impl FnMut(&mut Self, Incoming<'_>)) {
        loop {
            if self.is_closed() {
                return;
            }
            match self.stream.read(scratch) {
                Ok(0) => return self.close("the server closed the connection".to_owned(), on),
                Ok(length) => {
                    self.heard(&scratch[..length], on);
                    // Less than there was room for: the rest, if any, is another edge.
                    if length < scratch.len() {
                        return;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return self.close(error.to_string(), on),
            }
        }
    }

    pub(super) fn close(&mut self, why: String, on: &mut impl FnMut(&mut Self, Incoming<'_>)) {
        if !self.is_closed() {
            self.phase = Phase::Closed;
            on(self, Incoming::Closed(why));
        }
    }

    fn heard(&mut self, bytes: &[u8], on: &mut impl FnMut(&mut Self, Incoming<'_>)) {
        if self.unread.is_empty() {
            let used = self.take(bytes, on);
            if used < bytes.len() && !self.is_closed() {
                self.unread = bytes[used..].to_vec();
            }
            return;
        }
        let mut whole = std::mem::take(&mut self.unread);
        whole.extend_from_slice(bytes);
        let used = self.take(&whole, on);
        if used < whole.len() && !self.is_closed() {
            whole.drain(..used);
            self.unread = whole;
        }
    }

    /// Tells all that is complete, and returns how many bytes that were.
    fn take(&mut self, bytes: &[u8], on: &mut impl FnMut(&mut Self, Incoming<'_>)) -> usize {
        let mut used = 0;
        while used < bytes.len() && !self.is_closed() {
            let rest = &bytes[used..];
            let taken = if self.phase == Phase::Socket { self.frame(rest, on) } else { self.answer(rest, on) };
            if taken == 0 {
                break;
            }
            used += taken;
        }
        used
    }

    fn frame(&mut self, bytes: &[u8], on: &mut impl FnMut(&mut Self, Incoming<'_>)) -> usize {
        match frames::take(bytes) {
            Taken::Frame(Opcode::Text, payload, length) => {
                on(self, Incoming::Text(payload));
                length
            }
            Taken::Frame(Opcode::Ping, payload, length) => {
                self.send(&frames::pong(payload));
                length
            }
            Taken::Frame(Opcode::Pong, _, length) => length,
            Taken::Frame(Opcode::Close, payload, length) => {
                let code = payload.get(..2).map_or(1005, |code| u16::from_be_bytes([code[0], code[1]]));
                let reason = String::from_utf8_lossy(payload.get(2..).unwrap_or_default());
                self.close(format!("closed with {code} {reason}"), on);
                length
            }
            Taken::Partial => 0,
            Taken::Broken => {
                self.close("a frame this client does not understand".to_owned(), on);
                0
            }
        }
    }

    fn answer(&mut self, bytes: &[u8], on: &mut impl FnMut(&mut Self, Incoming<'_>)) -> usize {
        match answers::take(bytes) {
            Answer::Whole { status: 101, length, .. } if self.phase == Phase::Upgrading => {
                self.phase = Phase::Socket;
                on(self, Incoming::Upgraded);
                length
            }
            Answer::Whole { status, head, body, length } => {
                on(self, Incoming::Answer { status, head, body });
                length
            }
            Answer::Partial => 0,
            Answer::Broken => {
                self.close("an answer this client does not understand".to_owned(), on);
                0
            }
        }
    }
}
