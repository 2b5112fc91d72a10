//! Sending once, editing, deleting, reacting, reading.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{Api, TestServer, each, fresh_id, make_room, meta, say};

const POST: &str = "/api/chat/rooms/garden/messages";

async fn garden(server: &TestServer) -> [Api; 2] {
    let people = server.people(["ann", "ben"]).await;
    make_room(&people[0], "garden", "GROUP", &["ben"]).await;
    people
}

fn path(message: &Value) -> String {
    format!("{POST}/{}", message["id"].as_str().unwrap())
}

async fn rev(who: &Api) -> u64 {
    meta(who, "garden").await["rev"].as_u64().unwrap()
}

#[tokio::test]
async fn the_same_message_is_written_once() {
    let server = TestServer::start().await;
    let [ann, ben] = garden(&server).await;
    let body = json!({ "id": fresh_id(), "content": "hi", "metadata": { "b": 1, "a": 2 } });
    let (one, two) = tokio::join!(ann.post(POST, body.clone()), ann.post(POST, body.clone()));
    let mut statuses = [one.status, two.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 201]);
    assert_eq!(one.json["message"], two.json["message"]);
    ann.patch(&path(&one.json["message"]), json!({ "content": "hi there" })).await.ok(200);
    let third = ann.post(POST, body.clone()).await.ok(200);
    assert_eq!(third["message"]["content"], "hi there", "as it is now");
    let before = rev(&ann).await;
    for other in [
        json!({ "id": body["id"], "content": "ho", "metadata": body["metadata"] }),
        json!({ "id": body["id"], "content": "hi" }),
        json!({ "id": body["id"], "content": "hi", "metadata": body["metadata"], "contentType": "IMAGE" }),
    ] {
        ann.post(POST, other).await.problem(409, "message_id_conflict");
    }
    ben.post(POST, body.clone()).await.problem(409, "message_id_conflict");
    assert_eq!(rev(&ann).await, before);
    make_room(&ann, "other", "GROUP", &[]).await;
    ann.post("/api/chat/rooms/other/messages", body).await.ok(201);
}

#[tokio::test]
async fn a_message_keeps_what_was_sent() {
    let server = TestServer::start().await;
    let [ann, ben] = garden(&server).await;
    let first = say(&ann, "garden", "first").await;
    let text = "  keep\n\tthis 👩‍👩‍👧 \u{202e}exactly \" \\ ";
    let body = json!({ "content": text, "contentType": "IMAGE", "replyTo": first["id"],
        "metadata": { "url": "https://example.com/x.png", "deep": [{ "n": null }] }, "unknown": 1 });
    let sent = ben.post(POST, body.clone()).await.ok(201);
    let message = &sent["message"];
    for field in ["content", "contentType", "replyTo", "metadata"] {
        assert_eq!(message[field], body[field], "{field}");
    }
    assert_eq!(sent["messageId"], message["id"]);
    uuid::Uuid::parse_str(message["id"].as_str().unwrap()).expect("a made id is a UUID");
    let page = ann.get(POST).await.ok(200);
    assert_eq!(page["messages"].as_array().unwrap().last(), Some(message));
    assert!(first["createdAt"].as_str() < message["createdAt"].as_str());
    ann.post(POST, json!({ "content": "x", "replyTo": fresh_id() })).await.problem(400, "invalid");
}

#[tokio::test]
async fn a_change_that_changes_nothing_takes_no_rev() {
    let server = TestServer::start().await;
    let [ann, ben] = garden(&server).await;
    let message = path(&say(&ann, "garden", "hi").await);
    let thumb = format!("{message}/reactions/%F0%9F%91%8D");
    assert_eq!(rev(&ann).await, 2);
    for (method, path, body, after) in [
        (Method::PATCH, &message, json!({ "content": "hi" }), 2),
        (Method::PATCH, &message, json!({ "content": "ho" }), 3),
        (Method::PATCH, &message, json!({ "content": "ho" }), 3),
        (Method::DELETE, &thumb, json!({}), 3),
        (Method::PUT, &thumb, json!({}), 4),
        (Method::PUT, &thumb, json!({}), 4),
        (Method::DELETE, &thumb, json!({}), 5),
        (Method::DELETE, &thumb, json!({}), 5),
        (Method::DELETE, &message, json!({}), 6),
        (Method::DELETE, &message, json!({}), 6),
    ] {
        let body = Some(body.to_string().into_bytes());
        let reply = ann.call(method.clone(), path, &[("content-type", "application/json")], body).await.ok(200);
        assert_eq!(reply["message"]["rev"], after, "{method} {path}");
        assert_eq!(meta(&ben, "garden").await["rev"], after, "{method} {path}");
    }
}

#[tokio::test]
async fn only_the_author_edits_and_what_is_deleted_or_of_the_system_stays() {
    let server = TestServer::start().await;
    let [ann, ben] = garden(&server).await;
    let created = ann.get(POST).await.ok(200)["messages"][0].clone();
    let bens = path(&say(&ben, "garden", "mine").await);
    ann.patch(&bens, json!({ "content": "no" })).await.problem(403, "forbidden");
    ann.patch(&path(&created), json!({ "content": "no" })).await.problem(403, "forbidden");
    ann.delete(&path(&created)).await.problem(403, "forbidden");
    ben.put(&format!("{}/reactions/%F0%9F%91%8D", path(&created)), json!({})).await.problem(403, "forbidden");
    ben.put(&format!("{bens}/reactions/%F0%9F%91%8D"), json!({})).await.ok(200);
    let gone = ann.delete(&bens).await.ok(200);
    let gone = &gone["message"];
    assert_eq!((&gone["content"], &gone["reactions"], &gone["metadata"]), (&json!(""), &json!([]), &Value::Null));
    assert!(gone["deletedAt"].is_string());
    ben.patch(&bens, json!({ "content": "back" })).await.problem(403, "forbidden");
    ben.put(&format!("{bens}/reactions/%F0%9F%91%8D"), json!({})).await.problem(403, "forbidden");
    ann.patch(&format!("{POST}/{}", fresh_id()), json!({ "content": "x" })).await.problem(404, "message_not_found");
    assert_eq!(rev(&ann).await, 4);
}

