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

impl Close {
    /// The client closed, and is answered in kind.
    pub const NORMAL: Self = Self { code: 1000, reason: "bye" };
    /// A frame against RFC 6455.
    pub const PROTOCOL: Self = Self { code: 1002, reason: "protocol_error" };
    /// A binary frame.
    pub const BINARY: Self = Self { code: 1003, reason: "text_frames_only" };
    /// A text frame that is no UTF-8.
    pub const NOT_UTF8: Self = Self { code: 1007, reason: "invalid_utf8" };
    /// A frame over the limit.
    pub const TOO_LARGE: Self = Self { code: 1009, reason: "too_large" };
    /// No token, or a bad one.
    pub const UNAUTHENTICATED: Self = Self { code: 4001, reason: "unauthenticated" };
    /// The renewal was another user's.
    pub const FORBIDDEN: Self = Self { code: 4003, reason: "forbidden" };
    /// The token, its session or all older tokens of the user were revoked.
    pub const REVOKED: Self = Self { code: 4004, reason: "revoked" };
    /// The user was suspended.
    pub const SUSPENDED: Self = Self { code: 4005, reason: "suspended" };
    /// As many connections as the instance takes.
    pub const OVERLOADED: Self = Self { code: 4100, reason: "overloaded" };
    /// The token ended and was not renewed.
    pub const TOKEN_EXPIRED: Self = Self { code: 4101, reason: "token_expired" };
    /// Commands went on far over the limit.
    pub const RATE_LIMITED: Self = Self { code: 4102, reason: "rate_limited" };
    /// As many connections as a user may have.
    pub const TOO_MANY_CONNECTIONS: Self = Self { code: 4103, reason: "too_many_connections" };
    /// No token came in time.
    pub const AUTH_TIMEOUT: Self = Self { code: 4104, reason: "auth_timeout" };
    /// Nothing was heard or taken for too long.
    pub const HEARTBEAT_TIMEOUT: Self = Self { code: 4105, reason: "heartbeat_timeout" };
    /// An administrator ended the connection; the session still counts.
    pub const DISCONNECTED: Self = Self { code: 4106, reason: "disconnected" };
    /// The instance stops.
    pub const DRAIN: Self = Self { code: 4200, reason: "drain" };
    /// The database was put back: every cursor of this connection belongs to a history that is over.
    pub const HISTORY_CHANGED: Self = Self { code: 4201, reason: "history_changed" };
}
