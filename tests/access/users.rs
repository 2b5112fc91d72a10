//! Who people are: what tokens say, what newer tokens say, and what the admin side set, which always wins.

use serde_json::{Value, json};

use super::{application, with};
use crate::support::{Api, SECRET, TestServer, claims, in_seconds, make_room, say};

/// A token of ann, issued then, that says this.
fn saying(issued: i64, says: &Value) -> String {
    let mut all = claims("ann");
    all["iat"] = json!(in_seconds(issued));
    for (name, value) in says.as_object().unwrap() {
        all[name] = value.clone();
    }
    tidings::auth::mint(SECRET, &all)
}

async fn session(server: &TestServer, token: &str) -> Value {
    with(server, token).get("/api/session").await.ok(200)
}

#[tokio::test]
async fn the_newest_token_counts_and_an_older_one_says_nothing_new() {
    let server = TestServer::start().await;
    let old = saying(-100, &json!({ "role": "CUSTOMER", "name": "Ann" }));
    let new = saying(-50, &json!({ "role": "PARTNER", "name": "Ann B.", "picture": "https://example.com/a.png" }));
    assert_eq!(session(&server, &old).await["role"], "CUSTOMER");
    for token in [&new, &old] {
        let session = session(&server, token).await;
        assert_eq!(session["role"], "PARTNER");
        assert_eq!(session["user"], json!({ "id": "ann", "name": "Ann B.", "avatarUrl": "https://example.com/a.png" }));
    }
    // What a newer one leaves out stays as it was.
    let silent = saying(-10, &json!({ "name": null }));
    assert_eq!(session(&server, &silent).await["user"]["name"], "Ann B.");
    let server = server.restart().await;
    assert_eq!(session(&server, &old).await["role"], "PARTNER");
    // A message carries the name its sender has now.
    let ann = with(&server, &old);
    make_room(&ann, "garden", "GROUP", &[]).await;
    assert_eq!(say(&ann, "garden", "hi").await["senderName"], "Ann B.");
}

#[tokio::test]
async fn what_the_admin_side_set_wins_until_it_lets_go() {
    let server = TestServer::start().await;
    let admin = application(server.address());
    let path = "/api/admin/users/ann";
    admin.get(path).await.problem(404, "user_not_found");
    let body = json!({ "name": "Doctor Ann", "role": "PARTNER", "partner": { "id": "p1", "status": "APPROVED" } });
    let set = admin.put(path, body.clone()).await.ok(200);
    assert_eq!(set["set"], json!({ "name": true, "avatarUrl": false, "role": true, "partner": true }));
    assert_eq!(admin.put(path, body).await.ok(200), set);
    let token = saying(-10, &json!({ "name": "Ann", "role": "ADMIN", "picture": "https://example.com/a.png" }));
    let mine = session(&server, &token).await;
    assert_eq!(mine["role"], "PARTNER");
    assert_eq!(mine["partner"], json!({ "id": "p1", "status": "APPROVED" }));
    assert_eq!(mine["user"], json!({ "id": "ann", "name": "Doctor Ann", "avatarUrl": "https://example.com/a.png" }));
    // An administrator by token who was set to be none is none.
    with(&server, &token).get(path).await.problem(403, "forbidden");
    admin.put(path, json!({ "partner": { "id": "p1", "status": "REJECTED" } })).await.ok(200);
    assert_eq!(session(&server, &token).await["partner"]["status"], "REJECTED");
    admin.put(path, json!({ "partner": null })).await.ok(200);
    assert_eq!(session(&server, &token).await["partner"], Value::Null);
    let released = admin.put(path, json!({ "release": { "role": true, "name": true } })).await.ok(200);
    assert_eq!(released["set"], json!({ "name": false, "avatarUrl": false, "role": false, "partner": true }));
    let mine = session(&server, &token).await;
    assert_eq!((&mine["role"], &mine["user"]["name"]), (&json!("ADMIN"), &json!("Ann")));
    assert_eq!(with(&server, &token).get(path).await.ok(200)["role"], "ADMIN");
}

#[tokio::test]
async fn what_cannot_be_set_is_said_and_leaves_nothing() {
    let server = TestServer::start().await;
    let admin = application(server.address());
    let put = async |body: Value| admin.put("/api/admin/users/ann", body).await;
    put(json!({ "name": "" })).await.invalid("name");
    put(json!({ "name": "a\u{202e}b" })).await.invalid("name");
    put(json!({ "role": "KING" })).await.invalid("role");
    put(json!({ "partner": { "id": "" , "status": "APPROVED" } })).await.invalid("partner");
    // What serde takes for an object: its fields by their order.
    put(json!({ "partner": ["p1", "APPROVED"] })).await.invalid("partner");
    put(json!({ "release": [true] })).await.invalid("release");
    put(json!({ "avatarUrl": "x".repeat(3000) })).await.invalid("avatarUrl");
    admin.put("/api/admin/users/a b", json!({})).await.invalid("path");
    admin.put("/api/admin/users/tidings:system", json!({ "name": "me" })).await.problem(403, "forbidden");
    admin.get("/api/admin/users/ann").await.problem(404, "user_not_found");
    let nobody = Api::new(server.address(), None);
    nobody.put("/api/admin/users/ann", json!({ "role": "ADMIN" })).await.problem(401, "unauthenticated");
    server.api("ann").put("/api/admin/users/ann", json!({ "role": "ADMIN" })).await.problem(403, "forbidden");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_reads_a_user_while_they_change_never_brings_back_what_was() {
    let server = TestServer::start().await;
    let admin = application(server.address());
    let token = saying(-10, &json!({}));
    let readers: Vec<_> = (0..8)
        .map(|_| {
            let ann = with(&server, &token);
            tokio::spawn(async move {
                loop {
                    ann.get("/api/session").await.ok(200);
                }
            })
        })
        .collect();
    for n in 0..150 {
        let status = format!("S{n}");
        let body = json!({ "partner": { "id": "p", "status": status } });
        admin.put("/api/admin/users/ann", body).await.ok(200);
        // At once, and a little later, when whoever had read before is done.
        for _ in 0..4 {
            assert_eq!(session(&server, &token).await["partner"]["status"], status);
        }
    }
    readers.iter().for_each(tokio::task::JoinHandle::abort);
}
