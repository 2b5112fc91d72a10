//! What a client's frames do and how they are answered: once each, under their id, in their order.

use serde_json::{Value, json};

use crate::support::{Api, Log, TestServer, each, fresh_id, make_room, say};

async fn garden(server: &TestServer) -> [Api; 2] {
    let people = server.people(["ann", "ben"]).await;
    make_room(&people[0], "garden", "GROUP", &["ben"]).await;
    people
}

#[tokio::test]
async fn every_change_reaches_everyone_with_the_next_rev() {
    let server = TestServer::start().await;
    let [_ann, api] = garden(&server).await;
    let mut ann = server.socket("ann").await;
    let mut ben = server.socket("ben").await;
    let mut log = Log::new("garden");
    ann.subscribe("garden", json!({})).await;
    ann.frame("messages").await;
    ben.send(json!({ "type": "subscribe", "roomId": "garden" })).await;
    log.frames(&[ben.frame("subscribed").await, ben.frame("messages").await]);
    let id = fresh_id();
    let of = |kind: &str| json!({ "type": kind, "roomId": "garden", "messageId": id });
    let with = |kind: &str, fields: Value| {
        let mut frame = of(kind);
        frame.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        frame
    };
    let steps = [
        json!({ "type": "send", "roomId": "garden", "message": { "id": id, "content": "hi" } }),
        with("edit", json!({ "content": "ho" })),
        with("react", json!({ "emoji": "👍", "on": true })),
        with("react", json!({ "emoji": "👍", "on": false })),
        of("delete"),
    ];
    for (step, rev) in steps.into_iter().zip(2..) {
        let done = ann.done(step.clone()).await;
        assert_eq!((&done["type"], &done["message"]["rev"]), (&json!("ok"), &json!(rev)), "{step}");
        let told = ben.frame("message").await;
        assert_eq!(told["message"], done["message"], "{step}");
        assert_eq!(ann.frame("message").await, told, "{step}: to the sender too");
        log.frame(&told);
    }
    log.assert_equals_server(&api).await;
    assert_eq!(ann.done(of("delete")).await["message"]["rev"], 6, "done before");
    assert_eq!(ben.settle().await, Vec::<Value>::new(), "nothing changed, nothing told");
}

#[tokio::test]
async fn a_message_is_sent_once_however_often() {
    let server = TestServer::start().await;
    let [ann, _ben] = garden(&server).await;
    let mut socket = server.socket("ann").await;
    socket.subscribe("garden", json!({})).await;
    let send = json!({ "type": "send", "roomId": "garden", "message": { "id": fresh_id(), "content": "hi" } });
    let first = socket.done(send.clone()).await;
    assert_eq!(socket.done(send.clone()).await["message"], first["message"]);
    let mut other = send.clone();
    other["message"]["content"] = json!("ho");
    socket.refused(other, "message_id_conflict").await;
    let by_http = ann.post("/api/chat/rooms/garden/messages", send["message"].clone()).await.ok(200);
    assert_eq!(by_http["message"], first["message"]);
    socket.frame("message").await;
    let rest: Vec<_> = socket.settle().await.into_iter().filter(|frame| frame["type"] == "message").collect();
    assert_eq!(rest, Vec::<Value>::new());
}

