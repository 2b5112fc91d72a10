//! More on the bus than an instance can take in: it misses some of it, knows that, and hears what comes after.

use fred::prelude::*;
use serde_json::json;

use crate::support::{Cluster, eventually, make_room, say};

const FLOOD: usize = 12_000;
/// Messages that are written while it passes.
const MESSAGES: usize = 60;

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_on_the_bus_makes_no_instance_deaf_and_hides_no_message() {
    let cluster = Cluster::start().await;
    cluster.people(["ann", "ben"]).await;
    make_room(&cluster.api(0, "ann"), "garden", "GROUP", &["ben"]).await;
    let mut socket = cluster.instances[1].socket("ben").await;
    socket.subscribe("garden", json!({})).await;
    cluster.bus_is("proven").await;
    let names = cluster.redis().cli(&["pubsub", "channels", "chat:bus:*"]);
    let names: Vec<String> = names.lines().map(ToOwned::to_owned).collect();
    assert!(!names.is_empty(), "nobody listens");
    // Else Redis itself would end a subscriber who falls so far behind; that is another test.
    cluster.redis().cli(&["config", "set", "client-output-buffer-limit", "pubsub 0 0 0"]);
    let mouth = Builder::from_config(Config::from_url(&cluster.redis().url()).unwrap()).build().unwrap();
    mouth.init().await.unwrap();
    // Quick to receive and slow to look at.
    let water = format!("{{\"v\":1,\"kind\":\"commit\",\"x\":[{}0]}}\n", "[0],".repeat(3000));
    cluster.instances[1].signal("STOP");
    let flood = tokio::spawn(async move {
        for part in 0..FLOOD / 100 {
            let all = mouth.pipeline();
            for n in 0..100 {
                let () = all.publish(&names[(part + n) % names.len()], water.as_str()).await.unwrap();
            }
            let _: Vec<i64> = all.all().await.unwrap();
        }
        mouth.quit().await.unwrap();
    });
    for n in 0..MESSAGES / 2 {
        say(&cluster.api(0, "ann"), "garden", &format!("during {n}")).await;
    }
    flood.await.unwrap();
    for n in MESSAGES / 2..MESSAGES {
        say(&cluster.api(0, "ann"), "garden", &format!("during {n}")).await;
    }
    cluster.instances[1].signal("CONT");
    let mut heard = 0;
    while heard < MESSAGES {
        for message in socket.messages().await {
            heard += usize::from(message["content"] == format!("during {heard}"));
        }
    }
    eventually("it says that it missed something", || async {
        cluster.instances[1].log().contains("lagged").then_some(())
    })
    .await;
    cluster.bus_is("proven").await;
}
