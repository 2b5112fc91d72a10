//! Instances that die, that start together, and that are asked the same thing at the same time; and none of it.

use std::time::Duration;

use serde_json::json;

use super::seconds;
use crate::support::{Cluster, Load, Plan, Shape, make_room, say};

#[tokio::test(flavor = "multi_thread")]
async fn without_a_fault_everything_arrives_and_nothing_is_repaired() {
    let cluster = Cluster::start().await;
    cluster.bus_is("proven").await;
    let mut load = Load::begin(&cluster, Shape::default()).await;
    load.run_for(seconds(6)).await;
    let report = load.finish(&cluster).await;
    assert_eq!(report.failed, 0, "calls failed although nothing was broken");
    for cause in ["tail", "resubscribed", "lagged"] {
        let label = format!("cause=\"{cause}\"");
        assert!(cluster.metric("tidings_repairs_total", &[&label]).await == 0, "repaired although whole: {cause}");
    }
    assert!(cluster.metric("tidings_publications_total", &["sent"]).await > 0);
    assert!(cluster.metric("tidings_publications_total", &["failed"]).await == 0);
    cluster.bus_is("proven").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_that_is_killed_again_and_again_loses_nothing() {
    let mut cluster = Cluster::start().await;
    let mut load = Load::begin(&cluster, Shape::default()).await;
    for victim in [1, 0, 1] {
        load.run_for(Duration::from_millis(1200)).await;
        cluster.instances[victim].kill();
        load.run_for(Duration::from_millis(800)).await;
        cluster.instances[victim].start().await;
    }
    load.run_for(seconds(1)).await;
    let report = load.finish(&cluster).await;
    assert!(report.failed > 0, "nobody noticed that an instance was gone");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_that_was_stopped_for_a_while_shows_nothing_old_as_new() {
    let cluster = Cluster::start().await;
    let mut load = Load::begin(&cluster, Shape::default()).await;
    for victim in [1, 0] {
        load.run_for(seconds(1)).await;
        cluster.instances[victim].signal("STOP");
        load.run_for(seconds(3)).await;
        cluster.instances[victim].signal("CONT");
    }
    load.run_for(seconds(1)).await;
    load.finish(&cluster).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_instances_and_sixty_four_writers_who_try_every_send_on_both_leave_each_message_once() {
    let cluster = Cluster::start().await;
    let pause = Duration::from_millis(300);
    let shape = Shape { writers: 64, readers: 4, pause, twice: true, ..Shape::default() };
    let mut load = Load::begin(&cluster, shape).await;
    load.run_for(seconds(5)).await;
    let report = load.finish(&cluster).await;
    assert!(report.acknowledged > 64 * 3, "{report:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn three_instances_that_start_at_once_on_an_empty_database_are_one_service() {
    let cluster = Cluster::with(Plan { instances: 3, ..Plan::default() }).await;
    cluster.people(["ann", "ben"]).await;
    make_room(&cluster.api(0, "ann"), "garden", "GROUP", &["ben"]).await;
    for writer in 0..3 {
        say(&cluster.api(writer, "ann"), "garden", &format!("from {writer}")).await;
    }
    for reader in 0..3 {
        let page = cluster.api(reader, "ben").get("/api/chat/rooms/garden/messages").await.ok(200);
        assert_eq!(page["messages"][3]["content"], "from 2");
        assert_eq!(page["rev"], json!(4));
    }
}
