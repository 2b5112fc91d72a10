//! A database put back to an older dump under running instances: what came after is gone, all are told, and no list
//! holds both.

use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::seconds;
use crate::support::{Cluster, Load, Process, Shape, eventually, make_room, say};

fn done(mut command: Command) {
    let status = tokio::task::block_in_place(|| command.status()).unwrap();
    assert!(status.success(), "{command:?}");
}

/// Writes what the database holds to a file.
fn dump(cluster: &Cluster) -> String {
    let file = cluster.postgres().folder().join(format!("{}.dump", cluster.database)).display().to_string();
    done(cluster.postgres().tool("pg_dump", &["-Fc", "-f", &file, &cluster.database]));
    file
}

/// Puts it back beside the database, gives it a new history, and then puts it into its place.
async fn restore(cluster: &Cluster, file: &str) {
    let (name, beside) = (&cluster.database, format!("{}_restored", cluster.database));
    let postgres = cluster.postgres();
    postgres.create(&beside).await;
    done(postgres.tool("pg_restore", &["-d", &beside, file]));
    let environment = [("DATABASE_URL", postgres.url(&beside))];
    let environment: Vec<(&str, &str)> = environment.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let mut renewing = Process::start(&["new-history"], &environment);
    let (status, errors) = tokio::task::block_in_place(|| renewing.ended());
    assert!(status.success(), "{errors}");
    done(postgres.tool("dropdb", &["--force", name]));
    postgres.run_on("postgres", &format!("alter database {beside} rename to {name}")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_under_load_is_told_to_all_and_no_list_mixes_two_histories() {
    let cluster = Cluster::start().await;
    let shape = Shape { new_history: true, ..Shape::default() };
    let mut load = Load::begin(&cluster, shape).await;
    load.run_for(seconds(2)).await;
    let dumped = Instant::now();
    let file = dump(&cluster);
    load.run_for(seconds(2)).await;
    restore(&cluster, &file).await;
    load.restored(dumped, Instant::now());
    load.run_for(seconds(3)).await;
    let report = load.finish(&cluster).await;
    assert!(report.resets >= shape.readers as u64, "only {} of {} readers were told", report.resets, shape.readers);
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_restore_old_cursors_are_refused_on_every_path_and_sockets_come_back() {
    let cluster = Cluster::start().await;
    cluster.people(["ann", "ben"]).await;
    make_room(&cluster.api(0, "ann"), "garden", "GROUP", &["ben"]).await;
    say(&cluster.api(0, "ann"), "garden", "kept").await;
    let file = dump(&cluster);
    for n in 0..20 {
        say(&cluster.api(0, "ann"), "garden", &format!("lost {n}")).await;
    }
    let meta = "/api/chat/rooms/garden/meta";
    let mut sockets = Vec::new();
    let mut before = Vec::new();
    for (n, instance) in cluster.instances.iter().enumerate() {
        let mut socket = instance.socket("ben").await;
        let subscribed = socket.subscribe("garden", json!({})).await;
        assert_eq!(subscribed["rev"], 22);
        socket.frame("messages").await;
        let reply = cluster.api(n, "ben").get(meta).await;
        before.push((reply.header("etag").to_owned(), reply.json["history"].as_str().unwrap().to_owned()));
        sockets.push(socket);
    }
    restore(&cluster, &file).await;
    for ((n, socket), (tag, history)) in sockets.iter_mut().enumerate().zip(&before) {
        let ben = cluster.api(n, "ben");
        assert_eq!(socket.closed_within(Duration::from_secs(5)).await, (4201, "history_changed".to_owned()));
        let since = format!("/api/chat/rooms/garden/messages?since=22&history={history}");
        eventually("the old cursor is refused", || async {
            let reply = ben.get(&since).await;
            assert!(matches!(reply.status, 200 | 409 | 503), "{reply}");
            (reply.status == 409).then(|| reply.problem(409, "history_changed"))
        })
        .await;
        // Also one that is not above the new head.
        let low = format!("/api/chat/rooms/garden/messages?since=1&history={history}");
        ben.get(&low).await.problem(409, "history_changed");
        let told = ben.get_with(meta, &[("if-none-match", tag)]).await.ok(200);
        assert_ne!(told["history"], json!(history));
        assert_eq!(told["rev"], 2);
        let page = ben.get("/api/chat/rooms/garden/messages").await.ok(200);
        assert_eq!(page["messages"].as_array().unwrap().len(), 2, "what was lost is shown: {page}");
        let mut again = cluster.instances[n].socket("ben").await;
        let subscribed = again.subscribe("garden", json!({ "since": 22, "history": history })).await;
        assert_eq!((&subscribed["status"], &subscribed["reason"]), (&json!("reset"), &json!("history")));
        let first: Value = again.frame("messages").await;
        assert_eq!(first["messages"][1]["content"], "kept");
    }
    // The numbers are given again, to other messages, and each instance tells the new ones.
    let mut socket = cluster.instances[1].socket("ben").await;
    socket.subscribe("garden", json!({})).await;
    assert_eq!(say(&cluster.api(0, "ann"), "garden", "anew").await["seq"], 3);
    assert_eq!(socket.hears("anew").await["seq"], 3);
}
