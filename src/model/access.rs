//! Access that ends or changes: what the log of access holds, and every instance learns.

use super::{Timestamp, UserId};

/// A change of who may come in, or of who they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AccessChange {
    /// What is known of the user changed: name, picture, role or partner.
    User(UserId),
    /// The user may not use the service, or may again.
    Suspended(UserId, bool),
    /// The token of this `jti` is good no longer.
    TokenRevoked(String),
    /// No token of this session is, by its `sid`.
    SessionRevoked(String),
    /// No token of the user is that was issued before.
    RevokedBefore(UserId, Timestamp),
    /// The user's connections end; they may come back.
    UserDisconnected(UserId),
    /// The session's connections end; it may come back.
    SessionDisconnected(String),
}

impl AccessChange {
    /// What it is, whom or what it is about, and the number that goes with it, as the database holds them.
    pub fn columns(&self) -> (&'static str, &str, i64) {
        match self {
            Self::User(user) => ("user", user.as_str(), 0),
            Self::Suspended(user, on) => ("suspended", user.as_str(), i64::from(*on)),
            Self::TokenRevoked(id) => ("token", id, 0),
            Self::SessionRevoked(id) => ("session", id, 0),
            Self::RevokedBefore(user, time) => ("before", user.as_str(), time.0),
            Self::UserDisconnected(user) => ("user_disconnected", user.as_str(), 0),
            Self::SessionDisconnected(id) => ("session_disconnected", id, 0),
        }
    }

    /// The change of these columns; nothing if a later version has written it.
    pub fn from_columns(kind: &str, subject: String, value: i64) -> Option<Self> {
        Some(match kind {
            "user" => Self::User(UserId::trusted(subject)),
            "suspended" => Self::Suspended(UserId::trusted(subject), value != 0),
            "token" => Self::TokenRevoked(subject),
            "session" => Self::SessionRevoked(subject),
            "before" => Self::RevokedBefore(UserId::trusted(subject), Timestamp(value)),
            "user_disconnected" => Self::UserDisconnected(UserId::trusted(subject)),
            "session_disconnected" => Self::SessionDisconnected(subject),
            _ => return None,
        })
    }
}

/// A change with its place in the log of access.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NumberedChange {
    /// Its place: greater than that of every change committed before.
    pub number: u64,
    /// What changed.
    pub change: AccessChange,
    /// When nothing needs to know of it any more.
    pub until: Timestamp,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_what_is_read() {
        let user: UserId = "ann".parse().expect("an id");
        for change in [
            AccessChange::User(user.clone()),
            AccessChange::Suspended(user.clone(), true),
            AccessChange::Suspended(user.clone(), false),
            AccessChange::TokenRevoked("t".to_owned()),
            AccessChange::SessionRevoked("s".to_owned()),
            AccessChange::RevokedBefore(user.clone(), Timestamp(7)),
            AccessChange::UserDisconnected(user),
            AccessChange::SessionDisconnected("s".to_owned()),
        ] {
            let (kind, subject, value) = change.columns();
            assert_eq!(AccessChange::from_columns(kind, subject.to_owned(), value), Some(change));
        }
    }
}
