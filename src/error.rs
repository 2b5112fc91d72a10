//! What can go wrong, once: one enum with stable codes, rendered as problem+json by `http` and as an error frame
//! by `ws`. It knows neither HTTP nor SQL. What a client may read is `detail`; the cause stays in `source`.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;

/// The result of everything here that can fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A cause that is logged and never shown.
pub type Source = Box<dyn std::error::Error + Send + Sync>;

/// Every way a call can fail.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// A field of the request does not hold what it must.
    #[error("{field}: {detail}")]
    Invalid {
        /// The field by its path, or `body`, `query`, `path`, `frame`.
        field: String,
        /// What would be right.
        detail: String,
    },
    /// A token in a URL ends up in logs, so it is refused unread.
    #[error("send the token in the Authorization header, not in the URL; this one should be considered leaked")]
    TokenInUrl,
    /// No token, or one that does not verify.
    #[error("{0}")]
    Unauthenticated(&'static str),
    /// The token was good once.
    #[error("the token has expired; get a new one")]
    TokenExpired,
    /// The token, its session or all older tokens of the user were revoked.
    #[error("this token was revoked; sign in again")]
    TokenRevoked,
    /// The user may not use the service for now.
    #[error("this user is suspended")]
    Suspended,
    /// A member, but not one who may do this.
    #[error("{0}")]
    Forbidden(&'static str),
    /// The room is public, the caller is not in it.
    #[error("join the room first")]
    NotAMember,
    /// There is no such room, or it is private and the caller is not in it: the two look the same.
    #[error("there is no such room, or you are not in it")]
    RoomNotFound,
    /// There is no such message in this room.
    #[error("there is no such message in this room")]
    MessageNotFound,
    /// There is no such user.
    #[error("there is no such user: {0}")]
    UserNotFound(String),
    /// The path leads nowhere.
    #[error("there is nothing at this path; see docs/PROTOCOL.md for what there is")]
    NotFound,
    /// The path exists, the method does not.
    #[error("this path does not take this method")]
    MethodNotAllowed,
    /// The body is not JSON by its own account.
    #[error("send the body as application/json, not compressed")]
    UnsupportedMediaType,
    /// The id was used before for something else.
    #[error("this message id was used before with another content or by another sender; make a new id")]
    MessageIdConflict,
    /// The cursor belongs to another history of the database, or lies above its head.
    #[error("this cursor belongs to another history; drop what you hold of the room and read its newest page")]
    HistoryChanged,
    /// What lies behind the position given was removed by retention.
    #[error("what follows this position is not kept any more; the room begins at message {oldest_seq} now")]
    PositionExpired {
        /// The first message that is kept.
        oldest_seq: u64,
    },
    /// A text, body, frame or number of things is over its limit.
    #[error("{what} may have at most {limit}")]
    TooLarge {
        /// What is too large.
        what: &'static str,
        /// How large it may be, with its unit.
        limit: String,
    },
    /// Moderation refuses what was to be written.
    #[error("this was not accepted: {reason}")]
    ContentRejected {
        /// Why, for whoever wrote it.
        reason: String,
    },
    /// The day's messages in rooms of this quota are used up.
    #[error("the quota of {limit} messages is used up until {resets_at}")]
    QuotaExceeded {
        /// Messages sent since the day began.
        used: u64,
        /// Messages allowed per day.
        limit: u64,
        /// When the next day begins, as RFC 3339.
        resets_at: String,
    },
    /// The room takes a message of each member only every so often.
    #[error("this room is in slow mode; wait before you send again")]
    SlowMode {
        /// When it is worth trying again.
        retry_after: Duration,
    },
    /// Too much in too short a time.
    #[error("too many requests; wait and try again")]
    RateLimited {
        /// When it is worth trying again.
        retry_after: Duration,
    },
    /// The database cannot take or give this now. Nothing of the call was done unless a retry says so.
    #[error("the service cannot do this at the moment; try again shortly, with the same message id")]
    Unavailable {
        /// What the log shows.
        #[source]
        source: std::sync::Arc<Cause>,
    },
    /// This instance takes nobody more who stays.
    #[error("this instance is about to stop; come back, and another one answers")]
    Stopping,
    /// A fault of the service.
    #[error("an unexpected fault; the request id finds it in the service's log")]
    Internal {
        /// What the log shows.
        #[source]
        source: std::sync::Arc<Cause>,
    },
}

/// What lies under an error, shared so that one failed read can answer all who waited for it.
#[derive(Debug, thiserror::Error)]
#[error("{what}")]
pub struct Cause {
    /// What was being done.
    what: &'static str,
    #[source]
    source: Source,
}

/// What an error tells beside its code and detail, as fields of its own.
#[derive(Debug, Default, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Details<'a> {
    /// Why moderation refuses.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<&'a str>,
    /// What is used of a quota.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub used: Option<u64>,
    /// How much it allows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<u64>,
    /// When it begins anew.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resets_at: Option<&'a str>,
    /// The first message that is kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oldest_seq: Option<u64>,
}

