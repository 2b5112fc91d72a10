//! Sessions of a Next.js application: what NextAuth v4 and Auth.js v5 have put into their cookies, as cookies and as
//! tokens.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use reqwest::Method;
use serde_json::{Value, json};

use super::forge::{Signer, base64, derive, seal_cbc, seal_v4, seal_v5};
use super::{SESSION, claims, lets_in};
use crate::support::{Handshake, SECRET, TestServer, in_seconds};

const V4: &str = "next-auth.session-token";
const V5: &str = "authjs.session-token";
const SECURE_V5: &str = "__Secure-authjs.session-token";
const APP: &str = "https://app.example.com";
const OLD: &str = "the secret of before, which is longer than 32 bytes as well";

/// Sessions that the real libraries have made, and under which secret.
fn vectors() -> (String, Vec<(String, String)>) {
    let all: Value = serde_json::from_str(include_str!("vectors/next-auth.json")).unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let sessions = all["vectors"].as_array().unwrap().iter().filter(|vector| vector["kind"] != "hs256");
    let sessions = sessions.map(|vector| (text(&vector["cookie"]), text(&vector["token"]))).collect();
    (text(&all["secret"]), sessions)
}

/// What a cookie of this request leads to.
async fn by_cookie(server: &TestServer, cookie: &str) -> (u16, Value) {
    let reply = server.anonymous().get_with(SESSION, &[("cookie", cookie)]).await;
    (reply.status, reply.json)
}

#[tokio::test]
async fn sessions_of_the_real_libraries_let_in_by_cookie_and_as_tokens() {
    let (secret, sessions) = vectors();
    assert_eq!(sessions.len(), 3);
    let expected = json!({ "id": "clx0000000000000000000001", "name": "Ada", "avatarUrl": null });
    for setting in ["--auth-secret", "--nextauth-secret", "--auth-secret-1", "--auth-secret-3"] {
        let server = TestServer::bare(&[setting, &secret]).await;
        for (name, token) in &sessions {
            let (status, session) = by_cookie(&server, &format!("a=b; {name}={token}; {name}x=c")).await;
            assert_eq!((status, &session["user"], &session["role"]), (200, &expected, &json!("PARTNER")), "{name}");
            // In pieces, which a browser sends in any order.
            let (first, rest) = token.split_at(200);
            let (second, third) = rest.split_at(100);
            let pieces = format!("{name}.2={third}; {name}.0={first}; {name}.1={second}");
            assert_eq!(by_cookie(&server, &pieces).await.0, 200, "{name} in pieces");
            let hole = format!("{name}.0={first}; {name}.2={third}");
            assert_eq!(by_cookie(&server, &hole).await.0, 401, "{name} with a piece missing");
            assert!(lets_in(&server, token).await, "{name} as a token");
            let offer = format!("tidings.v1, bearer.{token}");
            Handshake::to(server.address()).header("sec-websocket-protocol", &offer).welcomed("ada").await;
            let mut socket = Handshake::to(server.address()).open("ada").await;
            socket.send(json!({ "type": "auth", "token": token })).await;
            socket.frame("welcome").await;
        }
    }
    let server = TestServer::bare(&["--auth-secret", SECRET]).await;
    for (name, token) in &sessions {
        assert_eq!(by_cookie(&server, &format!("{name}={token}")).await.0, 401, "{name} under another secret");
    }
}

