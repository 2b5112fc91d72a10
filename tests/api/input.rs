//! Bad input: each is refused with a stable code, changes nothing, and nobody else notices.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{Api, Log, Socket, TestServer, each, fresh_id, make_room, meta, raw_request, say, token};

const POST: &str = "/api/chat/rooms/garden/messages";
const JSON: (&str, &str) = ("content-type", "application/json");

/// A room with ann in it, and ben who follows it on a socket throughout.
struct Bystander {
    server: TestServer,
    ann: Api,
    ben: Api,
    socket: Socket,
    log: Log,
}

impl Bystander {
    async fn new() -> Self {
        Self::with(&[]).await
    }

    async fn with(flags: &[&str]) -> Self {
        let server = TestServer::with(flags).await;
        let [ann, ben] = server.people(["ann", "ben"]).await;
        make_room(&ann, "garden", "GROUP", &["ben"]).await;
        let mut socket = server.socket("ben").await;
        let mut log = Log::new("garden");
        log.frame(&socket.subscribe("garden", json!({})).await);
        log.frame(&socket.frame("messages").await);
        Self { server, ann, ben, socket, log }
    }

    /// Ben has noticed nothing: what he is sent next is the one good message after it all.
    async fn has_noticed_nothing(mut self) {
        let before = meta(&self.ben, "garden").await;
        assert_eq!((&before["rev"], &before["lastSeq"]), (&json!(1), &json!(1)), "something was written");
        say(&self.ann, "garden", "a good one").await;
        self.log.frame(&self.socket.frame("message").await);
        assert_eq!(self.socket.settle().await, Vec::<Value>::new());
        assert_eq!(self.log.texts(), ["a good one"]);
        self.log.assert_equals_server(&self.ben).await;
    }
}

#[tokio::test]
async fn a_bad_message_is_refused_and_names_what_is_wrong() {
    let stage = Bystander::new().await;
    for (body, status, code, field) in [
        (json!({ "content": "" }), 400, "invalid", "content"),
        (json!({ "content": " \n\t\u{200b}\u{feff} " }), 400, "invalid", "content"),
        (json!({ "content": "a\0b" }), 400, "invalid", "content"),
        (json!({ "content": null }), 400, "invalid", "content"),
        (json!({ "content": 7 }), 400, "invalid", "content"),
        (json!({ "content": ["a"] }), 400, "invalid", "content"),
        (json!({ "content": { "text": "a" } }), 400, "invalid", "content"),
        (json!({}), 400, "invalid", "body"),
        (json!("hello"), 400, "invalid", "body"),
        (json!(null), 400, "invalid", "body"),
        (json!({ "content": "x".repeat(4001) }), 413, "too_large", ""),
        (json!({ "content": "ä".repeat(4001) }), 413, "too_large", ""),
        (json!({ "content": "x", "id": "not-a-uuid" }), 400, "invalid", "id"),
        (json!({ "content": "x", "id": 7 }), 400, "invalid", "id"),
        (json!({ "content": "x", "id": "" }), 400, "invalid", "id"),
        (json!({ "content": "x", "contentType": "SYSTEM" }), 400, "invalid", "contentType"),
        (json!({ "content": "x", "contentType": "VIDEO" }), 400, "invalid", "contentType"),
        (json!({ "content": "x", "replyTo": "a b" }), 400, "invalid", "replyTo"),
        (json!({ "content": "x", "replyTo": fresh_id() }), 400, "invalid", "replyTo"),
        (json!({ "content": "x", "metadata": "text" }), 400, "invalid", "metadata"),
        (json!({ "content": "x", "metadata": { "k": "y".repeat(4096) } }), 413, "too_large", ""),
        (json!({ "content": "x", "metadata": { "k": [{ "d": "\0" }] } }), 400, "invalid", "metadata"),
        (json!({ "content": "x", "metadata": { "\0": 1 } }), 400, "invalid", "metadata"),
    ] {
        let problem = stage.ann.post(POST, body.clone()).await.problem(status, code);
        if !field.is_empty() {
            assert_eq!(problem["field"], field, "{body}: {problem}");
        }
    }
    stage.has_noticed_nothing().await;
}

#[tokio::test]
async fn bytes_that_are_no_json_are_refused() {
    let stage = Bystander::new().await;
    let deep = [b"{\"content\":\"x\",\"metadata\":{\"a\":".to_vec(), b"[".repeat(10_000)].concat();
    for bytes in [
        b"".to_vec(),
        b"{".to_vec(),
        b"{\"content\": \"half".to_vec(),
        // Fields by their order, which serde would take.
        b"[null, \"x\", null, null, null]".to_vec(),
        b"{\"content\": \"x\"} trailing".to_vec(),
        b"{\"content\": \"x\", \"content\": \"y\"}".to_vec(),
        b"{\"content\": \"\\ud800\"}".to_vec(),
        b"{\"content\": \"\\udc00\\ud800\"}".to_vec(),
        b"{\"content\": \"\\u0000\"}".to_vec(),
        b"{\"content\": \"a\tb\"}".to_vec(),
        b"{\"content\": \"\xff\xfe\"}".to_vec(),
        b"{\"content\": \"\xed\xa0\x80\"}".to_vec(),
        b"{\"content\": \"x\", \"metadata\": {\"k\": \"\\ud800\"}}".to_vec(),
        b"{\"content\": \"x\", \"metadata\": {\"k\": \"\xff\"}}".to_vec(),
        b"\xef\xbb\xbf{\"content\": \"x\"}".to_vec(),
        b"{\"content\": \"x\", \"metadata\": {\"n\": 1e999}}".to_vec(),
        deep,
    ] {
        let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(60)]).into_owned();
        let reply = stage.ann.call(Method::POST, POST, &[JSON], Some(bytes)).await;
        assert_eq!((reply.status, &reply.json["code"]), (400, &json!("invalid")), "{shown}: {reply}");
    }
    stage.has_noticed_nothing().await;
}

