//! A message is one trace, wherever it goes; and nobody waits for whoever collects it.

use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};
use sqlx::{Connection, Executor};
use tempfile::tempdir;
use tokio::net::TcpListener;

use super::collector::{Collector, HEADERS, Span};
use super::{Few, garden};
use crate::support::{Api, DEADLINE, Postgres, Process, SECRET, database_url, eventually, fresh_id, say, token};

const SAID: &str = "words that no trace of it may hold";

/// Two instances that record everything.
async fn traced(collector: &Collector) -> Few {
    let url = collector.url();
    let environment = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", url.as_str()),
        ("OTEL_EXPORTER_OTLP_HEADERS", HEADERS),
        ("OTEL_TRACES_SAMPLER", "always_on"),
    ];
    Few::with(2, &environment).await
}

/// The spans of this name in the trace of another.
fn of_trace<'a>(spans: &'a [Span], trace: &str, name: &str) -> Vec<&'a Span> {
    spans.iter().filter(|span| span.trace == trace && span.name == name).collect()
}

/// The one span that began with the send that the test is about.
fn begun<'a>(spans: &'a [Span], name: &str, attribute: (&str, &str)) -> Option<&'a Span> {
    spans.iter().find(|span| span.name == name && span.attributes.get(attribute.0).is_some_and(|is| is == attribute.1))
}

/// That all of the message's way stands under the span that took it, and the other instance's part under its publication.
#[track_caller]
fn assert_whole(spans: &[Span], accepted: &Span) {
    let of_name = |name| of_trace(spans, &accepted.trace, name);
    let [commit] = of_name("store.commit")[..] else { panic!("not one commit in {spans:#?}") };
    let [publish] = of_name("publish")[..] else { panic!("not one publication in {spans:#?}") };
    for span in [commit, publish] {
        assert_eq!((&span.parent, &span.instance), (&accepted.id, &accepted.instance), "{span:?}");
    }
    let delivered = of_name("deliver");
    let (here, there): (Vec<&Span>, Vec<&Span>) =
        delivered.into_iter().partition(|span| span.instance == accepted.instance);
    assert_eq!(here.iter().map(|span| &span.parent).collect::<Vec<_>>(), [&accepted.id], "{here:?}");
    assert_eq!(there.iter().map(|span| &span.parent).collect::<Vec<_>>(), [&publish.id], "{there:?}");
    for span in [publish, here[0], there[0]] {
        assert_eq!(span.attributes["room.id"], "garden");
    }
}

