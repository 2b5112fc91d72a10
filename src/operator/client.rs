//! A client of a running service: calls by HTTP, and its WebSocket, which is an HTTP connection that was upgraded, so that
//! both go the same way with TLS and a path in front. What fails says whether trying again can help.

use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{
    AUTHORIZATION, CONNECTION, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER, SEC_WEBSOCKET_ACCEPT,
    SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use hyper::upgrade::Upgraded;
use hyper::{Method, Request, Response, StatusCode, Uri};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client as HttpClient;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde::Deserialize;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::client::generate_key;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;

use crate::config::{ConfigError, ServerArgs};

/// How long an answer is waited for.
const ANSWER: Duration = Duration::from_secs(20);
/// Longest answer that is read.
const ANSWER_BYTES: usize = 4 << 20;
/// The first wait before another attempt; each further one is twice as long.
const FIRST_WAIT: Duration = Duration::from_millis(250);
/// The longest.
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// An open WebSocket.
pub(super) type Socket = WebSocketStream<TokioIo<Upgraded>>;

/// Why something was not done.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Denied {
    /// Trying again can help, after this long if it was said.
    Later(String, Option<Duration>),
    /// It cannot.
    Refused(String),
}

/// A client of one service, as one user.
pub(super) struct Client {
    http: HttpClient<HttpsConnector<HttpConnector>, Full<Bytes>>,
    server: ServerArgs,
    base: String,
}

/// What a problem tells.
#[derive(Deserialize)]
struct Problem {
    code: String,
    detail: String,
}

impl Client {
    /// A client; nothing is asked yet.
    pub(super) fn new(server: ServerArgs) -> Result<Self, ConfigError> {
        let base = base(&server.url)?;
        server.token()?;
        let certificates = |error| ConfigError::new("TIDINGS_URL", format!("no certificates can be read: {error}"));
        let connector = HttpsConnectorBuilder::new().with_native_roots().map_err(certificates)?;
        let connector = connector.https_or_http().enable_http1().build();
        Ok(Self { http: HttpClient::builder(TokioExecutor::new()).build(connector), server, base })
    }

    /// Where the service is.
    pub(super) fn url(&self) -> &str {
        &self.base
    }

    /// POSTs JSON; the body of the answer, if it is a success.
    pub(super) async fn post(&self, path: &str, body: String) -> Result<Bytes, Denied> {
        let headers = [(CONTENT_TYPE, HeaderValue::from_static("application/json"))];
        let answer = async {
            let response = self.call(Method::POST, path, headers, body).await?;
            let (status, wait) = (response.status(), retry_after(&response));
            let body = body_of(response).await?;
            if status.is_success() { Ok(body) } else { Err(denied(status, wait, &body)) }
        };
        tokio::time::timeout(ANSWER, answer).await.unwrap_or_else(|_| Err(late()))
    }

    /// Opens the WebSocket.
    pub(super) async fn socket(&self) -> Result<Socket, Denied> {
        tokio::time::timeout(ANSWER, self.upgrade()).await.unwrap_or_else(|_| Err(late()))
    }

    async fn upgrade(&self) -> Result<Socket, Denied> {
        let key = generate_key();
        let text = |text: &str| HeaderValue::from_str(text).map_err(|error| Denied::Refused(error.to_string()));
        let headers = [
            (CONNECTION, HeaderValue::from_static("Upgrade")),
            (UPGRADE, HeaderValue::from_static("websocket")),
            (SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13")),
            (SEC_WEBSOCKET_KEY, text(&key)?),
            (SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static("tidings.v1")),
        ];
        let response = self.call(Method::GET, "/api/chat/ws", headers, String::new()).await?;
        let status = response.status();
        if status != StatusCode::SWITCHING_PROTOCOLS {
            let wait = retry_after(&response);
            return Err(denied(status, wait, &body_of(response).await?));
        }
        let accept = response.headers().get(SEC_WEBSOCKET_ACCEPT).map(HeaderValue::as_bytes);
        if accept != Some(derive_accept_key(key.as_bytes()).as_bytes()) {
            return Err(Denied::Refused("what answers there is no WebSocket".to_owned()));
        }
        let upgraded = hyper::upgrade::on(response).await.map_err(|error| unreachable(&error))?;
        Ok(WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Client, None).await)
    }

    async fn call(
        &self,
        method: Method,
        path: &str,
        headers: impl IntoIterator<Item = (HeaderName, HeaderValue)>,
        body: String,
    ) -> Result<Response<Incoming>, Denied> {
        // Read each time: a file may hold a newer one by now.
        let token = self.server.token().map_err(|error| Denied::Refused(error.to_string()))?;
        let bearer = HeaderValue::from_str(&format!("Bearer {token}"))
            .map_err(|_| Denied::Refused("TIDINGS_TOKEN: this is no token".to_owned()))?;
        let mut request = Request::new(Full::new(Bytes::from(body)));
        *request.method_mut() = method;
        *request.uri_mut() =
            format!("{}{path}", self.base).parse().map_err(|_| Denied::Refused(format!("{path} is no path")))?;
        request.headers_mut().extend(headers);
        request.headers_mut().insert(AUTHORIZATION, bearer);
        self.http.request(request).await.map_err(|error| unreachable(&error))
    }
}

