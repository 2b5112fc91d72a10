//! A room as a file: lines of JSON, each an object with one member that says what the line is. First what the file is and
//! the room; then its people, messages, reactions, cases, bans and members, each kind in its order; at last how many of
//! each there were, without which a file is not whole.

use serde::{Deserialize, Serialize};

use crate::model::{History, Timestamp};
use crate::store::{BanRecord, CaseRecord, MemberRecord, MessageRecord, ReactionRecord, RoomRecord, UserRecord};

/// What the first line says the file is.
pub(super) const FORMAT: &str = "tidings room";
/// The version of what this module describes. A file of another is refused.
pub(super) const VERSION: u32 = 1;

/// A line.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Line {
    /// What the file is.
    Export(Header),
    /// The room.
    Room(RoomRecord),
    /// Someone the room names, by id.
    User(UserRecord),
    /// A message, by `seq`.
    Message(MessageRecord),
    /// A reaction, by message, emoji and person.
    Reaction(ReactionRecord),
    /// What was flagged, by message and change.
    Case(CaseRecord),
    /// Someone who may not come back, by id.
    Ban(BanRecord),
    /// A member, by id.
    Member(MemberRecord),
    /// How many of each there were.
    End(Counts),
}

/// What the file is, and where it is from.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Header {
    /// [`FORMAT`].
    pub(super) format: String,
    /// [`VERSION`].
    pub(super) version: u32,
    /// The history of the database it is from.
    pub(super) history: History,
    /// When.
    pub(super) exported_at: Timestamp,
}

/// How many of each.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Counts {
    /// People.
    pub(super) users: u64,
    /// Messages.
    pub(super) messages: u64,
    /// Reactions.
    pub(super) reactions: u64,
    /// Cases.
    pub(super) cases: u64,
    /// Bans.
    pub(super) bans: u64,
    /// Members.
    pub(super) members: u64,
}

impl Line {
    /// Where its kind stands in a file.
    pub(super) fn rank(&self) -> u8 {
        match self {
            Self::Export(_) => 0,
            Self::Room(_) => 1,
            Self::User(_) => 2,
            Self::Message(_) => 3,
            Self::Reaction(_) => 4,
            Self::Case(_) => 5,
            Self::Ban(_) => 6,
            Self::Member(_) => 7,
            Self::End(_) => 8,
        }
    }
}

impl Counts {
    /// All of them.
    pub(super) fn lines(self) -> u64 {
        self.users + self.messages + self.reactions + self.cases + self.bans + self.members
    }

    /// Counts a line.
    pub(super) fn add(&mut self, line: &Line) {
        *match line {
            Line::User(_) => &mut self.users,
            Line::Message(_) => &mut self.messages,
            Line::Reaction(_) => &mut self.reactions,
            Line::Case(_) => &mut self.cases,
            Line::Ban(_) => &mut self.bans,
            Line::Member(_) => &mut self.members,
            Line::Export(_) | Line::Room(_) | Line::End(_) => return,
        } += 1;
    }
}

impl std::fmt::Display for Counts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { users, messages, reactions, cases, bans, members } = self;
        write!(
            f,
            "{messages} messages, {reactions} reactions, {members} members, {bans} bans, {cases} moderation cases, \
             {users} people"
        )
    }
}
