//! Reading a room's file: line by line, and first of all to its end, so that nothing is changed for one that is cut off,
//! put together wrongly or made by hand without care.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use serde_json::value::RawValue;

use super::lines::{Counts, FORMAT, Line, VERSION};
use super::{Failure, Result};
use crate::model::{Timestamp, UserId};
use crate::store::{CaseRecord, MemberRecord, MessageRecord, ReactionRecord, RoomRecord};

/// The lines of a file, one after the other.
pub(super) struct Reader {
    path: PathBuf,
    file: BufReader<File>,
    number: u64,
    text: String,
}

impl Reader {
    /// Begins at the first line.
    pub(super) fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).map_err(|error| Failure::of_file(path, &error))?;
        Ok(Self { path: path.to_owned(), file: BufReader::new(file), number: 0, text: String::new() })
    }

    /// The next line; nothing at the end.
    pub(super) fn next(&mut self) -> Result<Option<Line>> {
        self.text.clear();
        self.number += 1;
        let read = self.file.read_line(&mut self.text).map_err(|error| Failure::of_file(&self.path, &error))?;
        if read == 0 {
            return Ok(None);
        }
        if holds_nul(&self.text) {
            return Err(self.wrong("it holds the character NUL, which PostgreSQL cannot keep"));
        }
        serde_json::from_str(&self.text).map(Some).map_err(|error| self.wrong(&error.to_string()))
    }

    fn wrong(&self, why: &str) -> Failure {
        Failure::failed(format!("{}, line {}: {why}", self.path.display(), self.number))
    }
}

/// Whether a text of JSON spells the character NUL in any of its texts.
fn holds_nul(text: &str) -> bool {
    let escaped = |at: usize| text.as_bytes()[..at].iter().rev().take_while(|byte| **byte == b'\\').count() % 2 == 1;
    text.match_indices("\\u0000").any(|(at, _)| !escaped(at))
}

/// What a file holds that is whole.
#[derive(Debug)]
pub(super) struct Whole {
    /// The room.
    pub(super) room: RoomRecord,
    /// How much there is of it.
    pub(super) counts: Counts,
}

/// Reads a file to its end, and refuses it if an import could not go through with it.
pub(super) fn check(path: &Path) -> Result<Whole> {
    let mut reader = Reader::open(path)?;
    let mut order = Order::default();
    while let Some(line) = reader.next()? {
        order.take(line).map_err(|why| reader.wrong(&why))?;
    }
    match (order.room, order.is_ended) {
        (Some(room), true) => Ok(Whole { room, counts: order.counts }),
        _ => Err(reader.wrong("the file ends here and is not whole; export the room again")),
    }
}

/// What was read so far, as far as what follows depends on it.
#[derive(Default)]
struct Order {
    rank: Option<u8>,
    room: Option<RoomRecord>,
    counts: Counts,
    is_ended: bool,
    written_at: Option<Timestamp>,
    last_id: Option<UserId>,
    last_reaction: Option<(u64, String, UserId)>,
    last_case: Option<(u64, u64)>,
}

impl Order {
    fn take(&mut self, line: Line) -> Result<(), String> {
        let rank = line.rank();
        // The first two are there once, in their places, and nothing comes after the last.
        let fits = match self.rank {
            None => rank == 0,
            Some(0) => rank == 1,
            Some(last) => rank >= last.max(2) && !self.is_ended,
        };
        if !fits {
            return Err("this line has no place here".to_owned());
        }
        if self.rank != Some(rank) {
            self.last_id = None;
        }
        self.rank = Some(rank);
        self.counts.add(&line);
        match line {
            Line::Export(header) if header.format != FORMAT => Err(format!("this is no file of a {FORMAT}")),
            Line::Export(header) if header.version != VERSION => {
                Err(format!("the file is of version {}, this program reads {VERSION}", header.version))
            }
            Line::Export(_) => Ok(()),
            Line::Room(room) => {
                is_object(room.metadata.as_deref())?;
                let is_bound = room.retention.is_none_or(|retention| retention.check().is_ok());
                if !is_bound
                    || room.expired.is_some_and(|e| e.last_seq == 0 || e.last_seq > room.last_seq || e.rev > room.rev)
                {
                    return Err("what the room keeps cannot be".to_owned());
                }
                self.room = Some(room);
                Ok(())
            }
            Line::User(user) => self.next_id(user.id),
            Line::Ban(ban) => self.next_id(ban.user_id),
            Line::Member(member) => self.member(member),
            Line::Message(message) => self.message(&message),
            Line::Reaction(reaction) => self.reaction(reaction),
            Line::Case(case) => self.case(&case),
            Line::End(counts) => self.end(counts),
        }
    }

