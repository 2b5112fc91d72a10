//! The queue of what was flagged, and what is decided of it.

use serde_json::{Value, json};

use super::{administrator, application, decision, messages, queue_of, word_list, written};
use crate::support::{Api, TestServer, each, make_room, meta, say};

const LIST: &str = "flag: odd\n";

/// A server with the list, a room of two, and the application.
async fn begin() -> (tempfile::TempDir, TestServer, [Api; 2], Api) {
    let (folder, path) = word_list(LIST);
    let server = TestServer::with(&["--moderation-words-file", &path]).await;
    let people = server.people(["ann", "ben"]).await;
    make_room(&people[0], "garden", "GROUP", &["ben"]).await;
    let admin = application(&server);
    (folder, server, people, admin)
}

#[tokio::test]
async fn approved_a_message_loses_its_mark_and_all_who_read_the_room_learn_it() {
    let (_folder, server, [ann, ben], _) = begin().await;
    let admin = administrator(&server, "root");
    let message = say(&ben, "garden", "odd").await;
    let mut socket = server.socket("ann").await;
    socket.subscribe("garden", json!({ "since": 2, "history": meta(&ann, "garden").await["history"] })).await;
    let path = decision("garden", &message);
    let decided = admin.put(&path, json!({ "action": "approve", "reason": "it is fine" })).await.ok(200);
    let heard = socket.frame("message").await["message"].clone();
    assert_eq!(heard, decided["message"]);
    assert_eq!((&heard["moderation"], &heard["rev"], &heard["seq"]), (&Value::Null, &json!(3), &json!(2)));
    assert_eq!((&heard["content"], &heard["editedAt"]), (&json!("odd"), &Value::Null));
    let case = &decided["cases"][0];
    assert_eq!(case["decision"], "APPROVED");
    assert_eq!((&case["decidedBy"], &case["decisionReason"]), (&json!("root"), &json!("it is fine")));
    assert!(case["decidedAt"].is_string() && case.get("message").is_none(), "{case}");
    assert!(queue_of(&admin).await.is_empty());
    // The same again changes nothing, whoever says it.
    let again = application(&server).put(&path, json!({ "action": "approve" })).await.ok(200);
    assert_eq!(again, decided);
    assert_eq!(meta(&ann, "garden").await["rev"], 3);
    assert_eq!(socket.settle().await, Vec::<Value>::new());
    assert_eq!(admin.get(&path).await.ok(200)["cases"], decided["cases"]);
}

#[tokio::test]
async fn rejected_a_message_is_blanked_and_what_it_said_is_kept() {
    let (_folder, _server, [ann, ben], admin) = begin().await;
    let draft = json!({ "content": "odd", "metadata": { "url": "x" } });
    let message = ben.post(&messages("garden"), draft).await.ok(201)["message"].clone();
    ann.put(&format!("{}/{}/reactions/👍", messages("garden"), message["id"].as_str().unwrap()), json!({}))
        .await
        .ok(200);
    let path = decision("garden", &message);
    let decided = admin.put(&path, json!({ "action": "reject" })).await.ok(200);
    let blank = &decided["message"];
    assert_eq!((&blank["content"], &blank["metadata"], &blank["reactions"]), (&json!(""), &Value::Null, &json!([])));
    assert!(blank["deletedAt"].is_string() && blank["moderation"].is_null() && blank["rev"] == 4, "{blank}");
    assert_eq!(written(&ben, "garden").await, std::slice::from_ref(blank));
    let case = &decided["cases"][0];
    assert_eq!((&case["decision"], &case["decidedBy"]), (&json!("REJECTED"), &json!("tidings:system")));
    assert_eq!((&case["content"], &case["metadata"]), (&json!("odd"), &json!({ "url": "x" })));
    assert_eq!(admin.put(&path, json!({ "action": "reject" })).await.ok(200), decided);
    // What is gone from the room cannot be brought back into it.
    admin.put(&path, json!({ "action": "approve" })).await.problem(403, "forbidden");
    assert_eq!(admin.get(&path).await.ok(200)["cases"], decided["cases"]);
}

#[tokio::test]
async fn what_was_approved_can_still_be_rejected() {
    let (_folder, _server, [_, ben], admin) = begin().await;
    let message = say(&ben, "garden", "odd").await;
    let path = decision("garden", &message);
    admin.put(&path, json!({ "action": "approve" })).await.ok(200);
    let decided = admin.put(&path, json!({ "action": "reject", "reason": "seen again" })).await.ok(200);
    assert!(decided["message"]["deletedAt"].is_string(), "{decided}");
    assert_eq!(each(&decided["cases"], "decision"), ["REJECTED"]);
    assert_eq!(decided["cases"][0]["decisionReason"], "seen again");
}

