//! Slow mode: one message of each member every so often, except from who keeps order.

use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::{application, messages, written};
use crate::support::{TestServer, eventually, fresh_id, make_room, meta, say};

#[tokio::test(flavor = "multi_thread")]
async fn of_many_sends_at_once_one_is_taken_and_the_rest_are_told_when_to_come_back() {
    let server = TestServer::start().await;
    let [ann, ben] = server.people(["ann", "ben"]).await;
    make_room(&ann, "garden", "GROUP", &["ben"]).await;
    let set = ann.patch("/api/chat/rooms/garden", json!({ "slowModeSeconds": 3600 })).await.ok(200);
    assert_eq!((&set["room"]["slowModeSeconds"], &set["room"]["lastSeq"]), (&json!(3600), &json!(1)));
    let mut sends = JoinSet::new();
    for n in 0..32 {
        let ben = ben.clone();
        let socket = if n % 2 == 0 { Some(server.socket("ben").await) } else { None };
        sends.spawn(async move {
            let draft = json!({ "id": fresh_id(), "content": "hello" });
            let Some(mut socket) = socket else {
                let reply = ben.post(&messages("garden"), draft).await;
                if reply.status == 201 {
                    return None;
                }
                let wait = reply.header("retry-after").parse::<u64>().unwrap() * 1000;
                reply.problem(429, "slow_mode");
                return Some(wait);
            };
            let answer = socket.request(json!({ "type": "send", "roomId": "garden", "message": draft })).await;
            (answer["type"] == "error").then(|| {
                assert_eq!(answer["code"], "slow_mode", "{answer}");
                answer["retryAfterMs"].as_u64().unwrap()
            })
        });
    }
    let waits: Vec<u64> = sends.join_all().await.into_iter().flatten().collect();
    assert_eq!(waits.len(), 31);
    assert!(waits.iter().all(|wait| (3_500_000..=3_600_000).contains(wait)), "{waits:?}");
    let taken = written(&ann, "garden").await;
    assert_eq!((taken.len(), meta(&ann, "garden").await["lastSeq"].clone()), (1, json!(2)));
    // A repeat is free, and so is whatever is no new message.
    let again = json!({ "id": taken[0]["id"], "content": "hello" });
    assert_eq!(ben.post(&messages("garden"), again).await.ok(200)["message"], taken[0]);
    let path = format!("{}/{}", messages("garden"), taken[0]["id"].as_str().unwrap());
    ben.patch(&path, json!({ "content": "edited" })).await.ok(200);
    // Who keeps order may always write.
    for n in 0..3 {
        say(&ann, "garden", &n.to_string()).await;
    }
    ann.put("/api/chat/rooms/garden/members/ben", json!({ "role": "MODERATOR" })).await.ok(200);
    say(&ben, "garden", "I keep order now").await;
    ann.put("/api/chat/rooms/garden/members/ben", json!({ "role": "MEMBER" })).await.ok(200);
    ben.post(&messages("garden"), json!({ "content": "no more" })).await.problem(429, "slow_mode");
    ann.patch("/api/chat/rooms/garden", json!({ "slowModeSeconds": 0 })).await.ok(200);
    say(&ben, "garden", "as fast as one likes").await;
    say(&ben, "garden", "again").await;
}

#[tokio::test]
async fn after_the_time_the_next_one_is_taken() {
    let server = TestServer::start().await;
    let [ann, ben] = server.people(["ann", "ben"]).await;
    make_room(&ann, "garden", "GROUP", &["ben"]).await;
    ann.patch("/api/chat/rooms/garden", json!({ "slowModeSeconds": 1 })).await.ok(200);
    let mut times = Vec::new();
    for _ in 0..2 {
        let draft = json!({ "id": fresh_id(), "content": "hello" });
        let sent = eventually("it is taken", async || {
            let reply = ben.post(&messages("garden"), draft.clone()).await;
            if reply.status == 429 {
                let wait: u64 = reply.header("retry-after").parse().unwrap();
                assert_eq!((wait, &reply.json["code"]), (1, &json!("slow_mode")));
                return None;
            }
            Some(reply.ok(201)["message"]["createdAt"].as_str().unwrap().to_owned())
        });
        times.push(chrono::DateTime::parse_from_rfc3339(&sent.await).unwrap());
    }
    let apart = (times[1] - times[0]).num_microseconds().unwrap();
    assert!((1_000_000..5_000_000).contains(&apart), "{apart}");
}

#[tokio::test]
async fn leaving_is_no_way_around_it_and_the_applications_messages_do_not_count() {
    let server = TestServer::start().await;
    let [ann, ben] = server.people(["ann", "ben"]).await;
    let admin = application(&server);
    make_room(&ann, "square", "PUBLIC", &[]).await;
    let set = admin.put("/api/admin/rooms/square", json!({ "slowModeSeconds": 600 })).await.ok(200);
    assert_eq!(set["room"]["slowModeSeconds"], 600);
    let member = "/api/chat/rooms/square/members/ben";
    ben.put(member, json!({})).await.ok(200);
    ben.post(&messages("square"), json!({ "content": "just came" })).await.problem(429, "slow_mode");
    ben.delete(member).await;
    ann.put(member, json!({})).await.ok(200);
    // Whoever was added by others need not wait, nor for what was written in their name.
    let post = json!({ "content": "in their name", "as": "ben" });
    admin.post("/api/admin/rooms/square/messages", post).await.ok(201);
    say(&ben, "square", "hello").await;
    ben.post(&messages("square"), json!({ "content": "again" })).await.problem(429, "slow_mode");
    ben.delete(member).await;
    ben.put(member, json!({})).await.ok(200);
    ben.post(&messages("square"), json!({ "content": "back again" })).await.problem(429, "slow_mode");
}

#[tokio::test]
async fn moderators_set_it_and_within_bounds() {
    let server = TestServer::start().await;
    let [ann, ben] = server.people(["ann", "ben"]).await;
    let made = make_room(&ann, "garden", "GROUP", &["ben"]).await;
    assert_eq!((&made["slowModeSeconds"], &made["quota"]), (&json!(0), &Value::Null));
    ben.patch("/api/chat/rooms/garden", json!({ "slowModeSeconds": 5 })).await.problem(403, "forbidden");
    for wrong in [json!(3601), json!(-1), json!("5"), json!(1.5)] {
        ann.patch("/api/chat/rooms/garden", json!({ "slowModeSeconds": wrong })).await.invalid("slowModeSeconds");
    }
    // The quota is set by the application alone; here it is a field like any that is not known.
    let set =
        ann.patch("/api/chat/rooms/garden", json!({ "slowModeSeconds": 5, "quota": "x", "title": "T" })).await.ok(200);
    let room = &set["room"];
    assert_eq!((&room["slowModeSeconds"], &room["quota"], &room["title"]), (&json!(5), &Value::Null, &json!("T")));
    let kept = ann.patch("/api/chat/rooms/garden", json!({ "title": null })).await.ok(200);
    assert_eq!(kept["room"]["slowModeSeconds"], 5, "what is not named stays");
    assert_eq!(ben.get("/api/chat/rooms/garden").await.ok(200)["room"]["slowModeSeconds"], 5);
    assert_eq!(ben.get("/api/chat/rooms").await.ok(200)["rooms"][0]["slowModeSeconds"], 5);
}
