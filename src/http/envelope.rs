//! What every request goes through and every answer gets: an id, its problem rendered, security headers, CORS, and
//! a panic turned into a 500. It finds out where the request comes from, and turns away who has too many connections.
//! All of it is one function around the router: as layers of the router each would be boxed and cloned for every call.

use std::net::{IpAddr, Ipv4Addr};
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Once};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::header::{
    AUTHORIZATION, CACHE_CONTROL, CONNECTION, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, HeaderName, IF_NONE_MATCH,
    ORIGIN, REFERRER_POLICY, RETRY_AFTER, STRICT_TRANSPORT_SECURITY, TRANSFER_ENCODING, X_CONTENT_TYPE_OPTIONS,
    X_FRAME_OPTIONS,
};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;
use hyper::service::Service;
use hyper_util::service::TowerToHyperService;
use tower_http::cors::{AllowCredentials, AllowOrigin, CorsLayer};
use tracing::{Instrument, Span, error_span};

use super::extract::{SERVER_TIMING, X_CACHE};
use super::timing::Timing;
use crate::auth::request::Browsers;
use crate::error::Error;
use crate::limits::{Client, Peer, TrustedProxies};
use crate::protocol;
use crate::telemetry::{CALL, trace};

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const REQUEST_ID: HeaderName = HeaderName::from_static(protocol::REQUEST_ID);
const TRACE_PARENT: HeaderName = HeaderName::from_static(protocol::TRACE_PARENT);
/// Our own page: its own scripts and styles, sockets, and nothing else.
const CSP: &str = "default-src 'self'; connect-src 'self' ws: wss:; img-src 'self' https: data:; object-src 'none'; base-uri 'self'; form-action 'self'; frame-ancestors 'none'";
/// For a year, whoever came by TLS comes by TLS.
const HSTS: &str = "max-age=31536000";
/// Names of query parameters that carry tokens elsewhere.
const TOKEN_PARAMETERS: [&str; 5] = ["token", "access_token", "jwt", "auth", "bearer"];

/// What answers the requests of a listener.
#[derive(Debug)]
pub struct Site {
    router: TowerToHyperService<Router>,
    /// The same, for who comes from a page and may be of another site.
    with_cors: TowerToHyperService<Router>,
    /// For whom no handler answers, which a page should be able to read, too.
    refusing: TowerToHyperService<Router>,
    proxies: Arc<TrustedProxies>,
    /// How long answers take, where that is of interest.
    timing: Option<Timing>,
}

impl Site {
    /// Answers with these routes; browsers are told what pages of other sites may do.
    pub(super) fn new(router: Router, cors: CorsLayer, proxies: Arc<TrustedProxies>) -> Self {
        // Around everything that can refuse: what it does not mark, another site's page cannot read.
        let with_cors = TowerToHyperService::new(router.clone().layer(cors.clone()));
        let refusing = TowerToHyperService::new(Router::new().fallback(refuse).layer(cors));
        Self { router: TowerToHyperService::new(router), with_cors, refusing, proxies, timing: None }
    }

    /// Answers with these routes, which no page of another site may read.
    pub fn plain(router: Router) -> Self {
        Self::new(router, CorsLayer::new(), Arc::default())
    }

    /// The same, measured; its routes stand behind this path.
    pub(super) fn timed(self, base_path: &str) -> Self {
        Self { timing: Some(Timing::new(base_path)), ..self }
    }

