//! What the application and its administrators may do in any room: make it what they say, and here below read it and
//! write into it. The table of permissions is not asked; the room's lock, its numbers and its log are kept as by
//! everyone else.

mod erasing;
mod messages;

pub use erasing::Erased;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;
use serde_json::value::RawValue;

use crate::error::{Error, Result};
use crate::model::{
    Commit, EventKind, HistoryFor, Message, QuotaName, Retention, Role, Room, RoomId, RoomKind, SystemEvent, Timestamp,
    UserChange, UserChangeKind, UserId,
};
use crate::store::database::{Connection, Sql, encode, in_list};
use crate::store::members::{Target, count_members, find_target, shut_out, take_out};
use crate::store::reading::list;
use crate::store::retention::set_retention;
use crate::store::rooms::{direct_pair, first_members, room};
use crate::store::rows::{InRoom, find_room, head_columns, member_columns, message_columns, number, write_events};
use crate::store::writer::Turn;
use crate::store::{Store, quota};

/// Members one call may add, remove or give a role: they are one transaction, and one publication.
const CHANGES: usize = 1000;
/// Why a member of a DIRECT room cannot be another.
const DIRECT: &str = "the two of a DIRECT room never change";

/// A room as it is to be. What is `None` stays as it is.
#[derive(Debug, Clone)]
pub struct WantedRoom {
    /// Which.
    pub id: RoomId,
    /// Its kind, which never changes.
    pub kind: Option<RoomKind>,
    /// What the application ties it to, or nothing.
    pub key: Option<Option<String>>,
    /// Its title, or none.
    pub title: Option<Option<String>>,
    /// What the application keeps with it, or nothing.
    pub metadata: Option<Option<Box<RawValue>>>,
    /// From where members see the log.
    pub history_for: Option<HistoryFor>,
    /// Seconds between two messages of one member; 0 is none.
    pub slow_mode_seconds: Option<u32>,
    /// The daily quota that messages in it count for, or none.
    pub quota: Option<Option<QuotaName>>,
    /// How much of its log is kept, or as much as the service's settings say.
    pub retention: Option<Option<Retention>>,
    /// Everyone who is to be in it.
    pub members: Option<Vec<WantedMember>>,
}

/// A member as they are to be.
#[derive(Debug, Clone, Serialize)]
pub struct WantedMember {
    /// Who.
    pub user_id: UserId,
    /// Their role; `None` leaves it, and makes a new one a plain member.
    #[serde(skip)]
    pub role: Option<Role>,
    /// Their name, if the service does not know them yet.
    pub name: Option<String>,
    /// Their picture, if the service does not know them yet.
    pub avatar_url: Option<String>,
}

impl Store {
    /// Makes a room, or brings it to what is wanted; the same again changes nothing. Returns whether it is new.
    pub async fn set_room(&self, by: &UserId, wanted: WantedRoom) -> Result<(bool, Option<Commit>)> {
        let (id, by) = (wanted.id.clone(), by.clone());
        self.writer.run(Turn::Own(&id), move |tx| Box::pin(set_room(tx, by, wanted))).await
    }

    /// Makes someone a member, or gives them a role, in any room but a DIRECT one.
    pub async fn set_member(&self, by: &UserId, room: &RoomId, wanted: WantedMember) -> Result<Option<Commit>> {
        let (id, by) = (room.clone(), by.clone());
        self.writer.run(Turn::Own(room), move |tx| Box::pin(set_member(tx, id, by, wanted))).await
    }

    /// Removes someone if they are a member.
    pub async fn expel(&self, by: &UserId, room: &RoomId, user: &UserId) -> Result<Option<Commit>> {
        let (id, by, user) = (room.clone(), by.clone(), user.clone());
        self.writer.run(Turn::Own(room), move |tx| Box::pin(expel(tx, id, by, user))).await
    }

    /// Bans someone, who need not be known yet.
    pub async fn shut_out(&self, by: &UserId, room: &RoomId, user: &UserId) -> Result<Option<Commit>> {
        let (id, by, user) = (room.clone(), by.clone(), user.clone());
        self.writer
            .run(Turn::Own(room), move |tx| {
                Box::pin(async move {
                    let mut room = find_shared_room(tx, &id, &by).await?;
                    let stub = WantedMember { user_id: user.clone(), role: None, name: None, avatar_url: None };
                    add_stubs(tx, &[stub]).await?;
                    let target = find_target(tx, &id, &user).await?;
                    shut_out(tx, &mut room, &target).await
                })
            })
            .await
    }

