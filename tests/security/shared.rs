//! Limits that instances share: together they give a user hardly more than one would, and no send waits for that.

use std::time::Instant;

use reqwest::Method;
use serde_json::json;

use crate::support::{Cluster, Plan, eventually, make_room, say};

const MESSAGES: &str = "/api/chat/rooms/garden/messages";
/// Takes from shared buckets.
const TAKES: &str = "tidings_shared_takes_total";

async fn cluster() -> Cluster {
    let environment = [("LIMITS", "on"), ("SENDS_PER_SECOND", "2"), ("CHANGES_PER_SECOND", "1")];
    let cluster = Cluster::with(Plan { environment: &environment, ..Plan::default() }).await;
    cluster.bus_is("proven").await;
    cluster.people(["ann", "ben"]).await;
    make_room(&cluster.api(0, "ann"), "garden", "GROUP", &["ben"]).await;
    cluster
}

#[tokio::test(flavor = "multi_thread")]
async fn two_instances_give_a_user_what_one_would_and_little_more() {
    let cluster = cluster().await;
    let begin = Instant::now();
    let (mut taken, mut waits) = (0, Vec::new());
    for turn in 0..60 {
        let reply = cluster.api(turn % 2, "ann").post(MESSAGES, json!({ "content": "x" })).await;
        if reply.status == 201 {
            taken += 1;
        } else {
            waits.push(reply.header("retry-after").parse::<u64>().unwrap());
            reply.problem(429, "rate_limited");
        }
    }
    // Eight at once, two a second since then, what was under way when the bucket was found empty, and what a Redis on a
    // busy machine did not answer in time.
    let alone = cluster.metric(TAKES, &["unanswered"]).await + cluster.metric(TAKES, &["not_asked"]).await;
    let most = 8 + 2 * (begin.elapsed().as_secs() + 1) + 2 + alone;
    assert!(taken >= 8 && taken <= most, "{taken} of at most {most}");
    assert!(waits.iter().all(|wait| (1..=5).contains(wait)), "{waits:?}");
    assert!(cluster.metric(TAKES, &["over"]).await > 0, "nobody was over the limit of both");
    say(&cluster.api(0, "ben"), "garden", "others have theirs").await;
    eventually("what was taken too much is made up for", async || {
        let reply = cluster.api(1, "ann").post(MESSAGES, json!({ "content": "again" })).await;
        (reply.status == 201).then_some(())
    })
    .await;
    let (mut changed, begin) = (0, Instant::now());
    for turn in 0..40 {
        let reply = cluster.api(turn % 2, "ben").post("/api/chat/rooms/garden/read", json!({ "seq": 1 })).await;
        changed += u64::from(reply.status == 200);
    }
    let alone = cluster.metric(TAKES, &["unanswered"]).await + cluster.metric(TAKES, &["not_asked"]).await;
    let most = 4 + begin.elapsed().as_secs() + 1 + 2 + alone;
    assert!(changed >= 4 && changed <= most, "{changed} of at most {most} changes");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_send_is_taken_from_the_shared_bucket_once_and_waits_for_no_answer() {
    let cluster = cluster().await;
    let takes = async |results: &[&str]| {
        let mut sum = 0;
        for result in results {
            sum += cluster.metric(TAKES, &[result]).await;
        }
        sum
    };
    // The room that was made is a change and a room.
    eventually("both are taken", async || (takes(&["within"]).await == 2).then_some(())).await;
    for at in 0..4 {
        say(&cluster.api(at % 2, "ann"), "garden", "asked").await;
    }
    eventually("each is taken once", async || (takes(&["within"]).await == 6).then_some(())).await;
    cluster.redis().signal("STOP");
    let (mut refused, mut sent) = (0, 0);
    for at in 0..40 {
        let body = json!({ "content": "not asked" });
        let patience = std::time::Duration::from_secs(3);
        let api = cluster.api(at % 2, "ben");
        let reply =
            api.attempt(Method::POST, MESSAGES, &[], Some(&body), patience).await.expect("nothing waits for Redis");
        if reply.status == 201 { sent += 1 } else { refused += 1 }
    }
    // Redis has answered none of them: all that was acknowledged was acknowledged without it.
    assert_eq!(takes(&["within", "over"]).await, 6);
    assert!(sent >= 16 && refused > 0, "each instance holds the limit by itself: {sent} sent, {refused} refused");
    cluster.redis().signal("CONT");
    let done = async || (takes(&["within", "over", "unanswered", "not_asked"]).await == 6 + sent).then_some(());
    eventually("whatever was taken was asked for at most once, and nothing refused", done).await;
}
