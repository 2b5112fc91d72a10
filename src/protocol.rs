//! The WebSocket's wire, whole and only here: what a client may say, what the service says, how a connection
//! closes. Frames are encoded here once and shared as bytes; nothing here knows of sockets or rooms.

mod close;
mod parsing;
mod payload;
pub mod publication;
mod trace;
pub mod wire;

use std::borrow::Cow;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio_tungstenite::tungstenite::Utf8Bytes;

use crate::error::{Details, Error, Result};
use crate::model::{History, Message, ReadPosition, RoomId, Session, Timestamp, UserId};

pub use close::Close;
pub use parsing::{object, parse, parse_bytes, present};
pub use payload::{Auth, Edit, FrameId, InRoom, OfMessage, React, Read, Send, Subscribe};
pub use trace::{REQUEST_ID, TRACE_PARENT, TraceParent};
pub use wire::Wire;

/// The subprotocol a client offers and the service answers.
pub const SUBPROTOCOL: &str = "tidings.v1";
/// Put in front of a token that is offered as a second subprotocol; never echoed.
pub const BEARER_PREFIX: &str = "bearer.";

/// A text frame, encoded once and shared by all who are sent it.
pub type Frame = Utf8Bytes;

/// What a client may say.
#[derive(Debug, JsonSchema)]
#[schemars(tag = "type", rename_all = "camelCase")]
pub enum ClientFrame {
    /// Follow a room's log from a cursor, or from its newest page.
    Subscribe(Subscribe),
    /// Follow it no longer.
    Unsubscribe(InRoom),
    /// Meta of all the caller's rooms, live.
    Watch,
    /// Write a message.
    Send(Send),
    /// Change one's own message.
    Edit(Edit),
    /// Blank a message.
    Delete(OfMessage),
    /// Give or take back an emoji.
    React(React),
    /// Move the read position forward.
    Read(Read),
    /// Tell the room that one is writing.
    Typing(InRoom),
    /// Authenticate, or renew the session in place.
    Auth(Auth),
    /// Browsers cannot send a ping frame.
    Ping,
}

impl ClientFrame {
    /// Its `type`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Subscribe(_) => "subscribe",
            Self::Unsubscribe(_) => "unsubscribe",
            Self::Watch => "watch",
            Self::Send(_) => "send",
            Self::Edit(_) => "edit",
            Self::Delete(_) => "delete",
            Self::React(_) => "react",
            Self::Read(_) => "read",
            Self::Typing(_) => "typing",
            Self::Auth(_) => "auth",
            Self::Ping => "ping",
        }
    }
}

/// A frame that could not be understood, with its id where it had one, so that it can be answered.
#[derive(Debug)]
pub struct BadFrame {
    /// The frame's id.
    pub id: Option<FrameId>,
    /// What is wrong with it.
    pub error: Error,
}

/// Reads a frame in two steps, type and id first, so that a wrong payload is answered under its id.
pub fn decode(text: &str) -> Result<(Option<FrameId>, ClientFrame), BadFrame> {
    #[derive(Deserialize)]
    struct Envelope<'a> {
        #[serde(rename = "type", borrow)]
        kind: Cow<'a, str>,
        id: Option<FrameId>,
    }
    let envelope: Envelope<'_> = parse(text).map_err(|error| BadFrame { id: None, error })?;
    let id = envelope.id;
    if matches!(&id, Some(FrameId::Text(text)) if text.len() > 64) {
        return Err(BadFrame { id: None, error: Error::invalid("id", "a number, or a text of up to 64 bytes") });
    }
    let frame = match envelope.kind.as_ref() {
        "subscribe" => parse(text).map(ClientFrame::Subscribe),
        "unsubscribe" => parse(text).map(ClientFrame::Unsubscribe),
        "watch" => Ok(ClientFrame::Watch),
        "send" => parse(text).map(ClientFrame::Send),
        "edit" => parse(text).map(ClientFrame::Edit),
        "delete" => parse(text).map(ClientFrame::Delete),
        "react" => parse(text).map(ClientFrame::React),
        "read" => parse(text).map(ClientFrame::Read),
        "typing" => parse(text).map(ClientFrame::Typing),
        "auth" => parse(text).map(ClientFrame::Auth),
        "ping" => Ok(ClientFrame::Ping),
        _ => Err(Error::invalid("type", "is none of the frame types of docs/PROTOCOL.md")),
    };
    match frame {
        Ok(frame) => Ok((id, frame)),
        Err(error) => Err(BadFrame { id, error }),
    }
}

