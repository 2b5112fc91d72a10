//! What a write changed, and what a read found changed: all that anyone who follows a room or a user has to learn.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Head, Message, RoomId, UserId};

/// A write that is committed: what those who follow the room and the users have to learn.
#[derive(Debug, Clone)]
pub struct Commit {
    /// Where the room's log ends with it.
    pub head: Head,
    /// The room.
    pub room_id: RoomId,
    /// Each message it wrote or changed, by `rev`, without a hole between them.
    pub changes: Vec<Arc<Message>>,
    /// Whether its last `rev` says that the log begins later now: then it has no message of that.
    pub expired: bool,
    /// Each user whose rooms or read position it changed.
    pub users: Vec<UserChange>,
}

/// A user's new `rev`, and what it stands for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UserChange {
    /// The user.
    pub user_id: UserId,
    /// Their new `rev`.
    pub rev: u64,
    /// What changed.
    pub what: UserChangeKind,
}

/// What changed about a user in a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum UserChangeKind {
    /// They are a member now.
    Joined,
    /// They are no member any more.
    Left,
    /// They have read up to here.
    Read(u64),
}

/// Changes of a room for whoever follows it, read without a membership: the follower knows that.
#[derive(Debug, Clone)]
pub struct Changes {
    /// By `rev`, in their current state.
    pub messages: Vec<Arc<Message>>,
    /// Complete up to here.
    pub rev: u64,
    /// The room's head in this snapshot.
    pub head: Head,
}
