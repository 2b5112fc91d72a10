//! Reading a room's log: pages with the reader's membership in the same statement, changes for followers, heads.

use std::sync::Arc;

use serde::Serialize;

use super::database::{Connection, Row, Sql, encode, in_list};
use super::rows::{
    find_room, head, head_columns, member, member_columns, message, message_columns, next_user_rev, no_member, number,
    sql,
};
use super::writer::Turn;
use super::{Page, PageQuery, ReadTo, Store, UserRoom};
use crate::error::{Error, Result};
use crate::model::{
    Changes, Commit, Head, History, Member, Message, MessageId, QuotaName, ReadPosition, Role, RoomId, UserChange,
    UserChangeKind, UserId,
};

/// A member's page. `me` is the room with the reader's membership; `first_seq` keeps from one whose history begins
/// at their joining what lies before it. The comparison with scalar subqueries leaves `message` the only table, so
/// that its index is walked and left at the limit. What comes of the join is in no order: it is sorted here, because a
/// database does not know that `me` is one row, and would sort.
macro_rules! member_page {
    ($condition:literal, $order:literal) => {
        concat!(
            "with me as (
                 select ",
            head_columns!(),
            ", ",
            member_columns!(),
            ",
                        case r.history_for when 'joined' then m.joined_seq else 1 end as first_seq
                 from room r left join member m on m.room_id = r.id and m.user_id = $4
                 where r.id = $1)
             select me.*, ",
            message_columns!(),
            "
             from me left join (
                 select * from message
                 where room_id = $1 and ",
            $condition,
            "
                   and (select member_role from me) is not null and seq >= (select first_seq from me)
                 order by ",
            $order,
            " limit $3) x on true"
        )
    };
}

/// What is known of a room or a user, in the list that `$1` of the statements below is. What most rooms have in common is
/// left out.
#[derive(Serialize)]
struct Known<'a> {
    id: &'a str,
    rev: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    quota: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    oldest: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expired: Option<u64>,
}

impl<'a> Known<'a> {
    fn room(room: &'a RoomId, head: &'a Head) -> Self {
        Self {
            id: room.as_str(),
            rev: head.rev,
            quota: head.quota.as_ref().map(QuotaName::as_str),
            oldest: Some(head.oldest_seq).filter(|oldest| *oldest != 1),
            expired: Some(head.expired_rev).filter(|expired| *expired != 0),
        }
    }

    fn user(user: &'a UserId, rev: u64) -> Self {
        Self { id: user.as_str(), rev, quota: None, oldest: None, expired: None }
    }
}

/// Rows `r` of a table that are unlike what is known of them. They are looked up one by one, whatever a plan guesses of the
/// list: hence `offset 0`.
macro_rules! unlike {
    ($columns:expr, $table:literal, $condition:literal) => {
        Sql {
            sqlite: concat!(
                "select ",
                $columns,
                " from (select value ->> 'id' as id, value ->> 'rev' as rev, value ->> 'quota' as quota,
                               value ->> 'oldest' as oldest, value ->> 'expired' as expired from json_each($1)) given
                  cross join ",
                $table,
                " r on r.id = given.id where r.rev <> given.rev",
                $condition
            ),
            postgres: concat!(
                "select ",
                $columns,
                " from json_to_recordset(cast($1 as json))
                      as given (id text, rev bigint, quota text, oldest bigint, expired bigint)
                  cross join lateral (select * from ",
                $table,
                " where id = given.id offset 0) r where r.rev <> given.rev",
                $condition
            ),
        }
    };
}

