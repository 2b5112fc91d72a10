//! A room read whole, in pages of one snapshot: what is written meanwhile is not in it.

use std::time::Duration;

use super::records::hex;
use super::{
    BanRecord, CaseRecord, ExpiredRecord, MemberRecord, MessageRecord, QuotaRecord, ReactionRecord, RoomRecord,
    UserRecord,
};
use crate::error::{Error, Result};
use crate::model::{ContentType, Decision, FlaggedBy, History, QuotaName, Role, RoomId, Timestamp, UserId};
use crate::store::Store;
use crate::store::database::{Connection, Row};
use crate::store::rooms::retention;
use crate::store::rows::{self, head_columns, json, message_columns, number, small, sql, user_columns};

/// A room at one moment. To be closed when done.
pub struct Export {
    connection: Connection,
    within: Duration,
    room: RoomId,
    /// The history of the database it is of.
    pub history: History,
    /// The room itself.
    pub record: RoomRecord,
    /// How many members it has.
    pub members: u64,
}

impl Store {
    /// Begins to read a room. Its pages may be asked for at leisure; each has the time of a call.
    pub async fn export(&self, room: &RoomId) -> Result<Export> {
        const ROOM: &str = concat!(
            "select r.key, r.title, r.metadata, r.slow_mode_seconds, r.keep_days, r.keep_messages, r.expired_at,
                 r.created_at, q.per_day, q.time_zone, ",
            head_columns!(),
            " from room r left join quota q on q.name = r.quota where r.id = $1"
        );
        let within = self.database.read_within;
        let mut connection = self.database.snapshot().await?;
        let Some(row) = connection.query(ROOM).bind(room.as_str()).fetch_optional().await? else {
            connection.roll_back().await?;
            return Err(Error::RoomNotFound);
        };
        let head = rows::head(&row)?;
        let (history, members) = (head.history.clone(), head.member_count);
        let record = RoomRecord {
            id: room.clone(),
            kind: head.kind,
            key: row.try_get("key")?,
            title: row.try_get("title")?,
            metadata: json(&row, "metadata")?,
            history_for: head.history_for,
            slow_mode_seconds: small(&row, "slow_mode_seconds")?,
            quota: quota(&row, head.quota)?,
            created_at: Timestamp(row.try_get("created_at")?),
            last_message_at: head.last_message_at,
            last_seq: head.last_seq,
            rev: head.rev,
            retention: retention(&row)?,
            expired: maybe_at(&row, "expired_at")?.map(|at| ExpiredRecord {
                last_seq: head.oldest_seq.saturating_sub(1),
                rev: head.expired_rev,
                at,
            }),
        };
        Ok(Export { connection, within, room: room.clone(), history, record, members })
    }
}

fn quota(row: &Row, name: Option<QuotaName>) -> Result<Option<QuotaRecord>> {
    let Some(name) = name else { return Ok(None) };
    Ok(Some(QuotaRecord { name, per_day: number(row, "per_day")?, time_zone: row.try_get("time_zone")? }))
}

impl Export {
    /// Messages after a place.
    pub async fn messages(&mut self, after: u64, limit: u32) -> Result<Vec<MessageRecord>> {
        const MESSAGES: &str = concat!(
            "select x.hash, ",
            message_columns!(),
            " from message x where x.room_id = $1 and x.seq > $2 order by x.seq limit $3"
        );
        let room = self.room.clone();
        let query = self.ready().query(MESSAGES).bind(room.as_str()).bind(sql(after)).bind(i64::from(limit));
        query.fetch_all().await?.iter().map(|row| message(row, &room)).collect()
    }

    /// Reactions after one, by message, emoji and person.
    pub async fn reactions(&mut self, after: Option<&ReactionRecord>, limit: u32) -> Result<Vec<ReactionRecord>> {
        let room = self.room.clone();
        let query = self.ready().query(
            "select seq, emoji, user_id, created_at from reaction
             where room_id = $1 and (seq, emoji, user_id) > ($2, $3, $4) order by seq, emoji, user_id limit $5",
        );
        let query = query.bind(room.as_str()).bind(after.map_or(0, |a| sql(a.seq)));
        let query = query.bind(after.map_or("", |a| &a.emoji)).bind(after.map_or("", |a| a.user_id.as_str()));
        let rows = query.bind(i64::from(limit)).fetch_all().await?;
        let reaction = |row: &Row| {
            Ok(ReactionRecord {
                seq: number(row, "seq")?,
                emoji: row.try_get("emoji")?,
                user_id: user_id(row, "user_id")?,
                created_at: at(row, "created_at")?,
            })
        };
        rows.iter().map(reaction).collect()
    }

