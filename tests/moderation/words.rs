//! The word list on a running server: sends and edits, by HTTP and sockets.

use serde_json::{Value, json};

use super::{application, messages, queue_of, word_list, written};
use crate::support::{TestServer, fresh_id, make_room, meta, say};

const LIST: &str = "# ours\nreject: damn\nflag: free money\n";

#[tokio::test]
async fn what_the_list_rejects_takes_no_place_and_what_it_flags_is_shown_and_queued() {
    let (_folder, path) = word_list(LIST);
    let server = TestServer::with(&["--moderation-words-file", &path]).await;
    let [ann, ben] = server.people(["ann", "ben"]).await;
    let admin = application(&server);
    make_room(&ann, "garden", "GROUP", &["ben"]).await;
    let before = meta(&ann, "garden").await;
    let rejected = ann.post(&messages("garden"), json!({ "content": "Oh DA\u{200b}MN!" })).await;
    let problem = rejected.problem(422, "content_rejected");
    assert_eq!(problem["reason"], "it holds a word that is not allowed here");
    assert!(!problem.to_string().to_lowercase().contains("damn"), "{problem}");
    assert_eq!(meta(&ann, "garden").await, before, "it took a place, or a change");
    let mut socket = server.socket("ann").await;
    let frame = json!({ "type": "send", "roomId": "garden", "message": { "content": "damn" } });
    let error = socket.request(frame).await;
    assert_eq!((&error["code"], &error["reason"]), (&json!("content_rejected"), &problem["reason"]), "{error}");
    let flagged = say(&ben, "garden", "Get FREE  MONEY now").await;
    assert_eq!((&flagged["moderation"], &flagged["seq"]), (&json!("FLAGGED"), &json!(2)));
    assert_eq!(written(&ann, "garden").await, std::slice::from_ref(&flagged), "all readers see the same");
    let harmless = say(&ben, "garden", "damned and carefree moneys").await;
    assert_eq!((&harmless["moderation"], &harmless["seq"]), (&Value::Null, &json!(3)));
    let queue = queue_of(&admin).await;
    assert_eq!(queue.len(), 1);
    let case = &queue[0];
    assert_eq!(case["message"], flagged);
    for (field, value) in [
        ("roomId", json!("garden")),
        ("messageId", flagged["id"].clone()),
        ("seq", json!(2)),
        ("rev", json!(2)),
        ("senderId", json!("ben")),
        ("senderName", json!("Ben")),
        ("content", json!("Get FREE  MONEY now")),
        ("contentType", json!("TEXT")),
        ("flaggedBy", json!("WORDS")),
        ("reason", json!("it holds “free money”")),
        ("decision", Value::Null),
        ("decidedBy", Value::Null),
    ] {
        assert_eq!(case[field], value, "{field}: {case}");
    }
}

#[tokio::test]
async fn an_edit_is_no_way_around_the_list() {
    let (_folder, path) = word_list(LIST);
    let server = TestServer::with(&["--moderation-words-file", &path]).await;
    let [ann] = server.people(["ann"]).await;
    let admin = application(&server);
    make_room(&ann, "garden", "GROUP", &[]).await;
    let message = say(&ann, "garden", "hello").await;
    let path = format!("{}/{}", messages("garden"), message["id"].as_str().unwrap());
    ann.patch(&path, json!({ "content": "damn" })).await.problem(422, "content_rejected");
    assert_eq!(written(&ann, "garden").await, std::slice::from_ref(&message));
    let mut socket = server.socket("ann").await;
    let edit = json!({ "type": "edit", "roomId": "garden", "messageId": message["id"], "content": "free money" });
    let flagged = socket.done(edit.clone()).await["message"].clone();
    assert_eq!((&flagged["moderation"], &flagged["content"]), (&json!("FLAGGED"), &json!("free money")));
    assert_eq!(queue_of(&admin).await[0]["rev"], flagged["rev"]);
    socket.done(edit).await;
    assert_eq!(queue_of(&admin).await.len(), 1, "the same edit again flags nothing again");
    // What was said stays to be decided of, whatever the message says now.
    let clean = ann.patch(&path, json!({ "content": "never mind" })).await.ok(200)["message"].clone();
    assert_eq!(clean["moderation"], "FLAGGED");
    let queue = queue_of(&admin).await;
    assert_eq!((&queue[0]["content"], &queue[0]["message"]), (&json!("free money"), &clean), "{queue:?}");
}

#[tokio::test]
async fn who_may_not_edit_learns_that_and_not_what_the_list_says() {
    let (_folder, path) = word_list(LIST);
    let server = TestServer::with(&["--moderation-words-file", &path]).await;
    let [ann, ben, eve] = server.people(["ann", "ben", "eve"]).await;
    make_room(&ann, "garden", "GROUP", &["ben"]).await;
    let message = say(&ann, "garden", "hello").await;
    let path = format!("{}/{}", messages("garden"), message["id"].as_str().unwrap());
    ben.patch(&path, json!({ "content": "damn" })).await.problem(403, "forbidden");
    eve.patch(&path, json!({ "content": "damn" })).await.problem(404, "room_not_found");
    eve.post(&messages("garden"), json!({ "content": "damn" })).await.problem(404, "room_not_found");
}

#[tokio::test]
async fn what_was_sent_before_the_list_is_found_again_and_what_the_application_writes_is_not_looked_at() {
    let (_folder, path) = word_list("# nothing\n");
    let server = TestServer::with(&["--moderation-words-file", &path]).await;
    let [ann] = server.people(["ann"]).await;
    make_room(&ann, "garden", "GROUP", &[]).await;
    let draft = json!({ "id": fresh_id(), "content": "damn" });
    ann.post(&messages("garden"), draft.clone()).await.ok(201);
    std::fs::write(&path, LIST).unwrap();
    let server = server.restart().await;
    let (ann, admin) = (server.api("ann"), application(&server));
    assert_eq!(ann.post(&messages("garden"), draft.clone()).await.ok(200)["messageId"], draft["id"]);
    ann.post(&messages("garden"), json!({ "content": "damn" })).await.problem(422, "content_rejected");
    for member in [Value::Null, json!("ann")] {
        let post = json!({ "content": "damn, free money", "as": member });
        let sent = admin.post("/api/admin/rooms/garden/messages", post).await.ok(201);
        assert_eq!(sent["message"]["moderation"], Value::Null);
    }
    assert!(queue_of(&admin).await.is_empty());
}
