//! S44–S56: too large, too slow, too much, too many.

use reqwest::Method;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::{Bytes, Message};

use crate::support::{Handshake, TestServer, eventually, fresh_id, make_room, raw_request, say, token};

const MESSAGES: &str = "/api/chat/rooms/garden/messages";

fn post(extra: &str) -> String {
    let token = token("ann");
    format!("POST {MESSAGES} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\n{extra}connection: close\r\n\r\n")
}

#[tokio::test]
async fn s44_no_body_is_taken_beyond_the_limit_however_it_comes() {
    let server = TestServer::start().await;
    let [ann] = server.people(["ann"]).await;
    make_room(&ann, "garden", "GROUP", &[]).await;
    let json = "content-type: application/json\r\n";
    let much = "x".repeat(300 << 10);
    let declared = post(&format!("{json}content-length: 100000000\r\n")) + "{\"content\":\"" + &much;
    let chunk = format!("{:x}\r\n{}\r\n", 1 << 10, "x".repeat(1 << 10));
    let endless = post(&format!("{json}transfer-encoding: chunked\r\n")) + &chunk.repeat(300);
    for (request, what) in [(declared, "100 MB declared"), (endless, "chunks without an end")] {
        let answer = raw_request(server.address(), request.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 413") && answer.contains("\"too_large\""), "{what}: {answer}");
    }
    // Nothing is unpacked, so a bomb is as large as it is.
    for coding in ["gzip", "deflate", "br", "zstd"] {
        let headers = [("content-type", "application/json"), ("content-encoding", coding)];
        let packed = ann.call(Method::POST, MESSAGES, &headers, Some(vec![0x1f, 0x8b, 8, 0, 0])).await;
        packed.problem(415, "unsupported_media_type");
    }
    let headers = [("content-type", "application/json"), ("content-encoding", "identity")];
    ann.call(Method::POST, MESSAGES, &headers, Some(br#"{"content":"x"}"#.to_vec())).await.ok(201);
}

#[tokio::test]
async fn s46_a_head_of_too_many_or_too_long_headers_is_431() {
    let server = TestServer::start().await;
    let many = (0..2000).fold(String::new(), |text, at| text + &format!("x-{at}: y\r\n"));
    let long = format!("x: {}\r\n", "y".repeat(1 << 20));
    for (headers, what) in [(many, "2,000 headers"), (long, "1 MiB of one")] {
        let request = format!("GET /api/session HTTP/1.1\r\nhost: x\r\n{headers}connection: close\r\n\r\n");
        let answer = raw_request(server.address(), request.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 431"), "{what}: {answer:.200}");
    }
    server.anonymous().get("/healthz").await.ok(200);
}

#[tokio::test]
async fn s47_s50_whatever_a_handshake_offers_it_gets_the_one_subprotocol_and_no_extension() {
    let server = TestServer::start().await;
    let ann = || Handshake::to(server.address()).token(&token("ann"));
    let commas = format!("tidings.v1{}", ", ,".repeat(2600));
    let many: Vec<String> = (0..1000).map(|at| format!("x-ext-{at}; a=1")).collect();
    for (name, value) in [
        ("sec-websocket-protocol", commas),
        ("sec-websocket-extensions", many.join(", ")),
        ("sec-websocket-extensions", "permessage-deflate; client_max_window_bits".to_owned()),
    ] {
        let (mut socket, response) =
            ann().header(name, &value).try_open("ann").await.unwrap_or_else(|no| panic!("{name}: {no:?}"));
        assert_eq!(response.headers()["sec-websocket-protocol"], "tidings.v1");
        assert!(!response.headers().contains_key("sec-websocket-extensions"), "{name}");
        socket.frame("welcome").await;
        // A frame that says it is compressed.
        socket.send_raw(&[0xc1, 0x82, 0, 0, 0, 0, b'{', b'}']).await;
        assert_eq!(socket.closed().await, (1002, "protocol_error".to_owned()));
    }
    let none = ann().header("sec-websocket-protocol", &", ,".repeat(2600)).try_open("ann").await.err();
    assert_eq!(none.map(|(status, _)| status), Some(400));
}

#[tokio::test]
async fn s48_a_message_in_pieces_of_nothing_costs_nobody_else_anything() {
    let server = TestServer::start().await;
    let mut calm = server.socket("ben").await;
    let mut socket = server.socket("ann").await;
    let piece = |first: u8| [first, 0x80, 0, 0, 0, 0];
    socket.send_raw(&piece(0x01)).await;
    socket.send_raw(&piece(0x00).repeat(65_537)).await;
    calm.done(json!({ "type": "ping" })).await;
    let ping = br#"{"type":"ping","id":"whole"}"#;
    let mut last = vec![0x80, 0x80 | u8::try_from(ping.len()).unwrap(), 0, 0, 0, 0];
    last.extend_from_slice(ping);
    socket.send_raw(&last).await;
    assert_eq!(socket.frame("pong").await["id"], "whole");
}

#[tokio::test]
async fn s51_all_of_a_user_s_sockets_and_calls_share_one_bucket() {
    let server = TestServer::with(&["--limits", "on", "--sends-per-second", "1"]).await;
    let [ann, ben] = server.people(["ann", "ben"]).await;
    make_room(&ann, "garden", "GROUP", &["ben"]).await;
    let begin = std::time::Instant::now();
    let mut sockets = Vec::new();
    for _ in 0..20 {
        sockets.push(server.socket("ann").await);
    }
    let (mut taken, mut refused) = (0, 0);
    for socket in &mut sockets {
        let message = json!({ "id": fresh_id(), "content": "x" });
        let answer = socket.request(json!({ "type": "send", "roomId": "garden", "message": message })).await;
        let by_http = ann.post(MESSAGES, json!({ "content": "x" })).await;
        if answer["type"] == "ok" {
            taken += 1;
        } else {
            refused += 1;
        }
        if by_http.status == 201 {
            taken += 1;
        } else {
            assert!(!by_http.header("retry-after").is_empty(), "{by_http}");
            by_http.problem(429, "rate_limited");
            refused += 1;
        }
        if answer["type"] == "error" {
            assert!(answer["code"] == "rate_limited" && answer["retryAfterMs"].is_u64(), "{answer}");
        }
    }
    let most = 4 + begin.elapsed().as_secs() + 1;
    assert!(taken >= 4 && taken <= most && refused == 40 - taken, "{taken} of at most {most} taken, {refused} refused");
    say(&ben, "garden", "others have theirs").await;
}

#[tokio::test]
async fn s52_an_address_has_so_many_sockets_whatever_it_says_of_itself() {
    let server = TestServer::with(&["--limits", "on", "--connections-per-address", "3"]).await;
    let open = async |forwarded_for: &str| {
        let handshake = Handshake::to(server.address()).token(&token("ann")).header("x-forwarded-for", forwarded_for);
        handshake.try_open("ann").await.map(|(socket, _)| socket)
    };
    let mut held = Vec::new();
    for at in 0..3 {
        held.push(open(&format!("203.0.113.{at}")).await.unwrap_or_else(|no| panic!("{no:?}")));
    }
    for lie in ["203.0.113.9", "127.0.0.2", "", "not an address"] {
        let (status, problem) = open(lie).await.err().unwrap_or_else(|| panic!("{lie:?} opened a fourth"));
        assert_eq!((status, &problem["code"]), (429, &json!("rate_limited")));
    }
    held.pop().unwrap().close().await;
    let again = eventually("a place is free again", async || open("").await.ok()).await;
    drop(again);
}

#[tokio::test]
async fn s52_behind_a_trusted_proxy_each_client_has_its_own() {
    let server =
        TestServer::with(&["--limits", "on", "--connections-per-address", "2", "--trusted-proxies", "127.0.0.1,::1"])
            .await;
    let open = async |forwarded_for: &str| {
        let handshake = Handshake::to(server.address()).token(&token("ann")).header("x-forwarded-for", forwarded_for);
        handshake.try_open("ann").await.map(|(socket, _)| socket).map_err(|(status, _)| status)
    };
    let mut held = Vec::new();
    for client in ["203.0.113.7", "1.1.1.1, 203.0.113.7", "203.0.113.8", "203.0.113.8:4711"] {
        held.push(open(client).await.unwrap_or_else(|no| panic!("{client}: {no}")));
    }
    assert_eq!(open("203.0.113.7").await.err(), Some(429));
    assert_eq!(open("203.0.113.9, 203.0.113.8").await.err(), Some(429), "only what the proxy itself wrote counts");
}

#[tokio::test]
async fn s52_connections_that_only_speak_http_are_counted_too() {
    let server = TestServer::with(&["--limits", "on", "--connections-per-address", "2"]).await;
    let idle = [0, 1].map(|_| std::net::TcpStream::connect(server.address()).unwrap());
    let request = b"GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    let refused = eventually("both are counted", async || {
        let answer = raw_request(server.address(), request).await;
        answer.starts_with("HTTP/1.1 429").then_some(answer)
    })
    .await;
    let refused = refused.to_ascii_lowercase();
    assert!(refused.contains("retry-after: ") && refused.contains("\"rate_limited\""), "{refused}");
    assert!(refused.contains("connection: close"), "{refused}");
    drop(idle);
    eventually("their places are free again", async || {
        raw_request(server.address(), request).await.starts_with("HTTP/1.1 200").then_some(())
    })
    .await;
}

