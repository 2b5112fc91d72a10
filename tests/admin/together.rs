//! What the admin side does at one instance everyone at another sees at once.

use serde_json::{Value, json};

use super::admin;
use crate::support::{Cluster, application_token, each, eventually, say};

#[tokio::test(flavor = "multi_thread")]
async fn what_the_application_does_at_one_instance_is_seen_at_the_other_at_once() {
    let cluster = Cluster::start().await;
    cluster.people(["ann", "ben", "eve"]).await;
    cluster.bus_is("proven").await;
    let application = cluster.api(0, "ann").with_token(&application_token());
    let settings = json!({ "type": "GROUP", "members": [{ "userId": "ann", "role": "OWNER" }, { "userId": "eve" }] });
    application.put(&admin("r", ""), settings).await.ok(201);
    let mut watching = cluster.instances[1].socket("ben").await;
    watching.done(json!({ "type": "watch" })).await;
    let mut live = cluster.instances[1].socket("eve").await;
    live.subscribe("r", json!({})).await;
    application.post(&admin("r", "/messages"), json!({ "content": "hello" })).await.ok(201);
    let hello = live.expect("the message", |frame| frame["message"]["content"] == "hello").await;
    assert_eq!(hello["message"]["senderId"], "tidings:system");
    let settings =
        json!({ "title": "Ours", "historyFor": "joined", "members": [{ "userId": "ann" }, { "userId": "ben" }] });
    application.put(&admin("r", ""), settings).await.ok(200);
    live.expect("that it is over", |frame| frame["type"] == "removed").await;
    watching.expect("the room", |frame| frame["rooms"][0]["roomId"] == "r").await;
    let eve = cluster.api(1, "eve");
    eve.get("/api/chat/rooms/r/messages").await.problem(404, "room_not_found");
    // Ben sees what follows his joining, and nothing before it, where the room was followed when it was open to all.
    let ben = cluster.api(1, "ben");
    say(&cluster.api(0, "ann"), "r", "welcome").await;
    let page = eventually("the page holds the welcome", || async {
        let page = ben.get("/api/chat/rooms/r/messages").await.ok(200);
        (page["rev"].as_u64() >= Some(7)).then_some(page)
    })
    .await;
    assert_eq!(each(&page["messages"], "seq"), [6, 7].map(Value::from), "{page}");
    // The bans of one are the bans of the other.
    application.delete(&admin("r", "/members/eve?ban=true")).await.ok(204);
    ben.put("/api/chat/rooms/r/members/eve", json!({})).await.problem(403, "forbidden");
}
