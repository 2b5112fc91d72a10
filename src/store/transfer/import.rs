//! A room put in from what an export holds. Until its last batch nobody is a member and it is no public room, so that it
//! comes to people whole. It may be put in again, also from a later export; a room that has gone a way of its own is
//! refused.

use serde_json::{Value, json};

use super::{
    BanRecord, CaseRecord, MemberRecord, MessageRecord, QuotaRecord, ReactionRecord, RoomRecord, UserRecord,
    insert_messages,
};
use crate::error::{Error, Result};
use crate::model::{Decision, Moderation, RoomId, RoomKind, UserChangeKind, UserId};
use crate::store::administration::{lock_users, move_users};
use crate::store::database::{Connection, Sql, encode, of_rows};
use crate::store::reading::list;
use crate::store::retention::set_retention;
use crate::store::rooms::direct_pair;
use crate::store::rows::{number, sql};
use crate::store::writer::Turn;
use crate::store::{Store, quota};

/// What is between two people's ids, or behind the first, and not in a list.
macro_rules! not_listed {
    ($statement:literal) => {
        Sql {
            sqlite: concat!(
                $statement,
                " where room_id = $1 and user_id > $2 and (user_id <= $3 or $4 = 1)
                   and user_id not in (select value from json_each($5)) returning user_id"
            ),
            postgres: concat!(
                $statement,
                " where room_id = $1 and user_id > $2 and (user_id <= $3 or $4 = 1)
                   and user_id <> all (array(select json_array_elements_text(cast($5 as json)))) returning user_id"
            ),
        }
    };
}
/// Where an import begins or goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ImportBegun {
    /// The last message that is there.
    pub last_seq: u64,
}

/// What became of messages that were put in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Merged {
    /// They were not there.
    pub new: u64,
    /// They were there as they were before a change.
    pub changed: u64,
    /// They were there.
    pub same: u64,
}

impl Store {
    /// Makes people who are not known here yet; returns how many.
    pub async fn import_users(&self, users: Vec<UserRecord>) -> Result<u64> {
        self.writer.run(Turn::Free, move |tx| Box::pin(async move { insert_users(tx, &users).await })).await
    }

    /// Makes the room, which nobody sees yet, or finds it as an import left it.
    pub async fn begin_import(&self, record: RoomRecord) -> Result<ImportBegun> {
        let room = record.id.clone();
        self.writer.run(Turn::Own(&room), move |tx| Box::pin(begin(tx, record))).await
    }

    /// Puts in messages, without a gap to those that are there.
    pub async fn import_messages(&self, room: &RoomId, messages: Vec<MessageRecord>) -> Result<Merged> {
        let id = room.clone();
        self.writer.run(Turn::Own(room), move |tx| Box::pin(merge(tx, id, messages))).await
    }

    /// Puts in reactions to messages that are there.
    pub async fn import_reactions(&self, room: &RoomId, reactions: Vec<ReactionRecord>) -> Result<()> {
        const INSERT: Sql = of_rows!(
            "insert into reaction (room_id, seq, emoji, user_id, created_at)
             select $1, cast(value ->> 0 as bigint), value ->> 1, value ->> 2, cast(value ->> 3 as bigint)",
            "$2",
            "where true on conflict do nothing"
        );
        let row = |r: &ReactionRecord| json!([r.seq, r.emoji, r.user_id, r.created_at.0]);
        let rows = encode(&reactions.iter().map(row).collect::<Vec<_>>())?;
        self.write_rows(room, INSERT, rows).await
    }

