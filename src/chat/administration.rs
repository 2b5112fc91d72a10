//! What the application and its administrators do in any room. Nobody's permission is asked here, because only they
//! come here; the way from store to hub, cache and bus is everyone's.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;

use super::quota::check_slow_mode;
use super::reading::{check_position, encode, limit, previous};
use super::rooms::{TITLE_CHARS, check_key};
use super::{Accepted, Cached, Chat, PageAnswer};
use crate::error::{Error, Result};
use crate::model::text::{Object, check_metadata, check_text};
use crate::model::user::{check_name, check_picture};
use crate::model::{
    History, HistoryFor, MemberView, Message, MessageId, PostInput, QuotaName, Retention, Role, Room, RoomId, RoomKind,
    UserId,
};
use crate::protocol::present;
use crate::store::{PageQuery, WantedMember, WantedRoom};

/// What a room is to be, as it is on the wire. What is absent stays; `null` takes away.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[expect(clippy::option_option, reason = "the three cases that JSON has: absent, null, a value")]
pub struct RoomSettings {
    /// What kind of room it is: needed for a new one, and never another.
    #[serde(rename = "type")]
    kind: Option<RoomKind>,
    /// What the application ties it to: 1 to 120 bytes without control characters.
    #[serde(default, deserialize_with = "present")]
    #[schemars(length(min = 1, max = 120))]
    key: Option<Option<String>>,
    /// Its title.
    #[serde(default, deserialize_with = "present")]
    #[schemars(length(min = 1, max = 120))]
    title: Option<Option<String>>,
    /// What the application keeps with it: at most 4096 bytes of JSON.
    #[serde(default, deserialize_with = "present")]
    metadata: Option<Option<Object>>,
    /// From where members see the log.
    history_for: Option<HistoryFor>,
    /// Seconds between two messages of one member; 0: no such limit.
    #[schemars(range(max = 3600))]
    slow_mode_seconds: Option<u32>,
    /// The daily quota that messages in it count for.
    #[serde(default, deserialize_with = "present")]
    quota: Option<Option<QuotaName>>,
    /// How much of its log is kept; null: as the service's settings say.
    #[serde(default, deserialize_with = "present")]
    retention: Option<Option<Retention>>,
    /// Everyone who is to be in it.
    #[schemars(length(max = 1000))]
    members: Option<Vec<NamedMember>>,
}

/// Who is to be in a room, and as what.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct NamedMember {
    /// Who.
    user_id: UserId,
    #[serde(flatten)]
    input: MemberInput,
}

/// What a member is to be, as it is on the wire.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MemberInput {
    /// Their role; absent: as it is, and MEMBER for who is new.
    role: Option<Role>,
    /// Their name, should they not be known yet.
    #[schemars(length(min = 1, max = 80))]
    name: Option<String>,
    /// Their picture, should they not be known yet.
    #[schemars(length(min = 1, max = 2048))]
    avatar_url: Option<String>,
}

impl MemberInput {
    fn check(self, user_id: UserId) -> Result<WantedMember> {
        self.name.as_deref().map(check_name).transpose()?;
        self.avatar_url.as_deref().map(check_picture).transpose()?;
        Ok(WantedMember { user_id, role: self.role, name: self.name, avatar_url: self.avatar_url })
    }
}

impl RoomSettings {
    fn check(self, id: RoomId) -> Result<WantedRoom> {
        if let Some(Some(title)) = &self.title {
            check_text("title", title, TITLE_CHARS)?;
        }
        if let Some(Some(key)) = &self.key {
            check_key(key)?;
        }
        check_slow_mode(self.slow_mode_seconds)?;
        self.retention.flatten().as_ref().map(Retention::check).transpose()?;
        let metadata = self.metadata.map(|metadata| metadata.as_ref().map(check_metadata).transpose()).transpose()?;
        let members = self.members.map(|members| members.into_iter().map(|m| m.input.check(m.user_id)).collect());
        Ok(WantedRoom {
            id,
            kind: self.kind,
            key: self.key,
            title: self.title,
            metadata,
            history_for: self.history_for,
            slow_mode_seconds: self.slow_mode_seconds,
            quota: self.quota,
            retention: self.retention,
            members: members.transpose()?,
        })
    }
}

