//! What was flagged, and what was decided of it. A case is made in the transaction of the change that was flagged, holds
//! what was written then, and stays whatever becomes of the message.

use super::database::{Connection, Row};
use super::messages::{blank, change, unchanged};
use super::rows::{self, Found, find_room_and_message, message_columns, number, sql};
use super::writer::Turn;
use super::{Store, Written};
use crate::error::{Error, Result};
use crate::model::{
    Case, CaseCursor, ContentType, Decision, Flag, FlaggedBy, Message, MessageId, RoomId, Timestamp, UserId,
};

/// The columns of a case `c`, named so that they do not clash with those of its message.
macro_rules! case_columns {
    () => {
        "c.room_id as case_room_id, c.seq as case_seq, c.rev as case_rev, c.message_id as case_message_id,
         c.sender_id as case_sender_id, c.sender_name as case_sender_name, c.content as case_content,
         c.content_type as case_content_type, c.metadata as case_metadata, c.flagged_by, c.reason, c.flagged_at,
         c.decision, c.decision_reason, c.decided_by, c.decided_at"
    };
}

/// What somebody decides of a message, and what they know of it.
#[derive(Debug, Clone)]
pub struct Ruling {
    /// Who decides.
    pub by: UserId,
    /// What.
    pub decision: Decision,
    /// Why.
    pub reason: Option<String>,
    /// Up to which change it was looked at; what was flagged after it waits on. Absent: all of it.
    pub up_to: Option<u64>,
}

impl Store {
    /// Cases that nobody has decided yet, oldest first, each with its message as it is now.
    pub async fn open_cases(&self, after: Option<CaseCursor>, limit: u32) -> Result<Vec<Case>> {
        const QUEUE: &str = concat!(
            "with picked as (
                 select * from moderation_case where decision is null and (flagged_at, room_id, rev) > ($1, $2, $3)
                 order by flagged_at, room_id, rev limit $4)
             select ",
            case_columns!(),
            ", ",
            message_columns!(),
            " from picked c left join message x on x.room_id = c.room_id and x.seq = c.seq"
        );
        let (time, room, rev) =
            after.map_or((i64::MIN, String::new(), -1), |(time, room, rev)| (time, room.to_string(), sql(rev)));
        let mut connection = self.database.reading().await?;
        let query = connection.query(QUEUE).bind(time).bind(room).bind(rev).bind(i64::from(limit));
        let mut cases = query.fetch_all().await?.iter().map(case_and_message).collect::<Result<Vec<_>>>()?;
        cases.sort_by(|a, b| (a.flagged_at, &a.room_id, a.rev).cmp(&(b.flagged_at, &b.room_id, b.rev)));
        Ok(cases)
    }

    /// All cases of a message, oldest first, whatever was decided.
    pub async fn cases_of(&self, room: &RoomId, message: &MessageId) -> Result<Vec<Case>> {
        const CASES: &str = concat!(
            "select ",
            case_columns!(),
            " from moderation_case c
             where c.room_id = $1 and c.seq = (select seq from message where room_id = $1 and id = $2) order by c.rev"
        );
        let mut connection = self.database.reading().await?;
        let rows = connection.query(CASES).bind(room.as_str()).bind(message.as_str()).fetch_all().await?;
        rows.iter().map(case).collect()
    }

    /// Decides of a message that was flagged; the same decision again changes nothing. Approved, it loses its mark unless
    /// more of it waits. Rejected, it is blanked, also if it was approved before.
    pub async fn decide(&self, room: &RoomId, message: &MessageId, ruling: Ruling) -> Result<Written> {
        let (turn, room, message) = (Turn::Shared(room), room.clone(), message.clone());
        self.writer.run(turn, move |tx| Box::pin(decide(tx, room, message, ruling))).await
    }
}

/// Puts what was just written into the queue.
pub(super) async fn open_case(tx: &mut Connection, message: &Message, flag: &Flag) -> Result<()> {
    tx.query(
        "insert into moderation_case (room_id, seq, rev, message_id, sender_id, sender_name, content, content_type,
                                      metadata, flagged_by, reason, flagged_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
    )
    .bind(message.room_id.as_str())
    .bind(sql(message.seq))
    .bind(sql(message.rev))
    .bind(message.id.as_str())
    .bind(message.sender_id.as_str())
    .bind(&message.sender_name)
    .bind(&message.content)
    .bind(message.content_type.as_str())
    .bind(message.metadata.as_ref().map(|m| m.get()))
    .bind(flag.by.as_str())
    .bind(&flag.reason)
    .bind(Timestamp::now().0)
    .execute()
    .await
    .map(drop)
}

