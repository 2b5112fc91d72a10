//! The admin side: what the application's own backend and administrators may do. Every route of it stands behind
//! [`admit`], which lets in only those two and writes one line of audit for each call, whatever came of it.

mod members;
mod messages;
mod moderation;
mod operations;
mod quotas;
mod revocations;
mod rooms;
mod users;

use axum::Router;
use axum::extract::{FromRequestParts, MatchedPath, Request, State};
use axum::http::request::Parts;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post, put};

use crate::error::{Error, Result};
use crate::http::AppState;
use crate::http::extract::principal;
use crate::model::{Principal, UserId};

pub(super) use operations::operations;

/// All routes of the admin side.
pub(super) fn routes(state: &AppState) -> Router<AppState> {
    Router::new()
        .route("/api/admin/users/{userId}", get(users::show).put(users::put))
        .route("/api/admin/users/{userId}/suspension", put(users::suspend).delete(users::restore))
        .route("/api/admin/users/{userId}/messages", delete(users::erase))
        .route("/api/admin/users/{userId}/disconnect", post(users::disconnect))
        .route("/api/admin/sessions/{sessionId}/disconnect", post(revocations::disconnect))
        .route("/api/admin/revocations", post(revocations::create))
        .route("/api/admin/rooms/{roomId}", get(rooms::show).put(rooms::put))
        .route("/api/admin/rooms/{roomId}/members", get(members::list))
        .route("/api/admin/rooms/{roomId}/members/{userId}", put(members::put).delete(members::remove))
        .route("/api/admin/rooms/{roomId}/messages", get(messages::list).post(messages::post))
        .route("/api/admin/rooms/{roomId}/messages/{messageId}", delete(messages::blank))
        .route("/api/admin/moderation", get(moderation::queue))
        .route(
            "/api/admin/rooms/{roomId}/messages/{messageId}/moderation",
            get(moderation::show).put(moderation::decide),
        )
        .route("/api/admin/quotas", get(quotas::list))
        .route("/api/admin/quotas/{name}", get(quotas::show).put(quotas::put).delete(quotas::remove))
        .route_layer(from_fn_with_state(state.clone(), admit))
}

/// Who acts: an administrator, or the application, which acts as the system.
#[derive(Debug, Clone)]
pub(super) struct Admin {
    /// In whose name what is done is written into a room's log.
    pub(super) by: UserId,
}

impl FromRequestParts<AppState> for Admin {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &AppState) -> Result<Self> {
        let admitted = parts.extensions.get::<Self>().cloned();
        admitted.ok_or_else(|| Error::internal("answering an admin call", "the route is not behind `admit`"))
    }
}

/// Lets in the application and administrators.
async fn admit(State(state): State<AppState>, request: Request, next: Next) -> Response {
    let (mut parts, body) = request.into_parts();
    let (method, path) = (parts.method.clone(), parts.uri.path().to_owned());
    let route = parts.extensions.get::<MatchedPath>().map(|route| route.as_str().to_owned()).unwrap_or_default();
    let (by, response) = match admin(&mut parts, &state).await {
        Ok(admin) => {
            let by = admin.by.to_string();
            parts.extensions.insert(admin);
            (by, next.run(Request::from_parts(parts, body)).await)
        }
        Err(error) => ("nobody".to_owned(), error.into_response()),
    };
    let status = response.status().as_u16();
    tracing::info!(target: "tidings::audit", by, %method, route, path, status, "an admin call");
    response
}

async fn admin(parts: &mut Parts, state: &AppState) -> Result<Admin> {
    match principal(parts, state).await? {
        Principal::Application(_) => Ok(Admin { by: UserId::system() }),
        Principal::User(caller) if state.chat.is_admin(&caller).await? => Ok(Admin { by: caller.id.clone() }),
        Principal::User(_) => Err(Error::Forbidden("this is for administrators")),
    }
}
