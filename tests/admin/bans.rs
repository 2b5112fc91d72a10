//! Bans: who is banned comes back only when a moderator or the admin side lets them.

use serde_json::json;

use super::{admin, application, events, named, roles, set};
use crate::support::{TestServer, make_room, meta, say};

fn member(room: &str, user: &str) -> String {
    format!("/api/chat/rooms/{room}/members/{user}")
}

#[tokio::test]
async fn who_is_banned_from_a_public_room_cannot_join_it_again_until_a_moderator_adds_them() {
    let server = TestServer::start().await;
    let [ann, ben] = server.people(["ann", "ben"]).await;
    make_room(&ann, "square", "PUBLIC", &[]).await;
    ben.put(&member("square", "ben"), json!({})).await.ok(200);
    let mut socket = server.socket("ben").await;
    socket.subscribe("square", json!({})).await;
    ann.delete(&(member("square", "ben") + "?ban=true")).await.ok(204);
    socket.expect("that it is over", |frame| frame["type"] == "removed").await;
    ben.get("/api/chat/rooms/square/messages").await.problem(403, "not_a_member");
    let refused = ben.put(&member("square", "ben"), json!({})).await.problem(403, "forbidden");
    assert!(refused["detail"].as_str().unwrap().contains("banned"), "{refused}");
    let after = meta(&ann, "square").await;
    ann.delete(&(member("square", "ben") + "?ban=true")).await.ok(204);
    assert_eq!(meta(&ann, "square").await, after, "banned already");
    ann.put(&member("square", "ben"), json!({})).await.ok(200);
    say(&ben, "square", "back").await;
    ben.delete(&member("square", "ben")).await.ok(204);
    ben.put(&member("square", "ben"), json!({})).await.ok(200);
    let by = |event: &str, by: &str| (event.to_owned(), "ben".to_owned(), by.to_owned());
    let expected = [
        by("joined", "ben"),
        by("removed", "ann"),
        by("banned", "ann"),
        by("added", "ann"),
        by("left", "ben"),
        by("joined", "ben"),
    ];
    assert_eq!(events(&application(&server), "square", 1).await, expected);
}

#[tokio::test]
async fn a_plain_member_cannot_add_who_is_banned_and_a_moderator_can() {
    let server = TestServer::start().await;
    let [ann, ben, _eve] = server.people(["ann", "ben", "eve"]).await;
    make_room(&ann, "r", "GROUP", &["ben"]).await;
    // Whoever is no member can be banned, too.
    ann.delete(&(member("r", "eve") + "?ban=true")).await.ok(204);
    let room = ann.get("/api/chat/rooms/r").await.ok(200);
    assert_eq!(
        (&room["room"]["memberCount"], &room["room"]["lastMessage"]["content"]),
        (&json!(2), &json!("Ann banned Eve"))
    );
    ben.put(&member("r", "eve"), json!({})).await.problem(403, "forbidden");
    ben.delete(&(member("r", "ann") + "?ban=true")).await.problem(403, "forbidden");
    ben.delete(&(member("r", "dan") + "?ban=true")).await.problem(404, "user_not_found");
    ann.put(&member("r", "ben"), json!({ "role": "MODERATOR" })).await.ok(200);
    ben.delete(&(member("r", "ann") + "?ban=true")).await.problem(403, "forbidden");
    ben.delete(&(member("r", "ben") + "?ban=true")).await.problem(403, "forbidden");
    ben.put(&member("r", "eve"), json!({})).await.ok(200);
    ann.delete(&(member("r", "eve") + "?ban=maybe")).await.invalid("ban");
}

#[tokio::test]
async fn the_admin_side_bans_whom_nobody_knows_yet_and_lifts_any_ban() {
    let server = TestServer::start().await;
    let application = application(&server);
    set(&application, "square", json!({ "type": "PUBLIC" }), 201).await;
    for _ in 0..2 {
        application.delete(&admin("square", "/members/mallory?ban=true")).await.ok(204);
    }
    let mallory = server.api("mallory");
    mallory.put(&member("square", "mallory"), json!({})).await.problem(403, "forbidden");
    application.put(&admin("square", "/members/mallory"), json!({})).await.ok(200);
    application.delete(&admin("square", "/members/mallory?ban=true")).await.ok(204);
    mallory.put(&member("square", "mallory"), json!({})).await.problem(403, "forbidden");
    set(&application, "square", json!({ "members": [{ "userId": "mallory" }] }), 200).await;
    assert_eq!(roles(&application, "square").await, [("mallory".to_owned(), "MEMBER".to_owned())]);
    mallory.delete(&member("square", "mallory")).await.ok(204);
    mallory.put(&member("square", "mallory"), json!({})).await.ok(200);
    let expected = ["banned", "added", "removed", "banned", "added"].map(|event| named(event, "mallory"));
    assert_eq!(events(&application, "square", 1).await[..5], expected);
}
