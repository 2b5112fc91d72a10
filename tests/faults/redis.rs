//! Redis killed, stopped, absent, and its subscriptions cut: slower, never less.

use std::time::Duration;

use serde_json::Value;

use super::seconds;
use crate::support::{Cluster, Line, Load, Plan, Shape, eventually, make_room, say, within};

/// What every instance says: that it serves, but not as it should.
async fn assert_degraded(cluster: &Cluster) {
    for instance in &cluster.instances {
        let said = within(seconds(2), "it says that it is degraded, and why", || async {
            let (status, said) = instance.readiness().await.unwrap();
            assert_eq!(status, 200, "{said}");
            (said["status"] == "degraded" && said["redis"] != "ok").then_some(said)
        })
        .await;
        assert_eq!(said["database"], "ok", "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_is_killed_and_comes_back_empty_loses_nothing() {
    let mut cluster = Cluster::start().await;
    cluster.bus_is("proven").await;
    let mut load = Load::begin(&cluster, Shape::default()).await;
    for _ in 0..2 {
        load.run_for(seconds(1)).await;
        cluster.redis_mut().kill();
        load.run_for(seconds(3)).await;
        assert_degraded(&cluster).await;
        cluster.redis_mut().start_again();
        load.run_for(seconds(1)).await;
    }
    let report = load.finish(&cluster).await;
    assert_eq!(report.failed, 0, "sends failed for the sake of Redis");
    back_to_normal(&cluster).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_is_stopped_for_ten_seconds_loses_nothing_and_delays_no_send() {
    let cluster = Cluster::start().await;
    cluster.bus_is("proven").await;
    let mut load = Load::begin(&cluster, Shape::default()).await;
    load.run_for(seconds(1)).await;
    cluster.redis().signal("STOP");
    load.run_for(seconds(10)).await;
    assert_degraded(&cluster).await;
    cluster.redis().signal("CONT");
    load.run_for(seconds(1)).await;
    let report = load.finish(&cluster).await;
    assert_eq!(report.failed, 0, "sends failed for the sake of Redis");
    back_to_normal(&cluster).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn subscriptions_that_are_cut_four_times_a_second_lose_nothing() {
    let cluster = Cluster::start().await;
    let mut load = Load::begin(&cluster, Shape::default()).await;
    let mut killed = 0;
    for _ in 0..20 {
        load.run_for(Duration::from_millis(250)).await;
        killed += cluster.redis().cli(&["client", "kill", "type", "pubsub"]).parse::<u32>().unwrap_or_default();
    }
    assert!(killed >= 10, "only {killed} connections were there to be cut");
    load.run_for(seconds(1)).await;
    let report = load.finish(&cluster).await;
    assert_eq!(report.failed, 0, "sends failed for the sake of Redis");
    back_to_normal(&cluster).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_to_redis_that_are_cut_or_fall_silent_lose_nothing() {
    let cluster = Cluster::start().await;
    cluster.bus_is("proven").await;
    let mut load = Load::begin(&cluster, Shape::default()).await;
    for line in [Line::Cut, Line::Silent] {
        load.run_for(Duration::from_millis(700)).await;
        // One instance only: the other goes on publishing to a bus that this one does not hear.
        cluster.to_redis[1].set(line);
        load.run_for(seconds(3)).await;
        let (_, said) = cluster.instances[1].readiness().await.unwrap();
        assert_ne!(said["bus"], "proven", "{line:?} for 3 s and it vouches for what it shows: {said}");
        cluster.to_redis[1].set(Line::Open);
    }
    cluster.to_redis[0].cut();
    load.run_for(seconds(1)).await;
    let report = load.finish(&cluster).await;
    assert_eq!(report.failed, 0, "sends failed for the sake of Redis");
    back_to_normal(&cluster).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_was_never_there_is_not_needed_and_is_used_once_it_comes() {
    let mut cluster = Cluster::prepared(Plan::default()).await;
    cluster.redis_mut().kill();
    for instance in &mut cluster.instances {
        instance.start().await;
    }
    assert_degraded(&cluster).await;
    let mut load = Load::begin(&cluster, Shape::default()).await;
    load.run_for(seconds(4)).await;
    let report = load.finish(&cluster).await;
    assert_eq!(report.failed, 0, "sends failed for the sake of Redis");
    assert_degraded(&cluster).await;
    cluster.redis_mut().start_again();
    back_to_normal(&cluster).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_any_redis_instances_find_each_others_messages_all_the_same() {
    let cluster = Cluster::with(Plan { redis_url: Some(""), ..Plan::default() }).await;
    cluster.bus_is("none").await;
    let mut load = Load::begin(&cluster, Shape::default()).await;
    load.run_for(seconds(4)).await;
    let report = load.finish(&cluster).await;
    assert_eq!(report.failed, 0);
}

/// All is proven, and a message takes the bus again and no repair.
async fn back_to_normal(cluster: &Cluster) {
    cluster.bus_is("proven").await;
    for instance in &cluster.instances {
        let (_, said) = instance.readiness().await.unwrap();
        assert_eq!((&said["redis"], &said["status"]), (&Value::from("ok"), &Value::from("ready")));
    }
    cluster.people(["ann", "ben"]).await;
    make_room(&cluster.api(0, "ann"), "after", "GROUP", &["ben"]).await;
    let mut socket = cluster.instances[1].socket("ben").await;
    socket.subscribe("after", serde_json::json!({})).await;
    eventually("a message takes the bus and not the tail check", || async {
        let before = cluster.metric("tidings_repairs_total", &["cause=\"tail\""]).await;
        for n in 0..20 {
            say(&cluster.api(0, "ann"), "after", &n.to_string()).await;
        }
        (cluster.metric("tidings_repairs_total", &["cause=\"tail\""]).await == before).then_some(())
    })
    .await;
    socket.hears("19").await;
}
