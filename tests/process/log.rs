//! The log helps whoever reads it, and tells nobody's secrets.

use reqwest::Method;
use serde_json::json;
use sqlx::{Connection, Executor, SqliteConnection};
use tempfile::tempdir;

use super::{people, start};
use crate::support::{Api, Handshake, SECRET, database_url, fresh_id, make_room, raw_request, say, token, token_with};

const SAID: &str = "a-secret-nobody-should-find-in-a-log";

#[tokio::test]
async fn no_token_and_no_message_is_logged_even_in_full_detail() {
    for (filter, format) in [("info", "text"), ("debug", "json"), ("trace", "text")] {
        let directory = tempdir().unwrap();
        let (mut process, address) = start(&directory, &[("RUST_LOG", filter), ("LOG_FORMAT", format)]);
        let [ann] = people(address, ["ann"]).await;
        make_room(&ann, "garden", "GROUP", &[]).await;
        let message = say(&ann, "garden", SAID).await;
        let path = format!("/api/chat/rooms/garden/messages/{}", message["id"].as_str().unwrap());
        ann.patch(&path, json!({ "content": format!("{SAID} edited") })).await.ok(200);
        ann.post("/api/chat/rooms/garden/messages", json!({ "content": { SAID: SAID } })).await.problem(400, "invalid");
        ann.post("/api/chat/rooms/garden/messages", json!({ "id": SAID, "content": SAID }))
            .await
            .problem(400, "invalid");
        let expired = token_with("ann", &json!({ "exp": 1_000_000_000 }));
        ann.with_token(&expired).get("/api/session").await.problem(401, "token_expired");
        let good = token("ann");
        ann.get(&format!("/api/session?token={good}")).await.problem(400, "token_in_url");
        let offer = format!("tidings.v1, bearer.{good}");
        let mut socket = Handshake::to(address).header("sec-websocket-protocol", &offer).open("ann").await;
        socket.subscribe("garden", json!({})).await;
        let body = json!({ "id": fresh_id(), "content": SAID });
        socket.done(json!({ "type": "send", "roomId": "garden", "message": body })).await;
        socket.done(json!({ "type": "auth", "token": good })).await;
        socket.refused(json!({ "type": "auth", "token": expired }), "token_expired").await;
        process.signal("INT");
        let (status, errors) = process.ended();
        assert!(status.success(), "{errors}");
        for secret in [SAID, &good, &expired, good.rsplit('.').next().unwrap(), SECRET] {
            let line = errors.lines().find(|line| line.contains(secret));
            assert_eq!(line, None, "RUST_LOG={filter} shows {secret}");
        }
        assert!(filter == "info" || errors.contains("invalid"), "{filter} shows no refusal: {errors}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_logged_of_a_call_carries_its_id_however_little_is_logged() {
    for (filter, line) in [("error", "a call failed"), ("tidings::http::problem=debug", "a call was refused")] {
        let directory = tempdir().unwrap();
        let (mut process, address) = start(&directory, &[("RUST_LOG", filter)]);
        let [ann] = people(address, ["ann"]).await;
        make_room(&ann, "garden", "GROUP", &[]).await;
        let mut database = SqliteConnection::connect(&database_url(&directory)).await.unwrap();
        let fault = "create trigger fault before insert on message begin select raise(abort, 'fault'); end";
        database.execute(fault).await.unwrap();
        for (id, content, status) in [("the-fault", json!(SAID), 500), ("the-refusal", json!(7), 400)] {
            let headers = [("x-request-id", id), ("content-type", "application/json")];
            let body = json!({ "content": content }).to_string().into_bytes();
            let path = "/api/chat/rooms/garden/messages";
            assert_eq!(ann.call(Method::POST, path, &headers, Some(body)).await.status, status);
        }
        process.signal("INT");
        let log = process.ended().1;
        let id = if filter == "error" { "the-fault" } else { "the-refusal" };
        let found: Vec<&str> = log.lines().filter(|found| found.contains(line)).collect();
        let span = format!("request{{request.id=\"{id}\"");
        assert!(found.iter().any(|line| line.contains(&span)), "RUST_LOG={filter}: {found:#?}\n{log}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_logged_of_a_connection_carries_the_id_that_its_welcome_names() {
    let directory = tempdir().unwrap();
    let (mut process, address) = start(&directory, &[("RUST_LOG", "tidings=debug")]);
    let (mut socket, answer) =
        Handshake::to(address).token(&token("ann")).header("x-request-id", "the-socket").try_open("ann").await.unwrap();
    assert_eq!(answer.headers()["x-request-id"], "the-socket");
    assert_eq!(socket.frame("welcome").await["requestId"], "the-socket");
    socket.refused(json!({ "type": "subscribe", "roomId": "nowhere" }), "room_not_found").await;
    drop(socket);
    // One that was never told its id has one all the same.
    let mut other = Handshake::to(address).token(&token("ann")).open("ann").await;
    let own = other.frame("welcome").await["requestId"].as_str().unwrap().to_owned();
    assert!(uuid::Uuid::parse_str(&own).is_ok(), "{own}");
    other.refused(json!({ "type": "dance" }), "invalid").await;
    process.signal("INT");
    let log = process.ended().1;
    for id in ["the-socket", &own] {
        for what in ["a frame was refused", "a connection closes"] {
            assert!(log.lines().any(|line| line.contains(what) && line.contains(id)), "{what} of {id}: {log}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_names_its_request_whoever_gives_it() {
    let directory = tempdir().unwrap();
    let (_process, address) = start(&directory, &[("CONNECTIONS_PER_ADDRESS", "8")]);
    let api = Api::new(address, Some(token("ann")));
    let named = |answer: &str| answer.to_ascii_lowercase().contains("\r\nx-request-id: ");
    let tag = api.get("/client/tidings.js").await.header("etag").to_owned();
    let unchanged = api.get_with("/client/tidings.js", &[("if-none-match", &tag)]).await;
    assert_eq!(unchanged.status, 304);
    assert!(!unchanged.header("x-request-id").is_empty(), "304");
    for (request, status) in [
        ("OPTIONS /api/session HTTP/1.1", 405),
        ("DELETE /api/session HTTP/1.1", 405),
        ("GET /api/chat/ws HTTP/1.1", 400),
        ("GET /api/session?token=x HTTP/1.1", 400),
        ("POST /api/chat/rooms HTTP/1.1\r\ntransfer-encoding: gzip, chunked", 400),
    ] {
        let answer =
            raw_request(address, format!("{request}\r\nhost: x\r\nconnection: close\r\n\r\n").as_bytes()).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")) && named(&answer), "{request}: {answer}");
    }
    // What the loop that accepts turns away.
    let mut kept = Vec::new();
    for _ in 0..8 {
        kept.push(tokio::net::TcpStream::connect(address).await.unwrap());
    }
    let answer = raw_request(address, b"GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 429") && named(&answer), "{answer}");
}
