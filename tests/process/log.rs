//! The log helps whoever reads it, and tells nobody's secrets.

use serde_json::json;
use tempfile::tempdir;

use super::{people, start};
use crate::support::{Handshake, SECRET, fresh_id, make_room, say, token, token_with};

const SAID: &str = "a-secret-nobody-should-find-in-a-log";

#[tokio::test]
async fn no_token_and_no_message_is_logged_even_in_full_detail() {
    for (filter, format) in [("info", "text"), ("debug", "json"), ("trace", "text")] {
        let directory = tempdir().unwrap();
        let (mut process, address) = start(&directory, &[("RUST_LOG", filter), ("LOG_FORMAT", format)]);
        let [ann] = people(address, ["ann"]).await;
        make_room(&ann, "garden", "GROUP", &[]).await;
        let message = say(&ann, "garden", SAID).await;
        let path = format!("/api/chat/rooms/garden/messages/{}", message["id"].as_str().unwrap());
        ann.patch(&path, json!({ "content": format!("{SAID} edited") })).await.ok(200);
        ann.post("/api/chat/rooms/garden/messages", json!({ "content": { SAID: SAID } })).await.problem(400, "invalid");
        ann.post("/api/chat/rooms/garden/messages", json!({ "id": SAID, "content": SAID }))
            .await
            .problem(400, "invalid");
        let expired = token_with("ann", &json!({ "exp": 1_000_000_000 }));
        ann.with_token(&expired).get("/api/session").await.problem(401, "token_expired");
        let good = token("ann");
        ann.get(&format!("/api/session?token={good}")).await.problem(400, "token_in_url");
        let offer = format!("tidings.v1, bearer.{good}");
        let mut socket = Handshake::to(address).header("sec-websocket-protocol", &offer).open("ann").await;
        socket.subscribe("garden", json!({})).await;
        let body = json!({ "id": fresh_id(), "content": SAID });
        socket.done(json!({ "type": "send", "roomId": "garden", "message": body })).await;
        socket.done(json!({ "type": "auth", "token": good })).await;
        socket.refused(json!({ "type": "auth", "token": expired }), "token_expired").await;
        process.signal("INT");
        let (status, errors) = process.ended();
        assert!(status.success(), "{errors}");
        for secret in [SAID, &good, &expired, good.rsplit('.').next().unwrap(), SECRET] {
            let line = errors.lines().find(|line| line.contains(secret));
            assert_eq!(line, None, "RUST_LOG={filter} shows {secret}");
        }
        assert!(filter == "info" || errors.contains("invalid"), "{filter} shows no refusal: {errors}");
    }
}