    /// Any room, with its last message and its first members.
    pub async fn whole_room(&self, id: &RoomId) -> Result<Room> {
        const ROOM: &str = concat!(
            "select r.id, r.key, r.title, r.metadata, r.created_at, r.slow_mode_seconds, r.keep_days, r.keep_messages, ",
            head_columns!(),
            ", ",
            member_columns!(),
            ", ",
            message_columns!(),
            " from room r left join member m on m.room_id = r.id and m.user_id = $2
              left join message x on x.room_id = r.id and x.seq = r.last_seq
              where r.id = $1"
        );
        let mut connection = self.database.reading().await?;
        // Seen by the application's own user, who is in no room.
        let query = connection.query(ROOM).bind(id.as_str()).bind(UserId::system().as_str());
        let row = query.fetch_optional().await?.ok_or(Error::RoomNotFound)?;
        let mut room = room(&row)?;
        let mut members = first_members(&mut connection, list([id.as_str()].into_iter())?).await?;
        room.members = members.remove(id).unwrap_or_default();
        Ok(room)
    }
}

/// What a call changed in a room so far.
#[derive(Default)]
struct Done {
    changes: Vec<Arc<Message>>,
    users: Vec<UserChange>,
}

impl Done {
    fn commit(self, room: &InRoom) -> Option<Commit> {
        let nothing = self.changes.is_empty() && self.users.is_empty();
        (!nothing).then(|| room.commit(self.changes, self.users))
    }
}

async fn set_room(tx: &mut Connection, by: UserId, wanted: WantedRoom) -> Result<(bool, Option<Commit>)> {
    let members = wanted.members.as_deref().map(by_id).transpose()?;
    let (mut room, mut done) = match find_room(tx, &wanted.id, &by).await {
        Ok(room) => (room, None),
        Err(Error::RoomNotFound) => make(tx, &by, &wanted, members.as_ref()).await?,
        Err(error) => return Err(error),
    };
    let is_new = done.is_some();
    let done = done.get_or_insert_default();
    if !is_new {
        set_log(tx, &mut room, &wanted, done).await?;
    }
    set_fields(tx, &room, &wanted).await?;
    if let Some(members) = members.filter(|_| !is_new) {
        let plan = Plan::of_all(tx, &room, members).await?;
        plan.carry_out(tx, &mut room, done).await?;
    }
    Ok((is_new, std::mem::take(done).commit(&room)))
}

/// The members by id, each once; the application's own user is none.
fn by_id(members: &[WantedMember]) -> Result<BTreeMap<UserId, WantedMember>> {
    if members.len() > CHANGES {
        return Err(Error::TooLarge { what: "members", limit: format!("{CHANGES} people; add the rest one by one") });
    }
    let mut found = BTreeMap::new();
    for member in members {
        let id = &member.user_id;
        if id.is_system() {
            return Err(Error::invalid("members", format!("{id} is a member of no room")));
        }
        if found.insert(id.clone(), member.clone()).is_some() {
            return Err(Error::invalid("members", format!("{id} is named twice")));
        }
    }
    Ok(found)
}

