//! The same on all instances: what one of them is told holds on the others, with Redis and without.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{application, credential, revoke};
use crate::support::{Api, Cluster, Handshake, Line, Socket, eventually, in_seconds, token_with, within};

/// Longest until a socket elsewhere is closed.
const WITH_REDIS: Duration = Duration::from_secs(1);
const WITHOUT: Duration = Duration::from_secs(5);

async fn socket(cluster: &Cluster, instance: usize, token: &str) -> Socket {
    Handshake::to(cluster.instances[instance].address()).token(token).welcomed("ann").await
}

/// How long revocations at one instance take to close sockets at the other: the median and the worst but one.
async fn times(cluster: &Cluster, rounds: usize, name: &str) -> (Duration, Duration) {
    let mut times = Vec::new();
    for round in 0..rounds {
        let id = format!("{name}{round}");
        let mut live = socket(cluster, 1, &credential("ann", &id, "s", in_seconds(0))).await;
        let begin = Instant::now();
        revoke(cluster.instances[0].address(), json!({ "tokenId": id })).await;
        assert_eq!(live.closed().await.0, 4004);
        times.push(begin.elapsed());
        let refused = Api::new(cluster.instances[1].address(), Some(credential("ann", &id, "s", in_seconds(0))));
        refused.get("/api/session").await.problem(401, "token_revoked");
    }
    times.sort();
    (times[rounds / 2], times[rounds - 1 - rounds / 100])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revocation_at_one_instance_closes_sockets_at_the_other_with_redis_and_without() {
    let mut cluster = Cluster::start().await;
    cluster.people(["ann"]).await;
    cluster.bus_is("proven").await;
    let (median, worst) = times(&cluster, 50, "up").await;
    eprintln!("revoked to closed elsewhere, with Redis: p50 {median:?}, worst {worst:?}");
    assert!(worst < WITH_REDIS, "{worst:?}");
    cluster.redis_mut().kill();
    cluster.bus_is("unproven").await;
    let (median, worst) = times(&cluster, 20, "down").await;
    eprintln!("revoked to closed elsewhere, Redis killed: p50 {median:?}, worst {worst:?}");
    assert!(worst < WITHOUT, "{worst:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn suspended_here_is_suspended_there_and_after_a_restart_too() {
    let mut cluster = Cluster::start().await;
    cluster.people(["ann"]).await;
    let mut live = socket(&cluster, 1, &token_with("ann", &json!({}))).await;
    let path = "/api/admin/users/ann/suspension";
    application(cluster.instances[0].address()).put(path, json!({})).await.ok(204);
    assert_eq!(live.closed().await.0, 4005);
    cluster.api(1, "ann").get("/api/chat/meta").await.problem(403, "suspended");
    cluster.instances[1].kill();
    cluster.instances[1].start().await;
    cluster.api(1, "ann").get("/api/chat/meta").await.problem(403, "suspended");
    application(cluster.instances[1].address()).delete(path).await.ok(204);
    eventually("she may come in again", || async {
        (cluster.api(0, "ann").get("/api/chat/meta").await.status == 200).then_some(())
    })
    .await;
}

/// A user's session as an instance tells it.
async fn session(cluster: &Cluster, instance: usize, token: &str) -> Value {
    Api::new(cluster.instances[instance].address(), Some(token.to_owned())).get("/api/session").await.ok(200)
}

/// Looks until Redis holds this of ann. A Redis that is slow just then is given nothing; the next change gives it all.
async fn is_kept(cluster: &Cluster, admin: &Api, kind: &str, value: &str) {
    let changes = std::sync::atomic::AtomicU32::new(0);
    eventually("what changed is in Redis", || async {
        if cluster.redis().cli(&["get", &format!("stats:user:ann:{kind}")]) == value {
            return Some(());
        }
        let picture = format!("https://example.com/{}.png", changes.fetch_add(1, std::sync::atomic::Ordering::Relaxed));
        admin.put("/api/admin/users/ann", json!({ "avatarUrl": picture })).await.ok(200);
        None
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_role_or_partner_holds_everywhere_at_once_whatever_is_cached() {
    let mut cluster = Cluster::start().await;
    cluster.bus_is("proven").await;
    let token = token_with("ann", &json!({ "iat": in_seconds(-100), "role": "CUSTOMER" }));
    let path = "/api/admin/users/ann";
    let admin = application(cluster.instances[0].address());
    for (round, status) in ["PENDING", "APPROVED", "REJECTED"].iter().enumerate() {
        for instance in 0..2 {
            session(&cluster, instance, &token).await;
        }
        let role = if round % 2 == 0 { "PARTNER" } else { "CUSTOMER" };
        admin.put(path, json!({ "role": role, "partner": { "id": "p", "status": status } })).await.ok(200);
        assert_eq!(session(&cluster, 0, &token).await["partner"]["status"], *status);
        is_kept(&cluster, &admin, "role", role).await;
        let there = within(WITH_REDIS, "the other instance tells the new status", || async {
            let there = session(&cluster, 1, &token).await;
            (there["partner"]["status"] == *status).then_some(there)
        })
        .await;
        assert_eq!(there["role"], role);
    }
    // What is cached is older than what was changed while Redis was away.
    is_kept(&cluster, &admin, "partner", r#"{"id":"p","status":"REJECTED"}"#).await;
    for proxy in &cluster.to_redis {
        proxy.set(Line::Cut);
    }
    cluster.bus_is("unproven").await;
    admin.put(path, json!({ "partner": { "id": "p", "status": "APPROVED" } })).await.ok(200);
    for proxy in &cluster.to_redis {
        proxy.set(Line::Open);
    }
    cluster.bus_is("proven").await;
    cluster.instances[1].kill();
    cluster.instances[1].start().await;
    assert_eq!(session(&cluster, 1, &token).await["partner"]["status"], "APPROVED");
    // A newer token at one instance is news for the other.
    let newer = token_with("ann", &json!({ "iat": in_seconds(-10), "name": "Ann B." }));
    session(&cluster, 0, &newer).await;
    eventually("the other knows the new name", || async {
        (session(&cluster, 1, &token).await["user"]["name"] == "Ann B.").then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_is_read_once_for_all_instances_and_then_from_memory() {
    let mut cluster = Cluster::start().await;
    cluster.bus_is("proven").await;
    let users: Vec<String> = (0..100).map(|n| format!("u{n}")).collect();
    for user in &users {
        cluster.api(0, user).get("/api/session").await.ok(200);
    }
    for kind in ["role", "partner", "profile"] {
        let kept = cluster.redis().cli(&["--scan", "--pattern", &format!("stats:user:u*:{kind}")]);
        assert_eq!(kept.lines().count(), users.len(), "{kind}");
    }
    // It knows nobody, and Redis does.
    cluster.instances[1].kill();
    cluster.instances[1].start().await;
    cluster.instances[1].bus_is("proven").await;
    let there = &cluster.instances[1];
    let before = there.metric("tidings_queries_total", &[]).await;
    for _ in 0..10 {
        for user in &users {
            cluster.api(1, user).get("/api/session").await.ok(200);
        }
    }
    let queries = there.metric("tidings_queries_total", &[]).await - before;
    let of = async |result: &str| there.metric("tidings_cache_total", &["key=\"user\"", result]).await;
    let (memory, hit, miss) = (of("memory").await, of("hit").await, of("miss").await);
    eprintln!(
        "1,000 sessions of 100 users: {queries} queries; {memory} from memory, {hit} from Redis, {miss} from the database"
    );
    // What the instance asks for itself is among them.
    assert!(queries <= 100, "at least nine of ten are spared, and it were {queries}");
    // Redis is not waited for: a question it answers late is asked of the database.
    assert!(hit + miss == 100 && hit >= 80, "{hit} from Redis, {miss} from the database");
    assert!(memory >= 900);
    for (name, lifetime) in [("role", 1800), ("partner", 300), ("profile", 300)] {
        let left: i64 = cluster.redis().cli(&["ttl", &format!("stats:user:u7:{name}")]).parse().unwrap();
        assert!((1..=lifetime).contains(&left), "{name}: {left}");
    }
    assert_eq!(cluster.redis().cli(&["get", "stats:user:u7:partner"]), "null");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_writes_to_redis_makes_no_administrator() {
    let mut cluster = Cluster::start().await;
    cluster.bus_is("proven").await;
    let mut people = Vec::new();
    for n in 0..20 {
        let user = format!("u{n}");
        cluster.api(0, &user).get("/api/session").await.ok(200);
        cluster.redis().cli(&["set", &format!("stats:user:{user}:role"), "ADMIN"]);
        people.push(user);
    }
    cluster.instances[1].kill();
    cluster.instances[1].start().await;
    cluster.instances[1].bus_is("proven").await;
    let mut believed = 0;
    for user in &people {
        // Of a Redis that is slow just then nothing is read.
        believed += usize::from(cluster.api(1, user).get("/api/session").await.ok(200)["role"] == "ADMIN");
        cluster.api(1, user).get("/api/admin/users/u0").await.problem(403, "forbidden");
    }
    assert!(believed > 0, "the cache is believed where nothing depends on it");
}
