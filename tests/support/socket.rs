//! A WebSocket as a user would hold it. Frames are kept until a test asks for them, so that a test says what it
//! waits for and not in which order unrelated things happen; a wait that fails shows everything that was seen.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::client::generate_key;
use tokio_tungstenite::tungstenite::http::{Request, Response};
use tokio_tungstenite::tungstenite::{Error, Message};

use super::{DEADLINE, client::write_all, discretion};

/// A request to become a WebSocket.
#[derive(Clone)]
pub(crate) struct Handshake {
    address: SocketAddr,
    path: String,
    headers: Vec<(String, String)>,
}

/// An open WebSocket.
pub(crate) struct Socket {
    name: String,
    stream: WebSocketStream<TcpStream>,
    waiting: VecDeque<Value>,
    seen: Vec<String>,
    closed: Option<(u16, String)>,
    last_id: u64,
}

impl Handshake {
    /// With the subprotocol and no identity.
    pub(crate) fn to(address: SocketAddr) -> Self {
        Self { address, path: "/api/chat/ws".to_owned(), headers: Vec::new() }
            .header("sec-websocket-protocol", "tidings.v1")
    }

    /// Identity by header.
    pub(crate) fn token(self, token: &str) -> Self {
        self.header("authorization", &format!("Bearer {token}"))
    }

    /// Another path than the usual.
    pub(crate) fn path(self, path: &str) -> Self {
        Self { path: path.to_owned(), ..self }
    }

    /// A header, in the place of one of the same name.
    pub(crate) fn header(self, name: &str, value: &str) -> Self {
        let mut other = self.without(name);
        other.headers.push((name.to_owned(), value.to_owned()));
        other
    }

    /// Without a header.
    pub(crate) fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(other, _)| other != name);
        self
    }

    /// Opens the socket, or gives the answer that refused it.
    pub(crate) async fn try_open(self, name: &str) -> Result<(Socket, Response<()>), (u16, Value)> {
        let mut request = Request::builder()
            .uri(format!("ws://{}{}", self.address, self.path))
            .header("host", self.address.to_string())
            .header("connection", "Upgrade")
            .header("upgrade", "websocket")
            .header("sec-websocket-version", "13")
            .header("sec-websocket-key", generate_key());
        for (header, value) in &self.headers {
            discretion::header(header, value);
            request = request.header(header, value);
        }
        let tcp = TcpStream::connect(self.address).await.unwrap();
        let handshake = tokio_tungstenite::client_async(request.body(()).unwrap(), tcp);
        match tokio::time::timeout(DEADLINE, handshake).await.expect("the handshake is not answered") {
            Ok((stream, response)) => Ok((Socket::new(name, stream), response.map(drop))),
            Err(Error::Http(response)) => {
                let body = response.body().as_deref().unwrap_or_default();
                Err((response.status().as_u16(), serde_json::from_slice(body).unwrap_or(Value::Null)))
            }
            Err(error) => panic!("{name}: the handshake failed: {error}"),
        }
    }

    /// Opens the socket.
    pub(crate) async fn open(self, name: &str) -> Socket {
        self.try_open(name).await.unwrap_or_else(|refusal| panic!("{name}: no WebSocket: {refusal:?}")).0
    }

    /// Opens the socket and takes its welcome.
    pub(crate) async fn welcomed(self, name: &str) -> Socket {
        let mut socket = self.open(name).await;
        socket.frame("welcome").await;
        socket
    }
}

impl Socket {
    fn new(name: &str, stream: WebSocketStream<TcpStream>) -> Self {
        let name = name.to_owned();
        Self { name, stream, waiting: VecDeque::new(), seen: Vec::new(), closed: None, last_id: 0 }
    }

    /// Whether anything comes before a close.
    pub(crate) async fn opened(&mut self) -> bool {
        let first = tokio::time::timeout(DEADLINE, self.receive()).await;
        first.unwrap_or_else(|_| panic!("{}: neither a frame nor a close", self.name)) && self.closed.is_none()
    }

