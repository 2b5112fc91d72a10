//! Removal is exact across instances, whether the bus is there or not.

use serde_json::{Value, json};

use super::garden;
use crate::support::{Api, Cluster, Loss, make_room, say};

/// The largest `seq` in anything that was shown.
fn last_shown(shown: &[Value]) -> u64 {
    let of = |message: &Value| message["seq"].as_u64().unwrap_or(0);
    let in_one = |shown: &Value| {
        let page = shown["messages"].as_array().into_iter().flatten().map(of).max().unwrap_or(0);
        let list = shown["rooms"].as_array().into_iter().flatten().map(|room| room["lastSeq"].as_u64().unwrap_or(0));
        let head = shown["lastSeq"].as_u64().unwrap_or(0);
        page.max(of(&shown["message"])).max(head).max(list.max().unwrap_or(0))
    };
    shown.iter().map(in_one).max().unwrap_or(0)
}

/// Everything polls show until one of them is refused.
async fn poll(api: Api) -> Vec<Value> {
    let mut shown = Vec::new();
    loop {
        for path in ["messages", "meta", "messages?limit=7", "messages?after=3&limit=100"] {
            let reply = api.get(&garden(path)).await;
            match reply.status {
                200 => shown.push(reply.json),
                404 => return shown,
                _ => panic!("{reply}"),
            }
        }
    }
}

/// The same of polls that are held until something changes.
async fn poll_long(api: Api) -> Vec<Value> {
    let (mut shown, mut tag) = (Vec::new(), String::new());
    loop {
        let reply = api.get_with(&garden("meta?wait=20"), &[("if-none-match", &tag)]).await;
        reply.header("etag").clone_into(&mut tag);
        match reply.status {
            200 => shown.push(reply.json),
            304 => {}
            404 => return shown,
            _ => panic!("{reply}"),
        }
    }
}

async fn rounds(cluster: &Cluster, rounds: usize) {
    for round in 0..rounds {
        let here = round % 2;
        let ann = cluster.api(0, "ann");
        ann.put(&garden("members/eve"), json!({})).await.ok(200);
        let mut live = cluster.instances[1].socket("eve").await;
        live.subscribe("garden", json!({})).await;
        let mut watching = cluster.instances[1].socket("eve").await;
        watching.done(json!({ "type": "watch" })).await;
        // That she was added may have come there, or is yet to be found.
        watching.expect("the room", |frame| frame["rooms"][0]["roomId"] == "garden").await;
        let polls = [
            tokio::spawn(poll(cluster.api(1, "eve"))),
            tokio::spawn(poll(cluster.api(0, "eve"))),
            tokio::spawn(poll_long(cluster.api(1, "eve"))),
        ];
        let sending = {
            let ann = cluster.api(0, "ann");
            tokio::spawn(async move {
                for n in 0..100 {
                    say(&ann, "garden", &n.to_string()).await;
                }
            })
        };
        let start = ann.get(&garden("meta")).await.ok(200)["lastSeq"].as_u64().unwrap();
        while ann.get(&garden("meta")).await.ok(200)["lastSeq"].as_u64().unwrap() < start + 10 + 7 * round as u64 {}
        cluster.api(here, "ann").delete(&garden("members/eve")).await.ok(204);
        let removed = live.expect("that it is over", |frame| frame["type"] == "removed").await;
        watching.expect("that the room is gone", |frame| frame["gone"] == json!(["garden"])).await;
        sending.await.unwrap();
        let removal = removal(&ann).await;
        let before = live.untaken().count();
        let frames = live.settle().await;
        assert!(frames[before..].iter().all(|frame| frame["roomId"] != "garden"), "after `removed` came {frames:?}");
        assert!(removed["rev"].as_u64().unwrap() >= removal);
        let mut shown = frames;
        shown.extend(watching.settle().await);
        for poll in polls {
            shown.extend(poll.await.unwrap());
        }
        let last = last_shown(&shown);
        assert!(last < removal, "round {round}: {last} was shown, and the removal is {removal}");
        assert!(last > start, "nothing was shown at all");
        for instance in 0..2 {
            let eve = cluster.api(instance, "eve");
            for path in ["meta", "messages", "messages?after=1", "members", "presence"] {
                eve.get(&garden(path)).await.problem(404, "room_not_found");
            }
        }
    }
}

/// The `seq` of the latest removal.
async fn removal(api: &Api) -> u64 {
    let mut before = String::new();
    loop {
        let page = api.get(&garden(&format!("messages?limit=100{before}"))).await.ok(200);
        let messages = page["messages"].as_array().unwrap();
        if let Some(found) = messages.iter().rev().find(|message| message["metadata"]["event"] == "removed") {
            return found["seq"].as_u64().unwrap();
        }
        before = format!("&before={}", page["cursor"]);
    }
}

async fn prepared() -> Cluster {
    let cluster = Cluster::start().await;
    cluster.people(["ann", "eve"]).await;
    make_room(&cluster.api(0, "ann"), "garden", "GROUP", &[]).await;
    cluster.bus_is("proven").await;
    cluster
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removal_under_a_hundred_sends_is_exact_on_the_other_instance() {
    rounds(&prepared().await, 5).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removal_under_a_hundred_sends_is_exact_while_no_publication_arrives() {
    let cluster = prepared().await;
    for proxy in &cluster.to_redis {
        proxy.lose(Loss::All);
    }
    rounds(&cluster, 4).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removal_under_a_hundred_sends_is_exact_with_redis_killed() {
    let mut cluster = prepared().await;
    cluster.redis_mut().kill();
    cluster.bus_is("unproven").await;
    rounds(&cluster, 2).await;
}
