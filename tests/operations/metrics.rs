//! What is counted is exported, shown on the dashboard and described; and nothing else is.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::{Value, json};

use crate::protocol::coverage::routes;
use crate::support::{Cluster, Plan, eventually, make_room, say};

type Names = BTreeSet<String>;

pub(super) fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Everything that is called like one of our metrics.
fn named(text: &str) -> Names {
    let parts = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    parts.filter(|part| part.starts_with("tidings_")).map(str::to_owned).collect()
}

/// The same, with the series of a histogram as the histogram.
fn metrics_of(text: &str, exported: &Names) -> Names {
    let whole = |name: String| {
        let parts = ["_bucket", "_sum", "_count"].iter().filter_map(|part| name.strip_suffix(part));
        parts.map(str::to_owned).find(|whole| exported.contains(whole)).unwrap_or(name)
    };
    named(text).into_iter().map(whole).collect()
}

/// The expressions of a dashboard's panels.
fn expressions(dashboard: &Value) -> Vec<String> {
    let panels = dashboard["panels"].as_array().unwrap().iter();
    let targets = panels.flat_map(|panel| panel["targets"].as_array().into_iter().flatten());
    targets.map(|target| target["expr"].as_str().unwrap().to_owned()).collect()
}

/// Every `label="value"` of an expression that is no pattern, and no part of an annotation.
fn matchers(expression: &str) -> Names {
    let inside = expression.split('{').skip(1).filter_map(|rest| rest.split_once('}'));
    let each = inside.flat_map(|(inside, _)| inside.split(", ")).filter(|matcher| !matcher.contains(['~', '$']));
    each.filter(|matcher| matcher.contains("=\"")).map(|matcher| matcher.replace("!=", "=")).collect()
}

