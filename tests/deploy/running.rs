//! The program in the containers of the manifests: with their environment, arguments, user, rights and secrets, against a
//! real PostgreSQL and Redis, asked by their probes and stopped as a pod is.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::rendered::{all, everything, file, number, one, text};
use super::sandbox::Container;
use crate::support::{Api, DEADLINE, Handshake, Postgres, Process, Redis, SECRET, free_port, within};

/// The Secret of an overlay, or in its place what the example says is in it. What leads elsewhere leads to the tests' own
/// servers; who one is there stays.
async fn secrets(overlay: &str, objects: &[Value]) -> BTreeMap<String, String> {
    let made = all(objects, "Secret").into_iter().find(|secret| secret["data"]["jwt-secret"].is_string());
    let mut values: BTreeMap<String, String> = if let Some(secret) = made {
        let data: BTreeMap<String, String> = serde_json::from_value(secret["data"].clone()).unwrap();
        data.into_iter().map(|(key, value)| (key, super::decoded(&value))).collect()
    } else {
        let example = file("k8s/base/secret.example.yaml").remove(0);
        let keys = example["stringData"].as_object().unwrap().keys();
        assert!(keys.eq(["database-url", "jwt-secret", "redis-url"].iter()), "the example has other keys");
        let filled = [("jwt-secret", SECRET), ("redis-url", ""), ("database-url", DATABASE)];
        filled.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    };
    let database = values.get_mut("database-url").unwrap();
    let (who, rest) = database.split_once("://").unwrap().1.split_once('@').unwrap();
    let ((user, password), (_, name)) = (who.split_once(':').unwrap(), rest.split_once('/').unwrap());
    assert!(!name.contains('?'), "{name}");
    // A user of its own, as in a cluster, who owns the database; one for each overlay.
    let (own_user, own_name) = (format!("{user}_{overlay}"), format!("{name}_{overlay}"));
    let postgres = Postgres::shared();
    postgres.run_on("postgres", &format!("create role {own_user} login password '{password}'")).await;
    postgres.run_on("postgres", &format!("create database {own_name} owner {own_user}")).await;
    *database = format!("postgres://{own_user}:{password}@127.0.0.1:{}/{own_name}", postgres.port());
    values.insert("redis-url".to_owned(), Redis::shared().url());
    values
}

const DATABASE: &str = "postgres://chat:in-production@managed:5432/chat";

/// What a probe of a container asks, and how it is answered.
async fn probe(container: &Value, name: &str, port: u16) -> Option<(u16, Value)> {
    let path = text(&container[name]["httpGet"]["path"]);
    let patience = Duration::from_secs(container[name]["timeoutSeconds"].as_u64().unwrap_or(1));
    let api = Api::new(([127, 0, 0, 1], port).into(), None);
    let reply = api.attempt(reqwest::Method::GET, path, &[], None, patience).await?;
    Some((reply.status, reply.json))
}

/// Where the pods of a Deployment and of a Job would run, and what they have.
struct Pods<'a> {
    deployment: &'a Value,
    server: Container,
    job: Container,
    port: u16,
    metrics: u16,
}

impl<'a> Pods<'a> {
    async fn of(overlay: &str) -> Pods<'a> {
        let objects = &everything()[overlay];
        let secrets = secrets(overlay, objects).await;
        let deployment = one(objects, "Deployment", "tidings");
        let server = Container::new(objects, deployment, &secrets);
        let job = Container::new(objects, one(objects, "Job", "tidings-migrate"), &secrets);
        Self { deployment, server, job, port: free_port(), metrics: free_port() }
    }

    /// Starts the server. All containers of this machine share its ports and its Redis; nothing else is changed.
    fn start(&self, overlay: &str) -> Process {
        let (port, metrics, prefix) =
            (self.port.to_string(), format!("127.0.0.1:{}", self.metrics), format!("deploy-{overlay}:"));
        self.server.start(&[("PORT", &port), ("METRICS_ADDR", &metrics), ("REDIS_PREFIX", &prefix)])
    }
}

