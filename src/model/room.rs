//! Rooms and their members.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::text::Object;
use super::{History, Message, QuotaName, QuotaUse, RoomId, Timestamp, UserId};
use crate::error::{Error, Result};

macro_rules! names {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $text:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema)]
        pub enum $name { $($(#[$vdoc])* #[serde(rename = $text)] $variant),+ }

        impl $name {
            /// The name on the wire and in the database.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text),+ }
            }

            /// Reads the name.
            pub fn parse(name: &str) -> Option<Self> {
                match name { $($text => Some(Self::$variant),)+ _ => None }
            }
        }
    };
}
pub(super) use names;

names!(
    /// What kind of room it is; `type` on the wire.
    RoomKind {
        /// Two people, one room per pair and key.
        Direct = "DIRECT",
        /// Those who were added.
        Group = "GROUP",
        /// Anyone may find and join it.
        Public = "PUBLIC",
    }
);

names!(
    /// What a member is in a room, from least to most.
    Role {
        /// Reads and writes.
        Member = "MEMBER",
        /// Keeps order.
        Moderator = "MODERATOR",
        /// Decides.
        Owner = "OWNER",
    }
);

names!(
    /// From where a member sees the log.
    HistoryFor {
        /// From its beginning.
        All = "all",
        /// From their latest joining.
        Joined = "joined",
    }
);

/// How much of a room's log is kept. What is absent sets no bound; with both, whatever is over either goes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
pub struct Retention {
    /// For how many days.
    #[serde(default)]
    #[schemars(range(min = 1, max = MOST_DAYS))]
    pub days: Option<u32>,
    /// How many messages, the newest.
    #[serde(default)]
    #[schemars(range(min = 1, max = MOST_MESSAGES))]
    pub messages: Option<u64>,
}

/// Longest time and most messages that a rule can name.
const MOST_DAYS: u32 = 36_500;
const MOST_MESSAGES: u64 = 1_000_000_000;

impl Retention {
    /// Refuses what is no bound.
    pub fn check(&self) -> Result<()> {
        if self.days.is_some_and(|days| !(1..=MOST_DAYS).contains(&days)) {
            return Err(Error::invalid("retention.days", format!("a number from 1 to {MOST_DAYS}, or null")));
        }
        if self.messages.is_some_and(|messages| !(1..=MOST_MESSAGES).contains(&messages)) {
            return Err(Error::invalid("retention.messages", format!("a number from 1 to {MOST_MESSAGES}, or null")));
        }
        Ok(())
    }
}

/// Where a room's log ends, and where what is kept of it begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// The history of the database that the numbers belong to, read with them.
    pub history: History,
    /// The room's kind, for meta.
    pub kind: RoomKind,
    /// From where its members see the log.
    pub history_for: HistoryFor,
    /// The highest message number.
    pub last_seq: u64,
    /// The highest change number.
    pub rev: u64,
    /// When the last message was written.
    pub last_message_at: Option<Timestamp>,
    /// How many members there are.
    pub member_count: u64,
    /// The quota that sends in it count for.
    pub quota: Option<QuotaName>,
    /// The first message that is kept; one above the last if none is.
    pub oldest_seq: u64,
    /// The highest change of those that are not: a cursor below it has missed some.
    pub expired_rev: u64,
}

impl Head {
    /// The first message that is kept, for whoever is told; nothing if it is the first there was.
    pub fn begins_at(&self) -> Option<u64> {
        Some(self.oldest_seq).filter(|seq| *seq > 1)
    }

    /// How many messages lie above a read position. A subtraction, never a count of rows: it cannot drift.
    pub fn unread(&self, last_read_seq: u64) -> u64 {
        self.last_seq.saturating_sub(last_read_seq.max(self.oldest_seq.saturating_sub(1)))
    }
}

/// A member, as far as reading and permission go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Member {
    /// What they may do.
    pub role: Role,
    /// The message of their latest joining.
    pub joined_seq: u64,
    /// Up to where they have read.
    pub last_read_seq: u64,
}

impl Member {
    /// The first message they may see in a room of this kind of history, whether or not it is kept.
    pub fn first_seq(&self, history_for: HistoryFor) -> u64 {
        match history_for {
            HistoryFor::All => 1,
            HistoryFor::Joined => self.joined_seq,
        }
    }
}

/// What a poll asks for: has anything changed?
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Meta {
    /// Present in lists.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub room_id: Option<RoomId>,
    /// When the last message was written.
    pub last_message_at: Option<Timestamp>,
    /// The highest message number.
    pub last_seq: u64,
    /// The highest change number.
    pub rev: u64,
    /// Up to where the caller has read.
    pub last_read_seq: u64,
    /// How many messages lie above that.
    pub unread_count: u64,
    /// The first message that is kept; left out while none was removed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oldest_seq: Option<u64>,
    /// The room's kind.
    #[serde(rename = "type")]
    pub kind: RoomKind,
    /// The database's history; left out in lists, which carry it once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub history: Option<History>,
    /// What the caller has used of the room's quota; left out where there is none, and in lists.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quota: Option<QuotaUse>,
}

impl Meta {
    /// One member's view of a head.
    pub fn new(head: &Head, last_read_seq: u64) -> Self {
        Self {
            room_id: None,
            last_message_at: head.last_message_at,
            last_seq: head.last_seq,
            rev: head.rev,
            last_read_seq,
            unread_count: head.unread(last_read_seq),
            oldest_seq: head.begins_at(),
            kind: head.kind,
            history: None,
            quota: None,
        }
    }
}

/// A member as a room shows them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MemberView {
    /// Who.
    pub user_id: UserId,
    /// Their name.
    pub name: String,
    /// Their picture.
    pub avatar_url: Option<String>,
    /// Their role in the room.
    pub role: Role,
    /// Up to where they have read.
    pub last_read_seq: u64,
}

/// The caller's own place in a room.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Me {
    /// Their role in the room.
    pub role: Role,
    /// Up to where they have read.
    pub last_read_seq: u64,
}

/// A room as its members see it; `me`, `lastMessage` and `members` are absent for one who only found it.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Room {
    /// The room.
    pub id: RoomId,
    /// Its kind.
    #[serde(rename = "type")]
    pub kind: RoomKind,
    /// What the application ties it to, such as a booking.
    pub key: Option<String>,
    /// Its title.
    pub title: Option<String>,
    /// What the application keeps with it.
    #[schemars(with = "Option<Object>")]
    pub metadata: Option<Box<serde_json::value::RawValue>>,
    /// From where members see the log.
    pub history_for: HistoryFor,
    /// Seconds between two messages of one member; 0: no such limit.
    pub slow_mode_seconds: u32,
    /// The daily quota that messages in it count for.
    pub quota: Option<QuotaName>,
    /// How much of its log is kept; left out while that is as the service's settings say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retention: Option<Retention>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When the last message was written.
    pub last_message_at: Option<Timestamp>,
    /// The highest message number.
    pub last_seq: u64,
    /// The highest change number.
    pub rev: u64,
    /// The first message that is kept; left out while none was removed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oldest_seq: Option<u64>,
    /// The last message the caller may see.
    pub last_message: Option<Box<Message>>,
    /// How many members there are.
    pub member_count: u64,
    /// The first ten of them.
    pub members: Vec<MemberView>,
    /// The caller's place in it.
    pub me: Option<Me>,
    /// How many messages the caller has not read.
    pub unread_count: u64,
}

/// How far a member has read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReadPosition {
    /// The message read last.
    pub last_read_seq: u64,
    /// How many lie above it.
    pub unread_count: u64,
}
