//! Rooms with `historyFor: "joined"`: one sees the log from one's latest joining on, whatever the path.

use serde_json::{Value, json};

use crate::support::{Api, TestServer, each, say};

/// Ann's room with five messages before cara joins at 6 (with a title taken from the past) and one after.
async fn joined_room(server: &TestServer) -> [Api; 3] {
    let people = server.people(["ann", "ben", "cara"]).await;
    let [ann, ..] = &people;
    let body = json!({ "id": "club", "type": "GROUP", "historyFor": "joined", "memberIds": ["ben"] });
    ann.post("/api/chat/rooms", body).await.ok(201);
    for i in 2..=5 {
        say(ann, "club", &format!("secret {i}")).await;
    }
    ann.put("/api/chat/rooms/club/members/cara", json!({})).await.ok(200);
    say(ann, "club", "welcome").await;
    people
}

async fn seqs(who: &Api, query: &str) -> Vec<Value> {
    let page = who.get(&format!("/api/chat/rooms/club/messages{query}")).await.ok(200);
    assert!(!page.to_string().contains("secret"), "{query}: {page}");
    assert!(page["cursor"].is_null(), "{query}: there is nothing before the joining: {page}");
    each(&page["messages"], "seq")
}

#[tokio::test]
async fn no_page_shows_what_was_before_the_joining() {
    let server = TestServer::start().await;
    let [ann, ben, cara] = joined_room(&server).await;
    let history = ann.get("/api/chat/rooms/club/meta").await.ok(200)["history"].as_str().unwrap().to_owned();
    // Twice, and between them someone who may see it all: what is kept in memory is not for everyone.
    for _ in 0..2 {
        for query in ["", "?limit=100", "?after=0", "?after=3", "?around=6", "?around=1&limit=20"] {
            assert_eq!(seqs(&cara, query).await, [6, 7], "{query}");
        }
        assert_eq!(seqs(&cara, &format!("?since=0&history={history}")).await, [6, 7]);
        assert_eq!(seqs(&cara, "?before=6").await, Vec::<Value>::new());
        assert_eq!(seqs(&cara, "?before=7").await, [6]);
        let all = ben.get("/api/chat/rooms/club/messages").await.ok(200);
        assert_eq!(each(&all["messages"], "seq").len(), 7, "ben was there from the beginning");
    }
}

#[tokio::test]
async fn a_change_of_an_older_message_moves_the_cursor_and_shows_nothing() {
    let server = TestServer::start().await;
    let [ann, _ben, cara] = joined_room(&server).await;
    let mut socket = server.socket("cara").await;
    socket.subscribe("club", json!({})).await;
    let first = socket.frame("messages").await;
    assert_eq!(each(&first["messages"], "seq"), [6, 7]);
    let page = ann.get("/api/chat/rooms/club/messages?limit=100").await.ok(200);
    let old = page["messages"][2]["id"].as_str().unwrap();
    ann.patch(&format!("/api/chat/rooms/club/messages/{old}"), json!({ "content": "secret 3b" })).await.ok(200);
    let told = socket.frame("messages").await;
    assert_eq!((&told["messages"], &told["rev"]), (&json!([]), &json!(8)));
    say(&ann, "club", "seen").await;
    assert_eq!(socket.frame("message").await["message"]["content"], "seen");
    let since = format!("?since=7&history={}", page["history"].as_str().unwrap());
    assert_eq!(seqs(&cara, &since).await, [8]);
    let mut again = server.socket("cara").await;
    again.subscribe("club", json!({ "since": 0, "history": page["history"] })).await;
    let caught_up = again.frame("messages").await;
    assert_eq!(
        (each(&caught_up["messages"], "seq"), &caught_up["rev"]),
        (vec![json!(6), json!(7), json!(8)], &json!(9))
    );
}

#[tokio::test]
async fn an_older_message_cannot_be_touched_or_answered_for() {
    let server = TestServer::start().await;
    let [ann, _ben, cara] = joined_room(&server).await;
    ann.put("/api/chat/rooms/club/members/cara", json!({ "role": "MODERATOR" })).await.ok(200);
    let page = ann.get("/api/chat/rooms/club/messages?limit=100").await.ok(200);
    let path = format!("/api/chat/rooms/club/messages/{}", page["messages"][2]["id"].as_str().unwrap());
    cara.delete(&path).await.problem(404, "message_not_found");
    cara.patch(&path, json!({ "content": "x" })).await.problem(404, "message_not_found");
    cara.put(&format!("{path}/reactions/%F0%9F%91%8D"), json!({})).await.problem(404, "message_not_found");
    assert_eq!(ann.get("/api/chat/rooms/club/meta").await.ok(200)["rev"], page["rev"]);
}

#[tokio::test]
async fn the_latest_joining_counts() {
    let server = TestServer::start().await;
    let [ann, _ben, cara] = joined_room(&server).await;
    assert_eq!(cara.get("/api/chat/rooms/club").await.ok(200)["room"]["lastMessage"]["content"], "welcome");
    cara.delete("/api/chat/rooms/club/members/cara").await.ok(204);
    say(&ann, "club", "secret between").await;
    ann.put("/api/chat/rooms/club/members/cara", json!({})).await.ok(200);
    assert_eq!(seqs(&cara, "?limit=100").await, [10]);
    assert_eq!(seqs(&cara, "").await, [10]);
    let rooms = cara.get("/api/chat/rooms").await.ok(200);
    assert_eq!(rooms["rooms"][0]["lastMessage"]["metadata"]["event"], "added");
}