    /// Answers a request, whatever happens.
    pub async fn answer(self: Arc<Self>, mut request: Request) -> Response {
        let asked = self.timing.as_ref().and_then(|timing| timing.begin(&request));
        let header = take_id(request.headers_mut());
        let id = header.to_str().unwrap_or_default();
        let client = client(&self.proxies, &request);
        request.extensions_mut().insert(client);
        let is_api = request.uri().path().contains("/api/");
        let span = self.span(&request, id, client);
        // Within the span, so that what is logged of a refusal says of which call.
        let answering = async {
            let response = super::problem::render(self.dispatch(request, is_api).await, id);
            trace::answered(response.status().as_u16());
            response
        };
        let mut response = answering.instrument(span).await;
        response.headers_mut().insert(REQUEST_ID, header);
        if is_api {
            response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("private, no-store"));
        }
        if response.status() != StatusCode::NOT_MODIFIED {
            secure(response.headers_mut(), client);
        }
        if let Some(asked) = asked {
            asked.answered(response.status());
        }
        response
    }

    /// In which all is logged that the request leads to.
    fn span(&self, request: &Request, id: &str, client: Client) -> Span {
        let (method, path) = (request.method(), request.uri().path());
        let span = error_span!(target: CALL, "request", request.id = id, client = %client.address, %method, path);
        // Anyone else could have all they do recorded.
        trace::join(&span, || {
            let given = request.headers().get(TRACE_PARENT).filter(|_| self.proxies.contain(peer(request)))?;
            given.to_str().ok()?.parse().ok()
        });
        span
    }

    async fn dispatch(&self, request: Request, is_api: bool) -> Response {
        let (method, origin) = (request.method().clone(), request.headers().get(ORIGIN).cloned());
        if let Some(error) = turned_away(&request) {
            return self.refuse(error, method, origin).await;
        }
        // A file may be kept by a cache between us and many pages, and so always says for which it is.
        let router = if is_api && origin.is_none() { &self.router } else { &self.with_cors };
        match AssertUnwindSafe(router.call(request)).catch_unwind().await {
            Ok(Ok(response)) => response,
            Ok(Err(never)) => match never {},
            Err(_) => {
                let error = Error::internal("answering a request", "the handler panicked");
                self.refuse(error, method, origin).await
            }
        }
    }

    /// Answers without a handler a request of this method and from there.
    async fn refuse(&self, error: Error, method: Method, origin: Option<HeaderValue>) -> Response {
        let mut request = Request::new(Body::empty());
        *request.method_mut() = method;
        request.extensions_mut().insert(error);
        if let Some(origin) = origin {
            request.headers_mut().insert(ORIGIN, origin);
        }
        self.refusing.call(request).await.unwrap_or_else(|never| match never {})
    }
}

/// Says of an answer that it is what it says it is, and in no frame. Not of one that says that nothing has changed: what
/// the client holds came with it (RFC 9110, section 15.4.5).
fn secure(headers: &mut HeaderMap, client: Client) {
    if client.by_tls {
        headers.insert(STRICT_TRANSPORT_SECURITY, HeaderValue::from_static(HSTS));
    }
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(CSP));
}

/// The other end of the connection. Whatever did not come through the accept loop came from this process.
fn peer(request: &Request) -> IpAddr {
    request.extensions().get::<Peer>().map_or(IpAddr::V4(Ipv4Addr::LOCALHOST), |peer| peer.address)
}

