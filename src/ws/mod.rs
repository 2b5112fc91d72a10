//! WebSockets: the upgrade, and a task per connection. Frames in, `chat` asked, frames out. No SQL, no rules of
//! who may do what.

mod commands;
mod connection;
mod counting;
mod outbound;
mod outlet;
mod rooms;
mod socket;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::Request;
use axum::http::header::{
    CONNECTION, HeaderName, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION,
    UPGRADE,
};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tracing::{Span, error_span, field};

use crate::auth::Auth;
use crate::auth::request::{Browsers, Token};
use crate::chat::Chat;
use crate::error::{Error, Result};
use crate::lifecycle::{Guest, Lifecycle};
use crate::limits::{Client, Connections, Place};
use crate::model::Caller;
use crate::protocol::{BEARER_PREFIX, Close, Limits, REQUEST_ID, SUBPROTOCOL};
use crate::telemetry::{self, CALL};
use socket::Socket;

/// What connections are given and held to.
#[derive(Debug, Clone)]
pub struct Settings {
    /// What `welcome` tells.
    pub limits: Limits,
    /// How often something is heard of a living connection.
    pub heartbeat: Duration,
    /// How long a connection has to authenticate.
    pub auth_deadline: Duration,
    /// Connections at the same time.
    pub max_connections: usize,
    /// Those of each address.
    pub of_address: Connections,
}

/// What every connection can reach.
#[derive(Debug)]
struct Context {
    chat: Chat,
    auth: Arc<Auth>,
    browsers: Arc<Browsers>,
    lifecycle: Lifecycle,
    settings: Settings,
    places: Semaphore,
}

/// The route's handler.
pub fn route<S: Clone + Send + Sync + 'static>(
    chat: Chat,
    auth: Arc<Auth>,
    browsers: Arc<Browsers>,
    lifecycle: Lifecycle,
    settings: Settings,
) -> MethodRouter<S> {
    let places = Semaphore::new(settings.max_connections);
    let context = Arc::new(Context { chat, auth, browsers, lifecycle, settings, places });
    get(async move |request: Request| upgrade(&context, request).await)
}

/// Answers the handshake (RFC 6455, section 4.2) and starts the connection's task.
async fn upgrade(context: &Arc<Context>, mut request: Request) -> Result<Response> {
    let guest = context.lifecycle.guest().ok_or(Error::Stopping)?;
    let place = place_of(context, &request)?;
    let client = request.extensions().get::<Client>().map(|client| client.address);
    let headers = std::mem::take(request.headers_mut());
    context.browsers.check_origin(&headers)?;
    let accept = accept_key(&headers)?;
    let offered = Offered::read(&headers)?;
    let as_who = presented(context, &headers, offered.token).await?;
    let request_id = headers.get(REQUEST_ID).and_then(|id| id.to_str().ok()).unwrap_or_default().into();
    let call = Arc::new(Call { request_id, client });
    let presented = Box::new(Presented { as_who, call: call.clone() });
    let echo = offered.subprotocol;
    let on_upgrade = request.extensions_mut().remove::<OnUpgrade>();
    let on_upgrade =
        on_upgrade.ok_or_else(|| Error::invalid("upgrade", "this connection cannot be upgraded; use HTTP/1.1"))?;
    // Tracked before the answer goes out, so that a stop in between waits for it.
    let serving = serve(context.clone(), on_upgrade, presented, guest, place);
    context.lifecycle.spawn_as(move || call.span(), "connection", serving);
    let mut response = StatusCode::SWITCHING_PROTOCOLS.into_response();
    let answer = response.headers_mut();
    answer.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    answer.insert(UPGRADE, HeaderValue::from_static("websocket"));
    answer.insert(SEC_WEBSOCKET_ACCEPT, accept);
    if echo {
        answer.insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(SUBPROTOCOL));
    }
    Ok(response)
}

/// A place for a socket among those of its address, before anything is known of who comes: a refusal here costs least.
fn place_of(context: &Context, request: &Request) -> Result<Option<Place>> {
    let client = request.extensions().get::<Client>();
    let place = client.map(|client| context.settings.of_address.take(client.address)).transpose();
    place.map_err(|retry_after| Error::RateLimited { retry_after })
}

