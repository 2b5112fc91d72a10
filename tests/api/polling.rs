//! Meta: tags, polls that wait, and a whole room list as one poll.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::{Api, DEADLINE, Reply, TestServer, each, make_room, say};

const LIST: &str = "/api/chat/meta";
const META: &str = "/api/chat/rooms/garden/meta";

async fn garden(server: &TestServer) -> [Api; 2] {
    let people = server.people(["ann", "ben"]).await;
    make_room(&people[0], "garden", "GROUP", &["ben"]).await;
    people
}

async fn tag(who: &Api, path: &str) -> String {
    let reply = who.get(path).await;
    let tag = reply.header("etag").to_owned();
    reply.ok(200);
    assert!(tag.starts_with('"') && tag.ends_with('"') && tag.len() > 2, "{tag}");
    tag
}

/// A poll that knows `tag` and would wait for longer than any test.
async fn held(who: &Api, path: &str, tag: &str) -> Reply {
    let wait = if path.contains('?') { "&wait=35" } else { "?wait=35" };
    let begin = Instant::now();
    let reply = who.get_with(&format!("{path}{wait}"), &[("if-none-match", tag)]).await;
    assert!(begin.elapsed() < DEADLINE, "it waited although something happened");
    reply
}

#[tokio::test]
async fn a_tag_stays_while_nothing_changes_and_no_longer() {
    let server = TestServer::start().await;
    let [ann, ben] = garden(&server).await;
    let first = tag(&ben, META).await;
    for known in [first.clone(), format!("W/{first}")] {
        let same = ben.get_with(META, &[("if-none-match", &known)]).await;
        assert_eq!((same.status, same.bytes.len(), same.header("etag")), (304, 0, first.as_str()));
    }
    let message = say(&ann, "garden", "hi").await;
    let second = tag(&ben, META).await;
    assert_ne!(second, first, "a message");
    let path = format!("/api/chat/rooms/garden/messages/{}", message["id"].as_str().unwrap());
    ann.patch(&path, json!({ "content": "ho" })).await.ok(200);
    let third = tag(&ben, META).await;
    assert_ne!(third, second, "an edit");
    ben.post("/api/chat/rooms/garden/read", json!({})).await.ok(200);
    let fourth = tag(&ben, META).await;
    assert_ne!(fourth, third, "one's own reading");
    ann.post("/api/chat/rooms/garden/read", json!({})).await.ok(200);
    assert_eq!(tag(&ben, META).await, fourth, "somebody else's reading");
    assert_eq!(ben.get_with(META, &[("if-none-match", &third)]).await.ok(200)["unreadCount"], 0);
}

#[tokio::test]
async fn a_held_poll_ends_with_304_after_its_time() {
    let server = TestServer::start().await;
    let [_ann, ben] = garden(&server).await;
    for path in [META, "/api/chat/meta"] {
        let known = tag(&ben, path).await;
        let begin = Instant::now();
        let reply = ben.get_with(&format!("{path}?wait=1"), &[("if-none-match", &known)]).await;
        assert_eq!((reply.status, reply.header("etag")), (304, known.as_str()));
        assert!(begin.elapsed() >= Duration::from_millis(900), "it did not wait");
    }
    let begin = Instant::now();
    ben.get(&format!("{META}?wait=35")).await.ok(200);
    assert!(begin.elapsed() < DEADLINE, "without a tag there is nothing to wait for");
    for wait in ["56", "-1", "x"] {
        ben.get(&format!("{META}?wait={wait}")).await.problem(400, "invalid");
    }
}

#[tokio::test]
async fn a_held_poll_wakes_at_once_by_whatever_happens() {
    let server = TestServer::start().await;
    let [ann, ben] = garden(&server).await;
    let known = tag(&ben, META).await;
    let (poll, message) = tokio::join!(held(&ben, META, &known), say(&ann, "garden", "hi"));
    assert_eq!(poll.ok(200)["lastSeq"], 2);
    let known = tag(&ben, META).await;
    let path = format!("/api/chat/rooms/garden/messages/{}", message["id"].as_str().unwrap());
    let (poll, _) = tokio::join!(held(&ben, META, &known), ann.patch(&path, json!({ "content": "ho" })));
    assert_eq!(poll.ok(200)["rev"], 3);
    let known = tag(&ben, META).await;
    let (poll, _) = tokio::join!(held(&ben, META, &known), ben.post("/api/chat/rooms/garden/read", json!({})));
    assert_eq!(poll.ok(200)["lastReadSeq"], 2);
}

#[tokio::test]
async fn a_held_poll_of_who_is_removed_ends_as_for_a_stranger() {
    let server = TestServer::start().await;
    let [ann, ben] = garden(&server).await;
    let known = tag(&ben, META).await;
    let (poll, removed) = tokio::join!(held(&ben, META, &known), ann.delete("/api/chat/rooms/garden/members/ben"));
    assert_eq!(removed.status, 204);
    poll.problem(404, "room_not_found");
}

