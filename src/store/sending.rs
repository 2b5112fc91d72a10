//! Sends, as many of them as wait: looked up in one statement, decided one after the other, written in one statement.
//! Each has a result of its own, and one that is refused leaves nothing. They run under the locks of their rooms.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use super::database::{Connection, Row, Sql, encode};
use super::moderation::open_case;
use super::rows::{InRoom, head_columns, member_columns, message, message_columns, number, user_columns};
use super::transfer::hex;
use super::{Store, Written, quota};
use crate::error::{Error, Result};
use crate::model::{Draft, Flag, Head, Message, MessageId, Moderation, Role, RoomId, Timestamp, UserId};
use crate::telemetry;

/// A message that its sender wrote.
pub(super) struct Sending {
    room: RoomId,
    user: UserId,
    draft: Draft,
    hash: [u8; 16],
    /// Why moderation wants to see it, if it does.
    flag: Option<Flag>,
}

impl Store {
    /// Sends a message: number, insert, head and the sender's read position in one transaction. The room's slow mode and
    /// quota count it there, and if it is flagged, it is in the queue with it.
    pub async fn send(&self, room: &RoomId, user: &UserId, draft: Draft, flag: Option<Flag>) -> Result<Written> {
        let hash = draft.hash();
        self.writer.send(room, Sending { room: room.clone(), user: user.clone(), draft, hash, flag }).await
    }
}

/// All there is to know of each: `$1` is a list of rooms, users, message ids and ids replied to.
macro_rules! look_up {
    ($place:literal, $from:literal) => {
        concat!(
            "select ",
            $place,
            " as place, y.seq as reply_seq, x.hash, ",
            head_columns!(),
            ", ",
            member_columns!(),
            ", ",
            user_columns!(),
            ", r.slow_mode_seconds, m.last_sent_at, ",
            message_columns!(),
            " from ",
            $from
        )
    };
}

const LOOK_UP: Sql = Sql {
    // SQLite goes through a cross join in this order: from each of the given to its rows.
    sqlite: look_up!(
        "given.key",
        r#"json_each($1) as given
           cross join room r on r.id = given.value ->> 0
           cross join "user" u on u.id = given.value ->> 1
           left join member m on m.room_id = r.id and m.user_id = u.id
           left join message x on x.room_id = r.id and x.id = given.value ->> 2
           left join message y on y.room_id = r.id and y.id = given.value ->> 3"#
    ),
    // What is lateral and behind an `offset` PostgreSQL can only look up for each of the given, by all of its key. As a
    // plain join, a plan made while the tables were empty reads every message of the room.
    postgres: look_up!(
        "given.place - 1",
        r#"json_array_elements(cast($1 as json)) with ordinality as given(value, place)
           cross join lateral (select * from room where id = given.value ->> 0 offset 0) r
           cross join lateral (select * from "user" where id = given.value ->> 1 offset 0) u
           left join lateral (select * from member where room_id = r.id and user_id = u.id offset 0) m on true
           left join lateral (select * from message where room_id = r.id and id = given.value ->> 2 offset 0) x on true
           left join lateral (select seq from message where room_id = r.id and id = given.value ->> 3 offset 0) y on true"#
    ),
};

