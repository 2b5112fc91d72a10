//! Revoked, suspended, disconnected: on every path at once, and nobody else is touched.

use serde_json::{Value, json};

use super::{application, credential, revoke, with};
use crate::support::{Api, Handshake, Socket, TestServer, eventually, in_seconds, make_room, token};

const POLL: &str = "/api/chat/rooms/garden/meta?wait=25";

/// A poll that is held as soon as there is a place: whoever looks whether it is takes one, too.
async fn held(api: &Api) -> tokio::task::JoinHandle<(u16, Value)> {
    let etag = api.get("/api/chat/rooms/garden/meta").await.header("etag").to_owned();
    let poller = api.clone();
    tokio::spawn(async move {
        loop {
            let reply = poller.get_with(POLL, &[("if-none-match", &etag)]).await;
            if reply.status != 429 {
                return (reply.status, reply.json);
            }
        }
    })
}

async fn socket(server: &TestServer, token: &str) -> Socket {
    let mut socket = Handshake::to(server.address()).token(token).welcomed("ann").await;
    socket.subscribe("garden", json!({})).await;
    socket
}

async fn garden() -> TestServer {
    // One poll at a time, so that a second one tells that the first is held.
    let server = TestServer::with(&["--limits", "on", "--polls-per-user", "1", "--sends-per-second", "100000"]).await;
    server.people(["ann", "ben"]).await;
    make_room(&server.api("ann"), "garden", "GROUP", &["ben"]).await;
    server
}