fn is_whole(spans: &[Span], accepted: Option<&Span>) -> bool {
    accepted.is_some_and(|accepted| of_trace(spans, &accepted.trace, "deliver").len() == 2)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_is_one_trace_from_its_sender_to_the_readers_of_every_instance() {
    let collector = Collector::start().await;
    let few = traced(&collector).await;
    few.garden(&["ann", "ben"]).await;
    let mut ben = few.instances[1].socket("ben").await;
    ben.subscribe("garden", json!({})).await;
    ben.frame("messages").await;

    let headers = [("x-request-id", "the-send"), ("content-type", "application/json")];
    let body = json!({ "content": SAID }).to_string().into_bytes();
    few.api(0, "ann").call(Method::POST, &garden("messages"), &headers, Some(body)).await.ok(201);
    ben.frame("message").await;
    let request = |spans: &[Span]| begun(spans, "request", ("request.id", "the-send")).cloned();
    let spans = collector.spans("a call's trace is whole", |spans| is_whole(spans, request(spans).as_ref())).await;
    let accepted = request(&spans).unwrap();
    assert_eq!(accepted.parent, "", "it began the trace");
    assert_eq!(accepted.attributes["http.response.status_code"], "201");
    assert_eq!(accepted.attributes["http.request.method"], "POST");
    assert_whole(&spans, &accepted);

    let mut ann = few.instances[0].socket("ann").await;
    let message = json!({ "id": fresh_id(), "content": SAID });
    ann.done(json!({ "type": "send", "roomId": "garden", "message": message })).await;
    ben.frame("message").await;
    let frame = |spans: &[Span]| begun(spans, "frame", ("frame.type", "send")).cloned();
    let spans = collector.spans("a frame's trace is whole", |spans| is_whole(spans, frame(spans).as_ref())).await;
    let accepted = frame(&spans).unwrap();
    assert_eq!(accepted.parent, "", "each frame begins a trace, however old its connection");
    assert_whole(&spans, &accepted);

    let token = token("ann");
    for secret in [SAID, &token, token.rsplit('.').next().unwrap(), SECRET] {
        assert!(!collector.has_seen(secret), "a trace holds {secret}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sends_that_are_committed_together_name_each_other() {
    let collector = Collector::start().await;
    let few = traced(&collector).await;
    few.garden(&["ann"]).await;
    let mut database = Postgres::shared().connect(&few.database.name).await;
    database.execute("begin; lock table room in exclusive mode").await.unwrap();
    let send = |number: usize| {
        let ann = few.api(0, "ann");
        tokio::spawn(async move { say(&ann, "garden", &format!("{SAID} {number}")).await })
    };
    // The first waits for the room, the others for the first.
    let sends: Vec<_> = (0..8).map(send).collect();
    let waiting =
        "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'";
    eventually("a send waits for the room", || {
        let beside = Postgres::shared().connect(&few.database.name);
        async move {
            (sqlx::query_scalar::<_, i64>(waiting).fetch_one(&mut beside.await).await.unwrap() > 0).then_some(())
        }
    })
    .await;
    // They were on their way before this was.
    few.api(0, "ann").get(&garden("meta")).await.ok(200);
    database.execute("rollback").await.unwrap();
    database.close().await.unwrap();
    for send in sends {
        send.await.unwrap();
    }
    let requests = |spans: &[Span]| -> Vec<String> {
        let of_sends = spans.iter().filter(|span| span.attributes.get("url.path") == Some(&garden("messages")));
        of_sends.map(|span| span.trace.clone()).collect()
    };
    let spans = collector.spans("all are recorded", |spans| requests(spans).len() == 8).await;
    let commits: Vec<Span> =
        requests(&spans).iter().flat_map(|trace| of_trace(&spans, trace, "store.commit")).cloned().collect();
    assert_eq!(commits.len(), 8, "each send has one in its own trace: {commits:#?}");
    let together: Vec<Span> = commits.into_iter().filter(|span| span.attributes["batch"] != "1").collect();
    assert!(!together.is_empty(), "none were committed together: {spans:#?}");
    let mut named = 0;
    for first in together.iter().filter(|span| span.links.is_empty()) {
        let batch: usize = first.attributes["batch"].parse().unwrap();
        assert_eq!(together.iter().filter(|span| span.links == [first.id.clone()]).count(), batch - 1, "{together:#?}");
        named += batch;
    }
    assert_eq!(named, together.len(), "{together:#?}");
}

/// A program on data of its own that records nothing by itself.
fn alone(folder: &tempfile::TempDir, collector: &str, more: &[(&str, &str)]) -> Process {
    let database = database_url(folder);
    let mut environment = vec![
        ("HOST", "127.0.0.1"),
        ("PORT", "0"),
        ("DATABASE_URL", &database),
        ("JWT_SECRET", SECRET),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", collector),
        ("OTEL_EXPORTER_OTLP_HEADERS", HEADERS),
    ];
    environment.extend(more);
    Process::start(&[], &environment)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trace_of_a_trusted_proxy_goes_on_and_nobody_else_has_theirs_recorded() {
    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    const PARENT: &str = "00f067aa0ba902b7";
    let collector = Collector::start().await;
    let url = collector.url();
    let folders = [tempdir().unwrap(), tempdir().unwrap()];
    let sampler = ("OTEL_TRACES_SAMPLER", "parentbased_always_off");
    let mut trusting = alone(&folders[0], &url, &[sampler, ("TRUSTED_PROXIES", "127.0.0.1")]);
    let mut others = alone(&folders[1], &url, &[sampler]);
    let ask = async |address, id: &str, flags: &str| {
        let parent = format!("00-{TRACE}-{PARENT}-{flags}");
        let headers = [("traceparent", parent.as_str()), ("x-request-id", id)];
        Api::new(address, None).get_with("/healthz", &headers).await.ok(200)
    };
    ask(others.address(), "not-believed", "01").await;
    let address = trusting.address();
    ask(address, "not-recorded", "00").await;
    ask(address, "recorded", "01").await;
    // A stop sends what is left.
    for process in [&mut others, &mut trusting] {
        process.signal("TERM");
        assert!(process.ended().0.success());
    }
    let spans = collector.spans("the proxy's is there", |spans| !spans.is_empty()).await;
    let [span] = &spans[..] else { panic!("more than that was recorded: {spans:#?}") };
    assert_eq!(span.attributes["request.id"], "recorded");
    assert_eq!((span.trace.as_str(), span.parent.as_str()), (TRACE, PARENT));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_never_answers_costs_a_line_of_the_log_and_nothing_else() {
    // It takes connections, and that is all.
    let dead = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", dead.local_addr().unwrap());
    let folder = tempdir().unwrap();
    let mut process = alone(&folder, &url, &[("OTEL_TRACES_SAMPLER", "always_on"), ("LIMITS", "off")]);
    let ann = Api::new(process.address(), Some(token("ann")));
    ann.get("/api/session").await.ok(200);
    crate::support::make_room(&ann, "garden", "GROUP", &[]).await;
    eventually("its log says that the collector does not answer", || async {
        // More spans than may wait, in time.
        for _ in 0..20 {
            let sent: Value = say(&ann, "garden", SAID).await;
            assert!(sent["seq"].is_u64());
        }
        process.log().contains("does not take traces").then_some(())
    })
    .await;
    let begin = Instant::now();
    process.signal("TERM");
    let (status, log) = process.ended();
    assert!(status.success() && begin.elapsed() < DEADLINE, "{log}");
    assert_eq!(log.matches("does not take traces").count(), 1, "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_does_not_wait_for_a_collector_that_hangs() {
    // It takes the connection, and never answers.
    let hangs = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", hangs.local_addr().unwrap());
    let folder = tempdir().unwrap();
    let mut process = alone(&folder, &url, &[("OTEL_TRACES_SAMPLER", "always_on")]);
    Api::new(process.address(), Some(token("ann"))).get("/api/session").await.ok(200);
    let _connection = tokio::time::timeout(DEADLINE, hangs.accept()).await.unwrap().unwrap();
    process.signal("TERM");
    eventually("only the traces are waited for", || async { process.log().contains("cut=false").then_some(()) }).await;
    let begin = Instant::now();
    process.signal("TERM");
    let (status, log) = process.ended();
    assert_eq!(status.code(), Some(3), "{log}");
    assert!(begin.elapsed() < Duration::from_secs(1), "{:?}: {log}", begin.elapsed());
}
