//! Making, finding, listing and renaming rooms.

use serde_json::{Value, json};

use crate::support::{Api, TestServer, each, make_room, meta, say};

#[tokio::test]
async fn a_room_is_made_once_however_often_it_is_asked_for() {
    let server = TestServer::start().await;
    let [ann, ben] = server.people(["ann", "ben"]).await;
    let made = make_room(&ann, "garden", "GROUP", &["ben"]).await;
    let again = ann.post("/api/chat/rooms", json!({ "id": "garden", "type": "GROUP" })).await.ok(200);
    assert_eq!((&again["room"]["rev"], &again["room"]["memberCount"]), (&made["rev"], &json!(2)));
    let taken = ben.post("/api/chat/rooms", json!({ "id": "garden", "type": "GROUP" })).await.problem(400, "invalid");
    assert_eq!(taken["field"], "id");
    ann.post("/api/chat/rooms", json!({ "id": "garden", "type": "PUBLIC" })).await.problem(400, "invalid");
}

#[tokio::test]
async fn a_direct_room_is_one_per_pair_and_key() {
    let server = TestServer::start().await;
    let [ann, ben, _cara] = server.people(["ann", "ben", "cara"]).await;
    let direct = async |who: &Api, other: &str, key: Option<&str>, status: u16| {
        let body = json!({ "type": "DIRECT", "memberIds": [other], "key": key });
        who.post("/api/chat/rooms", body).await.ok(status)["room"]["id"].take()
    };
    let plain = direct(&ann, "ben", None, 201).await;
    assert_eq!(direct(&ben, "ann", None, 200).await, plain);
    let keyed = direct(&ben, "ann", Some("booking:7"), 201).await;
    assert_eq!(direct(&ann, "ben", Some("booking:7"), 200).await, keyed);
    let other_key = direct(&ann, "ben", Some("booking:8"), 201).await;
    let other_pair = direct(&ann, "cara", Some("booking:7"), 201).await;
    let ids = [&plain, &keyed, &other_key, &other_pair];
    assert!(ids.iter().enumerate().all(|(i, id)| !ids[..i].contains(id)), "{ids:?}");
    for members in [json!([]), json!(["ann"]), json!(["ben", "cara"])] {
        let refused = ann.post("/api/chat/rooms", json!({ "type": "DIRECT", "memberIds": members })).await;
        assert_eq!(refused.problem(400, "invalid")["field"], "memberIds");
    }
}

#[tokio::test]
async fn of_two_who_open_the_same_direct_room_at_once_both_get_the_same() {
    let server = TestServer::start().await;
    let [ann, ben] = server.people(["ann", "ben"]).await;
    let ask = async |who: &Api, other: &str| {
        let reply = who.post("/api/chat/rooms", json!({ "type": "DIRECT", "memberIds": [other] })).await;
        (reply.status, reply.json["room"]["id"].clone())
    };
    let ((one, by_ann), (two, by_ben)) = tokio::join!(ask(&ann, "ben"), ask(&ben, "ann"));
    assert_eq!(by_ann, by_ben);
    assert_eq!(one.min(two), 200, "both were made");
}

#[tokio::test]
async fn a_room_with_somebody_unknown_is_not_made_at_all() {
    let server = TestServer::start().await;
    let [ann, _ben] = server.people(["ann", "ben"]).await;
    let body = json!({ "id": "garden", "type": "GROUP", "memberIds": ["ben", "nobody"] });
    ann.post("/api/chat/rooms", body).await.problem(404, "user_not_found");
    ann.get("/api/chat/rooms/garden").await.problem(404, "room_not_found");
    assert_eq!(ann.get("/api/chat/rooms").await.ok(200)["rooms"], json!([]));
}

#[tokio::test]
async fn ones_rooms_are_listed_newest_first_each_once() {
    let server = TestServer::start().await;
    let [ann, ben] = server.people(["ann", "ben"]).await;
    for i in 0..7 {
        make_room(&ann, &format!("r{i}"), if i % 2 == 0 { "GROUP" } else { "PUBLIC" }, &[]).await;
    }
    make_room(&ben, "not-anns", "GROUP", &[]).await;
    say(&ann, "r2", "hello").await;
    let expected = ["r2", "r6", "r5", "r4", "r3", "r1", "r0"];
    assert_eq!(listed(&ann, "").await, expected);
    assert_eq!(listed(&ben, "&type=PUBLIC").await, ["r5", "r3", "r1"]);
    for limit in ["0", "101", "x", "-1"] {
        ann.get(&format!("/api/chat/rooms?limit={limit}")).await.problem(400, "invalid");
    }
    ann.get("/api/chat/rooms?cursor=nonsense").await.problem(400, "invalid");
    ann.get("/api/chat/rooms?type=GROUP").await.problem(400, "invalid");
}