/// The address without an end, as HTTP.
fn base(url: &str) -> Result<String, ConfigError> {
    let wrong = || ConfigError::new("TIDINGS_URL", "is no address such as http://127.0.0.1:8080 or https://host/path");
    let url = url.trim_end_matches('/');
    let (scheme, rest) = url.split_once("://").ok_or_else(wrong)?;
    let scheme = match scheme {
        "http" | "ws" => "http",
        "https" | "wss" => "https",
        _ => return Err(wrong()),
    };
    let base = format!("{scheme}://{rest}");
    let parsed: Uri = base.parse().map_err(|_| wrong())?;
    if parsed.host().is_none_or(str::is_empty) || rest.contains(['?', '#', '@']) {
        return Err(wrong());
    }
    Ok(base)
}

fn late() -> Denied {
    Denied::Later(format!("there was no answer within {} s", ANSWER.as_secs()), None)
}

fn unreachable(error: &dyn std::error::Error) -> Denied {
    // The innermost cause is what a person can do something about.
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    Denied::Later(cause.to_string(), None)
}

fn retry_after(response: &Response<Incoming>) -> Option<Duration> {
    response.headers().get(RETRY_AFTER)?.to_str().ok()?.parse().ok().map(Duration::from_secs)
}

async fn body_of(response: Response<Incoming>) -> Result<Bytes, Denied> {
    let body = Limited::new(response.into_body(), ANSWER_BYTES).collect().await;
    body.map(http_body_util::Collected::to_bytes).map_err(|error| unreachable(error.as_ref()))
}

/// What an answer that is no success means.
fn denied(status: StatusCode, wait: Option<Duration>, body: &[u8]) -> Denied {
    let said = match serde_json::from_slice::<Problem>(body) {
        Ok(Problem { code, detail }) => format!("{} {code}: {detail}", status.as_u16()),
        Err(_) => format!("it answered {status}"),
    };
    // Also of a proxy in front: what it says while nothing is behind it.
    if status.is_server_error() || matches!(status.as_u16(), 408 | 425 | 429) {
        Denied::Later(said, wait)
    } else {
        Denied::Refused(said)
    }
}

/// Waits between attempts: each longer than the one before, and no two clients' alike.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    attempts: u32,
}

impl Backoff {
    /// It worked: the next wait is a short one again.
    pub(super) fn reset(&mut self) {
        self.attempts = 0;
    }

    /// How long to wait before the next attempt.
    pub(super) fn next(&mut self) -> Duration {
        let longest = FIRST_WAIT.saturating_mul(1 << self.attempts.min(10)).min(LONGEST_WAIT);
        self.attempts += 1;
        let chance = uuid::Uuid::new_v4().as_u128() % 1000;
        longest.mul_f64(0.5 + f64::from(u32::try_from(chance).unwrap_or(0)) / 2000.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_may_be_given_as_people_write_it() {
        for (given, meant) in [
            ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
            ("https://chat.example.com/tidings/", "https://chat.example.com/tidings"),
            ("wss://chat.example.com", "https://chat.example.com"),
            ("ws://[::1]:80/a/b", "http://[::1]:80/a/b"),
        ] {
            assert_eq!(base(given).expect(given), meant);
        }
        for wrong in ["", "chat.example.com", "ftp://a", "http://", "http:///x", "http://a?b", "http://ann:secret@a"] {
            let error = base(wrong).expect_err(wrong);
            assert!(error.setting == "TIDINGS_URL" && !error.detail.contains("secret"), "{wrong}: {error}");
        }
    }

    #[test]
    fn what_passes_by_itself_is_told_from_what_does_not() {
        let problem = br#"{"code":"room_not_found","detail":"there is none"}"#;
        let refused = Denied::Refused("404 room_not_found: there is none".to_owned());
        assert_eq!(denied(StatusCode::NOT_FOUND, None, problem), refused);
        let wait = Some(Duration::from_secs(3));
        assert!(matches!(denied(StatusCode::TOO_MANY_REQUESTS, wait, b""), Denied::Later(_, given) if given == wait));
        assert!(matches!(denied(StatusCode::BAD_GATEWAY, None, b"<html>"), Denied::Later(..)));
    }

    #[test]
    fn waits_grow_to_a_bound() {
        let mut backoff = Backoff::default();
        let waits: Vec<Duration> = (0..12).map(|_| backoff.next()).collect();
        assert!(waits[0] <= FIRST_WAIT && waits[0] >= FIRST_WAIT / 2, "{waits:?}");
        assert!(waits[11] <= LONGEST_WAIT && waits[11] >= LONGEST_WAIT / 2, "{waits:?}");
        backoff.reset();
        assert!(backoff.next() <= FIRST_WAIT);
    }
}
