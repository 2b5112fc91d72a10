//! What every request goes through and every answer gets: an id, its problem rendered, security headers, CORS, and
//! a panic turned into a 500.

use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request};
use axum::http::header::{
    AUTHORIZATION, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, HeaderName, IF_NONE_MATCH,
    REFERRER_POLICY, RETRY_AFTER, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use axum::http::{HeaderMap, HeaderValue, Method};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::cors::{AllowOrigin, CorsLayer};
use tracing::Instrument;

use crate::auth::request::Browsers;
use crate::error::Error;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Our own page: its own scripts and styles, sockets, and nothing else.
const CSP: &str = "default-src 'self'; connect-src 'self' ws: wss:; img-src 'self' https: data:; object-src 'none'; base-uri 'self'; form-action 'self'; frame-ancestors 'none'";
/// Names of query parameters that carry tokens elsewhere.
const TOKEN_PARAMETERS: [&str; 5] = ["token", "access_token", "jwt", "auth", "bearer"];

pub(super) fn wrap(router: Router, cors: CorsLayer) -> Router {
    let body = DefaultBodyLimit::max(super::extract::BODY_BYTES);
    let router = router.layer(body).layer(CatchPanicLayer::custom(|_| panicked())).layer(from_fn(refuse_token_in_url));
    // CORS around everything that can refuse: what it does not mark, another site's page cannot read.
    router.layer(cors).layer(from_fn(envelope))
}

fn panicked() -> Response {
    Error::internal("answering a request", "the handler panicked").into_response()
}

async fn envelope(request: Request, next: Next) -> Response {
    let id = request_id(request.headers());
    let path = request.uri().path().to_owned();
    let is_api = path.contains("/api/");
    let span = tracing::info_span!("request", request.id = %id, method = %request.method(), path);
    let mut response = super::problem::render(next.run(request).instrument(span).await, &id);
    let headers = response.headers_mut();
    if let Ok(id) = HeaderValue::from_str(&id) {
        headers.insert(REQUEST_ID, id);
    }
    if is_api {
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("private, no-store"));
    }
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(CSP));
    response
}

async fn refuse_token_in_url(request: Request, next: Next) -> Response {
    if has_token(request.uri().query().unwrap_or_default()) {
        return Error::TokenInUrl.into_response();
    }
    next.run(request).await
}

/// The caller's own id for the request, if it is one, else a new one.
fn request_id(headers: &HeaderMap) -> String {
    let given =
        headers.get(REQUEST_ID).and_then(|id| id.to_str().ok()).filter(|id| id.parse::<crate::model::RoomId>().is_ok());
    given.map_or_else(|| uuid::Uuid::now_v7().to_string(), str::to_owned)
}

fn has_token(query: &str) -> bool {
    query
        .split('&')
        .filter_map(|pair| pair.split('=').next())
        .any(|name| TOKEN_PARAMETERS.iter().any(|p| p.eq_ignore_ascii_case(name)))
}

pub(super) fn cors(browsers: &Browsers) -> CorsLayer {
    let origins = browsers.origins.iter().filter_map(|origin| origin.parse().ok());
    CorsLayer::new()
        .allow_origin(AllowOrigin::list(origins))
        .allow_credentials(!browsers.cookies.is_empty())
        .allow_methods([Method::GET, Method::POST, Method::PATCH, Method::PUT, Method::DELETE])
        .allow_headers([AUTHORIZATION, CONTENT_TYPE, IF_NONE_MATCH, REQUEST_ID])
        .expose_headers([
            ETAG,
            RETRY_AFTER,
            REQUEST_ID,
            HeaderName::from_static("x-cache"),
            HeaderName::from_static("server-timing"),
        ])
        .max_age(Duration::from_hours(2))
}
