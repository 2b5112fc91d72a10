//! Messages: what a person may send, what the log holds, and what a SYSTEM message does to the membership.

use ring::digest;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::room::names;
use super::text::{Object, check_metadata, check_text};
use super::{HistoryFor, MessageId, Role, RoomId, Timestamp, UserId};
use crate::error::{Error, Result};

names!(
    /// What a message's content is.
    ContentType {
        /// Text as it was written.
        Text = "TEXT",
        /// A picture; the content says what it shows, the metadata where it is.
        Image = "IMAGE",
        /// Written by the service: someone joined, left, was removed.
        System = "SYSTEM",
    }
);

names!(
    /// What moderation holds of a message that is shown.
    Moderation {
        /// Shown, and waiting for a moderator.
        Flagged = "FLAGGED",
    }
);

/// One emoji under a message, the same for every reader.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Reaction {
    /// The emoji.
    pub emoji: String,
    /// How many people gave it.
    pub count: u64,
    /// The latest fifty of them.
    pub user_ids: Vec<UserId>,
}

/// A message in its current state. `seq` is its place for good; `rev` is its last change.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Message {
    /// Its id in the room.
    pub id: MessageId,
    /// The room.
    pub room_id: RoomId,
    /// Its place in the room: 1..n without a hole.
    pub seq: u64,
    /// The number of its last change.
    pub rev: u64,
    /// Who wrote it; of a SYSTEM message, who caused it.
    pub sender_id: UserId,
    /// Their name when it was written.
    pub sender_name: String,
    /// Their picture when it was written.
    pub sender_avatar_url: Option<String>,
    /// What was written; empty once deleted.
    pub content: String,
    /// What the content is.
    pub content_type: ContentType,
    /// What the application put beside it; of a SYSTEM message, what happened.
    #[schemars(with = "Option<Object>")]
    pub metadata: Option<Box<RawValue>>,
    /// The message it answers.
    pub reply_to: Option<MessageId>,
    /// At most twenty.
    #[schemars(with = "Vec<Reaction>")]
    pub reactions: Box<RawValue>,
    /// What moderation holds of it.
    pub moderation: Option<Moderation>,
    /// When it was written: strictly increasing with `seq`.
    pub created_at: Timestamp,
    /// When it was last edited.
    pub edited_at: Option<Timestamp>,
    /// When it was deleted.
    pub deleted_at: Option<Timestamp>,
}

/// What a change does to its room: a SYSTEM message to the membership, retention to where the log begins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Effect {
    /// The user is a member from this message on.
    Joined(UserId),
    /// The user is no member from this message on.
    Left(UserId),
    /// The user's role changed.
    Role(UserId, Role),
    /// From this message on members see the log from elsewhere.
    History(HistoryFor),
    /// Nothing of the membership: what lies before this message is not kept any more, up to changes of this `rev`.
    Expired(u64, u64),
}

/// What happened, as a SYSTEM message's metadata tells it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SystemEvent {
    /// What happened.
    pub event: EventKind,
    /// To whom.
    pub user_id: UserId,
    /// By whom.
    pub by_user_id: UserId,
    /// The new role, when it changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<Role>,
    /// The new title, when it changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// From where members see the log now, when that changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub history_for: Option<HistoryFor>,
}

/// What can happen to a room apart from messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EventKind {
    /// The room was made.
    Created,
    /// Someone joined by themselves.
    Joined,
    /// Someone left by themselves.
    Left,
    /// Someone was added.
    Added,
    /// Someone was removed.
    Removed,
    /// The room has another title.
    Renamed,
    /// A member has another role.
    Role,
    /// Someone may not come back until a moderator lets them. Who was a member was `removed` just before.
    Banned,
    /// Members see the log from elsewhere.
    History,
}

impl Message {
    /// What it does to the membership. SYSTEM messages never change, so this can be read off any copy.
    pub fn effect(&self) -> Option<Effect> {
        if self.content_type != ContentType::System {
            return None;
        }
        let event: SystemEvent = serde_json::from_str(self.metadata.as_ref()?.get()).ok()?;
        match event.event {
            EventKind::Joined | EventKind::Added => Some(Effect::Joined(event.user_id)),
            EventKind::Left | EventKind::Removed => Some(Effect::Left(event.user_id)),
            EventKind::Role => Some(Effect::Role(event.user_id, event.role?)),
            EventKind::History => event.history_for.map(Effect::History),
            EventKind::Created | EventKind::Renamed | EventKind::Banned => None,
        }
    }
}

impl SystemEvent {
    /// What happened to `user`, by `by`, without anything that is new by it.
    pub fn new(event: EventKind, user_id: UserId, by_user_id: UserId) -> Self {
        Self { event, user_id, by_user_id, role: None, title: None, history_for: None }
    }

    /// The sentence for readers who do not look at the metadata. `user` and `by` are names.
    pub fn sentence(&self, user: &str, by: &str) -> String {
        match self.event {
            EventKind::Created => format!("{by} created the room"),
            EventKind::Joined => format!("{user} joined"),
            EventKind::Left => format!("{user} left"),
            EventKind::Added => format!("{by} added {user}"),
            EventKind::Removed => format!("{by} removed {user}"),
            EventKind::Renamed => match &self.title {
                Some(title) => format!("{by} renamed the room to {title}"),
                None => format!("{by} removed the room's title"),
            },
            EventKind::Role => {
                format!("{user} is now {}", self.role.map_or("MEMBER", Role::as_str).to_lowercase())
            }
            EventKind::Banned => format!("{by} banned {user}"),
            EventKind::History if self.history_for == Some(HistoryFor::Joined) => {
                format!("{by} limited the history to what follows one's joining")
            }
            EventKind::History => format!("{by} opened the history to all members"),
        }
    }
}

