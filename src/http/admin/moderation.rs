//! The moderation queue, and what is decided of it.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::IntoResponse;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Admin;
use crate::error::{Error, Result};
use crate::http::AppState;
use crate::http::extract::{Json as Body, Path, Query};
use crate::http::rooms::{Paging, list_limit};
use crate::model::moderation::DecisionInput;
use crate::model::{Case, CaseCursor, Message, MessageId, RoomId};

/// A page of the queue.
#[derive(Serialize, JsonSchema)]
pub(super) struct Queue {
    /// Oldest first.
    cases: Vec<Case>,
    /// What goes into `?cursor=` for the next page.
    cursor: Option<String>,
}

/// What was flagged of a message, and decided.
#[derive(Serialize, JsonSchema)]
pub(super) struct Cases {
    /// Oldest first.
    cases: Vec<Case>,
}

/// What came of a decision.
#[derive(Serialize, JsonSchema)]
pub(super) struct Decided {
    /// The message as it is now.
    message: Arc<Message>,
    /// All its cases, oldest first.
    cases: Vec<Case>,
}

/// `GET /api/admin/moderation`
pub(super) async fn queue(State(state): State<AppState>, Query(paging): Query<Paging>) -> Result<impl IntoResponse> {
    let after = paging.cursor.as_deref().map(read_cursor).transpose()?;
    let (cases, next) = state.chat.open_cases(after, list_limit(paging.limit)?).await?;
    let cursor = next.map(|(time, room, rev)| format!("{time}~{room}~{rev}"));
    Ok(Json(Queue { cases, cursor }))
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
    Ok(Json(Cases { cases: state.chat.cases_of(&room, &message).await? }))
}

/// What is decided of a message.
#[derive(Deserialize, JsonSchema)]
#[schemars(rename = "DecisionBody")]
pub(super) struct DecisionBody {
    /// Whether it stays.
    action: DecisionInput,
    /// Why.
    reason: Option<String>,
    /// Cases up to this change; absent: all of them.
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
    Ok(Json(Decided { message, cases: state.chat.cases_of(&room, &id).await? }))
}
