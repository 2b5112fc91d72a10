//! Frames that break RFC 6455 or are no JSON: what each ends, and that nobody else notices.

use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;

use crate::support::{Socket, TestServer, make_room, say};

/// A frame as a client sends it, masked with zeros; `first` is its first byte.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let length = payload.len();
    let mut bytes = vec![first];
    match u8::try_from(length) {
        Ok(short) if short < 126 => bytes.push(0x80 | short),
        _ => {
            bytes.push(0x80 | 127);
            bytes.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    bytes.extend_from_slice(&[0; 4]);
    bytes.extend_from_slice(payload);
    bytes
}

const TEXT: u8 = 0x81;

/// A room that ann is in by one connection to be broken, and ben by one that must not notice.
struct Stage {
    server: TestServer,
    ben: Socket,
}

impl Stage {
    async fn new() -> Self {
        let server = TestServer::start().await;
        let [ann, _ben] = server.people(["ann", "ben"]).await;
        make_room(&ann, "garden", "GROUP", &["ben"]).await;
        let mut ben = server.socket("ben").await;
        ben.subscribe("garden", json!({})).await;
        ben.settle().await;
        Self { server, ben }
    }

    /// What becomes of a connection that sends these bytes.
    async fn closes(&mut self, what: &str, bytes: &[u8], expected: (u16, &str)) {
        let mut ann = self.server.socket("ann").await;
        ann.subscribe("garden", json!({})).await;
        self.ben.expect("ann's coming", |frame| frame["online"] == true).await;
        ann.send_raw(bytes).await;
        assert_eq!(ann.closed().await, (expected.0, expected.1.to_owned()), "{what}");
        self.ben.expect("ann's going", |frame| frame["online"] == false).await;
        say(&self.server.api("ann"), "garden", what).await;
        assert_eq!(self.ben.frame("message").await["message"]["content"], what);
        assert_eq!(self.ben.settle().await, Vec::<Value>::new(), "{what}");
    }
}

#[tokio::test]
async fn a_broken_frame_ends_its_own_connection_with_its_code() {
    let mut stage = Stage::new().await;
    let ping = br#"{"type":"ping"}"#;
    let first_half = frame(0x01, &b" ".repeat(40_000));
    let second_half = frame(0x80, &b" ".repeat(40_000));
    for (what, bytes, expected) in [
        ("binary", frame(0x82, ping), (1003, "text_frames_only")),
        ("reserved bit 1", frame(0xc1, ping), (1002, "protocol_error")),
        ("all reserved bits", frame(0xf1, ping), (1002, "protocol_error")),
        ("reserved opcode", frame(0x83, ping), (1002, "protocol_error")),
        ("reserved control opcode", frame(0x8b, ping), (1002, "protocol_error")),
        ("without a mask", [&[TEXT, 15], &ping[..]].concat(), (1002, "protocol_error")),
        ("a continuation of nothing", frame(0x80, ping), (1002, "protocol_error")),
        ("a ping in pieces", frame(0x09, b"x"), (1002, "protocol_error")),
        ("a ping that is too long", frame(0x89, &[b'x'; 126]), (1002, "protocol_error")),
        ("a text within a text", [frame(0x01, b"{"), frame(TEXT, ping)].concat(), (1002, "protocol_error")),
        ("a close of half a code", frame(0x88, &[3]), (1002, "protocol_error")),
        ("invalid UTF-8", frame(TEXT, b"{\"type\":\"\xff\"}"), (1007, "invalid_utf8")),
        ("half a surrogate", frame(TEXT, b"\"\xed\xa0\x80\""), (1007, "invalid_utf8")),
        ("too large", frame(TEXT, &b" ".repeat((64 << 10) + 1)), (1009, "too_large")),
        ("too large in pieces", [first_half, second_half].concat(), (1009, "too_large")),
        ("the largest length there is", [&[TEXT, 0xff], &[0x7f; 8][..], &[0; 4]].concat(), (1009, "too_large")),
    ] {
        stage.closes(what, &bytes, expected).await;
    }
}

#[tokio::test]
async fn garbage_that_is_text_is_answered_and_ends_nothing() {
    let mut stage = Stage::new().await;
    let mut ann = stage.server.socket("ann").await;
    let deep = "[".repeat(30_000);
    let types = [r#"{"type":"#, r#"{"type":7}"#, r#"{"id":1}"#, r#"{"type":"ping"} {}"#, r#"{"type":"\ud800"}"#];
    for text in ["", " ", "hello", "{", "[]", "null", "7", "\"ping\"", "\0", &deep].into_iter().chain(types) {
        ann.send_message(Message::text(text)).await;
        let error = ann.frame("error").await;
        assert_eq!((&error["code"], error.get("id")), (&json!("invalid"), None), "{text:.40}");
    }
    assert_eq!(ann.settle().await, Vec::<Value>::new());
    assert_eq!(stage.ben.settle().await, Vec::<Value>::new());
}

#[tokio::test]
async fn a_frame_may_come_in_pieces_and_be_as_large_as_the_limit() {
    let stage = Stage::new().await;
    let mut ann = stage.server.socket("ann").await;
    let ping = br#"{"type":"ping","id":"pieces"}"#;
    let pieces =
        [frame(0x01, &ping[..9]), frame(0x89, b"between"), frame(0x00, &ping[9..20]), frame(0x80, &ping[20..])];
    for byte in pieces.concat() {
        ann.send_raw(&[byte]).await;
    }
    assert_eq!(ann.frame("pong").await["id"], "pieces");
    let mut largest = br#"{"type":"ping","id":"largest"}"#.to_vec();
    largest.resize(64 << 10, b' ');
    ann.send_raw(&frame(TEXT, &largest)).await;
    assert_eq!(ann.frame("pong").await["id"], "largest");
}

#[tokio::test]
async fn who_says_good_bye_is_answered_in_kind() {
    let stage = Stage::new().await;
    let mut ann = stage.server.socket("ann").await;
    let bye = CloseFrame { code: 1000.into(), reason: "bye".into() };
    ann.send_message(Message::Close(Some(bye))).await;
    assert_eq!(ann.closed().await, (1000, "bye".to_owned()));
}

#[tokio::test]
async fn a_handshake_that_is_none_is_refused() {
    let stage = Stage::new().await;
    let api = stage.server.api("ann");
    let good = [
        ("connection", "Upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "AAAAAAAAAAAAAAAAAAAAAA=="),
    ];
    for (at, wrong) in [(0, "keep-alive"), (1, "h2c"), (2, "8"), (3, "short")] {
        let mut headers = good;
        headers[at].1 = wrong;
        api.get_with("/api/chat/ws", &headers).await.problem(400, "invalid");
    }
    let headers = [&good[..], &[("sec-websocket-protocol", "chat.v9")]].concat();
    api.get_with("/api/chat/ws", &headers).await.problem(400, "invalid");
}
