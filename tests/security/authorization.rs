//! S25–S33: what belongs to others. Made from the sources' own lists of routes and frames, so that a new one has to
//! say here what a stranger gets of it.

use reqwest::Method;
use serde_json::{Value, json};

use super::all_routes;
use crate::protocol::coverage::variants;
use crate::support::{Api, TestServer, fresh_id, make_room, meta, say, token_with};

/// Ben's room, its message, and eve, who is in no room.
struct Stage {
    server: TestServer,
    ben: Api,
    eve: Api,
    message: String,
}

impl Stage {
    async fn new() -> Self {
        let server = TestServer::start().await;
        let [ben, eve, _ann] = server.people(["ben", "eve", "ann"]).await;
        make_room(&ben, "den", "GROUP", &["ann"]).await;
        let message = say(&ben, "den", "between us").await;
        Self { server, ben, eve, message: message["id"].as_str().unwrap().to_owned() }
    }

    fn path(&self, template: &str, room: &str) -> String {
        template
            .replace("{roomId}", room)
            .replace("{messageId}", &self.message)
            .replace("{userId}", "eve")
            .replace("{emoji}", "%F0%9F%91%8D")
    }

    async fn call(&self, who: &Api, method: &str, path: &str) -> crate::support::Reply {
        // One body that is right wherever one is needed.
        let body = json!({ "content": "x", "role": "OWNER", "title": "x", "type": "GROUP", "seq": 1, "name": "x",
            "reason": "x", "quota": null, "limit": 1 });
        let body = (method != "GET").then(|| body.to_string().into_bytes());
        let method: Method = method.parse().unwrap();
        who.call(method, path, &[("content-type", "application/json")], body).await
    }

    /// Nothing of what eve tried is there.
    async fn is_as_before(&self) {
        let meta = meta(&self.ben, "den").await;
        assert_eq!((&meta["rev"], &meta["lastSeq"]), (&json!(2), &json!(2)));
        let page = self.ben.get("/api/chat/rooms/den/messages").await.ok(200);
        assert_eq!(page["messages"][1]["content"], "between us");
        let members = self.ben.get("/api/chat/rooms/den/members").await.ok(200);
        assert_eq!(members["members"].as_array().unwrap().len(), 2);
    }
}

#[tokio::test]
async fn s25_s26_a_stranger_gets_nothing_of_a_room_by_any_route() {
    let stage = Stage::new().await;
    let mut tried = 0;
    for (method, template) in all_routes() {
        if template.starts_with("/api/admin") || !template.contains("{roomId}") {
            continue;
        }
        let of_ben = stage.call(&stage.eve, &method, &stage.path(&template, "den")).await;
        assert_eq!((of_ben.status, &of_ben.json["code"]), (404, &json!("room_not_found")), "{of_ben}");
        let of_nobody = stage.call(&stage.eve, &method, &stage.path(&template, "nowhere")).await;
        assert_eq!(of_ben.bytes, of_nobody.bytes, "{method} {template} tells the two apart");
        let unknown = stage.call(&stage.server.anonymous(), &method, &stage.path(&template, "den")).await;
        assert_eq!((unknown.status, &unknown.json["code"]), (401, &json!("unauthenticated")), "{unknown}");
        tried += 1;
    }
    assert!(tried >= 15, "only {tried} routes of rooms");
    stage.is_as_before().await;
}

#[tokio::test]
async fn s26_what_lies_outside_of_rooms_shows_only_one_s_own() {
    let stage = Stage::new().await;
    let others = all_routes().into_iter().filter(|(_, path)| !path.contains("{roomId}") && !path.contains("/admin/"));
    for (method, path) in others {
        match format!("{method} {path}").as_str() {
            "GET /openapi.json" | "GET /asyncapi.json" => {
                let (of_this, empty) = (stage.call(&stage.eve, &method, &path).await, TestServer::start().await);
                assert_eq!(of_this.bytes, empty.anonymous().get(&path).await.bytes, "{path} tells of what is held");
            }
            "GET /healthz" | "GET /readyz" => {
                let text = String::from_utf8(stage.call(&stage.eve, &method, &path).await.bytes).unwrap();
                assert!(!text.contains("den") && !text.contains("ben"), "{path}: {text}");
            }
            "GET /api/session" => {
                let session = stage.call(&stage.eve, &method, &path).await.ok(200);
                assert_eq!(session["user"]["id"], "eve");
            }
            "GET /api/chat/rooms" => assert_eq!(stage.eve.get(&path).await.ok(200)["rooms"], json!([])),
            "GET /api/chat/unread-count" => assert_eq!(stage.eve.get(&path).await.ok(200)["unreadCount"], 0),
            "GET /api/chat/meta" => {
                let list = stage.eve.get("/api/chat/meta?rooms=den,nowhere").await.ok(200);
                assert_eq!((&list["rooms"], &list["gone"]), (&json!([]), &json!(["den", "nowhere"])));
            }
            "POST /api/chat/rooms" => {
                // Another's room is not taken over by naming its id, and not joined by making it "again".
                let made = stage.eve.post(&path, json!({ "id": "den", "type": "GROUP" })).await;
                assert!(made.status >= 400 && !made.to_string().contains("between us"), "{made}");
            }
            "POST /api/demo/session" => {
                stage.eve.post(&path, json!({ "name": "Ben" })).await.problem(404, "not_found");
            }
            "GET /api/chat/ws" => {} // by frame, below
            other => panic!("say here what a stranger gets of {other}"),
        }
    }
    stage.is_as_before().await;
}

