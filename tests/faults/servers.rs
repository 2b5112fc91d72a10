//! The servers that the other suites break do what is asked of them; else those suites would prove nothing.

use std::time::{Duration, Instant};

use fred::prelude::*;
use sqlx::{Connection, PgConnection};

use crate::support::{Line, Loss, PASSWORD, Postgres, Proxy, Redis, RedisCluster};

async fn answer(url: &str, query: &'static str) -> Result<String, sqlx::Error> {
    let mut connection = PgConnection::connect(url).await?;
    sqlx::query_scalar(query).fetch_one(&mut connection).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_postgres_that_was_killed_keeps_what_was_committed_and_is_as_safe_as_in_production() {
    let mut postgres = Postgres::start();
    postgres.create("chat").await;
    postgres.run_on("chat", "create table kept (n text); insert into kept values ('yes')").await;
    let before = postgres.connect("chat").await;
    postgres.kill();
    assert!(answer(&postgres.url("chat"), "select n from kept").await.is_err(), "it answers after its end");
    drop(before);
    postgres.start_again();
    assert_eq!(answer(&postgres.url("chat"), "select n from kept").await.unwrap(), "yes");
    for setting in ["fsync", "synchronous_commit", "full_page_writes"] {
        let asked = sqlx::query_scalar::<_, String>("select current_setting($1)").bind(setting);
        assert_eq!(asked.fetch_one(&mut postgres.connect("chat").await).await.unwrap(), "on", "{setting}");
    }
    let wrong = postgres.url("chat").replace(PASSWORD, "wrong");
    assert!(answer(&wrong, "select n from kept").await.is_err(), "any password does");
    assert!(answer(&format!("{}x", postgres.url("chat")), "select 'no'").await.is_err(), "any database does");
    postgres.signal("STOP");
    let port = postgres.port();
    let url = postgres.url("chat");
    let silent = tokio::time::timeout(Duration::from_millis(300), answer(&url, "select n from kept"));
    assert!(silent.await.is_err(), "port {port} answers while it is stopped");
    postgres.signal("CONT");
    assert_eq!(answer(&postgres.url("chat"), "select n from kept").await.unwrap(), "yes");
    let file = postgres.folder().join("dump");
    let dumped = postgres.tool("pg_dump", &["-f", file.to_str().unwrap(), "chat"]).status().unwrap();
    assert!(dumped.success() && std::fs::read_to_string(&file).unwrap().contains("kept"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_was_killed_is_empty_and_where_it_was() {
    let mut redis = Redis::start();
    redis.cli(&["set", "a", "1"]);
    let port = redis.port();
    redis.kill();
    assert!(redis.try_cli(&["ping"]).contains("refused"));
    redis.start_again();
    assert_eq!((redis.cli(&["get", "a"]).as_str(), redis.port()), ("", port));
    redis.signal("STOP");
    let url = Config::from_url(&redis.url()).unwrap();
    let ServerConfig::Centralized { server } = url.server else { panic!("{} is no single server", redis.url()) };
    let connected = tokio::net::TcpStream::connect((&*server.host, server.port)).await.unwrap();
    connected.try_write(b"PING\r\n").unwrap();
    let answered = tokio::time::timeout(Duration::from_millis(300), connected.readable());
    assert!(answered.await.is_err(), "it answers while it is stopped");
    redis.signal("CONT");
    connected.readable().await.unwrap();
    let locked = Redis::with(&["--requirepass", "secret"]);
    assert!(locked.try_cli(&["get", "a"]).contains("NOAUTH"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slot_of_the_cluster_moves_to_another_master() {
    let cluster = RedisCluster::start();
    let ServerConfig::Clustered { hosts, .. } = Config::from_url(&cluster.url()).unwrap().server else {
        panic!("{} is no cluster", cluster.url())
    };
    assert_eq!(hosts.len(), 3);
    let answers = || -> Vec<String> { cluster.nodes().iter().map(|node| node.try_cli(&["get", "name"])).collect() };
    let owner = || answers().iter().position(|answer| !answer.contains("MOVED")).unwrap();
    let before = owner();
    cluster.nodes()[before].cli(&["set", "name", "1"]);
    cluster.move_slot_of("name");
    assert_ne!(owner(), before);
    assert_eq!(answers().iter().filter(|answer| answer.contains("MOVED")).count(), 2, "{:?}", answers());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_loses_the_publications_it_should_and_nothing_else() {
    let redis = Redis::start();
    let proxy = Proxy::to(redis.port()).await;
    let connected = async |port: u16| {
        let mut config = Config::from_url(&format!("redis://127.0.0.1:{port}")).unwrap();
        config.version = fred::types::RespVersion::RESP3;
        let client = Builder::from_config(config).build().unwrap();
        client.init().await.unwrap();
        client
    };
    let (mouth, ear) = (connected(proxy.port()).await, connected(redis.port()).await);
    let mut heard = ear.message_rx();
    ear.subscribe("chat").await.unwrap();
    ear.ssubscribe("chat").await.unwrap();
    proxy.lose(Loss::Next(2, b"lost".to_vec()));
    for (n, text) in ["one", "lost", "two", "also lost", "three", "lost no more"].into_iter().enumerate() {
        let all = mouth.pipeline();
        let () = all.set("key", n.to_string(), None, None, false).await.unwrap();
        let () = if n % 2 == 0 { all.publish("chat", text).await } else { all.spublish("chat", text).await }.unwrap();
        let () = all.get("key").await.unwrap();
        let (_, listeners, value): (String, u32, String) = all.all().await.unwrap();
        assert_eq!((listeners, value), (u32::from(!text.ends_with("lost")), n.to_string()), "{text}");
    }
    for expected in ["one", "two", "three", "lost no more"] {
        assert_eq!(heard.recv().await.unwrap().value.as_string().unwrap(), expected);
    }
    assert_eq!((proxy.lost(), proxy.published()), (2, 6));
    proxy.lose(Loss::All);
    let _: u32 = mouth.publish("chat", "into the void").await.unwrap();
    assert_eq!(proxy.lost(), 3);

    proxy.delay(Duration::from_millis(200));
    let begin = Instant::now();
    let _: String = mouth.get("key").await.unwrap();
    assert!(begin.elapsed() >= Duration::from_millis(200), "it answered after {:?}", begin.elapsed());
    proxy.delay(Duration::ZERO);
    proxy.set(Line::Silent);
    let silent = tokio::time::timeout(Duration::from_millis(300), mouth.get::<String, _>("key"));
    assert!(silent.await.is_err(), "it answers while the line is silent");
    proxy.set(Line::Open);
    let _: String = mouth.get("key").await.unwrap();
    proxy.set(Line::Cut);
    let gone = tokio::time::timeout(Duration::from_millis(300), mouth.get::<String, _>("key")).await;
    assert!(!matches!(gone, Ok(Ok(_))), "it answers while the line is cut");
}
