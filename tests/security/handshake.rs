//! S15–S24: who may become a WebSocket, and what becomes of those who do not say who they are.

use serde_json::{Value, json};

use crate::support::{Handshake, TestServer, make_room, raw_request, say, token};

const APP: &str = "https://app.example.com";

/// A handshake as bytes, with these lines in place of its usual ones.
fn handshake(request_line: &str, lines: &[&str]) -> Vec<u8> {
    format!("{request_line}\r\nhost: chat.example.com\r\n{}\r\n\r\n", lines.join("\r\n")).into_bytes()
}

const GET: &str = "GET /api/chat/ws HTTP/1.1";
const UPGRADE: &str = "connection: upgrade\r\nupgrade: websocket";
const VERSION: &str = "sec-websocket-version: 13";
const KEY: &str = "sec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==";

/// The status that answers it; a refusal closes the connection by itself, what is let in is left.
async fn status(server: &TestServer, bytes: &[u8]) -> u16 {
    let answer = raw_request(server.address(), bytes).await;
    answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_else(|| panic!("no answer: {answer}"))
}

#[tokio::test]
async fn s15_s16_only_pages_of_listed_origins_open_a_socket() {
    let server = TestServer::with(&["--allowed-origins", APP]).await;
    let open = async |origin: &str| {
        Handshake::to(server.address()).token(&token("ann")).header("origin", origin).try_open("ann").await
    };
    for good in [APP, "https://APP.example.com", &format!("http://{}", server.address())] {
        assert!(open(good).await.is_ok(), "{good}");
    }
    for bad in [
        "https://evil.example",
        "null",
        "https://app.example.com.evil.example",
        "https://evilapp.example.com",
        "https://sub.app.example.com",
        "http://app.example.com",
        "https://app.example.com:8443",
        "https://app.example.com/",
        "https://app.example.com@evil.example",
        "app.example.com",
        "file://",
        "*",
        "",
    ] {
        let (status, problem) = open(bad).await.err().unwrap_or_else(|| panic!("{bad:?} was let in"));
        assert_eq!((status, &problem["code"]), (403, &json!("forbidden")), "{bad:?}");
    }
    let twice = format!("origin: {APP}\r\norigin: {APP}\r\nconnection: close");
    assert_eq!(status(&server, &handshake(GET, &[UPGRADE, VERSION, KEY, &twice])).await, 400, "two origins");
}

#[tokio::test]
async fn s18_without_an_origin_a_bearer_is_let_in_and_a_cookie_is_not() {
    let server = TestServer::with(&["--session-cookie", "sid"]).await;
    assert!(Handshake::to(server.address()).token(&token("ann")).try_open("ann").await.is_ok());
    let cookie = format!("sid={}", token("ann"));
    let refusal = Handshake::to(server.address()).header("cookie", &cookie).try_open("ann").await.err();
    assert_eq!(refusal.map(|(status, problem)| (status, problem["code"].clone())), Some((403, json!("forbidden"))));
}

#[tokio::test]
async fn s22_what_is_no_handshake_of_version_13_is_refused_clearly() {
    let server = TestServer::start().await;
    let close = "connection: close";
    let old = "sec-websocket-version: 8";
    for (line, lines, expected) in [
        (GET, &[UPGRADE, old, KEY, close][..], 400),
        (GET, &[UPGRADE, KEY, close], 400),
        (GET, &[UPGRADE, VERSION, close], 400),
        (GET, &[UPGRADE, VERSION, "sec-websocket-key: short", close], 400),
        (GET, &[UPGRADE, VERSION, "sec-websocket-key: \r\nx: y", close], 400),
        (GET, &["upgrade: websocket", VERSION, KEY, close], 400),
        (GET, &["connection: upgrade", VERSION, KEY, close], 400),
        (GET, &["connection: upgrade\r\nupgrade: h2c", VERSION, KEY, close], 400),
        ("GET /api/chat/ws HTTP/1.0", &[UPGRADE, VERSION, KEY, close], 400),
        ("POST /api/chat/ws HTTP/1.1", &[UPGRADE, VERSION, KEY, close, "content-length: 0"], 405),
        ("PUT /api/chat/ws HTTP/1.1", &[UPGRADE, VERSION, KEY, close, "content-length: 0"], 405),
    ] {
        assert_eq!(status(&server, &handshake(line, lines)).await, expected, "{line} {lines:?}");
    }
}

#[tokio::test]
async fn s23_sockets_that_say_nothing_are_few_per_address_and_soon_gone() {
    let flags = ["--limits", "on", "--connections-per-address", "40", "--auth-seconds", "1"];
    let server = TestServer::with(&flags).await;
    let [ann, ben] = server.people(["ann", "ben"]).await;
    make_room(&ann, "garden", "GROUP", &["ben"]).await;
    let mut reader = server.socket("ben").await;
    reader.subscribe("garden", json!({})).await;
    let (mut silent, mut refused) = (Vec::new(), 0);
    for _ in 0..60 {
        match Handshake::to(server.address()).try_open("nobody").await {
            Ok((socket, _)) => silent.push(socket),
            Err((status, problem)) => {
                assert_eq!((status, &problem["code"]), (429, &json!("rate_limited")));
                refused += 1;
            }
        }
    }
    assert_eq!((silent.len(), refused), (39, 21), "the reader has one of the forty");
    say(&ann, "garden", "undisturbed").await;
    assert_eq!(reader.hears("undisturbed").await["senderId"], "ann");
    for mut socket in silent {
        assert_eq!(socket.closed().await, (4104, "auth_timeout".to_owned()));
    }
    assert!(
        Handshake::to(server.address()).token(&token("cara")).try_open("cara").await.is_ok(),
        "there is room again"
    );
    drop(ben);
}

#[tokio::test]
async fn s24_who_one_is_is_said_once_and_never_changes() {
    let server = TestServer::start().await;
    let [ann, _ben] = server.people(["ann", "ben"]).await;
    make_room(&ann, "garden", "GROUP", &[]).await;
    let mut socket = Handshake::to(server.address()).open("ann").await;
    socket.send(json!({ "type": "auth", "token": token("ann") })).await;
    assert_eq!(socket.frame("welcome").await["session"]["user"]["id"], "ann");
    socket.send(json!({ "type": "auth", "id": 1, "token": token("ben") })).await;
    assert_eq!(socket.frame("error").await["code"], "forbidden");
    assert_eq!(socket.closed().await, (4003, "forbidden".to_owned()));
    let by_both = Handshake::to(server.address())
        .token(&token("ann"))
        .header("sec-websocket-protocol", &format!("tidings.v1, bearer.{}", token("ben")));
    if let Ok((mut socket, response)) = by_both.try_open("both").await {
        assert_eq!(response.headers()["sec-websocket-protocol"], "tidings.v1");
        let welcome: Value = socket.frame("welcome").await;
        assert!(["ann", "ben"].contains(&welcome["session"]["user"]["id"].as_str().unwrap()), "{welcome}");
    }
}
