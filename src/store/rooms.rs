//! Rooms: making, finding, listing, renaming.

use std::collections::HashMap;

use super::database::{Connection, Row, in_list};
use super::reading::list;
use super::rows::{
    InRoom, find_room, head, head_columns, json, member, member_columns, message, message_columns, no_member, number,
    small,
};
use super::writer::Turn;
use super::{NewRoom, RoomCursor, RoomPatch, Store};
use crate::error::{Error, Result};
use crate::model::{
    Action, Commit, EventKind, Head, Me, MemberView, Retention, Role, Room, RoomId, RoomKind, SystemEvent, Timestamp,
    UserId, permits,
};

/// Members that come with a room; the rest by `…/members`.
const MEMBERS_SHOWN: i64 = 10;

/// Rooms with the caller's membership, and with their last message where the caller is a member. They are picked
/// before their messages are looked up, and come in no order.
macro_rules! room_sql {
    ($which:literal) => {
        concat!(
            "with picked as (
                 select r.id, r.key, r.title, r.metadata, r.created_at, r.slow_mode_seconds, r.keep_days, r.keep_messages, ",
            head_columns!(),
            ", ",
            member_columns!(),
            "
                 from room r left join member m on m.room_id = r.id and m.user_id = $1
                 where ",
            $which,
            ")
             select r.*, ",
            message_columns!(),
            "
             from picked r left join message x
                 on x.room_id = r.id and x.seq = r.last_seq and r.member_role is not null"
        )
    };
}

const ROOM: &str = room_sql!("r.id = $2");
const MINE: &str = room_sql!(
    "m.user_id is not null and (coalesce(r.last_message_at, r.created_at), r.id) < ($2, $3)
     order by coalesce(r.last_message_at, r.created_at) desc, r.id desc limit $4"
);
const PUBLIC: &str = room_sql!(
    "r.kind = 'PUBLIC' and (r.last_message_at, r.id) < ($2, $3)
     order by r.last_message_at desc, r.id desc limit $4"
);

impl Store {
    /// A room as its member sees it. One who is no member gets the answer for such.
    pub async fn room(&self, id: &RoomId, user: &UserId) -> Result<Room> {
        let mut connection = self.database.reading().await?;
        let row = connection.query(ROOM).bind(user.as_str()).bind(id.as_str()).fetch_optional().await?;
        let mut room = room(&row.ok_or(Error::RoomNotFound)?)?;
        if room.me.is_none() {
            return Err(no_member(room.kind));
        }
        add_members(&mut connection, std::slice::from_mut(&mut room)).await?;
        Ok(room)
    }

    /// The rooms of a user, newest first, and where to go on.
    pub async fn rooms(
        &self,
        user: &UserId,
        after: Option<RoomCursor>,
        limit: u32,
    ) -> Result<(Vec<Room>, Option<RoomCursor>)> {
        self.room_page(MINE, user, after, limit).await
    }

    /// Public rooms, newest first, whether or not the user is in them, and where to go on.
    pub async fn public_rooms(
        &self,
        user: &UserId,
        after: Option<RoomCursor>,
        limit: u32,
    ) -> Result<(Vec<Room>, Option<RoomCursor>)> {
        self.room_page(PUBLIC, user, after, limit).await
    }

    async fn room_page(
        &self,
        statement: &'static str,
        user: &UserId,
        after: Option<RoomCursor>,
        limit: u32,
    ) -> Result<(Vec<Room>, Option<RoomCursor>)> {
        let (time, id) = after.map_or((i64::MAX, String::new()), |(time, id)| (time, id.to_string()));
        let mut connection = self.database.reading().await?;
        let query = connection.query(statement).bind(user.as_str()).bind(time).bind(id).bind(i64::from(limit) + 1);
        let mut rooms = query.fetch_all().await?.iter().map(room).collect::<Result<Vec<_>>>()?;
        let place = |room: &Room| (room.last_message_at.unwrap_or(room.created_at).0, room.id.clone());
        rooms.sort_by_cached_key(|room| std::cmp::Reverse(place(room)));
        let more = rooms.len() > limit as usize;
        rooms.truncate(limit as usize);
        add_members(&mut connection, &mut rooms).await?;
        let cursor = rooms.last().filter(|_| more).map(place);
        Ok((rooms, cursor))
    }

    /// Makes a room, or finds the one that the same call made before: of a DIRECT room that of the pair and key, of
    /// another that of the same id and owner. Returns its id, and what was written if it is new.
    pub async fn create_room(&self, by: &UserId, new: NewRoom) -> Result<(RoomId, Option<Commit>)> {
        let by = by.clone();
        self.writer.run(Turn::Free, move |tx| Box::pin(create(tx, by, new))).await
    }

