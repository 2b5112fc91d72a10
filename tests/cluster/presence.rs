//! Who is there and who is typing, on every instance.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{Few, garden};
use crate::support::{Api, Cluster, Socket, eventually, make_room, within};

/// The longest an instance that died may leave its people in the room.
const GHOST: Duration = Duration::from_secs(45);

async fn online(api: &Api, expected: Value) {
    eventually(&format!("online are {expected}"), || async {
        let said = api.get(&garden("presence")).await.ok(200);
        let count = expected.as_array().unwrap().len();
        (said["online"] == expected && said["count"] == count).then_some(())
    })
    .await;
}

async fn comes(socket: &mut Socket, user: &str, is_online: bool) {
    let told = |frame: &Value| frame["type"] == "presence" && frame["userId"] == user && frame["online"] == is_online;
    socket.expect(&format!("{user} online: {is_online}"), told).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn people_come_and_go_on_every_instance_and_count_once() {
    let few = Few::start(2).await;
    few.garden(&["ann", "ben"]).await;
    let mut ann = few.instances[0].socket("ann").await;
    ann.subscribe("garden", json!({})).await;
    let mut ben = few.instances[1].socket("ben").await;
    ben.subscribe("garden", json!({})).await;
    comes(&mut ann, "ben", true).await;
    for instance in 0..2 {
        online(&few.api(instance, "ann"), json!(["ann", "ben"])).await;
    }
    // A second socket elsewhere is the same person, who is there until the last one goes.
    let mut second = few.instances[0].socket("ben").await;
    second.subscribe("garden", json!({})).await;
    // Told after the answer: who goes here before that is known there has been away.
    let leases = async || (few.redis("zcard", "chat:presence:garden", &[]) == "3").then_some(());
    eventually("both of ben's sockets count", leases).await;
    ben.close().await;
    online(&few.api(1, "ann"), json!(["ann", "ben"])).await;
    let frames = ann.settle().await;
    assert!(frames.iter().all(|frame| frame["online"] != false), "ben was there all the time: {frames:?}");
    second.close().await;
    comes(&mut ann, "ben", false).await;
    for instance in 0..2 {
        online(&few.api(instance, "ann"), json!(["ann"])).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn typing_and_reading_are_told_on_the_other_instance_and_not_too_often() {
    let few = Few::start(2).await;
    few.garden(&["ann", "ben"]).await;
    let mut ann = few.instances[0].socket("ann").await;
    ann.subscribe("garden", json!({})).await;
    let mut ben = few.instances[1].socket("ben").await;
    ben.subscribe("garden", json!({})).await;
    comes(&mut ann, "ben", true).await;
    let typing = json!({ "type": "typing", "roomId": "garden" });
    ben.done(typing.clone()).await;
    let told = json!({ "type": "typing", "roomId": "garden", "userId": "ben", "ttlMs": 6000 });
    assert_eq!(ann.frame("typing").await, told);
    // Also by way of the other instance.
    for instance in 0..2 {
        ben.done(typing.clone()).await;
        few.api(instance, "ben").post(&garden("typing"), json!({})).await.ok(204);
    }
    crate::support::say(&few.api(1, "ben"), "garden", "written").await;
    ann.hears("written").await;
    few.api(1, "ben").post(&garden("read"), json!({})).await.ok(200);
    crate::support::say(&few.api(0, "ann"), "garden", "unread").await;
    let seq = ben.hears("unread").await["seq"].clone();
    ben.done(json!({ "type": "read", "roomId": "garden", "seq": seq })).await;
    let read = ann.expect("how far ben has read", |frame| frame["type"] == "read" && frame["seq"] == seq).await;
    assert_eq!(read, json!({ "type": "read", "roomId": "garden", "userId": "ben", "seq": seq }));
    let frames = ann.settle().await;
    assert!(frames.iter().all(|frame| frame["type"] != "typing"), "more than once in three seconds: {frames:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_that_dies_leaves_no_ghost_for_longer_than_45_seconds() {
    let mut few = Few::start(2).await;
    few.garden(&["ann", "ben"]).await;
    let mut ann = few.instances[0].socket("ann").await;
    ann.subscribe("garden", json!({})).await;
    let mut ben = few.instances[1].socket("ben").await;
    ben.subscribe("garden", json!({})).await;
    comes(&mut ann, "ben", true).await;
    few.instances[1].kill();
    let died = Instant::now();
    let api = few.api(0, "ann");
    within(GHOST, "the ghost is gone", || async {
        let said = api.get(&garden("presence")).await.ok(200);
        (said["online"] == json!(["ann"])).then_some(())
    })
    .await;
    eprintln!("the ghost was gone after {:?}", died.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_redis_did_not_take_is_said_again_long_before_the_leases_are_renewed() {
    let few = Few::start(2).await;
    few.garden(&["ann", "ben"]).await;
    few.redis("set", "chat:presence:garden", &["in the way"]);
    let mut ben = few.instances[0].socket("ben").await;
    ben.subscribe("garden", json!({})).await;
    let mut ann = few.instances[0].socket("ann").await;
    ann.subscribe("garden", json!({})).await;
    // Those here are told all the same, after it was tried.
    comes(&mut ben, "ann", true).await;
    few.redis("del", "chat:presence:garden", &[]);
    let there = few.api(1, "ann");
    within(Duration::from_secs(5), "both are seen from elsewhere", async || {
        let said = there.get(&garden("presence")).await.ok(200);
        (said["online"] == json!(["ann", "ben"])).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn presence_is_built_anew_after_redis_has_lost_it() {
    let cluster = Cluster::start().await;
    cluster.people(["ann", "ben"]).await;
    make_room(&cluster.api(0, "ann"), "garden", "GROUP", &["ben"]).await;
    let mut sockets = Vec::new();
    for (instance, user) in [(0, "ann"), (1, "ben")] {
        let mut socket = cluster.instances[instance].socket(user).await;
        socket.subscribe("garden", json!({})).await;
        sockets.push(socket);
    }
    let both = json!(["ann", "ben"]);
    online(&cluster.api(0, "ann"), both.clone()).await;
    cluster.redis().cli(&["flushall"]);
    let lost = Instant::now();
    for instance in 0..2 {
        let api = cluster.api(instance, "ann");
        within(GHOST, "both are there again", || async {
            let said = api.get(&garden("presence")).await.ok(200);
            (said["online"] == both).then_some(())
        })
        .await;
    }
    // What is said then stays true, and is not only what this instance remembers.
    eventually("the leases are in Redis again", || async {
        (!cluster.redis().cli(&["keys", "chat:presence:*"]).is_empty()).then_some(())
    })
    .await;
    eprintln!("presence was whole again after {:?}", lost.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_room_of_more_than_two_hundred_members_only_counts_who_is_there() {
    let few = Few::start(2).await;
    let crowd: Vec<String> = (0..199).map(|n| format!("member{n}")).collect();
    let known =
        crowd.iter().map(|user| few.api(0, user)).map(|api| async move { api.get("/api/session").await.ok(200) });
    futures_util::future::join_all(known).await;
    let members: Vec<&str> = ["ann", "ben"].into_iter().chain(crowd.iter().map(String::as_str)).collect();
    few.garden(&members[..2]).await;
    make_room(&few.api(0, "ann"), "square", "GROUP", &members[1..]).await;
    let mut ann = few.instances[0].socket("ann").await;
    let mut ben = few.instances[1].socket("ben").await;
    for room in ["garden", "square"] {
        ann.subscribe(room, json!({})).await;
        ben.subscribe(room, json!({})).await;
    }
    for instance in 0..2 {
        eventually("two are counted", || async {
            let said = few.api(instance, "ann").get("/api/chat/rooms/square/presence").await.ok(200);
            assert!(said.get("online").is_none(), "names in a crowd: {said}");
            (said["count"] == 2).then_some(())
        })
        .await;
    }
    ben.close().await;
    let told = |frame: &Value| frame["type"] == "presence" && frame["roomId"] == "garden" && frame["online"] == false;
    ann.expect("that ben has left the garden", told).await;
    let frames = ann.settle().await;
    let loud = |frame: &&Value| frame["type"] == "presence" && frame["roomId"] == "square";
    assert_eq!(frames.iter().find(loud), None, "a crowd is told of everyone who comes and goes");
}
