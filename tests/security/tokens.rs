//! S1–S14: tokens that are none, not ours, not any more, or made to be more than they are.

use std::net::TcpListener;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;
use serde_json::{Value, json};

use crate::support::{Api, Handshake, SECRET, TestServer, claims, in_seconds, raw_request, token, token_with};

fn encoded(json: &str) -> String {
    URL_SAFE_NO_PAD.encode(json)
}

/// A token with this header and these claims as they are written, signed by the service's key.
fn signed(header: &str, claims: &str) -> String {
    let text = format!("{}.{}", encoded(header), encoded(claims));
    let signature = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes()), text.as_bytes());
    format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature))
}

const HS256: &str = r#"{"alg":"HS256","typ":"JWT"}"#;

/// Refused by HTTP with one and the same body, and at a socket before and after the handshake.
async fn assert_refused(server: &TestServer, bad: &str, code: &str, why: &str) {
    let reply = server.anonymous().with_token(bad).get("/api/session").await;
    assert_eq!(reply.header("www-authenticate"), "Bearer", "{why}");
    assert_eq!((reply.status, &reply.json["code"]), (401, &json!(code)), "{why}: {reply}");
    let shown = String::from_utf8_lossy(&reply.bytes);
    assert!(shown.len() < 300 && !shown.contains(bad), "{why}: {shown}");
    let mut socket = Handshake::to(server.address()).open(why).await;
    socket.send(json!({ "type": "auth", "token": bad })).await;
    let close = if code == "token_expired" { (4101, "token_expired") } else { (4001, "unauthenticated") };
    assert_eq!(socket.closed().await, (close.0, close.1.to_owned()), "{why}");
}

