//! Nonsense on the bus. Nothing is taken on trust from it: nothing breaks, and nothing is shown that is in no log.

use std::time::Duration;

use fred::prelude::*;

use super::seconds;
use crate::support::{Cluster, Load, Random, Shape, seed};

const NAMES: u16 = 1024;

async fn client(cluster: &Cluster) -> Client {
    let config = Config::from_url(&cluster.redis().url()).unwrap();
    let mut builder = Builder::from_config(config);
    builder.with_performance_config(|performance| performance.broadcast_channel_capacity = 65_536);
    let client = builder.build().unwrap();
    client.init().await.unwrap();
    client
}

/// Publications as they really are, for those that are almost so.
async fn overheard(cluster: &Cluster, load: &mut Load) -> Vec<(String, Vec<u8>)> {
    let ear = client(cluster).await;
    let mut heard = ear.message_rx();
    ear.psubscribe("chat:bus:*").await.unwrap();
    load.run_for(seconds(1)).await;
    let mut all = Vec::new();
    while let Ok(message) = heard.try_recv() {
        let payload = message.value.as_bytes().unwrap_or_default().to_vec();
        all.push((message.channel.to_string(), payload));
    }
    ear.quit().await.unwrap();
    assert!(!all.is_empty(), "nothing was published");
    all
}

/// What no version of the service would say, or not now.
fn nonsense(random: &mut Random) -> Vec<Vec<u8>> {
    let bytes = |random: &mut Random, length: u64| (0..length).flat_map(|_| random.next().to_le_bytes()).collect();
    let commit = |version: u64, rest: &str| format!("{{\"v\":{version},\"kind\":\"commit\"{rest}}}\n").into_bytes();
    vec![
        Vec::new(),
        b"\n".to_vec(),
        bytes(random, 8),
        bytes(random, 8192),
        b"{".to_vec(),
        "[".repeat(100_000).into_bytes(),
        b"{\"v\":1}\n".to_vec(),
        commit(0, ""),
        commit(1, ""),
        commit(2, ",\"roomId\":\"room0\",\"room\":\"room0\",\"rev\":1000000"),
        commit(u64::MAX, ""),
        commit(1, ",\"history\":\"another\",\"room\":\"room0\",\"roomId\":\"room0\",\"rev\":18446744073709551615"),
        commit(1, ",\"history\":null,\"room\":{},\"rev\":-1,\"changes\":\"many\""),
        b"{\"v\":1,\"kind\":\"dance\"}\n".to_vec(),
        b"{\"v\":1,\"kind\":\"aside\"}\n{\"type\":\"message\"}".to_vec(),
        b"{\"v\":1,\"kind\":\"probe\",\"nonce\":\"guessed\"}\n".to_vec(),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn nonsense_on_the_bus_breaks_nothing_and_is_shown_to_nobody() {
    let cluster = Cluster::start().await;
    cluster.bus_is("proven").await;
    let mut load = Load::begin(&cluster, Shape::default()).await;
    let real = overheard(&cluster, &mut load).await;
    let mouth = client(&cluster).await;
    let mut random = Random::new(seed(), 77);
    for payload in nonsense(&mut random) {
        let all = mouth.pipeline();
        for name in 0..NAMES {
            let () = all.publish(format!("chat:bus:{name}"), payload.as_slice()).await.unwrap();
        }
        let _: Vec<i64> = all.all().await.unwrap();
        load.run_for(Duration::from_millis(100)).await;
    }
    // Real ones: again, cut off, of another version, of another history, changed somewhere, and under another name.
    for (name, payload) in real.iter().take(60) {
        let text = String::from_utf8_lossy(payload);
        let mut changed = payload.clone();
        let at = random.index(changed.len());
        changed[at] ^= 1 << random.below(8);
        let cut = &payload[..random.index(payload.len())];
        let version = text.replacen("\"v\":1", "\"v\":2", 1);
        let history = text.replacen("\"history\":\"", "\"history\":\"x", 1);
        for other in [payload.as_slice(), cut, version.as_bytes(), history.as_bytes()] {
            let _: i64 = mouth.publish(name.as_str(), other).await.unwrap();
        }
        let elsewhere = format!("chat:bus:{}", random.below(u64::from(NAMES)));
        let _: i64 = mouth.publish(elsewhere, payload.as_slice()).await.unwrap();
        // A flipped bit of a frame's text cannot be told from the text; one of the header can.
        if at < payload.iter().position(|byte| *byte == b'\n').unwrap_or(0) {
            let _: i64 = mouth.publish(name.as_str(), changed.as_slice()).await.unwrap();
        }
    }
    load.run_for(seconds(1)).await;
    mouth.quit().await.unwrap();
    let report = load.finish(&cluster).await;
    assert_eq!(report.failed, 0, "sends failed for the sake of nonsense");
    for instance in &cluster.instances {
        let log = instance.log();
        assert!(!log.contains("panicked"), "{log}");
        let named = log.lines().filter(|line| line.contains("WARN") && line.contains("publication")).count();
        assert!(named > 0, "the log says nothing of it:\n{log}");
        assert!(named < 100, "{named} lines of log: whoever can publish can fill the disk");
        let (status, said) = instance.readiness().await.unwrap();
        assert_eq!((status, &said["status"]), (200, &"degraded".into()), "{said}");
        assert!(said["redis"].as_str().unwrap().contains("no publication"), "{said}");
    }
    cluster.bus_is("proven").await;
}