    /// People after one, by id: members, and who is banned, and by whom.
    pub async fn users(&mut self, after: Option<&UserRecord>, limit: u32) -> Result<Vec<UserRecord>> {
        const USERS: &str = concat!(
            "select u.created_at, ",
            user_columns!(),
            r#" from "user" u where u.id in (
                 select user_id from member where room_id = $1
                 union select user_id from ban where room_id = $1
                 union select by_user_id from ban where room_id = $1) and u.id > $2
             order by u.id limit $3"#
        );
        self.after(USERS, after.map(|user| &user.id), limit).await?.iter().map(user).collect()
    }

    /// Members after one, by id.
    pub async fn members(&mut self, after: Option<&MemberRecord>, limit: u32) -> Result<Vec<MemberRecord>> {
        const MEMBERS: &str = "select user_id, role, joined_seq, last_read_seq, last_sent_at from member
             where room_id = $1 and user_id > $2 order by user_id limit $3";
        let rows = self.after(MEMBERS, after.map(|member| &member.user_id), limit).await?;
        let member = |row: &Row| {
            Ok(MemberRecord {
                user_id: user_id(row, "user_id")?,
                role: named(row, "role", Role::parse)?.ok_or_else(|| foreign("role"))?,
                joined_seq: number(row, "joined_seq")?,
                last_read_seq: number(row, "last_read_seq")?,
                last_sent_at: maybe_at(row, "last_sent_at")?,
            })
        };
        rows.iter().map(member).collect()
    }

    /// Bans after one, by id.
    pub async fn bans(&mut self, after: Option<&BanRecord>, limit: u32) -> Result<Vec<BanRecord>> {
        const BANS: &str = "select user_id, by_user_id, at from ban
             where room_id = $1 and user_id > $2 order by user_id limit $3";
        let rows = self.after(BANS, after.map(|ban| &ban.user_id), limit).await?;
        let ban = |row: &Row| {
            Ok(BanRecord {
                user_id: user_id(row, "user_id")?,
                by_user_id: user_id(row, "by_user_id")?,
                at: at(row, "at")?,
            })
        };
        rows.iter().map(ban).collect()
    }

    /// What was flagged, after one, by message and change.
    pub async fn cases(&mut self, after: Option<&CaseRecord>, limit: u32) -> Result<Vec<CaseRecord>> {
        let room = self.room.clone();
        let query = self.ready().query(
            "select * from moderation_case where room_id = $1 and (seq, rev) > ($2, $3) order by seq, rev limit $4",
        );
        let query =
            query.bind(room.as_str()).bind(after.map_or(0, |a| sql(a.seq))).bind(after.map_or(0, |a| sql(a.rev)));
        query.bind(i64::from(limit)).fetch_all().await?.iter().map(case).collect()
    }

    /// Ends the snapshot.
    pub async fn close(self) -> Result<()> {
        self.connection.roll_back().await
    }

    fn ready(&mut self) -> &mut Connection {
        self.connection.renew(self.within);
        &mut self.connection
    }

    async fn after(&mut self, statement: &'static str, id: Option<&UserId>, limit: u32) -> Result<Vec<Row>> {
        let room = self.room.clone();
        let query = self.ready().query(statement).bind(room.as_str()).bind(id.map_or("", UserId::as_str));
        query.bind(i64::from(limit)).fetch_all().await
    }
}

fn foreign(column: &'static str) -> Error {
    Error::internal("reading the database", format!("column {column} holds a value of no known kind"))
}

fn user_id(row: &Row, column: &str) -> Result<UserId> {
    row.try_get(column).map(UserId::trusted)
}

fn at(row: &Row, column: &str) -> Result<Timestamp> {
    row.try_get(column).map(Timestamp)
}

fn maybe_at(row: &Row, column: &str) -> Result<Option<Timestamp>> {
    Ok(row.try_get::<Option<i64>>(column)?.map(Timestamp))
}

fn named<T>(row: &Row, column: &str, parse: impl Fn(&str) -> Option<T>) -> Result<Option<T>> {
    Ok(row.try_get::<Option<String>>(column)?.as_deref().and_then(parse))
}

fn message(row: &Row, room: &RoomId) -> Result<MessageRecord> {
    let m = rows::message(row, room)?;
    Ok(MessageRecord {
        seq: m.seq,
        rev: m.rev,
        id: m.id,
        hash: hex(&row.try_get::<Vec<u8>>("hash")?),
        sender_id: m.sender_id,
        sender_name: m.sender_name,
        sender_avatar_url: m.sender_avatar_url,
        content: m.content,
        content_type: m.content_type,
        metadata: m.metadata,
        reply_to: m.reply_to,
        reactions: m.reactions,
        moderation: m.moderation,
        created_at: m.created_at,
        edited_at: m.edited_at,
        deleted_at: m.deleted_at,
    })
}

fn user(row: &Row) -> Result<UserRecord> {
    let user = rows::user(row)?;
    let (partner_id, partner_status) = user.partner.map(|partner| (partner.id, partner.status)).unzip();
    Ok(UserRecord {
        id: user.id,
        name: user.name,
        avatar_url: user.avatar_url,
        role: user.role,
        partner_id,
        partner_status,
        set: user.set,
        claims_at: user.claims_at,
        created_at: at(row, "created_at")?,
    })
}

fn case(row: &Row) -> Result<CaseRecord> {
    Ok(CaseRecord {
        seq: number(row, "seq")?,
        rev: number(row, "rev")?,
        message_id: crate::model::MessageId::trusted(row.try_get("message_id")?),
        sender_id: user_id(row, "sender_id")?,
        sender_name: row.try_get("sender_name")?,
        content: row.try_get("content")?,
        content_type: named(row, "content_type", ContentType::parse)?.ok_or_else(|| foreign("content_type"))?,
        metadata: json(row, "metadata")?,
        flagged_by: named(row, "flagged_by", FlaggedBy::parse)?.ok_or_else(|| foreign("flagged_by"))?,
        reason: row.try_get("reason")?,
        flagged_at: at(row, "flagged_at")?,
        decision: named(row, "decision", Decision::parse)?,
        decision_reason: row.try_get("decision_reason")?,
        decided_by: row.try_get::<Option<String>>("decided_by")?.map(UserId::trusted),
        decided_at: maybe_at(row, "decided_at")?,
    })
}
