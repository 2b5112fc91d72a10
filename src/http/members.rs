//! Members of a room, and who is online.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::AppState;
use super::extract::{Authenticated, Json as Body, Path, Query};
use super::rooms::{Paging, list_limit};
use crate::chat::Online;
use crate::error::{Error, Result};
use crate::model::{MemberView, Role, RoomId, UserId};

/// `GET …/members`
pub(super) async fn list(
    State(state): State<AppState>,
    who: Authenticated,
    Path(room): Path<RoomId>,
    Query(paging): Query<Paging>,
) -> Result<impl IntoResponse> {
    let after = paging.cursor.as_deref().map(read_cursor).transpose()?;
    Ok(listed(state.chat.members(&who.caller.id, &room, after, list_limit(paging.limit)?).await?))
}

/// A page of members.
#[derive(Serialize, JsonSchema)]
pub(super) struct Members {
    /// In the order in which they joined.
    members: Vec<MemberView>,
    /// What goes into `?cursor=` for the next page.
    cursor: Option<String>,
}

/// A page of members, and where to go on.
pub(super) fn listed((members, next): (Vec<MemberView>, Option<(u64, UserId)>)) -> Json<Members> {
    let cursor = next.map(|(seq, id)| format!("{seq}~{id}"));
    Json(Members { members, cursor })
}

pub(super) fn read_cursor(cursor: &str) -> Result<(u64, UserId)> {
    let parts = cursor.split_once('~').and_then(|(seq, id)| Some((seq.parse().ok()?, id.parse().ok()?)));
    parts.ok_or_else(|| Error::invalid("cursor", "is the `cursor` of the page before"))
}

/// A member of a room.
#[derive(Serialize, JsonSchema)]
pub(super) struct OneMember {
    /// The member as they are now.
    pub(super) member: MemberView,
}

/// What a member is to be.
#[derive(Deserialize, JsonSchema)]
#[schemars(rename = "MemberRole")]
pub(super) struct MemberBody {
    /// Their role; absent: as it is, and MEMBER for who is new.
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
    Ok(Json(OneMember { member }))
}

/// Whether who is removed is banned, too.
#[derive(Deserialize, JsonSchema)]
pub(super) struct Removal {
    /// They are kept from coming back.
    #[serde(default)]
    pub(super) ban: bool,
}

/// `DELETE …/members/{userId}`
pub(super) async fn remove(
    State(state): State<AppState>,
    who: Authenticated,
    Path((room, user)): Path<(RoomId, UserId)>,
    Query(removal): Query<Removal>,
) -> Result<StatusCode> {
    if removal.ban {
        state.chat.ban_member(&who.caller.id, &room, &user).await?;
    } else {
        state.chat.remove_member(&who.caller.id, &room, &user).await?;
    }
    Ok(StatusCode::NO_CONTENT)
}

/// Who is online in a room.
#[derive(Serialize, JsonSchema)]
pub(super) struct Presence {
    /// How many.
    count: usize,
    /// Who, in order of id; absent in a room of more than 200 members.
    #[serde(skip_serializing_if = "Option::is_none")]
    online: Option<Vec<UserId>>,
}

/// `GET …/presence`
pub(super) async fn presence(
    State(state): State<AppState>,
    who: Authenticated,
    Path(room): Path<RoomId>,
) -> Result<impl IntoResponse> {
    let Online { count, users: online } = state.chat.presence(&who.caller.id, &room).await?;
    Ok(Json(Presence { count, online }))
}
