//! A WebSocket as a stream of text frames with deadlines: what breaks RFC 6455 becomes a close code, and a peer
//! that neither reads nor answers is given up.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::sync::Arc;
use std::time::Duration;

use socket2::SockRef;
use tokio::net::TcpStream;
use tokio::task::coop::consume_budget;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::error::{CapacityError, Error as WsError};
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocket, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Bytes, Message};

use super::outlet::Outlet;
use crate::protocol::{Close, Frame, wire};

/// tungstenite allocates its read buffer at once, keeps it, and clears it before each read: its default of 128 KiB would be
/// nearly all the memory and half the CPU of a connection. A longer frame gets a buffer of its length.
const READ_BUFFER: usize = 32;
/// What is read of the peer at once, on the stack: most frames of clients are shorter.
const AT_ONCE: usize = 2 << 10;
/// Answers to pings that may wait for a peer that does not read, in bytes.
const MOST_ANSWERS: usize = 512;
/// A ping without anything in it (RFC 6455, section 5.5.2).
const PING: &[u8] = &[0x89, 0];
/// How long the peer has to take our close frame and answer it.
const GOODBYE: Duration = Duration::from_millis(500);

/// What a peer sent.
pub(super) enum Incoming {
    /// A text frame.
    Text(Frame),
    /// A sign of life.
    Alive,
    /// Nothing more: to be closed like this, or, with none, gone already.
    End(Option<Close>),
}

/// A connection's socket.
pub(super) struct Socket {
    /// Reads; of what is written, only its own answers to pings and closes come from it.
    websocket: WebSocket<Wires>,
    /// What leaves at the next [`flush`](Self::flush).
    fed: Vec<u8>,
    patience: Duration,
}

impl Socket {
    /// A socket after its handshake, with what the peer sent behind that already. Frames of the peer have at most so many
    /// bytes, and it may take nothing of ours for no longer than `patience`.
    pub(super) fn new(stream: TcpStream, received: &[u8], frame_bytes: usize, patience: Duration) -> Self {
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER)
            .write_buffer_size(0)
            .max_write_buffer_size(MOST_ANSWERS)
            .max_message_size(Some(frame_bytes))
            .max_frame_size(Some(frame_bytes));
        let wires = Wires { outlet: Arc::new(Outlet::new(stream)), ahead: VecDeque::new() };
        let websocket = WebSocket::from_partially_read(wires, received.to_vec(), Role::Server, Some(config));
        Self { websocket, fed: Vec::new(), patience }
    }

    /// The way past the connection's task.
    pub(super) fn outlet(&self) -> &Arc<Outlet> {
        &self.websocket.get_ref().outlet
    }

    /// The next thing the peer sends. Safe to drop and call again.
    pub(super) async fn next(&mut self) -> Incoming {
        loop {
            // Who always has something for us gets no more than their turn.
            consume_budget().await;
            // In a call of its own, as an idle connection would else keep room for what it returns.
            if let Some(incoming) = self.read() {
                return incoming;
            }
            if self.outlet().readable().await.is_err() {
                return Incoming::End(None);
            }
        }
    }

    /// What is there of the peer; nothing until a frame is whole.
    fn read(&mut self) -> Option<Incoming> {
        Some(match self.websocket.read() {
            Ok(Message::Text(text)) => Incoming::Text(text),
            Ok(Message::Binary(_)) => Incoming::End(Some(Close::BINARY)),
            Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_)) => Incoming::Alive,
            Ok(Message::Close(_)) => Incoming::End(None),
            Err(WsError::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => return None,
            Err(error) => Incoming::End(close_for(&error)),
        })
    }

    /// Puts a frame with those that leave at the next [`flush`](Self::flush).
    pub(super) fn feed(&mut self, frame: &Frame) {
        wire::put(frame, &mut self.fed);
    }

    /// Asks the peer for a sign of life.
    pub(super) fn ping(&mut self) {
        self.fed.extend_from_slice(PING);
    }

    /// Writes what waits. A peer that takes nothing of it for two and a half heartbeats is given up; one that is
    /// merely slow is waited for.
    pub(super) async fn flush(&mut self) -> Result<(), Close> {
        if !self.fed.is_empty() {
            let fed = Bytes::from(std::mem::take(&mut self.fed));
            self.outlet().put(fed).map_err(|_| Close::NORMAL)?;
        }
        if self.outlet().try_flush().map_err(|_| Close::NORMAL)? {
            return Ok(());
        }
        // Boxed: only who is slow has to be waited for.
        match Box::pin(timeout(self.patience, self.outlet().flush())).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(Close::NORMAL),
            Err(_) => Err(Close::HEARTBEAT_TIMEOUT),
        }
    }

    /// Says how it ends, waits a moment for the peer to hear it, and closes.
    pub(super) async fn close(mut self, close: Option<Close>) {
        let goodbye = async {
            self.outlet().flush().await?;
            // Pongs that wait, or the answer to a close of the peer's; that this was the last is called an error.
            drop(self.websocket.flush());
            self.outlet().flush().await?;
            if let Some(Close { code, reason }) = close {
                let frame = CloseFrame { code: CloseCode::from(code), reason: reason.into() };
                self.websocket.close(Some(frame))?;
                self.outlet().flush().await?;
            }
            // What the peer has sent meanwhile is read and dropped: closing a socket with unread bytes resets it,
            // and the peer would not get our frame.
            let stream = self.outlet().stream();
            SockRef::from(stream).shutdown(Shutdown::Write)?;
            let mut rest = [0; 1024];
            loop {
                stream.readable().await?;
                match stream.try_read(&mut rest) {
                    Ok(0) => return Ok::<_, WsError>(()),
                    Ok(_) => {}
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    Err(error) => return Err(error.into()),
                }
            }
        };
        // Whether the peer has heard it or not, the connection ends.
        drop(timeout(GOODBYE, goodbye).await);
    }
}