    /// Puts in what was flagged, and what was decided of it.
    pub async fn import_cases(&self, room: &RoomId, cases: Vec<CaseRecord>) -> Result<()> {
        const INSERT: Sql = of_rows!(
            "insert into moderation_case (room_id, seq, rev, message_id, sender_id, sender_name, content, content_type,
                 metadata, flagged_by, reason, flagged_at, decision, decision_reason, decided_by, decided_at)
             select $1, cast(value ->> 0 as bigint), cast(value ->> 1 as bigint), value ->> 2, value ->> 3, value ->> 4,
                 value ->> 5, value ->> 6, value ->> 7, value ->> 8, value ->> 9, cast(value ->> 10 as bigint),
                 value ->> 11, value ->> 12, value ->> 13, cast(value ->> 14 as bigint)",
            "$2",
            "where true on conflict (room_id, seq, rev) do update set decision = excluded.decision,
                 decision_reason = excluded.decision_reason, decided_by = excluded.decided_by,
                 decided_at = excluded.decided_at"
        );
        let rows = encode(&cases.iter().map(case_row).collect::<Vec<_>>())?;
        self.write_rows(room, INSERT, rows).await
    }

    /// Makes the bans after `after`, up to the last of these, these and no others; without an end, of all that follow.
    pub async fn import_bans(
        &self,
        room: &RoomId,
        after: Option<UserId>,
        bans: Vec<BanRecord>,
        is_last: bool,
    ) -> Result<()> {
        let id = room.clone();
        self.writer
            .run(Turn::Own(room), move |tx| {
                Box::pin(async move {
                    const REMOVE: Sql = not_listed!("delete from ban");
                    const INSERT: Sql = of_rows!(
                        "insert into ban (room_id, user_id, by_user_id, at)
                         select $1, value ->> 0, value ->> 1, cast(value ->> 2 as bigint)",
                        "$2",
                        "where true on conflict (room_id, user_id) do update set by_user_id = excluded.by_user_id,
                             at = excluded.at"
                    );
                    let users: Vec<&UserId> = bans.iter().map(|ban| &ban.user_id).collect();
                    remove_others(tx, REMOVE, &id, after.as_ref(), &users, is_last).await?;
                    let row = |ban: &BanRecord| json!([ban.user_id, ban.by_user_id, ban.at.0]);
                    let rows = encode(&bans.iter().map(row).collect::<Vec<_>>())?;
                    tx.query(INSERT).bind(id.as_str()).bind(rows).execute().await.map(drop)
                })
            })
            .await
    }

    /// Makes the members after `after`, up to the last of these, these and no others. With the last of them the room
    /// becomes what the record says, and people see it.
    pub async fn import_members(
        &self,
        room: &RoomId,
        after: Option<UserId>,
        members: Vec<MemberRecord>,
        finish: Option<RoomRecord>,
    ) -> Result<()> {
        let id = room.clone();
        self.writer.run(Turn::Own(room), move |tx| Box::pin(set_members(tx, id, after, members, finish))).await
    }

    async fn write_rows(&self, room: &RoomId, statement: Sql, rows: String) -> Result<()> {
        let id = room.clone();
        self.writer
            .run(Turn::Own(room), move |tx| {
                Box::pin(async move { tx.query(statement).bind(id.as_str()).bind(rows).execute().await.map(drop) })
            })
            .await
    }
}

async fn remove_others(
    tx: &mut Connection,
    statement: Sql,
    room: &RoomId,
    after: Option<&UserId>,
    listed: &[&UserId],
    is_last: bool,
) -> Result<Vec<UserId>> {
    let query = tx.query(statement).bind(room.as_str()).bind(after.map_or("", UserId::as_str));
    let query = query.bind(listed.last().map_or("", |last| last.as_str())).bind(i64::from(is_last));
    let rows = query.bind(list(listed.iter().map(|id| id.as_str()))?).fetch_all().await?;
    rows.iter().map(|row| row.try_get("user_id").map(UserId::trusted)).collect()
}

