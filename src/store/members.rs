//! Members: joining, adding, roles, removing, leaving. Each is a SYSTEM message in the room's own log, so that
//! whoever follows the log in order learns of it exactly where it happened.

use std::sync::Arc;

use super::database::{Connection, Row};
use super::rows::{InRoom, find_room, next_user_rev, number, sql};
use super::writer::Turn;
use super::{MemberChange, Store};
use crate::error::{Error, Result};
use crate::model::{
    Action, Commit, EventKind, MemberView, Message, Role, RoomId, RoomKind, SystemEvent, Timestamp, UserChange,
    UserChangeKind, UserId, outranks, permits,
};

impl Store {
    /// A room's members in the order they joined, after the given one, and where to go on.
    pub async fn members(
        &self,
        room: &RoomId,
        after: Option<(u64, UserId)>,
        limit: u32,
    ) -> Result<Vec<(u64, MemberView)>> {
        let (seq, id) = after.map_or((-1, String::new()), |(seq, id)| (sql(seq), id.to_string()));
        let rows = self
            .database
            .reading()
            .await?
            .query(
                r#"select m.user_id, u.name, u.avatar_url, m.role, m.last_read_seq, m.joined_seq
                   from member m join "user" u on u.id = m.user_id
                   where m.room_id = $1 and (m.joined_seq, m.user_id) > ($2, $3)
                   order by m.joined_seq, m.user_id limit $4"#,
            )
            .bind(room.as_str())
            .bind(seq)
            .bind(id)
            .bind(i64::from(limit))
            .fetch_all()
            .await?;
        rows.iter().map(|row| Ok((number(row, "joined_seq")?, view(row)?))).collect()
    }

    /// One member as a room shows them.
    pub async fn member_view(&self, room: &RoomId, user: &UserId) -> Result<MemberView> {
        let row = self
            .database
            .reading()
            .await?
            .query(
                r#"select m.user_id, u.name, u.avatar_url, m.role, m.last_read_seq
                   from member m join "user" u on u.id = m.user_id where m.room_id = $1 and m.user_id = $2"#,
            )
            .bind(room.as_str())
            .bind(user.as_str())
            .fetch_optional()
            .await?;
        view(&row.ok_or_else(|| Error::UserNotFound(user.to_string()))?)
    }

    /// Adds, changes or removes `user` on behalf of `by`; of oneself: joins or leaves. Nothing if it was so before.
    pub async fn change_member(
        &self,
        room: &RoomId,
        by: &UserId,
        user: &UserId,
        change: MemberChange,
    ) -> Result<Option<Commit>> {
        let (id, by, user) = (room.clone(), by.clone(), user.clone());
        self.writer
            .run(Turn::Own(room), move |tx| {
                Box::pin(async move {
                    let mut room = find_room(tx, &id, &by).await?;
                    let target = target(tx, &room, &user).await?;
                    match (change, target.role) {
                        (MemberChange::Put(role), None) => add(tx, &mut room, target, role).await.map(Some),
                        (MemberChange::Put(Some(role)), Some(old)) if role != old => {
                            set_role(tx, &mut room, target, role).await.map(Some)
                        }
                        (MemberChange::Put(_), Some(_)) => room.membership().map(|_| None),
                        (MemberChange::Remove, Some(role)) => remove(tx, &mut room, target, role).await.map(Some),
                        (MemberChange::Remove, None) => {
                            room.membership()?;
                            Err(Error::UserNotFound(user.to_string()))
                        }
                        (MemberChange::Ban, _) => ban(tx, &mut room, target).await,
                    }
                })
            })
            .await
    }
}

/// A member of columns `user_id, name, avatar_url, role, last_read_seq`.
pub(super) fn view(row: &Row) -> Result<MemberView> {
    let role: String = row.try_get("role")?;
    Ok(MemberView {
        user_id: UserId::trusted(row.try_get("user_id")?),
        name: row.try_get("name")?,
        avatar_url: row.try_get("avatar_url")?,
        role: Role::parse(&role).unwrap_or(Role::Member),
        last_read_seq: number(row, "last_read_seq")?,
    })
}

/// Whom a change is about, as they stand in the room.
pub(super) struct Target {
    pub(super) id: UserId,
    pub(super) name: String,
    pub(super) role: Option<Role>,
    pub(super) is_banned: bool,
}

async fn target(tx: &mut Connection, room: &InRoom, user: &UserId) -> Result<Target> {
    if room.member.is_none() && *user != room.user.id {
        return Err(room.membership().err().unwrap_or(Error::RoomNotFound));
    }
    find_target(tx, &room.id, user).await
}

