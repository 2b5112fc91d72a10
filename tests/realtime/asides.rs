//! Typing, presence and the read positions of others.

use serde_json::{Value, json};

use crate::support::{Api, Socket, TestServer, eventually, make_room};

async fn garden(server: &TestServer) -> ([Api; 2], Socket, Socket) {
    let people = server.people(["ann", "ben"]).await;
    make_room(&people[0], "garden", "GROUP", &["ben"]).await;
    let mut ann = server.socket("ann").await;
    ann.subscribe("garden", json!({})).await;
    let mut ben = server.socket("ben").await;
    ben.subscribe("garden", json!({})).await;
    ann.expect("ben's coming", |frame| frame["type"] == "presence" && frame["online"] == true).await;
    ann.settle().await;
    ben.settle().await;
    (people, ann, ben)
}

#[tokio::test]
async fn typing_is_told_to_the_others_and_not_too_often() {
    let server = TestServer::start().await;
    let ([_ann, api], mut ann, mut ben) = garden(&server).await;
    ben.done(json!({ "type": "typing", "roomId": "garden" })).await;
    let told = json!({ "type": "typing", "roomId": "garden", "userId": "ben", "ttlMs": 6000 });
    assert_eq!(ann.frame("typing").await, told);
    for _ in 0..5 {
        ben.done(json!({ "type": "typing", "roomId": "garden" })).await;
        api.post("/api/chat/rooms/garden/typing", json!({})).await.ok(204);
    }
    assert_eq!(ann.settle().await, Vec::<Value>::new(), "at most once in three seconds");
    assert_eq!(ben.settle().await, Vec::<Value>::new(), "not to oneself");
    ben.refused(json!({ "type": "typing", "roomId": "nowhere" }), "room_not_found").await;
}

#[tokio::test]
async fn presence_counts_people_and_not_connections() {
    let server = TestServer::start().await;
    let ([api, _ben], mut ann, ben) = garden(&server).await;
    let presence = async || api.get("/api/chat/rooms/garden/presence").await.ok(200);
    assert_eq!(presence().await, json!({ "online": ["ann", "ben"], "count": 2 }));
    let mut second = server.socket("ben").await;
    second.subscribe("garden", json!({})).await;
    ben.close().await;
    second.settle().await;
    assert_eq!(ann.settle().await, Vec::<Value>::new(), "ben was there all the time");
    assert_eq!(presence().await["count"], 2);
    second.done(json!({ "type": "unsubscribe", "roomId": "garden" })).await;
    let left = json!({ "type": "presence", "roomId": "garden", "userId": "ben", "online": false });
    assert_eq!(ann.frame("presence").await, left);
    assert_eq!(presence().await, json!({ "online": ["ann"], "count": 1 }));
}

#[tokio::test]
async fn a_held_poll_hides_no_coming_and_going_of_the_same_user() {
    let server = TestServer::start().await;
    let ([_, polling], mut ann, mut ben) = garden(&server).await;
    let tag = polling.get("/api/chat/rooms/garden/meta").await.header("etag").to_owned();
    let poll = tokio::spawn(async move {
        polling.get_with("/api/chat/rooms/garden/meta?wait=30", &[("if-none-match", &tag)]).await
    });
    ben.done(json!({ "type": "unsubscribe", "roomId": "garden" })).await;
    assert_eq!(ann.frame("presence").await["online"], false);
    // Whoever holds a poll is listed all the same: they read.
    let api = server.api("ann");
    eventually("the poll is held", || async {
        let online = api.get("/api/chat/rooms/garden/presence").await.ok(200);
        (online["online"] == json!(["ann", "ben"])).then_some(())
    })
    .await;
    ben.subscribe("garden", json!({})).await;
    assert_eq!(ann.frame("presence").await["online"], true);
    poll.abort();
}

#[tokio::test]
async fn a_connection_that_is_cut_is_no_longer_present() {
    let server = TestServer::start().await;
    let (_people, mut ann, ben) = garden(&server).await;
    drop(ben); // without a good-bye
    assert_eq!(ann.frame("presence").await["online"], false);
}

#[tokio::test]
async fn reading_is_told_to_the_others_when_it_moves() {
    let server = TestServer::start().await;
    let ([api, _], mut ann, mut ben) = garden(&server).await;
    api.post("/api/chat/rooms/garden/messages", json!({ "content": "hi" })).await.ok(201);
    ben.frame("message").await;
    ann.frame("message").await;
    let read = json!({ "type": "read", "roomId": "garden", "seq": 2 });
    let answer = ben.done(read.clone()).await;
    assert_eq!((&answer["lastReadSeq"], &answer["unreadCount"]), (&json!(2), &json!(0)));
    assert_eq!(ann.frame("read").await, json!({ "type": "read", "roomId": "garden", "userId": "ben", "seq": 2 }));
    ben.done(read).await;
    ben.done(json!({ "type": "read", "roomId": "garden", "seq": 1 })).await;
    assert_eq!(ann.settle().await, Vec::<Value>::new(), "it has not moved");
    assert_eq!(ben.settle().await, Vec::<Value>::new());
}