#[tokio::test]
async fn s26_a_stranger_gets_nothing_of_a_room_by_any_frame() {
    let stage = Stage::new().await;
    let mut ben = stage.server.socket("ben").await;
    ben.subscribe("den", json!({})).await;
    ben.settle().await;
    let mut eve = stage.server.socket("eve").await;
    let source = std::fs::read_to_string(super::root().join("src/protocol.rs")).unwrap();
    for kind in variants(&source, "ClientFrame") {
        let frame = json!({ "type": kind, "roomId": "den", "messageId": stage.message, "content": "x", "emoji": "👍",
            "on": true, "seq": 1, "message": { "id": fresh_id(), "content": "x" }, "token": "x" });
        match kind.as_str() {
            "subscribe" | "send" | "edit" | "delete" | "react" | "read" | "typing" => {
                let of_ben = eve.refused(frame.clone(), "room_not_found").await;
                let mut elsewhere = frame;
                elsewhere["roomId"] = json!("nowhere");
                let of_nobody = eve.refused(elsewhere, "room_not_found").await;
                assert_eq!(of_ben["detail"], of_nobody["detail"], "{kind}");
            }
            "auth" => drop(eve.refused(frame, "unauthenticated").await),
            "watch" => {
                eve.done(frame).await;
                assert_eq!(eve.frame("meta").await["rooms"], json!([]));
            }
            "unsubscribe" | "ping" => drop(eve.done(frame).await),
            other => panic!("say here what a stranger gets of {other}"),
        }
    }
    assert_eq!(ben.settle().await, Vec::<Value>::new());
    assert_eq!(eve.settle().await, Vec::<Value>::new());
    stage.is_as_before().await;
}

#[tokio::test]
async fn s26_every_route_of_the_admin_side_refuses_whoever_is_no_administrator() {
    let stage = Stage::new().await;
    let partner = stage.server.anonymous().with_token(&token_with("paul", &json!({ "role": "PARTNER" })));
    let unscoped = stage.server.anonymous().with_token(&token_with("eve", &json!({ "scope": "chat:admin" })));
    let mut tried = 0;
    for (method, template) in all_routes() {
        if !template.starts_with("/api/admin") {
            continue;
        }
        let path = stage.path(&template, "den").replace(['{', '}'], "");
        for (who, name) in [(&stage.eve, "a customer"), (&partner, "a partner"), (&unscoped, "a user with a scope")] {
            let reply = stage.call(who, &method, &path).await;
            assert_eq!((reply.status, &reply.json["code"]), (403, &json!("forbidden")), "{name}: {reply}");
        }
        let reply = stage.call(&stage.server.anonymous(), &method, &path).await;
        assert_eq!((reply.status, &reply.json["code"]), (401, &json!("unauthenticated")), "{reply}");
        tried += 1;
    }
    assert!(tried > 0, "this check has lost sight of the admin side");
    stage.is_as_before().await;
}

