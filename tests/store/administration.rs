//! Rooms that the admin side makes and sets at several instances at the same time.

use sqlx::PgConnection;
use tidings::error::{Error, Result};
use tidings::model::{RoomKind, UserId};
use tidings::store::{MemberChange, PageQuery, ReadTo, WantedMember, WantedRoom};
use tokio::task::JoinSet;

use super::{Data, Stores, draft, room, user};
use crate::support::{Postgres, eventually};

fn wanted(id: &str, kind: RoomKind, members: &[UserId]) -> WantedRoom {
    let member = |id: &UserId| WantedMember { user_id: id.clone(), role: None, name: None, avatar_url: None };
    WantedRoom {
        id: room(id),
        kind: Some(kind),
        key: None,
        title: None,
        metadata: None,
        history_for: None,
        slow_mode_seconds: None,
        quota: None,
        retention: None,
        members: Some(members.iter().map(member).collect()),
    }
}

/// Fails unless the room's log has no hole and its count of members is right.
async fn assert_whole(stores: &Stores, id: &str) {
    let head = stores.at(0).head(&room(id)).await.unwrap();
    assert_eq!(stores.at(1).members(&room(id), None, 1000).await.unwrap().len() as u64, head.member_count, "{id}");
    let mut seqs = Vec::new();
    loop {
        let after = PageQuery::After(seqs.last().copied().unwrap_or(0));
        let page = stores.at(0).any_page(&room(id), after, 100).await.unwrap();
        seqs.extend(page.messages.iter().map(|message| message.seq));
        if !page.has_more {
            break;
        }
    }
    assert_eq!(seqs, (1..=head.last_seq).collect::<Vec<_>>(), "{id}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_room_and_a_pair_are_made_once_however_many_instances_make_them_at_once() {
    for stores in Stores::both().await {
        let system = UserId::system();
        let pair = [user("ann"), user("ben")];
        let (mut groups, mut pairs) = (JoinSet::new(), JoinSet::new());
        for n in 0..20 {
            let (store, by, members) = (stores.at(n), system.clone(), pair.clone());
            groups.spawn(async move { store.set_room(&by, wanted("g", RoomKind::Group, &members)).await.unwrap() });
            let (store, by, members) = (stores.at(n), system.clone(), pair.clone());
            let id = format!("d{}", n % 2);
            pairs.spawn(async move { store.set_room(&by, wanted(&id, RoomKind::Direct, &members)).await });
        }
        let groups = groups.join_all().await;
        assert_eq!(groups.iter().filter(|(is_new, _)| *is_new).count(), 1);
        assert_eq!(groups.iter().filter(|(_, commit)| commit.is_some()).count(), 1, "the others change nothing");
        let pairs = pairs.join_all().await;
        assert_eq!(pairs.iter().filter(|made| matches!(made, Ok((true, _)))).count(), 1);
        let named = |made: &&Result<_>| matches!(made, Err(Error::Invalid { field, .. }) if field == "members");
        assert_eq!(pairs.iter().filter(named).count(), 10, "those of the other name");
        assert_whole(&stores, "g").await;
        stores.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_of_members_that_cross_wait_for_each_other_and_never_in_a_circle() {
    for stores in Stores::both().await {
        let users = stores.users(["ann", "ben", "cid", "dan", "eve", "fay"]).await;
        let system = UserId::system();
        let rooms = ["a", "b", "c"];
        for id in rooms {
            stores.at(0).set_room(&system, wanted(id, RoomKind::Group, &users)).await.unwrap();
        }
        let mut changes = JoinSet::new();
        for n in 0..240 {
            let (store, by) = (stores.at(n), system.clone());
            let (name, other) = (rooms[n % 3], users[1 + n % 5].clone());
            // Those who come and those who go cross from room to room, forward in one half and backward in the other.
            let some = users.iter().enumerate().filter(|(at, _)| *at == 0 || (at + n / 3) % 2 == 0);
            let mut some: Vec<UserId> = some.map(|(_, user)| user.clone()).collect();
            some.push(user(&format!("new{}", n % 7)));
            if n % 2 == 0 {
                some.reverse();
            }
            let owner = users[0].clone();
            changes.spawn(async move {
                let id = room(name);
                let done: Result<()> = match n / 3 % 6 {
                    0 | 1 => store.set_room(&by, wanted(name, RoomKind::Group, &some)).await.map(drop),
                    2 => store.expel(&by, &id, &other).await.map(drop),
                    3 => store.read(&id, &other, ReadTo::Head).await.map(drop),
                    4 => store.send(&id, &owner, draft("meanwhile"), None).await.map(drop),
                    _ => store.change_member(&id, &owner, &other, MemberChange::Put(None)).await.map(drop),
                };
                match done {
                    Ok(()) | Err(Error::RoomNotFound) => {}
                    Err(error) => panic!("{n}: {}", error.chain()),
                }
            });
        }
        changes.join_all().await;
        for id in rooms {
            assert_whole(&stores, id).await;
        }
        stores.close().await;
    }
}

/// Runs one statement in a session.
async fn run(session: &mut PgConnection, statement: &'static str) {
    sqlx::raw_sql(statement).execute(session).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn who_leaves_rooms_while_others_write_their_row_is_waited_for_in_no_circle() {
    const WAITING: &str = "select count(*) from pg_stat_activity
        where datname = current_database() and application_name = 'tidings' and wait_event_type = 'Lock'";
    let stores = Stores::postgres().await;
    let [ann, ben] = stores.users(["ann", "ben"]).await;
    let system = UserId::system();
    for id in ["a", "b"] {
        let both = [ann.clone(), ben.clone()];
        stores.at(0).set_room(&system, wanted(id, RoomKind::Group, &both)).await.unwrap();
    }
    let Data::Postgres { database } = &stores.data else { panic!("it was asked for PostgreSQL") };
    let (mut adds, mut moves) =
        (Postgres::shared().connect(&database.name).await, Postgres::shared().connect(&database.name).await);
    // As one who adds them to a third room and one who moves them: of a row that is shared, the old version is looked at
    // again by whoever still waits at it.
    run(&mut adds, r#"begin; select 1 from "user" where id = 'ben' for key share"#).await;
    run(&mut moves, r#"begin; update "user" set rev = rev + 1 where id = 'ben'"#).await;
    let mut leave = JoinSet::new();
    for (n, id) in ["a", "b"].into_iter().enumerate() {
        let (store, by, left) = (stores.at(n), system.clone(), wanted(id, RoomKind::Group, std::slice::from_ref(&ann)));
        leave.spawn(async move { store.set_room(&by, left).await });
    }
    eventually("both wait", || async {
        let mut shell = Postgres::shared().connect(&database.name).await;
        let waiting: i64 = sqlx::query_scalar(WAITING).fetch_one(&mut shell).await.unwrap();
        (waiting == 2).then_some(())
    })
    .await;
    run(&mut moves, "commit").await;
    for left in leave.join_all().await {
        assert!(left.unwrap_or_else(|error| panic!("{}", error.chain())).1.is_some());
    }
    run(&mut adds, "commit").await;
    for id in ["a", "b"] {
        assert_whole(&stores, id).await;
    }
    stores.close().await;
}
