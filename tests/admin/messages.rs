//! Messages of any room: read, written by the application or in a member's name, blanked.

use serde_json::{Value, json};

use super::{admin, application, set};
use crate::support::{TestServer, each, fresh_id, make_room, meta, say};

#[tokio::test]
async fn any_room_is_read_whole_in_the_pages_that_members_have() {
    let server = TestServer::start().await;
    let application = application(&server);
    let [ann] = server.people(["ann"]).await;
    let room = json!({ "type": "GROUP", "historyFor": "joined", "members": [] });
    set(&application, "r", room, 201).await;
    application.post(&admin("r", "/messages"), json!({ "content": "unseen" })).await.ok(201);
    application.put(&admin("r", "/members/ann"), json!({})).await.ok(200);
    let said = say(&ann, "r", "four").await["id"].as_str().unwrap().to_owned();
    ann.patch(&format!("/api/chat/rooms/r/messages/{said}"), json!({ "content": "edited" })).await.ok(200);
    let page = async |query: &str| application.get(&admin("r", &format!("/messages{query}"))).await.ok(200);
    let seqs = |page: &Value| each(&page["messages"], "seq").iter().filter_map(Value::as_u64).collect::<Vec<_>>();
    let newest = page("").await;
    assert_eq!((seqs(&newest), &newest["rev"], &newest["cursor"]), (vec![1, 2, 3, 4], &json!(5), &json!(null)));
    let history = newest["history"].as_str().unwrap();
    let back = page("?limit=2").await;
    assert_eq!((seqs(&back), &back["cursor"], &back["hasMore"]), (vec![3, 4], &json!(3), &json!(true)));
    let before = page("?before=3").await;
    assert_eq!((seqs(&before), &before["cursor"]), (vec![1, 2], &json!(null)));
    assert_eq!(seqs(&page("?after=1&limit=2").await), [2, 3]);
    assert_eq!(seqs(&page("?around=2&limit=2").await), [1, 2]);
    let since = page(&format!("?since=1&history={history}&limit=2")).await;
    assert_eq!((seqs(&since), &since["rev"], &since["hasMore"]), (vec![2, 3], &json!(3), &json!(true)));
    let since = page(&format!("?since=3&history={history}")).await;
    assert_eq!((seqs(&since), &since["rev"], &since["hasMore"]), (vec![4], &json!(5), &json!(false)));
    application.get(&admin("r", &format!("/messages?since=9&history={history}"))).await.problem(409, "history_changed");
    application.get(&admin("r", "/messages?since=1&history=other")).await.problem(409, "history_changed");
    application.get(&admin("r", "/messages?since=1")).await.invalid("history");
    application.get(&admin("r", "/messages?limit=101")).await.invalid("limit");
    application.get(&admin("nowhere", "/messages")).await.problem(404, "room_not_found");
}

#[tokio::test]
async fn the_application_writes_in_its_own_name_and_the_same_again_is_the_same() {
    let server = TestServer::with(&["--limits", "on", "--sends-per-second", "1"]).await;
    let application = application(&server);
    let [ann] = server.people(["ann"]).await;
    make_room(&ann, "r", "GROUP", &[]).await;
    let mut socket = server.socket("ann").await;
    socket.subscribe("r", json!({})).await;
    let id = fresh_id();
    let body = json!({ "id": id, "content": "Your booking is confirmed", "metadata": { "booking": 7 } });
    let sent = application.post(&admin("r", "/messages"), body.clone()).await.ok(201);
    let message = &sent["message"];
    assert_eq!((&message["senderId"], &message["senderName"]), (&json!("tidings:system"), &json!("System")));
    assert_eq!((&message["contentType"], &message["seq"], &sent["messageId"]), (&json!("TEXT"), &json!(2), &json!(id)));
    assert_eq!(application.post(&admin("r", "/messages"), body).await.ok(200), sent);
    let other = json!({ "id": id, "content": "another text under the same id" });
    application.post(&admin("r", "/messages"), other).await.problem(409, "message_id_conflict");
    let live = socket.expect("the message", |frame| frame["type"] == "message").await;
    assert_eq!(live["message"], *message);
    assert_eq!(meta(&ann, "r").await["unreadCount"], 1);
    // It answers, and it writes as much as it likes.
    for n in 0..20 {
        application.post(&admin("r", "/messages"), json!({ "content": n.to_string(), "replyTo": id })).await.ok(201);
    }
    application
        .post(&admin("r", "/messages"), json!({ "content": "x", "replyTo": fresh_id() }))
        .await
        .invalid("replyTo");
    application.post(&admin("r", "/messages"), json!({ "content": " " })).await.invalid("content");
    application.post(&admin("nowhere", "/messages"), json!({ "content": "x" })).await.problem(404, "room_not_found");
}

