//! Daily quotas. Which rooms name one is set on the room.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::http::AppState;
use crate::http::extract::{Json as Body, Path};
use crate::model::{Quota, QuotaName};

/// A quota.
#[derive(Serialize, JsonSchema)]
pub(super) struct OneQuota {
    /// The quota as it is now.
    quota: Quota,
}

/// All quotas.
#[derive(Serialize, JsonSchema)]
pub(super) struct Quotas {
    /// In order of name.
    quotas: Vec<Quota>,
}

/// `GET /api/admin/quotas`
pub(super) async fn list(State(state): State<AppState>) -> Result<impl IntoResponse> {
    Ok(Json(Quotas { quotas: state.chat.quotas().await? }))
}

/// `GET /api/admin/quotas/{name}`
pub(super) async fn show(State(state): State<AppState>, Path(name): Path<QuotaName>) -> Result<impl IntoResponse> {
    Ok(Json(OneQuota { quota: state.chat.quota(&name).await? }))
}

/// What a quota allows.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "QuotaSettings")]
pub(super) struct QuotaBody {
    /// Messages a day.
    #[schemars(range(min = 1, max = 1_000_000))]
    per_day: u32,
    /// Whose midnight begins the day: a name of the IANA database, such as Europe/Berlin.
    time_zone: String,
}

/// `PUT /api/admin/quotas/{name}`
pub(super) async fn put(
    State(state): State<AppState>,
    Path(name): Path<QuotaName>,
    Body(QuotaBody { per_day, time_zone }): Body<QuotaBody>,
) -> Result<impl IntoResponse> {
    Ok(Json(OneQuota { quota: state.chat.put_quota(name, per_day, &time_zone).await? }))
}

/// `DELETE /api/admin/quotas/{name}`
pub(super) async fn remove(State(state): State<AppState>, Path(name): Path<QuotaName>) -> Result<StatusCode> {
    state.chat.delete_quota(&name).await?;
    Ok(StatusCode::NO_CONTENT)
}
