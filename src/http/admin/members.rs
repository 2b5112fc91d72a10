//! Members of any room, as the admin side sets them.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;

use super::Admin;
use crate::chat::MemberInput;
use crate::error::Result;
use crate::http::AppState;
use crate::http::extract::{Json as Body, Path, Query};
use crate::http::members::{OneMember, Removal, listed, read_cursor};
use crate::http::rooms::{Paging, list_limit};
use crate::model::{RoomId, UserId};

/// `GET /api/admin/rooms/{roomId}/members`
pub(super) async fn list(
    State(state): State<AppState>,
    Path(room): Path<RoomId>,
    Query(paging): Query<Paging>,
) -> Result<impl IntoResponse> {
    let after = paging.cursor.as_deref().map(read_cursor).transpose()?;
    Ok(listed(state.chat.members_of(&room, after, list_limit(paging.limit)?).await?))
}

/// `PUT /api/admin/rooms/{roomId}/members/{userId}`
pub(super) async fn put(
    State(state): State<AppState>,
    admin: Admin,
    Path((room, user)): Path<(RoomId, UserId)>,
    Body(input): Body<MemberInput>,
) -> Result<impl IntoResponse> {
    let member = state.chat.set_member(&admin.by, &room, &user, input).await?;
    Ok(Json(OneMember { member }))
}

/// `DELETE /api/admin/rooms/{roomId}/members/{userId}`
pub(super) async fn remove(
    State(state): State<AppState>,
    admin: Admin,
    Path((room, user)): Path<(RoomId, UserId)>,
    Query(removal): Query<Removal>,
) -> Result<StatusCode> {
    if removal.ban {
        state.chat.shut_out(&admin.by, &room, &user).await?;
    } else {
        state.chat.expel(&admin.by, &room, &user).await?;
    }
    Ok(StatusCode::NO_CONTENT)
}