#[tokio::test]
async fn a_notice_is_a_system_message_that_says_nothing_of_the_members() {
    let server = TestServer::start().await;
    let application = application(&server);
    let [ann] = server.people(["ann"]).await;
    make_room(&ann, "r", "GROUP", &[]).await;
    let post = async |body: Value| application.post(&admin("r", "/messages"), body).await;
    let id = fresh_id();
    let body =
        json!({ "id": id, "content": "Closed for today", "contentType": "SYSTEM", "metadata": { "until": "Monday" } });
    let sent = post(body.clone()).await.ok(201);
    assert_eq!(sent["message"]["metadata"], json!({ "event": "notice", "until": "Monday" }));
    assert_eq!(post(body).await.ok(200), sent);
    for event in ["removed", "left", "joined"] {
        let forged = json!({ "event": event, "userId": "ann", "byUserId": "ann" });
        post(json!({ "content": "x", "contentType": "SYSTEM", "metadata": forged })).await.invalid("metadata.event");
        // Of another kind of message nobody believes it.
        post(json!({ "content": "x", "metadata": forged })).await.ok(201);
    }
    assert_eq!(
        post(json!({ "content": "x", "contentType": "SYSTEM" })).await.ok(201)["message"]["metadata"],
        json!({ "event": "notice" })
    );
    ann.get("/api/chat/rooms/r/messages").await.ok(200);
    ann.delete(&format!("/api/chat/rooms/r/messages/{id}")).await.problem(403, "forbidden");
    application.delete(&admin("r", &format!("/messages/{id}"))).await.problem(403, "forbidden");
}

#[tokio::test]
async fn the_application_writes_in_the_name_of_a_member_and_of_nobody_else() {
    let server = TestServer::start().await;
    let application = application(&server);
    let [ann, ben, _eve] = server.people(["ann", "ben", "eve"]).await;
    make_room(&ann, "r", "GROUP", &["ben"]).await;
    let post = async |body: Value| application.post(&admin("r", "/messages"), body).await;
    let id = fresh_id();
    let body = json!({ "id": id, "content": "by mail", "as": "ben" });
    let sent = post(body.clone()).await.ok(201);
    assert_eq!((&sent["message"]["senderId"], &sent["message"]["senderName"]), (&json!("ben"), &json!("Ben")));
    assert_eq!(meta(&ben, "r").await["lastReadSeq"], 2, "what one wrote one has read");
    assert_eq!(post(body.clone()).await.ok(200), sent);
    // It is theirs: the same send of their own is the same, and they may change it.
    let own = json!({ "id": id, "content": "by mail" });
    ben.post("/api/chat/rooms/r/messages", own.clone()).await.ok(200);
    post(own).await.problem(409, "message_id_conflict");
    post(json!({ "id": id, "content": "by mail", "as": "ann" })).await.problem(409, "message_id_conflict");
    ben.patch(&format!("/api/chat/rooms/r/messages/{id}"), json!({ "content": "edited" })).await.ok(200);
    for stranger in ["eve", "nobody", "tidings:system"] {
        post(json!({ "content": "x", "as": stranger })).await.problem(403, "forbidden");
    }
    post(json!({ "content": "x", "contentType": "SYSTEM", "as": "ben" })).await.invalid("contentType");
    ben.delete("/api/chat/rooms/r/members/ben").await.ok(204);
    assert_eq!(post(body).await.ok(200)["message"]["content"], "edited", "trying again finds it even so");
    post(json!({ "content": "x", "as": "ben" })).await.problem(403, "forbidden");
}

#[tokio::test]
async fn any_message_is_blanked_but_those_of_the_log_itself() {
    let server = TestServer::start().await;
    let application = application(&server);
    let [ann, _ben] = server.people(["ann", "ben"]).await;
    make_room(&ann, "d", "DIRECT", &["ben"]).await;
    let said = say(&ann, "d", "what nobody should read").await["id"].as_str().unwrap().to_owned();
    let path = admin("d", &format!("/messages/{said}"));
    let blank = application.delete(&path).await.ok(200);
    assert_eq!((&blank["message"]["content"], &blank["message"]["rev"]), (&json!(""), &json!(3)));
    assert!(blank["message"]["deletedAt"].is_string());
    assert_eq!(application.delete(&path).await.ok(200), blank);
    let page = ann.get("/api/chat/rooms/d/messages").await.ok(200);
    assert_eq!(page["messages"][1], blank["message"]);
    let created = page["messages"][0]["id"].as_str().unwrap();
    application.delete(&admin("d", &format!("/messages/{created}"))).await.problem(403, "forbidden");
    application.delete(&admin("d", "/messages/none")).await.problem(404, "message_not_found");
    application.delete(&admin("nowhere", "/messages/none")).await.problem(404, "room_not_found");
    // What the application wrote a moderator may delete, as they may anybody's.
    make_room(&ann, "r", "GROUP", &[]).await;
    let own = application.post(&admin("r", "/messages"), json!({ "content": "an advertisement" })).await.ok(201);
    let own = own["messageId"].as_str().unwrap();
    ann.patch(&format!("/api/chat/rooms/r/messages/{own}"), json!({ "content": "x" })).await.problem(403, "forbidden");
    ann.delete(&format!("/api/chat/rooms/r/messages/{own}")).await.ok(200);
}