/// What the service says.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(tag = "type", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum ServerFrame<'a> {
    /// Authenticated.
    Welcome {
        /// Who one is.
        session: &'a Session,
        /// The database's history.
        history: &'a History,
        /// How often something is heard of a living connection.
        heartbeat_ms: u64,
        /// What one may do how much.
        limits: &'a Limits,
        /// What the log calls the connection: the id of the request that it began as.
        request_id: &'a str,
    },
    /// The answer to `subscribe`: frames of the room follow.
    Subscribed {
        /// The frame answered.
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<FrameId>,
        /// The room.
        room_id: &'a RoomId,
        /// The room's last change when the subscription began.
        rev: u64,
        /// Its last message.
        last_seq: u64,
        /// The history that `rev` belongs to.
        history: &'a History,
        /// How the subscription begins.
        status: SubscribedStatus,
        /// Why it begins anew.
        #[serde(skip_serializing_if = "Option::is_none")]
        reason: Option<ResetReason>,
        /// The first message that is kept; absent while none was removed.
        #[serde(skip_serializing_if = "Option::is_none")]
        oldest_seq: Option<u64>,
    },
    /// A page: complete up to `rev`.
    Messages {
        /// The room.
        room_id: &'a RoomId,
        /// Messages in their current state.
        messages: &'a [Arc<Message>],
        /// The cursor after it.
        rev: u64,
        /// The first message that is kept: what lies before it is to go. Absent while none was removed.
        #[serde(skip_serializing_if = "Option::is_none")]
        oldest_seq: Option<u64>,
    },
    /// One change: its `rev` is the last one + 1.
    Message {
        /// The room.
        room_id: &'a RoomId,
        /// The message in its current state.
        message: &'a Message,
    },
    /// What a room list shows.
    Meta {
        /// Rooms that moved.
        rooms: Vec<RoomMeta>,
        /// Rooms the caller is no longer in.
        gone: Vec<RoomId>,
    },
    /// Done.
    Ok {
        /// The frame answered.
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<FrameId>,
        /// The message as it is now.
        #[serde(skip_serializing_if = "Option::is_none")]
        message: Option<&'a Message>,
        /// The read position after `read`.
        #[serde(flatten, skip_serializing_if = "Option::is_none")]
        position: Option<ReadPosition>,
        /// The session after `auth`.
        #[serde(skip_serializing_if = "Option::is_none")]
        session: Option<&'a Session>,
    },
    /// Not done.
    Error {
        /// The frame answered.
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<FrameId>,
        /// Stable; one switches on it.
        code: &'static str,
        /// For people.
        detail: String,
        /// When to try again.
        #[serde(skip_serializing_if = "Option::is_none")]
        retry_after_ms: Option<u64>,
        /// What else it tells, as fields of its own.
        #[serde(flatten)]
        details: Details<'a>,
    },
    /// Someone is writing.
    Typing {
        /// The room.
        room_id: &'a RoomId,
        /// Who.
        user_id: &'a UserId,
        /// How long to show it.
        ttl_ms: u64,
    },
    /// Someone came or went.
    Presence {
        /// The room.
        room_id: &'a RoomId,
        /// Who.
        user_id: &'a UserId,
        /// Came, or went.
        online: bool,
    },
    /// Someone has read.
    Read {
        /// The room.
        room_id: &'a RoomId,
        /// Who.
        user_id: &'a UserId,
        /// How far.
        seq: u64,
    },
    /// The caller is no longer in the room; nothing of it follows.
    Removed {
        /// The room.
        room_id: &'a RoomId,
        /// The change that removed them.
        rev: u64,
    },
    /// The token ends soon: send `auth`.
    Expiring {
        /// How soon.
        in_ms: u64,
    },
    /// The instance stops: come back then.
    Drain {
        /// When to come back.
        reconnect_in_ms: u64,
    },
    /// The answer to `ping`.
    Pong {
        /// The frame answered.
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<FrameId>,
    },
}

/// How a subscription begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum SubscribedStatus {
    /// Nothing was missed, or one began with the newest page.
    Live,
    /// What was missed follows.
    Recovered,
    /// Drop what you hold: the newest page follows.
    Reset,
}

