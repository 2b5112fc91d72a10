//! Rooms and messages as most tests begin with them.

use serde_json::{Value, json};

use super::Api;

/// A room made by `owner`, with these members.
pub(crate) async fn make_room(owner: &Api, id: &str, kind: &str, members: &[&str]) -> Value {
    let mut made = owner.post("/api/chat/rooms", json!({ "id": id, "type": kind, "memberIds": members })).await.ok(201);
    made["room"].take()
}

/// A message of `sender`, written.
pub(crate) async fn say(sender: &Api, room: &str, content: &str) -> Value {
    let sent = sender.post(&format!("/api/chat/rooms/{room}/messages"), json!({ "content": content })).await;
    sent.ok(201)["message"].take()
}

/// A room's meta, as `reader` sees it.
pub(crate) async fn meta(reader: &Api, room: &str) -> Value {
    reader.get(&format!("/api/chat/rooms/{room}/meta")).await.ok(200)
}

/// One field of every object in a list.
pub(crate) fn each(list: &Value, field: &str) -> Vec<Value> {
    list.as_array().expect("a list").iter().map(|item| item[field].clone()).collect()
}
