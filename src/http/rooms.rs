//! Rooms: listing, finding, making, showing, renaming.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::AppState;
use super::extract::{Authenticated, Json as Body, Path, Query, present};
use crate::chat::{RoomCursor, RoomInput};
use crate::error::{Error, Result};
use crate::model::text::Object;
use crate::model::{Room, RoomId, RoomKind};

/// Rooms or members in a list if the caller names no number.
const DEFAULT_LIST: u32 = 50;
/// Rooms or members in a list at most.
const LONGEST_LIST: u32 = 100;

/// Where a list goes on.
#[derive(Deserialize, JsonSchema)]
pub(super) struct Paging {
    /// The `cursor` of the page before.
    pub(super) cursor: Option<String>,
    /// Entries at most; 50 if absent.
    #[schemars(range(min = 1, max = 100))]
    pub(super) limit: Option<u32>,
}

/// Which rooms, and where the list goes on.
#[derive(Deserialize, JsonSchema)]
pub(super) struct Listing {
    /// `PUBLIC` finds public ones; absent: one's own.
    #[serde(rename = "type")]
    kind: Option<RoomKind>,
    /// The `cursor` of the page before.
    cursor: Option<String>,
    /// Rooms at most; 50 if absent.
    #[schemars(range(min = 1, max = 100))]
    limit: Option<u32>,
}

/// A room.
#[derive(Serialize, JsonSchema)]
pub(super) struct OneRoom {
    /// The room as the caller sees it.
    pub(super) room: Room,
}

/// A page of rooms.
#[derive(Serialize, JsonSchema)]
pub(super) struct Rooms {
    /// Newest first.
    rooms: Vec<Room>,
    /// What goes into `?cursor=` for the next page.
    cursor: Option<String>,
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
    Query(listing): Query<Listing>,
) -> Result<Json<Rooms>> {
    let after = listing.cursor.as_deref().map(read_cursor).transpose()?;
    let (rooms, next) = state.chat.rooms(&who.caller.id, listing.kind, after, list_limit(listing.limit)?).await?;
    let cursor = next.map(|(time, id)| format!("{time}~{id}"));
    Ok(Json(Rooms { rooms, cursor }))
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
    Ok((status, Json(OneRoom { room })))
}

/// `GET /api/chat/rooms/{roomId}`
pub(super) async fn show(
    State(state): State<AppState>,
    who: Authenticated,
    Path(room): Path<RoomId>,
) -> Result<impl IntoResponse> {
    Ok(Json(OneRoom { room: state.chat.room(&who.caller.id, &room).await? }))
}

/// `null` takes a value away; absent leaves it.
#[derive(Deserialize, JsonSchema)]
#[schemars(rename = "RoomPatch")]
#[expect(clippy::option_option, reason = "the three cases that JSON has: absent, null, a value")]
pub(super) struct PatchBody {
    /// Its title.
    #[serde(default, deserialize_with = "present")]
    #[schemars(length(min = 1, max = 120))]
    title: Option<Option<String>>,
    /// What the application keeps with it: at most 4096 bytes of JSON.
    #[serde(default, deserialize_with = "present")]
    metadata: Option<Option<Object>>,
    /// Seconds between two messages of one member; 0: no such limit.
    #[schemars(range(max = 3600))]
    #[serde(rename = "slowModeSeconds")]
    slow_mode_seconds: Option<u32>,
}

/// `PATCH /api/chat/rooms/{roomId}`
pub(super) async fn update(
    State(state): State<AppState>,
    who: Authenticated,
    Path(room): Path<RoomId>,
    Body(patch): Body<PatchBody>,
) -> Result<impl IntoResponse> {
    let PatchBody { title, metadata, slow_mode_seconds } = patch;
    let room = state.chat.update_room(&who.caller.id, &room, title, metadata, slow_mode_seconds).await?;
    Ok(Json(OneRoom { room }))
}
