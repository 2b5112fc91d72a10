//! Reading a room's log: pages with the reader's membership in the same statement, changes for followers, heads.

use std::sync::Arc;

use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection};

use super::Sqlite;
use super::rows::{head, lock_room, member, message, message_columns, next_user_rev, no_member, number, sql};
use super::writer::Tx;
use crate::error::{Error, Result};
use crate::model::{Changes, Commit, Head, Member, Message, ReadPosition, RoomId, UserChange, UserChangeKind, UserId};
use crate::store::{Page, PageQuery, ReadTo, UserRoom};

/// A page's statement. `me` is the room with the reader's membership; `$first` keeps from one whose history begins
/// at their joining what lies before it. The comparison with scalar subqueries leaves `message` the only table, so
/// that SQLite walks its index and stops at the limit.
macro_rules! page_sql {
    ($condition:literal, $order:literal) => {
        concat!(
            "with me as (
                 select (select id from history) as history, r.member_count, r.kind, r.history_for, r.last_seq, r.rev, r.last_message_at,
                        m.role as member_role, m.joined_seq, m.last_read_seq,
                        case r.history_for when 'joined' then m.joined_seq else 1 end as first_seq
                 from room r left join member m on m.room_id = r.id and m.user_id = $2
                 where r.id = $1)
             select me.*, ",
            message_columns!(),
            " from me left join (
                 select * from message
                 where room_id = $1 and ",
            $condition,
            " and (select member_role from me) is not null and seq >= (select first_seq from me)
                 order by ",
            $order,
            " limit $4) x on true order by x.",
            $order
        )
    };
}

const BEFORE: &str = page_sql!("seq < $3", "seq desc");
const AFTER: &str = page_sql!("seq > $3", "seq");
const SINCE: &str = page_sql!("rev > $3", "rev");

const HEAD: &str = "select (select rev from \"user\" where id = $2) as user_rev, (select id from history) as history, r.member_count, r.kind, r.history_for, r.last_seq, r.rev, r.last_message_at,
                           m.role as member_role, m.joined_seq, m.last_read_seq
                    from room r left join member m on m.room_id = r.id and m.user_id = $2
                    where r.id = $1";

/// A room's head and a user's membership, in one snapshot.
pub(super) async fn membership(
    c: &mut SqliteConnection,
    room: &RoomId,
    user: &UserId,
) -> Result<(Head, Option<Member>)> {
    let row = sqlx::query(HEAD).bind(room.as_str()).bind(user.as_str()).fetch_optional(c).await?;
    let row = row.ok_or(Error::RoomNotFound)?;
    Ok((head(&row)?, member(&row)?))
}

impl Sqlite {
    /// Part of a room's log as `user` may see it; one who is no member gets the answer for such.
    pub async fn page(&self, room: &RoomId, user: &UserId, query: PageQuery, limit: u32) -> Result<Page> {
        match query {
            PageQuery::Newest => self.slice(room, user, BEFORE, i64::MAX.unsigned_abs(), limit, true).await,
            PageQuery::Before(seq) => self.slice(room, user, BEFORE, seq, limit, true).await,
            PageQuery::After(seq) => self.slice(room, user, AFTER, seq, limit, false).await,
            PageQuery::Since(rev) => self.slice(room, user, SINCE, rev, limit, false).await,
            PageQuery::Around(seq) => {
                let after = limit.div_ceil(2);
                let mut page = self.slice(room, user, BEFORE, seq, limit - after, true).await?;
                let rest = self.slice(room, user, AFTER, seq.saturating_sub(1), after, false).await?;
                page.messages.extend(rest.messages);
                Ok(Page { head: rest.head, member: rest.member, ..page })
            }
        }
    }

    async fn slice(
        &self,
        room: &RoomId,
        user: &UserId,
        statement: &'static str,
        bound: u64,
        limit: u32,
        back: bool,
    ) -> Result<Page> {
        let rows = sqlx::query(statement)
            .bind(room.as_str())
            .bind(user.as_str())
            .bind(sql(bound))
            // One more than asked for tells whether there is more, in the same snapshot.
            .bind(i64::from(limit) + 1)
            .fetch_all(&self.readers)
            .await?;
        let first = rows.first().ok_or(Error::RoomNotFound)?;
        let head = head(first)?;
        let member = member(first)?.ok_or_else(|| no_member(head.kind))?;
        let mut messages = messages(&rows, room)?;
        let has_more = messages.len() > limit as usize;
        messages.truncate(limit as usize);
        if back {
            messages.reverse();
        }
        Ok(Page { messages, has_more, head, member })
    }

