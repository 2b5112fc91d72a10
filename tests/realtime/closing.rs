//! Connections that fall silent, and an instance that stops.

use std::time::Instant;

use serde_json::json;
use tokio::net::TcpStream;

use crate::support::{Api, DEADLINE, Handshake, TestServer, each, make_room, token, write_all};

#[tokio::test]
async fn a_silent_connection_is_given_up_and_a_living_one_is_not() {
    let server = TestServer::with(&["--heartbeat-seconds", "1"]).await;
    let [ann, _ben] = server.people(["ann", "ben"]).await;
    make_room(&ann, "garden", "GROUP", &["ben"]).await;
    let mut living = server.socket("ben").await;
    living.subscribe("garden", json!({})).await;
    let mut silent = server.socket("ann").await;
    silent.subscribe("garden", json!({})).await;
    living.expect("ann's coming", |frame| frame["online"] == true).await;
    // The living one answers its pings while it waits.
    let left = living.expect("ann's going", |frame| frame["online"] == false);
    let (close, left) = tokio::join!(silent.closed_on_silence(), left);
    assert_eq!(close, (4105, "heartbeat_timeout".to_owned()));
    assert_eq!(left["userId"], "ann");
    living.done(json!({ "type": "ping" })).await;
}

#[tokio::test]
async fn a_stop_tells_everyone_when_to_come_back_and_keeps_what_it_acknowledged() {
    let server = TestServer::start().await;
    let [ann, _ben] = server.people(["ann", "ben"]).await;
    make_room(&ann, "garden", "GROUP", &["ben"]).await;
    let mut sockets = Vec::new();
    for who in ["ann", "ben", "ben"] {
        let mut socket = server.socket(who).await;
        socket.subscribe("garden", json!({})).await;
        sockets.push(socket);
    }
    for i in 0..30 {
        let frame = json!({ "type": "send", "id": i, "roomId": "garden", "message": { "content": i.to_string() } });
        sockets[0].send(frame).await;
    }
    sockets[0].frame("ok").await;
    let hear = async {
        let mut acknowledged = vec!["0".to_owned()];
        for socket in &mut sockets {
            let wait = socket.frame("drain").await["reconnectInMs"].as_u64().unwrap();
            assert!(wait <= 30, "with three there is no need to wait for {wait} ms");
            assert_eq!(socket.closed().await, (4200, "drain".to_owned()));
            let oks = socket.untaken().filter(|frame| frame["type"] == "ok" && frame["message"].is_object());
            acknowledged.extend(oks.map(|ok| ok["message"]["content"].as_str().unwrap().to_owned()));
        }
        acknowledged
    };
    let (acknowledged, server) = tokio::join!(hear, server.restart());
    let page = server.api("ben").get("/api/chat/rooms/garden/messages?after=1&limit=100").await.ok(200);
    let kept = each(&page["messages"], "content");
    assert_eq!(kept, (0..kept.len()).map(|i| i.to_string()).collect::<Vec<_>>());
    assert!(acknowledged.len() <= kept.len(), "{acknowledged:?} were acknowledged, {kept:?} kept");
    assert!(acknowledged.iter().all(|text| kept.contains(&json!(text))), "{acknowledged:?} of {kept:?}");
}

#[tokio::test]
async fn a_stop_does_not_wait_for_those_who_never_finish() {
    let server = TestServer::start().await;
    let [ann] = server.people(["ann"]).await;
    make_room(&ann, "garden", "GROUP", &[]).await;
    let mut idle = Vec::new();
    for begun in [
        String::new(),
        "GET /api/session HTTP/1.1\r\nhost: x\r\nauthor".to_owned(),
        format!(
            "POST /api/chat/rooms/garden/messages HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\n\
             content-type: application/json\r\ncontent-length: 100\r\n\r\n{{\"content\":",
            token("ann")
        ),
    ] {
        let stream = TcpStream::connect(server.address()).await.unwrap();
        write_all(&stream, begun.as_bytes()).await;
        idle.push(stream);
    }
    let nobody = Handshake::to(server.address()).open("nobody").await;
    // Answered on a connection opened after those, so they are read by now.
    Api::new(server.address(), Some(token("ann"))).get("/api/session").await.ok(200);
    let begin = Instant::now();
    assert!(server.stop_in_time().await, "something was cut off");
    assert!(begin.elapsed() < DEADLINE / 2, "it took {:?}", begin.elapsed());
    drop((idle, nobody));
}
