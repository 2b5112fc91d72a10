//! How a peer is spoken to: what a subscriber asks for and says until it hears its room, what carries a message, and how
//! one is recognised. What peers relay has the shape and size of a frame of Tidings, so that all move the same bytes.

use memchr::memmem;
use serde::Deserialize;

use crate::load::{Incoming, Link};

/// The ways to speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    Tidings,
    /// `/sub/{room}` hears; `/pub` says `{room} {payload}`.
    Plain,
    /// `/sub/{room}` hears; a `POST` to `/pub/{room}` says.
    Nchan,
    SocketIo,
}

/// What a subscriber wants to hear.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Follow<'a> {
    pub(crate) room: &'a str,
    /// A cursor to go on from, and the history it belongs to.
    pub(crate) from: Option<(u64, &'a str)>,
}

/// What a server said of a room when it was joined; the peers say nothing.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Joined {
    pub(crate) rev: u64,
    pub(crate) last_seq: Option<u64>,
    pub(crate) history: String,
    pub(crate) status: String,
}

/// What carries one message.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Outgoing<'a> {
    /// Its number among all messages.
    pub(crate) number: u64,
    pub(crate) room: &'a str,
    /// Its number in the room, where the server does not number.
    pub(crate) seq: u64,
    pub(crate) content: &'a str,
}

impl Dialect {
    /// Where a subscriber of this room connects, or with none a publisher.
    pub(crate) fn path(self, room: Option<&str>) -> String {
        match (self, room) {
            (Self::Tidings, _) => "/api/chat/ws".to_owned(),
            (Self::SocketIo, _) => "/socket.io/?EIO=4&transport=websocket".to_owned(),
            (_, Some(room)) => format!("/sub/{room}"),
            (_, None) => "/pub".to_owned(),
        }
    }

