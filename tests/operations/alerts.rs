//! The alerts: each is fired once by its cause, in a real Prometheus that watches real instances, and none in peace. There
//! minutes are seconds; with the minutes as they are, `promtool` plays the same on paper.

use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::json;

use super::metrics::read;
use crate::support::{Cluster, Instance, Load, Loss, Plan, Prometheus, Shape, Socket, make_room, say, within};

const RULES: &str = "packaging/prometheus/alerts.yaml";
/// How long an alert may take to fire, or to be over; a doubt of the bus lasts for half a minute.
const PATIENCE: Duration = Duration::from_mins(1);
/// Something goes on, and all have the time they need: on a machine that is busy, what comes late looks lost.
const QUIET: Shape =
    Shape { rooms: 1, writers: 2, readers: 2, pause: Duration::from_millis(200), twice: false, new_history: false };
/// Rooms in which nothing follows what gets lost, so that nothing but the tail check finds it.
const SILENT: usize = 4;
/// Sockets an instance takes.
const CAP: usize = 40;

/// The rules with seconds in the place of minutes, in `for:` and in ranges.
fn in_seconds(rules: &str) -> String {
    let lines = rules.lines().map(|line| match line.trim_start().strip_prefix("for: ") {
        Some(duration) => line.replace(duration, &duration.replace('m', "s")),
        None => line.replace("m]", "s]"),
    });
    lines.map(|line| line + "\n").collect()
}

fn promtool(arguments: &[&str]) {
    let output = Command::new(Prometheus::tool()).args(arguments).current_dir(env!("CARGO_MANIFEST_DIR")).output();
    let output = output.unwrap();
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("SUCCESS"), "{arguments:?}: {said}");
}

#[test]
fn the_rules_are_valid_and_fire_after_the_minutes_they_say() {
    promtool(&["check", "rules", RULES]);
    promtool(&["test", "rules", "tests/operations/alerts.test.yaml"]);
}

#[test]
fn what_to_do_about_each_alert_is_written_down() {
    let (rules, operations) = (read(RULES), read("docs/OPERATIONS.md"));
    let (_, section) = operations.split_once("\n## When an alert fires\n").expect("the section");
    let section = section.split("\n## ").next().unwrap();
    let described: Vec<&str> = section.lines().filter_map(|line| line.strip_prefix("### ")).collect();
    let alerts: Vec<&str> = rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    assert_eq!(described, alerts);
    assert_eq!(alerts.len(), 6);
    for part in rules.split("- alert: ").skip(1) {
        let name = part.lines().next().unwrap();
        assert!(part.contains(&format!("runbook: docs/OPERATIONS.md#{}\n", name.to_lowercase())), "{name}");
        assert!(part.contains("summary: ") && part.contains("description: "), "{name}");
    }
}

/// Looks until an alert fires.
async fn fires(prometheus: &Prometheus, alert: &str) {
    within(PATIENCE, &format!("{alert} fires"), || async {
        prometheus.firing().await.iter().any(|firing| firing == alert).then_some(())
    })
    .await;
    eprintln!("{alert} has fired");
}

/// Looks until no alert fires.
async fn peace(prometheus: &Prometheus) {
    within(PATIENCE, "no alert fires any more", || async { prometheus.firing().await.is_empty().then_some(()) }).await;
}

