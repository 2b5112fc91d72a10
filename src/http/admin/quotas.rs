//! Daily quotas. Which rooms name one is set on the room.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use serde::Deserialize;
use serde_json::json;

use crate::error::Result;
use crate::http::AppState;
use crate::http::extract::{Json as Body, Path};
use crate::model::QuotaName;

/// `GET /api/admin/quotas`
pub(super) async fn list(State(state): State<AppState>) -> Result<impl IntoResponse> {
    Ok(Json(json!({ "quotas": state.chat.quotas().await? })))
}

/// `GET /api/admin/quotas/{name}`
pub(super) async fn show(State(state): State<AppState>, Path(name): Path<QuotaName>) -> Result<impl IntoResponse> {
    Ok(Json(json!({ "quota": state.chat.quota(&name).await? })))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct QuotaBody {
    per_day: u32,
    time_zone: String,
}

/// `PUT /api/admin/quotas/{name}`
pub(super) async fn put(
    State(state): State<AppState>,
    Path(name): Path<QuotaName>,
    Body(QuotaBody { per_day, time_zone }): Body<QuotaBody>,
) -> Result<impl IntoResponse> {
    Ok(Json(json!({ "quota": state.chat.put_quota(name, per_day, &time_zone).await? })))
}

/// `DELETE /api/admin/quotas/{name}`
pub(super) async fn remove(State(state): State<AppState>, Path(name): Path<QuotaName>) -> Result<StatusCode> {
    state.chat.delete_quota(&name).await?;
    Ok(StatusCode::NO_CONTENT)
}
