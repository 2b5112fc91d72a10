//! Senders who hang up at any moment. What was committed nevertheless is told to everyone like anything else: the way
//! from the commit to the readers hangs on nobody's connection.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::json;

use crate::support::{Cluster, Random, fresh_id, make_room, say, seed};

/// Each is silent but for the one message, so that no later one shows that it was missed.
const ROOMS: usize = 80;
/// Sends that show how long one takes.
const PACES: u64 = 20;

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
    let path = |room: &str| format!("/api/chat/rooms/{room}/messages");
    // How long a send takes here: the moment to hang up lies within it.
    make_room(&ann, "paces", "GROUP", &[]).await;
    let begin = Instant::now();
    for n in 0..PACES {
        say(&ann, "paces", &n.to_string()).await;
    }
    let takes = u64::try_from(begin.elapsed().as_micros()).unwrap() / PACES;
    let mut hung_up = HashSet::new();
    for room in &rooms {
        let soon = Duration::from_micros(takes / 4 + random.below(takes));
        let body = json!({ "id": fresh_id(), "content": "good-bye" });
        if ann.attempt(Method::POST, &path(room), &[], Some(&body), soon).await.is_none() {
            hung_up.insert(room.clone());
        }
    }
    // A call that is answered comes after them on the same instance's way to the table.
    let mut committed = HashSet::new();
    for room in &rooms {
        ann.post(&format!("/api/chat/rooms/{room}/read"), json!({ "seq": 1 })).await.ok(200);
        if cluster.table(room).await.len() == 2 {
            committed.insert(room.clone());
        }
    }
    let moments = committed.intersection(&hung_up).count();
    while !committed.is_empty() {
        for message in socket.messages().await {
            if message["content"] == "good-bye" {
                committed.remove(message["roomId"].as_str().unwrap());
            }
        }
    }
    eprintln!("{moments} of {ROOMS} were committed after their sender had hung up");
    assert!(moments > 0, "nobody hung up at the right moment; a send takes {takes} µs");
    let repaired = cluster.instances[1].metric("tidings_repairs_total", &["cause=\"tail\""]).await;
    assert_eq!(repaired, 0, "the others had to find it by themselves");
}
