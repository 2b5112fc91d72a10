//! A WebSocket as a stream of text frames with deadlines: what breaks RFC 6455 becomes a close code, and a peer
//! that neither reads nor answers is given up.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::error::{CapacityError, Error as WsError};
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Bytes, Message};

use super::Settings;
use crate::protocol::{Close, Frame};

/// tungstenite allocates its read buffer at once and clears it before each read: its default of 128 KiB would be
/// nearly all the memory and half the CPU of a connection.
const READ_BUFFER: usize = 1 << 10;
/// Written together when several frames wait.
const WRITE_BUFFER: usize = 16 << 10;
/// What may wait to be written. One page of messages, the largest frame, is well below it.
const MOST_UNWRITTEN: usize = 4 << 20;
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
    stream: WebSocketStream<TcpStream>,
    patience: Duration,
}

impl Socket {
    /// A socket after its handshake, with what the peer sent behind that already.
    pub(super) async fn new(stream: TcpStream, received: &[u8], settings: &Settings) -> Self {
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER)
            .write_buffer_size(WRITE_BUFFER)
            .max_write_buffer_size(MOST_UNWRITTEN)
            .max_message_size(Some(settings.limits.frame_bytes))
            .max_frame_size(Some(settings.limits.frame_bytes));
        let received = received.to_vec();
        let stream = WebSocketStream::from_partially_read(stream, received, Role::Server, Some(config)).await;
        Self { stream, patience: settings.heartbeat.mul_f32(2.5) }
    }

    /// The next thing the peer sends. Safe to drop and call again.
    pub(super) async fn next(&mut self) -> Incoming {
        match self.stream.next().await {
            Some(Ok(Message::Text(text))) => Incoming::Text(text),
            Some(Ok(Message::Binary(_))) => Incoming::End(Some(Close::BINARY)),
            Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => Incoming::Alive,
            Some(Ok(Message::Close(_))) | None => Incoming::End(None),
            Some(Err(error)) => Incoming::End(close_for(&error)),
        }
    }

    /// Puts a frame with those that leave at the next [`flush`](Self::flush).
    pub(super) async fn feed(&mut self, frame: Frame) -> Result<(), Close> {
        self.within(async |stream| stream.feed(Message::Text(frame)).await).await
    }

    /// Asks the peer for a sign of life.
    pub(super) async fn ping(&mut self) -> Result<(), Close> {
        self.within(async |stream| stream.feed(Message::Ping(Bytes::new())).await).await
    }

    /// Writes what waits. A peer that takes nothing of it for two and a half heartbeats is given up; one that is
    /// merely slow is waited for.
    pub(super) async fn flush(&mut self) -> Result<(), Close> {
        self.within(async |stream| stream.flush().await).await
    }

    async fn within(
        &mut self,
        write: impl AsyncFnOnce(&mut WebSocketStream<TcpStream>) -> Result<(), WsError>,
    ) -> Result<(), Close> {
        match timeout(self.patience, write(&mut self.stream)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(Close::NORMAL),
            Err(_) => Err(Close::HEARTBEAT_TIMEOUT),
        }
    }

    /// Says how it ends, waits a moment for the peer to hear it, and closes.
    pub(super) async fn close(mut self, close: Option<Close>) {
        let goodbye = async {
            if let Some(Close { code, reason }) = close {
                let frame = CloseFrame { code: CloseCode::from(code), reason: reason.into() };
                self.stream.send(Message::Close(Some(frame))).await?;
            }
            self.stream.flush().await?;
            // What the peer has sent meanwhile is read and dropped: closing a socket with unread bytes resets it,
            // and the peer would not get our frame.
            let raw = self.stream.get_mut();
            raw.shutdown().await?;
            let mut rest = [0; 1024];
            while raw.read(&mut rest).await? > 0 {}
            Ok::<_, WsError>(())
        };
        // Whether the peer has heard it or not, the connection ends.
        drop(timeout(GOODBYE, goodbye).await);
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