async fn decide(tx: &mut Connection, room: RoomId, id: MessageId, ruling: Ruling) -> Result<Written> {
    let (mut room, found) = find_room_and_message(tx, &room, &ruling.by, &id, &[]).await?;
    let (Found::Same(mut message) | Found::Other(mut message)) = found else { return Err(Error::MessageNotFound) };
    let known = decisions(tx, &message).await?;
    let Some((last, _)) = known.last().copied() else { return Err(Error::NotFound) };
    let approves = ruling.decision == Decision::Approved;
    if approves && known.iter().any(|(_, decision)| *decision == Some(Decision::Rejected)) {
        return Err(Error::Forbidden("the message was rejected, and what it said is gone from the room"));
    }
    let is_open = |(_, decision): &&(u64, Option<Decision>)| decision.is_none();
    let is_meant = |(rev, _): &&(u64, Option<Decision>)| !approves || ruling.up_to.is_none_or(|up_to| *rev <= up_to);
    let mut meant: Vec<u64> = known.iter().filter(is_open).filter(is_meant).map(|(rev, _)| *rev).collect();
    let is_overruled = !approves && meant.is_empty() && known.iter().all(|(_, d)| *d == Some(Decision::Approved));
    if is_overruled {
        meant.push(last);
    }
    for rev in &meant {
        close_case(tx, &message, *rev, &ruling).await?;
    }
    // Whoever wrote it may have deleted it meanwhile: then there is nothing left but to have decided.
    let waits = known.iter().filter(is_open).count() > meant.len();
    if approves && message.moderation.is_some() && !waits {
        message.moderation = None;
        return change(tx, &mut room, message).await;
    }
    if !approves && !meant.is_empty() && message.deleted_at.is_none() {
        return blank(tx, &mut room, message).await;
    }
    Ok(unchanged(&room, message))
}

/// Which changes of a message were flagged, and what was decided of each.
async fn decisions(tx: &mut Connection, message: &Message) -> Result<Vec<(u64, Option<Decision>)>> {
    let query = tx.query("select rev, decision from moderation_case where room_id = $1 and seq = $2 order by rev");
    let rows = query.bind(message.room_id.as_str()).bind(sql(message.seq)).fetch_all().await?;
    rows.iter().map(|row| Ok((number(row, "rev")?, decision(row)?))).collect()
}

async fn close_case(tx: &mut Connection, message: &Message, rev: u64, ruling: &Ruling) -> Result<()> {
    tx.query(
        "update moderation_case set decision = $4, decision_reason = $5, decided_by = $6, decided_at = $7
         where room_id = $1 and seq = $2 and rev = $3",
    )
    .bind(message.room_id.as_str())
    .bind(sql(message.seq))
    .bind(sql(rev))
    .bind(ruling.decision.as_str())
    .bind(ruling.reason.as_deref())
    .bind(ruling.by.as_str())
    .bind(Timestamp::now().0)
    .execute()
    .await
    .map(drop)
}

fn decision(row: &Row) -> Result<Option<Decision>> {
    Ok(row.try_get::<Option<String>>("decision")?.as_deref().and_then(Decision::parse))
}

/// A case of the columns of [`case_columns`].
fn case(row: &Row) -> Result<Case> {
    let (content_type, flagged_by): (String, String) = (row.try_get("case_content_type")?, row.try_get("flagged_by")?);
    Ok(Case {
        room_id: RoomId::trusted(row.try_get("case_room_id")?),
        message_id: MessageId::trusted(row.try_get("case_message_id")?),
        seq: number(row, "case_seq")?,
        rev: number(row, "case_rev")?,
        sender_id: UserId::trusted(row.try_get("case_sender_id")?),
        sender_name: row.try_get("case_sender_name")?,
        content: row.try_get("case_content")?,
        content_type: ContentType::parse(&content_type).unwrap_or(ContentType::Text),
        metadata: rows::json(row, "case_metadata")?,
        flagged_by: FlaggedBy::parse(&flagged_by).unwrap_or(FlaggedBy::Hook),
        reason: row.try_get("reason")?,
        flagged_at: Timestamp(row.try_get("flagged_at")?),
        decision: decision(row)?,
        decision_reason: row.try_get("decision_reason")?,
        decided_by: row.try_get::<Option<String>>("decided_by")?.map(UserId::trusted),
        decided_at: row.try_get::<Option<i64>>("decided_at")?.map(Timestamp),
        message: None,
    })
}

/// The same with the message of the columns of [`message_columns`], if it is there.
fn case_and_message(row: &Row) -> Result<Case> {
    let case = case(row)?;
    let is_there = row.try_get::<Option<String>>("message_id")?.is_some();
    let message = if is_there { Some(Box::new(rows::message(row, &case.room_id)?)) } else { None };
    Ok(Case { message, ..case })
}
