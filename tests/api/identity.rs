//! Who may come in: tokens, demo tokens, and cookies of pages that may send them.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{Api, Handshake, SECRET, TestServer, claims, make_room, token, token_with};

#[tokio::test]
async fn a_session_says_what_the_token_says() {
    let server = TestServer::start().await;
    let picture = "https://example.com/ann.png";
    let claims = json!({ "name": "Ann Übermut", "picture": picture, "role": "PARTNER", "exp": 4_102_444_800_u64 });
    let session = server.anonymous().with_token(&token_with("ann", &claims)).get("/api/session").await.ok(200);
    assert_eq!(
        session,
        json!({ "user": { "id": "ann", "name": "Ann Übermut", "avatarUrl": picture }, "role": "PARTNER",
            "partner": null, "expiresAt": "2100-01-01T00:00:00.000000Z" })
    );
    let nameless = server.anonymous().with_token(&token_with("bob", &json!({ "name": "\u{202e}evil" })));
    assert_eq!(nameless.get("/api/session").await.ok(200)["user"]["name"], "bob", "not a name");
}

#[tokio::test]
async fn a_bad_token_is_refused_with_the_way_to_bring_a_good_one() {
    let server = TestServer::start().await;
    let anonymous = server.anonymous();
    let good = token("ann");
    let (head, _) = good.rsplit_once('.').unwrap();
    let mut endless = claims("ann");
    endless.as_object_mut().unwrap().remove("exp");
    for header in [
        format!("Bearer {}", tidings::auth::mint(SECRET, &endless)),
        "Bearer".to_owned(),
        "Bearer ".to_owned(),
        "Bearer nonsense".to_owned(),
        format!("Bearer {head}."),
        format!("Bearer {good}x"),
        format!("Basic {good}"),
        good.clone(),
        format!("Bearer {}", token_with("a b", &json!({}))),
        format!("Bearer {}", "x".repeat(10_000)),
    ] {
        let reply = anonymous.get_with("/api/session", &[("authorization", &header)]).await;
        assert_eq!(reply.header("www-authenticate"), "Bearer");
        reply.problem(401, "unauthenticated");
    }
    let lower = format!("bearer {good}");
    anonymous.get_with("/api/session", &[("authorization", &lower)]).await.ok(200);
    let twice = [("authorization", lower.as_str()), ("authorization", lower.as_str())];
    anonymous.get_with("/api/session", &twice).await.problem(400, "invalid");
    for name in ["token", "access_token", "JWT"] {
        anonymous.get(&format!("/api/session?x=1&{name}={good}")).await.problem(400, "token_in_url");
    }
}

#[tokio::test]
async fn a_demo_makes_people_up_and_never_an_administrator() {
    let server = TestServer::demo().await;
    let anonymous = server.anonymous();
    let made = anonymous.post("/api/demo/session", json!({ "name": "Ann", "role": "ADMIN" })).await.ok(201);
    let ann = anonymous.with_token(made["token"].as_str().unwrap());
    let session = ann.get("/api/session").await.ok(200);
    assert_eq!((&session["role"], &session["user"]), (&json!("CUSTOMER"), &made["user"]));
    let other = anonymous.post("/api/demo/session", json!({ "name": "Ann" })).await.ok(201);
    assert_ne!(other["user"]["id"], made["user"]["id"], "the same name is another person");
    let renewed = ann.post("/api/demo/session", json!({})).await.ok(201);
    assert_eq!(renewed["user"], made["user"], "with a token it is the same person again");
    for name in [json!(""), json!(" "), json!("x".repeat(81)), json!("a\nb"), json!(7), Value::Null] {
        anonymous.post("/api/demo/session", json!({ "name": name })).await.problem(400, "invalid");
    }
    let rooms = ann.get("/api/chat/rooms?type=PUBLIC").await.ok(200);
    assert_eq!((&rooms["rooms"][0]["id"], &rooms["rooms"][1]), (&json!("lobby"), &Value::Null));
    let server = server.restart().await;
    let ann = server.anonymous().with_token(made["token"].as_str().unwrap());
    assert_eq!(ann.get("/api/session").await.ok(200)["user"], made["user"], "the key outlives a restart");
}