    /// Changes after `rev`, for one who follows the room and knows its members.
    pub async fn changes(&self, room: &RoomId, rev: u64, limit: u32) -> Result<Changes> {
        let rows = sqlx::query(concat!(
            "select (select id from history) as history, r.member_count, r.kind, r.history_for, r.last_seq, r.rev, r.last_message_at, ",
            message_columns!(),
            " from room r left join (
                 select * from message where room_id = $1 and rev > $2 order by rev limit $3) x on true
             where r.id = $1 order by x.rev",
        ))
        .bind(room.as_str())
        .bind(sql(rev))
        .bind(i64::from(limit))
        .fetch_all(&self.readers)
        .await?;
        let head = head(rows.first().ok_or(Error::RoomNotFound)?)?;
        let messages = messages(&rows, room)?;
        let full = messages.len() == limit as usize;
        let rev = messages.last().filter(|_| full).map_or(head.rev, |last| last.rev);
        Ok(Changes { messages, rev, head })
    }

    /// A room's head.
    pub async fn head(&self, room: &RoomId) -> Result<Head> {
        let row = sqlx::query("select (select id from history) as history, member_count, kind, history_for, last_seq, rev, last_message_at from room where id = $1")
            .bind(room.as_str())
            .fetch_optional(&self.readers)
            .await?;
        head(&row.ok_or(Error::RoomNotFound)?)
    }

    /// A user's `rev`, and their membership of a room if they have one, in one snapshot.
    pub async fn member(&self, room: &RoomId, user: &UserId) -> Result<(u64, Option<Member>)> {
        let row = sqlx::query(HEAD).bind(room.as_str()).bind(user.as_str()).fetch_optional(&self.readers).await?;
        let row = row.ok_or(Error::RoomNotFound)?;
        let rev = row.try_get::<Option<i64>, _>("user_rev")?.unwrap_or(0);
        Ok((rev.unsigned_abs(), member(&row)?))
    }

    pub fn is_alone(&self) -> bool {
        true
    }
    pub async fn heads(&self, _: &[RoomId]) -> Result<Vec<(RoomId, Head)>> {
        Ok(vec![])
    }
    pub async fn user_revs(&self, _: &[UserId]) -> Result<Vec<(UserId, u64)>> {
        Ok(vec![])
    }
    pub async fn current_history(&self) -> Result<crate::model::History> {
        Ok(self.history().clone())
    }

    /// A user's `rev` and their newest rooms, in one snapshot.
    pub async fn user_rooms(&self, user: &UserId, limit: u32) -> Result<(u64, Vec<UserRoom>)> {
        let rows = sqlx::query(
            r#"select u.rev as user_rev, x.* from "user" u left join (
                   select (select id from history) as history, r.member_count, r.id as room_id, r.kind, r.history_for, r.last_seq, r.rev, r.last_message_at,
                          m.role as member_role, m.joined_seq, m.last_read_seq
                   from member m join room r on r.id = m.room_id
                   where m.user_id = $1
                   order by r.last_message_at desc, r.id desc limit $2) x on true
               where u.id = $1"#,
        )
        .bind(user.as_str())
        .bind(i64::from(limit))
        .fetch_all(&self.readers)
        .await?;
        let rev = rows.first().map_or(Ok(0), |row| number(row, "user_rev"))?;
        let mut rooms = Vec::with_capacity(rows.len());
        for row in &rows {
            let (Some(id), Some(member)) = (row.try_get::<Option<String>, _>("room_id")?, member(row)?) else {
                continue;
            };
            rooms.push(UserRoom { room_id: RoomId::trusted(id), head: head(row)?, member });
        }
        Ok((rev, rooms))
    }

    /// How much a user has not read, over all their rooms.
    pub async fn unread_count(&self, user: &UserId) -> Result<u64> {
        let row = sqlx::query(
            "select coalesce(sum(r.last_seq - m.last_read_seq), 0) as unread
             from member m join room r on r.id = m.room_id where m.user_id = $1",
        )
        .bind(user.as_str())
        .fetch_one(&self.readers)
        .await?;
        number(&row, "unread")
    }

    /// Moves a read position forward, never back.
    pub async fn read(&self, room: &RoomId, user: &UserId, to: ReadTo) -> Result<(ReadPosition, Option<Commit>)> {
        let (room, user) = (room.clone(), user.clone());
        self.writer.run(move |tx| Box::pin(read(tx, room, user, to))).await
    }
}

fn messages(rows: &[SqliteRow], room: &RoomId) -> Result<Vec<Arc<Message>>> {
    let mut messages = Vec::with_capacity(rows.len());
    for row in rows {
        if row.try_get::<Option<String>, _>("message_id")?.is_some() {
            messages.push(Arc::new(message(row, room)?));
        }
    }
    Ok(messages)
}

async fn read(tx: &mut Tx, room: RoomId, user: UserId, to: ReadTo) -> Result<(ReadPosition, Option<Commit>)> {
    let room = lock_room(tx, &room, &user).await?;
    let member = room.membership()?;
    let to = match to {
        ReadTo::Head => room.head.last_seq,
        ReadTo::Seq(seq) => seq.min(room.head.last_seq),
        ReadTo::Messages(ids) => {
            let ids: Vec<&str> = ids.iter().map(crate::model::MessageId::as_str).collect();
            let ids = serde_json::to_string(&ids).map_err(|e| Error::internal("encoding", e))?;
            let row = sqlx::query(
                "select coalesce(max(seq), 0) as seq from message
                 where room_id = $1 and id in (select value from json_each($2))",
            )
            .bind(room.id.as_str())
            .bind(ids)
            .fetch_one(&mut *tx)
            .await?;
            number(&row, "seq")?
        }
    };
    let last_read_seq = member.last_read_seq.max(to);
    let position = ReadPosition { last_read_seq, unread_count: room.head.last_seq - last_read_seq };
    if last_read_seq == member.last_read_seq {
        return Ok((position, None));
    }
    sqlx::query("update member set last_read_seq = $3 where room_id = $1 and user_id = $2")
        .bind(room.id.as_str())
        .bind(user.as_str())
        .bind(sql(last_read_seq))
        .execute(&mut *tx)
        .await?;
    let rev = next_user_rev(tx, &user).await?;
    let change = UserChange { user_id: user, rev, what: UserChangeKind::Read(last_read_seq) };
    Ok((position, Some(Commit { head: room.head, room_id: room.id, changes: Vec::new(), users: vec![change] })))
}
