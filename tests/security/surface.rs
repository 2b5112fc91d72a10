//! S57–S66: what the service shows of itself, and to whom.

use std::fmt::Write;

use reqwest::Method;
use serde_json::json;
use tempfile::tempdir;

use super::all_routes;
use crate::support::{
    Api, Handshake, Process, SECRET, TestServer, database_url, make_room, raw_request, say, token, token_with,
};

const APP: &str = "https://app.example.com";

#[tokio::test]
async fn s57_only_pages_of_listed_origins_may_read_and_only_they_with_cookies() {
    let server = TestServer::with(&["--session-cookie", "sid", "--allowed-origins", APP]).await;
    let api = server.anonymous();
    let preflight = |origin: &'static str| {
        let headers = [("origin", origin), ("access-control-request-method", "POST")];
        let api = api.clone();
        async move { api.call(Method::OPTIONS, "/api/chat/rooms", &headers, None).await }
    };
    let cookie = format!("sid={}", token("ann"));
    for evil in ["https://evil.example", "null", "https://app.example.com.evil.example", "http://app.example.com"] {
        let refused = preflight(evil).await;
        let read = api.get_with("/api/session", &[("origin", evil), ("cookie", &cookie)]).await;
        for reply in [&refused, &read] {
            assert_eq!(reply.header("access-control-allow-origin"), "", "{evil}: {reply}");
            assert_eq!(reply.header("access-control-allow-credentials"), "", "{evil}: {reply}");
            assert!(
                reply.headers.get_all("vary").iter().any(|vary| vary.to_str().unwrap().contains("origin")),
                "{evil}"
            );
        }
        read.problem(403, "forbidden");
    }
    let allowed = preflight(APP).await;
    assert_eq!(allowed.header("access-control-allow-origin"), APP, "named, never *");
    assert_eq!(allowed.header("access-control-allow-credentials"), "true");
    let read = api.get_with("/api/session", &[("origin", APP), ("cookie", &cookie)]).await;
    assert_eq!(read.header("access-control-allow-origin"), APP);
    assert_eq!(read.header("access-control-allow-credentials"), "true");
    assert!(read.header("vary").contains("origin"), "what one origin may read is kept for no other");
    read.ok(200);
}

#[tokio::test]
async fn s58_odd_methods_and_paths_are_refused_in_json() {
    let server = TestServer::start().await;
    let ann = server.api("ann");
    for method in ["TRACE", "BREW", "PROPFIND", "CONNECT"] {
        let request = format!("{method} /api/session HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        let answer = raw_request(server.address(), request.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 405") && answer.contains("\"method_not_allowed\""), "{answer}");
        assert!(answer.contains("application/problem+json"), "{answer}");
    }
    for path in
        ["/api/session/", "//api/session", "/api//session", "/api/session/..%2f", "/api/./session", "/API/SESSION"]
    {
        let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        let answer = raw_request(server.address(), request.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 404") && answer.contains("\"not_found\""), "{path}: {answer}");
    }
    let xml = ann.get_with("/api/session", &[("accept", "text/xml")]).await;
    assert_eq!((xml.status, xml.header("content-type")), (200, "application/json"), "there is one representation");
}