    /// Makes the room everyone of the demo meets in, if it is not there yet.
    pub async fn ensure_public_room(&self, id: &RoomId, title: &str) -> Result<()> {
        let (id, title) = (id.clone(), title.to_owned());
        self.writer
            .run(Turn::Free, move |tx| {
                Box::pin(async move {
                    // A room without an owner and without a message: its log begins with who joins first.
                    tx.query(
                        "insert into room (id, kind, title, created_at, last_message_at) values ($1, 'PUBLIC', $2, $3, $3)
                         on conflict (id) do nothing",
                    )
                    .bind(id.as_str())
                    .bind(title)
                    .bind(Timestamp::now().0)
                    .execute()
                    .await
                    .map(drop)
                })
            })
            .await
    }

    /// Changes a room's title, which its log tells, and its metadata, which it does not.
    pub async fn update_room(&self, id: &RoomId, user: &UserId, patch: RoomPatch) -> Result<Option<Commit>> {
        let (room, user) = (id.clone(), user.clone());
        self.writer.run(Turn::Shared(id), move |tx| Box::pin(update(tx, room, user, patch))).await
    }
}

/// Adds to each room that the caller is in its first members.
async fn add_members(connection: &mut Connection, rooms: &mut [Room]) -> Result<()> {
    let mine = list(rooms.iter().filter(|room| room.me.is_some()).map(|room| room.id.as_str()))?;
    let mut members = first_members(connection, mine).await?;
    for room in rooms {
        room.members = members.remove(&room.id).unwrap_or_default();
    }
    Ok(())
}

/// The first members of these rooms.
pub(super) async fn first_members(
    connection: &mut Connection,
    rooms: String,
) -> Result<HashMap<RoomId, Vec<MemberView>>> {
    let query = connection.query(in_list!(
        r#"select * from (
               select m.room_id, m.user_id, u.name, u.avatar_url, m.role, m.last_read_seq,
                      row_number() over (partition by m.room_id order by m.joined_seq, m.user_id) as place
               from member m join "user" u on u.id = m.user_id
               where m.room_id "#,
        "$1",
        ") numbered where place <= $2 order by room_id, place"
    ));
    let mut members: HashMap<RoomId, Vec<MemberView>> = HashMap::new();
    for row in &query.bind(rooms).bind(MEMBERS_SHOWN).fetch_all().await? {
        members.entry(RoomId::trusted(row.try_get("room_id")?)).or_default().push(super::members::view(row)?);
    }
    Ok(members)
}

pub(super) fn room(row: &Row) -> Result<Room> {
    let id = RoomId::trusted(row.try_get("id")?);
    let head = head(row)?;
    let member = member(row)?;
    let has_message = row.try_get::<Option<String>>("message_id")?.is_some();
    Ok(Room {
        kind: head.kind,
        key: row.try_get("key")?,
        title: row.try_get("title")?,
        metadata: json(row, "metadata")?,
        history_for: head.history_for,
        slow_mode_seconds: small(row, "slow_mode_seconds")?,
        oldest_seq: head.begins_at(),
        unread_count: member.map_or(0, |m| head.unread(m.last_read_seq)),
        quota: head.quota,
        retention: retention(row)?,
        created_at: Timestamp(row.try_get("created_at")?),
        last_message_at: head.last_message_at,
        last_seq: head.last_seq,
        rev: head.rev,
        last_message: if has_message { Some(Box::new(message(row, &id)?)) } else { None },
        member_count: number(row, "member_count")?,
        members: Vec::new(),
        me: member.map(|m| Me { role: m.role, last_read_seq: m.last_read_seq }),
        id,
    })
}

/// What is set of how much a room keeps; zero stands for no bound.
pub(super) fn retention(row: &Row) -> Result<Option<Retention>> {
    let (days, messages): (Option<i64>, Option<i64>) = (row.try_get("keep_days")?, row.try_get("keep_messages")?);
    if days.is_none() && messages.is_none() {
        return Ok(None);
    }
    let days = days.and_then(|days| u32::try_from(days).ok()).filter(|days| *days > 0);
    let messages = messages.and_then(|messages| u64::try_from(messages).ok()).filter(|messages| *messages > 0);
    Ok(Some(Retention { days, messages }))
}

/// A pair of people and a key, the same whoever of them asks. Ids hold no space.
pub(super) fn direct_pair(a: &UserId, b: &UserId, key: Option<&str>) -> String {
    let (first, second) = if a <= b { (a, b) } else { (b, a) };
    format!("{first} {second} {}", key.unwrap_or_default())
}

