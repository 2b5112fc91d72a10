//! What Redis costs when it is down or slow: how long a send takes, how long a message takes to the other instance,
//! and how soon it is noticed. Bounds are generous, since machines are noisy; the figures are printed.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::{Cluster, fresh_id, make_room, say};

const SENDS: usize = 150;
/// What a send may cost more once Redis is marked down.
const MORE: Duration = Duration::from_millis(50);
/// How long a message may take to the other instance while Redis is down, for 99 of 100.
const DELIVERY: Duration = Duration::from_secs(1);
/// Within which a Redis that is slow is marked down, and what the machine may add.
const NOTICED: Duration = Duration::from_millis(1000 + 500);

#[derive(Debug)]
struct Figures {
    p50: Duration,
    p99: Duration,
}

fn figures(mut all: Vec<Duration>) -> Figures {
    all.sort_unstable();
    Figures { p50: all[all.len() / 2], p99: all[all.len() * 99 / 100] }
}

/// How long sends take, one after the other, and how long their messages take to a socket on the other instance.
async fn measured(cluster: &Cluster, room: &str) -> (Figures, Figures) {
    let mut socket = cluster.instances[1].socket("ben").await;
    socket.subscribe(room, json!({})).await;
    socket.frame("messages").await;
    let reading = tokio::spawn(async move {
        let mut arrived = HashMap::new();
        while arrived.len() < SENDS {
            for message in socket.messages().await {
                arrived.insert(message["id"].as_str().unwrap().to_owned(), Instant::now());
            }
        }
        arrived
    });
    let ann = cluster.api(0, "ann");
    let path = format!("/api/chat/rooms/{room}/messages");
    let (mut took, mut sent) = (Vec::new(), HashMap::new());
    let mut pace = tokio::time::interval(Duration::from_millis(20));
    for _ in 0..SENDS {
        pace.tick().await;
        let (id, begin) = (fresh_id(), Instant::now());
        ann.post(&path, json!({ "id": id, "content": "x" })).await.ok(201);
        took.push(begin.elapsed());
        sent.insert(id, Instant::now());
    }
    let arrived = reading.await.unwrap();
    let delays = sent.iter().map(|(id, acked)| arrived[id].saturating_duration_since(*acked)).collect();
    (figures(took), figures(delays))
}

async fn degraded(cluster: &Cluster, instance: usize, since: Instant) -> Duration {
    let mut look = tokio::time::interval(Duration::from_millis(20));
    loop {
        look.tick().await;
        let (status, said) = cluster.instances[instance].readiness().await.unwrap();
        assert_eq!(status, 200, "{said}");
        if said["redis"] != "ok" && said["status"] == "degraded" {
            return since.elapsed();
        }
        assert!(since.elapsed() < 5 * NOTICED, "it is not noticed: {said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn while_redis_is_down_sends_cost_little_more_and_messages_arrive_within_a_second() {
    let mut cluster = Cluster::start().await;
    cluster.people(["ann", "ben"]).await;
    make_room(&cluster.api(0, "ann"), "up", "GROUP", &["ben"]).await;
    make_room(&cluster.api(0, "ann"), "down", "GROUP", &["ben"]).await;
    cluster.bus_is("proven").await;
    say(&cluster.api(0, "ann"), "up", "warm").await;
    let (sends_up, delays_up) = measured(&cluster, "up").await;
    cluster.redis_mut().kill();
    let since = Instant::now();
    let noticed = [degraded(&cluster, 0, since).await, degraded(&cluster, 1, since).await];
    let (sends_down, delays_down) = measured(&cluster, "down").await;
    eprintln!("up: sends {sends_up:?}, delivery {delays_up:?}");
    eprintln!("down, noticed after {noticed:?}: sends {sends_down:?}, delivery {delays_down:?}");
    assert!(sends_down.p50 < sends_up.p50 + MORE / 2, "the median of a send is {:?}", sends_down.p50);
    assert!(sends_down.p99 < sends_up.p99 + MORE, "a send costs {:?} at p99", sends_down.p99);
    assert!(delays_down.p99 <= DELIVERY, "a message takes {:?} at p99", delays_down.p99);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_answers_after_200_ms_counts_as_down_within_a_second_and_delays_nobody() {
    let cluster = Cluster::start().await;
    cluster.people(["ann", "ben"]).await;
    make_room(&cluster.api(0, "ann"), "up", "GROUP", &["ben"]).await;
    make_room(&cluster.api(0, "ann"), "slow", "GROUP", &["ben"]).await;
    cluster.bus_is("proven").await;
    say(&cluster.api(0, "ann"), "up", "warm").await;
    let (sends_up, _) = measured(&cluster, "up").await;
    for proxy in &cluster.to_redis {
        proxy.delay(Duration::from_millis(200));
    }
    let since = Instant::now();
    // Also while nobody asks for anything.
    let noticed = degraded(&cluster, 1, since).await;
    let also = degraded(&cluster, 0, since).await;
    eprintln!("noticed after {noticed:?} and {also:?}");
    assert!(noticed < NOTICED && also < NOTICED, "noticed after {noticed:?} and {also:?}");
    let (sends_slow, delays_slow) = measured(&cluster, "slow").await;
    eprintln!("up: sends {sends_up:?}; slow: sends {sends_slow:?}, delivery {delays_slow:?}");
    assert!(sends_slow.p99 < sends_up.p99 + MORE, "a send costs {:?} at p99", sends_slow.p99);
    assert!(delays_slow.p99 <= DELIVERY, "a message takes {:?} at p99", delays_slow.p99);
    for proxy in &cluster.to_redis {
        proxy.delay(Duration::ZERO);
    }
    cluster.bus_is("proven").await;
    let said = cluster.instances[0].readiness().await.unwrap().1;
    assert_eq!(said["redis"], "ok", "{said}");
}