#[tokio::test]
async fn all_reactions_are_counted_and_the_latest_fifty_named() {
    let server = TestServer::start().await;
    let [ann, _ben] = garden(&server).await;
    let message = say(&ann, "garden", "vote").await;
    let people: Vec<String> = (0..55).map(|i| format!("voter{i:02}")).collect();
    let mut last = Value::Null;
    for person in &people {
        let api = server.api(person);
        api.get("/api/session").await.ok(200);
        ann.put(&format!("/api/chat/rooms/garden/members/{person}"), json!({})).await.ok(200);
        last = api.put(&format!("{}/reactions/%F0%9F%91%8D", path(&message)), json!({})).await.ok(200);
    }
    let reactions = &last["message"]["reactions"];
    assert_eq!(reactions[0]["count"], 55);
    let latest: Vec<_> = people.iter().rev().take(50).cloned().collect();
    assert_eq!(reactions[0]["userIds"], json!(latest));
    let fewer = server.api("voter54").delete(&format!("{}/reactions/%F0%9F%91%8D", path(&message))).await.ok(200);
    assert_eq!(fewer["message"]["reactions"][0]["count"], 54);
    assert_eq!(fewer["message"]["reactions"][0]["userIds"][49], "voter04", "the next one moves up");
}

#[tokio::test]
async fn a_message_takes_twenty_emojis_in_the_order_they_came() {
    let server = TestServer::start().await;
    let [ann, ben] = garden(&server).await;
    let message = say(&ann, "garden", "vote").await;
    let emoji = |i: u32| char::from_u32(0x1f600 + i).unwrap().to_string();
    let encoded = |text: &str| {
        text.bytes().flat_map(|byte| format!("%{byte:02X}").into_bytes()).map(char::from).collect::<String>()
    };
    for i in (0..20).rev() {
        ann.put(&format!("{}/reactions/{}", path(&message), encoded(&emoji(i))), json!({})).await.ok(200);
    }
    let one_more = format!("{}/reactions/{}", path(&message), encoded(&emoji(20)));
    ben.put(&one_more, json!({})).await.problem(413, "too_large");
    let known = ben.put(&format!("{}/reactions/{}", path(&message), encoded(&emoji(3))), json!({})).await.ok(200);
    let reactions = &known["message"]["reactions"];
    assert_eq!(each(reactions, "emoji"), (0..20).rev().map(emoji).collect::<Vec<_>>());
    assert_eq!((&reactions[16]["count"], &reactions[16]["userIds"]), (&json!(2), &json!(["ben", "ann"])));
    for bad in ["ok", "%20", "%00", "a%F0%9F%91%8D", &encoded(&"👍".repeat(20)), "%FF"] {
        ann.put(&format!("{}/reactions/{bad}", path(&message)), json!({})).await.problem(400, "invalid");
    }
}

#[tokio::test]
async fn a_read_position_only_moves_forward() {
    let server = TestServer::start().await;
    let [ann, ben] = garden(&server).await;
    let ids: Vec<_> = [say(&ann, "garden", "2").await, say(&ann, "garden", "3").await, say(&ann, "garden", "4").await]
        .iter()
        .map(|message| message["id"].clone())
        .collect();
    let read = async |body: Value| {
        let mut position = ben.post("/api/chat/rooms/garden/read", body).await.ok(200);
        (position["lastReadSeq"].take(), position["unreadCount"].take())
    };
    assert_eq!(ben.get("/api/chat/unread-count").await.ok(200)["unreadCount"], 3);
    for (body, last_read, unread) in [
        (json!({ "seq": 0 }), 1, 3),
        (json!({ "messageIds": [ids[1], fresh_id(), ids[0]] }), 3, 1),
        (json!({ "messageIds": [] }), 3, 1),
        (json!({ "seq": 2 }), 3, 1),
        (json!({ "seq": u64::MAX }), 4, 0),
        (json!({}), 4, 0),
    ] {
        assert_eq!(read(body.clone()).await, (json!(last_read), json!(unread)), "{body}");
        assert_eq!(meta(&ben, "garden").await["unreadCount"], unread, "{body}");
    }
    assert_eq!(ben.get("/api/chat/unread-count").await.ok(200)["unreadCount"], 0);
    say(&ann, "garden", "5").await;
    assert_eq!(ben.get("/api/chat/unread-count").await.ok(200)["unreadCount"], 1);
    say(&ben, "garden", "6").await;
    assert_eq!(meta(&ben, "garden").await["lastReadSeq"], 6, "who writes has read");
    for body in [json!({ "seq": -1 }), json!({ "seq": "4" }), json!({ "seq": 1, "messageIds": [] }), json!([])] {
        ben.post("/api/chat/rooms/garden/read", body).await.problem(400, "invalid");
    }
    let many: Vec<_> = (0..501).map(|_| fresh_id()).collect();
    ben.post("/api/chat/rooms/garden/read", json!({ "messageIds": many })).await.problem(413, "too_large");
}
