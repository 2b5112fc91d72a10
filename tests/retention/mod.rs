//! What is not kept any more: gone on every path, told to everyone who could miss it, and never a hole that nobody told of;
//! and what a person wrote, erased when that is asked for.

mod bounds;
mod erasing;
mod holes;
mod sockets;

use serde_json::{Value, json};

use crate::support::{Api, TestServer, application_token, eventually, meta};

/// Looks each second for what is not to be kept, and keeps nothing for the sake of sends that are tried again.
const AT_ONCE: [&str; 4] = ["--retention-at-least-minutes", "0", "--retention-every-seconds", "1"];

async fn server() -> TestServer {
    TestServer::with(&AT_ONCE).await
}

fn application(server: &TestServer) -> Api {
    server.anonymous().with_token(&application_token())
}

fn path(rest: &str) -> String {
    format!("/api/chat/rooms/r/{rest}")
}

/// Says what the room keeps, and waits until nothing else is left.
async fn keep(server: &TestServer, reader: &Api, retention: Value, oldest: u64) {
    let set = json!({ "retention": retention });
    application(server).put("/api/admin/rooms/r", set).await.ok(200);
    begins_at(reader, oldest).await;
}

async fn begins_at(reader: &Api, oldest: u64) {
    eventually("the room begins later", || async {
        (meta(reader, "r").await["oldestSeq"] == json!(oldest)).then_some(())
    })
    .await;
}
