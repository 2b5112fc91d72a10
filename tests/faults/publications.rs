//! Publications that get lost on the way: the readers have the messages all the same.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::json;

use super::seconds;
use crate::support::{Cluster, Load, Loss, Random, Shape, eventually, make_room, say, seed};

async fn with_loss(loss: impl Fn(u64) -> Loss, least: u64) {
    let cluster = Cluster::start().await;
    cluster.bus_is("proven").await;
    for (n, proxy) in (0..).zip(&cluster.to_redis) {
        proxy.lose(loss(n));
    }
    let mut load = Load::begin(&cluster, Shape::default()).await;
    load.run_for(seconds(6)).await;
    // Nothing is healed: the promise holds while they get lost.
    let report = load.finish(&cluster).await;
    assert_eq!(report.failed, 0, "sends failed for the sake of the bus");
    let (gone, all) = cluster.to_redis.iter().fold((0, 0), |sum, p| (sum.0 + p.lost(), sum.1 + p.published()));
    eprintln!("{gone} of {all} publications were lost");
    assert!(gone >= least, "only {gone} of {all} publications were lost: this proves little");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_percent_of_the_publications_lost_is_nothing_lost() {
    let seed = seed();
    with_loss(|n| Loss::Share(1, Random::new(seed, 1000 + n)), 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_percent_of_the_publications_lost_is_nothing_lost() {
    let seed = seed();
    with_loss(|n| Loss::Share(10, Random::new(seed, 1000 + n)), 10).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_publications_lost_is_nothing_lost() {
    with_loss(|_| Loss::All, 50).await;
}

/// Rooms in which one message is lost, and nothing follows it.
const ROOMS: usize = 50;
/// How long its readers may wait for it.
const FOUND: Duration = Duration::from_millis(2500);

#[tokio::test(flavor = "multi_thread")]
async fn the_one_lost_message_of_a_silent_room_is_found_within_two_and_a_half_seconds_fifty_times_of_fifty() {
    let cluster = Cluster::start().await;
    cluster.people(["ann", "ben", "cid"]).await;
    let ann = cluster.api(0, "ann");
    let rooms: Vec<String> = (0..ROOMS).map(|n| format!("silent{n}")).collect();
    let mut socket = cluster.instances[1].socket("ben").await;
    let mut held = Vec::new();
    for room in &rooms {
        make_room(&ann, room, "GROUP", &["ben", "cid"]).await;
        socket.subscribe(room, json!({})).await;
    }
    cluster.bus_is("proven").await;
    for room in &rooms {
        say(&ann, room, "before").await;
        assert_eq!(socket.hears("before").await["roomId"], room.as_str());
    }
    let tail = cluster.instances[1].metric("tidings_repairs_total", &["cause=\"tail\""]).await;
    for room in &rooms {
        let cid = cluster.api(1, "cid");
        let path = format!("/api/chat/rooms/{room}/meta");
        let tag = cid.get(&path).await.header("etag").to_owned();
        held.push(tokio::spawn(async move {
            let path = format!("{path}?wait=20");
            let reply = cid.attempt(Method::GET, &path, &[("if-none-match", &tag)], None, seconds(25)).await;
            (reply.expect("an answer").ok(200), Instant::now())
        }));
    }
    let watching = tokio::spawn(async move {
        let mut arrived = HashMap::new();
        while arrived.len() < ROOMS {
            for message in socket.messages().await {
                if message["content"] == "the lost one" {
                    arrived.insert(message["roomId"].as_str().unwrap().to_owned(), Instant::now());
                }
            }
        }
        arrived
    });
    cluster.to_redis[0].lose(Loss::Next(ROOMS, b"the lost one".to_vec()));
    let mut sent = HashMap::new();
    for room in &rooms {
        say(&ann, room, "the lost one").await;
        sent.insert(room.clone(), Instant::now());
    }
    // A send is answered without waiting for long until it is published.
    eventually("all were lost", || async { (cluster.to_redis[0].lost() == ROOMS as u64).then_some(()) }).await;
    let mut slowest = Duration::ZERO;
    let mut late = Vec::new();
    for (room, when) in watching.await.unwrap() {
        let took = when.saturating_duration_since(sent[&room]);
        slowest = slowest.max(took);
        if took > FOUND {
            late.push(format!("socket, {room}: {took:?}"));
        }
    }
    for (room, poll) in rooms.iter().zip(held) {
        let (meta, when) = poll.await.unwrap();
        assert_eq!(meta["lastSeq"], 3, "{room}");
        let took = when.saturating_duration_since(sent[room]);
        slowest = slowest.max(took);
        if took > FOUND {
            late.push(format!("long poll, {room}: {took:?}"));
        }
    }
    eprintln!("the slowest of {ROOMS} lost ones took {slowest:?}");
    assert!(late.is_empty(), "{} came late: {late:#?}", late.len());
    let repaired = cluster.instances[1].metric("tidings_repairs_total", &["cause=\"tail\""]).await - tail;
    assert!(repaired >= ROOMS as u64, "{repaired} of {ROOMS} repairs were counted as of the tail");
}
