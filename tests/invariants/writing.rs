//! 1 durable before acknowledged, 2 durable before visible, 3 dense, 4 once, 10 strictly later.

use std::collections::HashSet;
use std::time::Duration;

use serde_json::{Value, json};

use super::{group, path, send};
use crate::support::{Api, Log, TestServer, fresh_id, token};

async fn whole_log(api: &Api, room: &str) -> Vec<Value> {
    let mut messages = Vec::new();
    loop {
        let after = messages.last().map_or(0, |last: &Value| last["seq"].as_u64().unwrap());
        let page = api.get(&path(room, &format!("messages?limit=100&after={after}"))).await.ok(200);
        messages.extend(page["messages"].as_array().unwrap().iter().cloned());
        if page["hasMore"] == false {
            return messages;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn invariant_1_a_fault_between_any_two_statements_leaves_none_of_it() {
    let server = TestServer::start().await;
    let [ann, ben] = group(&server, "r", ["ann", "ben"]).await;
    let mut socket = server.socket("ben").await;
    socket.subscribe("r", json!({})).await;
    send(&ann, "r", "before").await;
    let meta = ann.get(&path("r", "meta")).await.ok(200);
    let mut database = server.beside().await;
    // Each statement of a send fails once, after those before it have run; the last fault is found by COMMIT itself.
    for fault in ["insert on message", "update of last_seq on room", "update of last_read_seq on member", "commit"] {
        let table = fault.rsplit(' ').next().unwrap_or_default();
        if fault == "commit" {
            database.fail_commits().await;
        } else {
            database.fail(fault, None).await;
        }
        let body = json!({ "id": fresh_id(), "content": "in between" });
        ann.post(&path("r", "messages"), body).await.problem(500, "internal");
        database.heal(if table == "commit" { "message" } else { table }).await;
        assert_eq!(ann.get(&path("r", "meta")).await.ok(200), meta, "something of the failed send is there: {fault}");
        let page = ann.get(&path("r", "messages?limit=100")).await.ok(200);
        assert_eq!(page["rev"], meta["rev"], "the head moved: {fault}");
        assert_eq!(page["messages"].as_array().unwrap().len(), 2, "the message is there: {fault}");
    }
    // The numbers were returned.
    let next = send(&ann, "r", "after").await;
    assert_eq!(next["seq"].as_u64().unwrap(), meta["lastSeq"].as_u64().unwrap() + 1);
    assert_eq!(next["rev"].as_u64().unwrap(), meta["rev"].as_u64().unwrap() + 1);
    socket.expect("the message after", |frame| frame["message"]["content"] == "after").await;
    let seen: Vec<&Value> = socket.untaken().filter(|frame| frame["message"]["content"] == "in between").collect();
    assert!(seen.is_empty(), "what was rolled back was shown: {seen:?}");
    assert_eq!(whole_log(&ben, "r").await.len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn invariant_1_a_send_that_fails_leaves_its_neighbours_in_the_same_commit_alone() {
    let server = TestServer::start().await;
    let [ann, ben] = group(&server, "r", ["ann", "ben"]).await;
    let mut database = server.beside().await;
    // The last statement of each of Ben's sends fails; message and head are written by then.
    database.fail("update of last_read_seq on member", Some("new.user_id = 'ben'")).await;
    // While another writer holds the database, the sends queue up: they are one batch.
    database.hold().await;
    let sends = (0..20).map(|n| {
        let api = if n % 2 == 0 { ann.with_token(&token("ann")) } else { ben.with_token(&token("ben")) };
        tokio::spawn(async move { api.post(&path("r", "messages"), json!({ "content": format!("{n}") })).await })
    });
    let sends: Vec<_> = sends.collect();
    database.release().await;
    for (n, sent) in sends.into_iter().enumerate() {
        let sent = sent.await.unwrap();
        if n % 2 == 0 {
            sent.ok(201)
        } else {
            sent.problem(500, "internal")
        };
    }
    let seqs: Vec<u64> = whole_log(&ann, "r").await.iter().map(|message| message["seq"].as_u64().unwrap()).collect();
    assert_eq!(seqs, (1..=11).collect::<Vec<_>>(), "the numbers of what failed were given back");
}

#[tokio::test(flavor = "multi_thread")]
async fn invariant_2_nothing_is_acknowledged_or_shown_before_its_commit() {
    let server = TestServer::start().await;
    let [ann, ben] = group(&server, "r", ["ann", "ben"]).await;
    let mut socket = server.socket("ben").await;
    socket.subscribe("r", json!({})).await;
    socket.frame("messages").await;
    let before = ben.get(&path("r", "meta")).await.ok(200);
    // Another writer holds the database, so that a send can be taken in but not committed.
    let mut database = server.beside().await;
    database.hold().await;
    let sending = tokio::spawn(async move { send(&ann, "r", "held").await });
    for _ in 0..20 {
        assert_eq!(ben.get(&path("r", "meta")).await.ok(200), before, "meta shows what is not committed");
        let page = ben.get(&path("r", "messages?limit=5")).await.ok(200);
        assert_eq!(page["rev"], before["rev"], "a page shows what is not committed");
        let frames = socket.settle().await;
        assert!(frames.iter().all(|frame| frame["type"] != "message"), "a socket shows it: {frames:?}");
    }
    assert!(!sending.is_finished(), "a send was acknowledged that cannot have been committed");
    database.release().await;
    let message = tokio::time::timeout(Duration::from_secs(10), sending).await.unwrap().unwrap();
    assert_eq!(message["content"], "held");
    socket.expect("the message", |frame| frame["message"]["content"] == "held").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn invariants_3_4_and_10_sixty_four_writers_who_send_all_twice_leave_a_dense_log() {
    const WRITERS: usize = 64;
    const EACH: usize = 12;
    let server = TestServer::start().await;
    let names: Vec<String> = (0..WRITERS).map(|n| format!("writer{n}")).collect();
    for name in &names {
        server.api(name).get("/api/session").await.ok(200);
    }
    let [ann] = server.people(["ann"]).await;
    ann.post("/api/chat/rooms", json!({ "id": "r", "type": "GROUP", "memberIds": names })).await.ok(201);
    let mut reader = server.socket("ann").await;
    reader.subscribe("r", json!({})).await;
    let mut writers = Vec::new();
    for name in &names {
        let api = server.api(name);
        writers.push(tokio::spawn(async move {
            for n in 0..EACH {
                let body = json!({ "id": fresh_id(), "content": format!("{n}") });
                // Both at once, as a client does that lost patience while the first was under way.
                let messages = path("r", "messages");
                let (a, b) = tokio::join!(api.post(&messages, body.clone()), api.post(&messages, body));
                let mut statuses = [a.status, b.status];
                statuses.sort_unstable();
                assert_eq!(statuses, [200, 201], "one of two sends of one id is new");
                assert_eq!(a.json["message"], b.json["message"]);
            }
        }));
    }
    for writer in writers {
        writer.await.unwrap();
    }
    let log = whole_log(&ann, "r").await;
    let seqs: Vec<u64> = log.iter().map(|message| message["seq"].as_u64().unwrap()).collect();
    let all = 1 + WRITERS * EACH;
    assert_eq!(seqs, (1..=all as u64).collect::<Vec<_>>(), "seq is 1..n without a hole");
    let ids: HashSet<&str> = log.iter().map(|message| message["id"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), all, "every message once");
    let times: Vec<&str> = log.iter().map(|message| message["createdAt"].as_str().unwrap()).collect();
    assert!(times.windows(2).all(|pair| pair[0] < pair[1]), "createdAt strictly increases with seq");
    let meta = ann.get(&path("r", "meta")).await.ok(200);
    assert_eq!(meta["lastMessageAt"], *times.last().unwrap());
    let mut copy = Log::new("r");
    while copy.cursor != Some(all as u64) {
        copy.frame(&reader.expect("the rest of the log", |frame| frame["roomId"] == "r").await);
    }
    assert_eq!(copy.arrivals, (1..=all as u64).collect::<Vec<_>>(), "the socket has each once, in order");
    copy.assert_equals_server(&ann).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn invariant_10_a_clock_that_went_back_makes_no_message_earlier_than_the_one_before() {
    let server = TestServer::start().await;
    let [ann, _] = group(&server, "r", ["ann", "ben"]).await;
    let mut database = server.beside().await;
    // To the service it looks as if the clock had gone back by years.
    database.run("update room set last_message_at = 4102444800000000").await;
    let first = send(&ann, "r", "first").await;
    let second = send(&ann, "r", "second").await;
    assert_eq!(first["createdAt"], "2100-01-01T00:00:00.000001Z");
    assert_eq!(second["createdAt"], "2100-01-01T00:00:00.000002Z");
    assert_eq!(ann.get(&path("r", "meta")).await.ok(200)["lastMessageAt"], second["createdAt"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn invariants_3_and_4_the_database_itself_takes_no_id_and_no_number_twice() {
    let server = TestServer::start().await;
    let [ann, _] = group(&server, "r", ["ann", "ben"]).await;
    send(&ann, "r", "once").await;
    let mut database = server.beside().await;
    // The lock of the room should be enough; these keep the log whole should it ever not be.
    for (seq, rev, id) in [("seq + 9", "rev + 9", "id"), ("seq", "rev + 9", "'new'"), ("seq + 9", "rev", "'new'")] {
        let copy = format!(
            "insert into message (room_id, seq, rev, id, hash, sender_id, sender_name, content, content_type, created_at)
             select room_id, {seq}, {rev}, {id}, hash, sender_id, sender_name, content, content_type, created_at
             from message where seq = 2"
        );
        database.assert_refuses(&copy).await;
    }
    assert_eq!(whole_log(&ann, "r").await.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn invariant_4_the_same_send_returns_the_message_as_it_is_now_and_anything_else_is_a_conflict() {
    let server = TestServer::with(&["--limits", "on", "--sends-per-second", "1"]).await;
    let [ann, ben, eve] = group(&server, "r", ["ann", "ben", "eve"]).await;
    let id = fresh_id();
    let body = json!({ "id": id, "content": "one", "metadata": { "a": 1, "b": [2] } });
    let messages = path("r", "messages");
    ann.post(&messages, body.clone()).await.ok(201);
    let edited = ann.patch(&path("r", &format!("messages/{id}")), json!({ "content": "two" })).await.ok(200);
    // Far over the limit of sends: trying again is free.
    for _ in 0..20 {
        let again = ann.post(&messages, body.clone()).await.ok(200);
        assert_eq!(again["message"], edited["message"], "the message as it is now");
    }
    let other = ann.post(&messages, json!({ "content": "a new one" })).await;
    other.problem(429, "rate_limited");
    let reordered = json!({ "metadata": { "b": [2], "a": 1 }, "content": "one", "id": id, "contentType": "TEXT" });
    ann.post(&messages, reordered).await.ok(200);
    for change in [
        json!({ "content": "1" }),
        json!({ "contentType": "IMAGE" }),
        json!({ "metadata": null }),
        json!({ "replyTo": id }),
    ] {
        let mut body = body.clone();
        body.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        ann.post(&messages, body).await.problem(409, "message_id_conflict");
    }
    ben.post(&messages, body.clone()).await.problem(409, "message_id_conflict");
    let mut socket = server.socket("ann").await;
    let ok = socket.done(json!({ "type": "send", "roomId": "r", "message": body })).await;
    assert_eq!(ok["message"], edited["message"], "the socket knows the id too");
    let before = ann.get(&path("r", "meta")).await.ok(200);
    ann.delete(&path("r", "members/eve")).await.ok(204);
    eve.post(&messages, body).await.problem(404, "room_not_found");
    assert_eq!(
        ann.get(&path("r", "meta")).await.ok(200)["lastSeq"].as_u64(),
        before["lastSeq"].as_u64().map(|seq| seq + 1)
    );
}