#[tokio::test]
async fn s27_who_wrote_what_where_and_when_is_not_the_writer_s_to_say() {
    let stage = Stage::new().await;
    make_room(&stage.eve, "other", "GROUP", &[]).await;
    let lies = json!({ "content": "mine", "senderId": "ben", "senderName": "Ben", "sender": "ben", "seq": 1, "rev": 1,
        "createdAt": "2001-01-01T00:00:00Z", "roomId": "den", "moderation": null, "editedAt": null,
        "reactions": [{ "emoji": "👍", "count": 7, "userIds": ["ben"] }] });
    let sent = stage.eve.post("/api/chat/rooms/other/messages", lies.clone()).await.ok(201);
    let mut socket = stage.server.socket("eve").await;
    let by_frame = json!({ "type": "send", "roomId": "other", "message": lies, "senderId": "ben", "userId": "ben" });
    let by_frame = socket.done(by_frame).await;
    for (message, seq) in [(&sent["message"], 2), (&by_frame["message"], 3)] {
        assert_eq!((&message["senderId"], &message["senderName"]), (&json!("eve"), &json!("Eve")), "{message}");
        assert_eq!((&message["roomId"], &message["seq"]), (&json!("other"), &json!(seq)), "{message}");
        assert_eq!(message["reactions"], json!([]), "{message}");
        assert!(!message["createdAt"].as_str().unwrap().starts_with("2001"), "{message}");
    }
    // A message of one room named under another.
    let path = format!("/api/chat/rooms/other/messages/{}", stage.message);
    stage.eve.patch(&path, json!({ "content": "x" })).await.problem(404, "message_not_found");
    stage.eve.delete(&path).await.problem(404, "message_not_found");
    let reply = json!({ "content": "what did they say?", "replyTo": stage.message });
    stage.eve.post("/api/chat/rooms/other/messages", reply).await.problem(400, "invalid");
    stage.is_as_before().await;
}

#[tokio::test]
async fn s31_after_the_removal_nothing_held_or_cached_is_answered() {
    let stage = Stage::new().await;
    let ann = stage.server.api("ann");
    let path = "/api/chat/rooms/den";
    let tag = ann.get(&format!("{path}/meta")).await.header("etag").to_owned();
    let list_tag = ann.get("/api/chat/meta").await.header("etag").to_owned();
    let page = ann.get(&format!("{path}/messages")).await.ok(200);
    let (history, message) = (page["history"].as_str().unwrap(), &stage.message);
    stage.ben.delete(&format!("{path}/members/ann")).await.ok(204);
    for query in [
        "/messages".to_owned(),
        "/messages?limit=10".to_owned(),
        format!("/messages?since=0&history={history}"),
        format!("/messages?since=2&history={history}"),
        "/messages?before=3".to_owned(),
        "/messages?after=1".to_owned(),
        "/messages?around=2".to_owned(),
        "/meta".to_owned(),
        "/meta?wait=1".to_owned(),
        "/members".to_owned(),
        "/presence".to_owned(),
        String::new(),
    ] {
        let known = [("if-none-match", tag.as_str())];
        ann.get_with(&format!("{path}{query}"), &known).await.problem(404, "room_not_found");
    }
    let list = ann.get_with("/api/chat/meta", &[("if-none-match", &list_tag)]).await.ok(200);
    assert_eq!(list["rooms"], json!([]), "not a 304 either");
    let again = json!({ "id": message, "content": "between us" });
    ann.post(&format!("{path}/messages"), again).await.problem(404, "room_not_found");
}

#[tokio::test]
async fn s32_a_token_that_fails_does_not_say_whose_it_would_be() {
    let server = TestServer::start().await;
    server.people(["ann"]).await;
    let forged = |user: &str| {
        let good = token_with(user, &json!({}));
        server.anonymous().with_token(&format!("{}x", &good[..good.len() - 1]))
    };
    let known = forged("ann").get("/api/session").await;
    let unknown = forged("nobody").get("/api/session").await;
    assert_eq!((known.status, &known.bytes), (401, &unknown.bytes));
}

#[tokio::test]
async fn s33_a_name_that_means_all_elsewhere_means_nothing_here() {
    let stage = Stage::new().await;
    for name in ["ALL", "_", "all", "undefined", "null", "-"] {
        stage.eve.get(&format!("/api/chat/rooms/{name}")).await.problem(404, "room_not_found");
        let list = stage.eve.get(&format!("/api/chat/meta?rooms={name}")).await.ok(200);
        assert_eq!((&list["rooms"], &list["gone"]), (&json!([]), &json!([name])));
    }
    for name in ["*", "%25", "%2A", "d%25", "de_%25", "[a-z]*", "."] {
        let reply = stage.eve.get(&format!("/api/chat/rooms/{name}/meta")).await;
        assert!(reply.status == 400 || reply.status == 404, "{reply}");
        assert!(!reply.to_string().contains("between us"), "{reply}");
    }
    stage.eve.get("/api/chat/meta?rooms=*").await.problem(400, "invalid");
    stage.eve.get("/api/chat/rooms?type=ALL").await.problem(400, "invalid");
}
