//! Joining, adding, roles, removing, leaving, and who the room belongs to afterwards.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{Api, TestServer, each, make_room, meta, say};

async fn role_of(reader: &Api, room: &str, user: &str) -> Value {
    let mut page = reader.get(&format!("/api/chat/rooms/{room}/members")).await.ok(200);
    let members = page["members"].as_array_mut().unwrap();
    members.iter_mut().find(|member| member["userId"] == user).map_or(Value::Null, |member| member["role"].take())
}

fn member(room: &str, user: &str) -> String {
    format!("/api/chat/rooms/{room}/members/{user}")
}

#[tokio::test]
async fn when_the_last_owner_leaves_a_moderator_then_the_longest_member_inherits() {
    let server = TestServer::start().await;
    let [ann, ben, cara] = server.people(["ann", "ben", "cara"]).await;
    make_room(&ann, "garden", "GROUP", &["ben"]).await;
    ann.put(&member("garden", "cara"), json!({ "role": "MODERATOR" })).await.ok(200);
    ann.delete(&member("garden", "ann")).await.ok(204);
    assert_eq!(role_of(&ben, "garden", "cara").await, "OWNER", "a moderator comes before a longer member");
    cara.delete(&member("garden", "cara")).await.ok(204);
    assert_eq!(role_of(&ben, "garden", "ben").await, "OWNER");
    let log = ben.get("/api/chat/rooms/garden/messages?limit=100").await.ok(200);
    let events: Vec<_> = each(&log["messages"], "metadata").iter().map(|m| m["event"].clone()).collect();
    assert_eq!(events, ["created", "added", "role", "left", "role", "left", "role"]);
    ben.delete(&member("garden", "ben")).await.ok(204);
    ben.get("/api/chat/rooms/garden").await.problem(404, "room_not_found");
}

#[tokio::test]
async fn a_room_keeps_an_owner() {
    let server = TestServer::start().await;
    let [ann, ben] = server.people(["ann", "ben"]).await;
    make_room(&ann, "garden", "GROUP", &["ben"]).await;
    ann.put(&member("garden", "ann"), json!({ "role": "MEMBER" })).await.problem(403, "forbidden");
    ann.put(&member("garden", "ben"), json!({ "role": "OWNER" })).await.ok(200);
    ann.put(&member("garden", "ann"), json!({ "role": "MEMBER" })).await.ok(200);
    ann.put(&member("garden", "ben"), json!({ "role": "MEMBER" })).await.problem(403, "forbidden");
    assert_eq!(role_of(&ben, "garden", "ben").await, "OWNER");
}

#[tokio::test]
async fn one_joins_a_public_room_as_a_plain_member_and_no_other_room() {
    let server = TestServer::start().await;
    let [ann, ben] = server.people(["ann", "ben"]).await;
    make_room(&ann, "square", "PUBLIC", &[]).await;
    make_room(&ann, "garden", "GROUP", &[]).await;
    ben.put(&member("square", "ben"), json!({ "role": "OWNER" })).await.problem(403, "forbidden");
    ben.put(&member("square", "ben"), json!({ "role": "KING" })).await.problem(400, "invalid");
    ben.put(&member("garden", "ben"), json!({})).await.problem(404, "room_not_found");
    ben.put(&member("nowhere", "ben"), json!({})).await.problem(404, "room_not_found");
    ben.put(&member("square", "ann"), json!({})).await.problem(403, "not_a_member");
    let joined = ben.put(&member("square", "ben"), json!({})).await.ok(200);
    assert_eq!((&joined["member"]["role"], &joined["member"]["lastReadSeq"]), (&json!("MEMBER"), &json!(2)));
    let again = ben.put(&member("square", "ben"), json!({})).await.ok(200);
    assert_eq!(again, joined);
    assert_eq!(meta(&ann, "square").await["rev"], 2, "joining again is nothing new");
}

#[tokio::test]
async fn what_changes_nothing_takes_no_rev() {
    let server = TestServer::start().await;
    let [ann, _ben] = server.people(["ann", "ben"]).await;
    make_room(&ann, "garden", "GROUP", &["ben"]).await;
    ann.put(&member("garden", "ben"), json!({})).await.ok(200);
    ann.put(&member("garden", "ben"), json!({ "role": "MEMBER" })).await.ok(200);
    ann.put(&member("garden", "ann"), json!({ "role": "OWNER" })).await.ok(200);
    ann.delete(&member("garden", "cara")).await.problem(404, "user_not_found");
    assert_eq!(meta(&ann, "garden").await["rev"], 1);
}