    pub(crate) async fn send(&mut self, frame: Value) {
        self.send_message(Message::text(frame.to_string())).await;
    }

    /// Anything a WebSocket can carry, such as binary frames and pings.
    pub(crate) async fn send_message(&mut self, message: Message) {
        discretion::body(&message.clone().into_data());
        self.seen.push(format!("> {message}"));
        let sent = tokio::time::timeout(DEADLINE, self.stream.send(message)).await;
        // A peer that has closed says why in its close frame, which the test goes on to read.
        drop(sent.unwrap_or_else(|_| panic!("{}: the server reads nothing\n{}", self.name, self.report())));
    }

    /// Bytes under the WebSocket: for frames no library would send.
    pub(crate) async fn send_raw(&mut self, bytes: &[u8]) {
        self.seen.push(format!("> {} raw bytes", bytes.len()));
        write_all(self.stream.get_ref(), bytes).await;
    }

    /// Sends with a fresh id and awaits what answers it.
    pub(crate) async fn request(&mut self, mut frame: Value) -> Value {
        self.last_id += 1;
        let id = self.last_id;
        frame["id"] = json!(id);
        self.send(frame).await;
        self.expect(&format!("an answer to {id}"), |answer| answer["id"] == id).await
    }

    /// The same, where only success will do.
    pub(crate) async fn done(&mut self, frame: Value) -> Value {
        let answer = self.request(frame).await;
        assert!(answer["type"] != "error", "{}: refused\n{}", self.name, self.report());
        answer
    }

    /// The same, where only this refusal will do.
    pub(crate) async fn refused(&mut self, frame: Value, code: &str) -> Value {
        let answer = self.request(frame).await;
        let right = answer["type"] == "error" && answer["code"] == code;
        assert!(right, "{}: expected {code}\n{}", self.name, self.report());
        answer
    }

    /// Subscribes from a cursor (`{}` for the newest page) and gives the `subscribed`.
    pub(crate) async fn subscribe(&mut self, room: &str, from: Value) -> Value {
        let mut frame = json!({ "type": "subscribe", "roomId": room });
        for (name, value) in from.as_object().unwrap() {
            frame[name] = value.clone();
        }
        self.done(frame).await
    }

    /// The next frame of this type.
    pub(crate) async fn frame(&mut self, kind: &str) -> Value {
        self.expect(kind, |frame| frame["type"] == kind).await
    }

    /// The first frame that fits, of those not yet taken; the others stay for later.
    pub(crate) async fn expect(&mut self, what: &str, fits: impl Fn(&Value) -> bool) -> Value {
        let deadline = tokio::time::Instant::now() + DEADLINE;
        let mut looked = 0;
        loop {
            if let Some(found) = self.waiting.iter().skip(looked).position(&fits) {
                return self.waiting.remove(looked + found).unwrap();
            }
            looked = self.waiting.len();
            let Ok(open) = tokio::time::timeout_at(deadline, self.receive()).await else {
                panic!("{}: waited {DEADLINE:?} for {what}\n{}", self.name, self.report());
            };
            assert!(open, "{}: closed while waiting for {what}\n{}", self.name, self.report());
        }
    }

    /// The messages of the frame that comes next of those that bring any: a live one, or a page of what was missed.
    /// Which of both it is depends on what the bus did.
    pub(crate) async fn messages(&mut self) -> Vec<Value> {
        let brings = |frame: &Value| frame["type"] == "message" || frame["type"] == "messages";
        let mut frame = self.expect("messages", brings).await;
        match frame["messages"].take() {
            Value::Array(page) => page,
            _ => vec![frame["message"].take()],
        }
    }

    /// Looks until a message comes in exactly this state, however it comes.
    pub(crate) async fn hears_as(&mut self, state: &Value) {
        while !self.messages().await.contains(state) {}
    }

