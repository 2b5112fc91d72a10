//! People, as the admin side sees and sets them.

use axum::Json;
use axum::extract::State;
use axum::response::IntoResponse;

use crate::error::Result;
use crate::http::AppState;
use crate::http::extract::Path;
use crate::model::UserId;

/// `GET /api/admin/users/{userId}`
pub(super) async fn show(State(state): State<AppState>, Path(id): Path<UserId>) -> Result<impl IntoResponse> {
    Ok(Json(state.chat.user_of(&id).await?))
}
