//! Messages of any room: read, written by the application or in a member's name, blanked.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};

use super::Admin;
use crate::error::Result;
use crate::http::AppState;
use crate::http::extract::{Json as Body, Path, Query};
use crate::http::messages::{PageParameters, answer, sent};
use crate::model::{MessageId, PostInput, RoomId};

/// `GET /api/admin/rooms/{roomId}/messages`
pub(super) async fn list(
    State(state): State<AppState>,
    Path(room): Path<RoomId>,
    Query(parameters): Query<PageParameters>,
) -> Result<impl IntoResponse> {
    let query = parameters.query()?;
    Ok(Json(state.chat.page_of(&room, query, parameters.limit, parameters.history.as_ref()).await?))
}

/// `POST /api/admin/rooms/{roomId}/messages`
pub(super) async fn post(
    State(state): State<AppState>,
    Path(room): Path<RoomId>,
    Body(input): Body<PostInput>,
) -> Result<Response> {
    Ok(sent(&state.chat.post(&room, input).await?))
}

/// `DELETE /api/admin/rooms/{roomId}/messages/{messageId}`
pub(super) async fn blank(
    State(state): State<AppState>,
    admin: Admin,
    Path((room, message)): Path<(RoomId, MessageId)>,
) -> Result<impl IntoResponse> {
    Ok(answer(&state.chat.blank(&admin.by, &room, &message).await?))
}