#[tokio::test]
async fn s59_of_a_request_that_could_be_two_only_one_is_ever_answered() {
    let server = TestServer::start().await;
    let [ann] = server.people(["ann"]).await;
    make_room(&ann, "garden", "GROUP", &[]).await;
    let head = format!(
        "POST /api/chat/rooms/garden/messages HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\n\
         content-type: application/json\r\n",
        token("ann")
    );
    let second = format!("{head}connection: close\r\ncontent-length: 22\r\n\r\n{{\"content\":\"smuggled\"}}");
    for (what, lines, body) in [
        ("a length and chunks", "content-length: 4\r\ntransfer-encoding: chunked\r\n", "0\r\n\r\n"),
        ("chunks and a length", "transfer-encoding: chunked\r\ncontent-length: 5\r\n", "0\r\n\r\n"),
        ("two lengths", "content-length: 2\r\ncontent-length: 200\r\n", "{}"),
        ("chunks in chunks", "transfer-encoding: chunked, chunked\r\n", "0\r\n\r\n"),
        ("an unknown coding", "transfer-encoding: xchunked\r\n", "0\r\n\r\n"),
        ("a coding behind a tab", "transfer-encoding:\tidentity, chunked\r\ncontent-length: 5\r\n", "0\r\n\r\n"),
        ("a folded line", "x: a\r\n content-length: 200\r\ncontent-length: 2\r\n", "{}"),
        ("a blank before the colon", "content-length : 2\r\n", "{}"),
        ("a length with a sign", "content-length: +2\r\n", "{}"),
    ] {
        let answer = raw_request(server.address(), format!("{head}{lines}\r\n{body}{second}").as_bytes()).await;
        let answers = answer.matches("HTTP/1.1 ").count();
        assert!(answers <= 1 && !answer.contains("smuggled"), "{what}: {answer}");
    }
    let page = ann.get("/api/chat/rooms/garden/messages").await.ok(200);
    assert!(!page.to_string().contains("smuggled"), "{page}");
}

#[tokio::test]
async fn s61_what_is_for_operators_is_not_on_the_public_address() {
    let directory = tempdir().unwrap();
    let database = database_url(&directory);
    let metrics = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let metrics_addr = metrics.to_string();
    let environment = [
        ("HOST", "127.0.0.1"),
        ("PORT", "0"),
        ("DATABASE_URL", &database),
        ("JWT_SECRET", SECRET),
        ("METRICS_ADDR", &metrics_addr),
    ];
    let mut process = Process::start(&[], &environment);
    let address = process.address();
    let ann = Api::new(address, Some(token_with("ann-of-metrics", &json!({ "name": "Anneliese" }))));
    for path in ["/metrics", "/debug", "/debug/pprof/", "/actuator/health", "/server-status", "/.env", "/swagger"] {
        ann.get(path).await.problem(404, "not_found");
    }
    make_room(&ann, "rose-garden-17", "GROUP", &[]).await;
    say(&ann, "rose-garden-17", "roses").await;
    let mut socket = Handshake::to(address).token(&token("ann-of-metrics")).welcomed("ann").await;
    socket.subscribe("rose-garden-17", json!({})).await;
    let page = Api::new(metrics, None).get("/metrics").await;
    let text = String::from_utf8(page.bytes).unwrap();
    assert!(text.contains("tidings_changes_total"), "{text}");
    // S62, too: no secret, and nothing whose number grows with the users.
    for never in ["ann-of-metrics", "Anneliese", "rose-garden-17", "roses", SECRET, "127.0.0.1"] {
        assert!(!text.contains(never), "metrics show {never}:\n{text}");
    }
}

#[tokio::test]
async fn s62_no_secret_is_shown_by_the_process_or_its_settings() {
    use clap::Parser;
    let config = tidings::Config::try_parse_from(["tidings", "--jwt-secret", SECRET, "--redis-url", "redis://:pw@x"]);
    let shown = format!("{:?}", config.unwrap());
    assert!(!shown.contains(SECRET) && !shown.contains("pw"), "{shown}");
    let directory = tempdir().unwrap();
    let database = database_url(&directory);
    let environment =
        [("HOST", "127.0.0.1"), ("PORT", "0"), ("DATABASE_URL", database.as_str()), ("JWT_SECRET", SECRET)];
    let mut process = Process::start(&[], &environment);
    let address = process.address();
    let mut answers = String::new();
    for path in ["/", "/healthz", "/readyz", "/api/session", "/api/nothing", "/api/chat/rooms?limit=x"] {
        let reply = Api::new(address, Some(token("ann"))).get(path).await;
        write!(answers, "{:?}{}", reply.headers, String::from_utf8_lossy(&reply.bytes)).unwrap();
    }
    let token = token("ann");
    assert!(!answers.contains(SECRET) && !answers.contains(&token) && !answers.contains("tidings.db"), "{answers}");
}