/// Why a subscription begins anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum ResetReason {
    /// More changes were missed than `maxReplay`.
    Behind,
    /// The cursor belongs to another history.
    History,
    /// What was missed is not kept any more.
    Trimmed,
}

/// A room in a `meta` frame.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RoomMeta {
    /// The room.
    pub room_id: RoomId,
    /// Its last message.
    pub last_seq: u64,
    /// Its last change.
    pub rev: u64,
    /// When the last message was written.
    pub last_message_at: Option<Timestamp>,
    /// How far the caller has read; present when that moved.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_read_seq: Option<u64>,
    /// The first message that is kept; absent while none was removed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oldest_seq: Option<u64>,
}

/// What one may do how much; part of `welcome`.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Limits {
    /// Longest message, in characters.
    pub message_chars: usize,
    /// Longest frame from a client, in bytes.
    pub frame_bytes: usize,
    /// Rooms one connection may be subscribed to.
    pub rooms_per_connection: usize,
    /// Longest body of an HTTP request, in bytes.
    pub body_bytes: usize,
    /// Longest `metadata`, in bytes of JSON.
    pub metadata_bytes: usize,
    /// WebSockets of one user at an instance; here and below, 0 is no limit.
    pub connections_per_user: u32,
    /// Polls of one user that an instance holds.
    pub polls_per_user: u32,
    /// Messages a user may send per second, in the long run.
    pub sends_per_second: u32,
    /// Other things a user may write per second.
    pub changes_per_second: u32,
    /// Rooms a user may make per hour.
    pub rooms_per_hour: u32,
    /// Frames a connection may send per second.
    pub frames_per_second: u32,
    /// WebSockets of one address.
    pub connections_per_address: u32,
}

impl<'a> ServerFrame<'a> {
    /// The frame as text, to be sent as it is to any number of connections.
    pub fn encode(&self) -> Frame {
        serde_json::to_string(self).expect("a frame holds only what JSON can say").into()
    }

    /// The frame that answers `id` with what went wrong.
    pub fn error(id: Option<FrameId>, error: &'a Error) -> Self {
        let retry_after_ms = error.retry_after().map(|d| u64::try_from(d.as_millis()).unwrap_or(u64::MAX));
        Self::Error { id, code: error.code(), detail: error.to_string(), retry_after_ms, details: error.details() }
    }

    /// `ok`, with nothing more to say.
    pub fn ok(id: Option<FrameId>) -> Self {
        Self::Ok { id, message: None, position: None, session: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_payload_is_answered_under_its_id() {
        let bad = decode(r#"{"type":"read","id":7,"roomId":"lobby","seq":"x"}"#).expect_err("seq is no number");
        assert_eq!(bad.id, Some(FrameId::Number(7)));
        assert!(matches!(bad.error, Error::Invalid { ref field, .. } if field == "seq"), "{:?}", bad.error);
        let bad = decode(r#"{"type":"send","id":"a","roomId":"lobby","message":{"content":{}}}"#).expect_err("content");
        assert!(matches!(bad.error, Error::Invalid { ref field, .. } if field == "message.content"), "{:?}", bad.error);
    }

    #[test]
    fn a_list_of_values_is_no_object() {
        for list in [r#"["ping"]"#, r#"{"type":"send","id":1,"roomId":"lobby","message":[null,"hi"]}"#] {
            assert!(decode(list).is_err(), "{list}");
        }
        let bad = decode(r#"{"type":"send","id":1,"roomId":"lobby","message":["hi"]}"#).expect_err("a list");
        assert!(matches!(bad.error, Error::Invalid { ref field, .. } if field == "message"), "{:?}", bad.error);
    }

    #[test]
    fn unknown_fields_are_ignored_and_unknown_types_are_not() {
        assert!(decode(r#"{"type":"ping","later":{"x":[1]}}"#).is_ok());
        assert!(decode(r#"{"type":"dance","id":1}"#).is_err_and(|bad| bad.id == Some(FrameId::Number(1))));
    }

    #[test]
    fn a_token_never_shows_in_a_debug_print() {
        let (_, frame) = decode(r#"{"type":"auth","token":"secret"}"#).expect("a frame");
        assert!(!format!("{frame:?}").contains("secret"));
    }
}
