//! What every answer carries: request id, security and cache headers, CORS; the base path; the page's files.

use reqwest::Method;
use serde_json::json;

use crate::support::{TestServer, raw_request};

const APP: &str = "https://app.example.com";

#[tokio::test]
async fn every_answer_is_kept_from_caches_frames_and_guesses() {
    let server = TestServer::start().await;
    let [ann] = server.people(["ann"]).await;
    for path in ["/api/session", "/api/chat/rooms/nowhere", "/api/nothing", "/", "/nothing", "/healthz"] {
        let reply = ann.get(path).await;
        assert_eq!(reply.header("x-content-type-options"), "nosniff", "{path}");
        assert_eq!(reply.header("x-frame-options"), "DENY", "{path}");
        assert_eq!(reply.header("referrer-policy"), "no-referrer", "{path}");
        assert!(reply.header("content-security-policy").contains("frame-ancestors 'none'"), "{path}");
        if path.starts_with("/api") {
            assert_eq!(reply.header("cache-control"), "private, no-store", "{path}");
        }
        uuid::Uuid::parse_str(reply.header("x-request-id")).unwrap_or_else(|_| panic!("{path}: no request id"));
    }
}

#[tokio::test]
async fn a_request_keeps_its_id_if_it_is_one() {
    let server = TestServer::start().await;
    let api = server.anonymous();
    let own = api.get_with("/api/session", &[("x-request-id", "trace-7")]).await;
    assert_eq!(own.header("x-request-id"), "trace-7");
    for bad in ["a b", "<script>", &"x".repeat(65)] {
        let reply = api.get_with("/api/session", &[("x-request-id", bad)]).await;
        assert_ne!(reply.header("x-request-id"), bad);
        assert!(!reply.header("x-request-id").is_empty());
    }
}

#[tokio::test]
async fn other_sites_pages_may_call_where_they_are_allowed_to() {
    let server = TestServer::with(&["--allowed-origins", APP]).await;
    let [ann] = server.people(["ann"]).await;
    let preflight = async |origin: &str| {
        let headers = [
            ("origin", origin),
            ("access-control-request-method", "PATCH"),
            ("access-control-request-headers", "authorization,content-type"),
        ];
        server.anonymous().call(Method::OPTIONS, "/api/chat/rooms/garden", &headers, None).await
    };
    let allowed = preflight(APP).await;
    assert_eq!(allowed.status, 200);
    assert_eq!(allowed.header("access-control-allow-origin"), APP);
    assert_eq!(allowed.header("access-control-max-age"), "7200");
    assert_eq!(allowed.header("access-control-allow-credentials"), "", "no cookie is taken");
    for method in ["GET", "POST", "PATCH", "PUT", "DELETE"] {
        assert!(allowed.header("access-control-allow-methods").contains(method), "{method}");
    }
    for header in ["authorization", "content-type", "if-none-match", "x-request-id"] {
        assert!(allowed.header("access-control-allow-headers").contains(header), "{header}");
    }
    assert_eq!(preflight("https://evil.example").await.header("access-control-allow-origin"), "");
    let call = ann.get_with("/api/session", &[("origin", APP)]).await;
    assert_eq!(call.header("access-control-allow-origin"), APP);
    for header in ["etag", "retry-after", "x-request-id", "x-cache", "server-timing"] {
        assert!(call.header("access-control-expose-headers").contains(header), "{header}");
    }
    let evil = ann.get_with("/api/session", &[("origin", "https://evil.example")]).await;
    assert_eq!(evil.header("access-control-allow-origin"), "");
    let refused = server.anonymous().get_with("/api/session?token=x", &[("origin", APP)]).await;
    assert_eq!(refused.header("access-control-allow-origin"), APP, "its page can read a refusal too");
}

#[tokio::test]
async fn a_base_path_stands_in_front_of_everything() {
    let server = TestServer::with(&["--base-path", "/apps/chat"]).await;
    let [ann] = [server.api("ann")];
    ann.get("/apps/chat/api/session").await.ok(200);
    ann.get("/apps/chat/healthz").await.ok(200);
    ann.get("/api/session").await.problem(404, "not_found");
    ann.get("/healthz").await.problem(404, "not_found");
    ann.get("/apps/chat/api/nothing").await.problem(404, "not_found");
    ann.delete("/apps/chat/api/session").await.problem(405, "method_not_allowed");
    assert!(ann.get("/apps/chat/").await.header("content-type").starts_with("text/html"));
    let folder =
        raw_request(server.address(), b"GET /apps/chat HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await;
    assert!(folder.starts_with("HTTP/1.1 308"), "{folder}");
    assert!(folder.to_ascii_lowercase().contains("\nlocation: /apps/chat/\r\n"), "{folder}");
    ann.get("/apps/chat/client/tidings.js").await.ok(200);
    assert_eq!(ann.get("/apps/chat/api/session").await.header("cache-control"), "private, no-store");
}

#[tokio::test]
async fn the_page_and_the_client_are_served_and_nothing_else() {
    let server = TestServer::start().await;
    let api = server.anonymous();
    for (path, kind) in [
        ("/", "text/html"),
        ("/styles/base.css", "text/css"),
        ("/app.js", "text/javascript"),
        ("/client/tidings.js", "text/javascript"),
        ("/icon.svg", "image/svg+xml"),
    ] {
        let file = api.get(path).await;
        assert_eq!(file.status, 200, "{path}");
        assert!(file.header("content-type").starts_with(kind), "{path}: {}", file.header("content-type"));
        assert_eq!(file.header("cache-control"), "no-cache", "{path}");
        let known = api.get_with(path, &[("if-none-match", file.header("etag"))]).await;
        assert_eq!((known.status, known.bytes.len()), (304, 0), "{path}");
        let other = api.get_with(path, &[("if-none-match", "\"another\"")]).await;
        assert_eq!(other.status, 200, "{path}");
    }
    for path in ["/nothing.html", "/client/", "/client/nothing.js", "/index.html/", "/.git/config"] {
        api.get(path).await.problem(404, "not_found");
    }
    api.post("/app.js", json!({})).await.problem(405, "method_not_allowed");
    for path in
        ["/../Cargo.toml", "/client/../../Cargo.toml", "/%2e%2e/Cargo.toml", "//etc/passwd", "/client//etc/passwd"]
    {
        let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        let answer = raw_request(server.address(), request.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 404"), "{path}: {answer}");
    }
}
