//! How much one may do, and how many may come.

use serde_json::{Value, json};

use crate::support::{Handshake, TestServer, eventually, fresh_id, make_room, meta, say, token};

#[tokio::test]
async fn who_sends_too_fast_is_told_when_to_try_again_and_loses_nothing() {
    let server = TestServer::with(&["--limits", "on", "--sends-per-second", "1"]).await;
    let [ann, ben] = server.people(["ann", "ben"]).await;
    make_room(&ann, "garden", "GROUP", &["ben"]).await;
    let mut socket = Handshake::to(server.address()).token(&token("ann")).open("ann").await;
    assert_eq!(socket.frame("welcome").await["limits"]["sendsPerSecond"], 1);
    let draft_of = |id: &str| json!({ "type": "send", "roomId": "garden", "message": { "id": id, "content": "hi" } });
    let ids: Vec<String> = (0..12).map(|_| fresh_id()).collect();
    let mut sent = 0;
    let error = loop {
        assert!(sent < ids.len() - 1, "there is no limit");
        let answer = socket.request(draft_of(&ids[sent])).await;
        if answer["type"] == "error" {
            break answer;
        }
        sent += 1;
    };
    assert!(sent >= 4, "a burst of four is free, not {sent}");
    assert_eq!(error["code"], "rate_limited");
    let wait = error["retryAfterMs"].as_u64().unwrap();
    assert!((1..=1000).contains(&wait), "{wait}");
    let again = socket.done(draft_of(&ids[0])).await;
    assert_eq!(again["message"]["id"], ids[0], "what was written is found again without a limit");
    let by_http = ann.post("/api/chat/rooms/garden/messages", draft_of(&fresh_id())["message"].clone()).await;
    assert_eq!(by_http.header("retry-after"), "1");
    by_http.problem(429, "rate_limited");
    say(&ben, "garden", "others may").await;
    let next = eventually("the refused one is taken", async || {
        let answer = ann.post("/api/chat/rooms/garden/messages", draft_of(&ids[sent])["message"].clone()).await;
        (answer.status == 201).then_some(answer.json)
    });
    assert_eq!(next.await["messageId"], ids[sent]);
    assert_eq!(meta(&ben, "garden").await["lastSeq"], 3 + sent, "created, those sent, ben's, the last");
}

#[tokio::test]
async fn who_goes_on_far_over_the_limit_is_shown_out() {
    let server = TestServer::with(&["--limits", "on"]).await;
    let mut calm = server.socket("ben").await;
    let mut socket = server.socket("ann").await;
    for id in 0..1000 {
        socket.send(json!({ "type": "ping", "id": id })).await;
    }
    let refused = socket.frame("error").await;
    assert_eq!(refused["code"], "rate_limited");
    assert!(refused["id"].is_u64() && refused["retryAfterMs"].is_u64(), "{refused}");
    assert_eq!(socket.closed().await, (4102, "rate_limited".to_owned()));
    assert_eq!(calm.settle().await, Vec::<Value>::new());
}

#[tokio::test]
async fn one_connection_too_many_is_sent_away_until_there_is_room() {
    let server = TestServer::with(&["--max-connections", "1"]).await;
    let first = server.socket("ann").await;
    let mut second = Handshake::to(server.address()).token(&token("ben")).open("ben").await;
    assert_eq!(second.closed().await, (4100, "overloaded".to_owned()));
    server.api("ben").get("/api/session").await.ok(200);
    first.close().await;
    eventually("there is room again", async || {
        let mut third = Handshake::to(server.address()).token(&token("ben")).open("ben").await;
        third.opened().await.then_some(())
    })
    .await;
}