#[tokio::test]
async fn s53_a_flood_of_whatever_frames_ends_the_connection_and_no_other() {
    let server = TestServer::with(&["--limits", "on", "--frames-per-second", "5"]).await;
    let [ann] = server.people(["ann"]).await;
    make_room(&ann, "garden", "GROUP", &[]).await;
    let mut calm = server.socket("ben").await;
    let subscribe = json!({ "type": "subscribe", "roomId": "garden" }).to_string();
    let unsubscribe = json!({ "type": "unsubscribe", "roomId": "garden" }).to_string();
    for (what, frames) in [
        ("pings", vec![Message::Ping(Bytes::new())]),
        ("pongs", vec![Message::Pong(Bytes::from_static(b"x"))]),
        ("subscriptions", vec![Message::text(subscribe), Message::text(unsubscribe)]),
        ("typing", vec![Message::text(json!({ "type": "typing", "roomId": "garden" }).to_string())]),
        ("nonsense", vec![Message::text("{")]),
    ] {
        let mut socket = server.socket("ann").await;
        for frame in frames.iter().cycle().take(600) {
            socket.send_message(frame.clone()).await;
        }
        assert_eq!(socket.closed().await, (4102, "rate_limited".to_owned()), "{what}");
    }
    assert_eq!(calm.settle().await, Vec::<Value>::new());
    let mut patient = server.socket("ann").await;
    refused_soon("pings", async || {
        let answer = patient.request(json!({ "type": "ping" })).await;
        (answer["retryAfterMs"].is_u64(), answer.to_string())
    })
    .await;
    // Merely too fast: told so, and it stays.
    patient.send(json!({ "type": "ping" })).await;
    calm.done(json!({ "type": "ping" })).await;
}

