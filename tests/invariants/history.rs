//! 11 one history: a cursor of another one, or above the head, is told to begin anew.

use serde_json::json;

use super::{group, path, send};
use crate::support::TestServer;

#[tokio::test(flavor = "multi_thread")]
async fn invariant_11_a_cursor_of_another_history_or_above_the_head_is_refused() {
    let server = TestServer::start().await;
    let [ann, _] = group(&server, "r", ["ann", "ben"]).await;
    let last = send(&ann, "r", "before the restore").await["rev"].as_u64().unwrap();
    let old = ann.get(&path("r", "meta")).await.ok(200)["history"].as_str().unwrap().to_owned();
    let etag = ann.get(&path("r", "meta")).await.header("etag").to_owned();

    let above = format!("messages?since={}&history={old}", last + 1);
    ann.get(&path("r", &above)).await.problem(409, "history_changed");
    let mut socket = server.socket("ann").await;
    let subscribed = socket.subscribe("r", json!({ "since": last + 1, "history": old })).await;
    assert_eq!((&subscribed["status"], &subscribed["reason"]), (&json!("reset"), &json!("history")));
    assert_eq!(socket.frame("messages").await["messages"][1]["content"], "before the restore");

    // A restore gives the database another history.
    let data = server.stop().await;
    let mut database = data.beside().await;
    database.run("update history set id = 'another'").await;
    database.close().await;
    let server = TestServer::again(data).await;
    let ann = server.api("ann");
    assert_eq!(ann.get(&path("r", "meta")).await.ok(200)["history"], "another");
    let known = ann.get_with(&path("r", "meta"), &[("if-none-match", &etag)]).await;
    known.ok(200);
    ann.get(&path("r", &format!("messages?since={last}&history={old}"))).await.problem(409, "history_changed");
    let mut socket = server.socket("ann").await;
    let subscribed = socket.subscribe("r", json!({ "since": last, "history": old })).await;
    assert_eq!((&subscribed["status"], &subscribed["reason"]), (&json!("reset"), &json!("history")));
    assert_eq!(subscribed["history"], "another");
}