pub(in crate::store) async fn insert_users(tx: &mut Connection, users: &[UserRecord]) -> Result<u64> {
    const INSERT: Sql = of_rows!(
        r#"insert into "user" (id, name, avatar_url, role, partner_id, partner_status, name_set, avatar_set, role_set,
                               partner_set, claims_at, created_at)
           select value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5,
                  cast(value ->> 6 as boolean), cast(value ->> 7 as boolean), cast(value ->> 8 as boolean),
                  cast(value ->> 9 as boolean), cast(value ->> 10 as bigint), cast(value ->> 11 as bigint)"#,
        "$1",
        "where true on conflict (id) do nothing"
    );
    let row = |u: &UserRecord| -> [Value; 12] {
        [
            u.id.as_str().into(),
            u.name.as_str().into(),
            u.avatar_url.as_deref().into(),
            u.role.as_str().into(),
            u.partner_id.as_deref().into(),
            u.partner_status.as_deref().into(),
            u.set.name.into(),
            u.set.avatar.into(),
            u.set.role.into(),
            u.set.partner.into(),
            u.claims_at.0.into(),
            u.created_at.0.into(),
        ]
    };
    // In order of id, as users are always locked.
    let mut sorted: Vec<&UserRecord> = users.iter().collect();
    sorted.sort_by(|a, b| a.id.cmp(&b.id));
    let rows = encode(&sorted.into_iter().map(row).collect::<Vec<_>>())?;
    tx.query(INSERT).bind(rows).execute().await
}

/// A room as it stands in the way of an import.
struct Standing {
    kind: Option<RoomKind>,
    last_seq: u64,
    rev: u64,
    members: u64,
    oldest_seq: u64,
}

async fn standing(tx: &mut Connection, room: &RoomId) -> Result<Option<Standing>> {
    let query =
        tx.query("select kind, last_seq, rev, member_count, oldest_seq from room where id = $1").bind(room.as_str());
    let Some(row) = query.fetch_optional().await? else { return Ok(None) };
    let kind: String = row.try_get("kind")?;
    Ok(Some(Standing {
        kind: RoomKind::parse(&kind),
        last_seq: number(&row, "last_seq")?,
        rev: number(&row, "rev")?,
        members: number(&row, "member_count")?,
        oldest_seq: number(&row, "oldest_seq")?,
    }))
}

fn refused(detail: impl Into<String>) -> Error {
    Error::invalid("room", detail)
}

async fn begin(tx: &mut Connection, record: RoomRecord) -> Result<ImportBegun> {
    let id = &record.id;
    let Some(standing) = standing(tx, id).await? else {
        // What is not in the file any more is as if it had been here; and until the room is whole, it keeps everything.
        tx.query(
            "insert into room (id, kind, created_at, oldest_seq, last_seq, keep_days, keep_messages)
             values ($1, 'GROUP', $2, $3, $4, 0, 0)",
        )
        .bind(id.as_str())
        .bind(record.created_at.0)
        .bind(sql(record.oldest_seq()))
        .bind(sql(record.oldest_seq() - 1))
        .execute()
        .await?;
        return Ok(ImportBegun { last_seq: 0 });
    };
    let is_hidden = standing.kind == Some(RoomKind::Group) && standing.members == 0;
    if standing.kind != Some(record.kind) && !is_hidden {
        return Err(refused(format!("{id} is here already, and not {}", record.kind.as_str())));
    }
    if standing.last_seq > record.last_seq || standing.rev > record.rev {
        let detail = format!(
            "{id} is here already with seq {} and rev {}, more than the file's {} and {}: it was written to after the \
             export, or is another room",
            standing.last_seq, standing.rev, record.last_seq, record.rev
        );
        return Err(refused(detail));
    }
    if standing.oldest_seq > record.oldest_seq() || standing.last_seq + 1 < record.oldest_seq() {
        let detail = format!(
            "{id} is here already with the messages {} to {}, and the file begins at {}: what lies between was removed",
            standing.oldest_seq,
            standing.last_seq,
            record.oldest_seq()
        );
        return Err(refused(detail));
    }
    Ok(ImportBegun { last_seq: standing.last_seq })
}

