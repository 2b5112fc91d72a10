//! Secrets and public keys that are set: every algorithm, only those that are set, and how they are changed.

use serde_json::json;

use super::forge::Signer;
use super::{SESSION, claims, file, lets_in};
use crate::support::{Process, SECRET, TestServer, token};

const OTHER: &str = "another signing key of the tests, also longer than 32 bytes";

#[tokio::test]
async fn every_algorithm_works_where_it_is_set_and_nowhere_else() {
    let folder = tempfile::tempdir().unwrap();
    let (secret, rsa, p256) = (Signer::secret(SECRET), Signer::rsa(), Signer::p256());
    let (p384, ed25519) = (Signer::p384(), Signer::ed25519());
    let pem = file(&folder, "keys.pem", &[&rsa, &p256, &p384, &ed25519].map(Signer::pem).concat());
    let signers = [
        (&secret, &["HS256", "HS384", "HS512"][..]),
        (&rsa, &["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"]),
        (&p256, &["ES256"]),
        (&p384, &["ES384"]),
        (&ed25519, &["EdDSA"]),
    ];
    let all: Vec<&str> = signers.iter().flat_map(|(_, algorithms)| algorithms.iter().copied()).collect();
    assert_eq!(all.len(), 12);
    let defaults = vec!["HS256", "RS256", "ES256", "ES384", "EdDSA"];
    let chosen = vec!["HS384", "PS256", "PS512", "ES256", "ES384", "EdDSA"];
    for (set, expected) in [(None, &defaults), (Some(chosen.join(",")), &chosen), (Some(all.join(",")), &all)] {
        let mut flags = vec!["--jwt-secret", SECRET, "--jwt-public-key-file", &pem];
        flags.extend(set.iter().flat_map(|set| ["--jwt-algorithms", set]));
        let server = TestServer::bare(&flags).await;
        for (signer, algorithms) in &signers {
            for algorithm in *algorithms {
                let token = signer.sign(algorithm, &json!({}), &claims("ann"));
                assert_eq!(lets_in(&server, &token).await, expected.contains(algorithm), "{algorithm} with {set:?}");
            }
        }
    }
}

#[tokio::test]
async fn tokens_of_the_secret_of_before_count_while_it_is_changed() {
    let new = Signer::secret(OTHER).sign("HS256", &json!({}), &claims("ann"));
    let server = TestServer::bare(&["--jwt-secret", OTHER, "--jwt-secret-previous", SECRET]).await;
    assert!(lets_in(&server, &token("ann")).await && lets_in(&server, &new).await);
    let server = TestServer::bare(&["--jwt-secret", OTHER]).await;
    assert!(!lets_in(&server, &token("ann")).await && lets_in(&server, &new).await);
}

#[tokio::test]
async fn an_application_speaks_on_the_admin_side_alone_and_never_by_cookie() {
    let server = TestServer::bare(&["--jwt-secret", SECRET, "--session-cookie", "sid"]).await;
    server.people(["ann"]).await;
    let mut process =
        Process::start(&["token", "--application", "--days", "1"], &[("JWT_SECRET", SECRET), ("RUST_LOG", "off")]);
    let token = process.line("ey");
    let application = server.anonymous().with_token(&token);
    assert_eq!(application.get("/api/admin/users/ann").await.status, 200);
    application.get(SESSION).await.problem(403, "forbidden");
    let cookie = format!("sid={token}");
    server.anonymous().get_with("/api/admin/users/ann", &[("cookie", &cookie)]).await.problem(401, "unauthenticated");
}

#[tokio::test]
async fn a_printed_token_says_what_the_settings_ask_for() {
    let flags = ["--jwt-issuer", "app", "--jwt-audience", "chat", "--jwt-algorithms", "HS512"];
    let claim = ["--claim-role", "https://app.example.com/role"];
    let all = [&["--jwt-secret", SECRET][..], &flags, &claim].concat();
    let server = TestServer::bare(&all).await;
    let arguments = [&all[..], &["token", "--user", "ann", "--name", "Ann", "--role", "PARTNER"]].concat();
    let token = Process::start(&arguments, &[]).line("ey");
    let session = server.anonymous().with_token(&token).get(SESSION).await.ok(200);
    assert_eq!((&session["role"], &session["user"]["name"]), (&json!("PARTNER"), &json!("Ann")));
}
