//! What instances tell each other over the bus: a line of JSON, then encoded frames one after the other, so that no
//! instance parses a message to route it. Versioned; what cannot be read is dropped by whoever hears it, because
//! the bus may lose anything and the log in the database makes up for it.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::{Frame, ServerFrame, TraceParent};
use crate::model::{Commit, ContentType, Effect, History, Message, RoomId, Timestamp, UserChange, UserId};

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
    /// The `message` frame.
    pub frame: Frame,
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
        Self {
            from,
            history: commit.head.history.clone(),
            room_id: commit.room_id.clone(),
            changes: commit.changes.iter().map(|message| Change::new(&commit.room_id, message)).collect(),
            users: commit.users.clone(),
            traces: Vec::new(),
        }
    }

    /// What those who follow some of its users need of it.
    #[must_use]
    pub fn for_users(&self, users: Vec<UserChange>) -> Self {
        let (history, room_id) = (self.history.clone(), self.room_id.clone());
        Self { from: self.from, history, room_id, changes: Vec::new(), users, traces: Vec::new() }
    }

    fn header(&self) -> Committed<'_> {
        Committed {
            from: self.from,
            history: Cow::Borrowed(&self.history),
            room_id: Cow::Borrowed(&self.room_id),
            changes: self.changes.iter().map(Line::new).collect(),
            users: Cow::Borrowed(&self.users),
            traces: Cow::Borrowed(&self.traces),
        }
    }

    fn read(header: Committed<'_>, frames: &str) -> Result<Self, BadMessage> {
        // Every `message` frame begins so: a frame of another room or kind must not get out to readers.
        let begin = format!(r#"{{"type":"message","roomId":"{}","message":{{"#, header.room_id.as_str());
        let mut rest = frames;
        let mut changes: Vec<Change> = Vec::with_capacity(header.changes.len());
        for line in header.changes {
            let (frame, after) = rest.split_at_checked(line.bytes).ok_or_else(|| malformed("a frame is cut"))?;
            if !frame.starts_with(&begin) || changes.last().is_some_and(|last| last.rev + 1 != line.rev) {
                return Err(malformed("its changes are not what its header says"));
            }
            rest = after;
            changes.push(line.read(frame));
        }
        if !rest.is_empty() {
            return Err(malformed("it is longer than its header says"));
        }
        let (history, room_id) = (header.history.into_owned(), header.room_id.into_owned());
        let (users, traces) = (header.users.into_owned(), header.traces.into_owned());
        Ok(Self { from: header.from, history, room_id, changes, users, traces })
    }
}