/// Which of these messages are here, by place.
async fn known(tx: &mut Connection, room: &RoomId, messages: &[MessageRecord]) -> Result<Vec<(u64, u64, String)>> {
    let (Some(first), Some(last)) = (messages.first(), messages.last()) else { return Ok(Vec::new()) };
    let query = tx.query("select seq, rev, id from message where room_id = $1 and seq between $2 and $3 order by seq");
    let rows = query.bind(room.as_str()).bind(sql(first.seq)).bind(sql(last.seq)).fetch_all().await?;
    rows.iter().map(|row| Ok((number(row, "seq")?, number(row, "rev")?, row.try_get("id")?))).collect()
}

async fn merge(tx: &mut Connection, room: RoomId, messages: Vec<MessageRecord>) -> Result<Merged> {
    let standing = standing(tx, &room).await?.ok_or(Error::RoomNotFound)?;
    let known = known(tx, &room, &messages).await?;
    let other = |seq: u64| {
        refused(format!("{room} is here already, and its message {seq} is another, or newer: it went a way of its own"))
    };
    let (mut new, mut changed, mut same) = (Vec::new(), Vec::new(), 0);
    let rev = messages.iter().map(|message| message.rev).fold(standing.rev, u64::max);
    for message in messages {
        match known.binary_search_by_key(&message.seq, |(seq, ..)| *seq).ok().map(|at| &known[at]) {
            Some((_, rev, id)) if id != message.id.as_str() || *rev > message.rev => return Err(other(message.seq)),
            Some((_, rev, _)) if *rev == message.rev => same += 1,
            Some(_) => changed.push(message),
            None => new.push(message),
        }
    }
    if new.first().is_some_and(|first| first.seq != standing.last_seq + 1) {
        return Err(Error::internal("importing messages", "they leave a gap"));
    }
    refuse_taken(tx, &room, new.iter().chain(&changed)).await?;
    update_messages(tx, &room, &changed).await?;
    insert_messages(tx, &room, &new).await?;
    let last = new.last().map_or((standing.last_seq, None), |last| (last.seq, Some(last.created_at.0)));
    tx.query("update room set last_seq = $2, rev = $3, last_message_at = coalesce($4, last_message_at) where id = $1")
        .bind(room.as_str())
        .bind(sql(last.0))
        .bind(sql(rev))
        .bind(last.1)
        .execute()
        .await?;
    Ok(Merged { new: new.len() as u64, changed: changed.len() as u64, same })
}

/// Which of these changes, by message and number, is another message's here.
// One look into the index for each: joined, SQLite would go through all messages for each of them.
const TAKEN: Sql = of_rows!(
    "select seq from (
         select (select m.seq from message m where m.room_id = $1 and m.rev = cast(value ->> 1 as bigint)
                                               and m.seq <> cast(value ->> 0 as bigint)) as seq",
    "$2",
    ") found where seq is not null limit 1"
);

/// Refuses changes whose number is another message's here.
async fn refuse_taken(
    tx: &mut Connection,
    room: &RoomId,
    messages: impl Iterator<Item = &MessageRecord>,
) -> Result<()> {
    let rows: Vec<[u64; 2]> = messages.map(|message| [message.seq, message.rev]).collect();
    let Some(row) = tx.query(TAKEN).bind(room.as_str()).bind(encode(&rows)?).fetch_optional().await? else {
        return Ok(());
    };
    let seq = number(&row, "seq")?;
    Err(refused(format!("{room} is here already, and its message {seq} was changed here: it went a way of its own")))
}

