//! Tokens that are good no longer, by their own id, by their session, or by when they were issued.

use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::error::{Error, Result};
use crate::http::AppState;
use crate::http::extract::{Json as Body, Path};
use crate::model::{AccessChange, Timestamp, UserId};

/// How long a token or session stays revoked if it is not said when it ends: cookies live no longer than 400 days
/// (draft-ietf-httpbis-rfc6265bis, section 5.5).
const LONGEST_LIFE: Duration = Duration::from_hours(400 * 24);
/// Longest id of a token or session, in bytes.
const ID_BYTES: usize = 255;

/// Which tokens are good no longer: by one of `tokenId`, `sessionId` and `userId`.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Revocation")]
pub(super) struct RevocationBody {
    /// The one of this `jti`.
    #[schemars(regex(pattern = r"^[\x21-\x7e]{1,255}$"))]
    token_id: Option<String>,
    /// All of this `sid`.
    #[schemars(regex(pattern = r"^[\x21-\x7e]{1,255}$"))]
    session_id: Option<String>,
    /// All of this user that were issued before a time.
    user_id: Option<UserId>,
    /// That time; now, if absent.
    issued_before: Option<Timestamp>,
    /// When the last of them ends, and with it the need to remember.
    expires_at: Option<Timestamp>,
}

impl RevocationBody {
    fn check(self) -> Result<(AccessChange, Option<Timestamp>)> {
        let until = self.expires_at.unwrap_or_else(|| Timestamp::now().after(LONGEST_LIFE));
        match (self.token_id, self.session_id, self.user_id) {
            (Some(id), None, None) => Ok((AccessChange::TokenRevoked(checked("tokenId", id)?), Some(until))),
            (None, Some(id), None) => Ok((AccessChange::SessionRevoked(checked("sessionId", id)?), Some(until))),
            (None, None, Some(user)) => {
                let before = self.issued_before.unwrap_or_else(Timestamp::now);
                Ok((AccessChange::RevokedBefore(user, before), None))
            }
            _ => Err(Error::invalid("body", "names one of tokenId, sessionId, userId")),
        }
    }
}

fn checked(field: &'static str, id: String) -> Result<String> {
    if (1..=ID_BYTES).contains(&id.len()) && id.chars().all(|c| c.is_ascii_graphic()) {
        Ok(id)
    } else {
        Err(Error::invalid(field, format!("1 to {ID_BYTES} characters of ASCII that can be seen")))
    }
}

/// `POST /api/admin/revocations`: the same again changes nothing.
pub(super) async fn create(
    State(state): State<AppState>,
    Body(body): Body<RevocationBody>,
) -> Result<impl IntoResponse> {
    let (change, until) = body.check()?;
    state.chat.change_access(change, until).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `POST /api/admin/sessions/{sessionId}/disconnect`
pub(super) async fn disconnect(State(state): State<AppState>, Path(id): Path<String>) -> Result<impl IntoResponse> {
    let change = AccessChange::SessionDisconnected(checked("sessionId", id)?);
    state.chat.change_access(change, None).await?;
    Ok(StatusCode::NO_CONTENT)
}