    /// The message that says this, of those not yet passed over, however it comes.
    pub(crate) async fn hears(&mut self, content: &str) -> Value {
        loop {
            let found = self.messages().await.into_iter().find(|message| message["content"] == content);
            if let Some(found) = found {
                return found;
            }
        }
    }

    /// Everything that came before the answer to a ping sent now: what had been sent to this socket is here. It
    /// proves absence only of frames that were on their way before; name the cause and wait for its effect first.
    pub(crate) async fn settle(&mut self) -> Vec<Value> {
        self.send(json!({ "type": "ping" })).await;
        self.frame("pong").await;
        self.waiting.drain(..).collect()
    }

    /// Why the server closed the socket.
    pub(crate) async fn closed(&mut self) -> (u16, String) {
        self.closed_within(DEADLINE).await
    }

    /// The same, for a close that is due only later.
    pub(crate) async fn closed_within(&mut self, patience: Duration) -> (u16, String) {
        let wait = async { while self.receive().await {} };
        let waited = tokio::time::timeout(patience, wait).await;
        assert!(waited.is_ok(), "{}: waited {patience:?} for a close\n{}", self.name, self.report());
        self.closed.clone().unwrap_or((1006, "no close frame".to_owned()))
    }

    /// The same for a peer that takes what comes and answers nothing, not even a ping.
    pub(crate) async fn closed_on_silence(self) -> (u16, String) {
        let mut stream = self.stream.into_inner();
        let mut bytes = Vec::new();
        let read = stream.read_to_end(&mut bytes);
        let read = tokio::time::timeout(DEADLINE, read).await;
        read.unwrap_or_else(|_| panic!("{}: waited {DEADLINE:?} for a close", self.name)).unwrap();
        // The last frame of all: its head, its length, a code, a reason.
        let start = (0..bytes.len()).rev().find(|&at| {
            bytes[at] == 0x88 && bytes.get(at + 1).is_some_and(|length| usize::from(*length) == bytes.len() - at - 2)
        });
        let close = start.map_or(&[][..], |start| &bytes[start + 2..]);
        assert!(close.len() >= 2, "{}: no close frame at the end of {bytes:?}", self.name);
        (u16::from_be_bytes([close[0], close[1]]), String::from_utf8_lossy(&close[2..]).into_owned())
    }

    /// Leaves as a client does that says good-bye.
    pub(crate) async fn close(mut self) {
        drop(self.stream.close(None).await);
        let gone = async { while self.receive().await {} };
        drop(tokio::time::timeout(DEADLINE, gone).await);
    }

    /// What came and was not taken.
    pub(crate) fn untaken(&self) -> impl Iterator<Item = &Value> {
        self.waiting.iter()
    }

    /// Takes in one WebSocket message; false once there will be none.
    async fn receive(&mut self) -> bool {
        match self.stream.next().await {
            Some(Ok(Message::Text(text))) => {
                self.seen.push(format!("< {text}"));
                let frame = serde_json::from_str(&text);
                self.waiting.push_back(frame.unwrap_or_else(|e| panic!("{}: not JSON: {e}: {text}", self.name)));
                true
            }
            Some(Ok(Message::Close(close))) => {
                self.seen.push(format!("< close {close:?}"));
                let close = close.map(|close| (close.code.into(), close.reason.to_string()));
                self.closed = Some(close.unwrap_or((1005, String::new())));
                true // the end of the stream follows
            }
            Some(Ok(_)) => true,
            Some(Err(_)) | None => false,
        }
    }

    fn report(&self) -> String {
        let (name, count) = (&self.name, self.seen.len());
        let lines = self.seen.iter().rev().take(60).rev().fold(String::new(), |text, line| {
            let cut: String = line.chars().take(600).collect();
            text + "  " + &cut + "\n"
        });
        format!("{name} saw, of {count} the last:\n{lines}")
    }
}
