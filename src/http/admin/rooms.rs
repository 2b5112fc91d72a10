//! Rooms, as the admin side makes and sees them.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;

use super::Admin;
use crate::chat::RoomSettings;
use crate::error::Result;
use crate::http::AppState;
use crate::http::extract::{Json as Body, Path};
use crate::http::rooms::OneRoom;
use crate::model::RoomId;

/// `GET /api/admin/rooms/{roomId}`
pub(super) async fn show(State(state): State<AppState>, Path(room): Path<RoomId>) -> Result<impl IntoResponse> {
    Ok(Json(OneRoom { room: state.chat.whole_room(&room).await? }))
}

/// `PUT /api/admin/rooms/{roomId}`
pub(super) async fn put(
    State(state): State<AppState>,
    admin: Admin,
    Path(room): Path<RoomId>,
    Body(settings): Body<RoomSettings>,
) -> Result<impl IntoResponse> {
    let (room, is_new) = state.chat.set_room(&admin.by, &room, settings).await?;
    let status = if is_new { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, Json(OneRoom { room })))
}
