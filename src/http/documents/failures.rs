//! What a code stands for: its status, and the sentence that goes with it, read off an error of each kind.

use std::time::Duration;

use axum::http::StatusCode;

use crate::error::Error;
use crate::http::problem;

/// One error of each kind.
fn kinds() -> Vec<Error> {
    let retry_after = Duration::from_secs(1);
    vec![
        Error::invalid("a field", "does not hold what it must"),
        Error::TokenInUrl,
        Error::Unauthenticated("send a token that verifies"),
        Error::TokenExpired,
        Error::TokenRevoked,
        Error::Suspended,
        Error::Forbidden("this is not for the caller, or not by a page of this origin"),
        Error::NotAMember,
        Error::RoomNotFound,
        Error::MessageNotFound,
        Error::UserNotFound("<id>".to_owned()),
        Error::NotFound,
        Error::MethodNotAllowed,
        Error::UnsupportedMediaType,
        Error::MessageIdConflict,
        Error::HistoryChanged,
        Error::PositionExpired { oldest_seq: 1 },
        Error::TooLarge { what: "something", limit: "its limit".to_owned() },
        Error::ContentRejected { reason: "<reason>".to_owned() },
        Error::QuotaExceeded { used: 0, limit: 0, resets_at: "<time>".to_owned() },
        Error::SlowMode { retry_after },
        Error::RateLimited { retry_after },
        Error::unavailable("making a document", "nothing is wrong"),
        Error::internal("making a document", "nothing is wrong"),
    ]
}

/// An error's code, status and sentence.
pub(super) struct Failure {
    pub(super) code: &'static str,
    pub(super) status: StatusCode,
    pub(super) sentence: String,
    pub(super) is_delayed: bool,
}

/// Of each kind, in the order of the enum.
pub(super) fn all() -> Vec<Failure> {
    let of = |error: Error| Failure {
        code: error.code(),
        status: problem::status(&error),
        is_delayed: error.retry_after().is_some(),
        sentence: error.to_string(),
    };
    kinds().into_iter().map(of).collect()
}