fn client(proxies: &TrustedProxies, request: &Request) -> Client {
    let peer = peer(request);
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

/// Why a request is not even looked at, if it is not.
fn turned_away(request: &Request) -> Option<Error> {
    if let Some(retry_after) = request.extensions().get::<Peer>().and_then(|peer| peer.refused) {
        return Some(Error::RateLimited { retry_after });
    }
    if !is_framed_once(request.headers()) {
        return Some(Error::invalid("transfer-encoding", "is `chunked`, once"));
    }
    has_token(request.uri().query().unwrap_or_default()).then_some(Error::TokenInUrl)
}

/// Answers one who is turned away. Nothing more is read from a connection that is one too many, or of which it is unsure
/// where its requests end.
async fn refuse(mut request: Request) -> Response {
    let error = request.extensions_mut().remove::<Error>().unwrap_or(Error::NotFound);
    let ends = matches!(error, Error::RateLimited { .. } | Error::Invalid { .. });
    let mut response = error.into_response();
    if ends {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// Whether it is said in one way only where a body ends: what a proxy in front reads otherwise would be another
/// request to it (RFC 9112, section 11.2).
fn is_framed_once(headers: &HeaderMap) -> bool {
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    let once = codings.next().is_none_or(|coding| coding.as_bytes().eq_ignore_ascii_case(b"chunked"));
    once && codings.next().is_none()
}

/// The caller's own id for the request, if it is one, else a new one; the request has it from here on.
fn take_id(headers: &mut HeaderMap) -> HeaderValue {
    let is_one = |id: &&HeaderValue| id.to_str().is_ok_and(|id| id.parse::<crate::model::RoomId>().is_ok());
    if let Some(given) = headers.get(REQUEST_ID).filter(is_one) {
        return given.clone();
    }
    let id = HeaderValue::try_from(uuid::Uuid::now_v7().to_string()).expect("a UUID is letters and digits");
    headers.insert(REQUEST_ID, id.clone());
    id
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
    let (takes_cookies, may_send_them) = (!browsers.cookies.is_empty(), is_allowed.clone());
    CorsLayer::new()
        .allow_origin(AllowOrigin::predicate(move |origin, _| is_allowed(origin)))
        .allow_credentials(AllowCredentials::predicate(move |origin, _| takes_cookies && may_send_them(origin)))
        .allow_methods([Method::GET, Method::POST, Method::PATCH, Method::PUT, Method::DELETE])
        .allow_headers([AUTHORIZATION, CONTENT_TYPE, IF_NONE_MATCH, REQUEST_ID])
        .expose_headers([ETAG, RETRY_AFTER, REQUEST_ID, X_CACHE, SERVER_TIMING])
        .max_age(Duration::from_hours(2))
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;
    use crate::http::{Door, listen, serve};
    use crate::lifecycle::Lifecycle;

    async fn get(address: std::net::SocketAddr, path: &str, more: &str) -> String {
        let mut stream = tokio::net::TcpStream::connect(address).await.expect("it listens");
        let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{more}\r\n");
        stream.write_all(request.as_bytes()).await.expect("it reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("it answers");
        answer
    }

    #[tokio::test]
    async fn s60_a_handler_that_panics_is_a_500_that_says_nothing_and_costs_nobody_else_anything() {
        let lock = Arc::new(std::sync::Mutex::new(0));
        let poisoned = lock.clone();
        let panics = async move || -> &'static str {
            let _held = poisoned.lock();
            panic!("the secret reason")
        };
        let works = async move || lock.is_poisoned().to_string();
        let both =
            Router::new().route("/panics", axum::routing::get(panics)).route("/works", axum::routing::get(works));
        let door = Door::open(Duration::from_secs(5));
        let app = Browsers { cookies: Vec::new(), origins: vec!["https://app.example.com".to_owned()] };
        let site = Site::new(both, cors(&app), Arc::default());
        let (listener, lifecycle) = (listen(([127, 0, 0, 1], 0).into()).expect("a free port"), Lifecycle::default());
        let address = listener.local_addr().expect("an address");
        let serving = lifecycle.clone();
        lifecycle.spawn("accept", async move { serve(listener, site, door, &serving).await });
        let answer = get(address, "/panics", "").await;
        assert!(answer.starts_with("HTTP/1.1 500") && answer.contains("\"internal\""), "{answer}");
        assert!(answer.contains("requestId") && !answer.contains("secret"), "{answer}");
        let to_a_page = get(address, "/panics", "origin: https://app.example.com\r\n").await;
        assert!(to_a_page.starts_with("HTTP/1.1 500"), "{to_a_page}");
        assert!(to_a_page.contains("access-control-allow-origin: https://app.example.com"), "{to_a_page}");
        let answer = get(address, "/works", "").await;
        assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("true"), "{answer}");
        lifecycle.stop();
        assert!(lifecycle.ended(Duration::from_secs(5)).await);
    }
}
