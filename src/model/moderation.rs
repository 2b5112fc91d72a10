//! What moderation says of a message before it is written, and what somebody decides of it after.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::room::names;
use super::text::Object;
use super::{ContentType, Message, MessageId, RoomId, Timestamp, UserId};

/// What is to become of a message that is not written yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It is written.
    Accept,
    /// It is written, marked, and somebody looks at it.
    Flag(Flag),
    /// It is not written; its sender is told why.
    Reject(String),
}

names!(
    /// Who flagged a message.
    FlaggedBy {
        /// The word list.
        Words = "WORDS",
        /// The operator's hook.
        Hook = "HOOK",
    }
);

/// Why somebody should look at a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flag {
    /// Who says so.
    pub by: FlaggedBy,
    /// Why.
    pub reason: String,
}

names!(
    /// What is decided of a message that was flagged.
    Decision {
        /// It stays, and the mark goes.
        Approved = "APPROVED",
        /// It is blanked.
        Rejected = "REJECTED",
    }
);

/// A message, or an edit of one, that was flagged, and what became of it. It is kept whatever becomes of the message.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Case {
    /// The room.
    pub room_id: RoomId,
    /// The message.
    pub message_id: MessageId,
    /// Its place.
    pub seq: u64,
    /// The change that was flagged.
    pub rev: u64,
    /// Who wrote it.
    pub sender_id: UserId,
    /// Their name then.
    pub sender_name: String,
    /// What was written.
    pub content: String,
    /// What the content is.
    pub content_type: ContentType,
    /// What was put beside it.
    #[schemars(with = "Option<Object>")]
    pub metadata: Option<Box<RawValue>>,
    /// Who flagged it.
    pub flagged_by: FlaggedBy,
    /// Why.
    pub reason: String,
    /// When.
    pub flagged_at: Timestamp,
    /// What was decided.
    pub decision: Option<Decision>,
    /// Why, in the words of who decided.
    pub decision_reason: Option<String>,
    /// Who decided.
    pub decided_by: Option<UserId>,
    /// When.
    pub decided_at: Option<Timestamp>,
    /// The message as it is now; left out where it is told beside the case.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<Box<Message>>,
}

/// Where the queue goes on: after the case of this time, room and change.
pub type CaseCursor = (i64, RoomId, u64);

/// Longest reason, in characters.
pub const REASON_CHARS: usize = 500;

/// A reason as it is shown and kept: one line, not too long, and never empty.
pub fn reason(given: Option<&str>) -> String {
    let line: String = given.unwrap_or_default().chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let line: String = line.trim().chars().take(REASON_CHARS).collect();
    if line.is_empty() { "no reason was given".to_owned() } else { line }
}

/// What somebody decides of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum DecisionInput {
    /// It stays.
    Approve,
    /// It goes.
    Reject,
}

impl From<DecisionInput> for Decision {
    fn from(input: DecisionInput) -> Self {
        match input {
            DecisionInput::Approve => Self::Approved,
            DecisionInput::Reject => Self::Rejected,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_one_line_of_a_bounded_length() {
        assert_eq!(reason(Some(" be\nkind\0 ")), "be kind");
        assert_eq!(reason(Some(&"x".repeat(1000))).chars().count(), REASON_CHARS);
        for nothing in [None, Some(""), Some(" \t\0")] {
            assert_eq!(reason(nothing), "no reason was given");
        }
    }
}