/// A message as a client sends it, checked.
#[derive(Debug, Clone)]
pub struct Draft {
    /// Named by the client, so that sending it again cannot double it.
    pub id: MessageId,
    /// What was written.
    pub content: String,
    /// TEXT or IMAGE.
    pub content_type: ContentType,
    /// The message it answers.
    pub reply_to: Option<MessageId>,
    /// What the application put beside it.
    pub metadata: Option<Box<RawValue>>,
}

/// The message of a send as it is on the wire.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DraftInput {
    /// A UUID; without one, the service makes it.
    #[schemars(with = "Option<uuid::Uuid>")]
    id: Option<MessageId>,
    /// What is to be said: something that can be seen, of at most `limits.messageChars` characters.
    #[schemars(length(min = 1))]
    content: String,
    /// TEXT, if absent, or IMAGE.
    content_type: Option<ContentType>,
    /// The message it answers.
    reply_to: Option<MessageId>,
    /// What the application puts beside it: at most 4096 bytes of JSON.
    metadata: Option<Object>,
}

/// A message of the application as it is on the wire: its own, or a member's.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PostInput {
    /// A UUID; without one, the service makes it.
    #[schemars(with = "Option<uuid::Uuid>")]
    id: Option<MessageId>,
    /// What is to be said.
    #[schemars(length(min = 1))]
    content: String,
    /// TEXT, if absent; IMAGE; or SYSTEM for a notice.
    content_type: Option<ContentType>,
    /// The message it answers.
    reply_to: Option<MessageId>,
    /// What the application puts beside it: at most 4096 bytes of JSON.
    metadata: Option<Object>,
    /// The member in whose name it is written.
    #[serde(rename = "as")]
    member: Option<UserId>,
}

/// The event of a SYSTEM message that the application wrote.
const NOTICE: &str = "notice";

impl PostInput {
    /// Checks it like a person's message, and returns it with the member in whose name it is to be written, if any. The
    /// application may also write SYSTEM messages of its own, which are notices: what others of them say of a room's
    /// members is believed, so it cannot be made up.
    pub fn check(self, longest: usize) -> Result<(Draft, Option<UserId>)> {
        let Self { id, content, content_type, reply_to, mut metadata, member } = self;
        let is_notice = member.is_none() && content_type == Some(ContentType::System);
        if is_notice {
            let event = serde_json::Value::from(NOTICE);
            let given = metadata.get_or_insert_default().insert("event".to_owned(), event.clone());
            if given.is_some_and(|given| given != event) {
                return Err(Error::invalid("metadata.event", "is `notice` in what the application writes"));
            }
        }
        let content_type = content_type.filter(|_| !is_notice);
        let mut draft = DraftInput { id, content, content_type, reply_to, metadata }.check(longest)?;
        if is_notice {
            draft.content_type = ContentType::System;
        }
        Ok((draft, member))
    }
}

impl DraftInput {
    /// Checks what serde cannot: text, sizes, and that people do not write SYSTEM messages.
    pub fn check(self, longest: usize) -> Result<Draft> {
        check_text("content", &self.content, longest)?;
        if self.id.as_ref().is_some_and(|id| !id.is_uuid()) {
            return Err(Error::invalid("id", "a new message's id is a UUID"));
        }
        if self.content_type == Some(ContentType::System) {
            return Err(Error::invalid("contentType", "TEXT or IMAGE; the service alone writes SYSTEM messages"));
        }
        Ok(Draft {
            id: self.id.unwrap_or_else(MessageId::fresh),
            content: self.content,
            content_type: self.content_type.unwrap_or(ContentType::Text),
            reply_to: self.reply_to,
            metadata: self.metadata.as_ref().map(check_metadata).transpose()?,
        })
    }
}

impl Draft {
    /// A hash of all that was sent. The same id with the same hash is the same send, tried again.
    /// Metadata was parsed into a sorted map, so neither spaces nor the order of its keys count.
    pub fn hash(&self) -> [u8; 16] {
        let mut context = digest::Context::new(&digest::SHA256);
        let reply_to = self.reply_to.as_ref().map_or("", MessageId::as_str);
        let metadata = self.metadata.as_ref().map_or("", |m| m.get());
        for part in [self.content.as_str(), self.content_type.as_str(), reply_to, metadata] {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part.as_bytes());
        }
        let mut hash = [0; 16];
        hash.copy_from_slice(&context.finish().as_ref()[..16]);
        hash
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_covers_every_part_and_no_spelling() {
        let hash = |json: &str| {
            let input: DraftInput = serde_json::from_str(json).expect("a draft");
            input.check(100).expect("a valid draft").hash()
        };
        let base = hash(r#"{"content":"a","metadata":{"x":1,"y":2}}"#);
        assert_eq!(base, hash(r#"{"metadata": {"y":2, "x":1}, "content":"a", "contentType":"TEXT"}"#));
        for other in [
            r#"{"content":"b","metadata":{"x":1,"y":2}}"#,
            r#"{"content":"a","metadata":{"x":1,"y":3}}"#,
            r#"{"content":"a","contentType":"IMAGE","metadata":{"x":1,"y":2}}"#,
            r#"{"content":"a","replyTo":"m","metadata":{"x":1,"y":2}}"#,
            r#"{"content":"a"}"#,
        ] {
            assert_ne!(base, hash(other), "{other}");
        }
    }
}
