//! Making rooms and bringing them to what the application says.

use serde_json::{Value, json};

use super::{admin, application, events, named, roles, set};
use crate::support::{TestServer, each, make_room, meta, say};

#[tokio::test]
async fn a_room_is_made_with_its_members_and_the_same_again_changes_nothing() {
    let server = TestServer::start().await;
    let application = application(&server);
    let [ben] = server.people(["ben"]).await;
    let settings = json!({
        "type": "GROUP", "key": "booking:7", "title": "Booking 7", "metadata": { "booking": 7 },
        "historyFor": "joined", "slowModeSeconds": 5,
        "members": [
            { "userId": "ann", "role": "OWNER", "name": "Ann of the shop", "avatarUrl": "/ann.png" },
            { "userId": "ben", "name": "another name" },
            { "userId": "cara" },
        ],
    });
    let made = set(&application, "b7", settings.clone(), 201).await;
    let again = set(&application, "b7", settings, 200).await;
    assert_eq!(again, made);
    assert_eq!(meta(&ben, "b7").await["rev"], 1, "the same again takes no rev");
    for (field, value) in [
        ("type", json!("GROUP")),
        ("key", json!("booking:7")),
        ("title", json!("Booking 7")),
        ("metadata", json!({ "booking": 7 })),
        ("historyFor", json!("joined")),
        ("slowModeSeconds", json!(5)),
        ("quota", json!(null)),
        ("memberCount", json!(3)),
        ("me", json!(null)),
    ] {
        assert_eq!(made[field], value, "{field}");
    }
    assert_eq!(made["lastMessage"]["senderName"], "System");
    // Who was not known is a stub by the name given, or by their id; who was known keeps their name.
    assert_eq!(each(&made["members"], "name"), ["Ann of the shop", "Ben", "cara"]);
    assert_eq!(made["members"][0]["avatarUrl"], "/ann.png");
    assert_eq!(events(&application, "b7", 0).await, [named("created", "tidings:system")]);
    assert_eq!(application.get(&admin("b7", "")).await.ok(200)["room"], made);
    application.get(&admin("nowhere", "")).await.problem(404, "room_not_found");
    // A stub comes with their first token, and is a member already.
    assert_eq!(meta(&server.api("cara"), "b7").await["lastSeq"], 1);
    server.people(["ann"]).await;
    let now = application.get(&admin("b7", "/members")).await.ok(200);
    assert_eq!(each(&now["members"], "name"), ["Ann of the shop", "Ben", "Cara"], "what was set here stays");
}

#[tokio::test]
async fn what_is_absent_stays_and_null_takes_away() {
    let server = TestServer::start().await;
    let application = application(&server);
    let [ann] = server.people(["ann"]).await;
    let members = json!([{ "userId": "ann", "role": "OWNER" }]);
    let first = json!({ "type": "GROUP", "key": "k", "title": "T", "metadata": { "a": 1 }, "members": members });
    let made = set(&application, "r", first, 201).await;
    assert_eq!(set(&application, "r", json!({}), 200).await, made);
    let bare = set(&application, "r", json!({ "key": null, "title": null, "metadata": null }), 200).await;
    assert_eq!((&bare["key"], &bare["title"], &bare["metadata"]), (&Value::Null, &Value::Null, &Value::Null));
    assert_eq!(bare["memberCount"], 1);
    assert_eq!(meta(&ann, "r").await["rev"], 2, "only the title is told");
    let slow = set(&application, "r", json!({ "slowModeSeconds": 30, "metadata": { "b": 2 } }), 200).await;
    assert_eq!((&slow["slowModeSeconds"], &slow["metadata"]), (&json!(30), &json!({ "b": 2 })));
    assert_eq!(meta(&ann, "r").await["rev"], 2, "neither is told");
}

#[tokio::test]
async fn the_members_given_are_all_there_are_and_each_change_is_a_message() {
    let server = TestServer::start().await;
    let application = application(&server);
    let [ann, _ben, cara] = server.people(["ann", "ben", "cara"]).await;
    make_room(&ann, "r", "GROUP", &["ben", "cara"]).await;
    say(&cara, "r", "before").await;
    let members = json!([
        { "userId": "ann" }, { "userId": "ben", "role": "MODERATOR" }, { "userId": "dan", "role": "OWNER", "name": "Dan" },
    ]);
    let room = set(&application, "r", json!({ "members": members }), 200).await;
    assert_eq!((&room["lastSeq"], &room["rev"], &room["memberCount"]), (&json!(6), &json!(6), &json!(3)));
    let expected = [named("removed", "cara"), named("role", "ben"), named("added", "dan"), named("role", "dan")];
    assert_eq!(events(&application, "r", 2).await, expected);
    let expected = [("ann", "OWNER"), ("ben", "MODERATOR"), ("dan", "OWNER")].map(|(a, b)| (a.into(), b.into()));
    assert_eq!(roles(&application, "r").await, expected);
    cara.get("/api/chat/rooms/r/messages").await.problem(404, "room_not_found");
    let rev = |room: &Value| room["rev"].clone();
    assert_eq!(rev(&set(&application, "r", json!({ "members": members }), 200).await), rev(&room));
    let page = ann.get("/api/chat/rooms/r/messages").await.ok(200);
    assert_eq!(each(&page["messages"], "seq"), [1, 2, 3, 4, 5, 6].map(Value::from));
    assert_eq!(page["messages"][4]["content"], "System added Dan");
    // An empty list empties the room.
    set(&application, "r", json!({ "members": [] }), 200).await;
    assert_eq!(roles(&application, "r").await, []);
    ann.get("/api/chat/rooms/r").await.problem(404, "room_not_found");
}