impl Change {
    /// A message's new state; encoded here, once per cluster.
    pub fn new(room_id: &RoomId, message: &Message) -> Self {
        Self {
            rev: message.rev,
            seq: message.seq,
            created_at: message.created_at,
            sender_id: (message.content_type != ContentType::System).then(|| message.sender_id.clone()),
            effect: message.effect(),
            frame: ServerFrame::Message { room_id, message }.encode(),
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

    fn read(self, frame: &str) -> Change {
        Change {
            rev: self.rev,
            seq: self.seq,
            created_at: Timestamp(self.at),
            sender_id: self.by.map(Cow::into_owned),
            effect: self.effect.map(Cow::into_owned),
            frame: Frame::from(frame),
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
mod tests {
    use super::*;
    use crate::model::UserChangeKind;

    const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn frame(room: &str, rev: u64) -> Frame {
        Frame::from(format!(r#"{{"type":"message","roomId":"{room}","message":{{"rev":{rev},"content":"ü"}}}}"#))
    }

    fn publication() -> BusMessage {
        let user: UserId = "ben".parse().expect("an id");
        let change = |rev| Change {
            rev,
            seq: rev,
            created_at: Timestamp(7),
            sender_id: (rev == 8).then(|| user.clone()),
            effect: (rev == 9).then(|| Effect::Left(user.clone())),
            frame: frame("r", rev),
        };
        BusMessage::Commit(Publication {
            from: InstanceId::nil(),
            history: "h".parse().expect("an id"),
            room_id: "r".parse().expect("an id"),
            changes: vec![change(8), change(9)],
            users: vec![UserChange { user_id: user.clone(), rev: 3, what: UserChangeKind::Read(8) }],
            traces: vec![TRACE.parse().expect("a trace")],
        })
    }

    #[test]
    fn what_is_published_is_what_is_heard() {
        let BusMessage::Commit(heard) = BusMessage::decode(&publication().encode()).expect("a publication") else {
            panic!("another kind")
        };
        assert_eq!((heard.room_id.as_str(), heard.history.as_str()), ("r", "h"));
        assert_eq!(heard.changes.iter().map(|c| c.rev).collect::<Vec<_>>(), [8, 9]);
        assert_eq!(heard.changes[0].sender_id.as_ref().map(UserId::as_str), Some("ben"));
        assert!(matches!(&heard.changes[1].effect, Some(Effect::Left(user)) if user.as_str() == "ben"));
        assert_eq!(heard.changes[1].frame, frame("r", 9));
        assert_eq!(heard.users.len(), 1);
        assert_eq!(heard.traces.iter().map(ToString::to_string).collect::<Vec<_>>(), [TRACE]);
        let probe = BusMessage::decode(&BusMessage::Probe("n".to_owned()).encode());
        assert!(matches!(probe, Ok(BusMessage::Probe(nonce)) if nonce == "n"));
    }

    #[test]
    fn instances_that_know_no_traces_are_understood_and_understand() {
        let now = String::from_utf8(publication().encode()).expect("text");
        let before = now.replacen(&format!(r#","traces":["{TRACE}"]"#), "", 1);
        assert_ne!(now, before);
        assert!(
            matches!(BusMessage::decode(before.as_bytes()), Ok(BusMessage::Commit(heard)) if heard.traces.is_empty())
        );
        // What such an instance does with the field, this one does with one of a later version.
        let later = now.replacen("\"traces\"", "\"later\"", 1);
        assert!(matches!(BusMessage::decode(later.as_bytes()), Ok(BusMessage::Commit(_))));
    }

    #[test]
    fn garbage_is_refused_wherever_it_is() {
        let good = publication().encode();
        for cut in 0..good.len() {
            assert!(BusMessage::decode(&good[..cut]).is_err(), "cut at {cut}");
        }
        assert!(BusMessage::decode(&[&good[..], b"x"].concat()).is_err(), "longer than it says");
        assert!(BusMessage::decode(&[&good[..good.len() - 3], &[0xff; 3][..]].concat()).is_err(), "no text");
        let text = String::from_utf8(good).expect("text");
        assert!(BusMessage::decode(text.replacen(r#""roomId":"r""#, r#""roomId":"q""#, 1).as_bytes()).is_err());
        let newer = text.replacen(r#""v":1"#, r#""v":2"#, 1);
        assert!(matches!(BusMessage::decode(newer.as_bytes()), Err(BadMessage::Version(2))));
        assert!(matches!(BusMessage::decode(b"{\"v\":3}\n"), Err(BadMessage::Version(3))));
    }

    #[test]
    fn an_aside_that_was_cut_off_is_malformed() {
        let whole = BusMessage::Aside(Aside {
            from: InstanceId::nil(),
            room_id: "r".parse().expect("an id"),
            author: "ben".parse().expect("an id"),
            kind: AsideKind::Typing,
            frame: Frame::from(r#"{"type":"typing"}"#.to_owned()),
        })
        .encode();
        assert!(matches!(BusMessage::decode(&whole), Ok(BusMessage::Aside(_))));
        for end in 0..whole.len() {
            assert!(BusMessage::decode(&whole[..end]).is_err(), "cut off after {end}");
        }
    }
}