#[tokio::test]
async fn s2_s3_s6_what_is_no_token_of_ours_is_refused_alike() {
    let server = TestServer::start().await;
    let good = token("ann");
    server.anonymous().with_token(&good).get("/api/session").await.ok(200);
    let parts: Vec<&str> = good.split('.').collect();
    let [head, body, signature] = parts[..] else { panic!("a token has three parts") };
    let other = token("ben");
    let flipped = if signature.starts_with('A') { "B" } else { "A" }.to_owned() + &signature[1..];
    // The last character of 32 bytes in base64 has two bits that mean nothing; setting them makes another text.
    let trailing = signature[..42].to_owned() + if signature.ends_with('A') { "B" } else { "A" };
    for (bad, why) in [
        ("x".to_owned(), "garbage"),
        (format!("{head}.{body}"), "two parts"),
        (format!("{good}.x"), "four parts"),
        ("x".repeat(10_000), "10 kB"),
        (format!("{head}.{body}.!!!"), "no base64"),
        (format!("{head}.{body}."), "no signature"),
        (format!("{}.{body}.", encoded(r#"{"alg":"none"}"#)), "alg none"),
        (format!("{}.{body}.{signature}", encoded(r#"{"alg":"None"}"#)), "alg None"),
        (format!("{}.{body}.", encoded(r#"{"alg":"NONE"}"#)), "alg NONE"),
        (format!("{head}.{body}.{}", other.rsplit('.').next().unwrap()), "another token's signature"),
        (format!("{head}.{body}.{flipped}"), "a flipped bit"),
        (format!("{head}.{body}.{trailing}"), "trailing bits"),
        (format!("{head}.{body}.{signature}="), "padding"),
    ] {
        assert_refused(&server, &bad, "unauthenticated", why).await;
    }
    let long = format!(
        "GET /api/session HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\nconnection: close\r\n\r\n",
        "x".repeat(200_000)
    );
    let answer = raw_request(server.address(), long.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
}

#[tokio::test]
async fn s5_another_algorithm_than_the_key_s_is_refused() {
    let server = TestServer::start().await;
    for (name, algorithm) in [("HS384", hmac::HMAC_SHA384), ("HS512", hmac::HMAC_SHA512)] {
        let text = format!("{}.{}", encoded(&json!({ "alg": name }).to_string()), encoded(&claims("ann").to_string()));
        let signature = hmac::sign(&hmac::Key::new(algorithm, SECRET.as_bytes()), text.as_bytes());
        let token = format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature));
        assert_refused(&server, &token, "unauthenticated", name).await;
    }
    for name in ["RS256", "ES256", "PS256", "EdDSA"] {
        let token = signed(&json!({ "alg": name }).to_string(), &claims("ann").to_string());
        assert_refused(&server, &token, "unauthenticated", name).await;
    }
}

#[tokio::test]
async fn s7_s8_a_token_has_an_end_and_is_good_only_until_then() {
    let server = TestServer::start().await;
    assert_refused(&server, &token_with("ann", &json!({ "exp": in_seconds(-60) })), "token_expired", "expired").await;
    let until = in_seconds(600);
    for body in [
        r#"{"sub":"ann"}"#.to_owned(),
        r#"{"sub":"ann","exp":"9999999999"}"#.to_owned(),
        r#"{"sub":"ann","exp":null}"#.to_owned(),
        r#"{"sub":"ann","exp":1e400}"#.to_owned(),
        r#"{"sub":"ann","exp":-1}"#.to_owned(),
        r#"{"sub":"ann","exp":[9999999999]}"#.to_owned(),
        format!(r#"{{"sub":"ann","exp":{until},"nbf":"x"}}"#),
        format!(r#"{{"sub":"ann","exp":{until},"nbf":{until}}}"#),
        format!(r#"{{"sub":"ann","exp":1,"exp":{until}}}"#),
    ] {
        assert_refused(&server, &signed(HS256, &body), "unauthenticated", &body).await;
    }
}

#[tokio::test]
async fn s9_a_token_for_another_service_is_refused() {
    let server = TestServer::with(&["--jwt-issuer", "app", "--jwt-audience", "chat"]).await;
    let good = token_with("ann", &json!({ "iss": "app", "aud": ["mail", "chat"] }));
    server.anonymous().with_token(&good).get("/api/session").await.ok(200);
    for claims in [
        json!({}),
        json!({ "iss": "app" }),
        json!({ "aud": "chat" }),
        json!({ "iss": "other", "aud": "chat" }),
        json!({ "iss": "app", "aud": "mail" }),
        json!({ "iss": "app", "aud": ["mail", "chat2"] }),
        json!({ "iss": "app", "aud": [] }),
    ] {
        assert_refused(&server, &token_with("ann", &claims), "unauthenticated", &claims.to_string()).await;
    }
}

#[tokio::test]
async fn s11_s12_a_token_s_header_leads_to_no_file_no_statement_and_no_address() {
    let server = TestServer::start().await;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let url = format!("http://{}/keys", listener.local_addr().unwrap());
    let with = |name: &str, value: Value| {
        let mut header = json!({ "alg": "HS256", "typ": "JWT" });
        header[name] = value;
        signed(&header.to_string(), &claims("ann").to_string())
    };
    let jwk = json!({ "kty": "oct", "k": URL_SAFE_NO_PAD.encode("eve's own key of at least 32 bytes....") });
    for (name, value) in [
        ("kid", json!("../../../../dev/null")),
        ("kid", json!("' or 1=1--")),
        ("kid", json!("\0")),
        ("jku", json!(url)),
        ("x5u", json!(url)),
        ("jwk", jwk.clone()),
    ] {
        // Signed by eve's key, whatever the header says it is signed by.
        let forged = with(name, value.clone());
        let forged = format!("{}.{}", forged.rsplit_once('.').unwrap().0, "A".repeat(43));
        assert_refused(&server, &forged, "unauthenticated", &value.to_string()).await;
        // Signed by ours it is at most refused: the header changes nothing of who it is.
        let ours = server.anonymous().with_token(&with(name, value)).get("/api/session").await;
        assert!(ours.status == 401 || ours.json["user"]["id"] == "ann", "{ours}");
    }
    assert_refused(&server, &with("kid", json!("k".repeat(16 << 10))), "unauthenticated", "16 kB").await;
    let elsewhere = token_with("ann", &json!({ "iss": url }));
    server.anonymous().with_token(&elsewhere).get("/api/session").await;
    let called = listener.accept();
    assert!(called.is_err(), "an address in a token was called");
}

#[tokio::test]
async fn s14_a_subject_is_an_id_or_nobody() {
    let server = TestServer::start().await;
    for sub in [
        json!(""),
        json!("x".repeat(10_000 / 2)),
        json!("a\0b"),
        json!("a\nb"),
        json!("\u{202e}nna"),
        json!("*"),
        json!("a b"),
        json!("ann@example.com\r\nSET x 1"),
        json!(7),
        json!(["ann"]),
        json!({ "id": "ann" }),
        json!("tidings:system"),
    ] {
        assert_refused(&server, &token_with("ann", &json!({ "sub": sub })), "unauthenticated", &sub.to_string()).await;
    }
    let colons: Api = server.anonymous().with_token(&token_with("ann", &json!({ "sub": "app:ann" })));
    assert_eq!(colons.get("/api/session").await.ok(200)["user"]["id"], "app:ann", "the grammar of ids has it");
}
