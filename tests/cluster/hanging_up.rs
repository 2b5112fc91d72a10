//! Senders who hang up at any moment. What was committed nevertheless is told to everyone like anything else: the way
//! from the commit to the readers hangs on nobody's connection.

use std::collections::HashSet;
use std::time::Duration;

use reqwest::Method;
use serde_json::json;

use crate::support::{Cluster, Random, fresh_id, make_room, seed};

/// Each is silent but for the one message, so that no later one shows that it was missed.
const ROOMS: usize = 80;

#[tokio::test(flavor = "multi_thread")]
async fn what_was_committed_reaches_everyone_although_its_sender_hung_up() {
    let cluster = Cluster::start().await;
    cluster.people(["ann", "ben"]).await;
    let ann = cluster.api(0, "ann");
    let mut socket = cluster.instances[1].socket("ben").await;
    let rooms: Vec<String> = (0..ROOMS).map(|n| format!("room{n}")).collect();
    for room in &rooms {
        make_room(&ann, room, "GROUP", &["ben"]).await;
        socket.subscribe(room, json!({})).await;
    }
    cluster.bus_is("proven").await;
    let mut random = Random::new(seed(), 6);
    for room in &rooms {
        let soon = Duration::from_micros(500 + random.below(9_000));
        let body = json!({ "id": fresh_id(), "content": "good-bye" });
        ann.attempt(Method::POST, &format!("/api/chat/rooms/{room}/messages"), &[], Some(&body), soon).await;
    }
    // A call that is answered comes after them on the same instance's way to the table.
    let mut committed = HashSet::new();
    for room in &rooms {
        ann.post(&format!("/api/chat/rooms/{room}/read"), json!({ "seq": 1 })).await.ok(200);
        if cluster.table(room).await.len() == 2 {
            committed.insert(room.clone());
        }
    }
    let all = committed.len();
    while !committed.is_empty() {
        for message in socket.messages().await {
            if message["content"] == "good-bye" {
                committed.remove(message["roomId"].as_str().unwrap());
            }
        }
    }
    eprintln!("{all} of {ROOMS} were committed");
    assert!((5..ROOMS).contains(&all), "{all} of {ROOMS} were committed: nobody hung up at the right moment");
    let repaired = cluster.instances[1].metric("tidings_repairs_total", &["cause=\"tail\""]).await;
    assert_eq!(repaired, 0, "the others had to find it by themselves");
}