/// `$2` is the history that the list is of.
const HEADS_UNLIKE: Sql = unlike!(
    concat!("r.id as room_id, ", head_columns!()),
    "room",
    " or r.oldest_seq <> coalesce(given.oldest, 1) or r.expired_rev <> coalesce(given.expired, 0)
      or r.quota is distinct from given.quota or (select id from history where only_one = 1) <> $2"
);
const REVS_UNLIKE: Sql = unlike!("r.id, r.rev", r#""user""#, "");

/// A page of all there is, for one who needs no membership.
macro_rules! whole_page {
    ($condition:literal, $order:literal) => {
        concat!(
            "select ",
            head_columns!(),
            ", ",
            message_columns!(),
            " from room r left join (select * from message where room_id = $1 and ",
            $condition,
            " order by ",
            $order,
            " limit $3) x on true where r.id = $1"
        )
    };
}

/// From where a page is read, and in which order.
#[derive(Debug, Clone, Copy)]
enum Side {
    Before(u64),
    After(u64),
    Since(u64),
}

impl Side {
    fn bound(self) -> u64 {
        match self {
            Self::Before(bound) | Self::After(bound) | Self::Since(bound) => bound,
        }
    }

    fn statement(self, for_member: bool) -> &'static str {
        match (self, for_member) {
            (Self::Before(_), true) => member_page!("seq < $2", "seq desc"),
            (Self::After(_), true) => member_page!("seq > $2", "seq"),
            (Self::Since(_), true) => member_page!("rev > $2", "rev"),
            (Self::Before(_), false) => whole_page!("seq < $2", "seq desc"),
            (Self::After(_), false) => whole_page!("seq > $2", "seq"),
            (Self::Since(_), false) => whole_page!("rev > $2", "rev"),
        }
    }
}

impl Store {
    /// Part of a room's log as `user` may see it; one who is no member gets the answer for such.
    pub async fn page(&self, room: &RoomId, user: &UserId, query: PageQuery, limit: u32) -> Result<Page> {
        self.part(room, Some(user), query, limit).await
    }

    /// Part of any room's log, all of which is seen. For the admin side only.
    pub async fn any_page(&self, room: &RoomId, query: PageQuery, limit: u32) -> Result<Page> {
        self.part(room, None, query, limit).await
    }

    async fn part(&self, room: &RoomId, user: Option<&UserId>, query: PageQuery, limit: u32) -> Result<Page> {
        match query {
            PageQuery::Newest => self.back(room, user, i64::MAX.unsigned_abs(), limit).await,
            PageQuery::Before(seq) => self.back(room, user, seq, limit).await,
            PageQuery::After(seq) => self.slice(room, user, Side::After(seq), limit).await,
            PageQuery::Since(rev) => self.slice(room, user, Side::Since(rev), limit).await,
            PageQuery::Around(seq) => {
                let after = limit.div_ceil(2);
                let mut page = self.back(room, user, seq, limit - after).await?;
                let rest = self.slice(room, user, Side::After(seq.saturating_sub(1)), after).await?;
                page.messages.extend(rest.messages);
                Ok(Page { head: rest.head, member: rest.member, ..page })
            }
        }
    }

    async fn back(&self, room: &RoomId, user: Option<&UserId>, bound: u64, limit: u32) -> Result<Page> {
        let mut page = self.slice(room, user, Side::Before(bound), limit).await?;
        page.messages.reverse();
        Ok(page)
    }

    async fn slice(&self, room: &RoomId, user: Option<&UserId>, side: Side, limit: u32) -> Result<Page> {
        let mut connection = self.database.reading().await?;
        let mut query = connection
            .query(side.statement(user.is_some()))
            .bind(room.as_str())
            .bind(sql(side.bound()))
            // One more than asked for tells whether there is more, in the same snapshot.
            .bind(i64::from(limit) + 1);
        if let Some(user) = user {
            query = query.bind(user.as_str());
        }
        let rows = query.fetch_all().await?;
        let first = rows.first().ok_or(Error::RoomNotFound)?;
        let head = head(first)?;
        let member = match user {
            Some(_) => member(first)?.ok_or_else(|| no_member(head.kind))?,
            // As one who has been there from the beginning.
            None => Member { role: Role::Member, joined_seq: 1, last_read_seq: 0 },
        };
        let mut messages = messages(&rows, room)?;
        match side {
            Side::Before(_) => messages.sort_by_key(|message| std::cmp::Reverse(message.seq)),
            Side::After(_) => messages.sort_by_key(|message| message.seq),
            Side::Since(_) => messages.sort_by_key(|message| message.rev),
        }
        let has_more = messages.len() > limit as usize;
        messages.truncate(limit as usize);
        Ok(Page { messages, has_more, head, member })
    }