/// The socket as tungstenite sees it: reads what is there, and writes whole frames into the outlet.
struct Wires {
    outlet: Arc<Outlet>,
    /// What was read and not asked for yet.
    ahead: VecDeque<u8>,
}

impl Read for Wires {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.ahead.is_empty() {
            let mut read = [0; AT_ONCE];
            let length = self.outlet.stream().try_read(&mut read)?;
            let mut rest = &read[..length];
            let taken = rest.read(buffer)?;
            self.ahead.extend(rest);
            return Ok(taken);
        }
        let taken = self.ahead.read(buffer)?;
        if self.ahead.is_empty() {
            // An idle connection keeps no list.
            self.ahead = VecDeque::new();
        }
        Ok(taken)
    }
}

impl Write for Wires {
    fn write(&mut self, frames: &[u8]) -> io::Result<usize> {
        // What does not fit stays with tungstenite, which keeps a little, and of the pongs after that only the newest.
        self.outlet.put_if_free(frames)?;
        Ok(frames.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// How to close on what a peer did wrong (RFC 6455, section 7.4.1); nothing if it is gone.
fn close_for(error: &WsError) -> Option<Close> {
    match error {
        WsError::Capacity(CapacityError::MessageTooLong { .. }) => Some(Close::TOO_LARGE),
        WsError::Utf8(_) => Some(Close::NOT_UTF8),
        WsError::Protocol(_) => Some(Close::PROTOCOL),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    /// A ping of a client with as much in it as one may hold, masked with zeros (RFC 6455, sections 5.3 and 5.5).
    fn ping() -> Vec<u8> {
        [&[0x89, 0x80 | 0x7d, 0, 0, 0, 0][..], &[b'x'; 0x7d]].concat()
    }

    #[tokio::test]
    async fn answers_that_a_peer_does_not_take_are_not_piled_up_and_it_is_still_told_the_end() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let (client, accepted) = tokio::join!(TcpStream::connect(address), listener.accept());
        let (client, (stream, _)) = (client.expect("it listens"), accepted.expect("a connection"));
        let (mut answers, mut pings) = client.into_split();
        let mut socket = Socket::new(stream, &[], 1 << 16, Duration::from_secs(5));
        let flood = ping().repeat(1000);
        let flooding = async {
            loop {
                pings.write_all(&flood).await.expect("it is read");
            }
        };
        let reading = async {
            for _ in 0..50_000 {
                assert!(matches!(socket.next().await, Incoming::Alive));
            }
        };
        tokio::select! {
            () = flooding => {}
            () = reading => {}
        }
        let unwritten = socket.outlet().unwritten();
        assert!(unwritten < 1 << 10, "{unwritten} bytes of pongs wait");
        drop(pings);
        let mut heard = Vec::new();
        let ((), read) = tokio::join!(socket.close(Some(Close::NORMAL)), answers.read_to_end(&mut heard));
        read.expect("the end");
        let goodbye = [0x88, u8::try_from(2 + Close::NORMAL.reason.len()).expect("short"), 0x03, 0xe8];
        assert!(heard.windows(4).any(|bytes| bytes == goodbye), "the last it hears is why");
    }
}
