//! What is tried with tokens, and that each try is refused, by HTTP and by a socket, all in the same words: S2 to S14
//! of the list of attempts.

use serde_json::{Value, json};
use tempfile::TempDir;

use super::forge::{Signer, base64};
use super::publisher::Publisher;
use super::{SESSION, claims, file, lets_in};
use crate::support::{Handshake, SECRET, TestServer, in_seconds};

/// A server that takes tokens of every kind, and those who sign them.
struct Target {
    server: TestServer,
    publisher: Publisher,
    rsa: Signer,
    p256: Signer,
    ed25519: Signer,
    /// Whose key is published, as `published`.
    p384: Signer,
    _folder: TempDir,
}

const ISSUER: &str = "https://app.example.com";

impl Target {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (rsa, p256, ed25519, p384) = (Signer::rsa(), Signer::p256(), Signer::ed25519(), Signer::p384());
        let pem = file(&folder, "keys.pem", &(rsa.pem() + &p256.pem() + &ed25519.pem()));
        let publisher = Publisher::start(&[p384.jwk("published")]).await;
        let url = publisher.url();
        let keys = ["--jwt-public-key-file", &pem, "--jwks-url", &url, "--auth-secret", SECRET];
        let flags = [&keys[..], &["--jwt-issuer", ISSUER, "--jwt-audience", "chat"]].concat();
        let server = TestServer::with(&flags).await;
        Self { server, publisher, rsa, p256, ed25519, p384, _folder: folder }
    }

    fn secret() -> Signer {
        Signer::secret(SECRET)
    }
}

/// The claims of a good token, some of them otherwise.
fn with(other: &Value) -> Value {
    let mut claims = claims("ann");
    claims["iss"] = json!(ISSUER);
    claims["aud"] = json!("chat");
    for (name, value) in other.as_object().unwrap() {
        claims[name] = value.clone();
    }
    claims
}

/// The claims without one.
fn without(name: &str) -> Value {
    let mut claims = with(&json!({}));
    claims.as_object_mut().unwrap().remove(name);
    claims
}

/// The claims of a good token as text, with more behind.
fn text(more: &str) -> String {
    let claims = with(&json!({})).to_string();
    format!("{},{more}}}", claims.trim_end_matches('}'))
}

fn good() -> Value {
    with(&json!({}))
}

fn hs256(claims: &Value) -> String {
    Target::secret().sign("HS256", &json!({}), claims)
}

/// S2, S3: what is no token, and tokens that nobody signed.
fn unsigned() -> Vec<(String, String)> {
    let token = hs256(&good());
    let (message, _) = token.rsplit_once('.').unwrap();
    let (head, body) = message.split_once('.').unwrap();
    let mut all: Vec<String> = [
        "x".to_owned(),
        "x.y".to_owned(),
        "...".to_owned(),
        "....".to_owned(),
        message.to_owned(),
        "x".repeat(10_000),
        format!("{token}{}", "x".repeat(8192)),
        format!("{head}.!!.x"),
        format!("{head}.{body}."),
        format!("{head}.{body}.AA"),
        format!("{token}.x"),
        format!("{token}.x.y"),
        format!("{}.{body}.AA", base64("{}")),
        format!("{}.{body}.AA", base64("[]")),
    ]
    .into();
    for none in ["none", "None", "NONE", "nOnE", "", "HS256 ", "hs256", "ES256K", "HS1"] {
        let head = base64(json!({ "alg": none }).to_string());
        all.extend([format!("{head}.{body}."), format!("{head}.{body}.AA")]);
    }
    all.into_iter().map(|token| (format!("unsigned {}", &token[..token.len().min(60)]), token)).collect()
}