impl Error {
    /// What it tells beside its code and detail.
    pub fn details(&self) -> Details<'_> {
        match self {
            Self::ContentRejected { reason } => Details { reason: Some(reason), ..Details::default() },
            Self::QuotaExceeded { used, limit, resets_at } => {
                let (used, limit) = (Some(*used), Some(*limit));
                Details { used, limit, resets_at: Some(resets_at), ..Details::default() }
            }
            Self::PositionExpired { oldest_seq } => Details { oldest_seq: Some(*oldest_seq), ..Details::default() },
            _ => Details::default(),
        }
    }

    /// A field that does not hold what it must.
    pub fn invalid(field: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::Invalid { field: field.into(), detail: detail.into() }
    }

    /// A fault of the service: `what` was being done.
    pub fn internal(what: &'static str, source: impl Into<Source>) -> Self {
        Self::Internal { source: Cause { what, source: source.into() }.into() }
    }

    /// A dependency that cannot be reached or is full: `what` was being done.
    pub fn unavailable(what: &'static str, source: impl Into<Source>) -> Self {
        Self::Unavailable { source: Cause { what, source: source.into() }.into() }
    }

    /// The stable name a client switches on.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Invalid { .. } => "invalid",
            Self::TokenInUrl => "token_in_url",
            Self::Unauthenticated(_) => "unauthenticated",
            Self::TokenExpired => "token_expired",
            Self::TokenRevoked => "token_revoked",
            Self::Suspended => "suspended",
            Self::Forbidden(_) => "forbidden",
            Self::NotAMember => "not_a_member",
            Self::RoomNotFound => "room_not_found",
            Self::MessageNotFound => "message_not_found",
            Self::UserNotFound(_) => "user_not_found",
            Self::NotFound => "not_found",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::UnsupportedMediaType => "unsupported_media_type",
            Self::MessageIdConflict => "message_id_conflict",
            Self::HistoryChanged => "history_changed",
            Self::PositionExpired { .. } => "position_expired",
            Self::TooLarge { .. } => "too_large",
            Self::ContentRejected { .. } => "content_rejected",
            Self::QuotaExceeded { .. } => "quota_exceeded",
            Self::SlowMode { .. } => "slow_mode",
            Self::RateLimited { .. } => "rate_limited",
            Self::Unavailable { .. } | Self::Stopping => "unavailable",
            Self::Internal { .. } => "internal",
        }
    }

    /// How long a client should wait before it tries again, where trying again helps.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::RateLimited { retry_after } | Self::SlowMode { retry_after } => Some(*retry_after),
            Self::Unavailable { .. } | Self::Stopping => Some(Duration::from_secs(1)),
            _ => None,
        }
    }

    /// Whether the service is at fault, so that its log must show it.
    pub fn is_fault(&self) -> bool {
        matches!(self, Self::Unavailable { .. } | Self::Internal { .. })
    }

    /// The error for a log: without why moderation refuses, which may quote what was written.
    pub fn discreet(&self) -> String {
        match self {
            Self::ContentRejected { .. } => "this was not accepted".to_owned(),
            other => other.to_string(),
        }
    }

    /// The error and everything under it, in one line for the log.
    pub fn chain(&self) -> String {
        let mut text = self.to_string();
        let mut next = std::error::Error::source(self);
        while let Some(source) = next {
            text.push_str(": ");
            text.push_str(&source.to_string());
            next = source.source();
        }
        text
    }
}