/// Whom a change is about. The application's own user is in no room and never comes into one.
pub(super) async fn find_target(tx: &mut Connection, room: &RoomId, user: &UserId) -> Result<Target> {
    if user.is_system() {
        return Err(Error::UserNotFound(user.to_string()));
    }
    let row = tx
        .query(
            r#"select u.name, m.role, b.user_id as banned from "user" u
           left join member m on m.user_id = u.id and m.room_id = $1
           left join ban b on b.user_id = u.id and b.room_id = $1
           where u.id = $2"#,
        )
        .bind(room.as_str())
        .bind(user.as_str())
        .fetch_optional()
        .await?
        .ok_or_else(|| Error::UserNotFound(user.to_string()))?;
    let role: Option<String> = row.try_get("role")?;
    Ok(Target {
        id: user.clone(),
        name: row.try_get("name")?,
        role: role.as_deref().and_then(Role::parse),
        is_banned: row.try_get::<Option<String>>("banned")?.is_some(),
    })
}

fn require(room: &InRoom, action: Action, why: &'static str) -> Result<()> {
    if permits(room.head.kind, room.membership()?.role, action) { Ok(()) } else { Err(Error::Forbidden(why)) }
}

/// Makes `user` a member at the room's present head: what they find there counts as read.
pub(super) async fn insert(tx: &mut Connection, room: &mut InRoom, user: UserId, role: Role) -> Result<UserChange> {
    // The new `rev` also finds out whether there is such a user.
    let change = user_change(tx, user, UserChangeKind::Joined).await?;
    // Whoever comes by themselves waits as if they had written just now, or leaving would be a way around slow mode.
    let waits = room.slow_mode_seconds > 0 && change.user_id == room.user.id;
    let last_sent_at = room.head.last_message_at.filter(|_| waits);
    tx.query(
        "insert into member (room_id, user_id, role, joined_seq, last_read_seq, last_sent_at)
         values ($1, $2, $3, $4, $4, $5)",
    )
    .bind(room.id.as_str())
    .bind(change.user_id.as_str())
    .bind(role.as_str())
    .bind(sql(room.head.last_seq))
    .bind(last_sent_at.map(|at| at.0))
    .execute()
    .await?;
    count_members(tx, room, 1).await?;
    Ok(change)
}

async fn write(
    tx: &mut Connection,
    room: &mut InRoom,
    event: EventKind,
    target: &Target,
    role: Option<Role>,
) -> Result<Message> {
    let by_user_id = room.user.id.clone();
    let event = SystemEvent { role, ..SystemEvent::new(event, target.id.clone(), by_user_id) };
    room.write_event(tx, &event, &target.name).await
}

async fn add(tx: &mut Connection, room: &mut InRoom, target: Target, role: Option<Role>) -> Result<Commit> {
    let event = if target.id == room.user.id {
        if room.head.kind != RoomKind::Public {
            return Err(Error::RoomNotFound);
        }
        if role.is_some_and(|role| role != Role::Member) {
            return Err(Error::Forbidden("one joins as a MEMBER"));
        }
        if target.is_banned {
            return Err(Error::Forbidden("you are banned from this room"));
        }
        EventKind::Joined
    } else {
        require(room, Action::Add, "only a moderator can add people to this room")?;
        if role.is_some_and(|role| role != Role::Member) {
            require(room, Action::SetRole, "only an owner gives roles")?;
        }
        if target.is_banned {
            require(room, Action::LiftBan, "they are banned from this room; a moderator can lift that by adding them")?;
            lift_ban(tx, room, &target.id).await?;
        }
        EventKind::Added
    };
    let message = write(tx, room, event, &target, None).await?;
    let mut changes = vec![message.into()];
    let user = insert(tx, room, target.id.clone(), role.unwrap_or(Role::Member)).await?;
    if let Some(role) = role.filter(|role| *role != Role::Member) {
        changes.push(write(tx, room, EventKind::Role, &target, Some(role)).await?.into());
    }
    Ok(room.commit(changes, vec![user]))
}

async fn set_role(tx: &mut Connection, room: &mut InRoom, target: Target, role: Role) -> Result<Commit> {
    require(room, Action::SetRole, "only an owner gives roles")?;
    if target.role == Some(Role::Owner) && owners(tx, &room.id).await? == 1 {
        return Err(Error::Forbidden("a room keeps an owner; make another one first"));
    }
    let message = give_role(tx, room, &target, role).await?;
    Ok(room.commit(vec![message.into()], Vec::new()))
}

async fn give_role(tx: &mut Connection, room: &mut InRoom, target: &Target, role: Role) -> Result<Message> {
    tx.query("update member set role = $3 where room_id = $1 and user_id = $2")
        .bind(room.id.as_str())
        .bind(target.id.as_str())
        .bind(role.as_str())
        .execute()
        .await?;
    write(tx, room, EventKind::Role, target, Some(role)).await
}

async fn remove(tx: &mut Connection, room: &mut InRoom, target: Target, role: Role) -> Result<Commit> {
    let event = if target.id == room.user.id {
        require(room, Action::Leave, "nobody leaves a DIRECT room")?;
        EventKind::Left
    } else {
        require(room, Action::Remove, "only a moderator can remove people")?;
        require_rank(room, role)?;
        EventKind::Removed
    };
    let (changes, user) = take_out(tx, room, &target, event).await?;
    Ok(room.commit(changes, vec![user]))
}