    /// Changes after `rev`, for one who follows the room and knows its members.
    pub async fn changes(&self, room: &RoomId, rev: u64, limit: u32) -> Result<Changes> {
        const CHANGES: &str = concat!(
            "select ",
            head_columns!(),
            ", ",
            message_columns!(),
            "
             from room r left join (
                 select * from message where room_id = $1 and rev > $2 order by rev limit $3) x on true
             where r.id = $1"
        );
        let mut connection = self.database.reading().await?;
        let query = connection.query(CHANGES).bind(room.as_str()).bind(sql(rev)).bind(i64::from(limit));
        let rows = query.fetch_all().await?;
        let head = head(rows.first().ok_or(Error::RoomNotFound)?)?;
        let mut messages = messages(&rows, room)?;
        messages.sort_by_key(|message| message.rev);
        let full = messages.len() == limit as usize;
        let rev = messages.last().filter(|_| full).map_or(head.rev, |last| last.rev);
        Ok(Changes { messages, rev, head })
    }

    /// A room's head.
    pub async fn head(&self, room: &RoomId) -> Result<Head> {
        const HEAD: &str = concat!("select ", head_columns!(), " from room r where r.id = $1");
        let row = self.database.reading().await?.query(HEAD).bind(room.as_str()).fetch_optional().await?;
        head(&row.ok_or(Error::RoomNotFound)?)
    }

    /// Those of the heads that are not as they are known, in no order: of many rooms in which nothing happens, nothing
    /// comes back. What `rev` does not count is compared too, and with another history every one is unlike.
    pub async fn heads_unlike(&self, known: &[(&RoomId, &Head)], history: &History) -> Result<Vec<(RoomId, Head)>> {
        let given = encode(&known.iter().map(|(room, head)| Known::room(room, head)).collect::<Vec<_>>())?;
        let mut connection = self.database.reading().await?;
        let rows = connection.query(HEADS_UNLIKE).bind(given).bind(history.as_str()).fetch_all().await?;
        rows.iter().map(|row| Ok((RoomId::trusted(row.try_get("room_id")?), head(row)?))).collect()
    }

    /// Those of the users' `rev`s that are not as they are known, in no order; a user who is not there is left out.
    pub async fn revs_unlike(&self, known: &[(&UserId, u64)]) -> Result<Vec<(UserId, u64)>> {
        let given = encode(&known.iter().map(|(user, rev)| Known::user(user, *rev)).collect::<Vec<_>>())?;
        let mut connection = self.database.reading().await?;
        let rows = connection.query(REVS_UNLIKE).bind(given).fetch_all().await?;
        rows.iter().map(|row| Ok((UserId::trusted(row.try_get("id")?), number(row, "rev")?))).collect()
    }

    /// A user's `rev`, and their membership of a room if they have one, in one snapshot.
    pub async fn member(&self, room: &RoomId, user: &UserId) -> Result<(u64, Option<Member>)> {
        const MEMBER: &str = concat!(
            r#"select u.rev as user_rev, "#,
            member_columns!(),
            r#" from "user" u left join member m on m.room_id = $1 and m.user_id = u.id where u.id = $2"#
        );
        let mut connection = self.database.reading().await?;
        let row = connection.query(MEMBER).bind(room.as_str()).bind(user.as_str()).fetch_optional().await?;
        // Whoever is not known yet is no member of anything.
        row.map_or(Ok((0, None)), |row| Ok((number(&row, "user_rev")?, member(&row)?)))
    }