    /// Goes on with what is said before a connection hears its room, or may publish; returns what was said once it is so.
    pub(crate) fn greet(self, link: &mut Link, incoming: &Incoming<'_>, room: Option<Follow<'_>>) -> Option<Joined> {
        match (self, incoming) {
            (Self::Tidings, Incoming::Upgraded) => {
                let Follow { room, from } = room?;
                let from = from.map(|(since, history)| format!(r#","since":{since},"history":"{history}""#));
                let from = from.unwrap_or_default();
                link.text(format!(r#"{{"type":"subscribe","id":0,"roomId":"{room}","limit":1{from}}}"#).as_bytes());
                None
            }
            (Self::Tidings, Incoming::Text(text)) if room.is_none() => {
                text.starts_with(br#"{"type":"welcome""#).then(Joined::default)
            }
            (Self::Tidings, Incoming::Text(text)) => {
                let subscribed = text.starts_with(br#"{"type":"subscribed""#);
                subscribed.then(|| serde_json::from_slice(text).ok()).flatten()
            }
            (Self::SocketIo, Incoming::Text(text)) => match (text, room) {
                ([b'0', b'{', ..], _) => {
                    link.text(b"40");
                    None
                }
                ([b'4', b'0', ..], Some(Follow { room, .. })) => {
                    link.text(format!(r#"421["join","{room}"]"#).as_bytes());
                    None
                }
                ([b'4', b'0', ..], None) | ([b'4', b'3', ..], _) => Some(Joined::default()),
                _ => None,
            },
            (Self::Plain | Self::Nchan, Incoming::Upgraded) => Some(Joined::default()),
            _ => None,
        }
    }

    /// The bytes that publish a message.
    pub(crate) fn publish(self, link: &mut Link, run: u32, message: &Outgoing<'_>) {
        let Outgoing { number, room, seq, content } = message;
        match self {
            Self::Tidings => link.text(
                format!(
                    r##"{{"type":"send","id":{number},"roomId":"{room}","message":{{"id":"{run:08x}-0000-7000-8000-{number:012x}","content":"#{number} {content}"}}}}"##
                )
                .as_bytes(),
            ),
            Self::Plain => link.text(format!("{room} {}", payload(run, *number, room, *seq, content)).as_bytes()),
            Self::SocketIo => {
                let payload = payload(run, *number, room, *seq, content);
                link.text(format!(r#"42["publish","{room}",{payload}]"#).as_bytes());
            }
            Self::Nchan => {
                let payload = payload(run, *number, room, *seq, content);
                let length = payload.len();
                link.send(
                    format!(
                        "POST /pub/{room} HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\n\r\n{payload}"
                    )
                    .as_bytes(),
                );
            }
        }
    }

    /// What keeps the connection, if the peer asks by a text for a sign of life.
    pub(crate) fn keep_alive(self, link: &mut Link, text: &[u8]) {
        if self == Self::SocketIo && text == b"2" {
            link.text(b"3");
        }
    }
}

/// What other peers relay: a frame as Tidings would make it.
fn payload(run: u32, number: u64, room: &str, seq: u64, content: &str) -> String {
    format!(
        r##"{{"type":"message","roomId":"{room}","message":{{"id":"{run:08x}-0000-7000-8000-{number:012x}","roomId":"{room}","seq":{seq},"rev":{seq},"senderId":"writer0","senderName":"Person writer0","senderAvatarUrl":null,"content":"#{number} {content}","contentType":"TEXT","metadata":null,"replyTo":null,"reactions":[],"moderation":null,"createdAt":"2026-11-22T10:00:00.000001Z","editedAt":null,"deletedAt":null}}}}"##
    )
}

/// The number of a message of the load, by its content.
pub(crate) fn number_of(content: &str) -> Option<u64> {
    number_at(content.as_bytes(), 1).filter(|_| content.starts_with('#'))
}

fn number_at(text: &[u8], at: usize) -> Option<u64> {
    let digits = text.get(at..)?.iter().take_while(|byte| byte.is_ascii_digit());
    let mut any = false;
    let number = digits.fold(0_u64, |sum, digit| {
        any = true;
        sum.wrapping_mul(10).wrapping_add(u64::from(digit - b'0'))
    });
    any.then_some(number)
}

/// Finds the two numbers of a message. They mostly stand where they stood in the message before.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    seq_at: usize,
    number_at: usize,
}

/// A message that was heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Heard {
    /// Its number among all messages, if the load sent it.
    pub(crate) number: Option<u64>,
    /// Its number in the room.
    pub(crate) seq: u64,
}

const SEQ: &[u8] = br#""seq":"#;
const NUMBER: &[u8] = br##""content":"#"##;

impl Reader {
    /// The message in a text, if it is one.
    pub(crate) fn message(&mut self, text: &[u8]) -> Option<Heard> {
        let seq = find(text, SEQ, &mut self.seq_at)?;
        Some(Heard { seq, number: find(text, NUMBER, &mut self.number_at) })
    }
}

fn find(text: &[u8], name: &[u8], at: &mut usize) -> Option<u64> {
    if text.get(*at..).is_none_or(|rest| !rest.starts_with(name)) {
        *at = memmem::find(text, name)?;
    }
    number_at(text, *at + name.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_recognised_wherever_its_numbers_stand() {
        let mut reader = Reader::default();
        for (number, seq) in [(7, 8), (123_456, 99), (0, 1)] {
            let text = payload(1, number, "room1", seq, "words");
            assert_eq!(reader.message(text.as_bytes()), Some(Heard { number: Some(number), seq }));
            let wrapped = format!(r#"42["message",{text}]"#);
            assert_eq!(reader.message(wrapped.as_bytes()), Some(Heard { number: Some(number), seq }));
        }
        assert_eq!(reader.message(br#"{"seq":3,"content":"Ann joined"}"#), Some(Heard { number: None, seq: 3 }));
        assert_eq!(reader.message(br#"{"type":"pong"}"#), None);
        assert_eq!(reader.message(br#"{"seq":null}"#), None);
    }
}
