//! What an operator can get wrong about PostgreSQL and Redis: named, and nothing hangs.

use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::support::{Cluster, Instance, PASSWORD, Plan, Process, SECRET, eventually, make_room, say};

/// How a program ends that cannot use its database, and what it says.
fn refused(arguments: &[&str], database_url: &str, environment: &[(&str, &str)]) -> String {
    let mut all = vec![("DATABASE_URL", database_url), ("HOST", "127.0.0.1"), ("PORT", "0"), ("JWT_SECRET", SECRET)];
    all.extend_from_slice(environment);
    let mut process = Process::start(arguments, &all);
    let (status, errors) = tokio::task::block_in_place(|| process.ended());
    assert!(!status.success(), "it went well: {errors}");
    assert!(!errors.contains("panicked"), "{errors}");
    assert!(!errors.contains(PASSWORD), "it shows the password: {errors}");
    errors.to_lowercase()
}

#[track_caller]
fn assert_names(said: &str, words: &[&str]) {
    assert!(words.iter().any(|word| said.contains(word)), "none of {words:?} is in:\n{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_cannot_be_used_is_named_at_the_start() {
    let cluster = Cluster::prepared(Plan { instances: 1, ..Plan::default() }).await;
    let (postgres, name) = (cluster.postgres(), &cluster.database);
    let url = postgres.url(name);
    assert_names(&refused(&[], &url.replace(PASSWORD, "wrong"), &[]), &["password"]);
    assert_names(&refused(&[], &postgres.url("nowhere"), &[]), &["nowhere", "does not exist"]);
    let limited = format!("create role limited_{name} login password 'limited'");
    postgres.run_on(name, &limited).await;
    let without = url.replace(&format!("postgres:{PASSWORD}@"), &format!("limited_{name}:limited@"));
    assert_names(&refused(&[], &without, &[]), &["permission", "rights"]);
    let closed = format!("postgres://postgres:{PASSWORD}@127.0.0.1:1/{name}");
    assert_names(&refused(&[], &closed, &[]), &["database", "connect"]);
    assert_names(&refused(&[], "postgres://", &[]), &["database_url"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_auto_migrate_an_empty_database_is_refused_until_it_was_migrated() {
    let mut cluster =
        Cluster::prepared(Plan { instances: 1, environment: &[("AUTO_MIGRATE", "false")], ..Plan::default() }).await;
    let url = cluster.postgres().url(&cluster.database);
    assert_names(&refused(&[], &url, &[("AUTO_MIGRATE", "false")]), &["tidings migrate", "migrat"]);
    let mut tables = cluster.beside().await;
    let count = "select count(*) from information_schema.tables where table_schema = 'public'";
    let made: i64 = sqlx::query_scalar(count).fetch_one(&mut tables).await.unwrap();
    assert_eq!(made, 0, "it made tables although it was told not to");
    for _ in 0..2 {
        let mut migrating = Process::start(&["migrate"], &[("DATABASE_URL", &url)]);
        let (status, errors) = tokio::task::block_in_place(|| migrating.ended());
        assert!(status.success(), "{errors}");
    }
    cluster.instances[0].start().await;
    cluster.people(["ann"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_of_another_version_is_refused_and_left_as_it_is() {
    let mut cluster = Cluster::with(Plan { instances: 1, ..Plan::default() }).await;
    cluster.instances[0].kill();
    let url = cluster.postgres().url(&cluster.database);
    let later = "insert into _sqlx_migrations (version, description, success, checksum, execution_time)
                 values (99990101000000, 'from the future', true, '', 0)";
    cluster.postgres().run_on(&cluster.database, later).await;
    for auto in ["true", "false"] {
        assert_names(&refused(&[], &url, &[("AUTO_MIGRATE", auto)]), &["newer", "99990101000000", "version"]);
    }
    assert_names(&refused(&["migrate"], &url, &[]), &["newer", "99990101000000", "version"]);
    cluster.postgres().run_on(&cluster.database, "delete from _sqlx_migrations where version = 99990101000000").await;
    cluster.instances[0].start().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_could_lose_what_was_acknowledged_is_refused_unless_that_is_meant() {
    let mut cluster = Cluster::prepared(Plan { instances: 1, ..Plan::default() }).await;
    let (name, url) = (cluster.database.clone(), cluster.postgres().url(&cluster.database));
    cluster.postgres().run_on("postgres", &format!("alter database {name} set synchronous_commit = off")).await;
    assert_names(&refused(&[], &url, &[]), &["synchronous_commit"]);
    let mut told = Process::start(
        &[],
        &[
            ("DATABASE_URL", &url),
            ("HOST", "127.0.0.1"),
            ("PORT", "0"),
            ("JWT_SECRET", SECRET),
            ("UNSAFE_DATABASE", "on"),
        ],
    );
    tokio::task::block_in_place(|| told.address());
    drop(told);
    cluster.postgres().run_on("postgres", &format!("alter database {name} reset synchronous_commit")).await;
    cluster.instances[0].start().await;
}

/// A Redis that is of no use: the service says why, once, and goes on without it.
async fn assert_named(cluster: &Cluster, words: &[&str]) {
    cluster.people(["ann", "ben"]).await;
    make_room(&cluster.api(0, "ann"), "garden", "GROUP", &["ben"]).await;
    let mut socket = cluster.instances[1].socket("ben").await;
    socket.subscribe("garden", json!({})).await;
    let begin = std::time::Instant::now();
    for n in 0..10 {
        say(&cluster.api(0, "ann"), "garden", &n.to_string()).await;
    }
    let took = begin.elapsed();
    assert!(took < Duration::from_secs(2), "ten sends took {took:?}");
    socket.hears("9").await;
    cluster.api(1, "ben").get("/api/chat/rooms/garden/messages").await.ok(200);
    for (n, instance) in cluster.instances.iter().enumerate() {
        let said = eventually(&format!("instance {n} says that Redis is of no use"), || async {
            let (status, said) = instance.readiness().await?;
            assert_eq!(status, 200, "{said}");
            (said["redis"] != "ok" && said["status"] == "degraded").then_some(said)
        })
        .await;
        assert_names(&said["redis"].as_str().unwrap().to_lowercase(), words);
        assert_ne!(said["bus"], "none", "{said}");
    }
    for instance in &cluster.instances {
        let log = instance.log();
        let lines: Vec<&str> = log
            .lines()
            .filter(|line| line.contains("WARN") || line.contains("ERROR"))
            .filter(|line| line.to_lowercase().contains("redis"))
            .collect();
        assert!(!lines.is_empty(), "the log does not name it:\n{log}");
        assert!(lines.len() <= 6, "{} lines say it: {lines:#?}", lines.len());
        assert!(lines.iter().any(|line| words.iter().any(|word| line.to_lowercase().contains(word))), "{lines:#?}");
        assert!(!log.contains("panicked"), "{log}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_wants_a_password_is_named_and_not_needed() {
    let plan = Plan { redis: &["--requirepass", "secret"], ..Plan::default() };
    assert_named(&Cluster::with(plan).await, &["noauth", "authentication", "password"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_is_read_only_is_named_and_not_needed() {
    let plan = Plan { redis: &["--replicaof", "127.0.0.1 1", "--replica-serve-stale-data", "yes"], ..Plan::default() };
    assert_named(&Cluster::with(plan).await, &["readonly", "read-only", "read only"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_is_full_is_named_and_not_needed() {
    let cluster = Cluster::start().await;
    cluster.bus_is("proven").await;
    cluster.redis().cli(&["config", "set", "maxmemory-policy", "noeviction"]);
    cluster.redis().cli(&["config", "set", "maxmemory", "1"]);
    assert_named(&cluster, &["oom", "memory", "full"]).await;
    cluster.redis().cli(&["config", "set", "maxmemory", "0"]);
    cluster.bus_is("proven").await;
    for instance in &cluster.instances {
        eventually("Redis is well again", || async {
            instance.readiness().await.filter(|(_, said)| said["redis"] == "ok")
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_no_redis_is_named_and_not_needed() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("redis://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut heard = [0; 1024];
                while let Ok(1..) = client.read(&mut heard).await {
                    drop(client.write_all(b"220 mail.example.com ESMTP\r\n").await);
                }
            });
        }
    });
    let cluster = Cluster::with(Plan { redis_url: Some(&url), ..Plan::default() }).await;
    assert_named(&cluster, &["protocol", "parse", "answer", "reply", "not redis", "no redis"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_url_that_is_none_is_refused_by_name() {
    let cluster = Cluster::prepared(Plan { instances: 1, ..Plan::default() }).await;
    let url = cluster.postgres().url(&cluster.database);
    for nonsense in ["http://localhost", "redis//localhost", "localhost:6379"] {
        assert_names(&refused(&[], &url, &[("REDIS_URL", nonsense)]), &["redis_url", "redis-url"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_urls_of_the_application_s_own_library_work_as_they_are() {
    let cluster = Cluster::prepared(Plan { instances: 1, ..Plan::default() }).await;
    cluster.postgres().run_on(&cluster.database, "create schema chat").await;
    let query = "schema=chat&pgbouncer=true&connection_limit=5&pool_timeout=10&connect_timeout=5&sslmode=prefer";
    let url = format!("{}?{query}", cluster.postgres().url(&cluster.database).replace("postgres://", "postgresql://"));
    let mut instance = Instance::new(&[("DATABASE_URL", &url)]);
    instance.start().await;
    instance.api("ann").get("/api/session").await.ok(200);
    make_room(&instance.api("ann"), "garden", "GROUP", &[]).await;
    for n in 0..20 {
        say(&instance.api("ann"), "garden", &n.to_string()).await;
    }
    let count = "select count(*) from chat.message";
    let count: i64 = sqlx::query_scalar(count).fetch_one(&mut cluster.beside().await).await.unwrap();
    assert_eq!(count, 21, "it is in another schema");
    let used = "select count(*) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()";
    let used: i64 = sqlx::query_scalar(used).fetch_one(&mut cluster.beside().await).await.unwrap();
    assert!((1..=5).contains(&used), "{used} connections are more than was allowed");
}

#[tokio::test(flavor = "multi_thread")]
async fn on_a_shared_database_nobody_comes_in_by_name_unless_that_is_said() {
    let cluster = Cluster::prepared(Plan { instances: 1, ..Plan::default() }).await;
    let url = cluster.postgres().url(&cluster.database);
    let mut process = Process::start(&["--port", "0"], &[("DATABASE_URL", &url)]);
    let (status, errors) = tokio::task::block_in_place(|| process.ended());
    assert_eq!(status.code(), Some(2), "{errors}");
    assert!(errors.contains("JWT_SECRET"), "{errors}");
}
