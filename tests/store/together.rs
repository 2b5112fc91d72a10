//! Many calls at the same time, from two instances where there can be two: nobody fails for what another did, nothing
//! is done twice, and no two wait for each other.

use std::collections::HashSet;
use std::sync::Arc;

use tidings::error::{Error, Result};
use tidings::model::{MessageId, RoomKind, UserId};
use tidings::store::{MemberChange, NewRoom, PageQuery, ReadTo, RoomPatch};
use tokio::task::JoinSet;

use super::{Stores, caller, draft, draft_as, new_room, room, user};

/// The places of all messages of a room, in order.
async fn places(stores: &Stores, id: &str, reader: &UserId) -> Vec<u64> {
    let mut places = Vec::new();
    loop {
        let after = PageQuery::After(places.last().copied().unwrap_or(0));
        let page = stores.at(0).page(&room(id), reader, after, 100).await.unwrap();
        places.extend(page.messages.iter().map(|message| message.seq));
        if !page.has_more {
            return places;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_refused_in_a_batch_fails_nobody_else_and_leaves_nothing() {
    for stores in Stores::both().await {
        let [ann, eve] = stores.users(["ann", "eve"]).await;
        let id = stores.group("r", std::slice::from_ref(&ann)).await;
        let taken = draft("taken");
        let first = stores.at(0).send(&id, &ann, taken.clone(), None).await.unwrap().message;
        for n in 0..20 {
            let emoji = char::from_u32(0x1f600 + n).unwrap().to_string();
            stores.at(0).react(&id, &ann, &first.id, emoji, true).await.unwrap();
        }
        let mut sends = JoinSet::new();
        let mut refused = JoinSet::new();
        for n in 0..200 {
            let (store, id, ann, eve) = (stores.at(n), id.clone(), ann.clone(), eve.clone());
            let (taken, first) = (taken.id.clone(), first.id.clone());
            match n % 10 {
                3 => drop(refused.spawn(async move { store.send(&id, &eve, draft("a stranger"), None).await })),
                5 => drop(refused.spawn(async move { store.send(&id, &ann, draft_as(taken, "other"), None).await })),
                // It is refused after it has written.
                7 => drop(refused.spawn(async move { store.react(&id, &ann, &first, "🎈".to_owned(), true).await })),
                _ => drop(sends.spawn(async move { store.send(&id, &ann, draft("kept"), None).await })),
            }
        }
        for sent in sends.join_all().await {
            sent.unwrap();
        }
        for refused in refused.join_all().await {
            let error = refused.unwrap_err();
            assert!(
                matches!(error, Error::RoomNotFound | Error::MessageIdConflict | Error::TooLarge { .. }),
                "{error:?}"
            );
        }
        // The room's beginning, the first message, and 140 of the 200.
        assert_eq!(places(&stores, "r", &ann).await, (1..=142).collect::<Vec<_>>());
        let head = stores.at(1).head(&id).await.unwrap();
        assert_eq!((head.last_seq, head.rev), (142, 162));
        let unchanged = stores.at(0).react(&id, &ann, &first.id, "🎈".to_owned(), false).await.unwrap();
        assert!(unchanged.commit.is_none(), "what was refused is there");
        stores.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sends_done_together_count_on_each_other_and_one_the_database_refuses_is_found() {
    for stores in Stores::both().await {
        let [ann, ben] = stores.users(["ann", "ben"]).await;
        let id = stores.group("r", &[ann.clone(), ben.clone()]).await;
        let patch = RoomPatch { slow_mode_seconds: Some(60), ..RoomPatch::default() };
        stores.at(0).update_room(&id, &ann, patch).await.unwrap();
        // What is given first holds the lane, so that the rest is one batch, or two.
        let twice = draft("twice");
        let mut sends = JoinSet::new();
        for n in 0..40 {
            let (store, id, ann, ben, twice) = (stores.at(0), id.clone(), ann.clone(), ben.clone(), twice.clone());
            sends.spawn(async move {
                let (by, draft) = match n {
                    // One message, tried ten times; and an answer to it, which may come before it.
                    10..20 => (ann, twice),
                    // A member whom slow mode lets write once.
                    20..30 => (ben, draft("slow")),
                    // PostgreSQL cannot hold this text: the statement fails, for all who are in it.
                    30 => (ann, draft("a\0b")),
                    _ => (ann, draft("kept")),
                };
                (n, store.send(&id, &by, draft, None).await)
            });
        }
        let results = sends.join_all().await;
        let done = |n: std::ops::Range<i32>| {
            results.iter().filter(move |(at, _)| n.contains(at)).map(|(_, result)| result.as_ref())
        };
        for (_, result) in results.iter().filter(|(n, _)| *n < 10 || *n > 30) {
            assert!(result.as_ref().is_ok_and(|written| written.commit.is_some()), "{result:?}");
        }
        let seqs: HashSet<_> = done(10..20).map(|result| result.unwrap().message.seq).collect();
        assert_eq!(seqs.len(), 1, "one message has one place: {seqs:?}");
        assert_eq!(done(10..20).filter(|result| result.is_ok_and(|written| written.commit.is_some())).count(), 1);
        let slow = done(20..30).filter(|result| matches!(result, Err(Error::SlowMode { .. }))).count();
        assert_eq!(slow, 9, "the first of a batch counts for the second");
        let refused = done(30..31).filter(std::result::Result::is_err).count();
        let has_nul = stores.at(0).is_alone();
        assert_eq!(refused, usize::from(!has_nul), "SQLite can hold it, and PostgreSQL says so of it alone");
        let kept = 10 + 1 + 1 + 9 + u64::from(has_nul);
        let head = stores.at(0).head(&id).await.unwrap();
        let first = head.last_seq - kept;
        assert_eq!(places(&stores, "r", &ann).await, (1..=first + kept).collect::<Vec<_>>());
        stores.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_send_tried_on_both_instances_at_once_has_one_place() {
    const SENDS: usize = 150;
    for stores in Stores::both().await {
        let [ann, ben] = stores.users(["ann", "ben"]).await;
        stores.group("r", &[ann.clone(), ben.clone()]).await;
        let mut tries = JoinSet::new();
        for n in 0..SENDS {
            let id = MessageId::fresh();
            for instance in 0..4 {
                let (store, sender) = (stores.at(instance), if n % 2 == 0 { ann.clone() } else { ben.clone() });
                let draft = draft_as(id.clone(), &n.to_string());
                tries.spawn(async move { (n, store.send(&room("r"), &sender, draft, None).await.unwrap()) });
            }
        }
        let mut answers = vec![Vec::new(); SENDS];
        for (n, written) in tries.join_all().await {
            answers[n].push((written.message.seq, written.commit.is_some()));
        }
        for answers in answers {
            assert_eq!(answers.iter().filter(|(_, new)| *new).count(), 1, "{answers:?}");
            assert!(answers.iter().all(|(seq, _)| *seq == answers[0].0), "{answers:?}");
        }
        assert_eq!(places(&stores, "r", &ann).await, (1..=1 + SENDS as u64).collect::<Vec<_>>());
        stores.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn membership_changes_that_cross_wait_for_each_other_and_never_in_a_circle() {
    for stores in Stores::both().await {
        let names = ["ann", "ben", "cid", "dan", "eve"];
        let users = stores.users(names).await;
        let owner = users[0].clone();
        for id in ["a", "b", "c"] {
            stores.group(id, std::slice::from_ref(&owner)).await;
        }
        let mut changes = JoinSet::new();
        for n in 0..240 {
            let (store, by) = (stores.at(n), owner.clone());
            let id = room(["a", "b", "c"][n % 3]);
            let other = users[1 + n % 4].clone();
            // Forward in one half, backward in the other.
            let mut everyone = users.to_vec();
            if n % 2 == 0 {
                everyone.reverse();
            }
            changes.spawn(async move {
                let done: Result<()> = match n % 6 {
                    0 | 1 => store.change_member(&id, &by, &other, MemberChange::Put(None)).await.map(drop),
                    2 => store.change_member(&id, &by, &other, MemberChange::Remove).await.map(drop),
                    3 => store.read(&id, &other, ReadTo::Head).await.map(drop),
                    4 => store.send(&id, &by, draft("meanwhile"), None).await.map(drop),
                    _ => {
                        let new = NewRoom { member_ids: everyone, ..new_room(RoomKind::Group) };
                        store.create_room(&by, new).await.map(drop)
                    }
                };
                // To be no member at the moment is an answer; to be told to try again would be a deadlock.
                match done {
                    Err(Error::UserNotFound(_) | Error::RoomNotFound) | Ok(()) => {}
                    Err(error) => panic!("{n}: {}", error.chain()),
                }
            });
        }
        changes.join_all().await;
        for id in ["a", "b", "c"] {
            let head = stores.at(0).head(&room(id)).await.unwrap();
            let members = stores.at(1).members(&room(id), None, 100).await.unwrap();
            assert_eq!(members.len() as u64, head.member_count, "{id}");
            let seqs = places(&stores, id, &owner).await;
            assert_eq!(seqs, (1..=head.last_seq).collect::<Vec<_>>(), "{id}");
        }
        stores.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_rooms_that_fill_and_empty_with_the_same_people_in_opposite_order_both_do() {
    const PEOPLE: usize = 24;
    for stores in Stores::both().await {
        let [owner] = stores.users(["owner"]).await;
        let mut people = Vec::new();
        for n in 0..PEOPLE {
            let comer = caller(&format!("u{n}"));
            stores.at(0).ensure_user(&comer).await.unwrap();
            people.push(comer.id);
        }
        let rooms = ["a", "b"];
        for id in rooms {
            stores.group(id, std::slice::from_ref(&owner)).await;
        }
        for change in [MemberChange::Put(None), MemberChange::Remove] {
            let mut changes = JoinSet::new();
            for n in 0..PEOPLE {
                // All of a room's through one instance, where they queue in this order.
                for (instance, who) in [&people[n], &people[PEOPLE - 1 - n]].into_iter().enumerate() {
                    let (store, by, who) = (stores.at(instance), owner.clone(), who.clone());
                    let id = room(rooms[instance]);
                    changes.spawn(async move { store.change_member(&id, &by, &who, change).await });
                }
            }
            for changed in changes.join_all().await {
                assert!(changed.unwrap_or_else(|error| panic!("{}", error.chain())).is_some());
            }
        }
        for id in rooms {
            let head = stores.at(0).head(&room(id)).await.unwrap();
            assert_eq!((head.last_seq, head.member_count), (1 + 2 * PEOPLE as u64, 1), "{id}");
        }
        stores.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_room_and_a_user_are_made_once_however_many_make_them_at_once() {
    for stores in Stores::both().await {
        let mut comers = JoinSet::new();
        for n in 0..20 {
            let store = stores.at(n);
            comers.spawn(async move { store.ensure_user(&caller("ann")).await.unwrap() });
        }
        assert!(comers.join_all().await.iter().all(|found| found.id == user("ann") && found.name == "ann"));
        let [ann, ben] = stores.users(["ann", "ben"]).await;
        let mut pairs = JoinSet::new();
        let mut named = JoinSet::new();
        for n in 0..20 {
            let (by, other) = if n % 2 == 0 { (ann.clone(), ben.clone()) } else { (ben.clone(), ann.clone()) };
            let (store, pair) = (stores.at(n), NewRoom { member_ids: vec![other], ..new_room(RoomKind::Direct) });
            pairs.spawn(async move { store.create_room(&by, pair).await.unwrap() });
            let new = NewRoom { id: Some(room("named")), ..new_room(RoomKind::Group) };
            let (store, ann) = (stores.at(n), ann.clone());
            named.spawn(async move { store.create_room(&ann, new).await.unwrap() });
        }
        for made in [pairs.join_all().await, named.join_all().await] {
            assert!(made.iter().all(|(id, _)| *id == made[0].0), "{made:?}");
            assert_eq!(made.iter().filter(|(_, commit)| commit.is_some()).count(), 1);
        }
        assert_eq!(stores.at(1).user_rooms(&ben, 10).await.unwrap().1.len(), 1);
        stores.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_position_goes_forward_whatever_overtakes_what() {
    for stores in Stores::both().await {
        let [ann, ben] = stores.users(["ann", "ben"]).await;
        let id = stores.group("r", &[ann.clone(), ben.clone()]).await;
        let mut sends = JoinSet::new();
        for n in 0..60 {
            let (store, id, ann) = (stores.at(n), id.clone(), ann.clone());
            sends.spawn(async move { store.send(&id, &ann, draft("new"), None).await.map(drop) });
        }
        sends.join_all().await;
        let mut reads = JoinSet::new();
        let positions = Arc::new((1..=61).rev().collect::<Vec<u64>>());
        for n in 0..positions.len() {
            let (store, id, ben, positions) = (stores.at(n), id.clone(), ben.clone(), positions.clone());
            reads.spawn(async move { store.read(&id, &ben, ReadTo::Seq(positions[n])).await.unwrap() });
        }
        let moved = reads.join_all().await.iter().filter(|(_, commit)| commit.is_some()).count() as u64;
        let (rev, member) = stores.at(0).member(&id, &ben).await.unwrap();
        assert_eq!(member.unwrap().last_read_seq, 61);
        assert_eq!(rev, 1 + moved, "a revision for each move, and one for the joining");
        stores.close().await;
    }
}
