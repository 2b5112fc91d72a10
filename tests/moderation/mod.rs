//! What may be written: words, the hook, the queue of what was flagged; and how much: quotas and slow mode. Asked of real
//! servers, with a hook that is a real server, too.

mod hook;
mod listener;
mod queue;
mod quotas;
mod settings;
mod slow_mode;
mod together;
mod words;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{Api, TestServer, application_token, token_with};

/// HTTP as the application itself.
fn application(server: &TestServer) -> Api {
    server.anonymous().with_token(&application_token())
}

/// HTTP as an administrator.
fn administrator(server: &TestServer, user: &str) -> Api {
    server.anonymous().with_token(&token_with(user, &json!({ "role": "ADMIN" })))
}

/// A word list, and the folder that it lies in for as long as it is needed.
fn word_list(lines: &str) -> (TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("words");
    std::fs::write(&path, lines).unwrap();
    let path = path.to_str().unwrap().to_owned();
    (folder, path)
}

fn messages(room: &str) -> String {
    format!("/api/chat/rooms/{room}/messages")
}

/// The open cases, all of them.
async fn queue_of(admin: &Api) -> Vec<Value> {
    let queue = admin.get("/api/admin/moderation?limit=100").await.ok(200);
    assert_eq!(queue["cursor"], Value::Null, "{queue}");
    queue["cases"].as_array().unwrap().clone()
}

/// Where a message is decided of.
fn decision(room: &str, message: &Value) -> String {
    format!("/api/admin/rooms/{room}/messages/{}/moderation", message["id"].as_str().unwrap())
}

/// The newest page's messages that people wrote.
async fn written(reader: &Api, room: &str) -> Vec<Value> {
    let page = reader.get(&format!("{}?limit=100", messages(room))).await.ok(200);
    let by_people = |message: &&Value| message["contentType"] != "SYSTEM";
    page["messages"].as_array().unwrap().iter().filter(by_people).cloned().collect()
}
