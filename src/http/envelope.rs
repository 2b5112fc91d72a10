//! What every request goes through and every answer gets: an id, its problem rendered, security headers, CORS, and
//! a panic turned into a 500. It finds out where the request comes from, and turns away who has too many connections.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Once};
use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::header::{
    AUTHORIZATION, CACHE_CONTROL, CONNECTION, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, HeaderName, IF_NONE_MATCH,
    REFERRER_POLICY, RETRY_AFTER, STRICT_TRANSPORT_SECURITY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use axum::http::{HeaderMap, HeaderValue, Method};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::cors::{AllowCredentials, AllowOrigin, CorsLayer};
use tracing::Instrument;

use super::Door;
use crate::auth::request::Browsers;
use crate::error::Error;
use crate::limits::{Client, Peer, TrustedProxies};

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Our own page: its own scripts and styles, sockets, and nothing else.
const CSP: &str = "default-src 'self'; connect-src 'self' ws: wss:; img-src 'self' https: data:; object-src 'none'; base-uri 'self'; form-action 'self'; frame-ancestors 'none'";
/// For a year, whoever came by TLS comes by TLS.
const HSTS: &str = "max-age=31536000";
/// Names of query parameters that carry tokens elsewhere.
const TOKEN_PARAMETERS: [&str; 5] = ["token", "access_token", "jwt", "auth", "bearer"];

pub(super) fn wrap(router: Router, cors: CorsLayer, door: &Door) -> Router {
    let body = DefaultBodyLimit::max(super::extract::BODY_BYTES);
    let router = router.layer(body).layer(CatchPanicLayer::custom(|_| panicked())).layer(from_fn(turn_away));
    // CORS around everything that can refuse: what it does not mark, another site's page cannot read.
    router.layer(cors).layer(from_fn_with_state(door.proxies.clone(), envelope))
}

fn panicked() -> Response {
    Error::internal("answering a request", "the handler panicked").into_response()
}

async fn envelope(State(proxies): State<Arc<TrustedProxies>>, mut request: Request, next: Next) -> Response {
    let id = request_id(request.headers());
    let client = client(&proxies, &request);
    request.extensions_mut().insert(client);
    let path = request.uri().path().to_owned();
    let is_api = path.contains("/api/");
    let address = client.address;
    let span = tracing::info_span!("request", request.id = %id, client = %address, method = %request.method(), path);
    // Within the span, so that what is logged of a refusal says of which call.
    let answering = async { super::problem::render(next.run(request).await, &id) };
    let mut response = answering.instrument(span).await;
    let headers = response.headers_mut();
    if let Ok(id) = HeaderValue::from_str(&id) {
        headers.insert(REQUEST_ID, id);
    }
    if is_api {
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("private, no-store"));
    }
    if client.by_tls {
        headers.insert(STRICT_TRANSPORT_SECURITY, HeaderValue::from_static(HSTS));
    }
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(CSP));
    response
}

fn client(proxies: &TrustedProxies, request: &Request) -> Client {
    // Whatever did not come through the accept loop came from this process.
    let peer = request.extensions().get::<Peer>().map_or(IpAddr::V4(Ipv4Addr::LOCALHOST), |peer| peer.address);
    if request.headers().contains_key(FORWARDED_FOR) && !proxies.contain(peer) && is_near(peer) {
        say_once(peer);
    }
    let texts = |name| request.headers().get_all(name).iter().filter_map(|value| value.to_str().ok());
    proxies.client(peer, texts(FORWARDED_FOR), texts(FORWARDED_PROTO).next_back())
}

/// Whether an address is of this machine or a private network, as a proxy's is that somebody forgot to name.
fn is_near(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => v4.is_loopback() || v4.is_private(),
        IpAddr::V6(v6) => v6.is_loopback() || v6.is_unique_local(),
    }
}

/// A proxy that is not trusted is taken for one client with all its connections, and whoever runs it should know.
fn say_once(peer: IpAddr) {
    static SAID: Once = Once::new();
    SAID.call_once(|| {
        tracing::warn!(%peer, "X-Forwarded-For is not believed of it; if it is a proxy of yours, name it in TRUSTED_PROXIES");
    });
}

async fn turn_away(request: Request, next: Next) -> Response {
    if let Some(retry_after) = request.extensions().get::<Peer>().and_then(|peer| peer.refused) {
        let mut response = Error::RateLimited { retry_after }.into_response();
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        return response;
    }
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
    // Compared as the check of origins does it; a page's own origin needs no permission.
    let allowed: Arc<[String]> = browsers.origins.clone().into();
    let is_allowed = move |origin: &HeaderValue| {
        origin.to_str().is_ok_and(|origin| allowed.iter().any(|allowed| allowed.eq_ignore_ascii_case(origin)))
    };
    let (takes_cookies, may_send_them) = (browsers.cookie.is_some(), is_allowed.clone());
    CorsLayer::new()
        .allow_origin(AllowOrigin::predicate(move |origin, _| is_allowed(origin)))
        .allow_credentials(AllowCredentials::predicate(move |origin, _| takes_cookies && may_send_them(origin)))
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
