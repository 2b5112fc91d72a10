//! Values that all instances share, so that one reads what many want: a room's head, its newest page, a user's role and
//! partner. Nothing here is believed for longer than seconds or beyond its `history` and `rev`, and nothing of one
//! reader is kept under a room's key. Without Redis there is nothing to share: what this instance follows in memory
//! is then the only cache, and every question is a miss.

use std::time::Duration;

use fred::interfaces::KeysInterface;
use fred::types::{Expiration, SetOptions};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::model::{
    Head, History, HistoryFor, Partner, QuotaName, RoomId, RoomKind, Set, Timestamp, User, UserId, UserRole,
};
use crate::redis::{Area, Redis, Replacement};
use crate::telemetry;

/// How long a room's head is kept.
const META: Duration = Duration::from_secs(1);
/// How long a newest page is kept.
const PAGE: Duration = Duration::from_secs(3);
/// How long a role is kept, in seconds.
const ROLE: i64 = 30 * 60;
/// How long a partner, or that there is none, is kept, in seconds.
const PARTNER: i64 = 5 * 60;

/// The shared cache, chosen at the start.
#[derive(Debug)]
pub enum Cache {
    /// There is nobody to share with.
    Alone,
    /// Redis.
    Redis(Redis),
}

/// Where an answer came from; `X-Cache` tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cached {
    /// From this instance's memory.
    Memory,
    /// From the shared cache.
    Hit,
    /// From the database.
    Miss,
}

impl Cached {
    /// The header's value.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Hit => "hit",
            Self::Miss => "miss",
        }
    }

    /// Counts where something of this kind was found.
    pub fn count(self, key: &'static str) {
        if let Some(counting) = telemetry::handles() {
            counting.found(key, self.as_str());
        }
    }
}

/// A newest page of a room in which all members see the same.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SharedPage {
    /// The history it belongs to.
    pub history: History,
    /// The `rev` it is complete to.
    pub rev: u64,
    /// The `before` of the page before it.
    pub cursor: Option<u64>,
    /// The messages, as JSON.
    pub messages: Box<RawValue>,
}

/// A room's head as it is shared; the reader's own part is never in it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct SharedMeta {
    history: History,
    rev: u64,
    last_seq: u64,
    /// Microseconds since 1970.
    last_message_at: Option<i64>,
    #[serde(rename = "type")]
    kind: RoomKind,
    history_for: HistoryFor,
    member_count: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    quota: Option<QuotaName>,
    /// Absent if nothing was removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    oldest_seq: Option<u64>,
    #[serde(default)]
    expired_rev: u64,
}

/// What of a user is neither role nor partner, as it is shared: with it, nothing of a user has to be read.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct SharedProfile {
    name: String,
    avatar_url: Option<String>,
    set: Set,
    /// Microseconds since 1970.
    claims_at: i64,
}

impl From<&User> for SharedProfile {
    fn from(user: &User) -> Self {
        Self {
            name: user.name.clone(),
            avatar_url: user.avatar_url.clone(),
            set: user.set,
            claims_at: user.claims_at.0,
        }
    }
}

impl From<&Head> for SharedMeta {
    fn from(head: &Head) -> Self {
        Self {
            history: head.history.clone(),
            rev: head.rev,
            last_seq: head.last_seq,
            last_message_at: head.last_message_at.map(|at| at.0),
            kind: head.kind,
            history_for: head.history_for,
            member_count: head.member_count,
            quota: head.quota.clone(),
            oldest_seq: head.begins_at(),
            expired_rev: head.expired_rev,
        }
    }
}

impl From<SharedMeta> for Head {
    fn from(meta: SharedMeta) -> Self {
        Self {
            history: meta.history,
            kind: meta.kind,
            history_for: meta.history_for,
            last_seq: meta.last_seq,
            rev: meta.rev,
            last_message_at: meta.last_message_at.map(Timestamp),
            member_count: meta.member_count,
            quota: meta.quota,
            oldest_seq: meta.oldest_seq.unwrap_or(1),
            expired_rev: meta.expired_rev,
        }
    }
}

impl Cache {
    /// A room's head of this history, if it is there.
    pub async fn head(&self, room: &RoomId, history: &History) -> Option<Head> {
        let meta: SharedMeta = self.get(&meta_key(room)).await?;
        Some(meta.into()).filter(|head: &Head| head.history == *history)
    }

    /// What puts a head in the place of an older one.
    pub fn replace_head(&self, room: &RoomId, head: &Head) -> Option<Replacement> {
        self.replacement(meta_key(room), &head.history, head.rev, META, &SharedMeta::from(head))
    }

