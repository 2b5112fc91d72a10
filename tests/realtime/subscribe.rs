//! How a subscription begins, and what follows it.

use serde_json::{Value, json};

use crate::support::{Api, Log, TestServer, each, make_room, meta, say};

async fn garden(server: &TestServer, texts: usize) -> [Api; 2] {
    let people = server.people(["ann", "ben"]).await;
    make_room(&people[0], "garden", "GROUP", &["ben"]).await;
    for i in 0..texts {
        say(&people[0], "garden", &format!("text {i}")).await;
    }
    people
}

async fn history(who: &Api) -> String {
    meta(who, "garden").await["history"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn without_a_cursor_it_begins_with_the_newest_page() {
    let server = TestServer::start().await;
    garden(&server, 20).await;
    let mut socket = server.socket("ben").await;
    for (from, expected) in [(json!({}), 12..=21), (json!({ "limit": 3 }), 19..=21), (json!({ "limit": 100 }), 1..=21)]
    {
        let subscribed = socket.subscribe("garden", from).await;
        assert_eq!((&subscribed["status"], &subscribed["rev"]), (&json!("live"), &json!(21)));
        assert_eq!(subscribed.get("reason"), None);
        let page = socket.frame("messages").await;
        assert_eq!(each(&page["messages"], "seq"), expected.map(Value::from).collect::<Vec<_>>());
        assert_eq!(page["rev"], 21);
    }
    for limit in [json!(0), json!(101), json!("x"), json!(-1)] {
        socket.refused(json!({ "type": "subscribe", "roomId": "garden", "limit": limit }), "invalid").await;
    }
}

#[tokio::test]
async fn from_a_cursor_it_brings_what_was_missed_and_nothing_else() {
    let server = TestServer::start().await;
    let [ann, ben] = garden(&server, 4).await;
    let mut log = Log::new("garden");
    log.page(&ben.get("/api/chat/rooms/garden/messages").await.ok(200));
    let history = history(&ben).await;
    let from = json!({ "since": log.cursor, "history": history });
    let mut socket = server.socket("ben").await;
    let live = socket.subscribe("garden", from.clone()).await;
    assert_eq!(live["status"], "live", "nothing was missed");
    assert_eq!(socket.settle().await, Vec::<Value>::new());
    socket.close().await;
    for i in 0..3 {
        say(&ann, "garden", &format!("missed {i}")).await;
    }
    let mut socket = server.socket("ben").await;
    assert_eq!(socket.subscribe("garden", from).await["status"], "recovered");
    while log.cursor != Some(8) {
        let next = socket.expect("what was missed", |frame| frame["type"] != "ok").await;
        log.frame(&next);
    }
    assert_eq!(log.texts()[4..], ["missed 0", "missed 1", "missed 2"]);
    log.assert_equals_server(&ben).await;
    assert_eq!(socket.settle().await, Vec::<Value>::new());
}

#[tokio::test]
async fn a_cursor_that_leads_nowhere_is_reset_with_the_reason() {
    let server = TestServer::start().await;
    let [_ann, ben] = garden(&server, 10).await;
    let history = history(&ben).await;
    let mut socket = server.socket("ben").await;
    for (from, reason) in [
        (json!({ "since": 3, "history": history, "maxReplay": 7 }), Some("behind")),
        (json!({ "since": 4, "history": history, "maxReplay": 7 }), None),
        (json!({ "since": 0, "history": history, "maxReplay": 0 }), Some("behind")),
        (json!({ "since": 11, "history": history, "maxReplay": 0 }), None),
        (json!({ "since": 12, "history": history }), Some("history")),
        (json!({ "since": u64::MAX, "history": history }), Some("history")),
        (json!({ "since": 3, "history": "another" }), Some("history")),
    ] {
        let subscribed = socket.subscribe("garden", from.clone()).await;
        match reason {
            Some(reason) => {
                let got = (&subscribed["status"], &subscribed["reason"]);
                assert_eq!(got, (&json!("reset"), &json!(reason)), "{from}");
                assert_eq!(socket.frame("messages").await["rev"], 11, "{from}: the newest page follows");
            }
            None => assert_ne!(subscribed["status"], "reset", "{from}"),
        }
    }
    socket.refused(json!({ "type": "subscribe", "roomId": "garden", "since": 3 }), "invalid").await;
}

#[tokio::test]
async fn a_new_subscription_takes_the_place_of_the_old_one() {
    let server = TestServer::start().await;
    let [ann, ben] = garden(&server, 0).await;
    let mut socket = server.socket("ben").await;
    for _ in 0..3 {
        socket.subscribe("garden", json!({})).await;
    }
    socket.settle().await;
    say(&ann, "garden", "once").await;
    socket.frame("message").await;
    assert_eq!(socket.settle().await, Vec::<Value>::new(), "it came more than once");
    assert_eq!(ben.get("/api/chat/rooms/garden/presence").await.ok(200)["count"], 1);
    socket.done(json!({ "type": "unsubscribe", "roomId": "garden" })).await;
    socket.done(json!({ "type": "unsubscribe", "roomId": "garden" })).await;
    say(&ann, "garden", "unheard").await;
    assert_eq!(ben.get("/api/chat/rooms/garden/presence").await.ok(200)["count"], 0);
    assert_eq!(socket.settle().await, Vec::<Value>::new());
}

#[tokio::test]
async fn only_members_subscribe_and_only_to_so_many_rooms() {
    let server = TestServer::with(&["--rooms-per-connection", "2"]).await;
    let [ann, _ben] = garden(&server, 0).await;
    for (room, kind) in [("square", "PUBLIC"), ("shed", "GROUP"), ("attic", "GROUP")] {
        make_room(&ann, room, kind, &[]).await;
    }
    let mut ben = server.socket("ben").await;
    for (room, code) in [
        (json!("square"), "not_a_member"),
        (json!("shed"), "room_not_found"),
        (json!("nowhere"), "room_not_found"),
        (json!("a b"), "invalid"),
        (json!(7), "invalid"),
        (Value::Null, "invalid"),
    ] {
        ben.refused(json!({ "type": "subscribe", "roomId": room }), code).await;
    }
    let mut socket = server.socket("ann").await;
    for room in ["garden", "shed", "garden"] {
        socket.subscribe(room, json!({})).await;
    }
    socket.refused(json!({ "type": "subscribe", "roomId": "attic" }), "too_large").await;
    socket.done(json!({ "type": "unsubscribe", "roomId": "shed" })).await;
    socket.subscribe("attic", json!({})).await;
}

#[tokio::test]
async fn who_is_removed_hears_of_it_last_and_comes_back_as_new() {
    let server = TestServer::start().await;
    let [ann, _ben] = garden(&server, 0).await;
    let mut socket = server.socket("ben").await;
    socket.subscribe("garden", json!({})).await;
    say(&ann, "garden", "before").await;
    ann.delete("/api/chat/rooms/garden/members/ben").await.ok(204);
    say(&ann, "garden", "after").await;
    assert_eq!(socket.frame("message").await["message"]["content"], "before");
    assert_eq!(socket.frame("removed").await, json!({ "type": "removed", "roomId": "garden", "rev": 3 }));
    let rest = socket.settle().await;
    assert!(!json!(rest).to_string().contains("after"), "{rest:?}");
    socket.refused(json!({ "type": "subscribe", "roomId": "garden" }), "room_not_found").await;
    ann.put("/api/chat/rooms/garden/members/ben", json!({})).await.ok(200);
    assert_eq!(socket.subscribe("garden", json!({})).await["rev"], 5);
    say(&ann, "garden", "again").await;
    assert_eq!(socket.frame("message").await["message"]["content"], "again");
}

#[tokio::test]
async fn who_was_removed_while_away_is_not_let_in_by_an_old_cursor() {
    let server = TestServer::start().await;
    let [ann, ben] = garden(&server, 2).await;
    let from = json!({ "type": "subscribe", "roomId": "garden", "since": 1, "history": history(&ben).await });
    ann.delete("/api/chat/rooms/garden/members/ben").await.ok(204);
    let mut socket = server.socket("ben").await;
    socket.refused(from, "room_not_found").await;
    assert_eq!(socket.settle().await, Vec::<Value>::new());
}