/// Serves a connection. What happens once, before and after its life, is boxed: its task does not keep room for it.
async fn serve(
    context: Arc<Context>,
    on_upgrade: OnUpgrade,
    presented: Box<Presented>,
    guest: Guest,
    _place_of_address: Option<Place>,
) {
    let Some(mut socket) = Box::pin(take_back(on_upgrade, &context.settings)).await else { return };
    let _open = telemetry::Open::count(|counting| &counting.websockets);
    let call = presented.call.clone();
    let place = context.places.try_acquire();
    let close = if place.is_ok() {
        connection::run(&context, &guest, &mut socket, presented).await
    } else {
        telemetry::limit_hit("connections");
        Some(Close::OVERLOADED)
    };
    call.span().in_scope(|| tracing::debug!(close = close.map(|close| close.reason), "a connection closes"));
    Box::pin(socket.close(close)).await;
}

/// Takes the socket back from hyper, whose own read buffer would else stay for as long as the connection.
async fn take_back(on_upgrade: OnUpgrade, settings: &Settings) -> Option<Socket> {
    let parts = on_upgrade.await.ok()?.downcast::<TokioIo<TcpStream>>().ok()?;
    let patience = settings.heartbeat.mul_f32(2.5);
    Some(Socket::new(parts.io.into_inner(), &parts.read_buf, settings.limits.frame_bytes, patience))
}

/// What a connection begins with.
struct Presented {
    as_who: AsWho,
    call: Arc<Call>,
}

/// The handshake, as the log names it.
struct Call {
    request_id: Box<str>,
    client: Option<IpAddr>,
}

impl Call {
    /// In which all is logged that the connection does. Made for each thing it does: one that is kept takes half a
    /// kilobyte. Without a parent, because the handshake's ends with its answer.
    fn span(&self) -> Span {
        let client = self.client.map(field::display);
        error_span!(target: CALL, parent: None, "connection", request.id = &*self.request_id, client)
    }
}

/// What a connection brings to authenticate with.
enum AsWho {
    /// Nothing yet: its first frame must.
    Nothing,
    /// A token that a browser sent; if it is bad, the socket says so, because a browser cannot read a refused upgrade.
    Token(Result<Arc<Caller>>),
}

async fn presented(context: &Context, headers: &HeaderMap, offered: Option<&str>) -> Result<AsWho> {
    if let Some(token) = offered {
        return Ok(AsWho::Token(context.auth.user(&Token::bearer(token)).await));
    }
    let Some(token) = context.browsers.token(headers)? else { return Ok(AsWho::Nothing) };
    context.browsers.check_cookie_origin(&token, headers, false)?;
    let user = context.auth.user(&token).await;
    Ok(AsWho::Token(if token.is_cookie() { user } else { Ok(user?) }))
}

/// What a client offers as subprotocols.
struct Offered<'a> {
    subprotocol: bool,
    token: Option<&'a str>,
}

impl<'a> Offered<'a> {
    fn read(headers: &'a HeaderMap) -> Result<Self> {
        let mut offered = Self { subprotocol: false, token: None };
        let mut any = false;
        for value in headers.get_all(SEC_WEBSOCKET_PROTOCOL) {
            for name in value.to_str().unwrap_or_default().split(',').map(str::trim) {
                any = true;
                offered.subprotocol |= name == SUBPROTOCOL;
                offered.token = offered.token.or(name.strip_prefix(BEARER_PREFIX));
            }
        }
        if any && !offered.subprotocol {
            return Err(Error::invalid("sec-websocket-protocol", format!("offer {SUBPROTOCOL}")));
        }
        Ok(offered)
    }
}

/// Checks that this is a WebSocket's handshake, and makes the key that proves it was understood.
fn accept_key(headers: &HeaderMap) -> Result<HeaderValue> {
    let has = |name: HeaderName, token: &str| {
        let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
        values.flat_map(|value| value.split(',')).any(|part| part.trim().eq_ignore_ascii_case(token))
    };
    if !has(UPGRADE, "websocket") || !has(CONNECTION, "upgrade") {
        return Err(Error::invalid("upgrade", "this is a WebSocket; connect with `Upgrade: websocket`"));
    }
    if !has(SEC_WEBSOCKET_VERSION, "13") {
        return Err(Error::invalid("sec-websocket-version", "is 13"));
    }
    let key = headers.get(SEC_WEBSOCKET_KEY).filter(|key| key.len() == 24);
    let key = key.ok_or_else(|| Error::invalid("sec-websocket-key", "is 16 random bytes in base64"))?;
    HeaderValue::from_str(&derive_accept_key(key.as_bytes())).map_err(|e| Error::internal("answering a handshake", e))
}
