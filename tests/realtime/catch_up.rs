//! Catching up over more than memory holds, and while others go on writing.

use serde_json::{Value, json};

use crate::support::{Api, Log, Socket, TestServer, fresh_id, make_room, meta};

/// More than the frames a room keeps in memory.
const MANY: usize = 320;

async fn garden(server: &TestServer) -> [Api; 2] {
    let people = server.people(["ann", "ben"]).await;
    make_room(&people[0], "garden", "GROUP", &["ben"]).await;
    people
}

/// Sends a hundred at a time without waiting in between; returns when all are acknowledged. More at once would stop
/// at a server that reads nothing from those who do not take its answers.
async fn write(socket: &mut Socket, texts: impl IntoIterator<Item = String>) {
    let texts: Vec<String> = texts.into_iter().collect();
    for texts in texts.chunks(100) {
        let ids: Vec<String> = texts.iter().map(|_| fresh_id()).collect();
        for (text, id) in texts.iter().zip(&ids) {
            let message = json!({ "content": text });
            socket.send(json!({ "type": "send", "id": id, "roomId": "garden", "message": message })).await;
        }
        for id in ids {
            socket.expect("an ok", |frame| frame["id"] == id).await;
        }
    }
}

fn texts(count: usize) -> Vec<String> {
    (0..count).map(|i| format!("text {i}")).collect()
}

/// Applies frames until the copy is complete up to `rev`; returns their types.
async fn follow(socket: &mut Socket, log: &mut Log, rev: u64) -> Vec<String> {
    let mut kinds = Vec::new();
    while log.cursor.is_none_or(|cursor| cursor < rev) {
        let frame = socket.expect("the next change", |frame| frame["roomId"] == "garden").await;
        log.frame(&frame);
        kinds.push(frame["type"].as_str().unwrap().to_owned());
    }
    kinds
}

#[tokio::test]
async fn what_memory_does_not_reach_comes_in_pages() {
    let server = TestServer::start().await;
    let [ann, ben] = garden(&server).await;
    let mut socket = server.socket("ann").await;
    // Followed while it is written, so that memory holds the end of it.
    socket.subscribe("garden", json!({})).await;
    write(&mut socket, texts(MANY)).await;
    let head = meta(&ann, "garden").await;
    let mut log = Log::new("garden");
    let mut reader = server.socket("ben").await;
    let subscribed = reader.subscribe("garden", json!({ "since": 0, "history": head["history"] })).await;
    assert_eq!(subscribed["status"], "recovered");
    log.cursor = Some(0);
    let kinds = follow(&mut reader, &mut log, head["rev"].as_u64().unwrap()).await;
    assert_eq!(log.texts(), texts(MANY));
    assert!(kinds.iter().filter(|kind| *kind == "messages").count() >= 1, "{kinds:?}");
    log.assert_equals_server(&ben).await;
    assert_eq!(reader.settle().await, Vec::<Value>::new());
}

#[tokio::test]
async fn who_was_away_for_a_restart_misses_nothing() {
    let server = TestServer::start().await;
    garden(&server).await;
    let mut log = Log::new("garden");
    let mut reader = server.socket("ben").await;
    log.frame(&reader.subscribe("garden", json!({})).await);
    let mut socket = server.socket("ann").await;
    write(&mut socket, texts(5)).await;
    follow(&mut reader, &mut log, 6).await;
    reader.close().await;
    write(&mut socket, texts(250)).await;
    let server = server.restart().await;
    let ben = server.api("ben");
    let mut reader = server.socket("ben").await;
    let from = json!({ "since": log.cursor, "history": log.history });
    let subscribed = reader.subscribe("garden", from).await;
    assert_eq!((&subscribed["status"], &subscribed["rev"]), (&json!("recovered"), &json!(256)));
    let kinds = follow(&mut reader, &mut log, 256).await;
    assert_eq!(kinds, ["messages"; 3], "250 changes, 100 in a page");
    log.assert_equals_server(&ben).await;
}

#[tokio::test]
async fn changes_made_while_catching_up_come_after_it_without_a_gap() {
    let server = TestServer::start().await;
    let [ann, ben] = garden(&server).await;
    let mut socket = server.socket("ann").await;
    write(&mut socket, texts(MANY)).await;
    let history = meta(&ann, "garden").await["history"].clone();
    let mut readers = Vec::new();
    for _ in 0..4 {
        let mut reader = server.socket("ben").await;
        let subscribe = json!({ "type": "subscribe", "roomId": "garden", "since": 0, "history": history });
        reader.send(subscribe).await;
        readers.push(reader);
    }
    write(&mut socket, (0..100).map(|i| format!("meanwhile {i}"))).await;
    let head = meta(&ann, "garden").await["rev"].as_u64().unwrap();
    for reader in &mut readers {
        let mut log = Log::new("garden");
        log.cursor = Some(0);
        follow(reader, &mut log, head).await;
        assert_eq!(log.texts().len(), MANY + 100);
        log.assert_equals_server(&ben).await;
    }
}

#[tokio::test]
async fn who_does_not_read_for_a_while_misses_nothing_and_holds_nobody_up() {
    let server = TestServer::with(&["--message-chars", "16000"]).await;
    let [ann, ben] = garden(&server).await;
    let mut slow = server.socket("ben").await;
    slow.subscribe("garden", json!({})).await;
    let mut log = Log::new("garden");
    log.frame(&slow.frame("messages").await);
    let mut socket = server.socket("ann").await;
    // More than the buffers of both ends and the room's memory hold together.
    let padding = "x".repeat(15_990);
    write(&mut socket, (0..500).map(|i| format!("{i} {padding}"))).await;
    let head = meta(&ann, "garden").await["rev"].as_u64().unwrap();
    assert_eq!(head, 501);
    let kinds = follow(&mut slow, &mut log, head).await;
    assert!(kinds.iter().any(|kind| kind == "messages"), "it was never behind what memory holds");
    assert_eq!(log.texts().len(), 500);
    log.assert_equals_server(&ben).await;
}

#[tokio::test]
async fn who_was_out_of_the_room_while_behind_does_not_see_what_was_said_meanwhile() {
    let server = TestServer::with(&["--message-chars", "16000"]).await;
    let [ann, _ben] = server.people(["ann", "ben"]).await;
    let room = json!({ "id": "garden", "type": "GROUP", "historyFor": "joined", "memberIds": ["ben"] });
    ann.post("/api/chat/rooms", room).await.ok(201);
    let mut slow = server.socket("ben").await;
    slow.subscribe("garden", json!({})).await;
    let mut socket = server.socket("ann").await;
    let padding = "x".repeat(15_900);
    // Until nothing more fits between the two, then a removal, more than memory holds, and the way back in.
    write(&mut socket, (0..500).map(|i| format!("open {i} {padding}"))).await;
    ann.delete("/api/chat/rooms/garden/members/ben").await.ok(204);
    write(&mut socket, (0..100).map(|i| format!("secret {i} {padding}"))).await;
    ann.put("/api/chat/rooms/garden/members/ben", json!({})).await.ok(200);
    write(&mut socket, ["the end".to_owned()]).await;
    loop {
        let frame = slow.expect("the next change", |frame| frame["roomId"] == "garden").await;
        assert!(!frame.to_string().contains("secret"), "ben was not in the room: {frame:.200}");
        if frame["type"] == "removed" || frame.to_string().contains("the end") {
            break;
        }
    }
}