#[tokio::test]
async fn s64_every_answer_carries_the_headers_that_keep_it_where_it_belongs() {
    let server = TestServer::with(&["--trusted-proxies", "127.0.0.1"]).await;
    let mut all = all_routes();
    let others =
        [("GET", "/"), ("GET", "/app.js"), ("GET", "/nothing"), ("BREW", "/api/session"), ("OPTIONS", "/api/x")];
    all.extend(others.map(|(method, path)| (method.to_owned(), path.to_owned())));
    all.push(("GET".to_owned(), "/api/session?token=x".to_owned()));
    for (method, path) in all {
        let path = path.replace(['{', '}'], "");
        for api in [server.api("ann"), server.anonymous()] {
            let by_tls = [("x-forwarded-proto", "https")];
            let reply = api.call(method.parse().unwrap(), &path, &by_tls, None).await;
            let expected = [
                ("x-content-type-options", "nosniff"),
                ("x-frame-options", "DENY"),
                ("referrer-policy", "no-referrer"),
                ("strict-transport-security", "max-age=31536000"),
            ];
            for (header, value) in expected {
                assert_eq!(reply.header(header), value, "{header} of {reply}");
            }
            let policy = reply.header("content-security-policy");
            assert!(policy.contains("default-src 'self'") && policy.contains("frame-ancestors 'none'"), "{policy}");
            assert!(!policy.contains("unsafe"), "{policy}");
            assert!(!reply.header("x-request-id").is_empty(), "{reply}");
            if path.starts_with("/api") {
                assert_eq!(reply.header("cache-control"), "private, no-store", "{reply}");
            }
        }
    }
    let plain = server.api("ann").get("/api/session").await;
    assert_eq!(plain.header("strict-transport-security"), "", "who came without TLS is not told so");
    let untrusting = TestServer::start().await;
    let told = untrusting.api("ann").get_with("/api/session", &[("x-forwarded-proto", "https")]).await;
    assert_eq!(told.header("strict-transport-security"), "", "nor by whoever says so");
}

#[tokio::test]
async fn s65_no_answer_can_be_kept_for_or_bent_towards_somebody_else() {
    let server = TestServer::start().await;
    let [ann, ben] = server.people(["ann", "ben"]).await;
    make_room(&ann, "garden", "GROUP", &["ben"]).await;
    let headers = [
        ("x-forwarded-host", "evil.example"),
        ("x-original-url", "/api/admin/users/ann"),
        ("x-rewrite-url", "/api/admin/users/ann"),
        ("x-http-method-override", "DELETE"),
        ("forwarded", "host=evil.example;for=127.0.0.1"),
        ("x-user-id", "ann"),
    ];
    for path in ["/api/session", "/api/chat/meta", "/api/chat/rooms/garden/messages", "/api/chat/rooms"] {
        let (of_ann, of_ben) = (ann.get_with(path, &headers).await, ben.get_with(path, &headers).await);
        for reply in [&of_ann, &of_ben] {
            assert_eq!(reply.header("cache-control"), "private, no-store", "{reply}");
            let text = format!("{:?}{reply}", reply.headers);
            assert!(!text.contains("evil.example"), "{text}");
        }
        // What ann's browser holds is of no use to ben's tag and the other way round.
        assert_eq!(of_ben.status, 200, "{of_ben}");
    }
    assert_eq!(ben.get_with("/api/session", &headers).await.ok(200)["user"]["id"], "ben");
    let redirect = raw_request(
        TestServer::with(&["--base-path", "/chat"]).await.address(),
        b"GET /chat HTTP/1.1\r\nhost: evil.example\r\nx-forwarded-host: evil.example\r\nconnection: close\r\n\r\n",
    )
    .await;
    assert!(redirect.starts_with("HTTP/1.1 308") && !redirect.contains("evil.example"), "{redirect}");
}