#[tokio::test]
async fn a_thousand_members_come_and_go_in_one_call_and_no_more() {
    let server = TestServer::start().await;
    let application = application(&server);
    let people = |n: usize| (0..n).map(|n| json!({ "userId": format!("u{n}") })).collect::<Vec<_>>();
    let refused = json!({ "type": "GROUP", "members": people(1001) });
    application.put(&admin("big", ""), refused).await.problem(413, "too_large");
    application.get(&admin("big", "")).await.problem(404, "room_not_found");
    let [u7] = server.people(["u7"]).await;
    let mut socket = server.socket("u7").await;
    set(&application, "big", json!({ "type": "GROUP", "members": [{ "userId": "u7" }] }), 201).await;
    socket.subscribe("big", json!({})).await;
    let room = set(&application, "big", json!({ "members": people(1000) }), 200).await;
    assert_eq!((&room["memberCount"], &room["lastSeq"]), (&json!(1000), &json!(1000)));
    // A reader gets them all, each in its place.
    let mut last = 1;
    while last < 1000 {
        let frame =
            socket.expect("more of them", |frame| frame["type"] == "message" || frame["type"] == "messages").await;
        let seqs = if frame["type"] == "message" {
            vec![frame["message"]["seq"].clone()]
        } else {
            each(&frame["messages"], "seq")
        };
        for seq in seqs.iter().filter_map(Value::as_u64).filter(|seq| *seq > 1) {
            assert_eq!(seq, last + 1);
            last = seq;
        }
    }
    assert_eq!(meta(&server.api("u999"), "big").await["lastReadSeq"], 1000);
    let left = json!({ "members": [{ "userId": "u7" }] });
    assert_eq!(set(&application, "big", left, 200).await["memberCount"], 1);
    assert_eq!(meta(&u7, "big").await["lastSeq"], 1999);
    server.api("u8").get("/api/chat/rooms/big/meta").await.problem(404, "room_not_found");
}

#[tokio::test]
async fn what_a_room_cannot_become_is_said_and_nothing_of_it_done() {
    let server = TestServer::start().await;
    let application = application(&server);
    let [ann, _ben] = server.people(["ann", "ben"]).await;
    application.put(&admin("r", ""), json!({ "title": "T" })).await.invalid("type");
    make_room(&ann, "r", "GROUP", &["ben"]).await;
    for (settings, field) in [
        (json!({ "type": "PUBLIC", "title": "other" }), "type"),
        (json!({ "type": "ROUND" }), "type"),
        (json!({ "title": "other", "members": [{ "userId": "ben" }, { "userId": "ben" }] }), "members"),
        (json!({ "title": "other", "members": [{ "userId": "tidings:system" }] }), "members"),
        (json!({ "title": "other", "quota": "no such quota" }), "quota"),
        (json!({ "title": "other", "quota": "none-such" }), "quota"),
        (json!({ "title": " " }), "title"),
        (json!({ "slowModeSeconds": 3601 }), "slowModeSeconds"),
        (json!({ "key": "" }), "key"),
        (json!({ "historyFor": "friends" }), "historyFor"),
    ] {
        application.put(&admin("r", ""), settings).await.invalid(field);
    }
    assert_eq!(
        (&meta(&ann, "r").await["rev"], &ann.get("/api/chat/rooms/r").await.json["room"]["title"]),
        (&json!(1), &json!(null))
    );
}

