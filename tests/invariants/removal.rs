//! 7 removal is exact: whoever is removed receives nothing after it, on any path.

use serde_json::{Value, json};

use super::{group, path, send};
use crate::support::TestServer;

const ROUNDS: usize = 12;

/// The largest `seq` in anything that was shown.
fn last_shown(shown: &[Value]) -> u64 {
    let of = |message: &Value| message["seq"].as_u64().unwrap_or(0);
    let in_frame = |frame: &Value| {
        let page = frame["messages"].as_array().into_iter().flatten().map(of).max().unwrap_or(0);
        page.max(of(&frame["message"])).max(frame["lastSeq"].as_u64().unwrap_or(0))
    };
    shown.iter().map(in_frame).max().unwrap_or(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn invariant_7_a_removal_under_a_hundred_sends_shows_nothing_after_it() {
    let server = TestServer::start().await;
    let [ann, eve] = group(&server, "r", ["ann", "eve"]).await;
    for round in 0..ROUNDS {
        if round > 0 {
            ann.put(&path("r", "members/eve"), json!({})).await.ok(200);
        }
        let mut live = server.socket("eve").await;
        live.subscribe("r", json!({})).await;
        let mut watching = server.socket("eve").await;
        watching.done(json!({ "type": "watch" })).await;
        let etag = eve.get(&path("r", "meta")).await.header("etag").to_owned();
        let waiting = {
            let eve = server.api("eve");
            tokio::spawn(async move { eve.get_with(&path("r", "meta?wait=20"), &[("if-none-match", &etag)]).await })
        };
        let polling = {
            let eve = server.api("eve");
            tokio::spawn(async move {
                let mut shown = Vec::new();
                loop {
                    let page = eve.get(&path("r", "messages")).await;
                    let meta = eve.get(&path("r", "meta")).await;
                    let sync = eve.get(&path("r", "messages?limit=7")).await;
                    let refused = [&page, &meta, &sync].iter().any(|reply| reply.status == 404);
                    shown.extend(
                        [page, meta, sync].into_iter().filter(|reply| reply.status == 200).map(|reply| reply.json),
                    );
                    if refused {
                        return shown;
                    }
                }
            })
        };
        let sending = {
            let ann = server.api("ann");
            tokio::spawn(async move {
                for n in 0..100 {
                    send(&ann, "r", &format!("{n}")).await;
                }
            })
        };
        // Somewhere in the middle of the sends, at another place each round.
        while ann.get(&path("r", "meta")).await.ok(200)["lastSeq"].as_u64().unwrap()
            < (round * 100 + 10 + round * 7) as u64
        {}
        ann.delete(&path("r", "members/eve")).await.ok(204);
        let removed = live.expect("that it is over", |frame| frame["type"] == "removed").await;
        let shown_by_poll = polling.await.unwrap();
        waiting.await.unwrap();
        sending.await.unwrap();
        watching.expect("that the room is gone", |frame| frame["gone"] == json!(["r"])).await;
        let removal = removal_seq(&ann).await;
        // The sends are over: whatever was to come on these sockets is there before the answer to a ping.
        let frames: Vec<Value> = live.untaken().cloned().collect();
        let after = live.settle().await.split_off(frames.len());
        assert!(after.iter().all(|frame| frame["roomId"] != "r"), "after `removed` came {after:?}");
        assert!(last_shown(&frames) < removal, "the socket showed {} of {removal}", last_shown(&frames));
        assert!(removed["rev"].as_u64().unwrap() >= removal);
        assert!(last_shown(&shown_by_poll) < removal, "a poll showed {} of {removal}", last_shown(&shown_by_poll));
        let metas: Vec<Value> =
            watching.untaken().flat_map(|frame| frame["rooms"].as_array().cloned().unwrap_or_default()).collect();
        let listed = metas.iter().filter_map(|meta| meta["lastSeq"].as_u64()).max().unwrap_or(0);
        assert!(listed < removal, "the list showed {listed} of {removal}");
        for path in [
            path("r", "meta"),
            path("r", "messages"),
            path("r", "messages?after=1"),
            path("r", "members"),
            path("r", "presence"),
        ] {
            eve.get(&path).await.problem(404, "room_not_found");
        }
        live.refused(json!({ "type": "subscribe", "roomId": "r" }), "room_not_found").await;
        let list = eve.get("/api/chat/meta?rooms=r").await.ok(200);
        assert_eq!(list["gone"], json!(["r"]));
    }
}

async fn removal_seq(ann: &crate::support::Api) -> u64 {
    let mut before = String::new();
    loop {
        let page = ann.get(&path("r", &format!("messages?limit=100{before}"))).await.ok(200);
        let messages = page["messages"].as_array().unwrap();
        if let Some(found) = messages.iter().rev().find(|message| message["metadata"]["event"] == "removed") {
            return found["seq"].as_u64().unwrap();
        }
        before = format!("&before={}", page["cursor"]);
    }
}