impl Chat {
    /// Makes a room, or brings it to what is wanted; the same again changes nothing. Returns it, and whether it is new.
    pub async fn set_room(&self, by: &UserId, id: &RoomId, settings: RoomSettings) -> Result<(Room, bool)> {
        let wanted = settings.check(id.clone())?;
        let (store, by) = (self.0.store.clone(), by.clone());
        let is_new = self.write(async move { store.set_room(&by, wanted).await }).await?;
        // What no message of its log tells of.
        self.look_again(id).await?;
        Ok((self.0.store.whole_room(id).await?, is_new))
    }

    /// Any room.
    pub async fn whole_room(&self, id: &RoomId) -> Result<Room> {
        self.0.store.whole_room(id).await
    }

    /// Part of any room's log, from the store: whoever reads for others reads what is there now.
    pub async fn page_of(
        &self,
        room: &RoomId,
        query: PageQuery,
        size: Option<u32>,
        history: Option<&History>,
    ) -> Result<PageAnswer> {
        let page = self.0.store.any_page(room, query, limit(size)?).await?;
        if let PageQuery::Since(since) = query {
            let history =
                history.ok_or_else(|| Error::invalid("history", "goes with `since`: the history it belongs to"))?;
            if *history != page.head.history || since > page.head.rev {
                return Err(Error::HistoryChanged);
            }
        }
        check_position(query, &page)?;
        let by_place = !matches!(query, PageQuery::Since(_));
        Ok(PageAnswer {
            messages: encode(&page.messages)?,
            cursor: previous(&page).filter(|_| by_place),
            has_more: page.has_more,
            rev: page.rev(query),
            oldest_seq: page.head.begins_at(),
            history: page.head.history,
            cached: Cached::Miss,
        })
    }

    /// Any room's members in the order they joined.
    pub async fn members_of(
        &self,
        room: &RoomId,
        after: Option<(u64, UserId)>,
        limit: u32,
    ) -> Result<(Vec<MemberView>, Option<(u64, UserId)>)> {
        self.0.store.head(room).await?;
        self.member_page(room, after, limit).await
    }

    /// Makes someone a member of any room but a DIRECT one, or gives them a role; lifts what bans them.
    pub async fn set_member(
        &self,
        by: &UserId,
        room: &RoomId,
        user: &UserId,
        input: MemberInput,
    ) -> Result<MemberView> {
        let wanted = input.check(user.clone())?;
        let (store, id, by) = (self.0.store.clone(), room.clone(), by.clone());
        self.write(async move { Ok(((), store.set_member(&by, &id, wanted).await?)) }).await?;
        self.0.store.member_view(room, user).await
    }

    /// Removes someone if they are a member.
    pub async fn expel(&self, by: &UserId, room: &RoomId, user: &UserId) -> Result<()> {
        let (store, room, by, user) = (self.0.store.clone(), room.clone(), by.clone(), user.clone());
        self.write(async move { Ok(((), store.expel(&by, &room, &user).await?)) }).await
    }

    /// Bans someone, who need not be known.
    pub async fn shut_out(&self, by: &UserId, room: &RoomId, user: &UserId) -> Result<()> {
        let (store, room, by, user) = (self.0.store.clone(), room.clone(), by.clone(), user.clone());
        self.write(async move { Ok(((), store.shut_out(&by, &room, &user).await?)) }).await
    }

    /// Writes a message of the application, or in the name of a member.
    pub async fn post(&self, room: &RoomId, input: PostInput) -> Result<Accepted> {
        let (draft, member) = input.check(self.0.message_chars)?;
        let (store, room) = (self.0.store.clone(), room.clone());
        self.write(async move { store.post(&room, member.as_ref(), draft).await.map(Into::into) }).await
    }

    /// Blanks any message.
    pub async fn blank(&self, by: &UserId, room: &RoomId, id: &MessageId) -> Result<Arc<Message>> {
        let (store, room, by, id) = (self.0.store.clone(), room.clone(), by.clone(), id.clone());
        self.write(async move { store.blank(&by, &room, &id).await.map(|done| (done.message, done.commit)) }).await
    }
}