async fn update_messages(tx: &mut Connection, room: &RoomId, messages: &[MessageRecord]) -> Result<()> {
    const UPDATE: &str = "update message set rev = $3, content = $4, metadata = $5, reactions = $6, moderation = $7,
            edited_at = $8, deleted_at = $9
        where room_id = $1 and seq = $2";
    for message in messages {
        // Those of its state come after it.
        let query = tx.query("delete from reaction where room_id = $1 and seq = $2");
        query.bind(room.as_str()).bind(sql(message.seq)).execute().await?;
        tx.query(UPDATE)
            .bind(room.as_str())
            .bind(sql(message.seq))
            .bind(sql(message.rev))
            .bind(&message.content)
            .bind(message.metadata.as_ref().map(|metadata| metadata.get()))
            .bind(message.reactions.get())
            .bind(message.moderation.map(Moderation::as_str))
            .bind(message.edited_at.map(|at| at.0))
            .bind(message.deleted_at.map(|at| at.0))
            .execute()
            .await?;
    }
    Ok(())
}

fn case_row(c: &CaseRecord) -> [Value; 15] {
    [
        c.seq.into(),
        c.rev.into(),
        c.message_id.as_str().into(),
        c.sender_id.as_str().into(),
        c.sender_name.as_str().into(),
        c.content.as_str().into(),
        c.content_type.as_str().into(),
        c.metadata.as_ref().map(|metadata| metadata.get()).into(),
        c.flagged_by.as_str().into(),
        c.reason.as_str().into(),
        c.flagged_at.0.into(),
        c.decision.map(Decision::as_str).into(),
        c.decision_reason.as_deref().into(),
        c.decided_by.as_ref().map(UserId::as_str).into(),
        c.decided_at.map(|at| at.0).into(),
    ]
}

async fn set_members(
    tx: &mut Connection,
    room: RoomId,
    after: Option<UserId>,
    members: Vec<MemberRecord>,
    finish: Option<RoomRecord>,
) -> Result<()> {
    const REMOVE: Sql = not_listed!("delete from member");
    // A position only goes forward, here as anywhere.
    const INSERT: Sql = of_rows!(
        "insert into member (room_id, user_id, role, joined_seq, last_read_seq, last_sent_at)
         select $1, value ->> 0, value ->> 1, cast(value ->> 2 as bigint), cast(value ->> 3 as bigint),
                cast(value ->> 4 as bigint)",
        "$2",
        "where true on conflict (room_id, user_id) do update set role = excluded.role,
             joined_seq = excluded.joined_seq, last_sent_at = excluded.last_sent_at,
             last_read_seq = case when excluded.last_read_seq > member.last_read_seq
                                  then excluded.last_read_seq else member.last_read_seq end
         where member.role <> excluded.role or member.joined_seq <> excluded.joined_seq
             or member.last_read_seq < excluded.last_read_seq
             or member.last_sent_at is distinct from excluded.last_sent_at
         returning user_id"
    );
    let users: Vec<&UserId> = members.iter().map(|member| &member.user_id).collect();
    let gone = remove_others(tx, REMOVE, &room, after.as_ref(), &users, finish.is_some()).await?;
    let row =
        |m: &MemberRecord| json!([m.user_id, m.role, m.joined_seq, m.last_read_seq, m.last_sent_at.map(|at| at.0)]);
    let rows = encode(&members.iter().map(row).collect::<Vec<_>>())?;
    let set = tx.query(INSERT).bind(room.as_str()).bind(rows).fetch_all().await?;
    tx.query("update room set member_count = (select count(*) from member where room_id = $1) where id = $1")
        .bind(room.as_str())
        .execute()
        .await?;
    if let Some(record) = finish {
        finish_room(tx, &record).await?;
    }
    let mut moved: Vec<_> = gone.into_iter().map(|id| (id, UserChangeKind::Left)).collect();
    for row in &set {
        moved.push((row.try_get("user_id").map(UserId::trusted)?, UserChangeKind::Joined));
    }
    lock_users(tx, moved.iter().map(|(id, _)| id)).await?;
    move_users(tx, moved).await.map(drop)
}