async fn runs(overlay: &str) {
    let pods = Pods::of(overlay).await;
    let container = &pods.deployment["spec"]["template"]["spec"]["containers"][0];

    // Before the job: it says what is missing and ends, and is started again.
    let (status, log) = pods.start(overlay).ended();
    assert_eq!(status.code(), Some(1), "{log}");
    assert!(log.contains("migrate"), "{log}");
    let mut job = pods.job.start(&[]);
    job.line("The schema is up to date.");
    let (status, log) = job.ended();
    assert!(status.success(), "{log}");

    let mut process = pods.start(overlay);
    let begin = Instant::now();
    process.line("Tidings is listening on ");
    let allowed =
        number(&container["startupProbe"]["periodSeconds"]) * number(&container["startupProbe"]["failureThreshold"]);
    within(Duration::from_secs(allowed), "it has started", || probe(container, "startupProbe", pods.port)).await;
    assert_eq!(probe(container, "livenessProbe", pods.port).await.unwrap().0, 200);
    let ready = within(DEADLINE, "it is ready, and the bus is proven", || async {
        probe(container, "readinessProbe", pods.port).await.filter(|(_, said)| said["bus"] == "proven")
    });
    let expected = json!({ "status": "ready", "bus": "proven", "redis": "ok", "database": "ok" });
    assert_eq!(ready.await, (200, expected), "after {:?}", begin.elapsed());
    pods.server.assert_holds(process.id());

    // As the overlay's first lines say: `kubectl exec deployment/tidings -- tidings token`.
    let mut exec = pods.server.run(&["token", "--user", "ann", "--name", "Ann"], &[]);
    let token = exec.line(".");
    assert!(exec.ended().0.success());
    let address = ([127, 0, 0, 1], pods.port).into();
    let ann = Api::new(address, Some(token.clone()));
    ann.post("/api/chat/rooms", json!({ "id": "garden", "type": "PUBLIC", "title": "Garden" })).await.ok(201);
    let mut socket = Handshake::to(address).token(&token).welcomed("ann").await;
    socket.subscribe("garden", json!({})).await;
    ann.post("/api/chat/rooms/garden/messages", json!({ "content": "Hello" })).await.ok(201);
    assert_eq!(socket.frame("message").await["message"]["content"], "Hello");
    let metrics = Api::new(([127, 0, 0, 1], pods.metrics).into(), None).get("/metrics").await;
    let text = String::from_utf8(metrics.bytes).unwrap();
    assert!(text.lines().any(|line| line == "tidings_connections{transport=\"websocket\"} 1"), "{text}");

    // As the first process of its container, whose signals the kernel does not deliver by themselves.
    let begin = Instant::now();
    process.signal("TERM");
    assert_eq!(socket.closed().await.0, 4200);
    let (status, log) = process.ended();
    let pod = &pods.deployment["spec"]["template"]["spec"];
    let before = number(&container["lifecycle"]["preStop"]["sleep"]["seconds"]);
    let grace = Duration::from_secs(number(&pod["terminationGracePeriodSeconds"]) - before);
    assert!(status.success() && begin.elapsed() < grace, "{status} after {:?}\n{log}", begin.elapsed());
    assert!(log.lines().all(|line| serde_json::from_str::<Value>(line).is_ok()), "LOG_FORMAT=json: {log}");
    assert!(!log.contains("\"ERROR\""), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_local_overlay_runs_as_it_says() {
    runs("local").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_production_overlay_runs_as_it_says() {
    runs("production").await;
}

#[test]
fn the_containers_hold_a_program_that_would_read_or_write_more() {
    let objects = &everything()["local"];
    let (deployment, job) = (one(objects, "Deployment", "tidings"), one(objects, "Job", "tidings-migrate"));
    for place in ["/data", "/tmp", "/run/secrets/tidings", "/usr/lib"] {
        let secrets = [
            ("database-url".to_owned(), format!("sqlite:{place}/tidings.db")),
            ("redis-url".to_owned(), Redis::shared().url()),
            ("jwt-secret".to_owned(), SECRET.to_owned()),
        ];
        let secrets = secrets.into_iter().collect();
        let job = Container::new(objects, job, &secrets);
        for container in [&Container::new(objects, deployment, &secrets), &job] {
            let (status, errors) = container.start(&[]).ended();
            assert_eq!(status.code(), Some(1), "{place}: {errors}");
            assert!(errors.contains("Read-only file system") || errors.contains("unable to open"), "{place}: {errors}");
        }
        // The job has the one secret it needs.
        let key = [("JWT_SECRET_FILE", "/run/secrets/tidings/jwt-secret")];
        let (status, errors) = job.run(&[], &key).ended();
        assert!(status.code() == Some(2) && errors.contains("cannot read"), "{errors}");
    }
}