#[tokio::test]
async fn frames_take_effect_and_are_answered_in_the_order_they_were_sent() {
    let server = TestServer::start().await;
    let [_ann, ben] = garden(&server).await;
    let mut socket = server.socket("ann").await;
    for i in 0..50 {
        // The same id twice is the client's affair: it gets two answers.
        let id = json!(format!("f{}", i / 2));
        socket
            .send(json!({ "type": "send", "id": id, "roomId": "garden", "message": { "content": i.to_string() } }))
            .await;
    }
    let mut answers = Vec::new();
    while answers.len() < 50 {
        answers.push(socket.frame("ok").await);
    }
    for (i, answer) in answers.iter().enumerate() {
        assert_eq!(answer["id"], format!("f{}", i / 2));
        assert_eq!((&answer["message"]["content"], &answer["message"]["seq"]), (&json!(i.to_string()), &json!(i + 2)));
    }
    let page = ben.get("/api/chat/rooms/garden/messages?after=1&limit=100").await.ok(200);
    assert_eq!(each(&page["messages"], "content"), (0..50).map(|i| i.to_string()).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_frame_without_an_id_is_answered_only_if_it_fails() {
    let server = TestServer::start().await;
    garden(&server).await;
    let mut socket = server.socket("ann").await;
    for quiet in [
        json!({ "type": "send", "roomId": "garden", "message": { "content": "hi" } }),
        json!({ "type": "typing", "roomId": "garden" }),
        json!({ "type": "read", "roomId": "garden", "seq": 1 }),
        json!({ "type": "unsubscribe", "roomId": "garden" }),
        json!({ "type": "read", "id": null, "roomId": "garden", "seq": 1 }),
    ] {
        socket.send(quiet).await;
    }
    assert_eq!(socket.settle().await, Vec::<Value>::new());
    socket.send(json!({ "type": "read", "roomId": "nowhere", "seq": 1 })).await;
    let error = socket.frame("error").await;
    assert_eq!((&error["code"], error.get("id")), (&json!("room_not_found"), None));
}

#[tokio::test]
async fn an_error_carries_the_id_of_its_frame_and_ends_nothing() {
    let server = TestServer::start().await;
    let [ann, _ben] = garden(&server).await;
    let message = say(&ann, "garden", "hi").await["id"].clone();
    let mut socket = server.socket("ben").await;
    socket.subscribe("garden", json!({})).await;
    socket.frame("messages").await;
    for (frame, code) in [
        (json!({ "type": "send", "roomId": "garden", "message": { "content": "" } }), "invalid"),
        (json!({ "type": "send", "roomId": "garden", "message": { "content": { "a": 1 } } }), "invalid"),
        (json!({ "type": "send", "roomId": "garden", "message": "hi" }), "invalid"),
        (json!({ "type": "send", "roomId": "garden" }), "invalid"),
        (json!({ "type": "send", "roomId": "garden", "message": { "content": "x".repeat(4001) } }), "too_large"),
        (json!({ "type": "send", "roomId": "nowhere", "message": { "content": "x" } }), "room_not_found"),
        (json!({ "type": "edit", "roomId": "garden", "messageId": message, "content": "no" }), "forbidden"),
        (json!({ "type": "delete", "roomId": "garden", "messageId": message }), "forbidden"),
        (json!({ "type": "delete", "roomId": "garden", "messageId": fresh_id() }), "message_not_found"),
        (json!({ "type": "react", "roomId": "garden", "messageId": message, "emoji": "word", "on": true }), "invalid"),
        (json!({ "type": "react", "roomId": "garden", "messageId": message, "emoji": "👍", "on": "yes" }), "invalid"),
        (json!({ "type": "read", "roomId": "garden", "seq": -1 }), "invalid"),
        (json!({ "type": "read", "roomId": "garden", "seq": 1.5 }), "invalid"),
        (json!({ "type": "subscribe" }), "invalid"),
        (json!({ "type": "auth", "token": "nonsense" }), "unauthenticated"),
        (json!({ "type": "dance" }), "invalid"),
        (json!({ "type": "" }), "invalid"),
    ] {
        socket.refused(frame, code).await;
    }
    for id in [json!("x".repeat(65)), json!(-1), json!(1.5), json!([1]), json!(true)] {
        socket.send(json!({ "type": "ping", "id": id })).await;
        assert_eq!(socket.frame("error").await["code"], "invalid", "{id}");
    }
    for id in [json!("x".repeat(64)), json!(0), json!(u64::MAX), json!("")] {
        socket.send(json!({ "type": "ping", "id": id })).await;
        assert_eq!(socket.frame("pong").await["id"], id);
    }
    say(&ann, "garden", "still here").await;
    assert_eq!(socket.frame("message").await["message"]["content"], "still here");
}