fn require_rank(room: &InRoom, role: Role) -> Result<()> {
    if outranks(room.membership()?.role, role) {
        Ok(())
    } else {
        Err(Error::Forbidden("a moderator removes members, an owner anyone"))
    }
}

/// Takes a member out of the room. When the last owner goes, another member becomes it.
pub(super) async fn take_out(
    tx: &mut Connection,
    room: &mut InRoom,
    target: &Target,
    event: EventKind,
) -> Result<(Vec<Arc<Message>>, UserChange)> {
    let message = write(tx, room, event, target, None).await?;
    let mut changes = vec![message.into()];
    tx.query("delete from member where room_id = $1 and user_id = $2")
        .bind(room.id.as_str())
        .bind(target.id.as_str())
        .execute()
        .await?;
    count_members(tx, room, -1).await?;
    if target.role == Some(Role::Owner) && owners(tx, &room.id).await? == 0 {
        changes.extend(pass_ownership(tx, room).await?.map(Into::into));
    }
    let user = user_change(tx, target.id.clone(), UserChangeKind::Left).await?;
    Ok((changes, user))
}

async fn ban(tx: &mut Connection, room: &mut InRoom, target: Target) -> Result<Option<Commit>> {
    require(room, Action::Ban, "only a moderator can ban people")?;
    if target.id == room.user.id {
        return Err(Error::Forbidden("nobody bans themselves; leave without `ban`"));
    }
    if let Some(role) = target.role {
        require_rank(room, role)?;
    }
    shut_out(tx, room, &target).await
}

/// Bans someone, whom it removes first if they are a member; nothing if they were banned before.
pub(super) async fn shut_out(tx: &mut Connection, room: &mut InRoom, target: &Target) -> Result<Option<Commit>> {
    if target.is_banned {
        return Ok(None);
    }
    tx.query("insert into ban (room_id, user_id, by_user_id, at) values ($1, $2, $3, $4)")
        .bind(room.id.as_str())
        .bind(target.id.as_str())
        .bind(room.user.id.as_str())
        .bind(Timestamp::now().0)
        .execute()
        .await?;
    let (mut changes, mut users) = (Vec::new(), Vec::new());
    if target.role.is_some() {
        let (written, user) = take_out(tx, room, target, EventKind::Removed).await?;
        changes.extend(written);
        users.push(user);
    }
    changes.push(write(tx, room, EventKind::Banned, target, None).await?.into());
    Ok(Some(room.commit(changes, users)))
}

async fn lift_ban(tx: &mut Connection, room: &InRoom, user: &UserId) -> Result<()> {
    tx.query("delete from ban where room_id = $1 and user_id = $2")
        .bind(room.id.as_str())
        .bind(user.as_str())
        .execute()
        .await
        .map(drop)
}

async fn owners(tx: &mut Connection, room: &RoomId) -> Result<u64> {
    let row = tx
        .query("select count(*) as owners from member where room_id = $1 and role = 'OWNER'")
        .bind(room.as_str())
        .fetch_one()
        .await?;
    number(&row, "owners")
}

/// When the last owner goes, who was a moderator longest, else a member longest, becomes it.
async fn pass_ownership(tx: &mut Connection, room: &mut InRoom) -> Result<Option<Message>> {
    let row = tx
        .query(
            r#"select m.user_id, u.name, m.role from member m join "user" u on u.id = m.user_id where m.room_id = $1
           order by m.role = 'MODERATOR' desc, m.joined_seq, m.user_id limit 1"#,
        )
        .bind(room.id.as_str())
        .fetch_optional()
        .await?;
    let Some(row) = row else { return Ok(None) };
    let role: String = row.try_get("role")?;
    let heir = Target {
        id: UserId::trusted(row.try_get("user_id")?),
        name: row.try_get("name")?,
        role: Role::parse(&role),
        is_banned: false,
    };
    give_role(tx, room, &heir, Role::Owner).await.map(Some)
}

/// A user's new `rev`, with what it stands for. It also finds out whether there is such a user.
async fn user_change(tx: &mut Connection, user_id: UserId, what: UserChangeKind) -> Result<UserChange> {
    let rev = next_user_rev(tx, &user_id).await?;
    Ok(UserChange { user_id, rev, what })
}

/// Keeps the count beside the rows it counts.
pub(super) async fn count_members(tx: &mut Connection, room: &mut InRoom, by: i64) -> Result<()> {
    room.head.member_count = room.head.member_count.saturating_add_signed(by);
    tx.query("update room set member_count = $2 where id = $1")
        .bind(room.id.as_str())
        .bind(sql(room.head.member_count))
        .execute()
        .await
        .map(drop)
}
