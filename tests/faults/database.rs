//! PostgreSQL killed, stopped, cut off: sends are refused clearly and in time, sockets stay, and the first send after
//! its return is taken.

use std::time::{Duration, Instant};

use serde_json::json;

use super::seconds;
use crate::support::{Cluster, Line, Load, Plan, Shape, Socket, fresh_id, make_room, say};

/// The longest a refusal may take.
const REFUSED: Duration = Duration::from_secs(2);
/// What the machine may add to it.
const SLACK: Duration = Duration::from_millis(300);

#[tokio::test(flavor = "multi_thread")]
async fn a_postgres_that_is_killed_and_restarted_loses_nothing_that_was_acknowledged() {
    let mut cluster = Cluster::start().await;
    let mut load = Load::begin(&cluster, Shape::default()).await;
    for _ in 0..2 {
        load.run_for(seconds(1)).await;
        cluster.postgres_mut().kill();
        load.run_for(seconds(1)).await;
        cluster.postgres_mut().start_again();
        load.run_for(seconds(2)).await;
    }
    let report = load.finish(&cluster).await;
    assert!(report.failed > 0, "nobody noticed that the database was gone");
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_postgres_ends_again_and_again_lose_nothing() {
    let cluster = Cluster::start().await;
    let mut load = Load::begin(&cluster, Shape::default()).await;
    for _ in 0..20 {
        load.run_for(Duration::from_millis(200)).await;
        let others = "select pg_terminate_backend(pid) from pg_stat_activity
             where datname = current_database() and pid <> pg_backend_pid()";
        cluster.postgres().run_on(&cluster.database, others).await;
    }
    load.run_for(seconds(1)).await;
    load.finish(&cluster).await;
}

/// Two people with a socket each, one on each instance.
async fn garden(cluster: &Cluster) -> [Socket; 2] {
    cluster.people(["ann", "ben"]).await;
    make_room(&cluster.api(0, "ann"), "garden", "GROUP", &["ben"]).await;
    let mut ann = cluster.instances[0].socket("ann").await;
    ann.subscribe("garden", json!({})).await;
    let mut ben = cluster.instances[1].socket("ben").await;
    ben.subscribe("garden", json!({})).await;
    say(&cluster.api(0, "ann"), "garden", "before").await;
    for socket in [&mut ann, &mut ben] {
        socket.hears("before").await;
    }
    [ann, ben]
}

/// The database is gone: what everybody is told, and how fast.
async fn refusals(cluster: &Cluster, sockets: &mut [Socket; 2], how: &str) {
    let path = "/api/chat/rooms/garden/messages";
    for round in 0..3 {
        for instance in 0..2 {
            let user = ["ann", "ben"][instance];
            let begin = Instant::now();
            let body = json!({ "id": fresh_id(), "content": "refused" });
            let reply = cluster.api(instance, user).post(path, body.clone()).await;
            let took = begin.elapsed();
            assert!(took < REFUSED + SLACK, "{how}, {round}: a refusal took {took:?}");
            let wait: u64 =
                reply.header("retry-after").parse().unwrap_or_else(|_| panic!("{how}: no Retry-After: {reply}"));
            assert!((1..=10).contains(&wait), "{how}: come back in {wait} s");
            reply.problem(503, "unavailable");
            let begin = Instant::now();
            let send = json!({ "type": "send", "roomId": "garden", "message": body });
            let refused = sockets[instance].refused(send, "unavailable").await;
            assert!(refused["retryAfterMs"].is_u64(), "{how}: {refused}");
            assert!(begin.elapsed() < REFUSED + SLACK, "{how}: a refusal on a socket took {:?}", begin.elapsed());
        }
    }
    for instance in &cluster.instances {
        let (status, said) = instance.readiness().await.unwrap();
        assert_eq!((status, &said["status"]), (503, &json!("not_ready")), "{how}: {said}");
        assert!(said["database"].as_str().is_some_and(|words| !words.is_empty() && words != "ok"), "{how}: {said}");
    }
}

/// It is back: the first send is taken, and the sockets that were open all the time have it.
async fn first_send(cluster: &Cluster, sockets: &mut [Socket; 2], how: &str) {
    for (instance, user) in ["ann", "ben"].into_iter().enumerate() {
        let body = json!({ "id": fresh_id(), "content": format!("{how} at {user}") });
        let reply = cluster.api(instance, user).post("/api/chat/rooms/garden/messages", body).await;
        assert!(reply.status == 201, "{how}: the first send after its return: {reply}");
        for socket in &mut *sockets {
            let wanted = format!("{how} at {user}");
            socket.hears(&wanted).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn while_postgres_is_gone_sends_are_refused_in_time_and_the_first_one_after_is_taken() {
    let mut cluster = Cluster::start().await;
    let mut sockets = garden(&cluster).await;
    cluster.postgres_mut().kill();
    refusals(&cluster, &mut sockets, "killed").await;
    cluster.postgres_mut().start_again();
    first_send(&cluster, &mut sockets, "killed").await;

    cluster.postgres().signal("STOP");
    refusals(&cluster, &mut sockets, "stopped").await;
    cluster.postgres().signal("CONT");
    first_send(&cluster, &mut sockets, "stopped").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_network_that_swallows_everything_to_postgres_is_noticed_and_forgiven() {
    let cluster = Cluster::with(Plan { cut_database: true, ..Plan::default() }).await;
    let mut sockets = garden(&cluster).await;
    for line in [Line::Silent, Line::Cut] {
        for proxy in &cluster.to_postgres {
            proxy.set(line);
        }
        refusals(&cluster, &mut sockets, &format!("{line:?}")).await;
        for proxy in &cluster.to_postgres {
            proxy.cut();
            proxy.set(Line::Open);
        }
        first_send(&cluster, &mut sockets, &format!("{line:?}")).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_room_whose_row_is_locked_delays_no_other_room() {
    let cluster = Cluster::start().await;
    let _sockets = garden(&cluster).await;
    make_room(&cluster.api(0, "ann"), "shed", "GROUP", &["ben"]).await;
    let mut lock = cluster.beside().await;
    sqlx::raw_sql("begin; update room set rev = rev where id = 'garden'").execute(&mut lock).await.unwrap();
    let held = {
        let ann = cluster.api(0, "ann");
        tokio::spawn(async move { ann.post("/api/chat/rooms/garden/messages", json!({ "content": "held" })).await })
    };
    for n in 0..10 {
        let begin = Instant::now();
        say(&cluster.api(n % 2, "ann"), "shed", "free").await;
        assert!(begin.elapsed() < Duration::from_millis(800), "another room waited {:?}", begin.elapsed());
    }
    held.await.unwrap().problem(503, "unavailable");
    sqlx::raw_sql("rollback").execute(&mut lock).await.unwrap();
    say(&cluster.api(0, "ann"), "garden", "and on").await;
}
