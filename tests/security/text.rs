//! S33–S43: texts that mean something elsewhere, and texts that are none.

use reqwest::Method;
use serde_json::{Value, json};
use tempfile::tempdir;

use crate::support::{
    Handshake, Process, SECRET, TestServer, database_url, fresh_id, make_room, raw_request, say, token, token_with,
};

const MESSAGES: &str = "/api/chat/rooms/garden/messages";

#[tokio::test]
async fn s34_what_would_be_a_command_elsewhere_is_stored_and_returned_as_it_is() {
    let server = TestServer::start().await;
    for (at, text) in [
        "'; DROP TABLE message;--",
        "\" OR \"\"=\"",
        "$1 $2 ${jndi:ldap://x} {{7*7}} %s %n",
        "\\'; \\\" \\\\ \\u0000 \\x00",
        "1); SELECT pg_terminate_backend(9); --",
        "\r\nSET chat:meta:garden x\r\n",
        "{\"$gt\": \"\"}",
    ]
    .into_iter()
    .enumerate()
    {
        let (user, room) = (format!("u{at}"), format!("r{at}"));
        let name = text.replace(['\r', '\n'], " ");
        let ann = server.anonymous().with_token(&token_with(&user, &json!({ "name": name, "picture": text })));
        let session = ann.get("/api/session").await.ok(200);
        assert_eq!(session["user"]["name"], name);
        let metadata = json!({ text: [text, { "x": text }] });
        let key = name.clone();
        let made = json!({ "id": room, "type": "GROUP", "title": text, "key": key, "metadata": metadata });
        let made = ann.post("/api/chat/rooms", made).await.ok(201)["room"].take();
        assert_eq!((&made["title"], &made["key"], &made["metadata"]), (&json!(text), &json!(key), &metadata));
        let body = json!({ "content": text, "metadata": metadata });
        let path = format!("/api/chat/rooms/{room}/messages");
        let sent = ann.post(&path, body).await.ok(201)["message"].take();
        let id = sent["id"].as_str().unwrap();
        ann.put(&format!("{path}/{id}/reactions/%27%3B--"), json!({})).await.ok(200);
        let page = ann.get(&path).await.ok(200);
        let stored = &page["messages"][1];
        assert_eq!((&stored["content"], &stored["metadata"]), (&json!(text), &metadata));
        assert_eq!((&stored["senderName"], &stored["reactions"][0]["emoji"]), (&json!(name), &json!("';--")));
        let edited = ann.patch(&format!("{path}/{id}"), json!({ "content": format!("{text}!") })).await.ok(200);
        assert_eq!(edited["message"]["content"], format!("{text}!"));
        let query = text.bytes().fold(String::new(), |query, byte| query + &format!("%{byte:02X}"));
        for path in [
            format!("/api/chat/rooms/{query}/meta"),
            format!("/api/chat/meta?rooms={query}"),
            format!("/api/chat/rooms?cursor={query}"),
            format!("{path}?history={query}&since=1"),
        ] {
            let reply = ann.get(&path).await;
            assert!(reply.status == 400 || reply.status == 404, "{reply}");
        }
    }
}