#[tokio::test]
async fn s54_s55_numbers_out_of_range_are_refused() {
    let server = TestServer::start().await;
    let [ann] = server.people(["ann"]).await;
    make_room(&ann, "garden", "GROUP", &[]).await;
    for number in ["0", "-1", "101", "1000000000", "99999999999999999999", "abc", "", "1.5", "0x10"] {
        for path in [MESSAGES, "/api/chat/rooms", "/api/chat/rooms/garden/members"] {
            let problem = ann.get(&format!("{path}?limit={number}")).await.problem(400, "invalid");
            assert_eq!(problem["field"], "limit", "{problem}");
        }
        if number != "0" {
            for path in ["/api/chat/rooms/garden/meta", "/api/chat/meta"] {
                ann.get(&format!("{path}?wait={number}")).await.problem(400, "invalid");
            }
        }
    }
}

/// Asks until it is refused for being too much, which is soon.
async fn refused_soon(what: &str, mut ask: impl AsyncFnMut() -> (bool, String)) {
    for _ in 0..30 {
        if ask().await.0 {
            return;
        }
    }
    panic!("{what} is not limited: {}", ask().await.1);
}

#[tokio::test]
async fn s56_whatever_else_one_writes_comes_out_of_one_bucket() {
    let server = TestServer::with(&["--limits", "on", "--changes-per-second", "1"]).await;
    let [ann, ben, _cara] = server.people(["ann", "ben", "cara"]).await;
    make_room(&ann, "garden", "GROUP", &["ben"]).await;
    let message = say(&ann, "garden", "x").await["id"].as_str().unwrap().to_owned();
    let (room, own) = ("/api/chat/rooms/garden".to_owned(), format!("{MESSAGES}/{message}"));
    for (method, path, body) in [
        ("PATCH", own.clone(), json!({ "content": "y" })),
        ("DELETE", format!("{MESSAGES}/{}", fresh_id()), json!({})),
        ("PUT", format!("{own}/reactions/+"), json!({})),
        ("DELETE", format!("{own}/reactions/+"), json!({})),
        ("POST", format!("{room}/read"), json!({ "seq": 1 })),
        ("PATCH", room.clone(), json!({ "title": "Garden" })),
        ("PUT", format!("{room}/members/cara"), json!({})),
        ("DELETE", format!("{room}/members/cara"), json!({})),
        ("DELETE", format!("{room}/members/cara?ban=true"), json!({})),
        ("POST", "/api/chat/rooms".to_owned(), json!({ "type": "GROUP", "id": "garden" })),
    ] {
        let json = [("content-type", "application/json")];
        refused_soon(&format!("{method} {path}"), async || {
            let reply = ann.call(method.parse().unwrap(), &path, &json, Some(body.to_string().into_bytes())).await;
            let limited = reply.status == 429 && reply.json["code"] == "rate_limited";
            assert!(!limited || !reply.header("retry-after").is_empty(), "{reply}");
            (limited, reply.to_string())
        })
        .await;
    }
    let mut socket = server.socket("ann").await;
    for frame in [
        json!({ "type": "edit", "content": "z" }),
        json!({ "type": "delete" }),
        json!({ "type": "react", "emoji": "+", "on": true }),
        json!({ "type": "read", "seq": 1 }),
    ] {
        let mut frame = frame;
        (frame["roomId"], frame["messageId"]) = (json!("garden"), json!(message));
        refused_soon(&frame.to_string(), async || {
            let answer = socket.request(frame.clone()).await;
            let limited = answer["code"] == "rate_limited" && answer["retryAfterMs"].is_u64();
            (limited, answer.to_string())
        })
        .await;
    }
    say(&ann, "garden", "sends have a bucket of their own").await;
    ben.post(&format!("{room}/read"), json!({ "seq": 1 })).await.ok(200);
}

