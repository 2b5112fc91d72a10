//! Who one is, the demo's way in, and whether the service is well.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::AppState;
use super::extract::{Authenticated, Json as Body};
use crate::auth::request::Token;
use crate::chat::Readiness;
use crate::error::{Error, Result};
use crate::model::user::check_name;
use crate::model::{Profile, Timestamp, UserId};

/// `GET /api/session`
pub(super) async fn show(State(state): State<AppState>, who: Authenticated) -> Result<impl IntoResponse> {
    Ok(Json(state.chat.session(&who.caller).await?))
}

/// Whom to make up.
#[derive(Deserialize, JsonSchema)]
#[schemars(rename = "DemoUser")]
pub(super) struct DemoBody {
    /// Their name; needed unless a demo token comes along.
    #[schemars(length(min = 1, max = 80))]
    name: Option<String>,
}

/// A person who was made up, and how they call.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct DemoSession {
    /// Their token.
    token: String,
    /// When it ends.
    expires_at: Timestamp,
    /// Who they are.
    user: Profile,
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
    let caller = state.auth.user(&Token::bearer(&token)).await?;
    let session = state.chat.session(&caller).await?;
    Ok((StatusCode::CREATED, Json(DemoSession { token, expires_at, user: session.user })))
}

/// That the process answers.
#[derive(Serialize, JsonSchema)]
pub(super) struct Health {
    /// `ok`.
    status: &'static str,
}

/// `GET /healthz`: the process answers.
pub(super) async fn healthz() -> impl IntoResponse {
    Json(Health { status: "ok" })
}

/// How the service is.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Readiness")]
pub(super) struct ReadyBody {
    /// `ready`; `degraded`, while it can be used and Redis is of no use; `not_ready`; or `stopping`.
    status: &'static str,
    /// `ok`, or what is wrong with the database.
    #[serde(skip_serializing_if = "Option::is_none")]
    database: Option<String>,
    /// How the bus between instances is; `unproven` while messages of others may come late.
    #[serde(skip_serializing_if = "Option::is_none")]
    bus: Option<&'static str>,
    /// `ok`, or what is wrong with Redis.
    #[serde(skip_serializing_if = "Option::is_none")]
    redis: Option<String>,
}

/// `GET /readyz`: it can serve, and how well.
pub(super) async fn readyz(State(state): State<AppState>) -> impl IntoResponse {
    let Readiness { stops, database, bus, redis } = state.chat.readiness().await;
    if stops {
        let body = ReadyBody { status: "stopping", database: None, bus: None, redis: None };
        return (StatusCode::SERVICE_UNAVAILABLE, Json(body));
    }
    if database.is_some() {
        let body = ReadyBody { status: "not_ready", database, bus: None, redis: None };
        return (StatusCode::SERVICE_UNAVAILABLE, Json(body));
    }
    let status = if redis.is_none() && bus != "unproven" { "ready" } else { "degraded" };
    let ok = || "ok".to_owned();
    let (database, redis) = (Some(ok()), Some(redis.unwrap_or_else(ok)));
    (StatusCode::OK, Json(ReadyBody { status, database, bus: Some(bus), redis }))
}