#[tokio::test]
async fn with_a_key_nobody_is_made_up() {
    let server = TestServer::start().await;
    server.anonymous().post("/api/demo/session", json!({ "name": "Eve" })).await.problem(404, "not_found");
}

const APP: &str = "https://app.example.com";

async fn with_cookies() -> (TestServer, Api, String) {
    let server = TestServer::with(&["--session-cookie", "sid", "--allowed-origins", APP]).await;
    let api = server.anonymous();
    let cookie = format!("theme=dark; sid={}; sidx=1", token("ann"));
    (server, api, cookie)
}

#[tokio::test]
async fn a_cookie_counts_only_from_a_page_that_may_send_it() {
    let (server, api, cookie) = with_cookies().await;
    let own = format!("http://{}", server.address());
    let get = async |headers: &[(&str, &str)]| api.get_with("/api/session", headers).await;
    assert_eq!(get(&[("cookie", &cookie)]).await.ok(200)["user"]["id"], "ann");
    get(&[("cookie", &cookie), ("origin", "https://evil.example")]).await.problem(403, "forbidden");
    let post = async |id: &str, headers: &[(&str, &str)]| {
        let body = json!({ "id": id, "type": "GROUP" }).to_string().into_bytes();
        let headers = [headers, &[("content-type", "application/json")]].concat();
        api.call(Method::POST, "/api/chat/rooms", &headers, Some(body)).await
    };
    post("r1", &[("cookie", &cookie)]).await.problem(403, "forbidden");
    for evil in ["https://evil.example", "null", "https://app.example.com.evil.example"] {
        post("r1", &[("cookie", &cookie), ("origin", evil)]).await.problem(403, "forbidden");
    }
    post("r1", &[("cookie", &cookie), ("origin", APP)]).await.ok(201);
    post("r2", &[("cookie", &cookie), ("origin", &own)]).await.ok(201);
    let bearer = format!("Bearer {}", token("ann"));
    post("r3", &[("authorization", &bearer), ("origin", "https://evil.example")]).await.ok(201);
}

#[tokio::test]
async fn without_the_setting_a_cookie_is_nothing() {
    let server = TestServer::start().await;
    let cookie = format!("sid={}", token("ann"));
    server.anonymous().get_with("/api/session", &[("cookie", &cookie)]).await.problem(401, "unauthenticated");
}

#[tokio::test]
async fn a_socket_by_cookie_needs_an_origin_that_may() {
    let (server, _api, cookie) = with_cookies().await;
    let open = async |origin: Option<&str>| {
        let handshake = Handshake::to(server.address()).header("cookie", &cookie);
        let handshake = origin.map_or(handshake.clone(), |origin| handshake.header("origin", origin));
        handshake.try_open("ann").await
    };
    let mut socket = open(Some(APP)).await.unwrap_or_else(|refusal| panic!("{refusal:?}")).0;
    assert_eq!(socket.frame("welcome").await["session"]["user"]["id"], "ann");
    for origin in [None, Some("https://evil.example"), Some("null")] {
        let (status, problem) = open(origin).await.err().expect("this origin may not");
        assert_eq!((status, &problem["code"]), (403, &json!("forbidden")), "{origin:?}");
    }
}

#[tokio::test]
async fn two_people_are_not_mixed_up_on_one_connection() {
    let server = TestServer::start().await;
    let [ann, ben] = server.people(["ann", "ben"]).await;
    make_room(&ann, "garden", "GROUP", &[]).await;
    // One client keeps its connection; only the token differs from call to call.
    let ben_on_anns_connection = ann.with_token(&token("ben"));
    for _ in 0..3 {
        ann.get("/api/chat/rooms/garden/messages").await.ok(200);
        ben_on_anns_connection.get("/api/chat/rooms/garden/messages").await.problem(404, "room_not_found");
        assert_eq!(ben.get("/api/session").await.ok(200)["user"]["id"], "ben");
    }
}