#[tokio::test]
async fn a_moderator_removes_members_and_an_owner_anyone() {
    let server = TestServer::start().await;
    let [ann, ben, _cara, dan] = server.people(["ann", "ben", "cara", "dan"]).await;
    make_room(&ann, "garden", "GROUP", &["ben", "cara", "dan"]).await;
    for moderator in ["ben", "cara"] {
        ann.put(&member("garden", moderator), json!({ "role": "MODERATOR" })).await.ok(200);
    }
    ben.delete(&member("garden", "ann")).await.problem(403, "forbidden");
    ben.delete(&member("garden", "cara")).await.problem(403, "forbidden");
    dan.delete(&member("garden", "ben")).await.problem(403, "forbidden");
    ben.delete(&member("garden", "dan")).await.ok(204);
    ann.delete(&member("garden", "cara")).await.ok(204);
    let room = ann.get("/api/chat/rooms/garden").await.ok(200);
    assert_eq!((&room["room"]["memberCount"], each(&room["room"]["members"], "userId").len()), (&json!(2), 2));
}

#[tokio::test]
async fn who_was_removed_is_shut_out_on_every_path() {
    let server = TestServer::start().await;
    let [ann, ben] = server.people(["ann", "ben"]).await;
    for (room, kind, status, code) in
        [("garden", "GROUP", 404, "room_not_found"), ("square", "PUBLIC", 403, "not_a_member")]
    {
        make_room(&ann, room, kind, &["ben"]).await;
        let message = say(&ben, room, "mine").await["id"].as_str().unwrap().to_owned();
        let base = format!("/api/chat/rooms/{room}");
        // Everything about the room is warm in memory before, so that this also tries what was kept there.
        ben.get(&format!("{base}/messages")).await.ok(200);
        ben.get(&format!("{base}/meta")).await.ok(200);
        ben.get("/api/chat/meta").await.ok(200);
        ann.delete(&member(room, "ben")).await.ok(204);
        let (get, post, patch, put, delete) = (Method::GET, Method::POST, Method::PATCH, Method::PUT, Method::DELETE);
        for (method, path, body) in [
            (&get, String::new(), json!(null)),
            (&patch, String::new(), json!({ "title": "x" })),
            (&get, "/meta".into(), json!(null)),
            (&get, "/messages".into(), json!(null)),
            (&get, "/messages?limit=2".into(), json!(null)),
            (&get, "/messages?before=2".into(), json!(null)),
            (&get, "/messages?after=0".into(), json!(null)),
            (&get, "/messages?around=1".into(), json!(null)),
            (&get, "/members".into(), json!(null)),
            (&get, "/presence".into(), json!(null)),
            (&post, "/messages".into(), json!({ "content": "hello?" })),
            (&patch, format!("/messages/{message}"), json!({ "content": "edited" })),
            (&delete, format!("/messages/{message}"), json!(null)),
            (&put, format!("/messages/{message}/reactions/%F0%9F%91%8D"), json!(null)),
            (&delete, format!("/messages/{message}/reactions/%F0%9F%91%8D"), json!(null)),
            (&post, "/read".into(), json!({})),
            (&post, "/typing".into(), json!({})),
            (&put, "/members/ann".into(), json!({})),
            (&delete, "/members/ann".into(), json!(null)),
            (&delete, "/members/ben".into(), json!(null)),
        ] {
            let body = (!body.is_null()).then(|| body.to_string().into_bytes());
            let headers = [("content-type", "application/json")];
            ben.call(method.clone(), &format!("{base}{path}"), &headers, body).await.problem(status, code);
        }
        let list = ben.get(&format!("/api/chat/meta?rooms={room}")).await.ok(200);
        assert_eq!((&list["rooms"], &list["gone"]), (&json!([]), &json!([room])));
    }
    assert_eq!(ben.get("/api/chat/meta").await.ok(200)["rooms"], json!([]));
    assert_eq!(ben.get("/api/chat/rooms").await.ok(200)["rooms"], json!([]));
    assert_eq!(ben.get("/api/chat/unread-count").await.ok(200), json!({ "unreadCount": 0 }));
}

#[tokio::test]
async fn who_comes_back_begins_with_nothing_unread() {
    let server = TestServer::start().await;
    let [ann, ben] = server.people(["ann", "ben"]).await;
    make_room(&ann, "square", "PUBLIC", &["ben"]).await;
    for text in ["one", "two"] {
        say(&ann, "square", text).await;
    }
    assert_eq!(meta(&ben, "square").await["unreadCount"], 2);
    ben.delete(&member("square", "ben")).await.ok(204);
    say(&ann, "square", "three").await;
    let back = ben.put(&member("square", "ben"), json!({})).await.ok(200);
    assert_eq!(back["member"]["lastReadSeq"], 6);
    let now = meta(&ben, "square").await;
    assert_eq!((&now["lastSeq"], &now["unreadCount"]), (&json!(6), &json!(0)));
}
