//! Members of a room, and who is online.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use serde::Deserialize;
use serde_json::json;

use super::AppState;
use super::extract::{Authenticated, Json as Body, Path, Query};
use super::rooms::{Paging, list_limit};
use crate::error::{Error, Result};
use crate::model::{Role, RoomId, UserId};

/// `GET …/members`
pub(super) async fn list(
    State(state): State<AppState>,
    who: Authenticated,
    Path(room): Path<RoomId>,
    Query(paging): Query<Paging>,
) -> Result<impl IntoResponse> {
    let after = paging.cursor.as_deref().map(read_cursor).transpose()?;
    let (members, next) = state.chat.members(&who.caller.id, &room, after, list_limit(paging.limit)?).await?;
    let cursor = next.map(|(seq, id)| format!("{seq}~{id}"));
    Ok(Json(json!({ "members": members, "cursor": cursor })))
}

fn read_cursor(cursor: &str) -> Result<(u64, UserId)> {
    let parts = cursor.split_once('~').and_then(|(seq, id)| Some((seq.parse().ok()?, id.parse().ok()?)));
    parts.ok_or_else(|| Error::invalid("cursor", "is the `cursor` of the page before"))
}

#[derive(Deserialize)]
pub(super) struct MemberBody {
    role: Option<Role>,
}

/// `PUT …/members/{userId}`
pub(super) async fn put(
    State(state): State<AppState>,
    who: Authenticated,
    Path((room, user)): Path<(RoomId, UserId)>,
    Body(body): Body<MemberBody>,
) -> Result<impl IntoResponse> {
    let member = state.chat.put_member(&who.caller.id, &room, &user, body.role).await?;
    Ok(Json(json!({ "member": member })))
}

/// `DELETE …/members/{userId}`
pub(super) async fn remove(
    State(state): State<AppState>,
    who: Authenticated,
    Path((room, user)): Path<(RoomId, UserId)>,
) -> Result<StatusCode> {
    state.chat.remove_member(&who.caller.id, &room, &user).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `GET …/presence`
pub(super) async fn presence(
    State(state): State<AppState>,
    who: Authenticated,
    Path(room): Path<RoomId>,
) -> Result<impl IntoResponse> {
    let online = state.chat.presence(&who.caller.id, &room).await?;
    Ok(Json(match online.users {
        Some(users) => json!({ "count": online.count, "online": users }),
        None => json!({ "count": online.count }),
    }))
}