#[tokio::test]
async fn a_session_counts_in_its_own_cookie_alone() {
    let server = TestServer::bare(&["--auth-secret", SECRET, "--session-cookie", "shop.session"]).await;
    let claims = claims("ann");
    for cookie in [V5, SECURE_V5, "shop.session"] {
        let token = seal_v5(SECRET, cookie, &claims);
        assert_eq!(by_cookie(&server, &format!("{cookie}={token}")).await.0, 200, "{cookie}");
        assert!(lets_in(&server, &token).await, "{cookie} as a token");
        let other = if cookie == V5 { SECURE_V5 } else { V5 };
        assert_eq!(by_cookie(&server, &format!("{other}={token}")).await.0, 401, "{cookie} as {other}");
    }
    assert!(!lets_in(&server, &seal_v5(SECRET, "evil.session", &claims)).await);
    let (ann, ben) = (seal_v5(SECRET, V5, &claims), seal_v4(SECRET, &super::claims("ben")));
    let both = by_cookie(&server, &format!("{V4}={ben}; {V5}={ann}")).await.1;
    assert_eq!(both["user"]["id"], "ann", "a session of v4 that is left over");
    let server = TestServer::start().await;
    assert_eq!(by_cookie(&server, &format!("{V4}={ben}")).await.0, 401, "without a secret a cookie is nothing");
}

#[tokio::test]
async fn a_session_that_was_not_sealed_so_or_says_too_little_is_refused() {
    let server = TestServer::bare(&["--auth-secret", SECRET, "--jwt-secret", OLD, "--jwt-issuer", "app"]).await;
    let good = seal_v5(SECRET, V5, &claims("ann"));
    assert!(lets_in(&server, &good).await && lets_in(&server, &seal_v4(SECRET, &claims("ann"))).await);
    let key: [u8; 64] = derive(SECRET, V5, &format!("Auth.js Generated Encryption Key ({V5})"));
    let head = |head: Value| seal_cbc(&key, &head, &claims("ann"));
    assert!(lets_in(&server, &head(json!({ "alg": "dir", "enc": "A256CBC-HS512" }))).await, "without a kid");
    let mut bad = vec![
        head(json!({ "alg": "dir", "enc": "A256CBC-HS512", "kid": "other" })),
        head(json!({ "alg": "dir", "enc": "A256CBC-HS512", "zip": "DEF" })),
        head(json!({ "alg": "dir", "enc": "A256CBC-HS512", "crit": [] })),
        head(json!({ "alg": "A256KW", "enc": "A256CBC-HS512" })),
        head(json!({ "alg": "dir", "enc": "A256GCM" })),
        head(json!({ "alg": "dir", "enc": "A128CBC-HS256" })),
        head(json!({ "enc": "A256CBC-HS512" })),
    ];
    // Every part bent, cut and emptied; the second one is empty.
    for token in [&good, &seal_v4(SECRET, &claims("ann"))] {
        let parts: Vec<&str> = token.split('.').collect();
        for index in 0..parts.len() {
            for bent in ["", "AAAA", &format!("{}AAAA", parts[index]), &parts[index][..parts[index].len() / 2], "!"] {
                let mut other = parts.clone();
                other[index] = bent;
                bad.extend((other != parts).then(|| other.join(".")));
            }
        }
    }
    // The same bytes, cut at another place: a shorter tag is easier to guess.
    let v4 = seal_v4(SECRET, &claims("ann"));
    let parts: Vec<Vec<u8>> = v4.split('.').map(|part| URL_SAFE_NO_PAD.decode(part).unwrap()).collect();
    let sealed = [&parts[3][..], &parts[4]].concat();
    for cut in [0, 1, sealed.len() - 12, sealed.len()] {
        let head: Vec<&str> = v4.split('.').take(3).collect();
        bad.push(format!("{}.{}.{}", head.join("."), base64(&sealed[..cut]), base64(&sealed[cut..])));
    }
    for claims in [
        json!({ "sub": "ann" }),
        json!({ "exp": in_seconds(60) }),
        json!({ "sub": "a b", "exp": in_seconds(60) }),
        json!({ "sub": "tidings:system", "exp": in_seconds(60) }),
        json!({ "sub": "ann", "exp": "9999999999" }),
        json!({ "scope": "chat:admin", "exp": in_seconds(60) }),
        json!({ "sub": "ann", "exp": in_seconds(60), "nbf": in_seconds(600) }),
        json!(["ann"]),
    ] {
        bad.extend([seal_v4(SECRET, &claims), seal_v5(SECRET, V5, &claims)]);
    }
    for token in &bad {
        assert!(!lets_in(&server, token).await, "{token}");
        let admin = server.anonymous().with_token(token).get("/api/admin/users/ann").await;
        assert_eq!(admin.status, 401, "{token}");
    }
    for token in
        [seal_v4(SECRET, &json!({ "sub": "ann", "exp": 1 })), seal_v5(SECRET, V5, &json!({ "sub": "ann", "exp": 1 }))]
    {
        server.anonymous().with_token(&token).get(SESSION).await.problem(401, "token_expired");
    }
    // The secret of sessions signs nothing, and that of tokens seals nothing.
    let (signed, sealed) =
        (Signer::secret(SECRET).sign("HS256", &json!({}), &claims("ann")), seal_v4(OLD, &claims("ann")));
    assert!(!lets_in(&server, &signed).await && !lets_in(&server, &sealed).await);
}

