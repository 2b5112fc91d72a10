//! The watched room list: all once, then what moved, and what is gone.

use serde_json::{Value, json};

use crate::support::{Api, Socket, TestServer, each, make_room, say};

async fn watched(server: &TestServer, who: &str) -> (Socket, Value) {
    let mut socket = server.socket(who).await;
    socket.done(json!({ "type": "watch" })).await;
    let first = socket.frame("meta").await;
    (socket, first)
}

async fn two_rooms(server: &TestServer) -> [Api; 2] {
    let people = server.people(["ann", "ben"]).await;
    for room in ["garden", "shed"] {
        make_room(&people[0], room, "GROUP", &["ben"]).await;
    }
    people
}

#[tokio::test]
async fn the_whole_list_comes_once_and_then_what_moved() {
    let server = TestServer::start().await;
    let [ann, ben] = two_rooms(&server).await;
    let (mut socket, first) = watched(&server, "ben").await;
    assert_eq!(each(&first["rooms"], "roomId"), ["shed", "garden"]);
    assert_eq!((each(&first["rooms"], "lastReadSeq"), &first["gone"]), (vec![json!(1), json!(1)], &json!([])));
    let said = say(&ann, "garden", "hi").await;
    let moved = socket.frame("meta").await;
    let room = json!({ "roomId": "garden", "lastSeq": 2, "rev": 2, "lastMessageAt": said["createdAt"] });
    assert_eq!(moved, json!({ "type": "meta", "rooms": [room], "gone": [] }), "lastReadSeq has not moved");
    ben.post("/api/chat/rooms/garden/read", json!({})).await.ok(200);
    assert_eq!(socket.frame("meta").await["rooms"][0]["lastReadSeq"], 2);
    say(&ben, "garden", "ho").await;
    let own = socket.frame("meta").await;
    assert_eq!((&own["rooms"][0]["lastSeq"], &own["rooms"][0]["lastReadSeq"]), (&json!(3), &json!(3)));
}

#[tokio::test]
async fn what_moves_together_is_told_together() {
    let server = TestServer::start().await;
    let [ann, _ben] = two_rooms(&server).await;
    let (mut socket, _) = watched(&server, "ben").await;
    let mut writer = server.socket("ann").await;
    for i in 0..40 {
        let room = if i % 2 == 0 { "garden" } else { "shed" };
        writer.send(json!({ "type": "send", "roomId": room, "message": { "content": "x" } })).await;
    }
    writer.settle().await;
    let mut frames = 0;
    let mut last = std::collections::BTreeMap::new();
    while last.get("garden") != Some(&json!(21)) || last.get("shed") != Some(&json!(21)) {
        let meta = socket.frame("meta").await;
        frames += 1;
        for room in meta["rooms"].as_array().unwrap() {
            last.insert(room["roomId"].as_str().unwrap().to_owned(), room["lastSeq"].clone());
        }
    }
    assert!(frames <= 10, "40 messages took {frames} frames");
    drop(ann);
}

#[tokio::test]
async fn rooms_come_and_go_and_a_closed_one_is_said_once() {
    let server = TestServer::start().await;
    let [ann, ben] = two_rooms(&server).await;
    let (mut socket, _) = watched(&server, "ben").await;
    make_room(&ann, "attic", "GROUP", &["ben"]).await;
    let came = socket.frame("meta").await;
    assert_eq!(
        (each(&came["rooms"], "roomId"), each(&came["rooms"], "lastReadSeq")),
        (vec![json!("attic")], vec![json!(1)])
    );
    ann.delete("/api/chat/rooms/garden/members/ben").await.ok(204);
    assert_eq!(socket.frame("meta").await, json!({ "type": "meta", "rooms": [], "gone": ["garden"] }));
    say(&ann, "garden", "unheard").await;
    ben.delete("/api/chat/rooms/shed/members/ben").await.ok(204);
    assert_eq!(socket.frame("meta").await, json!({ "type": "meta", "rooms": [], "gone": ["shed"] }));
    ann.put("/api/chat/rooms/garden/members/ben", json!({})).await.ok(200);
    let back = socket.frame("meta").await;
    assert_eq!((&back["rooms"][0]["roomId"], &back["rooms"][0]["lastReadSeq"]), (&json!("garden"), &json!(4)));
    say(&ann, "attic", "heard").await;
    let moved = socket.frame("meta").await;
    assert_eq!((each(&moved["rooms"], "roomId"), &moved["gone"]), (vec![json!("attic")], &json!([])));
}

#[tokio::test]
async fn a_list_without_rooms_is_empty_and_watching_again_tells_it_all_again() {
    let server = TestServer::start().await;
    let [ann, _ben] = server.people(["ann", "ben"]).await;
    let (mut socket, first) = watched(&server, "ben").await;
    assert_eq!(first, json!({ "type": "meta", "rooms": [], "gone": [] }));
    make_room(&ann, "garden", "GROUP", &["ben"]).await;
    assert_eq!(each(&socket.frame("meta").await["rooms"], "roomId"), ["garden"]);
    socket.done(json!({ "type": "watch" })).await;
    let again = socket.frame("meta").await;
    assert_eq!(
        (each(&again["rooms"], "roomId"), each(&again["rooms"], "lastReadSeq")),
        (vec![json!("garden")], vec![json!(1)])
    );
}
