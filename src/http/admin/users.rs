//! People, as the admin side sees and sets them; who is suspended; who is sent away for a moment.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};

use crate::error::{Error, Result};
use crate::http::AppState;
use crate::http::extract::{Json as Body, Path, object, present};
use crate::model::user::{check_name, check_picture};
use crate::model::{AccessChange, Partner, Set, User, UserId, UserPatch, UserRole};

/// Longest id or status of a partner profile, in bytes.
const PARTNER_BYTES: usize = 64;

/// A user as the admin side sees them.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct AdminUser {
    #[serde(flatten)]
    user: User,
    /// Whether they are kept out.
    suspended: bool,
}

impl From<(User, bool)> for AdminUser {
    fn from((user, suspended): (User, bool)) -> Self {
        Self { user, suspended }
    }
}

/// What is absent stays; `null` says that there is none.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "UserPatch")]
#[expect(clippy::option_option, reason = "the three cases that JSON has: absent, null, a value")]
pub(super) struct UserBody {
    /// Their name.
    #[schemars(length(min = 1, max = 80))]
    name: Option<String>,
    /// The address of their picture.
    #[serde(default, deserialize_with = "present")]
    #[schemars(length(min = 1, max = 2048))]
    avatar_url: Option<Option<String>>,
    /// What they are to the application.
    role: Option<UserRole>,
    /// Their partner profile.
    #[serde(default, deserialize_with = "partner")]
    partner: Option<Option<Partner>>,
    /// What tokens say again, from the next one on.
    #[serde(default, deserialize_with = "object")]
    release: Set,
}

#[expect(clippy::option_option, reason = "the three cases that JSON has: absent, null, a value")]
fn partner<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<Partner>>, D::Error> {
    #[derive(Deserialize)]
    struct Given(#[serde(deserialize_with = "object")] Partner);
    Ok(Some(Option::<Given>::deserialize(deserializer)?.map(|given| given.0)))
}

impl UserBody {
    fn check(self) -> Result<UserPatch> {
        self.name.as_deref().map(check_name).transpose()?;
        self.avatar_url.iter().flatten().try_for_each(|url| check_picture(url))?;
        let wrong = |text: &String| text.len() > PARTNER_BYTES || text.is_empty() || text.chars().any(char::is_control);
        if self.partner.iter().flatten().any(|partner| wrong(&partner.id) || wrong(&partner.status)) {
            let detail = format!("an id and a status of 1 to {PARTNER_BYTES} bytes each, or null");
            return Err(Error::invalid("partner", detail));
        }
        let Self { name, avatar_url, role, partner, release } = self;
        Ok(UserPatch { name, avatar_url, role, partner, release })
    }
}

/// `GET /api/admin/users/{userId}`
pub(super) async fn show(State(state): State<AppState>, Path(id): Path<UserId>) -> Result<impl IntoResponse> {
    Ok(Json(AdminUser::from(state.chat.user_of(&id).await?)))
}

/// `PUT /api/admin/users/{userId}`: sets what is given, of a user who need not have come yet.
pub(super) async fn put(
    State(state): State<AppState>,
    Path(id): Path<UserId>,
    Body(body): Body<UserBody>,
) -> Result<impl IntoResponse> {
    if id.is_system() {
        return Err(Error::Forbidden("this is the user in whose name the application acts"));
    }
    Ok(Json(AdminUser::from(state.chat.set_user(&id, body.check()?).await?)))
}

/// `PUT /api/admin/users/{userId}/suspension`
pub(super) async fn suspend(State(state): State<AppState>, Path(id): Path<UserId>) -> Result<impl IntoResponse> {
    state.chat.change_access(AccessChange::Suspended(id, true), None).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `DELETE /api/admin/users/{userId}/suspension`
pub(super) async fn restore(State(state): State<AppState>, Path(id): Path<UserId>) -> Result<impl IntoResponse> {
    state.chat.change_access(AccessChange::Suspended(id, false), None).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `DELETE /api/admin/users/{userId}/messages`: what they wrote is blanked, a part of it with each call.
pub(super) async fn erase(State(state): State<AppState>, Path(id): Path<UserId>) -> Result<impl IntoResponse> {
    Ok(Json(state.chat.erase(&id).await?))
}

/// `POST /api/admin/users/{userId}/disconnect`
pub(super) async fn disconnect(State(state): State<AppState>, Path(id): Path<UserId>) -> Result<impl IntoResponse> {
    state.chat.change_access(AccessChange::UserDisconnected(id), None).await?;
    Ok(StatusCode::NO_CONTENT)
}
