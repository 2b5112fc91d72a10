//! The admin side of rooms: what the application and its administrators may do in any of them, and that the log of each
//! stays what it is for everyone else.

mod audit;
mod bans;
mod members;
mod messages;
mod rooms;
mod together;

use serde_json::{Value, json};

use crate::support::{Api, TestServer, application_token, token_with};

/// HTTP as the application itself.
fn application(server: &TestServer) -> Api {
    server.anonymous().with_token(&application_token())
}

/// HTTP as an administrator.
fn administrator(server: &TestServer, user: &str) -> Api {
    server.anonymous().with_token(&token_with(user, &json!({ "role": "ADMIN" })))
}

/// A path of the admin side below a room.
fn admin(room: &str, rest: &str) -> String {
    format!("/api/admin/rooms/{room}{rest}")
}

/// A room made or set by the application.
async fn set(application: &Api, room: &str, settings: Value, status: u16) -> Value {
    application.put(&admin(room, ""), settings).await.ok(status)["room"].take()
}

/// What happened in a room after a `seq`, as the SYSTEM messages tell it: event, whom, by whom.
async fn events(application: &Api, room: &str, after: u64) -> Vec<(String, String, String)> {
    let page = application.get(&admin(room, &format!("/messages?after={after}&limit=100"))).await.ok(200);
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let messages = page["messages"].as_array().unwrap().iter().filter(|message| message["contentType"] == "SYSTEM");
    let event = |message: &Value| {
        let metadata = &message["metadata"];
        (text(&metadata["event"]), text(&metadata["userId"]), text(&metadata["byUserId"]))
    };
    messages.map(event).collect()
}

/// The members and their roles, by the order in which they joined.
async fn roles(application: &Api, room: &str) -> Vec<(String, String)> {
    let page = application.get(&admin(room, "/members?limit=100")).await.ok(200);
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    page["members"].as_array().unwrap().iter().map(|m| (text(&m["userId"]), text(&m["role"]))).collect()
}

fn named(event: &str, user: &str) -> (String, String, String) {
    (event.to_owned(), user.to_owned(), "tidings:system".to_owned())
}