/// What is written: `$1` are heads of rooms, `$2` members' read positions and when they sent something, `$3` messages.
const WRITE: Sql = Sql {
    sqlite: "update room set last_seq = value ->> 1, rev = value ->> 2, last_message_at = value ->> 3
         from json_each($1) where room.id = value ->> 0;
         update member set last_read_seq = value ->> 2, last_sent_at = value ->> 3
         from json_each($2) where room_id = value ->> 0 and user_id = value ->> 1;
         insert into message (room_id, seq, rev, created_at, id, hash, sender_id, sender_name, sender_avatar_url, content,
                              content_type, metadata, reply_to, moderation)
         select value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, unhex(value ->> 5), value ->> 6,
                value ->> 7, value ->> 8, value ->> 9, value ->> 10, value ->> 11, value ->> 12, value ->> 13
         from json_each($3)",
    // Of one room: it is an error if there are several. The positions are written as members who are there already,
    // because then each is found by its key, whatever a plan guesses of the lists.
    postgres: "with heads as (
             update room set last_seq = cast(value ->> 1 as bigint), rev = cast(value ->> 2 as bigint),
                             last_message_at = cast(value ->> 3 as bigint)
             from json_array_elements(cast($1 as json))
             where room.id = (select value ->> 0 from json_array_elements(cast($1 as json)))),
         positions as (
             insert into member (room_id, user_id, role, joined_seq, last_read_seq, last_sent_at)
             select value ->> 0, value ->> 1, 'MEMBER', 0, cast(value ->> 2 as bigint), cast(value ->> 3 as bigint)
             from json_array_elements(cast($2 as json))
             on conflict (room_id, user_id) do update
             set last_read_seq = excluded.last_read_seq, last_sent_at = excluded.last_sent_at)
         insert into message (room_id, seq, rev, created_at, id, hash, sender_id, sender_name, sender_avatar_url, content,
                              content_type, metadata, reply_to, moderation)
         select value ->> 0, cast(value ->> 1 as bigint), cast(value ->> 2 as bigint), cast(value ->> 3 as bigint),
                value ->> 4, decode(value ->> 5, 'hex'), value ->> 6, value ->> 7, value ->> 8, value ->> 9,
                value ->> 10, value ->> 11, value ->> 12, value ->> 13
         from json_array_elements(cast($3 as json))",
};

/// What comes after the sends in their transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Then {
    /// Something else may.
    More,
    /// Its COMMIT, if anything was written. Until the caller commits, nothing is promised.
    Commit,
}

/// Sends all of them, in this order. An error is the database's, and says nothing of any one of them.
pub(super) async fn send_all(tx: &mut Connection, sends: &[&Sending], then: Then) -> Result<Vec<Result<Written>>> {
    let given: Vec<_> =
        sends.iter().map(|send| (&send.room, &send.user, &send.draft.id, send.draft.reply_to.as_ref())).collect();
    let mut rows: Vec<Option<Row>> = sends.iter().map(|_| None).collect();
    for row in tx.first_query(LOOK_UP).bind(encode(&given)?).fetch_all().await? {
        if let Some(place) = usize::try_from(number(&row, "place")?).ok().and_then(|place| rows.get_mut(place)) {
            *place = Some(row);
        }
    }
    let mut batch = Batch::default();
    let mut results = Vec::with_capacity(sends.len());
    for (send, row) in sends.iter().zip(rows) {
        match batch.decide(tx, send, row).await {
            Err(error) if error.is_fault() => return Err(error),
            result => results.push(result),
        }
    }
    batch.write(tx, then).await?;
    Ok(results)
}

/// What those sends that were not refused come to.
#[derive(Default)]
struct Batch<'a> {
    /// Where each room is after them.
    heads: HashMap<RoomId, Head>,
    new: Vec<(Arc<Message>, &'a Sending)>,
    /// Where in `new` a message is.
    places: HashMap<(&'a RoomId, &'a MessageId), usize>,
    /// When each sent their last one in a room.
    last_sent: HashMap<(&'a RoomId, &'a UserId), (u64, Timestamp)>,
}

impl<'a> Batch<'a> {
    async fn decide(&mut self, tx: &mut Connection, send: &'a Sending, row: Option<Row>) -> Result<Written> {
        let row = row.ok_or(Error::RoomNotFound)?;
        let mut room = InRoom::of(&row, &send.room)?;
        if let Some(head) = self.heads.get(&send.room) {
            room.head = head.clone();
        }
        let role = room.membership()?.role;
        if let Some(sent) = self.sent_before(send, &row)? {
            return Ok(Written { message: sent, history: room.head.history, commit: None });
        }
        if let Some(reply_to) = &send.draft.reply_to
            && row.try_get::<Option<i64>>("reply_seq")?.is_none()
            && !self.places.contains_key(&(&send.room, reply_to))
        {
            return Err(Error::invalid("replyTo", "there is no such message in this room"));
        }
        let sender = (&send.room, &send.user);
        let last_sent = self.last_sent.get(&sender).map(|(_, at)| *at).or(room.last_sent_at);
        let mut message = room.next_of(send.draft.clone())?;
        message.moderation = send.flag.as_ref().map(|_| Moderation::Flagged);
        check_slow_mode(&room, role, last_sent, message.created_at)?;
        if let Some(name) = &room.head.quota {
            // Last, because what it has counted stays counted.
            quota::take(tx, name, &send.user, message.created_at).await?;
        }
        self.last_sent.insert(sender, (message.seq, message.created_at));
        let message = Arc::new(message);
        self.places.insert((&send.room, &send.draft.id), self.new.len());
        self.new.push((message.clone(), send));
        self.heads.insert(send.room.clone(), room.head.clone());
        let commit = room.commit(vec![message.clone()], Vec::new());
        Ok(Written { message, history: room.head.history, commit: Some(commit) })
    }

