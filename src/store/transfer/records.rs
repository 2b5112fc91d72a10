//! What a room consists of, row by row, as a file holds it: everything the database has of it and nothing that depends
//! on where it is.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::model::{
    ContentType, Decision, FlaggedBy, HistoryFor, MessageId, Moderation, QuotaName, Retention, Role, RoomId, RoomKind,
    Set, Timestamp, UserId, UserRole,
};

/// Bytes as text.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        for digit in [byte >> 4, byte & 15] {
            text.extend(char::from_digit(digit.into(), 16));
        }
        text
    })
}

/// The room itself.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RoomRecord {
    /// Its id.
    pub id: RoomId,
    /// Its kind.
    #[serde(rename = "type")]
    pub kind: RoomKind,
    /// What the application ties it to.
    pub key: Option<String>,
    /// Its title.
    pub title: Option<String>,
    /// What the application keeps with it.
    pub metadata: Option<Box<RawValue>>,
    /// From where members see the log.
    pub history_for: HistoryFor,
    /// Seconds between two messages of one member.
    pub slow_mode_seconds: u32,
    /// The daily quota that its messages count for.
    pub quota: Option<QuotaRecord>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When the last message was written.
    pub last_message_at: Option<Timestamp>,
    /// The highest message number.
    pub last_seq: u64,
    /// The highest change number.
    pub rev: u64,
    /// How much of its log is kept; absent: as the service's settings say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retention: Option<Retention>,
    /// What retention has removed; absent: nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expired: Option<ExpiredRecord>,
}

impl RoomRecord {
    /// The first message that is kept.
    pub fn oldest_seq(&self) -> u64 {
        self.expired.as_ref().map_or(1, |expired| expired.last_seq + 1)
    }
}

/// The beginning of a log that is not there any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ExpiredRecord {
    /// The last message of it.
    pub last_seq: u64,
    /// The highest change in it.
    pub rev: u64,
    /// When the last message of it was written.
    pub at: Timestamp,
}

/// The quota of a room, made where it is not known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct QuotaRecord {
    /// Its name.
    pub name: QuotaName,
    /// Messages a day and person.
    pub per_day: u64,
    /// Where the day begins.
    pub time_zone: String,
}

/// A message as it is now.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MessageRecord {
    /// Its place.
    pub seq: u64,
    /// Its last change.
    pub rev: u64,
    /// Its id.
    pub id: MessageId,
    /// The hash of what was sent, in hex.
    pub hash: String,
    /// Who wrote it.
    pub sender_id: UserId,
    /// Their name then.
    pub sender_name: String,
    /// Their picture then.
    pub sender_avatar_url: Option<String>,
    /// What it says.
    pub content: String,
    /// What the content is.
    pub content_type: ContentType,
    /// What is beside it.
    pub metadata: Option<Box<RawValue>>,
    /// What it answers.
    pub reply_to: Option<MessageId>,
    /// What readers see of its reactions.
    pub reactions: Box<RawValue>,
    /// What moderation holds of it.
    pub moderation: Option<Moderation>,
    /// When it was written.
    pub created_at: Timestamp,
    /// When it was edited last.
    pub edited_at: Option<Timestamp>,
    /// When it was deleted.
    pub deleted_at: Option<Timestamp>,
}

/// One person's emoji under one message.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReactionRecord {
    /// The message's place.
    pub seq: u64,
    /// The emoji.
    pub emoji: String,
    /// Who gave it.
    pub user_id: UserId,
    /// When.
    pub created_at: Timestamp,
}

/// A person whom the room names.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UserRecord {
    /// Their id.
    pub id: UserId,
    /// Their name.
    pub name: String,
    /// Their picture.
    pub avatar_url: Option<String>,
    /// What they are to the application.
    pub role: UserRole,
    /// Their partner profile.
    pub partner_id: Option<String>,
    /// Its status.
    pub partner_status: Option<String>,
    /// What of it the admin side has set.
    pub set: Set,
    /// When the token was issued that the rest is of; 1970 if none came yet.
    pub claims_at: Timestamp,
    /// Since when they are known.
    pub created_at: Timestamp,
}

/// A member, and how far they have read.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MemberRecord {
    /// Who.
    pub user_id: UserId,
    /// Their role.
    pub role: Role,
    /// The message of their latest joining.
    pub joined_seq: u64,
    /// Up to where they have read.
    pub last_read_seq: u64,
    /// When they sent something last.
    pub last_sent_at: Option<Timestamp>,
}

/// Someone who may not come back.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BanRecord {
    /// Who.
    pub user_id: UserId,
    /// Who said so.
    pub by_user_id: UserId,
    /// When.
    pub at: Timestamp,
}

/// Something that was flagged, and what became of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CaseRecord {
    /// The message's place.
    pub seq: u64,
    /// The change that was flagged.
    pub rev: u64,
    /// The message.
    pub message_id: MessageId,
    /// Who wrote it.
    pub sender_id: UserId,
    /// Their name then.
    pub sender_name: String,
    /// What it said then.
    pub content: String,
    /// What the content was.
    pub content_type: ContentType,
    /// What was beside it.
    pub metadata: Option<Box<RawValue>>,
    /// Who flagged it.
    pub flagged_by: FlaggedBy,
    /// Why.
    pub reason: String,
    /// When.
    pub flagged_at: Timestamp,
    /// What was decided.
    pub decision: Option<Decision>,
    /// Why.
    pub decision_reason: Option<String>,
    /// By whom.
    pub decided_by: Option<UserId>,
    /// When.
    pub decided_at: Option<Timestamp>,
}