#[tokio::test]
async fn what_its_sender_deleted_or_edited_meanwhile_is_decided_all_the_same() {
    let (_folder, _server, [_, ben], admin) = begin().await;
    for (action, name) in [("approve", "APPROVED"), ("reject", "REJECTED")] {
        let message = say(&ben, "garden", "odd").await;
        let own = format!("{}/{}", messages("garden"), message["id"].as_str().unwrap());
        let deleted = ben.delete(&own).await.ok(200)["message"].clone();
        assert_eq!(deleted["moderation"], Value::Null, "nothing is left to be marked");
        assert_eq!(queue_of(&admin).await[0]["message"], deleted, "what it said still waits");
        let decided = admin.put(&decision("garden", &message), json!({ "action": action })).await.ok(200);
        assert_eq!(decided["message"], deleted, "nothing changed in the room");
        assert_eq!(decided["cases"][0]["decision"], name);
        assert!(queue_of(&admin).await.is_empty());
    }
    let message = say(&ben, "garden", "odd").await;
    let own = format!("{}/{}", messages("garden"), message["id"].as_str().unwrap());
    let edited = ben.patch(&own, json!({ "content": "odd and odder" })).await.ok(200)["message"].clone();
    let queue = queue_of(&admin).await;
    assert_eq!(
        queue.iter().map(|case| case["content"].as_str().unwrap()).collect::<Vec<_>>(),
        ["odd", "odd and odder"]
    );
    // Whoever has seen only the first decides of that: the mark stays.
    let path = decision("garden", &message);
    let half = admin.put(&path, json!({ "action": "approve", "rev": message["rev"] })).await.ok(200);
    assert_eq!(half["message"], edited);
    assert_eq!(each(&half["cases"], "decision"), [json!("APPROVED"), Value::Null]);
    let whole = admin.put(&path, json!({ "action": "approve" })).await.ok(200);
    assert_eq!((&whole["message"]["moderation"], &whole["message"]["content"]), (&Value::Null, &edited["content"]));
    // Flagged anew, it waits anew; a rejection means all of it.
    ben.patch(&own, json!({ "content": "oddest, odd" })).await.ok(200);
    assert_eq!(queue_of(&admin).await.len(), 1);
    let rejected = admin.put(&path, json!({ "action": "reject" })).await.ok(200);
    assert_eq!(each(&rejected["cases"], "decision"), ["APPROVED", "APPROVED", "REJECTED"]);
    assert!(rejected["message"]["deletedAt"].is_string());
}

#[tokio::test]
async fn the_queue_comes_oldest_first_in_pages_and_outlives_a_restart() {
    let (_folder, server, [ann, ben], admin) = begin().await;
    make_room(&ann, "attic", "GROUP", &[]).await;
    let mut sent = Vec::new();
    for n in 0..5 {
        let (who, room) = if n % 2 == 0 { (&ben, "garden") } else { (&ann, "attic") };
        sent.push(say(who, room, &format!("odd {n}")).await["id"].clone());
    }
    let (mut found, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = admin.get(&format!("/api/admin/moderation?limit=2{cursor}")).await.ok(200);
        found.extend(each(&page["cases"], "messageId"));
        let Some(next) = page["cursor"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    assert_eq!(found, sent);
    let queue = queue_of(&admin).await;
    let server = server.restart().await;
    assert_eq!(queue_of(&application(&server)).await, queue);
}

#[tokio::test]
async fn the_queue_is_for_the_admin_side_and_says_what_is_wrong() {
    let (_folder, server, [ann, ben], admin) = begin().await;
    let plain = say(&ben, "garden", "even").await;
    let odd = say(&ben, "garden", "odd").await;
    for path in ["/api/admin/moderation".to_owned(), decision("garden", &odd)] {
        ann.get(&path).await.problem(403, "forbidden");
        server.anonymous().get(&path).await.problem(401, "unauthenticated");
    }
    ann.put(&decision("garden", &odd), json!({ "action": "approve" })).await.problem(403, "forbidden");
    admin.put(&decision("garden", &plain), json!({ "action": "reject" })).await.problem(404, "not_found");
    admin.get(&decision("garden", &plain)).await.problem(404, "not_found");
    let nothing = json!({ "id": "nothing" });
    admin.put(&decision("garden", &nothing), json!({ "action": "reject" })).await.problem(404, "message_not_found");
    admin.put(&decision("nowhere", &odd), json!({ "action": "reject" })).await.problem(404, "room_not_found");
    admin.put(&decision("garden", &odd), json!({ "action": "maybe" })).await.invalid("action");
    admin.put(&decision("garden", &odd), json!({})).await.problem(400, "invalid");
    let long = json!({ "action": "approve", "reason": "x".repeat(501) });
    admin.put(&decision("garden", &odd), long).await.invalid("reason");
    admin.get("/api/admin/moderation?cursor=x").await.invalid("cursor");
    admin.get("/api/admin/moderation?limit=0").await.invalid("limit");
    assert_eq!(queue_of(&admin).await.len(), 1, "nothing was decided");
    assert_eq!(written(&ann, "garden").await, [plain, odd]);
}
