//! Whatever is removed while people write, change and read: from where a reader is told that the log begins, they have
//! everything, or they are told to begin anew.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use super::{AT_ONCE, application, path};
use crate::support::{Api, Log, TestServer, eventually, make_room, meta, say};

/// Messages that are written.
const MESSAGES: u64 = 400;

/// A reader by polls, who catches up in small pages: at once, or only when what comes next is gone.
async fn poll(api: Api, done: Arc<AtomicBool>, is_late: bool) -> (Log, u64) {
    let (mut log, mut expired) = (Log::new("r"), 0);
    loop {
        let last_round = done.load(Ordering::SeqCst);
        let meta = meta(&api, "r").await;
        let last = log.messages().last().map_or(0, |message| message["seq"].as_u64().unwrap());
        let is_gone = meta["oldestSeq"].as_u64().is_some_and(|oldest| oldest > last + 1);
        let wants = last_round || !is_late || log.cursor.is_none() || is_gone;
        while wants && log.cursor.is_none_or(|cursor| cursor < meta["rev"].as_u64().unwrap()) {
            let query = match (log.cursor, &log.history) {
                (Some(cursor), Some(history)) => format!("messages?limit=7&since={cursor}&history={history}"),
                _ => "messages?limit=5".to_owned(),
            };
            let reply = api.get(&path(&query)).await;
            if reply.status == 410 {
                assert!(reply.problem(410, "position_expired")["oldestSeq"].as_u64() > Some(log.oldest));
                expired += 1;
                log = Log::new("r");
                continue;
            }
            let page = reply.ok(200);
            log.page(&page);
            // Changes come by `rev`: only with the last of them there is no hole between places.
            if page["hasMore"] == false {
                log.assert_whole();
            }
        }
        if last_round {
            return (log, expired);
        }
    }
}

/// A reader by sockets, who comes and goes, each time from their cursor.
async fn follow(server: &TestServer, user: &str, done: Arc<AtomicBool>) -> Log {
    let mut log = Log::new("r");
    loop {
        let last_round = done.load(Ordering::SeqCst);
        let head = meta(&server.api(user), "r").await["rev"].as_u64();
        let mut socket = server.socket(user).await;
        let from = match (log.cursor, &log.history) {
            (Some(cursor), Some(history)) => json!({ "since": cursor, "history": history }),
            _ => json!({}),
        };
        log.frame(&socket.subscribe("r", from).await);
        let mut is_cut = false;
        while log.cursor < head {
            let cursor = log.cursor;
            let frame =
                socket.expect("what comes next", |frame| frame["type"] == "messages" || frame["type"] == "message");
            let frame = frame.await;
            // As above; a page has a hundred at most.
            is_cut |= frame["messages"].as_array().is_some_and(|rows| rows.len() == 100);
            log.frame(&frame);
            assert!(log.cursor > cursor || cursor.is_none());
        }
        if !is_cut {
            log.assert_whole();
        }
        socket.close().await;
        if last_round {
            return log;
        }
    }
}

async fn write(ann: Api) {
    let mut said: Vec<Value> = Vec::new();
    for n in 0..MESSAGES {
        said.push(say(&ann, "r", &format!("text {n}")).await);
        // An edit of one that may be gone by now.
        if n % 5 == 4 {
            let old = &said[said.len() - 1 - usize::try_from(n * 7 % 30).unwrap().min(said.len() - 1)];
            let edit = path(&format!("messages/{}", old["id"].as_str().unwrap()));
            let reply = ann.patch(&edit, json!({ "content": format!("edited {n}") })).await;
            assert!(reply.status == 200 || reply.status == 404, "{reply}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_at_any_cursor_has_all_in_order_or_is_told_what_is_gone() {
    let servers = TestServer::several_with(&AT_ONCE).await;
    let (here, there) = (&servers[0], &servers[servers.len() - 1]);
    let [ann, ben, cid] = here.people(["ann", "ben", "cid"]).await;
    make_room(&ann, "r", "GROUP", &["ben", "cid"]).await;
    let retention = json!({ "retention": { "messages": 20 } });
    application(here).put("/api/admin/rooms/r", retention).await.ok(200);
    let done = Arc::new(AtomicBool::new(false));
    let end = || async {
        write(ann.clone()).await;
        // At least one pass comes after the last message.
        eventually("no more than it keeps", || async {
            let meta = meta(&ann, "r").await;
            (meta["lastSeq"].as_u64().unwrap() < 20 + meta["oldestSeq"].as_u64().unwrap_or(1)).then_some(())
        })
        .await;
        done.store(true, Ordering::SeqCst);
    };
    let (steady, late) = (poll(there.api("ben"), done.clone(), false), poll(cid, done.clone(), true));
    let (sockets, near) = (follow(there, "ben", done.clone()), follow(here, "cid", done.clone()));
    let all = async { tokio::join!(end(), steady, late, sockets, near) };
    let ((), (steady, _), (late, expired), sockets, near) =
        tokio::time::timeout(Duration::from_mins(3), Box::pin(all)).await.expect("an end");
    let oldest = meta(&ben, "r").await["oldestSeq"].as_u64().unwrap();
    assert!(oldest > MESSAGES / 2, "passes were made: {oldest}");
    assert!(expired > 0, "one who was away for long was told");
    for log in [steady, late, sockets, near] {
        assert_eq!(log.oldest, oldest);
        let last = log.messages().last().unwrap()["seq"].as_u64().unwrap();
        assert_eq!(last, MESSAGES + 1);
        log.assert_equals_server(&ben).await;
    }
}