#[tokio::test]
async fn a_stop_answers_the_polls_it_holds() {
    let server = TestServer::start().await;
    let [_ann, ben] = garden(&server).await;
    let known = tag(&ben, META).await;
    let poll = held(&ben, META, &known);
    let stop = async {
        // Once presence is answered, the poll, which was sent before, has been read too or comes to a closed door.
        ben.get("/api/chat/rooms/garden/presence").await.ok(200);
        let begin = Instant::now();
        drop(server.stop().await);
        assert!(begin.elapsed() < DEADLINE / 2, "the stop waited for a poll");
    };
    let (poll, ()) = tokio::join!(poll, stop);
    assert_eq!(poll.status, 304);
}

#[tokio::test]
async fn a_room_list_is_one_poll() {
    let server = TestServer::start().await;
    let [ann, ben] = garden(&server).await;
    make_room(&ann, "shed", "GROUP", &["ben"]).await;
    make_room(&ann, "private", "GROUP", &[]).await;
    let all = ben.get("/api/chat/meta").await.ok(200);
    assert_eq!(each(&all["rooms"], "roomId"), ["shed", "garden"], "newest first");
    assert_eq!(all["gone"], json!([]));
    say(&ann, "garden", "hi").await;
    let named = ben.get("/api/chat/meta?rooms=garden,private,nowhere,garden").await.ok(200);
    assert_eq!(each(&named["rooms"], "roomId"), ["garden"]);
    assert_eq!((&named["rooms"][0]["unreadCount"], &named["rooms"][0]["lastSeq"]), (&json!(1), &json!(2)));
    assert_eq!(named["gone"], json!(["nowhere", "private"]));
    assert_eq!(each(&ben.get("/api/chat/meta").await.ok(200)["rooms"], "roomId"), ["garden", "shed"]);
    ben.get("/api/chat/meta?rooms=a%20b").await.problem(400, "invalid");
    let many: Vec<String> = (0..501).map(|i| format!("r{i}")).collect();
    ben.get(&format!("/api/chat/meta?rooms={}", many.join(","))).await.problem(413, "too_large");
}

#[tokio::test]
async fn a_held_list_wakes_for_every_room_that_moves_comes_or_goes() {
    let server = TestServer::start().await;
    let [ann, ben] = garden(&server).await;
    let known = tag(&ben, LIST).await;
    let (poll, _) = tokio::join!(held(&ben, LIST, &known), say(&ann, "garden", "hi"));
    assert_eq!(poll.ok(200)["rooms"][0]["rev"], 2, "a message");
    let known = tag(&ben, LIST).await;
    let (poll, _) = tokio::join!(held(&ben, LIST, &known), make_room(&ann, "shed", "GROUP", &["ben"]));
    assert_eq!(each(&poll.ok(200)["rooms"], "roomId"), ["shed", "garden"], "a new room");
    let known = tag(&ben, LIST).await;
    let (poll, _) = tokio::join!(held(&ben, LIST, &known), say(&ann, "shed", "hi"));
    assert_eq!(poll.ok(200)["rooms"][0]["rev"], 2, "a message in the new room");
    let known = tag(&ben, LIST).await;
    let (poll, _) = tokio::join!(held(&ben, LIST, &known), ben.post("/api/chat/rooms/shed/read", json!({})));
    assert_eq!(poll.ok(200)["rooms"][0]["unreadCount"], 0, "one's own reading");
    let known = tag(&ben, LIST).await;
    let (poll, _) = tokio::join!(held(&ben, LIST, &known), ann.delete("/api/chat/rooms/garden/members/ben"));
    assert_eq!(each(&poll.ok(200)["rooms"], "roomId"), ["shed"], "a removal");
    let gone = ben.get("/api/chat/meta?rooms=garden,shed").await.ok(200);
    assert_eq!(gone["gone"], json!(["garden"]));
}

#[tokio::test]
async fn a_named_room_is_not_gone_for_being_one_of_many() {
    let server = TestServer::start().await;
    let [ann, ben] = server.people(["ann", "ben"]).await;
    make_room(&ann, "oldest", "GROUP", &["ben"]).await;
    for i in 0..500 {
        make_room(&ann, &format!("r{i}"), "GROUP", &["ben"]).await;
    }
    let all = ben.get(LIST).await.ok(200);
    assert_eq!(all["rooms"].as_array().unwrap().len(), 500, "the newest");
    let named = ben.get("/api/chat/meta?rooms=oldest,r7,nowhere").await.ok(200);
    assert_eq!(
        (each(&named["rooms"], "roomId"), &named["gone"]),
        (vec![json!("r7"), json!("oldest")], &json!(["nowhere"]))
    );
    // Something moves in the oldest: it is the newest then, for polls and for those who watch.
    let mut watching = server.socket("ben").await;
    watching.done(json!({ "type": "watch" })).await;
    watching.frame("meta").await;
    let known = tag(&ben, LIST).await;
    let (poll, _) = tokio::join!(held(&ben, LIST, &known), say(&ann, "oldest", "still here"));
    assert_eq!(poll.ok(200)["rooms"][0]["roomId"], "oldest");
    let meta = watching.frame("meta").await;
    assert_eq!(meta["rooms"][0]["roomId"], "oldest", "{meta}");
}
