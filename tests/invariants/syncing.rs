//! 6 join without a gap, and the sync by `rev` that every transport shares.

use serde_json::json;

use super::{group, path, send};
use crate::support::{Log, TestServer};

#[tokio::test(flavor = "multi_thread")]
async fn a_poller_who_syncs_in_pages_while_edits_go_on_has_the_table_at_the_end() {
    let server = TestServer::start().await;
    let [ann, ben] = group(&server, "r", ["ann", "ben"]).await;
    let mut copy = Log::new("r");
    copy.page(&ben.get(&path("r", "messages?limit=100")).await.ok(200));
    let mut ids = Vec::new();
    for n in 0..150 {
        ids.push(send(&ann, "r", &format!("{n}")).await["id"].as_str().unwrap().to_owned());
    }
    for id in &ids[..100] {
        ann.patch(&path("r", &format!("messages/{id}")), json!({ "content": "edited" })).await.ok(200);
    }
    // 250 changes lie ahead; more come between the pages, so that rows move on while they are read.
    let mut pages = 0;
    loop {
        let since = copy.cursor.unwrap();
        let history = copy.history.clone().unwrap();
        let page = ben.get(&path("r", &format!("messages?since={since}&history={history}&limit=100"))).await.ok(200);
        copy.page(&page);
        pages += 1;
        if page["hasMore"] == false {
            break;
        }
        for id in ids.iter().skip(pages * 7).step_by(11).take(8) {
            let edit = json!({ "content": format!("edited between pages {pages}") });
            ann.patch(&path("r", &format!("messages/{id}")), edit).await.ok(200);
        }
        ann.delete(&path("r", &format!("messages/{}", ids[pages * 3]))).await.ok(200);
        ann.put(&path("r", &format!("messages/{}/reactions/%F0%9F%91%8D", ids[pages * 5 + 1])), json!({}))
            .await
            .ok(200);
    }
    assert!(pages >= 2, "the changes took {pages} pages");
    copy.assert_equals_server(&ben).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn invariant_6_whoever_joins_while_messages_pass_misses_none() {
    const MESSAGES: usize = 600;
    let server = TestServer::start().await;
    let [ann, ..] = group(&server, "r", ["ann", "ben", "cid"]).await;
    let writers = (0..3).map(|w| {
        let api = ann.with_token(&crate::support::token(["ann", "ben", "cid"][w]));
        tokio::spawn(async move {
            for n in 0..MESSAGES / 3 {
                send(&api, "r", &format!("{w}:{n}")).await;
            }
        })
    });
    let writers: Vec<_> = writers.collect();
    let end = 1 + MESSAGES as u64;
    let mut readers = Vec::new();
    let mut held: Option<(u64, String)> = None;
    // New readers, and such as come back with the cursor of a reader before them, at every moment of the storm.
    while !writers.iter().all(tokio::task::JoinHandle::is_finished) {
        let mut socket = server.socket("ben").await;
        let mut copy = Log::new("r");
        let from = match &held {
            // One who left at the very end has nothing to come back for.
            Some((since, history)) if readers.len() % 2 == 1 && *since < end => {
                copy.cursor = Some(*since);
                json!({ "since": since, "history": history })
            }
            _ => json!({ "limit": 3 }),
        };
        let subscribed = socket.subscribe("r", from).await;
        held = Some((subscribed["rev"].as_u64().unwrap(), subscribed["history"].as_str().unwrap().to_owned()));
        copy.frame(&subscribed);
        readers.push(tokio::spawn(async move {
            while copy.cursor.is_none_or(|cursor| cursor < end) {
                copy.frame(&socket.expect("the rest of the log", |frame| frame["roomId"] == "r").await);
            }
            copy
        }));
    }
    assert!(readers.len() > 5, "only {} readers came while the messages passed", readers.len());
    for reader in readers {
        let copy = reader.await.unwrap();
        assert!(copy.arrivals.is_sorted(), "in order: {:?}", copy.arrivals);
        copy.assert_equals_server(&ann).await;
    }
    for writer in writers {
        writer.await.unwrap();
    }
}
