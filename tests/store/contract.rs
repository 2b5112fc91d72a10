//! One call after the other, on both databases.

use tidings::error::Error;
use tidings::model::Head;
use tidings::store::{PageQuery, ReadTo};

use super::{Stores, draft, room, user};

#[tokio::test(flavor = "multi_thread")]
async fn of_heads_and_revs_what_moved_is_read_each_in_one_statement() {
    for stores in Stores::both().await {
        let [ann, ben] = stores.users(["ann", "ben"]).await;
        let both = stores.group("both", &[ann.clone(), ben.clone()]).await;
        let alone = stores.group("alone", std::slice::from_ref(&ann)).await;
        stores.at(0).send(&both, &ann, draft("hello"), None).await.unwrap();
        let (now, of_alone) = (stores.at(1).head(&both).await.unwrap(), stores.at(1).head(&alone).await.unwrap());
        let numbers = |head: &Head| (head.last_seq, head.rev, head.member_count);
        assert_eq!((numbers(&of_alone), numbers(&now)), ((1, 1, 1), (2, 2, 2)));
        let history = stores.at(1).history().clone();
        for unlike in [
            Head { rev: 1, ..now.clone() },
            Head { rev: 3, ..now.clone() },
            Head { quota: Some("daily".parse().unwrap()), ..now.clone() },
            Head { oldest_seq: 2, ..now.clone() },
            Head { expired_rev: 1, ..now.clone() },
        ] {
            let known = [(&room("nowhere"), &now), (&both, &unlike), (&alone, &of_alone)];
            let moved = stores.at(1).heads_unlike(&known, &history).await.unwrap();
            assert_eq!(moved, [(both.clone(), now.clone())], "{known:?}");
        }
        let known = [(&both, &now), (&alone, &of_alone)];
        assert!(stores.at(1).heads_unlike(&known, &history).await.unwrap().is_empty(), "nothing moved");
        let other = "another".parse().unwrap();
        assert_eq!(stores.at(1).heads_unlike(&known, &other).await.unwrap().len(), 2, "of another history");
        let mut revs = stores.at(1).revs_unlike(&[(&ben, 0), (&user("nobody"), 0), (&ann, 3)]).await.unwrap();
        revs.sort();
        assert_eq!(revs, [(ann.clone(), 2), (ben.clone(), 1)]);
        stores.at(0).read(&both, &ben, ReadTo::Head).await.unwrap();
        assert_eq!(stores.at(1).revs_unlike(&[(&ben, 1), (&ann, 2)]).await.unwrap(), [(ben, 2)], "ann's is as it was");
        assert!(stores.at(0).heads_unlike(&[], &history).await.unwrap().is_empty());
        assert!(stores.at(0).revs_unlike(&[]).await.unwrap().is_empty());
        stores.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_history_is_in_every_answer_that_sets_a_cursor() {
    for stores in Stores::both().await {
        let [ann] = stores.users(["ann"]).await;
        let id = stores.group("r", std::slice::from_ref(&ann)).await;
        let store = stores.at(0);
        let old = store.current_history().await.unwrap();
        assert_eq!(&old, store.history());
        let new = stores.at(1).renew_history().await.unwrap();
        assert_ne!(new, old);
        assert_eq!(store.history(), &old, "as it was when it was opened");
        assert_eq!(store.current_history().await.unwrap(), new);
        let written = store.send(&id, &ann, draft("after"), None).await.unwrap();
        assert_eq!((&written.history, &written.commit.unwrap().head.history), (&new, &new));
        assert_eq!(store.head(&id).await.unwrap().history, new);
        assert_eq!(store.page(&id, &ann, PageQuery::Newest, 10).await.unwrap().head.history, new);
        assert_eq!(store.changes(&id, 0, 10).await.unwrap().head.history, new);
        assert_eq!(store.user_rooms(&ann, 10).await.unwrap().1[0].head.history, new);
        stores.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_is_closed_refuses_and_a_reopened_one_goes_on() {
    for stores in Stores::both().await {
        let [ann] = stores.users(["ann"]).await;
        let id = stores.group("r", std::slice::from_ref(&ann)).await;
        let store = stores.at(0);
        store.close().await;
        let refused = store.send(&id, &ann, draft("too late"), None).await.unwrap_err();
        assert!(matches!(refused, Error::Unavailable { .. }), "{refused:?}");
        assert!(matches!(store.ping().await, Err(Error::Unavailable { .. })));
        stores.close().await;
    }
}