#[tokio::test]
async fn a_body_says_what_it_is_and_is_not_too_long() {
    let stage = Bystander::new().await;
    let good = || Some(json!({ "content": "x" }).to_string().into_bytes());
    for kind in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "", "json"] {
        let reply = stage.ann.call(Method::POST, POST, &[("content-type", kind)], good()).await;
        reply.problem(415, "unsupported_media_type");
    }
    let mebibyte = [b"{\"content\":\"".to_vec(), b"x".repeat(1 << 20), b"\"}".to_vec()].concat();
    let head = format!(
        "POST {POST} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\n\
         content-length: {}\r\nconnection: close\r\n\r\n",
        token("ann"),
        mebibyte.len()
    );
    let answer = raw_request(stage.server.address(), &[head.as_bytes(), &mebibyte].concat()).await;
    assert!(answer.starts_with("HTTP/1.1 413") && answer.contains("\"too_large\""), "{answer}");
    stage.has_noticed_nothing().await;
}

#[tokio::test]
async fn json_may_name_its_charset() {
    let server = TestServer::start().await;
    let [ann] = server.people(["ann"]).await;
    make_room(&ann, "garden", "GROUP", &[]).await;
    let body = Some(json!({ "content": "x" }).to_string().into_bytes());
    ann.call(Method::POST, POST, &[("content-type", "Application/JSON; charset=utf-8")], body).await.ok(201);
}

#[tokio::test]
async fn what_is_not_there_and_what_is_not_for_you_look_the_same() {
    let stage = Bystander::new().await;
    let [eve] = stage.server.people(["eve"]).await;
    for (who, room) in [(&eve, "garden"), (&eve, "nowhere"), (&stage.ann, "nowhere")] {
        let base = format!("/api/chat/rooms/{room}");
        let body = json!({ "content": "x" });
        let refused = who.post(&format!("{base}/messages"), body.clone()).await.problem(404, "room_not_found");
        assert!(!refused.to_string().contains("garden"), "{refused}");
        who.get(&base).await.problem(404, "room_not_found");
        who.patch(&format!("{base}/messages/{}", fresh_id()), body).await.problem(404, "room_not_found");
    }
    stage.has_noticed_nothing().await;
}

#[tokio::test]
async fn paths_and_methods_that_do_not_exist_are_told_apart() {
    let stage = Bystander::new().await;
    for path in ["/api", "/api/", "/api/chat/rooms/", "/api/chat/rooms/garden/nothing", "/API/session"] {
        stage.ann.get(path).await.problem(404, "not_found");
    }
    for (method, path) in [
        (Method::PUT, "/api/chat/rooms"),
        (Method::DELETE, "/api/chat/rooms/garden"),
        (Method::POST, "/api/chat/rooms/garden/meta"),
        (Method::PATCH, "/healthz"),
        (Method::POST, "/api/chat/ws"),
    ] {
        stage.ann.call(method, path, &[], None).await.problem(405, "method_not_allowed");
    }
    for room in ["a%20b", "a%2Fb", "%00", "%FF", "..%2f..", &"x".repeat(65), "caf%C3%A9"] {
        stage.ann.get(&format!("/api/chat/rooms/{room}/meta")).await.problem(400, "invalid");
    }
    stage.ann.get("/api/chat/ws").await.problem(400, "invalid");
    stage.has_noticed_nothing().await;
}

#[tokio::test]
async fn half_a_request_does_not_hold_a_place_for_ever() {
    let stage = Bystander::with(&["--head-seconds", "1"]).await;
    let body = format!(
        "POST {POST} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\n\
         content-length: 100\r\nconnection: close\r\n\r\n{{\"content\":",
        token("ann")
    );
    let (head, body) = tokio::join!(
        raw_request(stage.server.address(), b"GET /api/session HTTP/1.1\r\nhost: x\r\nauthor"),
        raw_request(stage.server.address(), body.as_bytes())
    );
    assert!(head.is_empty() || head.starts_with("HTTP/1.1 408"), "{head}");
    assert!(body.starts_with("HTTP/1.1 400") && body.contains("\"invalid\""), "{body}");
    stage.has_noticed_nothing().await;
}

#[tokio::test]
async fn what_is_no_http_is_not_taken_for_it() {
    let stage = Bystander::new().await;
    let long = [b"GET /".to_vec(), b"x".repeat(200_000), b" HTTP/1.1\r\n\r\n".to_vec()].concat();
    for bytes in [b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec(), b"hello\r\n\r\n".to_vec(), long] {
        let answer = raw_request(stage.server.address(), &bytes).await;
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{answer}");
    }
    stage.has_noticed_nothing().await;
}

#[tokio::test]
async fn bad_edits_change_nothing() {
    let server = TestServer::start().await;
    let [ann] = server.people(["ann"]).await;
    make_room(&ann, "garden", "GROUP", &[]).await;
    let message = say(&ann, "garden", "as it was").await;
    let path = format!("{POST}/{}", message["id"].as_str().unwrap());
    for (body, status, code) in [
        (json!({ "content": " " }), 400, "invalid"),
        (json!({ "content": {} }), 400, "invalid"),
        (json!({}), 400, "invalid"),
        (json!({ "content": "x".repeat(4001) }), 413, "too_large"),
    ] {
        ann.patch(&path, body).await.problem(status, code);
    }
    let page = ann.get(POST).await.ok(200);
    assert_eq!((each(&page["messages"], "content")[1].clone(), &page["rev"]), (json!("as it was"), &json!(2)));
}
