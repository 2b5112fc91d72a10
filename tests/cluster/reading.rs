//! What belongs to a user, on every instance: how far they have read, and which rooms are theirs.

use std::time::Duration;

use serde_json::{Value, json};

use super::{Few, garden};
use crate::support::{Cluster, Loss, Socket, make_room, say, within};

/// Within which it shows everywhere, whatever the bus does.
const SHOWN: Duration = Duration::from_secs(3);

/// The part of a room in a `meta` frame that fits.
async fn told(watching: &mut Socket, what: &str, fits: impl Fn(&Value) -> bool) -> Value {
    let holds = |frame: &Value| frame["type"] == "meta" && frame["rooms"].as_array().unwrap().iter().any(&fits);
    watching.expect(what, holds).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_position_read_here_shows_in_meta_list_and_badges_there_also_when_its_publication_is_lost() {
    let cluster = Cluster::start().await;
    cluster.people(["ann", "ben"]).await;
    make_room(&cluster.api(0, "ann"), "garden", "GROUP", &["ben"]).await;
    cluster.bus_is("proven").await;
    for lost in [false, true] {
        if lost {
            cluster.to_redis[0].lose(Loss::All);
        }
        let seq = say(&cluster.api(0, "ann"), "garden", "unread").await["seq"].clone();
        let ben = cluster.api(1, "ben");
        within(SHOWN, "the message is there", || async {
            let meta = ben.get(&garden("meta")).await.ok(200);
            (meta["lastSeq"] == seq && meta["unreadCount"] == 1).then_some(())
        })
        .await;
        let mut watching = cluster.instances[1].socket("ben").await;
        watching.done(json!({ "type": "watch" })).await;
        watching.frame("meta").await;
        let tag = ben.get("/api/chat/meta").await.header("etag").to_owned();
        cluster.api(0, "ben").post(&garden("read"), json!({ "seq": seq })).await.ok(200);
        let read = std::time::Instant::now();
        within(SHOWN, &format!("the position shows everywhere, lost: {lost}"), || async {
            let meta = ben.get(&garden("meta")).await.ok(200);
            let list = ben.get_with("/api/chat/meta", &[("if-none-match", &tag)]).await;
            let badges = ben.get("/api/chat/unread-count").await.ok(200);
            let rooms = ben.get("/api/chat/rooms").await.ok(200);
            let shown = meta["lastReadSeq"] == seq
                && meta["unreadCount"] == 0
                && list.status == 200
                && list.json["rooms"][0]["unreadCount"] == 0
                && badges["unreadCount"] == 0
                && rooms["rooms"][0]["unreadCount"] == 0;
            shown.then_some(())
        })
        .await;
        told(&mut watching, "the position", |room| room["lastReadSeq"] == seq).await;
        assert!(read.elapsed() < SHOWN + Duration::from_millis(500), "it took {:?}", read.elapsed());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_added_here_sees_the_room_there_also_when_its_publication_is_lost() {
    let cluster = Cluster::start().await;
    cluster.people(["ann", "ben", "cid"]).await;
    cluster.bus_is("proven").await;
    for lost in [false, true] {
        if lost {
            cluster.to_redis[0].lose(Loss::All);
        }
        let room = format!("room-{lost}");
        make_room(&cluster.api(0, "ann"), &room, "GROUP", &[]).await;
        let ben = cluster.api(1, "ben");
        let mut watching = cluster.instances[1].socket("ben").await;
        watching.done(json!({ "type": "watch" })).await;
        watching.frame("meta").await;
        let tag = ben.get("/api/chat/meta").await.header("etag").to_owned();
        let held = {
            let ben = ben.clone();
            tokio::spawn(async move { ben.get_with("/api/chat/meta?wait=20", &[("if-none-match", &tag)]).await })
        };
        cluster.api(0, "ann").put(&format!("/api/chat/rooms/{room}/members/ben"), json!({})).await.ok(200);
        let added = std::time::Instant::now();
        told(&mut watching, "the new room", |told| told["roomId"] == room.as_str()).await;
        let list = held.await.unwrap().ok(200);
        assert_eq!(list["rooms"][0]["roomId"], room.as_str());
        assert!(added.elapsed() < SHOWN, "lost: {lost}: it took {:?}", added.elapsed());
        cluster.api(0, "ann").delete(&format!("/api/chat/rooms/{room}/members/ben")).await.ok(204);
        let removed = std::time::Instant::now();
        watching.expect("that it is gone", |frame| frame["gone"] == json!([room])).await;
        assert!(removed.elapsed() < SHOWN, "lost: {lost}: it took {:?}", removed.elapsed());
        ben.get(&format!("/api/chat/rooms/{room}/meta")).await.problem(404, "room_not_found");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_room_made_here_is_there_at_once() {
    let few = Few::start(2).await;
    few.garden(&["ann", "ben"]).await;
    for n in 0..20 {
        let room = format!("room{n}");
        // Somebody asks for it just before it is there: the answer to that is not remembered.
        few.api(1, "ben").get(&format!("/api/chat/rooms/{room}/meta")).await.problem(404, "room_not_found");
        make_room(&few.api(0, "ann"), &room, "GROUP", &["ben"]).await;
        few.api(1, "ben").get(&format!("/api/chat/rooms/{room}/meta")).await.ok(200);
        say(&few.api(1, "ben"), &room, "at once").await;
    }
}