/// Makes the room with its members, unless another instance was faster: then the room is found.
async fn make(
    tx: &mut Connection,
    by: &UserId,
    wanted: &WantedRoom,
    members: Option<&BTreeMap<UserId, WantedMember>>,
) -> Result<(InRoom, Option<Done>)> {
    let kind =
        wanted.kind.ok_or_else(|| Error::invalid("type", "is needed to make a room: DIRECT, GROUP or PUBLIC"))?;
    let key = wanted.key.as_ref().and_then(Option::as_deref);
    let pair = (kind == RoomKind::Direct).then(|| pair_of(members, key)).transpose()?;
    let history_for = wanted.history_for.unwrap_or(HistoryFor::All);
    let title = wanted.title.clone().flatten();
    let made = tx
        .query(
            "insert into room (id, kind, key, title, history_for, direct_pair, created_at)
             values ($1, $2, $3, $4, $5, $6, $7) on conflict do nothing",
        )
        .bind(wanted.id.as_str())
        .bind(kind.as_str())
        .bind(key)
        .bind(title.as_deref())
        .bind(history_for.as_str())
        .bind(pair.as_deref())
        .bind(Timestamp::now().0)
        .execute()
        .await?;
    if made == 0 {
        refuse_second_pair(tx, &wanted.id, pair.as_deref()).await?;
        tx.lock_room(&wanted.id).await?;
        return Ok((find_room(tx, &wanted.id, by).await?, None));
    }
    let mut room = find_room(tx, &wanted.id, by).await?;
    let event = SystemEvent { title, ..SystemEvent::new(EventKind::Created, by.clone(), by.clone()) };
    let changes = vec![Arc::new(room.write_event(tx, &event, "").await?)];
    // They come with the room, as those of a room that a person makes: no message of its own tells of each.
    let members = members.into_iter().flatten();
    let joining = members.map(|(id, member)| (id.clone(), member.role.unwrap_or(Role::Member), room.head.last_seq));
    let joining: Vec<_> = joining.collect();
    add_stubs(tx, wanted.members.as_deref().unwrap_or_default()).await?;
    lock_users(tx, joining.iter().map(|(id, ..)| id)).await?;
    let users = join(tx, &mut room, &joining).await?;
    let users = move_users(tx, users).await?;
    Ok((room, Some(Done { changes, users })))
}

/// What makes a DIRECT room the only one of its two.
fn pair_of(members: Option<&BTreeMap<UserId, WantedMember>>, key: Option<&str>) -> Result<String> {
    let people: Vec<&WantedMember> = members.into_iter().flat_map(BTreeMap::values).collect();
    match people.as_slice() {
        [a, b] if [a, b].iter().all(|one| one.role.is_none_or(|role| role == Role::Member)) => {
            Ok(direct_pair(&a.user_id, &b.user_id, key))
        }
        [_, _] => Err(Error::invalid("members", "both of a DIRECT room are MEMBER")),
        _ => Err(Error::invalid("members", "a DIRECT room has exactly two")),
    }
}

async fn refuse_second_pair(tx: &mut Connection, id: &RoomId, pair: Option<&str>) -> Result<()> {
    let other = tx.query("select id from room where direct_pair = $1 and id <> $2").bind(pair).bind(id.as_str());
    match other.fetch_optional().await? {
        Some(row) => {
            let other: String = row.try_get("id")?;
            Err(Error::invalid("members", format!("these two have a room of this key already: {other}")))
        }
        None => Ok(()),
    }
}

/// Brings to what is wanted what the room's log tells of.
async fn set_log(tx: &mut Connection, room: &mut InRoom, wanted: &WantedRoom, done: &mut Done) -> Result<()> {
    if wanted.kind.is_some_and(|kind| kind != room.head.kind) {
        return Err(Error::invalid("type", format!("the room is {}, which never changes", room.head.kind.as_str())));
    }
    let by = room.user.id.clone();
    if let Some(title) = &wanted.title
        && set_text(
            tx,
            "update room set title = $2 where id = $1 and title is distinct from $2",
            room,
            title.as_deref(),
        )
        .await?
    {
        let event = SystemEvent::new(EventKind::Renamed, by.clone(), by.clone());
        let event = SystemEvent { title: title.clone(), ..event };
        done.changes.push(room.write_event(tx, &event, "").await?.into());
    }
    if let Some(history_for) = wanted.history_for.filter(|wanted| *wanted != room.head.history_for) {
        set_text(tx, "update room set history_for = $2 where id = $1", room, Some(history_for.as_str())).await?;
        room.head.history_for = history_for;
        let event = SystemEvent::new(EventKind::History, by.clone(), by);
        let event = SystemEvent { history_for: Some(history_for), ..event };
        done.changes.push(room.write_event(tx, &event, "").await?.into());
    }
    Ok(())
}