/// S4 to S6: one algorithm in the place of another, and signatures that are another's.
fn confused(target: &Target) -> Vec<(String, String)> {
    let mut all = Vec::new();
    for public in [&target.rsa, &target.p256, &target.ed25519, &target.p384] {
        let pem = public.pem();
        let jwk = public.jwk("published").to_string();
        let secrets = [pem.clone().into_bytes(), pem.trim().into(), public.der(), jwk.into_bytes()];
        for (secret, number) in secrets.into_iter().zip(1..) {
            for algorithm in ["HS256", "HS384", "HS512"] {
                let token = Signer::secret(&secret).sign(algorithm, &json!({ "kid": "published" }), &good());
                all.push((format!("a public key as a secret, {algorithm} {number}"), token));
            }
        }
    }
    for algorithm in ["HS384", "HS512"] {
        all.push((algorithm.to_owned(), Target::secret().sign(algorithm, &json!({}), &good())));
    }
    for algorithm in ["RS384", "RS512", "PS256", "PS384", "PS512"] {
        all.push((algorithm.to_owned(), target.rsa.sign(algorithm, &json!({}), &good())));
    }
    all.push(("P-256 said to be RSA".to_owned(), target.p256.sign("RS256", &json!({}), &good())));
    all.push(("P-384 said to be P-256".to_owned(), target.p384.sign("ES256", &json!({ "kid": "published" }), &good())));
    let token = hs256(&good());
    let (message, signature) = token.rsplit_once('.').unwrap();
    let other = hs256(&with(&json!({ "sub": "ben" })));
    let (_, others) = other.rsplit_once('.').unwrap();
    // 32 bytes are 42 characters and four bits of a 43rd, whose other two are zero.
    let last = signature.chars().last().unwrap();
    let next = char::from(u8::try_from(last).unwrap() + 1);
    let first = if signature.starts_with('A') { 'B' } else { 'A' };
    for (name, signature) in [
        ("another token's signature", others.to_owned()),
        ("one bit of the signature", format!("{first}{}", &signature[1..])),
        ("bits behind the signature", format!("{}{next}", &signature[..signature.len() - 1])),
        ("a padded signature", format!("{signature}=")),
        ("a longer signature", format!("{signature}AA")),
        ("half a signature", signature[..20].to_owned()),
    ] {
        all.push((name.to_owned(), format!("{message}.{signature}")));
    }
    all
}

