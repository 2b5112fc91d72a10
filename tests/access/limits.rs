//! What one user may have open at once.

use serde_json::json;

use crate::support::{Handshake, TestServer, eventually, make_room, token};

#[tokio::test]
async fn a_user_has_so_many_connections_and_others_have_theirs() {
    let server = TestServer::with(&["--limits", "on", "--connections-per-user", "2"]).await;
    let open = |user: &'static str| Handshake::to(server.address()).token(&token(user)).open(user);
    let mut first = open("ann").await;
    assert_eq!(first.frame("welcome").await["limits"]["connectionsPerUser"], 2);
    let mut second = open("ann").await;
    second.frame("welcome").await;
    let mut third = open("ann").await;
    let error = third.frame("error").await;
    assert_eq!(error["code"], "rate_limited", "{error}");
    assert_eq!(third.closed().await, (4103, "too_many_connections".to_owned()));
    open("ben").await.frame("welcome").await;
    second.close().await;
    eventually("there is room again", || async {
        let mut again = open("ann").await;
        (again.opened().await && again.untaken().all(|frame| frame["type"] == "welcome")).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_one_user_so_many_polls_are_held() {
    let server = TestServer::with(&["--limits", "on", "--polls-per-user", "3"]).await;
    server.people(["ann", "ben"]).await;
    make_room(&server.api("ann"), "garden", "GROUP", &["ben"]).await;
    let api = server.api("ann");
    let etag = api.get("/api/chat/rooms/garden/meta").await.header("etag").to_owned();
    let polls: Vec<_> = (0..3)
        .map(|_| {
            let (api, etag) = (api.clone(), etag.clone());
            tokio::spawn(async move {
                loop {
                    // Whoever asks below whether all are held takes a place, too, while there is one.
                    let held = api.get_with("/api/chat/rooms/garden/meta?wait=30", &[("if-none-match", &etag)]).await;
                    if held.status != 429 {
                        return held.status;
                    }
                }
            })
        })
        .collect();
    eventually("all three are held", || async {
        let fourth = api.get_with("/api/chat/rooms/garden/meta?wait=1", &[("if-none-match", &etag)]).await;
        let limited = fourth.status == 429;
        assert!(!limited || fourth.headers.contains_key("retry-after"));
        limited.then_some(())
    })
    .await;
    // One that does not wait is none of them, and nobody else's.
    api.get("/api/chat/rooms/garden/meta").await.ok(200);
    let list = api.get("/api/chat/meta").await.header("etag").to_owned();
    api.get_with("/api/chat/meta?wait=1", &[("if-none-match", &list)]).await.problem(429, "rate_limited");
    server.api("ben").post("/api/chat/rooms/garden/messages", json!({ "content": "hi" })).await.ok(201);
    for poll in polls {
        assert_eq!(poll.await.unwrap(), 200);
    }
}