/// Brings the rest to what is wanted.
async fn set_fields(tx: &mut Connection, room: &InRoom, wanted: &WantedRoom) -> Result<()> {
    if let Some(key) = &wanted.key {
        let changed =
            set_text(tx, "update room set key = $2 where id = $1 and key is distinct from $2", room, key.as_deref());
        if changed.await? && room.head.kind == RoomKind::Direct {
            return Err(Error::invalid("key", "of a DIRECT room never changes"));
        }
    }
    if let Some(metadata) = &wanted.metadata {
        let text = metadata.as_ref().map(|metadata| metadata.get());
        set_text(tx, "update room set metadata = $2 where id = $1", room, text).await?;
    }
    if let Some(name) = &wanted.quota {
        if let Some(name) = name {
            quota::hold(tx, name.as_str()).await?;
        }
        set_text(tx, "update room set quota = $2 where id = $1", room, name.as_ref().map(QuotaName::as_str)).await?;
    }
    if let Some(seconds) = wanted.slow_mode_seconds {
        let query = tx.query("update room set slow_mode_seconds = $2 where id = $1").bind(room.id.as_str());
        query.bind(i64::from(seconds)).execute().await?;
    }
    if let Some(retention) = wanted.retention {
        set_retention(tx, &room.id, retention).await?;
    }
    Ok(())
}

/// Returns whether it was another.
async fn set_text(tx: &mut Connection, statement: &'static str, room: &InRoom, text: Option<&str>) -> Result<bool> {
    Ok(tx.query(statement).bind(room.id.as_str()).bind(text).execute().await? > 0)
}

/// How a room's members are to change.
#[derive(Default)]
struct Plan {
    /// Who goes, with their names.
    removed: Vec<(UserId, String)>,
    /// Who gets another role, with their names.
    roles: Vec<(UserId, String, Role)>,
    /// Who comes.
    added: Vec<WantedMember>,
}

impl Plan {
    /// Those wanted, and nobody else.
    async fn of_all(tx: &mut Connection, room: &InRoom, mut wanted: BTreeMap<UserId, WantedMember>) -> Result<Self> {
        let too_many = Error::TooLarge { what: "members", limit: format!("{CHANGES} changes in one call") };
        if room.head.member_count > (wanted.len() + CHANGES) as u64 {
            return Err(too_many);
        }
        let rows = tx
            .query(
                r#"select m.user_id, u.name, m.role from member m join "user" u on u.id = m.user_id
                   where m.room_id = $1 order by m.user_id"#,
            )
            .bind(room.id.as_str())
            .fetch_all()
            .await?;
        let mut plan = Self::default();
        for row in &rows {
            let (id, name) = (UserId::trusted(row.try_get("user_id")?), row.try_get("name")?);
            let role: String = row.try_get("role")?;
            match wanted.remove(&id) {
                None => plan.removed.push((id, name)),
                Some(WantedMember { role: Some(other), .. }) if other.as_str() != role => {
                    plan.roles.push((id, name, other));
                }
                Some(_) => {}
            }
        }
        plan.added = wanted.into_values().collect();
        if plan.removed.len() + plan.roles.len() + plan.added.len() > CHANGES {
            return Err(too_many);
        }
        Ok(plan)
    }

    fn is_empty(&self) -> bool {
        self.removed.is_empty() && self.roles.is_empty() && self.added.is_empty()
    }

    /// Does it: who goes, who gets a role, who comes; each change is a message. In few statements, however many they
    /// are: the room is locked meanwhile.
    async fn carry_out(self, tx: &mut Connection, room: &mut InRoom, done: &mut Done) -> Result<()> {
        if self.is_empty() {
            return Ok(());
        }
        if room.head.kind == RoomKind::Direct {
            return Err(Error::invalid("members", DIRECT));
        }
        add_stubs(tx, &self.added).await?;
        leave(tx, room, &self.removed).await?;
        give_roles(tx, room, &self.roles).await?;
        let gone = self.removed.iter().map(|(id, _)| id);
        let names = lock_users(tx, gone.chain(self.added.iter().map(|member| &member.user_id))).await?;
        let by = room.user.id.clone();
        let event = |event, user: &UserId| SystemEvent::new(event, user.clone(), by.clone());
        let told = |room: &mut InRoom, event: &SystemEvent, name: &str| room.next_event(event, name).map(Arc::new);
        let mut messages = Vec::new();
        for (user, name) in &self.removed {
            let kind = if *user == by { EventKind::Left } else { EventKind::Removed };
            messages.push(told(room, &event(kind, user), name)?);
        }
        for (user, name, role) in &self.roles {
            let event = SystemEvent { role: Some(*role), ..event(EventKind::Role, user) };
            messages.push(told(room, &event, name)?);
        }
        let mut joining = Vec::new();
        for WantedMember { user_id, role, .. } in &self.added {
            let (role, name) = (role.unwrap_or(Role::Member), names.get(user_id).map_or("", String::as_str));
            let kind = if *user_id == by { EventKind::Joined } else { EventKind::Added };
            messages.push(told(room, &event(kind, user_id), name)?);
            joining.push((user_id.clone(), role, room.head.last_seq));
            if role != Role::Member {
                let event = SystemEvent { role: Some(role), ..event(EventKind::Role, user_id) };
                messages.push(told(room, &event, name)?);
            }
        }
        write_events(tx, room, &messages).await?;
        let mut moved = join(tx, room, &joining).await?;
        moved.extend(self.removed.into_iter().map(|(id, _)| (id, UserChangeKind::Left)));
        done.changes.extend(messages);
        done.users.extend(move_users(tx, moved).await?);
        Ok(())
    }
}