#[tokio::test]
async fn a_direct_room_has_its_two_for_good_and_is_the_only_one_of_theirs() {
    let server = TestServer::start().await;
    let application = application(&server);
    let [ann, _ben] = server.people(["ann", "ben"]).await;
    let two = |a: &str, b: &str| json!([{ "userId": a }, { "userId": b }]);
    for members in [
        json!(null),
        json!([{ "userId": "ann" }]),
        json!([{ "userId": "ann" }, { "userId": "ben" }, { "userId": "cara" }]),
    ] {
        application.put(&admin("d", ""), json!({ "type": "DIRECT", "members": members })).await.invalid("members");
    }
    let settings = json!({ "type": "DIRECT", "key": "booking:7", "members": two("ben", "ann") });
    let made = set(&application, "d", settings.clone(), 201).await;
    assert_eq!(set(&application, "d", settings, 200).await, made);
    // It is the room that one of the two would make.
    let same = json!({ "type": "DIRECT", "key": "booking:7", "memberIds": ["ben"] });
    assert_eq!(ann.post("/api/chat/rooms", same).await.ok(200)["room"]["id"], "d");
    let second = json!({ "type": "DIRECT", "key": "booking:7", "members": two("ann", "ben") });
    let refused = application.put(&admin("e", ""), second).await.invalid("members");
    assert!(refused["detail"].as_str().unwrap().ends_with(": d"), "{refused}");
    set(&application, "e", json!({ "type": "DIRECT", "members": two("ann", "ben") }), 201).await;
    application.put(&admin("d", ""), json!({ "members": two("ann", "cara") })).await.invalid("members");
    application
        .put(&admin("d", ""), json!({ "members": [{ "userId": "ann", "role": "OWNER" }, { "userId": "ben" }] }))
        .await
        .invalid("members");
    application.put(&admin("d", ""), json!({ "key": null })).await.invalid("key");
    for (who, body) in [("cara", json!({})), ("ann", json!({ "role": "OWNER" }))] {
        application.put(&admin("d", &format!("/members/{who}")), body).await.problem(403, "forbidden");
    }
    application.delete(&admin("d", "/members/ann")).await.problem(403, "forbidden");
    application.delete(&admin("d", "/members/ann?ban=true")).await.problem(403, "forbidden");
    assert_eq!(application.put(&admin("d", "/members/ann"), json!({})).await.ok(200)["member"]["role"], "MEMBER");
    assert_eq!(meta(&ann, "d").await["rev"], 1);
}

#[tokio::test]
async fn from_where_members_see_the_log_can_change_and_is_told() {
    let server = TestServer::start().await;
    let application = application(&server);
    let [ann, _ben] = server.people(["ann", "ben"]).await;
    make_room(&ann, "r", "GROUP", &[]).await;
    say(&ann, "r", "before").await;
    ann.put("/api/chat/rooms/r/members/ben", json!({})).await.ok(200);
    let ben = server.api("ben");
    let seqs = async || each(&ben.get("/api/chat/rooms/r/messages").await.ok(200)["messages"], "seq");
    let places = |seqs: &[u64]| seqs.iter().map(|seq| json!(seq)).collect::<Vec<_>>();
    assert_eq!(seqs().await, places(&[1, 2, 3]));
    set(&application, "r", json!({ "historyFor": "joined" }), 200).await;
    assert_eq!(seqs().await, places(&[3, 4]));
    set(&application, "r", json!({ "historyFor": "joined" }), 200).await;
    set(&application, "r", json!({ "historyFor": "all" }), 200).await;
    assert_eq!(seqs().await, places(&[1, 2, 3, 4, 5]));
    let page = application.get(&admin("r", "/messages")).await.ok(200);
    assert_eq!(page["messages"][3]["metadata"]["historyFor"], "joined");
    assert_eq!(
        page["messages"][4]["metadata"],
        json!({ "event": "history", "userId": "tidings:system", "byUserId": "tidings:system", "historyFor": "all" })
    );
}

#[tokio::test]
async fn who_may_make_rooms_is_a_setting() {
    let server = TestServer::with(&["--room-create", "service"]).await;
    let [ann, _ben] = server.people(["ann", "ben"]).await;
    for body in
        [json!({ "type": "GROUP" }), json!({ "type": "PUBLIC" }), json!({ "type": "DIRECT", "memberIds": ["ben"] })]
    {
        let refused = ann.post("/api/chat/rooms", body).await.problem(403, "forbidden");
        assert!(refused["detail"].as_str().unwrap().contains("/api/admin/rooms"), "{refused}");
    }
    set(&application(&server), "r", json!({ "type": "GROUP", "members": [{ "userId": "ann" }] }), 201).await;
    say(&ann, "r", "hello").await;
    super::administrator(&server, "ada").post("/api/chat/rooms", json!({ "type": "GROUP" })).await.ok(201);
}

#[tokio::test]
async fn the_system_is_in_no_room_and_nobody_can_put_it_into_one() {
    let server = TestServer::start().await;
    let [ann] = server.people(["ann"]).await;
    let body = json!({ "type": "GROUP", "memberIds": ["tidings:system"] });
    ann.post("/api/chat/rooms", body).await.problem(404, "user_not_found");
    let body = json!({ "type": "DIRECT", "memberIds": ["tidings:system"] });
    ann.post("/api/chat/rooms", body).await.problem(404, "user_not_found");
    make_room(&ann, "r", "GROUP", &[]).await;
    ann.put("/api/chat/rooms/r/members/tidings:system", json!({})).await.problem(404, "user_not_found");
    ann.delete("/api/chat/rooms/r/members/tidings:system?ban=true").await.problem(404, "user_not_found");
    let application = application(&server);
    application.put(&admin("r", "/members/tidings:system"), json!({})).await.problem(404, "user_not_found");
    application.delete(&admin("r", "/members/tidings:system?ban=true")).await.problem(404, "user_not_found");
    application.post(&admin("r", "/messages"), json!({ "content": "hello" })).await.ok(201);
    assert_eq!(roles(&application, "r").await.len(), 1);
    assert_eq!(meta(&ann, "r").await["lastSeq"], 2);
}
