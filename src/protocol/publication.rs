//! What instances tell each other over the bus: a line of JSON, then encoded frames one after the other, so that no
//! instance parses a message to route it. Versioned; what cannot be read is dropped by whoever hears it, because
//! the bus may lose anything and the log in the database makes up for it.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::{Frame, ServerFrame, TraceParent};
use crate::model::{Commit, ContentType, Effect, Head, History, Message, RoomId, Timestamp, UserChange, UserId};

/// The version of what follows. Another one is not read: instances of two versions find each other's messages by
/// the tail check until all are of one.
const VERSION: u32 = 1;

/// Names a running instance, for as long as it runs.
pub type InstanceId = uuid::Uuid;

/// What one instance tells the others.
#[derive(Debug, Clone)]
pub enum BusMessage {
    /// Something was committed; for those who follow the room.
    Commit(Publication),
    /// The same, for those who follow one of its users and maybe not the room. It carries no changes.
    User(Publication),
    /// A best-effort frame for those who read a room.
    Aside(Aside),
    /// The log of access has grown: a hint to look, and no more.
    Access,
    /// A proof of life: who published it knows it again.
    Probe(String),
}

/// What was committed in a room: all that anyone who follows the room or the users has to learn.
#[derive(Debug, Clone)]
pub struct Publication {
    /// The instance that committed it, which has applied it already.
    pub from: InstanceId,
    /// The history it belongs to.
    pub history: History,
    /// The room.
    pub room_id: RoomId,
    /// Each change, by `rev`, without a hole between them.
    pub changes: Vec<Change>,
    /// Each user whose rooms or read position it changed.
    pub users: Vec<UserChange>,
    /// The traces that what it tells is part of: of those that are recorded, which are few.
    pub traces: Vec<TraceParent>,
    /// When it was committed, by the clock of that instance; of several that travel together, the first.
    pub committed_at: Timestamp,
}

/// One change of a room's log, ready to be pushed.
#[derive(Debug, Clone)]
pub struct Change {
    /// Its number among the room's changes.
    pub rev: u64,
    /// The message's place.
    pub seq: u64,
    /// When the message was written.
    pub created_at: Timestamp,
    /// Whose read position it moved: a person's who wrote it.
    pub sender_id: Option<UserId>,
    /// What it does to the membership.
    pub effect: Option<Effect>,
    /// The `message` frame; a `messages` frame without any where the log begins later.
    pub frame: Frame,
    /// When it was committed, as far as that is known.
    pub committed_at: Option<Timestamp>,
    /// Where this instance has it from.
    pub from: Origin,
}

/// Where an instance has a change from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// It committed it.
    Own,
    /// The bus brought it.
    Bus,
    /// It read it from the store, because it did not come by itself.
    Store,
}

impl Origin {
    /// The label in the metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Own => "own",
            Self::Bus => "bus",
            Self::Store => "store",
        }
    }
}

/// A best-effort frame: typing, presence.
#[derive(Debug, Clone)]
pub struct Aside {
    /// The instance that told its own readers already.
    pub from: InstanceId,
    /// The room it is about.
    pub room_id: RoomId,
    /// Who caused it, and is not told.
    pub author: UserId,
    /// What kind it is; each kind has a bucket of its own at the receiver.
    pub kind: AsideKind,
    /// The frame.
    pub frame: Frame,
}

/// Kinds of best-effort frames between instances.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum AsideKind {
    /// Someone is writing.
    Typing,
    /// Someone came or went.
    Presence,
}

/// Why a message of the bus was not read.
#[derive(Debug, thiserror::Error)]
pub enum BadMessage {
    /// It is of another version of the service.
    #[error("it is of version {0}, this instance speaks {VERSION}")]
    Version(u32),
    /// It is none of ours.
    #[error("it is no publication: {0}")]
    Malformed(String),
}

#[derive(Serialize, Deserialize)]
struct Header<'a> {
    v: u32,
    #[serde(borrow, flatten)]
    body: Body<'a>,
}

