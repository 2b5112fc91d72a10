//! Who one is, the demo's way in, and whether the service is well.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use serde::Deserialize;
use serde_json::json;

use super::AppState;
use super::extract::{Authenticated, Json as Body};
use crate::auth::request::Token;
use crate::chat::Readiness;
use crate::error::{Error, Result};
use crate::model::UserId;
use crate::model::user::check_name;

/// `GET /api/session`
pub(super) async fn show(State(state): State<AppState>, who: Authenticated) -> Result<impl IntoResponse> {
    Ok(Json(state.chat.session(&who.caller).await?))
}

#[derive(Deserialize)]
pub(super) struct DemoBody {
    name: Option<String>,
}

/// `POST /api/demo/session`: a new user of this name, or with a demo token the same one again.
pub(super) async fn demo(
    State(state): State<AppState>,
    headers: HeaderMap,
    Body(body): Body<DemoBody>,
) -> Result<impl IntoResponse> {
    if !state.auth.is_demo() {
        return Err(Error::NotFound);
    }
    let known = match state.browsers.token(&headers)? {
        Some(token) => Some(state.auth.user(&token).await?),
        None => None,
    };
    let (id, name) = match known {
        Some(caller) => (caller.id.clone(), state.chat.session(&caller).await?.user.name),
        None => (UserId::trusted(format!("demo-{}", uuid::Uuid::new_v4().simple())), body.name.unwrap_or_default()),
    };
    check_name(&name)?;
    let (token, expires_at) = state.auth.mint_demo(&id, &name)?;
    let session = state.chat.session(&state.auth.user(&Token::bearer(&token)).await?).await?;
    Ok((StatusCode::CREATED, Json(json!({ "token": token, "expiresAt": expires_at, "user": session.user }))))
}

/// `GET /healthz`: the process answers.
pub(super) async fn healthz() -> impl IntoResponse {
    Json(json!({ "status": "ok" }))
}

/// `GET /readyz`: it can serve, and how well.
pub(super) async fn readyz(State(state): State<AppState>) -> impl IntoResponse {
    let Readiness { stops, database, bus, redis } = state.chat.readiness().await;
    if stops {
        return (StatusCode::SERVICE_UNAVAILABLE, Json(json!({ "status": "stopping" })));
    }
    if let Some(database) = database {
        return (StatusCode::SERVICE_UNAVAILABLE, Json(json!({ "status": "not_ready", "database": database })));
    }
    let status = if redis.is_none() && bus != "unproven" { "ready" } else { "degraded" };
    let redis = redis.as_deref().unwrap_or("ok");
    (StatusCode::OK, Json(json!({ "status": status, "database": "ok", "bus": bus, "redis": redis })))
}