    fn room(&self) -> Result<&RoomRecord, String> {
        self.room.as_ref().ok_or_else(|| "the room is to come first".to_owned())
    }

    /// The place of the last message so far.
    fn last_message(&self) -> Result<u64, String> {
        Ok(self.room()?.oldest_seq() - 1 + self.counts.messages)
    }

    fn next_id(&mut self, id: UserId) -> Result<(), String> {
        if self.last_id.as_ref().is_some_and(|last| *last >= id) {
            return Err(format!("{id} is out of order"));
        }
        self.last_id = Some(id);
        Ok(())
    }

    fn member(&mut self, member: MemberRecord) -> Result<(), String> {
        if member.last_read_seq.max(member.joined_seq) > self.room()?.last_seq {
            return Err("the member's place is after the last message".to_owned());
        }
        self.next_id(member.user_id)
    }

    fn message(&mut self, message: &MessageRecord) -> Result<(), String> {
        let (room, next) = (self.room()?, self.last_message()?);
        if message.seq != next {
            return Err(format!("message {next} is to come here, not {}", message.seq));
        }
        if message.rev < message.seq || message.rev > room.rev {
            return Err(format!("the room has no change {}", message.rev));
        }
        if self.written_at.is_some_and(|before| before >= message.created_at) {
            return Err("it was written before the message in front of it".to_owned());
        }
        let is_hex = message.hash.len().is_multiple_of(2) && message.hash.bytes().all(|byte| byte.is_ascii_hexdigit());
        if !is_hex || !message.reactions.get().starts_with('[') {
            return Err("its hash is no hex, or its reactions are no list".to_owned());
        }
        is_object(message.metadata.as_deref())?;
        self.written_at = Some(message.created_at);
        Ok(())
    }

    fn reaction(&mut self, reaction: ReactionRecord) -> Result<(), String> {
        if !(self.room()?.oldest_seq()..=self.last_message()?).contains(&reaction.seq) {
            return Err(format!("there is no message {}", reaction.seq));
        }
        let place = (reaction.seq, reaction.emoji, reaction.user_id);
        if self.last_reaction.as_ref().is_some_and(|last| *last >= place) {
            return Err("the reaction is out of order".to_owned());
        }
        self.last_reaction = Some(place);
        Ok(())
    }

    fn case(&mut self, case: &CaseRecord) -> Result<(), String> {
        let place = (case.seq, case.rev);
        if self.last_case.is_some_and(|last| last >= place) {
            return Err("the case is out of order".to_owned());
        }
        self.last_case = Some(place);
        is_object(case.metadata.as_deref())
    }

    fn end(&mut self, counts: Counts) -> Result<(), String> {
        let (messages, is_whole) =
            (self.room()?.last_seq + 1 - self.room()?.oldest_seq(), self.last_message()? == self.room()?.last_seq);
        if counts != self.counts || !is_whole {
            let mut there = String::new();
            if !is_whole {
                there = format!("; the room has {messages} messages");
            }
            return Err(format!("the file is not whole: it should hold {counts}, and holds {}{there}", self.counts));
        }
        self.is_ended = true;
        Ok(())
    }
}

fn is_object(metadata: Option<&RawValue>) -> Result<(), String> {
    let is_object = metadata.is_none_or(|metadata| metadata.get().starts_with('{'));
    if is_object { Ok(()) } else { Err("metadata is no object".to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nul_is_found_however_it_is_written() {
        assert!(holds_nul(r#"{"content":"a\u0000b"}"#));
        assert!(holds_nul(r#"{"content":"\\\u0000"}"#));
        assert!(!holds_nul(r#"{"content":"\\u0000"}"#));
        assert!(!holds_nul(r#"{"content":"\u0001"}"#));
    }
}
