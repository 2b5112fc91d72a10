//! Rooms and who is in them.

use schemars::JsonSchema;
use serde::Deserialize;

use super::Chat;
use crate::error::{Error, Result};
use crate::model::text::{Object, check_metadata, check_text};
use crate::model::{Caller, HistoryFor, MemberView, Role, Room, RoomId, RoomKind, UserId, UserRole};
use crate::store::{MemberChange, NewRoom, RoomCursor, RoomPatch};

/// Longest title, in characters.
pub(super) const TITLE_CHARS: usize = 120;
/// Longest key, in bytes.
const KEY_BYTES: usize = 120;
/// Why a person cannot make a room where only the admin side does.
const BY_THE_APPLICATION: &str = "here the application makes the rooms, by `PUT /api/admin/rooms/{roomId}`";
/// Members one can make a room with.
const MEMBERS: usize = 200;

/// A room to make, as it is on the wire.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RoomInput {
    /// Its id; without one, the service makes it.
    id: Option<RoomId>,
    /// What kind of room it is.
    #[serde(rename = "type")]
    kind: RoomKind,
    /// What the application ties it to: 1 to 120 bytes without control characters.
    #[schemars(length(min = 1, max = 120))]
    key: Option<String>,
    /// Its title.
    #[schemars(length(min = 1, max = 120))]
    title: Option<String>,
    /// Who is in it beside the caller.
    #[serde(default)]
    #[schemars(length(max = 200))]
    member_ids: Vec<UserId>,
    /// What the application keeps with it: at most 4096 bytes of JSON.
    metadata: Option<Object>,
    /// From where members see the log.
    history_for: Option<HistoryFor>,
}

impl RoomInput {
    fn check(self) -> Result<NewRoom> {
        if let Some(title) = &self.title {
            check_text("title", title, TITLE_CHARS)?;
        }
        if let Some(key) = &self.key {
            check_key(key)?;
        }
        if self.member_ids.len() > MEMBERS {
            return Err(Error::TooLarge { what: "memberIds", limit: format!("{MEMBERS} people") });
        }
        Ok(NewRoom {
            id: self.id,
            kind: self.kind,
            key: self.key,
            title: self.title,
            metadata: self.metadata.as_ref().map(check_metadata).transpose()?,
            history_for: self.history_for.unwrap_or(HistoryFor::All),
            member_ids: self.member_ids,
        })
    }
}

pub(super) fn check_key(key: &str) -> Result<()> {
    if key.is_empty() || key.len() > KEY_BYTES || key.chars().any(char::is_control) {
        return Err(Error::invalid("key", format!("1 to {KEY_BYTES} bytes without control characters")));
    }
    Ok(())
}

impl Chat {
    /// Makes a room; returns it, and whether it is new.
    pub async fn create_room(&self, caller: &Caller, input: RoomInput) -> Result<(Room, bool)> {
        if !self.0.users_make_rooms && self.user(caller).await?.role != UserRole::Admin {
            return Err(Error::Forbidden(BY_THE_APPLICATION));
        }
        let new = input.check()?;
        self.take_room(&caller.id)?;
        let (store, by) = (self.0.store.clone(), caller.id.clone());
        let write =
            async move { store.create_room(&by, new).await.map(|(id, commit)| ((id, commit.is_some()), commit)) };
        let (id, is_new) = self.write(write).await?;
        Ok((self.0.store.room(&id, &caller.id).await?, is_new))
    }

    /// Makes the public room of a demo.
    pub async fn ensure_public_room(&self, id: &RoomId, title: &str) -> Result<()> {
        self.0.store.ensure_public_room(id, title).await
    }

    /// A room as its member sees it.
    pub async fn room(&self, user: &UserId, id: &RoomId) -> Result<Room> {
        self.0.store.room(id, user).await
    }

    /// A user's rooms, newest first, or the public ones.
    pub async fn rooms(
        &self,
        user: &UserId,
        kind: Option<RoomKind>,
        after: Option<RoomCursor>,
        limit: u32,
    ) -> Result<(Vec<Room>, Option<RoomCursor>)> {
        match kind {
            None => self.0.store.rooms(user, after, limit).await,
            Some(RoomKind::Public) => self.0.store.public_rooms(user, after, limit).await,
            Some(_) => Err(Error::invalid("type", "PUBLIC finds public rooms; leave it out for your own")),
        }
    }

    /// Changes title, metadata and slow mode.
    pub async fn update_room(
        &self,
        user: &UserId,
        id: &RoomId,
        title: Option<Option<String>>,
        metadata: Option<Option<Object>>,
        slow_mode_seconds: Option<u32>,
    ) -> Result<Room> {
        if let Some(Some(title)) = &title {
            check_text("title", title, TITLE_CHARS)?;
        }
        let metadata = metadata.map(|metadata| metadata.as_ref().map(check_metadata).transpose()).transpose()?;
        self.take_change(user)?;
        let (store, room, by) = (self.0.store.clone(), id.clone(), user.clone());
        super::quota::check_slow_mode(slow_mode_seconds)?;
        let patch = RoomPatch { title, metadata, slow_mode_seconds };
        self.write(async move { Ok(((), store.update_room(&room, &by, patch).await?)) }).await?;
        self.0.store.room(id, user).await
    }

    /// A room's members in the order they joined.
    pub async fn members(
        &self,
        user: &UserId,
        room: &RoomId,
        after: Option<(u64, UserId)>,
        limit: u32,
    ) -> Result<(Vec<MemberView>, Option<(u64, UserId)>)> {
        self.follow(user, room).await?;
        self.member_page(room, after, limit).await
    }

    /// The same, for whoever may see them.
    pub(super) async fn member_page(
        &self,
        room: &RoomId,
        after: Option<(u64, UserId)>,
        limit: u32,
    ) -> Result<(Vec<MemberView>, Option<(u64, UserId)>)> {
        let mut members = self.0.store.members(room, after, limit + 1).await?;
        let more = members.len() > limit as usize;
        members.truncate(limit as usize);
        let cursor = members.last().filter(|_| more).map(|(seq, last)| (*seq, last.user_id.clone()));
        Ok((members.into_iter().map(|(_, view)| view).collect(), cursor))
    }

    /// Adds someone, or changes their role; joins a public room oneself.
    pub async fn put_member(
        &self,
        user: &UserId,
        room: &RoomId,
        member: &UserId,
        role: Option<Role>,
    ) -> Result<MemberView> {
        self.take_change(user)?;
        self.change_member(user, room, member, MemberChange::Put(role)).await?;
        self.0.store.member_view(room, member).await
    }

    /// Removes someone, or leaves.
    pub async fn remove_member(&self, user: &UserId, room: &RoomId, member: &UserId) -> Result<()> {
        self.take_change(user)?;
        self.change_member(user, room, member, MemberChange::Remove).await
    }

    /// Removes someone if they are a member, and keeps them from coming back.
    pub async fn ban_member(&self, user: &UserId, room: &RoomId, member: &UserId) -> Result<()> {
        self.take_change(user)?;
        self.change_member(user, room, member, MemberChange::Ban).await
    }

    async fn change_member(&self, user: &UserId, room: &RoomId, member: &UserId, change: MemberChange) -> Result<()> {
        let (store, room, by, member) = (self.0.store.clone(), room.clone(), user.clone(), member.clone());
        self.write(async move { Ok(((), store.change_member(&room, &by, &member, change).await?)) }).await
    }
}