async fn create(tx: &mut Connection, by: UserId, new: NewRoom) -> Result<(RoomId, Option<Commit>)> {
    if let Some(system) = new.member_ids.iter().find(|id| id.is_system()) {
        return Err(Error::UserNotFound(system.to_string()));
    }
    let others: Vec<&UserId> = new.member_ids.iter().filter(|id| **id != by).collect();
    let pair = match (new.kind, others.as_slice()) {
        (RoomKind::Direct, [other]) => Some(direct_pair(&by, other, new.key.as_deref())),
        (RoomKind::Direct, _) => return Err(Error::invalid("memberIds", "a DIRECT room has exactly one other member")),
        _ => None,
    };
    if let Some(found) = find_made(tx, &by, &new, pair.as_deref()).await? {
        return Ok((found, None));
    }
    let id = new.id.clone().unwrap_or_else(RoomId::fresh);
    // Of two who make the same room at the same time, the second waits here for the first.
    let made = tx
        .query(
            "insert into room (id, kind, key, title, metadata, history_for, direct_pair, created_at)
             values ($1, $2, $3, $4, $5, $6, $7, $8) on conflict do nothing",
        )
        .bind(id.as_str())
        .bind(new.kind.as_str())
        .bind(new.key.as_deref())
        .bind(new.title.as_deref())
        .bind(new.metadata.as_ref().map(|m| m.get()))
        .bind(new.history_for.as_str())
        .bind(pair.as_deref())
        .bind(Timestamp::now().0)
        .execute()
        .await?;
    if made == 0 {
        let found = find_made(tx, &by, &new, pair.as_deref()).await?;
        return found.map(|id| (id, None)).ok_or(Error::RoomNotFound);
    }
    let mut room = find_room(tx, &id, &by).await?;
    let event = SystemEvent { title: new.title, ..SystemEvent::new(EventKind::Created, by.clone(), by.clone()) };
    let message = room.write_event(tx, &event, "").await?;
    let owner = if new.kind == RoomKind::Direct { Role::Member } else { Role::Owner };
    let mut users = Vec::new();
    // Locks are taken rooms first, then users, each in order of id.
    let mut everyone: Vec<UserId> = new.member_ids.into_iter().chain([by.clone()]).collect();
    everyone.sort();
    everyone.dedup();
    for user in everyone {
        let role = if user == by { owner } else { Role::Member };
        users.push(super::members::insert(tx, &mut room, user, role).await?);
    }
    Ok((id, Some(room.commit(vec![message.into()], users))))
}

async fn find_made(tx: &mut Connection, by: &UserId, new: &NewRoom, pair: Option<&str>) -> Result<Option<RoomId>> {
    if let Some(pair) = pair {
        let row = tx.query("select id from room where direct_pair = $1").bind(pair).fetch_optional().await?;
        if let Some(row) = row {
            return Ok(Some(RoomId::trusted(row.try_get("id")?)));
        }
    }
    let Some(id) = &new.id else { return Ok(None) };
    match find_room(tx, id, by).await {
        Ok(InRoom { member: Some(member), head: Head { kind, .. }, .. })
            if member.role == Role::Owner && kind == new.kind =>
        {
            Ok(Some(id.clone()))
        }
        Ok(_) => Err(Error::invalid("id", "is taken; choose another, or leave it out")),
        Err(Error::RoomNotFound) => Ok(None),
        Err(error) => Err(error),
    }
}

async fn update(tx: &mut Connection, id: RoomId, user: UserId, patch: RoomPatch) -> Result<Option<Commit>> {
    let mut room = find_room(tx, &id, &user).await?;
    if !permits(room.head.kind, room.membership()?.role, Action::Rename) {
        return Err(Error::Forbidden("only a moderator can change the room"));
    }
    if let Some(metadata) = patch.metadata {
        tx.query("update room set metadata = $2 where id = $1")
            .bind(id.as_str())
            .bind(metadata.as_ref().map(|m| m.get()))
            .execute()
            .await?;
    }
    if let Some(seconds) = patch.slow_mode_seconds {
        let query = tx.query("update room set slow_mode_seconds = $2 where id = $1").bind(id.as_str());
        query.bind(i64::from(seconds)).execute().await?;
    }
    let Some(title) = patch.title else { return Ok(None) };
    let changed = tx
        .query("update room set title = $2 where id = $1 and title is distinct from $2")
        .bind(id.as_str())
        .bind(title.as_deref())
        .execute()
        .await?;
    if changed == 0 {
        return Ok(None);
    }
    let event = SystemEvent { title, ..SystemEvent::new(EventKind::Renamed, user.clone(), user) };
    let message = room.write_event(tx, &event, "").await?;
    Ok(Some(room.commit(vec![message.into()], Vec::new())))
}
