//! How a socket authenticates, stays so, and what ends it.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{Handshake, Socket, TestServer, in_seconds, make_room, say, token, token_with};

const PROTOCOL: &str = "sec-websocket-protocol";

fn expiring_in(seconds: i64) -> String {
    token_with("ann", &json!({ "exp": in_seconds(seconds) }))
}

/// A socket whose token stands among the subprotocols, not yet welcomed.
async fn by_subprotocol(server: &TestServer, token: &str) -> Socket {
    Handshake::to(server.address()).header(PROTOCOL, &format!("tidings.v1, bearer.{token}")).open("ann").await
}

#[tokio::test]
async fn a_token_comes_by_header_subprotocol_or_first_frame_and_is_never_echoed() {
    let server = TestServer::start().await;
    let good = token("ann");
    let with_token = Handshake::to(server.address()).token(&good);
    for (handshake, echoed) in [
        (with_token.clone(), Some("tidings.v1")),
        (with_token.without(PROTOCOL), None),
        (Handshake::to(server.address()).header(PROTOCOL, &format!("bearer.{good},tidings.v1")), Some("tidings.v1")),
    ] {
        let (mut socket, response) = handshake.try_open("ann").await.unwrap_or_else(|refusal| panic!("{refusal:?}"));
        let got = response.headers().get(PROTOCOL).map(|value| value.to_str().unwrap());
        assert_eq!(got, echoed);
        assert!(!format!("{response:?}").contains(&good), "the token is echoed");
        let welcome = socket.frame("welcome").await;
        assert_eq!(welcome["session"]["user"]["id"], "ann");
        assert!(!welcome.to_string().contains(&good));
    }
    let mut socket = Handshake::to(server.address()).open("ann").await;
    socket.send(json!({ "type": "auth", "token": good })).await;
    assert_eq!(socket.frame("welcome").await["session"]["user"]["id"], "ann");
}

#[tokio::test]
async fn a_page_of_another_site_opens_no_socket_whatever_its_token() {
    let server = TestServer::with(&["--allowed-origins", "https://app.example.com"]).await;
    let open = |origin: &str| Handshake::to(server.address()).token(&token("ann")).header("origin", origin);
    let refused = open("https://evil.example").try_open("ann").await.err().expect("refused");
    assert_eq!((refused.0, &refused.1["code"]), (403, &json!("forbidden")));
    for origin in ["https://app.example.com", &format!("http://{}", server.address())] {
        open(origin).welcomed("ann").await;
    }
}

#[tokio::test]
async fn a_bad_token_ends_the_socket_and_says_so_first() {
    let server = TestServer::start().await;
    let refused = Handshake::to(server.address()).token("nonsense").try_open("ann").await.err().expect("refused");
    assert_eq!((refused.0, &refused.1["code"]), (401, &json!("unauthenticated")));
    let alone = Handshake::to(server.address()).header(PROTOCOL, &format!("bearer.{}", token("ann")));
    assert_eq!(alone.try_open("ann").await.err().expect("it offers nothing we speak").0, 400);
    for (bad, code, close) in [
        ("nonsense".to_owned(), "unauthenticated", (4001, "unauthenticated")),
        (expiring_in(-60), "token_expired", (4101, "token_expired")),
    ] {
        let mut socket = by_subprotocol(&server, &bad).await;
        assert_eq!(socket.frame("error").await["code"], code);
        assert_eq!(socket.closed().await, (close.0, close.1.to_owned()));
        let mut socket = Handshake::to(server.address()).open("ann").await;
        socket.send(json!({ "type": "auth", "id": 1, "token": bad })).await;
        let error = socket.frame("error").await;
        assert_eq!((&error["code"], &error["id"]), (&json!(code), &json!(1)));
        assert_eq!(socket.closed().await, (close.0, close.1.to_owned()));
    }
    for first in [json!({ "type": "ping", "id": 1 }), json!({ "type": "subscribe", "id": 1, "roomId": "x" }), json!([])]
    {
        let mut socket = Handshake::to(server.address()).open("nobody").await;
        socket.send(first).await;
        socket.frame("error").await;
        assert_eq!(socket.closed().await, (4001, "unauthenticated".to_owned()));
    }
}

#[tokio::test]
async fn who_does_not_say_who_they_are_is_not_waited_for() {
    let server = TestServer::with(&["--auth-seconds", "1"]).await;
    let mut socket = Handshake::to(server.address()).open("nobody").await;
    assert_eq!(socket.closed().await, (4104, "auth_timeout".to_owned()));
}

#[tokio::test]
async fn a_session_is_renewed_in_place() {
    let server = TestServer::start().await;
    let [ann] = server.people(["ann"]).await;
    make_room(&ann, "garden", "GROUP", &[]).await;
    let mut socket = by_subprotocol(&server, &expiring_in(40)).await;
    socket.frame("welcome").await;
    socket.subscribe("garden", json!({})).await;
    let in_ms = socket.frame("expiring").await["inMs"].as_u64().unwrap();
    assert!((20_000..=41_000).contains(&in_ms), "{in_ms}");
    socket.refused(json!({ "type": "auth", "token": "nonsense" }), "unauthenticated").await;
    socket.refused(json!({ "type": "auth", "token": expiring_in(-60) }), "token_expired").await;
    let renewed = socket.done(json!({ "type": "auth", "token": token("ann") })).await;
    assert_eq!((&renewed["type"], &renewed["session"]["user"]["id"]), (&json!("ok"), &json!("ann")));
    socket.settle().await;
    say(&ann, "garden", "still here").await;
    assert_eq!(socket.frame("message").await["message"]["content"], "still here");
    assert_eq!(socket.settle().await, Vec::<Value>::new(), "warned of the old token's end");
    socket.done(json!({ "type": "auth", "token": expiring_in(30) })).await;
    socket.frame("expiring").await;
}

#[tokio::test]
async fn a_session_that_is_not_renewed_ends() {
    let server = TestServer::start().await;
    // As old as clocks may differ, so that the grace after its end is half over.
    let mut socket = by_subprotocol(&server, &expiring_in(-13)).await;
    socket.frame("welcome").await;
    assert_eq!(socket.frame("expiring").await["inMs"], 0);
    let close = socket.closed_within(Duration::from_secs(40)).await;
    assert_eq!(close, (4101, "token_expired".to_owned()));
}

#[tokio::test]
async fn a_session_is_not_renewed_for_somebody_else() {
    let server = TestServer::start().await;
    let mut socket = server.socket("ann").await;
    socket.refused(json!({ "type": "auth", "token": token("ben") }), "forbidden").await;
    assert_eq!(socket.closed().await, (4003, "forbidden".to_owned()));
}