#[tokio::test]
async fn sessions_of_the_secret_of_before_count_while_it_is_changed() {
    let (old, new) = (seal_v5(OLD, V5, &claims("ann")), seal_v5(SECRET, V5, &claims("ann")));
    let server = TestServer::bare(&["--auth-secret", SECRET, "--auth-secret-previous", OLD]).await;
    assert!(lets_in(&server, &old).await && lets_in(&server, &new).await);
    let server = TestServer::bare(&["--auth-secret", OLD, "--auth-secret-1", SECRET]).await;
    assert!(lets_in(&server, &old).await && lets_in(&server, &new).await, "as Auth.js itself does it");
    let server = TestServer::bare(&["--auth-secret", SECRET]).await;
    assert!(!lets_in(&server, &old).await && lets_in(&server, &new).await);
}

#[tokio::test]
async fn a_session_cookie_counts_only_from_a_page_that_may_send_it() {
    let server = TestServer::bare(&["--nextauth-secret", SECRET, "--allowed-origins", APP]).await;
    let cookie = format!("{V4}={}", seal_v4(SECRET, &claims("ann")));
    let own = format!("http://{}", server.address());
    let anonymous = server.anonymous();
    let post = async |origin: Option<&str>, cookie: Option<&str>| {
        let mut headers = vec![("content-type", "application/json")];
        headers.extend(origin.map(|origin| ("origin", origin)));
        headers.extend(cookie.map(|cookie| ("cookie", cookie)));
        let body = json!({ "type": "GROUP" }).to_string().into_bytes();
        anonymous.call(Method::POST, "/api/chat/rooms", &headers, Some(body)).await
    };
    let open = async |origin: Option<&str>| {
        let handshake = Handshake::to(server.address()).header("cookie", &cookie);
        origin.map_or(handshake.clone(), |origin| handshake.header("origin", origin)).try_open("ann").await
    };
    for may in [Some(APP), Some(own.as_str())] {
        post(may, Some(&cookie)).await.ok(201);
        assert!(open(may).await.is_ok(), "{may:?}");
    }
    for not in [None, Some("null"), Some("https://evil.example"), Some("http://app.example.com")] {
        post(not, Some(&cookie)).await.problem(403, "forbidden");
        let (status, problem) = open(not).await.err().expect("this origin may not");
        assert_eq!((status, &problem["code"]), (403, &json!("forbidden")), "{not:?}");
    }
    // It is the cookie that needs an origin: who has none is only told to sign in, and a client that shows its token
    // by itself needs none.
    post(None, None).await.problem(401, "unauthenticated");
    let mut socket = Handshake::to(server.address()).open("ann").await;
    socket.send(json!({ "type": "auth", "token": seal_v4(SECRET, &claims("ann")) })).await;
    socket.frame("welcome").await;
    let preflight = [("origin", APP), ("access-control-request-method", "POST")];
    let reply = anonymous.call(Method::OPTIONS, "/api/chat/rooms", &preflight, None).await;
    assert_eq!(reply.header("access-control-allow-credentials"), "true");
}
