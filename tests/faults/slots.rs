//! A Redis Cluster whose slots move while the bus runs through them.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::json;

use super::seconds;
use crate::support::{Cluster, Load, Plan, RedisCluster, Shape, eventually, say};

/// The names of the bus that somebody listens to.
fn listened(redis: &RedisCluster) -> BTreeSet<String> {
    let of = |node: &crate::support::Redis| node.cli(&["pubsub", "shardchannels"]);
    redis.nodes().iter().flat_map(|node| of(node).lines().map(ToOwned::to_owned).collect::<Vec<_>>()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn slots_that_move_under_load_lose_nothing_and_the_bus_comes_back() {
    let redis = tokio::task::block_in_place(RedisCluster::start);
    let url = redis.url();
    let cluster = Cluster::with(Plan { redis_url: Some(&url), ..Plan::default() }).await;
    cluster.bus_is("proven").await;
    let mut load = Load::begin(&cluster, Shape { rooms: 4, readers: 8, ..Shape::default() }).await;
    load.run_for(seconds(1)).await;
    let names: Vec<String> = listened(&redis).into_iter().filter(|name| name.contains("chat:bus:")).collect();
    assert!(names.len() >= 4, "the bus is not sharded: {names:?}");
    for name in names.iter().take(12) {
        tokio::task::block_in_place(|| redis.move_slot_of(name));
        load.run_for(Duration::from_millis(250)).await;
    }
    load.run_for(seconds(2)).await;
    let report = load.finish(&cluster).await;
    assert_eq!(report.failed, 0, "sends failed for the sake of Redis");
    cluster.bus_is("proven").await;
    // What was moved is heard again where it is now, on every instance.
    let owner = cluster.api(0, "owner");
    let mut socket = cluster.instances[1].socket("owner").await;
    for room in 0..4 {
        socket.subscribe(&format!("room{room}"), json!({})).await;
    }
    eventually("messages take the bus again and not the tail check", || async {
        let before = cluster.metric("tidings_repairs_total", &["cause=\"tail\""]).await;
        for n in 0..20 {
            say(&owner, &format!("room{}", n % 4), "after the move").await;
        }
        (cluster.metric("tidings_repairs_total", &["cause=\"tail\""]).await == before).then_some(())
    })
    .await;
}
