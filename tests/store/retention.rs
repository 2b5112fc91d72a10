//! Bringing a room to its bounds, batch by batch.

use std::time::Duration;

use tidings::model::{Retention, Timestamp};
use tidings::store::{Bounds, PageQuery, Store};

use super::{Stores, draft};

const DAY: Duration = Duration::from_hours(24);

fn bounds(days: Option<u32>, messages: Option<u64>, at_least: Duration) -> Bounds {
    Bounds { default: Retention { days, messages }, at_least }
}

async fn due(store: &Store, bounds: Bounds, now: Timestamp) -> Vec<String> {
    let due = store.due_rooms(None, bounds, now).await.unwrap();
    assert!(due.next.is_none(), "three rooms are one part");
    due.rooms.iter().map(ToString::to_string).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_removed_while_the_same_send_may_be_tried_again() {
    for stores in Stores::both().await {
        let [ann] = stores.users(["ann"]).await;
        let id = stores.group("r", std::slice::from_ref(&ann)).await;
        let store = stores.at(0);
        let sent = draft("once");
        store.send(&id, &ann, sent.clone(), None).await.unwrap();
        store.send(&id, &ann, draft("again"), None).await.unwrap();
        let (now, rule) = (Timestamp::now(), bounds(None, Some(1), DAY));
        for early in [now, now.after(DAY.saturating_sub(Duration::from_mins(1)))] {
            assert_eq!(due(&store, rule, early).await, [""; 0]);
            let trimmed = store.trim(&id, rule, early).await.unwrap();
            assert_eq!((trimmed.messages, trimmed.more, trimmed.commit.is_none()), (0, false, true));
        }
        let again = store.send(&id, &ann, sent, None).await.unwrap();
        assert_eq!((again.message.seq, again.commit.is_none()), (2, true));
        let late = now.after(DAY + Duration::from_mins(1));
        assert_eq!(due(&store, rule, late).await, ["r"]);
        let trimmed = store.trim(&id, rule, late).await.unwrap();
        assert_eq!((trimmed.messages, trimmed.more), (2, false));
        let head = trimmed.commit.unwrap().head;
        assert_eq!((head.oldest_seq, head.last_seq, head.rev, head.expired_rev), (3, 3, 4, 2));
        assert_eq!(store.head(&id).await.unwrap(), head);
        assert_eq!(due(&store, rule, late).await, [""; 0]);
        stores.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_log_goes_in_batches_each_with_a_rev_of_its_own() {
    for stores in Stores::both().await {
        let [ann] = stores.users(["ann"]).await;
        let id = stores.group("r", std::slice::from_ref(&ann)).await;
        stores.group("short", std::slice::from_ref(&ann)).await;
        let store = stores.at(0);
        for n in 0..11 {
            let sends = (0..100).map(|m| {
                let (store, id, ann) = (stores.at(m), id.clone(), ann.clone());
                async move { store.send(&id, &ann, draft(&format!("{n} {m}")), None).await.unwrap() }
            });
            futures_util::future::join_all(sends).await;
        }
        let (later, rule) = (Timestamp::now().after(2 * DAY), bounds(Some(1), Some(50), Duration::ZERO));
        assert_eq!(due(&store, rule, later).await, ["r", "short"]);
        let rule = bounds(None, Some(51), Duration::ZERO);
        assert_eq!(due(&store, rule, later).await, ["r"]);
        let mut steps = Vec::new();
        loop {
            let trimmed = stores.at(steps.len()).trim(&id, rule, later).await.unwrap();
            let head = trimmed.commit.map(|commit| (commit.head.rev, commit.head.oldest_seq));
            steps.push((trimmed.messages, head));
            if !trimmed.more {
                break;
            }
        }
        assert_eq!(steps, [(500, Some((1102, 501))), (500, Some((1103, 1001))), (50, Some((1104, 1051)))]);
        let page = store.page(&id, &ann, PageQuery::After(1050), 100).await.unwrap();
        assert_eq!((page.messages.len(), page.head.expired_rev), (51, 1050));
        let changes = store.changes(&id, 1049, 100).await.unwrap();
        assert_eq!((changes.messages.len(), changes.rev, changes.head.oldest_seq), (51, 1104, 1051));
        stores.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_several_instances_one_makes_a_pass() {
    for stores in Stores::both().await {
        let (now, every) = (Timestamp::now(), Duration::from_mins(5));
        let asked = (0..6).map(|n| {
            let store = stores.at(n);
            async move { store.begin_retention(now, every).await.unwrap() }
        });
        let begun = futures_util::future::join_all(asked).await;
        assert_eq!(begun.iter().filter(|begun| **begun).count(), 1);
        assert!(!stores.at(0).begin_retention(now.after(Duration::from_mins(4)), every).await.unwrap());
        assert!(stores.at(1).begin_retention(now.after(Duration::from_mins(5)), every).await.unwrap());
        let none = stores.at(0).due_rooms(None, bounds(None, None, DAY), now).await.unwrap();
        assert!(none.rooms.is_empty() && none.next.is_none());
        stores.close().await;
    }
}
