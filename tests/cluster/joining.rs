//! A room that an instance begins to follow while others write into it: whatever is committed before the bus is heard
//! is in what is read, whatever is committed after comes over the bus. Nothing falls between, so nothing is repaired.

use std::time::Duration;

use serde_json::json;

use crate::support::{Cluster, Random, make_room, say, seed};

const ROOMS: u64 = 80;
/// What the reader's instance needs to be heard by Redis: the moment in question is then as long.
const FAR: Duration = Duration::from_millis(20);
/// The writers begin up to so many microseconds after the readers.
const SPREAD: u64 = 30_000;

#[tokio::test(flavor = "multi_thread")]
async fn what_is_written_at_the_moment_somebody_joins_is_neither_missed_nor_repaired() {
    let cluster = Cluster::start().await;
    cluster.people(["ann", "ben"]).await;
    let mut random = Random::new(seed(), 5);
    let ann = cluster.api(0, "ann");
    for n in 0..ROOMS {
        make_room(&ann, &format!("room{n}"), "GROUP", &["ben"]).await;
    }
    let history = ann.get("/api/chat/rooms/room0/meta").await.ok(200)["history"].clone();
    // With a cursor at the head there is no page that would show by the way what was missed.
    let from = json!({ "since": 1, "history": history });
    let mut socket = cluster.instances[1].socket("ben").await;
    cluster.to_redis[1].delay(FAR);
    cluster.bus_is("proven").await;
    for n in 0..ROOMS {
        let (room, text) = (format!("room{n}"), format!("in room {n}"));
        let later = Duration::from_micros(random.below(SPREAD));
        let write = async {
            drop(tokio::time::timeout(later, std::future::pending::<()>()).await);
            say(&ann, &room, &text).await
        };
        let (message, _) = tokio::join!(write, socket.subscribe(&room, from.clone()));
        assert_eq!(socket.hears(&text).await, message);
    }
    let repaired = cluster.instances[1].metric("tidings_repairs_total", &["cause=\"tail\""]).await;
    assert_eq!(repaired, 0, "messages fell between what was read and what was heard");
}