/// Page by page, two at a time.
async fn listed(who: &Api, query: &str) -> Vec<String> {
    let mut ids = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = who.get(&format!("/api/chat/rooms?limit=2{query}{cursor}")).await.ok(200);
        ids.extend(each(&page["rooms"], "id").iter().map(|id| id.as_str().unwrap().to_owned()));
        match page["cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return ids,
        }
    }
}

#[tokio::test]
async fn a_title_is_told_in_the_log_and_metadata_is_not() {
    let server = TestServer::start().await;
    let [ann] = server.people(["ann"]).await;
    make_room(&ann, "garden", "GROUP", &[]).await;
    let patch = async |body: Value| ann.patch("/api/chat/rooms/garden", body).await.ok(200)["room"].take();
    let renamed = patch(json!({ "title": "Garden" })).await;
    assert_eq!((&renamed["title"], &renamed["rev"]), (&json!("Garden"), &json!(2)));
    assert_eq!(renamed["lastMessage"]["metadata"]["title"], "Garden");
    assert_eq!(patch(json!({ "title": "Garden" })).await["rev"], 2, "the same title again");
    let described = patch(json!({ "metadata": { "b": 1, "a": [2] } })).await;
    assert_eq!((&described["rev"], &described["metadata"]), (&json!(2), &json!({ "a": [2], "b": 1 })));
    assert_eq!(described["title"], "Garden", "an absent title stays");
    let untitled = patch(json!({ "title": null })).await;
    assert_eq!((&untitled["title"], &untitled["rev"]), (&Value::Null, &json!(3)));
    assert_eq!(untitled["metadata"], json!({ "a": [2], "b": 1 }), "absent metadata stays");
    assert_eq!(patch(json!({ "metadata": null })).await["metadata"], Value::Null);
    assert_eq!(meta(&ann, "garden").await["rev"], 3);
}

#[tokio::test]
async fn a_room_shows_its_first_ten_members_and_counts_all() {
    let server = TestServer::start().await;
    let people: Vec<String> = (0..12).map(|i| format!("p{i:02}")).collect();
    for person in &people {
        server.api(person).get("/api/session").await.ok(200);
    }
    let others: Vec<&str> = people[1..].iter().map(String::as_str).collect();
    let room = make_room(&server.api("p00"), "crowd", "GROUP", &others).await;
    assert_eq!((&room["memberCount"], each(&room["members"], "userId").len()), (&json!(12), 10));
    let mut seen = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = server.api("p05").get(&format!("/api/chat/rooms/crowd/members?limit=5{cursor}")).await.ok(200);
        seen.extend(each(&page["members"], "userId"));
        let Some(next) = page["cursor"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    assert_eq!(seen, people);
}

#[tokio::test]
async fn a_room_is_refused_for_what_is_wrong_with_it() {
    let server = TestServer::start().await;
    let [ann] = server.people(["ann"]).await;
    let many: Vec<String> = (0..201).map(|i| format!("m{i}")).collect();
    for (body, status, code) in [
        (json!({ "type": "SECRET" }), 400, "invalid"),
        (json!({}), 400, "invalid"),
        (json!({ "type": "GROUP", "id": "a b" }), 400, "invalid"),
        (json!({ "type": "GROUP", "id": "" }), 400, "invalid"),
        (json!({ "type": "GROUP", "id": "x".repeat(65) }), 400, "invalid"),
        (json!({ "type": "GROUP", "title": " " }), 400, "invalid"),
        (json!({ "type": "GROUP", "title": "x".repeat(121) }), 413, "too_large"),
        (json!({ "type": "GROUP", "key": "" }), 400, "invalid"),
        (json!({ "type": "GROUP", "key": "a\nb" }), 400, "invalid"),
        (json!({ "type": "GROUP", "metadata": [1] }), 400, "invalid"),
        (json!({ "type": "GROUP", "metadata": { "x": "y".repeat(4096) } }), 413, "too_large"),
        (json!({ "type": "GROUP", "metadata": { "x": ["\0"] } }), 400, "invalid"),
        (json!({ "type": "GROUP", "memberIds": "ben" }), 400, "invalid"),
        (json!({ "type": "GROUP", "memberIds": many }), 413, "too_large"),
        (json!({ "type": "GROUP", "historyFor": "some" }), 400, "invalid"),
    ] {
        ann.post("/api/chat/rooms", body).await.problem(status, code);
    }
    assert_eq!(ann.get("/api/chat/rooms").await.ok(200)["rooms"], json!([]));
}