/// Waits until a poll of this user is held.
async fn is_held(api: &Api) {
    eventually("a poll is held", || async {
        let etag = api.get("/api/chat/rooms/garden/meta").await.header("etag").to_owned();
        let second = api.get_with("/api/chat/rooms/garden/meta?wait=1", &[("if-none-match", &etag)]).await;
        (second.status == 429).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_token_ends_its_socket_its_poll_and_itself_and_no_other() {
    let server = garden().await;
    let (good, bad) = (credential("ann", "t1", "s1", in_seconds(-10)), credential("ann", "t2", "s2", in_seconds(-10)));
    let (mut stays, mut ends) = (socket(&server, &good).await, socket(&server, &bad).await);
    let poll = held(&with(&server, &bad)).await;
    is_held(&with(&server, &good)).await;
    for _ in 0..2 {
        revoke(server.address(), json!({ "tokenId": "t2" })).await;
    }
    assert_eq!(ends.closed().await, (4004, "revoked".to_owned()));
    let (status, problem) = poll.await.unwrap();
    assert_eq!((status, &problem["code"]), (401, &json!("token_revoked")), "{problem}");
    with(&server, &bad).get("/api/chat/meta").await.problem(401, "token_revoked");
    let mut refused = Handshake::to(server.address()).token(&bad).open("ann").await;
    assert_eq!(refused.closed().await.0, 4004);
    with(&server, &good).get("/api/chat/meta").await.ok(200);
    stays.done(json!({ "type": "ping" })).await;
    // It is remembered.
    let server = server.restart().await;
    with(&server, &bad).get("/api/chat/meta").await.problem(401, "token_revoked");
    with(&server, &good).get("/api/chat/meta").await.ok(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_ends_with_all_its_tokens() {
    let server = garden().await;
    let tokens = ["t1", "t2"].map(|id| credential("ann", id, "s1", in_seconds(-10)));
    let mut sockets = Vec::new();
    for token in &tokens {
        sockets.push(socket(&server, token).await);
    }
    let mut other = socket(&server, &credential("ann", "t3", "s3", in_seconds(-10))).await;
    revoke(server.address(), json!({ "sessionId": "s1" })).await;
    for socket in &mut sockets {
        assert_eq!(socket.closed().await.0, 4004);
    }
    with(&server, &credential("ann", "t9", "s1", in_seconds(0)))
        .get("/api/session")
        .await
        .problem(401, "token_revoked");
    other.done(json!({ "type": "ping" })).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_issued_before_a_time_is_revoked_and_what_came_after_is_not() {
    let server = garden().await;
    let (old, new) = (credential("ann", "t1", "s1", in_seconds(-100)), credential("ann", "t2", "s1", in_seconds(-10)));
    let (mut ends, mut stays) = (socket(&server, &old).await, socket(&server, &new).await);
    let time = |seconds: i64| {
        let at = chrono::DateTime::from_timestamp(in_seconds(seconds), 0).unwrap().to_rfc3339();
        json!({ "userId": "ann", "issuedBefore": at })
    };
    revoke(server.address(), time(-50)).await;
    assert_eq!(ends.closed().await.0, 4004);
    stays.done(json!({ "type": "ping" })).await;
    // What was revoked once stays revoked, whatever is said later.
    revoke(server.address(), time(-200)).await;
    with(&server, &old).get("/api/session").await.problem(401, "token_revoked");
    // A token that does not say when it was issued is older than any time.
    with(&server, &token("ann")).get("/api/session").await.problem(401, "token_revoked");
    with(&server, &new).get("/api/session").await.ok(200);
    server.api("ben").get("/api/session").await.ok(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_suspended_user_is_out_on_every_path_until_restored() {
    let server = garden().await;
    let mut ends = socket(&server, &token("ann")).await;
    let mut other = Handshake::to(server.address()).token(&token("ben")).welcomed("ben").await;
    let poll = held(&server.api("ann")).await;
    is_held(&server.api("ann")).await;
    let path = "/api/admin/users/ann/suspension";
    let admin = application(server.address());
    for _ in 0..2 {
        admin.put(path, json!({})).await.ok(204);
    }
    assert_eq!(ends.closed().await, (4005, "suspended".to_owned()));
    assert_eq!(poll.await.unwrap().0, 403);
    for path in ["/api/session", "/api/chat/meta", "/api/chat/rooms/garden/messages", "/api/chat/rooms"] {
        server.api("ann").get(path).await.problem(403, "suspended");
    }
    let mut refused = Handshake::to(server.address()).token(&token("ann")).open("ann").await;
    assert_eq!(refused.closed().await.0, 4005);
    assert_eq!(admin.get("/api/admin/users/ann").await.ok(200)["suspended"], true);
    other.done(json!({ "type": "ping" })).await;
    admin.delete(path).await.ok(204);
    server.api("ann").get("/api/chat/meta").await.ok(200);
    socket(&server, &token("ann")).await.done(json!({ "type": "ping" })).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_disconnected_may_come_back_at_once() {
    let server = garden().await;
    let (one, two) = (credential("ann", "t1", "s1", in_seconds(0)), credential("ann", "t2", "s2", in_seconds(0)));
    let (mut first, mut second) = (socket(&server, &one).await, socket(&server, &two).await);
    let admin = application(server.address());
    admin.post("/api/admin/sessions/s1/disconnect", json!({})).await.ok(204);
    assert_eq!(first.closed().await, (4106, "disconnected".to_owned()));
    second.done(json!({ "type": "ping" })).await;
    let mut back = socket(&server, &one).await;
    admin.post("/api/admin/users/ann/disconnect", json!({})).await.ok(204);
    assert_eq!(second.closed().await.0, 4106);
    assert_eq!(back.closed().await.0, 4106);
    socket(&server, &one).await.done(json!({ "type": "ping" })).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_not_renewed_with_a_token_that_is_revoked() {
    let server = garden().await;
    let mut live = socket(&server, &credential("ann", "t1", "s1", in_seconds(-10))).await;
    revoke(server.address(), json!({ "tokenId": "t2" })).await;
    live.refused(json!({ "type": "auth", "token": credential("ann", "t2", "s1", in_seconds(-5)) }), "token_revoked")
        .await;
    assert_eq!(live.closed().await.0, 4004);
    // A socket that was renewed ends with the token it has now.
    let mut live = socket(&server, &credential("ann", "t3", "s1", in_seconds(-10))).await;
    live.done(json!({ "type": "auth", "token": credential("ann", "t4", "s1", in_seconds(-5)) })).await;
    revoke(server.address(), json!({ "tokenId": "t3" })).await;
    live.done(json!({ "type": "ping" })).await;
    revoke(server.address(), json!({ "tokenId": "t4" })).await;
    assert_eq!(live.closed().await.0, 4004);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_that_reads_nothing_is_ended_all_the_same() {
    let server = garden().await;
    let mut stuck =
        Handshake::to(server.address()).token(&credential("ann", "t1", "s1", in_seconds(0))).welcomed("ann").await;
    stuck.send(json!({ "type": "subscribe", "roomId": "garden" })).await;
    let ben = server.api("ben");
    let long = "x".repeat(3900);
    // Far more than the kernel keeps for a peer that does not read.
    for n in 0..1500 {
        ben.post("/api/chat/rooms/garden/messages", json!({ "content": format!("{n} {long}") })).await.ok(201);
    }
    let is_here =
        async || server.api("ben").get("/api/chat/rooms/garden/presence").await.ok(200).to_string().contains("ann");
    assert!(is_here().await);
    revoke(server.address(), json!({ "tokenId": "t1" })).await;
    eventually("she is gone", || async { (!is_here().await).then_some(()) }).await;
    drop(stuck);
}

#[tokio::test]
async fn what_cannot_be_revoked_is_said() {
    let server = TestServer::start().await;
    let admin = application(server.address());
    for body in [json!({}), json!({ "tokenId": "a", "sessionId": "b" }), json!({ "userId": "ann", "tokenId": "t" })] {
        admin.post("/api/admin/revocations", body).await.invalid("body");
    }
    admin.post("/api/admin/revocations", json!({ "tokenId": "" })).await.invalid("tokenId");
    admin.post("/api/admin/revocations", json!({ "sessionId": "a b" })).await.invalid("sessionId");
    admin
        .post("/api/admin/revocations", json!({ "userId": "ann", "issuedBefore": "soon" }))
        .await
        .invalid("issuedBefore");
    server.api("ann").post("/api/admin/revocations", json!({ "tokenId": "t" })).await.problem(403, "forbidden");
    server.anonymous().post("/api/admin/revocations", json!({ "tokenId": "t" })).await.problem(401, "unauthenticated");
    admin.get("/api/session").await.problem(403, "forbidden");
    let refused = Handshake::to(server.address()).token(&crate::support::application_token()).try_open("app").await;
    assert_eq!(refused.err().expect("refused").0, 403);
}