#[derive(Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "camelCase", rename_all_fields = "camelCase")]
enum Body<'a> {
    Commit(Committed<'a>),
    User(Committed<'a>),
    Aside { from: InstanceId, room_id: Cow<'a, RoomId>, author: Cow<'a, UserId>, about: AsideKind },
    Access {},
    Probe { nonce: Cow<'a, str> },
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Committed<'a> {
    from: InstanceId,
    history: Cow<'a, History>,
    room_id: Cow<'a, RoomId>,
    changes: Vec<Line<'a>>,
    users: Cow<'a, [UserChange]>,
    /// Instances of before know nothing of it, and ignore it.
    #[serde(default, skip_serializing_if = "<[_]>::is_empty")]
    traces: Cow<'a, [TraceParent]>,
    /// Microseconds since 1970; when the first of it was committed. Instances of before do not say it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    since: Option<i64>,
}

#[derive(Serialize, Deserialize)]
struct Line<'a> {
    rev: u64,
    seq: u64,
    /// Microseconds since 1970.
    at: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    by: Option<Cow<'a, UserId>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    effect: Option<Cow<'a, Effect>>,
    /// Bytes of its frame.
    bytes: usize,
}

impl Publication {
    /// What a commit means to those who follow.
    pub fn new(from: InstanceId, commit: &Commit) -> Self {
        let committed_at = Timestamp::now();
        let messages = commit.changes.iter().map(|message| Change::new(&commit.room_id, message));
        let expired = commit.expired.then(|| Change::expired(&commit.room_id, &commit.head));
        let own = |change| Change { committed_at: Some(committed_at), from: Origin::Own, ..change };
        Self {
            from,
            history: commit.head.history.clone(),
            room_id: commit.room_id.clone(),
            changes: messages.chain(expired).map(own).collect(),
            users: commit.users.clone(),
            traces: Vec::new(),
            committed_at,
        }
    }

    /// What those who follow some of its users need of it.
    #[must_use]
    pub fn for_users(&self, users: Vec<UserChange>) -> Self {
        let (history, room_id) = (self.history.clone(), self.room_id.clone());
        let committed_at = self.committed_at;
        Self { from: self.from, history, room_id, changes: Vec::new(), users, traces: Vec::new(), committed_at }
    }

    fn header(&self) -> Committed<'_> {
        Committed {
            from: self.from,
            history: Cow::Borrowed(&self.history),
            room_id: Cow::Borrowed(&self.room_id),
            changes: self.changes.iter().map(Line::new).collect(),
            users: Cow::Borrowed(&self.users),
            traces: Cow::Borrowed(&self.traces),
            since: Some(self.committed_at.0),
        }
    }

    fn read(header: Committed<'_>, frames: &str) -> Result<Self, BadMessage> {
        // Every `message` frame begins so: a frame of another room or kind must not get out to readers.
        let begin = format!(r#"{{"type":"message","roomId":"{}","message":{{"#, header.room_id.as_str());
        let expired = format!(r#"{{"type":"messages","roomId":"{}","messages":[],"#, header.room_id.as_str());
        let mut rest = frames;
        let mut changes: Vec<Change> = Vec::with_capacity(header.changes.len());
        for line in header.changes {
            let (frame, after) = rest.split_at_checked(line.bytes).ok_or_else(|| malformed("a frame is cut"))?;
            let begin = if matches!(line.effect.as_deref(), Some(Effect::Expired(..))) { &expired } else { &begin };
            if !frame.starts_with(begin) || changes.last().is_some_and(|last| last.rev + 1 != line.rev) {
                return Err(malformed("its changes are not what its header says"));
            }
            rest = after;
            changes.push(line.read(frame, header.since.map(Timestamp)));
        }
        if !rest.is_empty() {
            return Err(malformed("it is longer than its header says"));
        }
        let (history, room_id) = (header.history.into_owned(), header.room_id.into_owned());
        let (users, traces) = (header.users.into_owned(), header.traces.into_owned());
        let committed_at = header.since.map_or_else(Timestamp::now, Timestamp);
        Ok(Self { from: header.from, history, room_id, changes, users, traces, committed_at })
    }
}

impl Change {
    /// A message's new state, as it is in the store; encoded here, once per cluster.
    pub fn new(room_id: &RoomId, message: &Message) -> Self {
        Self {
            rev: message.rev,
            seq: message.seq,
            created_at: message.created_at,
            sender_id: (message.content_type != ContentType::System).then(|| message.sender_id.clone()),
            effect: message.effect(),
            frame: ServerFrame::Message { room_id, message }.encode(),
            committed_at: None,
            from: Origin::Store,
        }
    }

    /// The step by which a log begins later: a page without messages. It counts as one of the last message, which
    /// everyone may see.
    pub fn expired(room_id: &RoomId, head: &Head) -> Self {
        let frame = ServerFrame::Messages { room_id, messages: &[], rev: head.rev, oldest_seq: head.begins_at() };
        Self {
            rev: head.rev,
            seq: head.last_seq,
            created_at: head.last_message_at.unwrap_or(Timestamp(0)),
            sender_id: None,
            effect: Some(Effect::Expired(head.oldest_seq, head.expired_rev)),
            frame: frame.encode(),
            committed_at: None,
            from: Origin::Store,
        }
    }
}

impl<'a> Line<'a> {
    fn new(change: &'a Change) -> Self {
        Self {
            rev: change.rev,
            seq: change.seq,
            at: change.created_at.0,
            by: change.sender_id.as_ref().map(Cow::Borrowed),
            effect: change.effect.as_ref().map(Cow::Borrowed),
            bytes: change.frame.len(),
        }
    }

    fn read(self, frame: &str, committed_at: Option<Timestamp>) -> Change {
        Change {
            rev: self.rev,
            seq: self.seq,
            created_at: Timestamp(self.at),
            sender_id: self.by.map(Cow::into_owned),
            effect: self.effect.map(Cow::into_owned),
            frame: Frame::from(frame),
            committed_at,
            from: Origin::Bus,
        }
    }
}

impl BusMessage {
    /// As it travels.
    pub fn encode(&self) -> Vec<u8> {
        let (body, frames): (_, Vec<&Frame>) = match self {
            Self::Commit(commit) => {
                (Body::Commit(commit.header()), commit.changes.iter().map(|change| &change.frame).collect())
            }
            Self::User(commit) => (Body::User(commit.header()), Vec::new()),
            Self::Aside(aside) => {
                let (room_id, author) = (Cow::Borrowed(&aside.room_id), Cow::Borrowed(&aside.author));
                (Body::Aside { from: aside.from, room_id, author, about: aside.kind }, vec![&aside.frame])
            }
            Self::Access => (Body::Access {}, Vec::new()),
            Self::Probe(nonce) => (Body::Probe { nonce: Cow::Borrowed(nonce) }, Vec::new()),
        };
        let mut bytes = serde_json::to_vec(&Header { v: VERSION, body }).expect("a header is texts and numbers");
        bytes.push(b'\n');
        for frame in frames {
            bytes.extend_from_slice(frame.as_bytes());
        }
        bytes
    }

    /// Reads what another instance said. Whatever is not exactly of this form is refused.
    pub fn decode(bytes: &[u8]) -> Result<Self, BadMessage> {
        let end = bytes.iter().position(|b| *b == b'\n').ok_or_else(|| malformed("it has no header"))?;
        let header: Header<'_> =
            serde_json::from_slice(&bytes[..end]).map_err(|error| refusal(&bytes[..end], &error))?;
        if header.v != VERSION {
            return Err(BadMessage::Version(header.v));
        }
        let frames = std::str::from_utf8(&bytes[end + 1..]).map_err(|_| malformed("a frame is no text"))?;
        match header.body {
            Body::Access {} => Ok(Self::Access),
            Body::Probe { nonce } => Ok(Self::Probe(nonce.into_owned())),
            // The header has no length of it, so one that was cut off shows only here.
            Body::Aside { .. } if serde_json::from_str::<&serde_json::value::RawValue>(frames).is_err() => {
                Err(malformed("a frame is cut off"))
            }
            Body::Aside { from, room_id, author, about } => Ok(Self::Aside(Aside {
                from,
                frame: Frame::from(frames),
                room_id: room_id.into_owned(),
                author: author.into_owned(),
                kind: about,
            })),
            Body::Commit(commit) => Publication::read(commit, frames).map(Self::Commit),
            Body::User(commit) => Publication::read(commit, frames).map(Self::User),
        }
    }
}

fn malformed(what: &str) -> BadMessage {
    BadMessage::Malformed(what.to_owned())
}

/// Says of a header that cannot be read whether it is another version's.
fn refusal(header: &[u8], error: &serde_json::Error) -> BadMessage {
    #[derive(Deserialize)]
    struct Version {
        v: u32,
    }
    match serde_json::from_slice(header) {
        Ok(Version { v }) if v != VERSION => BadMessage::Version(v),
        _ => BadMessage::Malformed(error.to_string()),
    }
}

#[cfg(test)]
mod tests;
