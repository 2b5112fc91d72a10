//! A message written to one instance reaches everyone on the others.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::task::JoinHandle;

use super::{Few, garden};
use crate::support::{Api, Reply, eventually, say, within};

/// How long a message may take over a healthy bus; it takes milliseconds.
const SOON: Duration = Duration::from_secs(1);

/// A long poll under way, and when it was answered.
async fn held(api: Api, path: &str) -> JoinHandle<(Reply, Instant)> {
    let tag = api.get(path).await.header("etag").to_owned();
    let path = format!("{path}?wait=20");
    tokio::spawn(async move { (api.get_with(&path, &[("if-none-match", &tag)]).await, Instant::now()) })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_reaches_sockets_long_polls_and_polls_on_every_other_instance() {
    let few = Few::start(2).await;
    few.garden(&["ann", "ben", "cid", "dan"]).await;
    for (here, there) in [(0, 1), (1, 0)] {
        let mut socket = few.instances[there].socket("ben").await;
        socket.subscribe("garden", json!({})).await;
        socket.frame("messages").await;
        let mut watching = few.instances[there].socket("ben").await;
        watching.done(json!({ "type": "watch" })).await;
        watching.frame("meta").await;
        let room = held(few.api(there, "cid"), &garden("meta")).await;
        let list = held(few.api(there, "cid"), "/api/chat/meta").await;
        let polling = few.api(there, "dan");
        let before = polling.get(&garden("meta")).await.ok(200);
        let message = say(&few.api(here, "ann"), "garden", &format!("from {here}")).await;
        let sent = Instant::now();
        let frame = socket.frame("message").await;
        assert_eq!(frame["message"], message, "the same bytes as the sender was told");
        assert!(sent.elapsed() < SOON, "the socket waited {:?}", sent.elapsed());
        let meta = watching.frame("meta").await;
        assert_eq!(meta["rooms"][0]["lastSeq"], message["seq"]);
        let (reply, when) = room.await.unwrap();
        assert_eq!(reply.ok(200)["rev"], message["rev"]);
        assert!(when.saturating_duration_since(sent) < SOON, "the long poll waited");
        let (reply, when) = list.await.unwrap();
        assert_eq!(reply.ok(200)["rooms"][0]["rev"], message["rev"]);
        assert!(when.saturating_duration_since(sent) < SOON, "the long poll of the list waited");
        within(SOON, "a poll sees it", || async {
            (polling.get(&garden("meta")).await.ok(200)["rev"] == message["rev"]).then_some(())
        })
        .await;
        let since = format!("messages?since={}&history={}", before["rev"], before["history"].as_str().unwrap());
        assert_eq!(polling.get(&garden(&since)).await.ok(200)["messages"], json!([message]));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn edits_deletions_and_reactions_reach_the_other_instance_as_they_are() {
    let few = Few::start(2).await;
    few.garden(&["ann", "ben"]).await;
    let mut socket = few.instances[1].socket("ben").await;
    socket.subscribe("garden", json!({})).await;
    socket.frame("messages").await;
    let ann = few.api(0, "ann");
    let message = say(&ann, "garden", "first").await;
    let path = garden(&format!("messages/{}", message["id"].as_str().unwrap()));
    let edited = ann.patch(&path, json!({ "content": "second" })).await.ok(200);
    let reacted = few.api(1, "ben").put(&format!("{path}/reactions/%F0%9F%91%8D"), json!({})).await.ok(200);
    let deleted = ann.delete(&path).await.ok(200);
    let states = [&message, &edited["message"], &reacted["message"], &deleted["message"]];
    let mut heard = socket.messages().await;
    while heard.last() != Some(states[3]) {
        heard.extend(socket.messages().await);
    }
    // One after the other, or, where the bus was late, the later ones alone: a message is told in its current state.
    let places: Vec<_> = heard.iter().map(|state| states.iter().position(|known| *known == state)).collect();
    assert!(places.iter().all(Option::is_some) && places.is_sorted(), "{heard:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_send_that_is_repeated_on_another_instance_is_the_same_send() {
    let few = Few::start(2).await;
    few.garden(&["ann", "ben"]).await;
    let body = json!({ "id": crate::support::fresh_id(), "content": "once" });
    let first = few.api(0, "ann").post(&garden("messages"), body.clone()).await.ok(201);
    let again = few.api(1, "ann").post(&garden("messages"), body.clone()).await.ok(200);
    assert_eq!(first, again);
    few.api(1, "ben").post(&garden("messages"), body).await.problem(409, "message_id_conflict");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cursor_of_one_instance_goes_on_at_another() {
    let few = Few::start(2).await;
    few.garden(&["ann", "ben"]).await;
    let mut here = few.instances[0].socket("ben").await;
    here.subscribe("garden", json!({})).await;
    let page: Value = here.frame("messages").await;
    let history = few.api(0, "ben").get(&garden("meta")).await.ok(200)["history"].clone();
    drop(here);
    let mut expected = Vec::new();
    for n in 0..300 {
        expected.push(say(&few.api(n % 2, "ann"), "garden", &n.to_string()).await["rev"].clone());
    }
    let mut there = few.instances[1].socket("ben").await;
    let answer = there.subscribe("garden", json!({ "since": page["rev"], "history": history })).await;
    assert_eq!(answer["status"], "recovered");
    let mut copy = crate::support::Log::new("garden");
    copy.page(&json!({ "messages": page["messages"], "rev": page["rev"], "history": history }));
    copy.frame(&answer);
    while copy.cursor != expected.last().unwrap().as_u64() {
        copy.frame(&there.expect("what was missed", |frame| frame["roomId"] == "garden").await);
    }
    copy.assert_equals_server(&few.api(0, "ann")).await;
    // Who was told of a message by one instance and asks the other gets it, or a `rev` that says "ask again": the answer
    // to a send waits for the bus for 5 ms only, so the other may be one publication behind.
    for n in 0..30 {
        let rev = say(&few.api(0, "ann"), "garden", &n.to_string()).await["rev"].as_u64().unwrap();
        let since = format!("messages?since={}&history={}", rev - 1, history.as_str().unwrap());
        let page = eventually("the page reaches what was acknowledged", || async {
            let page = few.api(1, "ben").get(&garden(&since)).await.ok(200);
            let behind = page["rev"].as_u64().unwrap() < rev;
            assert!(!behind || page["messages"] == json!([]), "complete up to its rev, and no further: {page}");
            (!behind).then_some(page)
        })
        .await;
        assert_eq!(page["messages"][0]["rev"], rev, "a page holds what its rev says");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn prefixes_keep_services_apart_that_share_a_redis() {
    let (one, other) = (Few::start(1).await, Few::start(1).await);
    for few in [&one, &other] {
        few.garden(&["ann", "ben"]).await;
    }
    let mut socket = other.instances[0].socket("ben").await;
    socket.subscribe("garden", json!({})).await;
    socket.frame("messages").await;
    say(&one.api(0, "ann"), "garden", "theirs").await;
    eventually("it is in the cache", || async {
        (!one.redis("get", "chat:meta:garden", &[]).is_empty()).then_some(())
    })
    .await;
    assert_eq!(other.api(0, "ben").get(&garden("meta")).await.ok(200)["lastSeq"], 1);
    let frames = socket.settle().await;
    assert!(frames.iter().all(|frame| frame["type"] != "message"), "{frames:?}");
}