#[tokio::test]
async fn s56_one_user_makes_so_many_rooms_and_no_more() {
    let server = TestServer::with(&["--limits", "on", "--rooms-per-hour", "3", "--changes-per-second", "1000"]).await;
    let [ann, ben] = server.people(["ann", "ben"]).await;
    for at in 0..3 {
        make_room(&ann, &format!("r{at}"), "PUBLIC", &[]).await;
    }
    for at in 3..50 {
        let refused = ann.post("/api/chat/rooms", json!({ "id": format!("r{at}"), "type": "PUBLIC" })).await;
        let wait: u64 = refused.header("retry-after").parse().unwrap();
        assert!((1..=1200).contains(&wait), "{wait}");
        refused.problem(429, "rate_limited");
    }
    let found = ann.get("/api/chat/rooms?type=PUBLIC").await.ok(200);
    assert_eq!(found["rooms"].as_array().unwrap().len(), 3);
    make_room(&ben, "bens", "GROUP", &[]).await;
}

#[tokio::test]
async fn without_limits_there_are_none_and_clients_are_told_what_there_is() {
    let server = TestServer::with(&["--limits", "on", "--frames-per-second", "7"]).await;
    let mut socket = Handshake::to(server.address()).token(&token("ann")).open("ann").await;
    let told = json!({ "messageChars": 4000, "frameBytes": 65536, "bodyBytes": 262_144, "metadataBytes": 4096,
        "roomsPerConnection": 500, "sendsPerSecond": 10, "changesPerSecond": 20, "roomsPerHour": 200,
        "framesPerSecond": 7, "connectionsPerAddress": 1000 });
    let limits = socket.frame("welcome").await["limits"].take();
    for (name, value) in told.as_object().unwrap() {
        assert_eq!(limits[name], *value, "{name}");
    }
    let server = TestServer::with(&["--sends-per-second", "1", "--connections-per-address", "1"]).await;
    let [ann] = server.people(["ann"]).await;
    make_room(&ann, "garden", "GROUP", &[]).await;
    let mut sockets = Vec::new();
    for _ in 0..5 {
        sockets.push(server.socket("ann").await);
    }
    for _ in 0..10 {
        say(&ann, "garden", "x").await;
    }
}
