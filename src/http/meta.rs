//! Meta: one room's, all rooms', and the badge.

use axum::Json;
use axum::extract::State;
use axum::http::header::ETAG;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::AppState;
use super::extract::{Authenticated, KnownTag, Path, Query};
use crate::chat::wait_of;
use crate::error::{Error, Result};
use crate::model::{History, Meta, RoomId};

/// Rooms one call may name.
const NAMED: usize = 500;

/// How long a poll is held.
#[derive(Deserialize, JsonSchema)]
pub(super) struct Poll {
    /// Seconds to hold the answer until something changes; needs the `ETag` in `If-None-Match`.
    #[schemars(range(max = 55))]
    wait: Option<u64>,
}

/// Which rooms, and how long a poll is held.
#[derive(Deserialize, JsonSchema)]
pub(super) struct ListPoll {
    /// Seconds to hold the answer until something changes; needs the `ETag` in `If-None-Match`.
    #[schemars(range(max = 55))]
    wait: Option<u64>,
    /// Ids of at most 500 rooms, with commas between them; absent: the newest of the caller's.
    #[schemars(regex(pattern = "^[A-Za-z0-9_.:-]{0,64}(,[A-Za-z0-9_.:-]{0,64})*$"))]
    rooms: Option<String>,
}

/// Meta of several rooms.
#[derive(Serialize, JsonSchema)]
pub(super) struct RoomMetas {
    /// Newest first.
    rooms: Vec<Meta>,
    /// Rooms that were named and that the caller is not in.
    gone: Vec<RoomId>,
    /// The history that all of it belongs to.
    history: History,
}

/// What is not read.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Unread {
    /// Messages, over all the caller's rooms.
    unread_count: u64,
}

/// `GET …/rooms/{roomId}/meta`
pub(super) async fn show(
    State(state): State<AppState>,
    who: Authenticated,
    Path(room): Path<RoomId>,
    Query(poll): Query<Poll>,
    KnownTag(tag): KnownTag,
) -> Result<Response> {
    let (timing, tag) = (who.timing(), tag.as_deref());
    let answer = state.chat.meta(&who.caller, &room, tag, wait_of(poll.wait)?).await?;
    Ok(tagged(tag, &answer.etag, timing.headers(answer.cached), || Json(answer.meta)))
}

/// `GET /api/chat/meta`
pub(super) async fn list(
    State(state): State<AppState>,
    who: Authenticated,
    Query(poll): Query<ListPoll>,
    KnownTag(tag): KnownTag,
) -> Result<Response> {
    let (timing, tag) = (who.timing(), tag.as_deref());
    let named = poll.rooms.as_deref().map(named_rooms).transpose()?;
    let list = state.chat.list_meta(&who.caller, named.as_deref(), tag, wait_of(poll.wait)?).await?;
    let etag = list.etag();
    Ok(tagged(tag, &etag, timing.headers(list.cached), || {
        Json(RoomMetas { rooms: list.rooms, gone: list.gone, history: list.history })
    }))
}

/// `GET /api/chat/unread-count`
pub(super) async fn unread_count(State(state): State<AppState>, who: Authenticated) -> Result<impl IntoResponse> {
    let unread_count = state.chat.unread_count(&who.caller.id).await?;
    Ok(Json(Unread { unread_count }))
}

fn named_rooms(list: &str) -> Result<Vec<RoomId>> {
    let mut rooms = Vec::new();
    for id in list.split(',').filter(|id| !id.is_empty()) {
        rooms.push(id.parse().map_err(|rule: &str| Error::invalid("rooms", rule))?);
    }
    rooms.sort();
    rooms.dedup();
    if rooms.len() > NAMED {
        return Err(Error::TooLarge { what: "rooms", limit: format!("{NAMED} ids") });
    }
    Ok(rooms)
}

fn tagged<B: IntoResponse>(
    known: Option<&str>,
    etag: &str,
    mut headers: HeaderMap,
    body: impl FnOnce() -> B,
) -> Response {
    if let Ok(value) = HeaderValue::from_str(&format!("\"{etag}\"")) {
        headers.insert(ETAG, value);
    }
    if known == Some(etag) {
        let mut response = StatusCode::NOT_MODIFIED.into_response();
        *response.headers_mut() = headers;
        return response;
    }
    (headers, body()).into_response()
}
