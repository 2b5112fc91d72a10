//! A room that an instance begins to follow while others write into it: whatever is committed before the bus is heard
//! is in what is read, whatever is committed after comes over the bus. Nothing falls between, so nothing is repaired.

use std::time::Duration;

use serde_json::json;

use super::Few;
use crate::support::{Random, make_room, say, seed};

const ROOMS: u64 = 150;
/// The tries of one after the other are spread over so many microseconds after the reader begins.
const SPREAD: u64 = 12_000;

#[tokio::test(flavor = "multi_thread")]
async fn what_is_written_at_the_moment_somebody_joins_is_neither_missed_nor_repaired() {
    let few = Few::start(2).await;
    few.garden(&["ann", "ben"]).await;
    let mut random = Random::new(seed(), 5);
    let ann = few.api(0, "ann");
    for n in 0..ROOMS {
        make_room(&ann, &format!("room{n}"), "GROUP", &["ben"]).await;
    }
    let mut socket = few.instances[1].socket("ben").await;
    for n in 0..ROOMS {
        let room = format!("room{n}");
        let later = Duration::from_micros(random.below(SPREAD));
        let write = async {
            drop(tokio::time::timeout(later, std::future::pending::<()>()).await);
            say(&ann, &room, &format!("in {room}")).await
        };
        let (message, _) = tokio::join!(write, socket.subscribe(&room, json!({})));
        assert_eq!(socket.hears(&format!("in {room}")).await, message);
    }
    let repaired = few.instances[1].metric("tidings_repairs_total", &["cause=\"tail\""]).await;
    assert_eq!(repaired, 0, "messages fell between what was read and what was heard");
}
