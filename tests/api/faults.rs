//! The service's own faults: told as such, with what finds them in the log and nothing of what they are.

use serde_json::json;

use crate::support::{TestServer, make_room, say};

#[tokio::test]
async fn a_fault_shows_its_request_id_and_nothing_of_the_database() {
    let server = TestServer::start().await;
    let [ann] = server.people(["ann"]).await;
    make_room(&ann, "garden", "GROUP", &[]).await;
    let message = say(&ann, "garden", "hi").await;
    let mut socket = server.socket("ann").await;
    socket.subscribe("garden", json!({})).await;
    let mut database = server.beside().await;
    database.run("alter table reaction rename to hidden").await;
    let path = format!("/api/chat/rooms/garden/messages/{}/reactions/%F0%9F%91%8D", message["id"].as_str().unwrap());
    let reply = ann.put(&path, json!({})).await;
    let id = reply.header("x-request-id").to_owned();
    let problem = reply.problem(500, "internal");
    assert_eq!(problem["requestId"], id);
    assert!(!problem.to_string().contains("reaction"), "{problem}");
    let react = json!({ "type": "react", "roomId": "garden", "messageId": message["id"], "emoji": "👍", "on": true });
    let error = socket.refused(react.clone(), "internal").await;
    assert!(!error.to_string().contains("reaction"), "{error}");
    say(&ann, "garden", "the rest goes on").await;
    database.run("alter table hidden rename to reaction").await;
    assert_eq!(socket.done(react).await["message"]["rev"], 4, "the failed ones took no number");
}
