//! What an operator looks at.

mod alerts;
mod metrics;

use std::net::TcpListener;

use serde_json::json;

use crate::support::{Api, Handshake, Process, SECRET, token};

#[tokio::test(flavor = "multi_thread")]
async fn metrics_are_answered_on_an_address_of_their_own_and_count() {
    let folder = tempfile::tempdir().unwrap();
    let database = format!("sqlite:{}", folder.path().join("tidings.db").display());
    // Free a moment ago; there is no other way to give the program two known ports.
    let metrics = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let address = metrics.to_string();
    let flags = ["--port", "0", "--host", "127.0.0.1", "--database-url", &database, "--limits", "off"];
    let mut process = Process::start(&flags, &[("METRICS_ADDR", &address), ("JWT_SECRET", SECRET)]);
    let service = process.address();
    let ann = Api::new(service, Some(token("ann")));
    ann.get("/api/session").await.ok(200);
    ann.post("/api/chat/rooms", json!({ "id": "r", "type": "GROUP", "memberIds": [] })).await.ok(201);
    ann.post("/api/chat/rooms/r/messages", json!({ "content": "counted" })).await.ok(201);
    let mut socket = Handshake::to(service).token(&token("ann")).welcomed("ann").await;
    socket.settle().await;

    let page = Api::new(metrics, None).get("/metrics").await;
    assert_eq!(page.status, 200);
    let text = String::from_utf8(page.bytes).unwrap();
    for line in ["tidings_changes_total 2", "tidings_connections{transport=\"websocket\"} 1", "tidings_limits_off 1"] {
        assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
    }
    assert!(!text.contains("ann") && !text.contains("\"r\""), "names of people or rooms in\n{text}");
    ann.get("/metrics").await.problem(404, "not_found");
}
