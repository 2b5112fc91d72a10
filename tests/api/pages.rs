//! Pages of a room's log, in every direction.

use serde_json::{Value, json};

use crate::support::{Api, Log, TestServer, each, make_room, say};

/// Ann's room of 25 messages; the 10th is edited, so its `rev` is the highest.
async fn room(server: &TestServer) -> (Api, String) {
    let [ann] = server.people(["ann"]).await;
    make_room(&ann, "garden", "GROUP", &[]).await;
    let mut tenth = String::new();
    for seq in 2..=25 {
        let message = say(&ann, "garden", &format!("message {seq}")).await;
        if seq == 10 {
            message["id"].as_str().unwrap().clone_into(&mut tenth);
        }
    }
    let edited = json!({ "content": "message 10, edited" });
    let edited = ann.patch(&format!("/api/chat/rooms/garden/messages/{tenth}"), edited).await.ok(200);
    assert_eq!(edited["message"]["rev"], 26);
    (ann, tenth)
}

async fn page(who: &Api, query: &str) -> Value {
    who.get(&format!("/api/chat/rooms/garden/messages{query}")).await.ok(200)
}

fn numbers(range: impl IntoIterator<Item = u64>) -> Vec<Value> {
    range.into_iter().map(Value::from).collect()
}

#[tokio::test]
async fn paging_back_meets_every_message_once_and_ends() {
    let server = TestServer::start().await;
    let (ann, _) = room(&server).await;
    let mut seqs = Vec::new();
    let mut query = "?limit=7".to_owned();
    loop {
        let page = page(&ann, &query).await;
        let found = each(&page["messages"], "seq");
        assert_eq!(page["hasMore"], !page["cursor"].is_null());
        seqs.splice(0..0, found);
        let Some(cursor) = page["cursor"].as_u64() else { break };
        query = format!("?limit=7&before={cursor}");
    }
    assert_eq!(seqs, numbers(1..=25));
}

#[tokio::test]
async fn paging_on_meets_every_message_once_and_ends() {
    let server = TestServer::start().await;
    let (ann, _) = room(&server).await;
    let mut seqs = Vec::new();
    loop {
        let after = seqs.last().map_or(0, |seq: &Value| seq.as_u64().unwrap());
        let page = page(&ann, &format!("?limit=6&after={after}")).await;
        seqs.extend(each(&page["messages"], "seq"));
        if page["hasMore"] == false {
            break;
        }
    }
    assert_eq!(seqs, numbers(1..=25));
}

#[tokio::test]
async fn a_page_knows_its_way_back() {
    let server = TestServer::start().await;
    let (ann, _) = room(&server).await;
    // Of each: the messages from one to before another.
    for (query, seqs, cursor, has_more) in [
        ("", 16..26, Some(16), true),
        ("?limit=25", 1..26, None, false),
        ("?before=1", 1..1, None, false),
        ("?before=2", 1..2, None, false),
        ("?before=12&limit=3", 9..12, Some(9), true),
        ("?before=999&limit=2", 24..26, Some(24), true),
        ("?cursor=12&limit=3", 9..12, Some(9), true),
        ("?after=0&limit=2", 1..3, None, true),
        ("?after=10&limit=2", 11..13, Some(11), true),
        ("?after=23&limit=2", 24..26, Some(24), false),
        ("?after=25", 1..1, None, false),
        ("?around=12&limit=4", 10..14, Some(10), true),
        ("?around=1&limit=4", 1..3, None, false),
        ("?around=25&limit=5", 23..26, Some(23), true),
        ("?around=12&limit=1", 12..13, Some(12), true),
    ] {
        let page = page(&ann, query).await;
        assert_eq!(each(&page["messages"], "seq"), numbers(seqs), "{query}");
        assert_eq!(page["cursor"], json!(cursor), "{query}: {page}");
        assert_eq!(page["hasMore"], has_more, "{query}");
    }
}

#[tokio::test]
async fn catching_up_by_rev_brings_each_changed_message_once_in_its_present_state() {
    let server = TestServer::start().await;
    let (ann, _) = room(&server).await;
    let mut log = Log::new("garden");
    let newest = page(&ann, "?limit=1").await;
    let history = newest["history"].as_str().unwrap();
    let mut rev = 0;
    let mut revs = Vec::new();
    loop {
        let page = page(&ann, &format!("?since={rev}&history={history}&limit=4")).await;
        log.page(&page);
        revs.extend(each(&page["messages"], "rev"));
        rev = page["rev"].as_u64().unwrap();
        assert!(page["cursor"].is_null());
        if page["hasMore"] == false {
            break;
        }
    }
    assert_eq!(revs, numbers((1..=26).filter(|rev| *rev != 10)), "by rev; the edited message left its old one");
    assert_eq!((rev, &newest["rev"]), (26, &json!(26)));
    log.assert_equals_server(&ann).await;
    assert!(page(&ann, &format!("?since=26&history={history}")).await["messages"].as_array().unwrap().is_empty());
}

#[tokio::test]
async fn a_cursor_that_means_nothing_here_is_refused() {
    let server = TestServer::start().await;
    let (ann, _) = room(&server).await;
    let history = page(&ann, "").await["history"].as_str().unwrap().to_owned();
    let get = async |query: &str| ann.get(&format!("/api/chat/rooms/garden/messages{query}")).await;
    get(&format!("?since=27&history={history}")).await.problem(409, "history_changed");
    get("?since=1&history=another").await.problem(409, "history_changed");
    assert_eq!(get("?since=1").await.problem(400, "invalid")["field"], "history");
    for query in ["?limit=0", "?limit=101", "?limit=x", "?before=-1", "?before=1.5", "?after=18446744073709551616"] {
        get(query).await.problem(400, "invalid");
    }
    for query in ["?before=3&after=2", &format!("?since=1&history={history}&around=3")] {
        get(query).await.problem(400, "invalid");
    }
    assert_eq!(get("?before=18446744073709551615&limit=1").await.ok(200)["messages"][0]["seq"], 25);
}

#[tokio::test]
async fn the_newest_page_comes_from_memory_and_is_never_old() {
    let server = TestServer::start().await;
    let (ann, tenth) = room(&server).await;
    let newest = async || ann.get("/api/chat/rooms/garden/messages").await;
    newest().await.ok(200);
    let kept = newest().await;
    assert_eq!(kept.header("x-cache"), "memory");
    assert!(kept.header("server-timing").contains("auth;dur="), "{}", kept.header("server-timing"));
    let before = kept.ok(200)["rev"].as_u64().unwrap();
    for round in 1..=5 {
        say(&ann, "garden", &format!("new {round}")).await;
        let page = newest().await.ok(200);
        assert_eq!(page["messages"][9]["content"], format!("new {round}"));
        assert_eq!(page["rev"], before + round);
    }
    ann.delete(&format!("/api/chat/rooms/garden/messages/{tenth}")).await.ok(200);
    assert_eq!(newest().await.ok(200)["rev"], before + 6);
}