/// Looks until an expression has a value everywhere.
async fn comes_true(prometheus: &Prometheus, expression: &str) {
    within(PATIENCE, expression, || async { (!prometheus.query(expression).await.is_empty()).then_some(()) }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_alert_fires_for_its_cause_and_none_in_peace() {
    let cap = CAP.to_string();
    let mut cluster = Cluster::with(Plan { environment: &[("MAX_CONNECTIONS", &cap)], ..Plan::default() }).await;
    cluster.bus_is("proven").await;
    cluster.people(["ann", "ben"]).await;
    let watched: Vec<_> = cluster.instances.iter().map(Instance::metrics_address).collect();
    let rules = in_seconds(&read(RULES));
    let prometheus = tokio::task::block_in_place(|| Prometheus::start(&watched, &rules));
    let begin = Instant::now();
    let load = Load::begin(&cluster, QUIET).await;

    // Prometheus begins to read some seconds after its start, and until then finds nothing. From there on it is longer than
    // the longest range and what has to last for: were one to fire in peace, it would have.
    comes_true(&prometheus, "min(count_over_time(tidings_ready[1h])) >= 45 and count(tidings_ready) == 2").await;
    assert!(prometheus.query("max(tidings_sends_total) > 0").await.len() == 1, "nobody has sent anything");
    let fired = prometheus.query("count_over_time(ALERTS{alertstate='firing'}[20s])").await;
    assert!(fired.is_empty(), "in peace: {fired:?}");

    cluster.redis_mut().kill();
    fires(&prometheus, "TidingsBusDegraded").await;
    cluster.redis_mut().start_again();
    cluster.bus_is("proven").await;
    peace(&prometheus).await;

    let mut many: Vec<Socket> = Vec::new();
    while cluster.instances[0].metric("tidings_connections", &["websocket"]).await <= CAP as u64 * 9 / 10 {
        many.push(cluster.instances[0].socket("ann").await);
    }
    fires(&prometheus, "TidingsConnectionsNearCap").await;
    drop(many);
    peace(&prometheus).await;

    cluster.postgres_mut().kill();
    fires(&prometheus, "TidingsNotReady").await;
    fires(&prometheus, "TidingsSendErrors").await;
    cluster.postgres_mut().start_again();
    let report = load.finish(&cluster).await;
    assert!(report.failed > 0, "no send has failed");
    peace(&prometheus).await;

    // Nobody writes but ann from here on, and so what is late is many of a hundred.
    let (ann, rooms) = (cluster.api(0, "ann"), (0..SILENT).map(|n| format!("silent{n}")).collect::<Vec<_>>());
    let mut ben = cluster.instances[1].socket("ben").await;
    for room in &rooms {
        make_room(&ann, room, "GROUP", &["ben"]).await;
        ben.subscribe(room, json!({})).await;
    }
    cluster.bus_is("proven").await;
    let late = async {
        // Shorter than the range, or Prometheus would not see the step; and again, until it has lasted for long enough.
        while !prometheus.firing().await.iter().any(|alert| alert == "TidingsDeliverySlow") {
            cluster.instances[1].signal("STOP");
            say(&ann, &rooms[0], "the late one").await;
            comes_true(&prometheus, "max_over_time(up[1500ms]) == 0").await;
            cluster.instances[1].signal("CONT");
            ben.hears("the late one").await;
            comes_true(&prometheus, "min(up) == 1").await;
        }
    };
    tokio::time::timeout(PATIENCE, late).await.expect("TidingsDeliverySlow fires");
    eprintln!("TidingsDeliverySlow has fired");
    peace(&prometheus).await;

    cluster.bus_is("proven").await;
    comes_true(&prometheus, "min(min_over_time(tidings_bus_heard[6s])) == 1").await;
    cluster.to_redis[0].lose(Loss::Next(SILENT, b"the lost one".to_vec()));
    for room in &rooms {
        say(&ann, room, "the lost one").await;
    }
    for _ in &rooms {
        ben.hears("the lost one").await;
    }
    fires(&prometheus, "TidingsRepairsByTail").await;
    if let Some(file) = std::env::var_os("DASHBOARD") {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/browser/dashboard.mjs");
        let mut draw = Command::new("timeout");
        draw.args(["60", "node", script, &prometheus.url()]).arg(file).arg(begin.elapsed().as_secs().to_string());
        assert!(tokio::task::block_in_place(|| draw.status()).unwrap().success(), "the picture was not made");
    }
}
