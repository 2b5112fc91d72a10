//! Those who are there learn of it in its place in the log; those who come back are told what they cannot have any more.

use serde_json::{Value, json};

use super::{AT_ONCE, begins_at, keep, path, server};
use crate::support::{Log, TestServer, each, make_room, meta, say};

#[tokio::test(flavor = "multi_thread")]
async fn who_is_there_is_told_where_the_log_begins_now_on_every_instance() {
    let servers = TestServer::several_with(&AT_ONCE).await;
    let (here, there) = (&servers[0], &servers[servers.len() - 1]);
    let [ann, _] = here.people(["ann", "ben"]).await;
    make_room(&ann, "r", "GROUP", &["ben"]).await;
    for n in 2..=6 {
        say(&ann, "r", &format!("text {n}")).await;
    }
    let mut sockets = Vec::new();
    for server in [here, there] {
        let mut socket = server.socket("ben").await;
        socket.subscribe("r", json!({})).await;
        socket.frame("messages").await;
        socket.done(json!({ "type": "watch" })).await;
        socket.frame("meta").await;
        sockets.push(socket);
    }
    let ben = there.api("ben");
    let reply = ben.get(&path("meta")).await;
    let tag = reply.header("etag").to_owned();
    let (waiting, headers) = (path("meta?wait=20"), [("if-none-match", tag.as_str())]);
    let (held, ()) = tokio::join!(ben.get_with(&waiting, &headers), keep(here, &ann, json!({ "messages": 2 }), 5));
    let rev = reply.ok(200)["rev"].as_u64().unwrap() + 1;
    let told = held.ok(200);
    assert_eq!((&told["rev"], &told["oldestSeq"]), (&json!(rev), &json!(5)), "a poll that is held is woken by it");
    for socket in &mut sockets {
        let frame = socket.frame("messages").await;
        assert_eq!(frame, json!({ "type": "messages", "roomId": "r", "messages": [], "rev": rev, "oldestSeq": 5 }));
        let list = socket.frame("meta").await;
        let room = &list["rooms"][0];
        assert_eq!((&room["rev"], &room["oldestSeq"], &room["lastSeq"]), (&json!(rev), &json!(5), &json!(6)));
    }
    // The log goes on behind it, without a hole.
    let next = say(&ann, "r", "on").await;
    assert_eq!(next["rev"], rev + 1);
    for socket in &mut sockets {
        assert_eq!(socket.frame("message").await["message"], next);
    }
    // The newest page that instances share is of now.
    for server in [here, there] {
        let page = server.api("ben").get(&path("messages")).await.ok(200);
        assert_eq!(
            (each(&page["messages"], "seq"), &page["oldestSeq"]),
            (vec![json!(5), json!(6), json!(7)], &json!(5))
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_comes_back_with_a_cursor_below_what_is_gone_begins_anew() {
    let server = server().await;
    let [ann] = server.people(["ann"]).await;
    make_room(&ann, "r", "GROUP", &[]).await;
    for n in 2..=8 {
        say(&ann, "r", &format!("text {n}")).await;
    }
    let history = meta(&ann, "r").await["history"].clone();
    keep(&server, &ann, json!({ "messages": 3 }), 6).await;
    let server = server.restart().await;
    let mut socket = server.socket("ann").await;
    for (since, status) in [(4, "reset"), (5, "recovered"), (8, "recovered"), (9, "live")] {
        let mut log = Log::new("r");
        log.cursor = Some(since);
        let from = json!({ "since": since, "history": history });
        let subscribed = socket.subscribe("r", from).await;
        assert_eq!(subscribed["status"], status, "since {since}");
        assert_eq!(subscribed["oldestSeq"], 6);
        let reason = if status == "reset" { json!("trimmed") } else { Value::Null };
        assert_eq!(subscribed["reason"], reason);
        log.frame(&subscribed);
        if status != "live" {
            let page = socket.frame("messages").await;
            assert_eq!(page["oldestSeq"], 6);
            log.frame(&page);
        }
        assert_eq!(log.cursor, Some(9));
        let held: Vec<u64> = log.messages().map(|m| m["seq"].as_u64().unwrap()).collect();
        assert_eq!(held, (6..=8).filter(|seq| *seq > since || status == "reset").collect::<Vec<_>>());
    }
    begins_at(&server.api("ann"), 6).await;
}
