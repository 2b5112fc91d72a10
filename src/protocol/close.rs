//! How connections end: the codes a client decides by whether, and when, to come back.

/// How the service closes a connection. 4000–4099: do not come back; 4100–4199: come back with back-off;
/// 4200–4299: come back after the delay given. The rest is RFC 6455, section 7.4.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Close {
    /// The code on the wire.
    pub code: u16,
    /// The reason on the wire.
    pub reason: &'static str,
}

macro_rules! closes {
    ($(#[doc = $doc:literal] $name:ident { code: $code:literal, reason: $reason:literal })+) => {
        impl Close {
            $(#[doc = $doc] pub const $name: Self = Self { code: $code, reason: $reason };)+

            /// All of them, each with what it means.
            pub const ALL: &[(Self, &str)] = &[$((Self::$name, $doc)),+];
        }
    };
}

closes! {
    /// The client closed, and is answered in kind.
    NORMAL { code: 1000, reason: "bye" }
    /// A frame against RFC 6455.
    PROTOCOL { code: 1002, reason: "protocol_error" }
    /// A binary frame.
    BINARY { code: 1003, reason: "text_frames_only" }
    /// A text frame that is no UTF-8.
    NOT_UTF8 { code: 1007, reason: "invalid_utf8" }
    /// A frame over the limit.
    TOO_LARGE { code: 1009, reason: "too_large" }
    /// No token, or a bad one.
    UNAUTHENTICATED { code: 4001, reason: "unauthenticated" }
    /// The renewal was another user's.
    FORBIDDEN { code: 4003, reason: "forbidden" }
    /// The token, its session or all older tokens of the user were revoked.
    REVOKED { code: 4004, reason: "revoked" }
    /// The user was suspended.
    SUSPENDED { code: 4005, reason: "suspended" }
    /// As many connections as the instance takes.
    OVERLOADED { code: 4100, reason: "overloaded" }
    /// The token ended and was not renewed.
    TOKEN_EXPIRED { code: 4101, reason: "token_expired" }
    /// Commands went on far over the limit.
    RATE_LIMITED { code: 4102, reason: "rate_limited" }
    /// As many connections as a user may have.
    TOO_MANY_CONNECTIONS { code: 4103, reason: "too_many_connections" }
    /// No token came in time.
    AUTH_TIMEOUT { code: 4104, reason: "auth_timeout" }
    /// Nothing was heard or taken for too long.
    HEARTBEAT_TIMEOUT { code: 4105, reason: "heartbeat_timeout" }
    /// An administrator ended the connection; the session still counts.
    DISCONNECTED { code: 4106, reason: "disconnected" }
    /// The instance stops.
    DRAIN { code: 4200, reason: "drain" }
    /// The database was put back: every cursor of this connection belongs to a history that is over.
    HISTORY_CHANGED { code: 4201, reason: "history_changed" }
}