/// Makes those users who are not known yet. What is said of them here the admin side has set; their first token fills in
/// the rest.
pub(super) async fn add_stubs(tx: &mut Connection, members: &[WantedMember]) -> Result<()> {
    const STUBS: Sql = Sql {
        sqlite: r#"insert into "user" (id, name, avatar_url, role, created_at, name_set, avatar_set)
            select value ->> 'user_id', coalesce(value ->> 'name', value ->> 'user_id'), value ->> 'avatar_url',
                   'CUSTOMER', $2, value ->> 'name' is not null, value ->> 'avatar_url' is not null
            from json_each($1) where true on conflict (id) do nothing"#,
        postgres: r#"insert into "user" (id, name, avatar_url, role, created_at, name_set, avatar_set)
            select x.user_id, coalesce(x.name, x.user_id), x.avatar_url, 'CUSTOMER', $2,
                   x.name is not null, x.avatar_url is not null
            from json_to_recordset(cast($1 as json)) as x (user_id text, name text, avatar_url text)
            order by x.user_id collate "C" on conflict (id) do nothing"#,
    };
    tx.query(STUBS).bind(encode(&members)?).bind(Timestamp::now().0).execute().await.map(drop)
}

/// Takes the locks of these users in order of id, after those of members, and returns their names. Whoever moves users
/// takes them in a statement of its own: one that locks and writes would come back to each row as it was before it waited,
/// and there wait for the next one in the queue, who waits for it already. And before members are put in: each shares a
/// lock on its user, and a row that many share is slow to write.
pub(super) async fn lock_users(
    tx: &mut Connection,
    users: impl Iterator<Item = &UserId>,
) -> Result<BTreeMap<UserId, String>> {
    const LOCK: Sql = Sql {
        sqlite: r#"select id, name from "user" where id in (select value from json_each($1))"#,
        postgres: r#"select id, name from "user" where id = any (array(select json_array_elements_text(cast($1 as json))))
            order by id for no key update"#,
    };
    let rows = tx.query(LOCK).bind(list(users.map(UserId::as_str))?).fetch_all().await?;
    rows.iter().map(|row| Ok((UserId::trusted(row.try_get("id")?), row.try_get("name")?))).collect()
}

/// Takes members away, whose `rev` is to move then.
async fn leave(tx: &mut Connection, room: &mut InRoom, members: &[(UserId, String)]) -> Result<()> {
    if members.is_empty() {
        return Ok(());
    }
    let query = tx.query(in_list!("delete from member where room_id = $1 and user_id ", "$2", ""));
    query.bind(room.id.as_str()).bind(list(members.iter().map(|(id, _)| id.as_str()))?).execute().await?;
    count_members(tx, room, -count(members.len())).await
}

async fn give_roles(tx: &mut Connection, room: &InRoom, roles: &[(UserId, String, Role)]) -> Result<()> {
    const ROLES: Sql = Sql {
        sqlite: "update member set role = x.value ->> 1 from json_each($2) x
            where room_id = $1 and user_id = x.value ->> 0",
        postgres: "update member set role = x.value ->> 1 from json_array_elements(cast($2 as json)) x
            where room_id = $1 and user_id = x.value ->> 0",
    };
    if roles.is_empty() {
        return Ok(());
    }
    let roles: Vec<_> = roles.iter().map(|(user, _, role)| (user, role)).collect();
    tx.query(ROLES).bind(room.id.as_str()).bind(encode(&roles)?).execute().await.map(drop)
}

