//! What a person wrote, erased: everywhere, for those who are there at once, and for good.

use serde_json::{Value, json};

use super::{application, path};
use crate::support::{Api, TestServer, each, make_room, meta, say};

/// Calls until nothing is left; returns how much it was in all.
async fn erase(application: &Api, user: &str) -> (u64, u64) {
    let (mut messages, mut reactions) = (0, 0);
    loop {
        let done = application.delete(&format!("/api/admin/users/{user}/messages")).await.ok(200);
        messages += done["messages"].as_u64().unwrap();
        reactions += done["reactions"].as_u64().unwrap();
        if done["more"] == false {
            return (messages, reactions);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn all_that_a_person_wrote_is_blank_and_everyone_learns_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let words = folder.path().join("words");
    std::fs::write(&words, "flag: odd\n").unwrap();
    let server = TestServer::with(&["--moderation-words-file", words.to_str().unwrap()]).await;
    let application = application(&server);
    let [ann, ben] = server.people(["ann", "ben"]).await;
    make_room(&ann, "r", "GROUP", &["ben"]).await;
    make_room(&ben, "s", "GROUP", &["ann"]).await;
    let draft = json!({ "id": uuid::Uuid::new_v4(), "content": "my secret", "metadata": { "at": "home" } });
    let secret = ben.post(&path("messages"), draft.clone()).await.ok(201)["message"].take();
    say(&ben, "r", "an odd one").await;
    let deleted = say(&ben, "r", "deleted before").await;
    ben.delete(&path(&format!("messages/{}", deleted["id"].as_str().unwrap()))).await.ok(200);
    for n in 0..60 {
        say(&ben, "s", &format!("text {n}")).await;
    }
    let hers = say(&ann, "r", "of another").await;
    for (person, message) in [(&ben, &hers), (&ann, &hers), (&ann, &secret)] {
        let reaction = path(&format!("messages/{}/reactions/%F0%9F%91%8D", message["id"].as_str().unwrap()));
        person.put(&reaction, json!({})).await.ok(200);
    }
    let mut socket = server.socket("ann").await;
    socket.subscribe("r", json!({})).await;
    socket.frame("messages").await;
    // The name that is to stand there is set first.
    application.put("/api/admin/users/ben", json!({ "name": "Someone", "avatarUrl": null })).await.ok(200);
    assert_eq!(erase(&application, "ben").await, (63, 1));

    let pages = [
        ann.get(&path("messages?limit=100")).await.ok(200),
        ann.get("/api/chat/rooms/s/messages?limit=100").await.ok(200),
    ];
    for message in pages.iter().flat_map(|page| page["messages"].as_array().unwrap()) {
        let (is_his, is_system) = (message["senderId"] == "ben", message["contentType"] == "SYSTEM");
        if is_his && !is_system {
            assert_eq!((&message["content"], &message["metadata"]), (&json!(""), &json!(null)));
            assert_eq!((&message["reactions"], &message["moderation"]), (&json!([]), &json!(null)));
            assert_eq!(message["senderName"], "Someone");
            assert!(message["deletedAt"].is_string());
        } else if !is_system {
            assert_eq!(message["content"], "of another");
            assert_eq!(message["reactions"], json!([{ "emoji": "👍", "count": 1, "userIds": ["ann"] }]));
        }
    }
    assert_eq!(
        each(&pages[0]["messages"], "seq"),
        (1..=5).map(Value::from).collect::<Vec<_>>(),
        "each keeps its place"
    );
    // Those who are there have it in the order of the log: three messages and a reaction.
    let end = meta(&ann, "r").await["rev"].as_u64().unwrap();
    let mut heard = Vec::new();
    while heard.last() != Some(&end) {
        heard.push(socket.frame("message").await["message"]["rev"].as_u64().unwrap());
    }
    assert_eq!(heard, (end - 3..=end).collect::<Vec<_>>());
    assert_eq!(
        application.get("/api/admin/moderation").await.ok(200)["cases"],
        json!([]),
        "no case keeps what it said"
    );
    // Nothing is left to erase, and nothing brings it back: not even the same send, tried again.
    assert_eq!(erase(&application, "ben").await, (0, 0));
    assert_eq!(meta(&ann, "r").await["rev"], end, "and that changes nothing");
    ben.post(&path("messages"), draft).await.problem(409, "message_id_conflict");
    assert_eq!(say(&ben, "r", "something new").await["content"], "something new");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_admin_side_erases_and_the_application_itself_has_nothing_to_erase() {
    let server = TestServer::start().await;
    let [ann] = server.people(["ann"]).await;
    make_room(&ann, "r", "GROUP", &[]).await;
    say(&ann, "r", "stays").await;
    ann.delete("/api/admin/users/ann/messages").await.problem(403, "forbidden");
    let application = application(&server);
    application.delete("/api/admin/users/tidings:system/messages").await.problem(403, "forbidden");
    assert_eq!(erase(&application, "nobody").await, (0, 0));
    assert_eq!(ann.get(&path("messages")).await.ok(200)["messages"][1]["content"], "stays");
}