/// The room becomes what it is to be.
async fn finish_room(tx: &mut Connection, record: &RoomRecord) -> Result<()> {
    if let Some(quota) = &record.quota {
        ensure_quota(tx, quota).await?;
    }
    let pair = if record.kind == RoomKind::Direct { Some(pair_of(tx, record).await?) } else { None };
    tx.query(
        "update room set kind = $2, key = $3, title = $4, metadata = $5, history_for = $6, direct_pair = $7,
             created_at = $8, last_message_at = $9, slow_mode_seconds = $10, quota = $11, rev = $12
         where id = $1",
    )
    .bind(record.id.as_str())
    .bind(record.kind.as_str())
    .bind(record.key.as_deref())
    .bind(record.title.as_deref())
    .bind(record.metadata.as_ref().map(|metadata| metadata.get()))
    .bind(record.history_for.as_str())
    .bind(pair)
    .bind(record.created_at.0)
    .bind(record.last_message_at.map(|at| at.0))
    .bind(i64::from(record.slow_mode_seconds))
    .bind(record.quota.as_ref().map(|quota| quota.name.as_str()))
    .bind(sql(record.rev))
    .execute()
    .await?;
    set_retention(tx, &record.id, record.retention).await?;
    let Some(expired) = &record.expired else { return Ok(()) };
    // What is here of it stays until retention removes it here as well.
    tx.query("update room set expired_rev = $3, expired_at = $4 where id = $1 and oldest_seq = $2")
        .bind(record.id.as_str())
        .bind(sql(record.oldest_seq()))
        .bind(sql(expired.rev))
        .bind(expired.at.0)
        .execute()
        .await
        .map(drop)
}

async fn ensure_quota(tx: &mut Connection, record: &QuotaRecord) -> Result<()> {
    tx.query("insert into quota (name, per_day, time_zone) values ($1, $2, $3) on conflict (name) do nothing")
        .bind(record.name.as_str())
        .bind(sql(record.per_day))
        .bind(&record.time_zone)
        .execute()
        .await?;
    quota::hold(tx, record.name.as_str()).await
}

/// What makes a DIRECT room the only one of its two.
async fn pair_of(tx: &mut Connection, record: &RoomRecord) -> Result<String> {
    let query = tx.query("select user_id from member where room_id = $1 order by user_id limit 3");
    let rows = query.bind(record.id.as_str()).fetch_all().await?;
    let two: Vec<UserId> = rows.iter().map(|row| row.try_get("user_id").map(UserId::trusted)).collect::<Result<_>>()?;
    let [a, b] = two.as_slice() else { return Err(refused("a DIRECT room has exactly two members")) };
    let pair = direct_pair(a, b, record.key.as_deref());
    let query = tx.query("select id from room where direct_pair = $1 and id <> $2");
    match query.bind(&pair).bind(record.id.as_str()).fetch_optional().await? {
        Some(row) => {
            let other: String = row.try_get("id")?;
            Err(refused(format!("its two have a room of this key here already: {other}")))
        }
        None => Ok(pair),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use sqlx::{AssertSqlSafe, Row};

    use super::TAKEN;
    use crate::store::Settings;
    use crate::store::database::Pool;

    #[tokio::test]
    async fn sqlite_looks_each_change_up_in_the_index() {
        let folder = tempfile::tempdir().expect("a folder");
        let settings = Settings {
            url: format!("sqlite:{}", folder.path().join("tidings.db").display()),
            auto_migrate: true,
            connections: 2,
            deadline: Duration::from_secs(10),
            commit_batch: 64,
            allow_unsafe: false,
        };
        let (database, _lock) = crate::store::sqlite::open(&settings).await.expect("a database");
        let Pool::Sqlite(pool) = &database.readers else { panic!("SQLite") };
        let explained = AssertSqlSafe(format!("explain query plan {}", TAKEN.sqlite));
        let plan = sqlx::query(explained).bind("room").bind("[[1, 1]]").fetch_all(pool).await.expect("a plan");
        let steps: Vec<String> = plan.iter().map(|step| step.get("detail")).collect();
        assert!(steps.iter().any(|step| step.starts_with("SEARCH m USING")), "{steps:#?}");
        database.close().await;
    }
}
