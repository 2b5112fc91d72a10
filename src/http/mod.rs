//! HTTP: parse, ask `chat`, render. Every route on this one screen, and what each takes and answers beside it, in
//! `operations`. No SQL, no rules of who may do what.

mod admin;
mod documents;
mod envelope;
mod extract;
mod files;
mod members;
mod messages;
mod meta;
mod operations;
mod problem;
mod rooms;
mod serve;
mod session;
mod timing;

use std::sync::Arc;

use axum::Router;
use axum::routing::{MethodRouter, get, post, put};

use crate::auth::Auth;
use crate::auth::request::Browsers;
use crate::chat::Chat;
use crate::error::Error;

pub use envelope::Site;
pub use extract::BODY_BYTES;
pub use serve::{Door, HTTP_CONNECTIONS, listen, serve, take_over};
pub use timing::ROUTES;

/// What every handler can reach. Cloning it is cheap.
#[derive(Debug, Clone)]
pub struct AppState {
    /// What people can do.
    pub chat: Chat,
    /// Who they are.
    pub auth: Arc<Auth>,
    /// How browsers may come.
    pub browsers: Arc<Browsers>,
}

/// All routes, behind the base path; `ws` answers the WebSocket's.
pub fn site(state: AppState, base_path: &str, ws: MethodRouter<AppState>, door: &Door) -> Site {
    let cors = envelope::cors(&state.browsers);
    let routes = Router::new()
        .route("/api/chat/ws", ws)
        .route("/api/chat/meta", get(meta::list))
        .route("/api/chat/unread-count", get(meta::unread_count))
        .route("/api/chat/rooms", get(rooms::list).post(rooms::create))
        .route("/api/chat/rooms/{roomId}", get(rooms::show).patch(rooms::update))
        .route("/api/chat/rooms/{roomId}/meta", get(meta::show))
        .route("/api/chat/rooms/{roomId}/messages", get(messages::list).post(messages::send))
        .route(
            "/api/chat/rooms/{roomId}/messages/{messageId}",
            axum::routing::patch(messages::edit).delete(messages::delete),
        )
        .route(
            "/api/chat/rooms/{roomId}/messages/{messageId}/reactions/{emoji}",
            put(messages::react).delete(messages::unreact),
        )
        .route("/api/chat/rooms/{roomId}/read", post(messages::read))
        .route("/api/chat/rooms/{roomId}/typing", post(messages::typing))
        .route("/api/chat/rooms/{roomId}/presence", get(members::presence))
        .route("/api/chat/rooms/{roomId}/members", get(members::list))
        .route("/api/chat/rooms/{roomId}/members/{userId}", put(members::put).delete(members::remove))
        .route("/api/session", get(session::show))
        .route("/api/demo/session", post(session::demo))
        .merge(admin::routes(&state))
        .route("/healthz", get(session::healthz))
        .route("/readyz", get(session::readyz))
        .route("/openapi.json", get(documents::openapi(base_path)))
        .route("/asyncapi.json", get(documents::asyncapi(base_path)))
        .fallback(files::serve)
        .method_not_allowed_fallback(async || Error::MethodNotAllowed)
        .with_state(state);
    if base_path.is_empty() {
        return Site::new(routes, cors, door.proxies.clone()).timed(base_path);
    }
    // As a whole, not route by route: that would leave out the base path with a slash, which is where the page is.
    let nested = Router::new().nest_service(base_path, routes).fallback(async || Error::NotFound);
    Site::new(nested, cors, door.proxies.clone()).timed(base_path)
}
