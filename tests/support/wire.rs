//! A WebSocket for times when things break: whatever goes wrong is an answer here, and never a panic.

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::{Error, Message};

use super::{discretion, token};

/// How long a client waits for an answer before it goes elsewhere.
pub(crate) const CLIENT_PATIENCE: Duration = Duration::from_secs(4);

/// An open, welcomed socket.
pub(crate) struct Wire(WebSocketStream<TcpStream>);

/// Why nothing more comes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum End {
    /// The connection is gone, or was never made.
    Gone(String),
    /// Refused with this status.
    Refused(u16),
    /// Closed with this code and reason.
    Closed(u16, String),
    /// Nothing came in time.
    Silence,
}

impl Wire {
    pub(crate) async fn open(address: SocketAddr, user: &str) -> Result<(Self, Value), End> {
        let open = async {
            let gone = |error: &dyn std::fmt::Display| End::Gone(error.to_string());
            let mut request = format!("ws://{address}/api/chat/ws").into_client_request().unwrap();
            let mut header = |name: &'static str, value: &str| {
                request.headers_mut().insert(name, HeaderValue::from_str(value).unwrap());
            };
            header("sec-websocket-protocol", "tidings.v1");
            header("authorization", &format!("Bearer {}", token(user)));
            let tcp = TcpStream::connect(address).await.map_err(|error| gone(&error))?;
            match tokio_tungstenite::client_async(request, tcp).await {
                Ok((stream, _)) => Ok(Self(stream)),
                Err(Error::Http(response)) => Err(End::Refused(response.status().as_u16())),
                Err(error) => Err(gone(&error)),
            }
        };
        let mut wire = timeout(CLIENT_PATIENCE, open).await.unwrap_or(Err(End::Silence))?;
        let welcome = wire.next(CLIENT_PATIENCE).await?;
        assert!(welcome["type"] == "welcome" || welcome["type"] == "error", "first came {welcome}");
        Ok((wire, welcome))
    }

    pub(crate) async fn send(&mut self, frame: &Value) -> Result<(), End> {
        discretion::body(frame.to_string().as_bytes());
        let sent = timeout(CLIENT_PATIENCE, self.0.send(Message::text(frame.to_string()))).await;
        sent.map_err(|_| End::Silence)?.map_err(|error| End::Gone(error.to_string()))
    }

    /// The next frame.
    pub(crate) async fn next(&mut self, patience: Duration) -> Result<Value, End> {
        let next = async {
            loop {
                match self.0.next().await {
                    Some(Ok(Message::Text(text))) => return Ok(serde_json::from_str(&text).expect("frames are JSON")),
                    Some(Ok(Message::Close(Some(close)))) => {
                        return Err(End::Closed(close.code.into(), close.reason.to_string()));
                    }
                    Some(Ok(_)) => {}
                    Some(Err(error)) => return Err(End::Gone(error.to_string())),
                    None => return Err(End::Gone("the end".to_owned())),
                }
            }
        };
        timeout(patience, next).await.unwrap_or(Err(End::Silence))
    }

    /// Sends a frame with an id and gives what answers it; what comes in between goes to `other`.
    pub(crate) async fn ask(&mut self, frame: &Value, mut other: impl FnMut(Value)) -> Result<Value, End> {
        self.send(frame).await?;
        loop {
            let answer = self.next(CLIENT_PATIENCE).await?;
            if answer["id"] == frame["id"] {
                return Ok(answer);
            }
            other(answer);
        }
    }
}