/// S7 to S10, S14: signed by the right key, and saying what may not be said.
fn misleading() -> Vec<(String, String)> {
    let mut all = Vec::new();
    for claims in [
        with(&json!({ "nbf": in_seconds(600) })),
        without("exp"),
        with(&json!({ "iss": "https://evil.example" })),
        with(&json!({ "iss": "https://app.example.com/" })),
        with(&json!({ "iss": [ISSUER] })),
        without("iss"),
        with(&json!({ "aud": "other" })),
        with(&json!({ "aud": ["other"] })),
        with(&json!({ "aud": [["chat"]] })),
        with(&json!({ "aud": [] })),
        without("aud"),
        without("sub"),
        with(&json!({ "jti": "a\nb" })),
        with(&json!({ "sid": "x".repeat(256) })),
    ] {
        all.push((claims.to_string(), hs256(&claims)));
    }
    for sub in ["", "a b", "a\0b", "a\nb", "\u{202e}ann", "*", "a/b", "ä", "tidings:system", &"x".repeat(65)] {
        all.push((format!("sub {sub:?}"), hs256(&with(&json!({ "sub": sub })))));
    }
    let texts = [
        r#""nbf":"x""#,
        r#""nbf":null"#,
        r#""iat":"x""#,
        r#""sub":"ben""#,
        r#""exp":9999999999"#,
        r#""x":1,"x":2"#,
        r#""jti":7"#,
        r#""x":1e400"#,
    ];
    let texts = texts.map(text).into_iter();
    let ends = ["\"9999999999\"", "null", "1e400", "-1", "true", "[9999999999]", "{}", "NaN"];
    let ends = ends.map(|exp| format!(r#"{{"sub":"ann","iss":"{ISSUER}","aud":"chat","exp":{exp}}}"#)).into_iter();
    for claims in texts.chain(ends).chain(["[]".to_owned(), "1".to_owned(), format!("{}x", good())]) {
        let head = r#"{"alg":"HS256"}"#;
        all.push((claims.clone(), Target::secret().sign_texts("HS256", head, &claims)));
    }
    let header = |header: Value| (header.to_string(), Target::secret().sign("HS256", &header, &good()));
    all.extend(["refresh+jwt", "ticket", "rt+jwt", ""].map(|kind| header(json!({ "typ": kind }))));
    all.push(header(json!({ "typ": 7 })));
    all.push(header(json!({ "crit": ["exp"], "exp": 1 })));
    all.push(header(json!({ "crit": ["b64"], "b64": false })));
    all.push(header(json!({ "kid": 7 })));
    let twice = r#"{"alg":"none","alg":"HS256"}"#;
    all.push(("alg twice".to_owned(), Target::secret().sign_texts("HS256", twice, &good().to_string())));
    all
}

/// S11 to S13: keys that the token itself would like to bring.
fn strangers(target: &Target, evil: &Publisher, stranger: &Signer) -> Vec<(String, String)> {
    let mut all = Vec::new();
    let url = evil.url();
    for header in [
        json!({ "jku": url }),
        json!({ "x5u": url }),
        json!({ "jwk": stranger.jwk("evil") }),
        json!({ "jku": url, "kid": "evil" }),
        json!({ "jku": url, "x5u": url, "jwk": stranger.jwk("published"), "kid": "published" }),
        json!({ "x5c": [base64(stranger.der())] }),
    ] {
        let token = stranger.sign("ES256", &header, &good());
        all.push((header.to_string(), token));
        let claims = with(&json!({ "iss": url }));
        all.push((format!("{header} by {url}"), stranger.sign("ES256", &header, &claims)));
    }
    for kid in ["../../dev/null", "/etc/passwd", "' OR 1=1--", "a\0b", "PUBLISHED", "published ", "", &url] {
        let header = json!({ "kid": kid });
        all.push((format!("kid {kid:?}"), target.p384.sign("ES384", &header, &good())));
    }
    let long = json!({ "kid": "x".repeat(64 << 10) });
    all.push(("a kid of 64 kB".to_owned(), target.p384.sign("ES384", &long, &good())));
    let medium = json!({ "kid": "x".repeat(300) });
    all.push(("a kid of 300 bytes".to_owned(), target.p384.sign("ES384", &medium, &good())));
    let elsewhere = with(&json!({ "iss": "https://other.example" }));
    let header = json!({ "kid": "published" });
    all.push(("the same kid of another issuer".to_owned(), target.p384.sign("ES384", &header, &elsewhere)));
    all.push(("the kid of another's key".to_owned(), stranger.sign("ES256", &header, &good())));
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn no_forged_or_misleading_token_lets_anyone_in() {
    let target = Target::start().await;
    let server = &target.server;
    // What is wrong below is wrong by just one thing: all of these are right.
    let published = json!({ "kid": "published" });
    for right in [
        hs256(&good()),
        target.rsa.sign("RS256", &json!({ "typ": "JWT" }), &good()),
        target.p256.sign("ES256", &json!({ "typ": "at+jwt", "kid": "any" }), &good()),
        target.ed25519.sign("EdDSA", &json!({ "typ": "application/at+JWT" }), &good()),
        target.ed25519.sign("Ed25519", &json!({}), &good()),
        target.p384.sign("ES384", &published, &good()),
        target.p384.sign("ES384", &json!({}), &good()),
        hs256(&with(&json!({ "aud": ["other", "chat"], "exp": 253_402_300_799_u64, "nbf": in_seconds(-5) }))),
        hs256(&with(&json!({ "sub": "cm3x.a:b-c_d", "jti": "x".repeat(255), "sid": "s~1" }))),
        Target::secret().sign_texts("HS256", r#"{"alg":"HS256"}"#, &text(r#""x":1"#)),
    ] {
        assert!(lets_in(server, &right).await, "a good token is refused: {right}");
    }
    let evil = Publisher::start(&[Signer::p256().jwk("evil")]).await;
    let stranger = Signer::p256();
    evil.publish(&[stranger.jwk("evil")]);
    let all = [unsigned(), confused(&target), misleading(), strangers(&target, &evil, &stranger)].concat();
    assert!(all.len() > 120, "{} attempts", all.len());
    let mut bodies = std::collections::HashSet::new();
    for (name, token) in &all {
        let reply = server.anonymous().with_token(token).get(SESSION).await;
        if token.len() > 60_000 {
            // Longer than what a head or a frame may hold, so it may not even be looked at.
            assert!([401, 431].contains(&reply.status), "{name}: {reply}");
            continue;
        }
        assert_eq!(reply.status, 401, "{name}: {reply}");
        assert_eq!(reply.header("www-authenticate"), "Bearer", "{name}");
        bodies.insert(reply.problem(401, "unauthenticated").to_string());
        let mut socket = Handshake::to(server.address()).open("nobody").await;
        socket.send(json!({ "type": "auth", "token": token })).await;
        assert_eq!(socket.frame("error").await["code"], "unauthenticated", "{name}");
        assert_eq!(socket.closed().await, (4001, "unauthenticated".to_owned()), "{name}");
    }
    assert_eq!(bodies.len(), 1, "the answers tell what was wrong: {bodies:#?}");
    assert_eq!(evil.connections(), 0, "a token has made the service call someone");
    assert!(target.publisher.requests() <= 2, "{} fetches in under 30 s", target.publisher.requests());
    for expired in [in_seconds(-60), 0, 1] {
        let token = hs256(&with(&json!({ "exp": expired })));
        server.anonymous().with_token(&token).get(SESSION).await.problem(401, "token_expired");
        // Who cannot sign is not told that either.
        let forged = Signer::secret("x".repeat(32)).sign("HS256", &json!({}), &with(&json!({ "exp": expired })));
        assert!(!lets_in(server, &forged).await);
    }
}
