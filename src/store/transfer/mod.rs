//! A room taken out whole and put in again elsewhere, with its ids, numbers and times. Each batch is one transaction
//! under the room's lock and leaves a log that is whole so far; done again it changes nothing.

mod export;
mod import;
mod records;

use serde_json::Value;

use crate::error::Result;
use crate::model::{MessageId, Moderation, RoomId};
use crate::store::database::{Connection, Sql, encode};

pub use export::Export;
pub(in crate::store) use import::insert_users;
pub use import::{ImportBegun, Merged};
pub use records::{
    BanRecord, CaseRecord, ExpiredRecord, MemberRecord, MessageRecord, QuotaRecord, ReactionRecord, RoomRecord,
    UserRecord, hex,
};

macro_rules! insert_sql {
    ($hash:literal, $rows:literal) => {
        concat!(
            "insert into message (room_id, seq, rev, id, hash, sender_id, sender_name, sender_avatar_url, content,
                                  content_type, metadata, reply_to, reactions, moderation, created_at, edited_at,
                                  deleted_at)
             select $1, cast(value ->> 0 as bigint), cast(value ->> 1 as bigint), value ->> 2, ",
            $hash,
            ", value ->> 4, value ->> 5, value ->> 6, value ->> 7, value ->> 8, value ->> 9, value ->> 10,
               value ->> 11, value ->> 12, cast(value ->> 13 as bigint), cast(value ->> 14 as bigint),
               cast(value ->> 15 as bigint) from ",
            $rows
        )
    };
}

/// Writes messages that have their numbers and times already. The room's head is moved by who gave them.
pub(super) async fn insert_messages(tx: &mut Connection, room: &RoomId, messages: &[MessageRecord]) -> Result<()> {
    const INSERT: Sql = Sql {
        sqlite: insert_sql!("unhex(value ->> 3)", "json_each($2)"),
        postgres: insert_sql!("decode(value ->> 3, 'hex')", "json_array_elements(cast($2 as json))"),
    };
    let rows = messages.iter().map(row).collect::<Vec<_>>();
    tx.query(INSERT).bind(room.as_str()).bind(encode(&rows)?).execute().await.map(drop)
}

/// A message's columns in the order of the statement.
fn row(m: &MessageRecord) -> [Value; 16] {
    [
        m.seq.into(),
        m.rev.into(),
        m.id.as_str().into(),
        m.hash.as_str().into(),
        m.sender_id.as_str().into(),
        m.sender_name.as_str().into(),
        m.sender_avatar_url.as_deref().into(),
        m.content.as_str().into(),
        m.content_type.as_str().into(),
        m.metadata.as_ref().map(|metadata| metadata.get()).into(),
        m.reply_to.as_ref().map(MessageId::as_str).into(),
        m.reactions.get().into(),
        m.moderation.map(Moderation::as_str).into(),
        m.created_at.0.into(),
        m.edited_at.map(|at| at.0).into(),
        m.deleted_at.map(|at| at.0).into(),
    ]
}