/// The first column of the table of metrics.
fn described() -> Names {
    let operations = read("docs/OPERATIONS.md");
    let (_, section) = operations.split_once("\n## What is counted\n").expect("the section");
    let rows = section.lines().take_while(|line| !line.starts_with("## ")).filter(|line| line.starts_with("| `"));
    rows.flat_map(|row| named(row.split('|').nth(1).unwrap())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_metric_is_exported_shown_on_the_dashboard_and_described() {
    let cluster = Cluster::with(Plan { instances: 1, ..Plan::default() }).await;
    cluster.bus_is("proven").await;
    let ann = cluster.api(0, "ann");
    make_room(&ann, "r", "GROUP", &[]).await;
    let mut socket = cluster.instances[0].socket("ann").await;
    socket.subscribe("r", json!({})).await;
    say(&ann, "r", "hello").await;
    socket.hears("hello").await;
    let page = cluster.instances[0].metrics().await;
    let types = page.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    let exported: Names = types.map(|line| line.split(' ').next().unwrap().to_owned()).collect();
    assert!(exported.iter().all(|name| name.starts_with("tidings_")), "{exported:#?}");

    let dashboard: Value = serde_json::from_str(&read("packaging/grafana/tidings.json")).unwrap();
    let shown: Vec<String> = expressions(&dashboard);
    assert_eq!(metrics_of(&shown.join("\n"), &exported), exported, "on the dashboard, and exported");
    assert_eq!(described(), exported, "in docs/OPERATIONS.md, and exported");
    let alerts = read("packaging/prometheus/alerts.yaml");
    let watched = metrics_of(&alerts, &exported);
    assert!(watched.is_subset(&exported), "{:?}", watched.difference(&exported));
    for matcher in shown.iter().map(String::as_str).chain(alerts.lines()).flat_map(matchers) {
        assert!(page.contains(&matcher), "nothing is ever exported with {matcher}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_measured_is_told_apart_by_what_was_done_and_never_by_who_did_it() {
    let cluster = Cluster::with(Plan { instances: 2, ..Plan::default() }).await;
    cluster.bus_is("proven").await;
    cluster.people(["ann", "ben"]).await;
    let (ann, there) = (cluster.api(0, "ann"), &cluster.instances[1]);
    make_room(&ann, "rose-garden", "GROUP", &["ben"]).await;
    let mut socket = there.socket("ben").await;
    socket.subscribe("rose-garden", json!({})).await;
    let meta = "/api/chat/rooms/rose-garden/meta";
    let tag = ann.get(meta).await.header("etag").to_owned();
    assert_eq!(ann.get_with(meta, &[("if-none-match", &tag)]).await.status, 304);
    let held = {
        let (ann, tag) = (ann.clone(), tag.clone());
        let path = format!("{meta}?wait=20");
        tokio::spawn(async move { ann.get_with(&path, &[("if-none-match", &tag)]).await.status })
    };
    eventually("a poll is held", || async {
        (cluster.instances[0].metric("tidings_polls_held", &[]).await == 1).then_some(())
    })
    .await;
    let id = crate::support::fresh_id();
    let message = json!({ "id": id, "content": "thorns" });
    let path = "/api/chat/rooms/rose-garden/messages";
    ann.post(path, message.clone()).await.ok(201);
    ann.post(path, message).await.ok(200);
    ann.post(path, json!({ "content": "" })).await.problem(400, "invalid");
    socket.hears("thorns").await;
    assert_eq!(held.await.unwrap(), 200);
    ann.get("/no/such/rose-path").await.problem(404, "not_found");
    let mut again = there.socket("ben").await;
    let history = ann.get(meta).await.ok(200)["history"].as_str().unwrap().to_owned();
    again.subscribe("rose-garden", json!({ "since": 1, "history": history })).await;
    again.subscribe("rose-garden", json!({ "since": 1, "history": "another" })).await;

    let here = &cluster.instances[0];
    let count = async |name: &str, parts: &[&str]| here.metric(name, parts).await;
    assert_eq!(count("tidings_sends_total", &["\"new\""]).await, 1);
    assert_eq!(count("tidings_sends_total", &["\"repeated\""]).await, 1);
    assert_eq!(count("tidings_sends_total", &["\"refused\""]).await, 1);
    assert_eq!(count("tidings_polls_total", &["held=\"false\"", "\"unchanged\""]).await, 1);
    assert_eq!(count("tidings_polls_total", &["held=\"true\"", "\"changed\""]).await, 1);
    let requests = "tidings_http_request_duration_seconds_count";
    let meta_route = "route=\"/api/chat/rooms/{roomId}/meta\"";
    assert_eq!(count(requests, &[meta_route, "\"3xx\""]).await, 1);
    assert_eq!(count(requests, &[meta_route, "\"2xx\""]).await, 2);
    assert_eq!(count(requests, &["/meta?wait\"", "\"2xx\""]).await, 1);
    assert_eq!(count(requests, &["route=\"other\"", "\"4xx\""]).await, 1);
    assert!(there.metric("tidings_delivery_duration_seconds_count", &["from=\"bus\""]).await >= 1);
    assert!(there.metric("tidings_deliveries_total", &["\"pushed\""]).await >= 1);
    assert_eq!(there.metric("tidings_resumes_total", &["\"recovered\""]).await, 1);
    assert_eq!(there.metric("tidings_resumes_total", &["\"reset_history\""]).await, 1);
    assert_eq!(there.metric("tidings_frame_duration_seconds_count", &["\"subscribe\"", "\"ok\""]).await, 3);
    assert_eq!(there.metric("tidings_connections", &["websocket"]).await, 2);
    for page in [here.metrics().await, there.metrics().await] {
        for never in ["rose", "thorns", "\"ann\"", "\"ben\"", id.as_str()] {
            assert!(!page.contains(never), "{never} is in\n{page}");
        }
    }
}

#[test]
fn every_route_is_measured_under_its_own_name() {
    let sources = ["src/http/mod.rs", "src/http/admin/mod.rs"].map(read);
    let given: Names = sources.iter().flat_map(|source| routes(source)).collect();
    let given: Names = given.iter().map(|route| route.split_once(' ').unwrap().1.to_owned()).collect();
    assert_eq!(tidings::http::ROUTES.map(str::to_owned).into_iter().collect::<Names>(), given);
}