    /// The message under the same id, if it is the same one: of before, or of this batch.
    fn sent_before(&self, send: &Sending, row: &Row) -> Result<Option<Arc<Message>>> {
        let (message, hash) = if let Some(place) = self.places.get(&(&send.room, &send.draft.id)) {
            let (message, other) = &self.new[*place];
            (message.clone(), other.hash.to_vec())
        } else if let Some(hash) = row.try_get::<Option<Vec<u8>>>("hash")? {
            (Arc::new(message(row, &send.room)?), hash)
        } else {
            return Ok(None);
        };
        if message.sender_id == send.user && hash == send.hash {
            Ok(Some(message))
        } else {
            Err(Error::MessageIdConflict)
        }
    }

    async fn write(&self, tx: &mut Connection, then: Then) -> Result<()> {
        if self.new.is_empty() {
            return Ok(());
        }
        let head = |(room, head): (_, &Head)| (room, head.last_seq, head.rev, head.last_message_at.map(|at| at.0));
        let heads: Vec<(&RoomId, _, _, _)> = self.heads.iter().map(head).collect();
        let position = |((room, user), (seq, at)): (&(_, _), &(u64, Timestamp))| (*room, *user, *seq, at.0);
        let positions: Vec<(&RoomId, &UserId, _, _)> = self.last_sent.iter().map(position).collect();
        let messages: Vec<_> = self.new.iter().map(|(message, send)| row_of(message, send.hash)).collect();
        let is_last = then == Then::Commit && self.new.iter().all(|(_, send)| send.flag.is_none());
        let write = if is_last { tx.last_query(WRITE) } else { tx.query(WRITE) };
        write.bind(encode(&heads)?).bind(encode(&positions)?).bind(encode(&messages)?).execute().await?;
        for (message, send) in &self.new {
            if let Some(flag) = &send.flag {
                open_case(tx, message, flag).await?;
            }
        }
        Ok(())
    }
}

/// A message as [`WRITE`] takes it.
fn row_of(message: &Message, hash: [u8; 16]) -> impl Serialize + '_ {
    (
        &message.room_id,
        message.seq,
        message.rev,
        message.created_at.0,
        &message.id,
        hex(&hash),
        &message.sender_id,
        &message.sender_name,
        &message.sender_avatar_url,
        &message.content,
        message.content_type.as_str(),
        message.metadata.as_ref().map(|metadata| metadata.get()),
        &message.reply_to,
        message.moderation.map(Moderation::as_str),
    )
}

/// Whether the sender's last message is long enough ago; who keeps order in the room may always write. By the times of
/// the messages, which only go forward.
fn check_slow_mode(room: &InRoom, role: Role, last_sent_at: Option<Timestamp>, now: Timestamp) -> Result<()> {
    let Some(last) = last_sent_at.filter(|_| room.slow_mode_seconds > 0 && role < Role::Moderator) else {
        return Ok(());
    };
    let wait = Duration::from_secs(u64::from(room.slow_mode_seconds));
    let since = Duration::from_micros(u64::try_from(now.0.saturating_sub(last.0)).unwrap_or(0));
    match wait.saturating_sub(since) {
        Duration::ZERO => Ok(()),
        retry_after => {
            telemetry::limit_hit("slow_mode");
            Err(Error::SlowMode { retry_after })
        }
    }
}
