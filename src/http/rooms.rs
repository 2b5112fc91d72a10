//! Rooms: listing, finding, making, showing, renaming.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::AppState;
use super::extract::{Authenticated, Json as Body, Path, Query, present};
use crate::chat::{RoomCursor, RoomInput};
use crate::error::{Error, Result};
use crate::model::{RoomId, RoomKind};

/// Rooms or members in a list if the caller names no number.
const DEFAULT_LIST: u32 = 50;
/// Rooms or members in a list at most.
const LONGEST_LIST: u32 = 100;

/// Where a list goes on.
#[derive(Deserialize)]
pub(super) struct Paging {
    pub(super) cursor: Option<String>,
    pub(super) limit: Option<u32>,
    #[serde(rename = "type")]
    kind: Option<RoomKind>,
}

pub(super) fn list_limit(asked: Option<u32>) -> Result<u32> {
    match asked.unwrap_or(DEFAULT_LIST) {
        limit @ 1..=LONGEST_LIST => Ok(limit),
        _ => Err(Error::invalid("limit", format!("a number from 1 to {LONGEST_LIST}"))),
    }
}

/// `GET /api/chat/rooms`
pub(super) async fn list(
    State(state): State<AppState>,
    who: Authenticated,
    Query(paging): Query<Paging>,
) -> Result<impl IntoResponse> {
    let after = paging.cursor.as_deref().map(read_cursor).transpose()?;
    let (rooms, next) = state.chat.rooms(&who.caller.id, paging.kind, after, list_limit(paging.limit)?).await?;
    let cursor = next.map(|(time, id)| format!("{time}~{id}"));
    Ok(Json(json!({ "rooms": rooms, "cursor": cursor })))
}

fn read_cursor(cursor: &str) -> Result<RoomCursor> {
    let parts = cursor.split_once('~').and_then(|(time, id)| Some((time.parse().ok()?, id.parse().ok()?)));
    parts.ok_or_else(|| Error::invalid("cursor", "is the `cursor` of the page before"))
}

/// `POST /api/chat/rooms`
pub(super) async fn create(
    State(state): State<AppState>,
    who: Authenticated,
    Body(input): Body<RoomInput>,
) -> Result<impl IntoResponse> {
    let (room, is_new) = state.chat.create_room(&who.caller, input).await?;
    let status = if is_new { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, Json(json!({ "room": room }))))
}

/// `GET /api/chat/rooms/{roomId}`
pub(super) async fn show(
    State(state): State<AppState>,
    who: Authenticated,
    Path(room): Path<RoomId>,
) -> Result<impl IntoResponse> {
    Ok(Json(json!({ "room": state.chat.room(&who.caller.id, &room).await? })))
}

/// `null` takes a value away; absent leaves it.
#[derive(Deserialize)]
#[expect(clippy::option_option, reason = "the three cases that JSON has: absent, null, a value")]
pub(super) struct PatchBody {
    #[serde(default, deserialize_with = "present")]
    title: Option<Option<String>>,
    #[serde(default, deserialize_with = "present")]
    metadata: Option<Option<Map<String, Value>>>,
}

/// `PATCH /api/chat/rooms/{roomId}`
pub(super) async fn update(
    State(state): State<AppState>,
    who: Authenticated,
    Path(room): Path<RoomId>,
    Body(patch): Body<PatchBody>,
) -> Result<impl IntoResponse> {
    let room = state.chat.update_room(&who.caller.id, &room, patch.title, patch.metadata).await?;
    Ok(Json(json!({ "room": room })))
}