    /// A user's `rev` and their newest rooms, in one snapshot.
    pub async fn user_rooms(&self, user: &UserId, limit: u32) -> Result<(u64, Vec<UserRoom>)> {
        const USER_ROOMS: &str = concat!(
            r#"select u.rev as user_rev, x.* from "user" u left join (
                   select r.id as room_id, "#,
            head_columns!(),
            ", ",
            member_columns!(),
            r#"
                   from member m join room r on r.id = m.room_id
                   where m.user_id = $1
                   order by coalesce(r.last_message_at, r.created_at) desc, r.id desc limit $2) x on true
               where u.id = $1"#
        );
        let mut connection = self.database.reading().await?;
        let rows = connection.query(USER_ROOMS).bind(user.as_str()).bind(i64::from(limit)).fetch_all().await?;
        let rev = rows.first().map_or(Ok(0), |row| number(row, "user_rev"))?;
        let mut rooms = Vec::with_capacity(rows.len());
        for row in &rows {
            let (Some(id), Some(member)) = (row.try_get::<Option<String>>("room_id")?, member(row)?) else {
                continue;
            };
            rooms.push(UserRoom { room_id: RoomId::trusted(id), head: head(row)?, member });
        }
        Ok((rev, rooms))
    }

    /// How much a user has not read, over all their rooms.
    pub async fn unread_count(&self, user: &UserId) -> Result<u64> {
        let mut connection = self.database.reading().await?;
        let query = connection.query(
            "select cast(coalesce(sum(r.last_seq - case when m.last_read_seq >= r.oldest_seq then m.last_read_seq
                                                        else r.oldest_seq - 1 end), 0) as bigint) as unread
             from member m join room r on r.id = m.room_id where m.user_id = $1",
        );
        number(&query.bind(user.as_str()).fetch_one().await?, "unread")
    }

    /// Moves a read position forward, never back.
    pub async fn read(&self, room: &RoomId, user: &UserId, to: ReadTo) -> Result<(ReadPosition, Option<Commit>)> {
        let (room, user) = (room.clone(), user.clone());
        self.writer.run(Turn::Free, move |tx| Box::pin(read(tx, room, user, to))).await
    }
}

/// A list as a parameter of [`in_list`].
pub(super) fn list<'a>(ids: impl Iterator<Item = &'a str>) -> Result<String> {
    encode(&ids.collect::<Vec<_>>())
}

pub(super) fn messages(rows: &[Row], room: &RoomId) -> Result<Vec<Arc<Message>>> {
    let mut messages = Vec::with_capacity(rows.len());
    for row in rows {
        if row.try_get::<Option<String>>("message_id")?.is_some() {
            messages.push(Arc::new(message(row, room)?));
        }
    }
    Ok(messages)
}

/// Without the room's lock: the position is the user's own, and moves by one statement that only moves it forward.
async fn read(tx: &mut Connection, room: RoomId, user: UserId, to: ReadTo) -> Result<(ReadPosition, Option<Commit>)> {
    let room = find_room(tx, &room, &user).await?;
    let member = room.membership()?;
    let to = match to {
        ReadTo::Head => room.head.last_seq,
        ReadTo::Seq(seq) => seq.min(room.head.last_seq),
        ReadTo::Messages(ids) => highest(tx, &room.id, &ids).await?,
    };
    let last_read_seq = member.last_read_seq.max(to);
    // The messages may be newer than the head that was read before them.
    let unread_count = room.head.unread(last_read_seq);
    let position = ReadPosition { last_read_seq, unread_count };
    if last_read_seq == member.last_read_seq {
        return Ok((position, None));
    }
    let moved = tx
        .query("update member set last_read_seq = $3 where room_id = $1 and user_id = $2 and last_read_seq < $3")
        .bind(room.id.as_str())
        .bind(user.as_str())
        .bind(sql(last_read_seq))
        .execute()
        .await?;
    if moved == 0 {
        // Another call was faster and further, or they are a member no more.
        return Ok((position, None));
    }
    let rev = next_user_rev(tx, &user).await?;
    let change = UserChange { user_id: user, rev, what: UserChangeKind::Read(last_read_seq) };
    Ok((position, Some(room.commit(Vec::new(), vec![change]))))
}

/// The place of the last of these messages; 0 if none is in the room.
async fn highest(tx: &mut Connection, room: &RoomId, ids: &[MessageId]) -> Result<u64> {
    let query =
        tx.query(in_list!("select coalesce(max(seq), 0) as seq from message where room_id = $1 and id ", "$2", ""));
    let row = query.bind(room.as_str()).bind(list(ids.iter().map(MessageId::as_str))?).fetch_one().await?;
    number(&row, "seq")
}
