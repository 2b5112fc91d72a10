//! Quotas under many sends at once: counted exactly, and rooms that share one never wait for each other in a circle.

use std::sync::Arc;

use tidings::error::Error;
use tidings::model::{Quota, QuotaName, RoomId, TimeZone, UserId};
use tidings::store::{Store, WantedRoom};
use tokio::task::JoinSet;

use super::{Stores, caller, draft, room};

fn daily(per_day: u32) -> Quota {
    Quota { name: name("daily"), per_day, time_zone: TimeZone::parse("Europe/Berlin").unwrap() }
}

fn name(name: &str) -> QuotaName {
    name.parse().unwrap()
}

async fn let_name(store: &Store, by: &UserId, id: &RoomId, quota: Option<&str>) {
    let wanted = WantedRoom {
        id: id.clone(),
        kind: None,
        key: None,
        title: None,
        metadata: None,
        history_for: None,
        slow_mode_seconds: None,
        quota: Some(quota.map(name)),
        retention: None,
        members: None,
    };
    store.set_room(by, wanted).await.unwrap();
}

// Each batch of a room holds many people's uses of the quota. Another room's batch takes them in another order.
#[tokio::test(flavor = "multi_thread")]
async fn rooms_that_share_a_quota_take_many_peoples_uses_in_any_order_and_none_too_many() {
    const PEOPLE: usize = 24;
    const PER_DAY: usize = 5;
    const SENDS: usize = 8;
    for stores in Stores::both().await {
        let mut people = Vec::new();
        for n in 0..PEOPLE {
            let comer = caller(&format!("u{n:02}"));
            stores.at(0).ensure_user(&comer).await.unwrap();
            people.push(comer.id);
        }
        stores.at(0).put_quota(daily(u32::try_from(PER_DAY).unwrap())).await.unwrap();
        let rooms = [stores.group("a", &people).await, stores.group("b", &people).await];
        for id in &rooms {
            let_name(&stores.at(0), &people[0], id, Some("daily")).await;
        }
        let people = Arc::new(people);
        let mut sends = JoinSet::new();
        for turn in 0..SENDS {
            for n in 0..PEOPLE {
                // All of a room's through one instance, where they queue in this order: forward, and backward.
                for (instance, who) in [n, PEOPLE - 1 - n].into_iter().enumerate() {
                    let (store, id, people) = (stores.at(instance), rooms[instance].clone(), people.clone());
                    sends.spawn(async move {
                        let sent = store.send(&id, &people[who], draft(&format!("{turn}")), None).await;
                        match sent {
                            Ok(_) => 1,
                            Err(Error::QuotaExceeded { used, limit, .. }) => {
                                assert_eq!((used, limit), (PER_DAY as u64, PER_DAY as u64));
                                0
                            }
                            // To be told to try again would be a deadlock.
                            Err(error) => panic!("{}", error.chain()),
                        }
                    });
                }
            }
            // Other uses of the same rows meanwhile.
            let (store, per_day) = (stores.at(turn), u32::try_from(PER_DAY).unwrap());
            sends.spawn(async move {
                store.put_quota(daily(per_day)).await.unwrap();
                assert!(matches!(store.delete_quota(&name("daily")).await, Err(Error::Invalid { .. })));
                0
            });
        }
        assert_eq!(sends.join_all().await.iter().sum::<usize>(), PEOPLE * PER_DAY);
        for user in people.iter() {
            let quota_use = stores.at(1).quota_use(&name("daily"), user).await.unwrap().unwrap();
            assert_eq!(quota_use.used, PER_DAY as u64, "{user}");
        }
        let mut stored = 0;
        for id in &rooms {
            let head = stores.at(1).head(id).await.unwrap();
            assert_eq!(head.quota, Some(name("daily")));
            assert_eq!(head.last_seq, head.rev, "what was refused returned its numbers");
            stored += head.last_seq - 1;
        }
        assert_eq!(stored, (PEOPLE * PER_DAY) as u64);
        for id in &rooms {
            let_name(&stores.at(0), &people[0], id, None).await;
        }
        stores.at(1).delete_quota(&name("daily")).await.unwrap();
        assert!(stores.at(0).quotas().await.unwrap().is_empty());
        stores.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quota_goes_and_a_room_begins_to_name_it_at_once_and_one_of_them_is_refused() {
    for stores in Stores::both().await {
        let [ann] = stores.users(["ann"]).await;
        let id = stores.group("r", std::slice::from_ref(&ann)).await;
        for n in 0..20 {
            stores.at(0).put_quota(daily(1)).await.unwrap();
            let wanted = WantedRoom {
                id: room("r"),
                kind: None,
                key: None,
                title: None,
                metadata: None,
                history_for: None,
                slow_mode_seconds: None,
                quota: Some(Some(name("daily"))),
                retention: None,
                members: None,
            };
            let (one, two) = (stores.at(n), stores.at(n + 1));
            let daily = name("daily");
            let (named, removed) = tokio::join!(one.set_room(&ann, wanted), two.delete_quota(&daily));
            let head = stores.at(0).head(&id).await.unwrap();
            assert_eq!(head.quota.is_some(), named.is_ok(), "{named:?} {removed:?}");
            assert_ne!(named.is_ok(), removed.is_ok(), "{named:?} {removed:?}");
            for refused in [named.map(drop), removed].into_iter().filter_map(Result::err) {
                assert!(matches!(refused, Error::Invalid { .. }), "{}", refused.chain());
            }
            let_name(&stores.at(0), &ann, &id, None).await;
        }
        stores.close().await;
    }
}
