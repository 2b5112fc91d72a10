//! The promise, invariant by invariant: each test is named after the one it asks. Numbers are those of
//! `docs/ARCHITECTURE.md`.

mod history;
mod removal;
mod slow_reader;
mod syncing;
mod writing;

use serde_json::{Value, json};

use crate::support::{Api, TestServer};

/// A group of these people, the first its owner; returns their HTTP clients.
async fn group<const N: usize>(server: &TestServer, room: &str, people: [&str; N]) -> [Api; N] {
    let apis = server.people(people).await;
    let body = json!({ "id": room, "type": "GROUP", "memberIds": people.as_slice() });
    apis[0].post("/api/chat/rooms", body).await.ok(201);
    apis
}

fn path(room: &str, rest: &str) -> String {
    format!("/api/chat/rooms/{room}/{rest}")
}

async fn send(api: &Api, room: &str, content: &str) -> Value {
    api.post(&path(room, "messages"), json!({ "content": content })).await.ok(201)["message"].clone()
}
