//! What a client's frames carry beside their type.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::object;
use crate::model::{DraftInput, History, MessageId, RoomId};

/// What a client puts on a frame to find the answer to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum FrameId {
    /// A number.
    Number(u64),
    /// A text of up to 64 bytes.
    Text(#[schemars(length(max = 64))] String),
}

/// A room to follow, and from where.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
pub struct Subscribe {
    /// The room.
    pub room_id: RoomId,
    /// Everything up to this `rev` is known; absent: begin with the newest page.
    pub since: Option<u64>,
    /// The history `since` belongs to.
    pub history: Option<History>,
    /// Size of the newest page.
    pub limit: Option<u32>,
    /// With more changes than this to catch up on, begin with the newest page instead.
    pub max_replay: Option<u64>,
}

/// A frame about a room.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
pub struct InRoom {
    /// The room.
    pub room_id: RoomId,
}

/// A message to write.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
pub struct Send {
    /// The room.
    pub room_id: RoomId,
    /// The message.
    #[serde(deserialize_with = "object")]
    pub message: DraftInput,
}

/// A message's new content.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
pub struct Edit {
    /// The room.
    pub room_id: RoomId,
    /// The message.
    pub message_id: MessageId,
    /// Its new content.
    pub content: String,
}

/// A frame about a message.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
pub struct OfMessage {
    /// The room.
    pub room_id: RoomId,
    /// The message.
    pub message_id: MessageId,
}

/// An emoji to give or take back.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
pub struct React {
    /// The room.
    pub room_id: RoomId,
    /// The message.
    pub message_id: MessageId,
    /// The emoji.
    pub emoji: String,
    /// Give it, or take it back.
    pub on: bool,
}

/// How far one has read.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
pub struct Read {
    /// The room.
    pub room_id: RoomId,
    /// The message read last.
    pub seq: u64,
}

/// A token.
#[derive(Deserialize, JsonSchema)]
#[schemars(inline)]
pub struct Auth {
    /// The JWT.
    pub token: String,
}

impl std::fmt::Debug for Auth {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Auth { token: *** }")
    }
}
