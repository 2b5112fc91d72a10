//! Keys that the application publishes: how they are read, changed, and kept when they cannot be read.

use serde_json::json;

use super::forge::Signer;
use super::publisher::Publisher;
use super::{claims, file, lets_in};
use crate::support::{Handshake, TestServer, eventually};

/// A token of `ann`, signed as the key of this name.
fn signed(signer: &Signer, algorithm: &str, id: &str) -> String {
    signer.sign(algorithm, &json!({ "kid": id }), &claims("ann"))
}

async fn reading(publisher: &Publisher) -> TestServer {
    TestServer::bare(&["--jwks-url", &publisher.url()]).await
}

#[tokio::test]
async fn a_new_key_lets_in_with_its_first_token_and_an_old_one_goes() {
    let (old, new, next) = (Signer::p256(), Signer::ed25519(), Signer::p256());
    let publisher = Publisher::start(&[old.jwk("old")]).await;
    let server = reading(&publisher).await;
    assert!(lets_in(&server, &signed(&old, "ES256", "old")).await, "the first token waits for the first fetch");
    publisher.publish(&[new.jwk("new")]);
    // By a socket, which waits as well.
    let handshake = Handshake::to(server.address()).token(&signed(&new, "EdDSA", "new"));
    handshake.welcomed("ann").await;
    assert!(!lets_in(&server, &signed(&old, "ES256", "old")).await, "a key that is published no more");
    assert_eq!(publisher.requests(), 2);
    // The next one has to wait, and nobody waits for it.
    publisher.publish(&[new.jwk("new"), next.jwk("next")]);
    for _ in 0..50 {
        assert!(!lets_in(&server, &signed(&next, "ES256", "next")).await);
        assert!(lets_in(&server, &signed(&new, "EdDSA", "new")).await);
    }
    assert_eq!(publisher.requests(), 2, "fetched again within 30 s");
}

#[tokio::test]
async fn a_flood_of_unknown_keys_causes_one_fetch() {
    let signer = Signer::p256();
    let publisher = Publisher::start(&[signer.jwk("known")]).await;
    let server = reading(&publisher).await;
    assert!(lets_in(&server, &signed(&signer, "ES256", "known")).await);
    let tokens: Vec<String> = (0..200).map(|number| signed(&signer, "ES256", &format!("unknown{number}"))).collect();
    let refused = tokens.iter().map(|token| lets_in(&server, token));
    assert_eq!(futures_util::future::join_all(refused).await, [false; 200]);
    assert_eq!(publisher.requests(), 2, "one at the start, one for 200 unknown keys");
    let mut other = signed(&Signer::secret("x".repeat(32)), "HS256", "unknown");
    assert!(!lets_in(&server, &other).await);
    other = signed(&signer, "ES256", "known").replace('.', "..");
    assert!(!lets_in(&server, &other).await);
}

#[tokio::test]
async fn a_service_starts_without_the_keys_and_takes_tokens_once_they_are_there() {
    let signer = Signer::rsa();
    let publisher = Publisher::start(&[]).await;
    publisher.answer_with("503 Service Unavailable", "", "");
    let server = reading(&publisher).await;
    let token = signed(&signer, "RS256", "k");
    assert!(!lets_in(&server, &token).await);
    publisher.publish(&[signer.jwk("k")]);
    eventually("the keys are read", async || lets_in(&server, &token).await.then_some(())).await;
}

#[tokio::test]
async fn what_cannot_be_read_leaves_the_old_keys() {
    let signer = Signer::p384();
    let known = signed(&signer, "ES384", "known");
    let elsewhere = Publisher::start(&[signer.jwk("redirected")]).await;
    let location = format!("location: {}\r\n", elsewhere.url());
    let large = json!({ "keys": [signer.jwk("large")], "x": "x".repeat(200 << 10) }).to_string();
    let secret = json!({ "keys": [{ "kty": "oct", "k": "c2VjcmV0", "kid": "secret" }] }).to_string();
    for (id, status, header, body) in [
        ("redirected", "302 Found", location.as_str(), ""),
        ("redirected", "307 Temporary Redirect", &location, ""),
        ("large", "200 OK", "", &large),
        ("broken", "200 OK", "", "{"),
        ("empty", "200 OK", "", r#"{"keys":[]}"#),
        ("down", "500 Internal Server Error", "", ""),
        ("secret", "200 OK", "", &secret),
    ] {
        let publisher = Publisher::start(&[signer.jwk("known")]).await;
        let server = reading(&publisher).await;
        assert!(lets_in(&server, &known).await, "{id}");
        publisher.answer_with(status, header, body);
        assert!(!lets_in(&server, &signed(&signer, "ES384", id)).await, "{id}");
        assert_eq!(publisher.requests(), 2, "{id}");
        assert!(lets_in(&server, &known).await, "{id}: the old keys are gone");
        let forged = Signer::secret("secret").sign("HS256", &json!({ "kid": "secret" }), &claims("eve"));
        assert!(!lets_in(&server, &forged).await, "a published secret signs");
    }
    assert_eq!(elsewhere.connections(), 0, "a redirect was followed");
}

#[tokio::test]
async fn keys_by_file_are_read_again_for_a_new_name() {
    let folder = tempfile::tempdir().unwrap();
    let (old, new) = (Signer::p256(), Signer::p256());
    let set = |keys: &[_]| json!({ "keys": keys }).to_string();
    let path = file(&folder, "keys.json", &set(&[old.jwk("old")]));
    let server = TestServer::bare(&["--jwks-file", &path]).await;
    assert!(lets_in(&server, &signed(&old, "ES256", "old")).await);
    file(&folder, "keys.json", &set(&[old.jwk("old"), new.jwk("new")]));
    assert!(lets_in(&server, &signed(&new, "ES256", "new")).await);
}

#[tokio::test]
async fn without_a_name_there_must_be_one_key_that_fits() {
    let (one, two, rsa) = (Signer::p256(), Signer::p256(), Signer::rsa());
    let publisher = Publisher::start(&[one.jwk("one"), two.jwk("two"), rsa.jwk("rsa")]).await;
    let server = reading(&publisher).await;
    assert!(lets_in(&server, &rsa.sign("RS256", &json!({}), &claims("ann"))).await);
    for signer in [&one, &two] {
        assert!(!lets_in(&server, &signer.sign("ES256", &json!({}), &claims("ann"))).await);
    }
    assert!(!lets_in(&server, &signed(&one, "ES256", "two")).await, "the name of another key");
}