    /// Keeps a head that was read.
    pub async fn keep_head(&self, room: &RoomId, head: &Head) {
        self.keep(self.replace_head(room, head)).await;
    }

    /// A room's newest page of this history, complete to exactly this `rev`.
    pub async fn page(&self, room: &RoomId, history: &History, rev: u64) -> Option<SharedPage> {
        let page: SharedPage = self.get(&page_key(room)).await?;
        Some(page).filter(|page| page.history == *history && page.rev == rev)
    }

    /// Keeps a newest page that was read.
    pub async fn keep_page(&self, room: &RoomId, page: &SharedPage) {
        self.keep(self.replacement(page_key(room), &page.history, page.rev, PAGE, page)).await;
    }

    /// A user, if all of them is there.
    pub async fn user(&self, id: &UserId) -> Option<User> {
        let Self::Redis(redis) = self else { return None };
        if !redis.is_usable() {
            return None;
        }
        let commands = redis.commands();
        let role = redis.run(Area::Read, Box::pin(commands.get::<Option<String>, _>(redis.name(&role_key(id)))));
        let (partner_key, profile_key) = (partner_key(id), profile_key(id));
        let partner = self.get::<Option<Partner>>(&partner_key);
        let (role, partner, profile) = tokio::join!(role, partner, self.get::<SharedProfile>(&profile_key));
        let (partner, profile) = (partner?, profile?);
        // The role is text of another application's, too: a name that is none of ours is not taken for one.
        let role = role??;
        Some(UserRole::parse(&role)).filter(|known| known.as_str() == role).map(|role| User {
            id: id.clone(),
            name: profile.name,
            avatar_url: profile.avatar_url,
            role,
            partner,
            set: profile.set,
            claims_at: Timestamp(profile.claims_at),
        })
    }

    /// Keeps a user who was read, unless somebody keeps newer values. "No partner" is a value.
    pub async fn keep_user(&self, user: &User) {
        self.set_user(user, Some(SetOptions::NX)).await;
    }

    /// Puts a user who changed in the place of what is kept of them.
    pub async fn replace_user(&self, user: &User) {
        self.set_user(user, None).await;
    }

    async fn set_user(&self, user: &User, options: Option<SetOptions>) {
        let Self::Redis(redis) = self else { return };
        if !redis.is_usable() {
            return;
        }
        let commands = redis.commands();
        let keep = |key: String, value: String, seconds: i64| {
            let expiration = Some(Expiration::EX(seconds));
            let set = commands.set::<(), _, _>(redis.name(&key), value, expiration, options.clone(), false);
            redis.run(Area::Write, Box::pin(set))
        };
        let partner = serde_json::to_string(&user.partner).expect("a partner is two texts");
        let profile = serde_json::to_string(&SharedProfile::from(user)).expect("a profile is texts and numbers");
        let role = keep(role_key(&user.id), user.role.as_str().to_owned(), ROLE);
        let partner = keep(partner_key(&user.id), partner, PARTNER);
        tokio::join!(role, partner, keep(profile_key(&user.id), profile, PARTNER));
    }

    async fn get<T: for<'a> Deserialize<'a>>(&self, key: &str) -> Option<T> {
        let Self::Redis(redis) = self else { return None };
        if !redis.is_usable() {
            return None;
        }
        let commands = redis.commands();
        let value = redis.run(Area::Read, Box::pin(commands.get::<Option<String>, _>(redis.name(key)))).await??;
        let read = serde_json::from_str(&value).ok();
        if read.is_none() {
            // None of ours: it must not stand in the way of what is.
            redis.run(Area::Write, Box::pin(commands.del::<(), _>(redis.name(key)))).await;
        }
        read
    }

    fn replacement(
        &self,
        key: String,
        history: &History,
        rev: u64,
        lifetime: Duration,
        value: &impl Serialize,
    ) -> Option<Replacement> {
        let Self::Redis(_) = self else { return None };
        let value = serde_json::to_vec(value).expect("a cached value is texts and numbers");
        Some(Replacement { key, history: history.to_string(), rev, value, lifetime })
    }

    async fn keep(&self, replacement: Option<Replacement>) {
        if let (Self::Redis(redis), Some(new)) = (self, replacement)
            && redis.is_usable()
        {
            redis.replace(&new).await;
        }
    }
}

fn meta_key(room: &RoomId) -> String {
    format!("chat:meta:{room}")
}

fn page_key(room: &RoomId) -> String {
    format!("chat:messages:{room}:10")
}

fn role_key(user: &UserId) -> String {
    format!("stats:user:{user}:role")
}

fn profile_key(user: &UserId) -> String {
    format!("stats:user:{user}:profile")
}

fn partner_key(user: &UserId) -> String {
    format!("stats:user:{user}:partner")
}
