//! Keys that cannot work are refused at the start, by the name of their setting, and never shown.

use serde_json::{Value, json};

use super::file;
use super::forge::Signer;
use crate::support::{Process, SECRET, TestServer, database_url, token_with};

/// What a program says that does not start because of a setting.
fn refused(environment: &[(&str, &str)]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let database = database_url(&folder);
    let all = [&[("DATABASE_URL", database.as_str()), ("PORT", "0")], environment].concat();
    let (status, errors) = Process::start(&[], &all).ended();
    assert_eq!(status.code(), Some(2), "{environment:?}: {errors}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "{environment:?} left something behind");
    assert!(!errors.contains(SECRET), "the secret is shown: {errors}");
    errors
}

#[test]
fn what_cannot_work_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let pem = Signer::p256().pem();
    let good = file(&folder, "good.pem", &pem);
    let rsa = file(&folder, "rsa.pem", &Signer::rsa().pem());
    let private = file(&folder, "private.pem", &pem.replace("PUBLIC", "PRIVATE"));
    let cut = file(&folder, "cut.pem", &pem[..pem.len() / 2]);
    let bent = file(&folder, "bent.pem", &pem.replacen("MF", "MG", 1));
    let empty = file(&folder, "empty", "");
    let short = file(&folder, "short", "short\n");
    let secrets = file(&folder, "secrets.json", r#"{"keys":[{"kty":"oct","k":"AAAA"}]}"#);
    let long = file(&folder, "long.json", &"x".repeat(200 << 10));
    let small = "-----BEGIN PUBLIC KEY-----\nMFwwDQYJKoZIhvcNAQEBBQADSwAwSAJBAK8\n-----END PUBLIC KEY-----\n";
    let small = file(&folder, "small.pem", small);
    let pem = pem.as_str();
    for (named, environment) in [
        ("JWT_SECRET:", &[("JWT_SECRET", "short")][..]),
        ("JWT_SECRET:", &[("JWT_SECRET", "")]),
        ("JWT_SECRET:", &[("JWT_SECRET_FILE", &short)]),
        ("JWT_SECRET:", &[("JWT_SECRET", pem)]),
        ("JWT_SECRET:", &[("JWT_SECRET_FILE", &good)]),
        ("JWT_SECRET_PREVIOUS:", &[("JWT_SECRET", SECRET), ("JWT_SECRET_PREVIOUS", "short")]),
        ("JWT_SECRET_PREVIOUS:", &[("JWT_SECRET_PREVIOUS", SECRET)]),
        ("JWT_SECRET_PREVIOUS_FILE:", &[("JWT_SECRET", SECRET), ("JWT_SECRET_PREVIOUS_FILE", "/no/such/file")]),
        ("JWT_PUBLIC_KEY_FILE:", &[("JWT_PUBLIC_KEY_FILE", "/no/such/file")]),
        ("JWT_PUBLIC_KEY_FILE:", &[("JWT_PUBLIC_KEY_FILE", &private)]),
        ("JWT_PUBLIC_KEY_FILE:", &[("JWT_PUBLIC_KEY_FILE", &cut)]),
        ("JWT_PUBLIC_KEY_FILE:", &[("JWT_PUBLIC_KEY_FILE", &bent)]),
        ("JWT_PUBLIC_KEY_FILE:", &[("JWT_PUBLIC_KEY_FILE", &empty)]),
        ("JWT_PUBLIC_KEY_FILE:", &[("JWT_PUBLIC_KEY_FILE", &small)]),
        ("JWKS_URL:", &[("JWKS_URL", "http://keys.example.com/jwks")]),
        ("JWKS_URL:", &[("JWKS_URL", "http://127.0.0.1.example.com/jwks")]),
        ("JWKS_URL:", &[("JWKS_URL", "https://me:secret@keys.example.com/jwks")]),
        ("JWKS_URL:", &[("JWKS_URL", "keys.example.com")]),
        ("JWKS_URL:", &[("JWKS_URL", "file:///etc/passwd")]),
        ("JWKS_URL:", &[("JWKS_URL", "")]),
        ("JWKS_FILE:", &[("JWKS_FILE", "/no/such/file")]),
        ("JWKS_FILE:", &[("JWKS_FILE", &good)]),
        ("JWKS_FILE:", &[("JWKS_FILE", &secrets)]),
        ("JWKS_FILE:", &[("JWKS_FILE", &long)]),
        ("--jwks-url", &[("JWKS_FILE", &good), ("JWKS_URL", "https://keys.example.com")]),
        ("JWT_ALGORITHMS:", &[("JWT_ALGORITHMS", "HS256")]),
        ("JWT_ALGORITHMS:", &[("JWT_ALGORITHMS", "none"), ("JWT_SECRET", SECRET)]),
        ("JWT_ALGORITHMS:", &[("JWT_ALGORITHMS", "RS256"), ("JWT_SECRET", SECRET)]),
        ("JWT_ALGORITHMS:", &[("JWT_ALGORITHMS", "HS256,RS256"), ("JWT_SECRET", SECRET)]),
        ("JWT_ALGORITHMS:", &[("JWT_ALGORITHMS", "ES384"), ("JWT_PUBLIC_KEY_FILE", &good)]),
        ("JWT_ALGORITHMS:", &[("JWT_ALGORITHMS", "HS256"), ("JWT_PUBLIC_KEY_FILE", &rsa), ("JWT_SECRET", SECRET)]),
        (
            "JWT_ALGORITHMS:",
            &[("JWT_ALGORITHMS", "HS256"), ("JWT_SECRET", SECRET), ("JWKS_URL", "https://keys.example.com")],
        ),
        ("AUTH_SECRET:", &[("AUTH_SECRET", "")]),
        ("NEXTAUTH_SECRET:", &[("NEXTAUTH_SECRET", "")]),
        ("NEXTAUTH_SECRET_FILE:", &[("NEXTAUTH_SECRET_FILE", "/no/such/file")]),
        ("AUTH_SECRET_PREVIOUS:", &[("AUTH_SECRET_PREVIOUS", SECRET)]),
        ("DEMO:", &[("DEMO", "on"), ("AUTH_SECRET", SECRET)]),
        ("DEMO:", &[("DEMO", "on"), ("JWT_PUBLIC_KEY_FILE", &good)]),
        ("DEMO:", &[("DEMO", "on"), ("JWKS_URL", "https://keys.example.com")]),
        ("CLAIM_ROLE:", &[("CLAIM_ROLE", "")]),
        ("CLAIM_PARTNER_ID:", &[("CLAIM_PARTNER_ID", " ")]),
        ("TRUST_CLAIMS:", &[("TRUST_CLAIMS", "name,email")]),
        ("TRUST_CLAIMS:", &[("TRUST_CLAIMS", "name,none")]),
        ("TRUST_CLAIMS:", &[("TRUST_CLAIMS", "")]),
        ("SESSION_COOKIE:", &[("SESSION_COOKIE", "a=b")]),
        ("ALLOWED_ORIGINS:", &[("ALLOWED_ORIGINS", "*"), ("AUTH_SECRET", SECRET)]),
    ] {
        let errors = refused(environment);
        assert!(errors.contains(named), "{environment:?}: {errors}");
    }
}

#[tokio::test]
async fn a_short_secret_of_sessions_is_warned_about_and_not_shown() {
    let folder = tempfile::tempdir().unwrap();
    let database = database_url(&folder);
    let environment = [("DATABASE_URL", database.as_str()), ("PORT", "0"), ("NEXTAUTH_SECRET", "hunter2-hunter2")];
    let mut process = Process::start(&["--host", "127.0.0.1"], &environment);
    process.address();
    let log = process.log();
    assert!(log.contains("NEXTAUTH_SECRET has under 32 bytes") && !log.contains("hunter2"), "{log}");
}

#[tokio::test]
async fn neither_keys_nor_tokens_are_ever_logged() {
    let folder = tempfile::tempdir().unwrap();
    let database = database_url(&folder);
    let environment = [
        ("DATABASE_URL", database.as_str()),
        ("PORT", "0"),
        ("JWT_SECRET", SECRET),
        ("AUTH_SECRET", "a secret of sessions with more than 32 bytes"),
        ("RUST_LOG", "trace"),
    ];
    let mut process = Process::start(&["--host", "127.0.0.1"], &environment);
    let address = process.address();
    let good = token_with("ann", &json!({ "jti": "t1" }));
    let session = super::forge::seal_v4("a secret of sessions with more than 32 bytes", &super::claims("ann"));
    for token in [good.as_str(), &format!("{good}x"), &session, "nonsense-that-is-secret"] {
        let api = crate::support::Api::new(address, Some(token.to_owned()));
        api.get(super::SESSION).await;
        api.get_with(super::SESSION, &[("cookie", &format!("authjs.session-token={token}"))]).await;
    }
    let log = process.log();
    assert!(log.contains("a token was refused"), "{log}");
    let signature = good.rsplit('.').next().unwrap();
    for secret in [SECRET, "a secret of sessions", signature, &session[60..90], "nonsense-that-is-secret"] {
        assert!(!log.contains(secret), "{secret:?} is in the log");
    }
}

#[tokio::test]
async fn only_trusted_claims_are_believed_under_the_names_that_are_set() {
    let claims = json!({ "role": "ADMIN", "kind": "PARTNER", "name": "Ann", "picture": "https://p.example/1",
        "partnerId": "p1", "partnerStatus": "APPROVED" });
    let token = token_with("ann", &claims);
    let partner = json!({ "id": "p1", "status": "APPROVED" });
    for (flags, role, name, partner) in [
        (&[][..], "ADMIN", "Ann", &partner),
        (&["--trust-claims", "name,picture"], "CUSTOMER", "Ann", &Value::Null),
        (&["--trust-claims", "none"], "CUSTOMER", "ann", &Value::Null),
        (&["--claim-role", "kind"], "PARTNER", "Ann", &partner),
        (&["--claim-role", "kind", "--trust-claims", "role"], "PARTNER", "ann", &Value::Null),
    ] {
        let server = TestServer::with(flags).await;
        let session = server.anonymous().with_token(&token).get(super::SESSION).await.ok(200);
        let found = (&session["role"], &session["user"]["name"], &session["partner"]);
        assert_eq!(found, (&role.into(), &name.into(), partner), "{flags:?}");
    }
}
