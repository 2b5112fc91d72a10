//! The moderation queue, and what is decided of it.

use axum::Json;
use axum::extract::State;
use axum::response::IntoResponse;
use serde::Deserialize;
use serde_json::json;

use super::Admin;
use crate::error::{Error, Result};
use crate::http::AppState;
use crate::http::extract::{Json as Body, Path, Query};
use crate::http::rooms::list_limit;
use crate::model::moderation::DecisionInput;
use crate::model::{CaseCursor, MessageId, RoomId};

#[derive(Deserialize)]
pub(super) struct Paging {
    cursor: Option<String>,
    limit: Option<u32>,
}

/// `GET /api/admin/moderation`
pub(super) async fn queue(State(state): State<AppState>, Query(paging): Query<Paging>) -> Result<impl IntoResponse> {
    let after = paging.cursor.as_deref().map(read_cursor).transpose()?;
    let (cases, next) = state.chat.open_cases(after, list_limit(paging.limit)?).await?;
    let cursor = next.map(|(time, room, rev)| format!("{time}~{room}~{rev}"));
    Ok(Json(json!({ "cases": cases, "cursor": cursor })))
}

fn read_cursor(cursor: &str) -> Result<CaseCursor> {
    let mut parts = cursor.split('~');
    let mut read = || Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?, parts.next()?.parse().ok()?));
    read().ok_or_else(|| Error::invalid("cursor", "is the `cursor` of the page before"))
}

/// `GET …/messages/{messageId}/moderation`
pub(super) async fn show(
    State(state): State<AppState>,
    Path((room, message)): Path<(RoomId, MessageId)>,
) -> Result<impl IntoResponse> {
    Ok(Json(json!({ "cases": state.chat.cases_of(&room, &message).await? })))
}

#[derive(Deserialize)]
pub(super) struct DecisionBody {
    action: DecisionInput,
    reason: Option<String>,
    rev: Option<u64>,
}

/// `PUT …/messages/{messageId}/moderation`
pub(super) async fn decide(
    State(state): State<AppState>,
    Admin { by, .. }: Admin,
    Path((room, id)): Path<(RoomId, MessageId)>,
    Body(DecisionBody { action, reason, rev }): Body<DecisionBody>,
) -> Result<impl IntoResponse> {
    let message = state.chat.decide(&by, &room, &id, (action, reason, rev)).await?;
    Ok(Json(json!({ "message": message, "cases": state.chat.cases_of(&room, &id).await? })))
}