#[tokio::test]
async fn s35_another_type_than_a_text_is_no_text() {
    let server = TestServer::start().await;
    let [ann] = server.people(["ann"]).await;
    make_room(&ann, "garden", "GROUP", &[]).await;
    let mut socket = server.socket("ann").await;
    for content in [json!({ "$ne": 1 }), json!(["a"]), json!(7), json!(true), json!(null), json!(-0.0)] {
        let problem = ann.post(MESSAGES, json!({ "content": content })).await.problem(400, "invalid");
        assert_eq!(problem["field"], "content", "{problem}");
        let frame = json!({ "type": "send", "roomId": "garden", "message": { "content": content } });
        socket.refused(frame, "invalid").await;
    }
    for raw in [
        r#"{"content":"a","content":"b"}"#,
        r#"{"content":"a","metadata":{"n":1e999}}"#,
        r#"{"content":"a","replyTo":{"id":"x"}}"#,
        r#"{"content":"a","id":["x"]}"#,
    ] {
        let body = Some(raw.as_bytes().to_vec());
        ann.call(Method::POST, MESSAGES, &[("content-type", "application/json")], body).await.problem(400, "invalid");
    }
    for seq in ["9223372036854775808", "18446744073709551616", "-1", "1.5", "\"1\"", "1e3"] {
        let body = Some(format!(r#"{{"seq":{seq}}}"#).into_bytes());
        let reply =
            ann.call(Method::POST, "/api/chat/rooms/garden/read", &[("content-type", "application/json")], body).await;
        // A place beyond the end is the end; what is no place is refused.
        assert!(reply.status == 400 || seq == "9223372036854775808" && reply.status == 200, "{seq}: {reply}");
    }
    let deep = format!(r#"{{"content":"deep","metadata":{{"a":{}1{}}}}}"#, "[".repeat(200), "]".repeat(200));
    let reply =
        ann.call(Method::POST, MESSAGES, &[("content-type", "application/json")], Some(deep.into_bytes())).await;
    assert!([201, 400].contains(&reply.status), "{reply}");
    let unknown = json!({ "content": "x", "isAdmin": true, "__proto__": { "role": "OWNER" }, "constructor": 7 });
    ann.post(MESSAGES, unknown).await.ok(201);
    assert_eq!(ann.get(MESSAGES).await.ok(200)["messages"].as_array().unwrap().last().unwrap()["content"], "x");
}

#[tokio::test]
async fn s36_the_character_nul_is_refused_in_every_field() {
    let server = TestServer::start().await;
    let [ann] = server.people(["ann"]).await;
    make_room(&ann, "garden", "GROUP", &[]).await;
    let id = say(&ann, "garden", "x").await["id"].as_str().unwrap().to_owned();
    let nul = "a\0b";
    for (method, path, body) in [
        ("POST", MESSAGES.to_owned(), json!({ "content": nul })),
        ("POST", MESSAGES.to_owned(), json!({ "content": "x", "id": nul })),
        ("POST", MESSAGES.to_owned(), json!({ "content": "x", "replyTo": nul })),
        ("POST", MESSAGES.to_owned(), json!({ "content": "x", "metadata": { "k": nul } })),
        ("POST", MESSAGES.to_owned(), json!({ "content": "x", "metadata": { nul: 1 } })),
        ("PATCH", format!("{MESSAGES}/{id}"), json!({ "content": nul })),
        ("PUT", format!("{MESSAGES}/{id}/reactions/a%00b"), json!({})),
        ("POST", "/api/chat/rooms".to_owned(), json!({ "type": "GROUP", "id": nul })),
        ("POST", "/api/chat/rooms".to_owned(), json!({ "type": "GROUP", "title": nul })),
        ("POST", "/api/chat/rooms".to_owned(), json!({ "type": "GROUP", "key": nul })),
        ("POST", "/api/chat/rooms".to_owned(), json!({ "type": "GROUP", "metadata": { "k": nul } })),
        ("POST", "/api/chat/rooms".to_owned(), json!({ "type": "GROUP", "memberIds": [nul] })),
        ("PATCH", "/api/chat/rooms/garden".to_owned(), json!({ "title": nul })),
        ("PUT", "/api/chat/rooms/garden/members/a%00b".to_owned(), json!({})),
        ("POST", "/api/chat/rooms/garden/read".to_owned(), json!({ "messageIds": [nul] })),
        ("GET", "/api/chat/rooms/a%00b/meta".to_owned(), json!({})),
        ("GET", "/api/chat/meta?rooms=a%00b".to_owned(), json!({})),
        ("GET", format!("{MESSAGES}?since=1&history=a%00b"), json!({})),
    ] {
        let body = (method != "GET").then(|| body.to_string().into_bytes());
        let json = [("content-type", "application/json")];
        let reply = ann.call(method.parse().unwrap(), &path, &json, body).await;
        assert_eq!((reply.status, &reply.json["code"]), (400, &json!("invalid")), "{reply}");
    }
    // A name is the application's to give: one that cannot be shown is left out.
    let named = server.anonymous().with_token(&token_with("zoe", &json!({ "name": nul })));
    assert!(!named.get("/api/session").await.ok(200)["user"]["name"].as_str().unwrap().contains('\0'));
}

#[tokio::test]
async fn s38_what_cannot_be_seen_is_no_message_and_what_looks_odd_is_one() {
    let server = TestServer::start().await;
    let [ann] = server.people(["ann"]).await;
    make_room(&ann, "garden", "GROUP", &[]).await;
    for unseen in ["", " ", "\n\t", "\u{200b}", "\u{feff}", "\u{200b}\u{200d}\u{2060}", "\u{3000}"] {
        ann.post(MESSAGES, json!({ "content": unseen })).await.problem(400, "invalid");
    }
    let zalgo = format!("Z{}", "\u{0301}".repeat(1000));
    let family = "👨\u{200d}👩\u{200d}👧\u{200d}👦".repeat(500);
    for odd in [&zalgo, &family, "\u{202e}gnp.exe", "ⓐｄⓜіｎ", "e\u{301} is not é"] {
        let sent = ann.post(MESSAGES, json!({ "content": odd })).await.ok(201);
        assert_eq!(sent["message"]["content"], *odd);
        assert_eq!(ann.get(&format!("{MESSAGES}?limit=1")).await.ok(200)["messages"][0]["content"], *odd);
    }
    ann.post(MESSAGES, json!({ "content": "👨\u{200d}".repeat(2001) })).await.problem(413, "too_large");
    // Names that would turn the line around, or are none, are not taken.
    for name in ["\u{202e}nimda", "a\u{2066}b", " ", "a\nb", &"x".repeat(81)] {
        let odd = server.anonymous().with_token(&token_with("odd", &json!({ "name": name })));
        assert_eq!(odd.get("/api/session").await.ok(200)["user"]["name"], "odd", "{name:?}");
    }
}

#[tokio::test]
async fn s40_nothing_that_is_logged_can_begin_a_line_or_colour_it() {
    for format in ["text", "json"] {
        let directory = tempdir().unwrap();
        let database = database_url(&directory);
        let environment = [
            ("HOST", "127.0.0.1"),
            ("PORT", "0"),
            ("DATABASE_URL", &database),
            ("JWT_SECRET", SECRET),
            ("RUST_LOG", "debug"),
            ("LOG_FORMAT", format),
        ];
        let mut process = Process::start(&[], &environment);
        let address = process.address();
        let forged = "%0d%0a2030-01-01T00:00:00Z%20ERROR%20FORGED%1b[31m";
        let long = "u".repeat(30_000);
        for request in [
            format!("GET /api/chat/rooms/{forged}/meta HTTP/1.1\r\nhost: x"),
            format!("GET /{forged} HTTP/1.1\r\nhost: x"),
            format!("GET /api/session HTTP/1.1\r\nhost: x\r\nx-request-id: a{forged}\r\nuser-agent: {long}"),
            format!("GET /api/session HTTP/1.1\r\nhost: x\r\nx-forwarded-for: \u{1b}[31mFORGED, {forged}"),
            "GET /api/session HTTP/1.1\r\nhost: x\r\nuser-agent: \u{9b}FORGED\x0b".to_owned(),
            format!("F{forged} / HTTP/1.1\r\nhost: x"),
        ] {
            raw_request(address, format!("{request}\r\nconnection: close\r\n\r\n").as_bytes()).await;
        }
        let mut socket = Handshake::to(address).token(&token("ann")).welcomed("ann").await;
        let odd = json!({ "type": "\u{1b}[31m\r\nFORGED", "roomId": "\r\nFORGED" });
        socket.refused(odd, "invalid").await;
        let user = token_with("ann", &json!({ "sub": "a\r\nFORGED" }));
        socket.refused(json!({ "type": "auth", "token": user }), "unauthenticated").await;
        process.signal("INT");
        let (_, written) = process.ended();
        assert!(written.contains("/api/session"), "the log shows no request:\n{written}");
        assert!(
            written.contains("127.0.0.1") && !written.contains("client=FORGED"),
            "the log shows no address:\n{written}"
        );
        for line in written.lines() {
            assert!(!line.contains('\u{1b}') && !line.contains('\u{9b}'), "{line:?}");
            assert!(line.len() < 2000, "{line:.200}");
            let forged = line.starts_with("FORGED") || line.starts_with("2030");
            assert!(!forged, "{line}");
            assert!(format == "text" || serde_json::from_str::<Value>(line).is_ok(), "not JSON: {line}");
        }
    }
}

#[tokio::test]
async fn s41_an_id_that_means_something_in_redis_is_no_id() {
    let server = TestServer::start().await;
    let [ann] = server.people(["ann"]).await;
    for id in [
        "*".to_owned(),
        "{slot}".to_owned(),
        "\r\nPUBLISH x".to_owned(),
        "x".repeat(10_000),
        "аnn".to_owned(),
        "a/b".to_owned(),
        "a?b".to_owned(),
        "a#b".to_owned(),
        "a~b".to_owned(),
    ] {
        ann.post("/api/chat/rooms", json!({ "id": id, "type": "GROUP" })).await.problem(400, "invalid");
        let mut socket = server.socket("ann").await;
        socket.refused(json!({ "type": "subscribe", "roomId": id }), "invalid").await;
    }
    // The grammar has the colon; a room of such a name is a room like any other, next to one whose key it resembles.
    make_room(&ann, "a:b", "GROUP", &[]).await;
    make_room(&ann, "a", "GROUP", &[]).await;
    say(&ann, "a:b", "here").await;
    assert_eq!(ann.get("/api/chat/rooms/a:b/meta").await.ok(200)["lastSeq"], 2);
    assert_eq!(ann.get("/api/chat/rooms/a/meta").await.ok(200)["lastSeq"], 1);
}

#[tokio::test]
async fn s42_a_cursor_that_was_tampered_with_is_refused_or_harmless() {
    let server = TestServer::start().await;
    let [ann] = server.people(["ann"]).await;
    make_room(&ann, "garden", "GROUP", &[]).await;
    say(&ann, "garden", "x").await;
    let history = ann.get(MESSAGES).await.ok(200)["history"].as_str().unwrap().to_owned();
    for (query, status) in [
        ("since=-1".to_owned(), 400),
        ("since=1.5".to_owned(), 400),
        ("since=18446744073709551616".to_owned(), 400),
        (format!("since=18446744073709551615&history={history}"), 409),
        (format!("since=9223372036854775808&history={history}"), 409),
        (format!("since=3&history={history}"), 409),
        ("since=1&history=another".to_owned(), 409),
        ("since=1&before=1".to_owned(), 400),
        ("before=-1".to_owned(), 400),
        ("before=18446744073709551615".to_owned(), 200),
        ("before=0".to_owned(), 200),
        ("after=9223372036854775807".to_owned(), 200),
        ("around=18446744073709551615".to_owned(), 200),
    ] {
        let reply = ann.get(&format!("{MESSAGES}?{query}")).await;
        assert!(reply.status == status || (status == 200 && reply.status == 400), "{reply}");
    }
    for cursor in ["x", "~", "2026-01-01T00:00:00Z~", "~garden", "2026~garden~x", "9999-99-99T00:00:00Z~garden"] {
        ann.get(&format!("/api/chat/rooms?cursor={cursor}")).await.problem(400, "invalid");
        ann.get(&format!("/api/chat/rooms/garden/members?cursor={cursor}")).await.problem(400, "invalid");
    }
    for tag in ["\"x\"", "*", "W/\"1.2.3\"", "\"1.1.99999999999999999999\"", "garbage", "\"\"", "\"a\", \"b\""] {
        ann.get_with("/api/chat/rooms/garden/meta", &[("if-none-match", tag)]).await.ok(200);
    }
    let mut socket = server.socket("ann").await;
    for since in [json!(-1), json!(1.5), json!("1"), json!(1e30)] {
        let frame = json!({ "type": "subscribe", "roomId": "garden", "since": since, "history": history });
        socket.refused(frame, "invalid").await;
    }
    let beyond = socket.subscribe("garden", json!({ "since": u64::MAX, "history": history })).await;
    assert_eq!((&beyond["status"], &beyond["reason"]), (&json!("reset"), &json!("history")));
}

#[tokio::test]
async fn s43_a_message_of_the_limit_is_taken_and_one_character_more_is_not() {
    let server = TestServer::start().await;
    let [ann] = server.people(["ann"]).await;
    make_room(&ann, "garden", "GROUP", &[]).await;
    let mut socket = server.socket("ann").await;
    for character in ["a", "ä", "€", "👍"] {
        let (most, more) = (character.repeat(4000), character.repeat(4001));
        ann.post(MESSAGES, json!({ "content": most })).await.ok(201);
        ann.post(MESSAGES, json!({ "content": more })).await.problem(413, "too_large");
        let frame = |content: &str| json!({ "type": "send", "roomId": "garden", "message": { "id": fresh_id(), "content": content } });
        assert_eq!(socket.done(frame(&most)).await["message"]["content"], most);
        socket.refused(frame(&more), "too_large").await;
        socket.done(json!({ "type": "ping" })).await;
    }
}
