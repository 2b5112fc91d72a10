//! Durable truth: users, rooms, members and each room's log. Every method is one use in one transaction; what it
//! returns of a write was committed before. It may not cache, publish or know of sockets.
//!
//! What holds for every write in a room: under the room's lock it takes the next `rev` (and `seq`, for a new
//! message), checks by the permission table what the caller may do *now*, and either all of it is there after
//! COMMIT or none. Roll-back returns the numbers, so `seq` has no holes.

use std::sync::Arc;

use serde_json::value::RawValue;

use crate::error::Error;
use crate::model::{Commit, Head, History, HistoryFor, Member, Message, Role, RoomId, RoomKind, UserId};

mod sqlite;

pub use sqlite::{OpenError, Sqlite as Store};

/// Where a page of rooms goes on: after the room of this time and id.
pub type RoomCursor = (i64, RoomId);

/// A write that answers with a message.
#[derive(Debug, Clone)]
pub struct Written {
    /// The message as it is now.
    pub message: Arc<Message>,
    /// The history it belongs to.
    pub history: History,
    /// What it changed; nothing when the same was done before.
    pub commit: Option<Commit>,
}

/// Which messages of a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PageQuery {
    /// The last ones.
    Newest,
    /// Those before a message, nearest first dropped last: the page that ends just before `seq`.
    Before(u64),
    /// Those after a message.
    After(u64),
    /// Half before, half from a message on.
    Around(u64),
    /// Those that changed after a `rev`, by `rev`.
    Since(u64),
}

/// Part of a room's log, read in one snapshot with the room's head and the reader's membership.
#[derive(Debug, Clone)]
pub struct Page {
    /// By `seq`; of [`PageQuery::Since`] by `rev`.
    pub messages: Vec<Arc<Message>>,
    /// More in the direction asked for; of [`PageQuery::Around`], before it.
    pub has_more: bool,
    /// The room's head in this snapshot.
    pub head: Head,
    /// The reader's membership in this snapshot.
    pub member: Member,
}

impl Page {
    /// Up to which `rev` one who took this page is complete, if it moves the cursor at all: the last row's while
    /// more follows, else the snapshot's.
    pub fn rev(&self, query: PageQuery) -> u64 {
        match (query, self.messages.last()) {
            (PageQuery::Since(_), Some(last)) if self.has_more => last.rev,
            _ => self.head.rev,
        }
    }
}

/// A room to be made.
#[derive(Debug, Clone)]
pub struct NewRoom {
    /// Its id; made up if absent.
    pub id: Option<RoomId>,
    /// Its kind.
    pub kind: RoomKind,
    /// What the application ties it to.
    pub key: Option<String>,
    /// Its title.
    pub title: Option<String>,
    /// What the application keeps with it.
    pub metadata: Option<Box<RawValue>>,
    /// From where members see the log.
    pub history_for: HistoryFor,
    /// Who is in it beside its maker.
    pub member_ids: Vec<UserId>,
}

/// What of a room to change; `None` leaves it.
#[derive(Debug, Clone, Default)]
pub struct RoomPatch {
    /// Another title, or none.
    pub title: Option<Option<String>>,
    /// Other metadata, or none.
    pub metadata: Option<Option<Box<RawValue>>>,
}

/// How far one has read.
#[derive(Debug, Clone)]
pub enum ReadTo {
    /// To the last message.
    Head,
    /// To this one.
    Seq(u64),
    /// To the highest of these.
    Messages(Vec<crate::model::MessageId>),
}

/// A room as a user's room list needs it.
#[derive(Debug, Clone)]
pub struct UserRoom {
    /// The room.
    pub room_id: RoomId,
    /// Its head.
    pub head: Head,
    /// The user's membership.
    pub member: Member,
}

/// What to do with a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MemberChange {
    /// Add them, with this role or as a plain member; give a member this role.
    Put(Option<Role>),
    /// Remove them, or leave.
    Remove,
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        if sqlite::is_passing(&error) {
            Self::unavailable("using the database", error)
        } else {
            Self::internal("using the database", error)
        }
    }
}