/// Adds members, each at the message of their joining, and lifts what bans them. Returns whose `rev` that is to move.
async fn join(
    tx: &mut Connection,
    room: &mut InRoom,
    members: &[(UserId, Role, u64)],
) -> Result<Vec<(UserId, UserChangeKind)>> {
    const JOIN: Sql = Sql {
        sqlite: "insert into member (room_id, user_id, role, joined_seq, last_read_seq)
            select $1, value ->> 0, value ->> 1, value ->> 2, value ->> 2 from json_each($2)",
        postgres: "insert into member (room_id, user_id, role, joined_seq, last_read_seq)
            select $1, value ->> 0, value ->> 1, cast(value ->> 2 as bigint), cast(value ->> 2 as bigint)
            from json_array_elements(cast($2 as json))",
    };
    if members.is_empty() {
        return Ok(Vec::new());
    }
    let users = list(members.iter().map(|(id, ..)| id.as_str()))?;
    let query = tx.query(in_list!("delete from ban where room_id = $1 and user_id ", "$2", ""));
    query.bind(room.id.as_str()).bind(users).execute().await?;
    tx.query(JOIN).bind(room.id.as_str()).bind(encode(&members)?).execute().await?;
    count_members(tx, room, count(members.len())).await?;
    Ok(members.iter().map(|(id, ..)| (id.clone(), UserChangeKind::Joined)).collect())
}

fn count(members: usize) -> i64 {
    i64::try_from(members).unwrap_or(i64::MAX)
}

/// Moves the `rev` of these users, whose locks [`lock_users`] has taken.
pub(super) async fn move_users(tx: &mut Connection, moved: Vec<(UserId, UserChangeKind)>) -> Result<Vec<UserChange>> {
    const MOVE: Sql = in_list!(r#"update "user" set rev = rev + 1 where id "#, "$1", " returning id, rev");
    let query = tx.query(MOVE).bind(list(moved.iter().map(|(id, _)| id.as_str()))?);
    let mut what: BTreeMap<UserId, UserChangeKind> = moved.into_iter().collect();
    let mut users = Vec::with_capacity(what.len());
    for row in &query.fetch_all().await? {
        let user_id = UserId::trusted(row.try_get("id")?);
        if let Some(what) = what.remove(&user_id) {
            users.push(UserChange { rev: number(row, "rev")?, user_id, what });
        }
    }
    Ok(users)
}

async fn set_member(tx: &mut Connection, id: RoomId, by: UserId, wanted: WantedMember) -> Result<Option<Commit>> {
    let mut room = find_room(tx, &id, &by).await?;
    let (target, mut plan) = match find_target(tx, &id, &wanted.user_id).await {
        Ok(Target { role: Some(role), name, .. }) => (Some((name, role)), Plan::default()),
        Err(Error::UserNotFound(user)) if wanted.user_id.is_system() => return Err(Error::UserNotFound(user)),
        Ok(_) | Err(Error::UserNotFound(_)) => (None, Plan::default()),
        Err(error) => return Err(error),
    };
    match (target, wanted.role) {
        (None, _) => plan.added.push(wanted),
        (Some((name, old)), Some(role)) if role != old => plan.roles.push((wanted.user_id, name, role)),
        (Some(_), _) => {}
    }
    let mut done = Done::default();
    if !plan.is_empty() && room.head.kind == RoomKind::Direct {
        return Err(Error::Forbidden(DIRECT));
    }
    plan.carry_out(tx, &mut room, &mut done).await?;
    Ok(done.commit(&room))
}

/// The room, unless it is of two for good.
async fn find_shared_room(tx: &mut Connection, id: &RoomId, by: &UserId) -> Result<InRoom> {
    let room = find_room(tx, id, by).await?;
    if room.head.kind == RoomKind::Direct { Err(Error::Forbidden(DIRECT)) } else { Ok(room) }
}

async fn expel(tx: &mut Connection, id: RoomId, by: UserId, user: UserId) -> Result<Option<Commit>> {
    let mut room = find_shared_room(tx, &id, &by).await?;
    let target = match find_target(tx, &id, &user).await {
        Ok(target) if target.role.is_some() => target,
        // Whoever is not there is no member: so it is as it should be.
        Ok(_) | Err(Error::UserNotFound(_)) => return Ok(None),
        Err(error) => return Err(error),
    };
    let event = if user == by { EventKind::Left } else { EventKind::Removed };
    let (changes, user) = take_out(tx, &mut room, &target, event).await?;
    Ok(Some(room.commit(changes, vec![user])))
}
