//! Meta: what a poll asks for, of one room or of all, answered from memory; and polls that wait.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use ring::digest;
use tokio::time::{Instant, timeout_at};

use super::{Cached, Chat};
use crate::broker::Bucket;
use crate::error::{Error, Result};
use crate::hub::{Ending, Entered, ListSubscription, Reader, UserFeed};
use crate::lifecycle::Guest;
use crate::model::{Caller, History, Meta, QuotaUse, RoomId, Timestamp, UserId};
use crate::telemetry::Open;

/// Rooms in a list at most: the newest.
const LIST: usize = 500;
/// Rooms of a user that are followed, so that an older one shows as soon as something moves in it.
const FOLLOWED: u32 = 10_000;
/// Longest time a poll may wait.
const LONGEST_WAIT: Duration = Duration::from_secs(55);

/// Meta of all a user's rooms.
#[derive(Debug)]
pub struct ListMeta {
    /// Newest first.
    pub rooms: Vec<Meta>,
    /// Named rooms that the user is not in.
    pub gone: Vec<RoomId>,
    /// The user's `rev`.
    pub user_rev: u64,
    /// The history that all of it belongs to.
    pub history: History,
    /// Which rooms were named, as part of the tag; empty for all.
    named: String,
    /// Whether it was in memory.
    pub cached: Cached,
}

/// Meta of one room, with its tag.
#[derive(Debug)]
pub struct NamedMeta {
    /// What a poll asks for.
    pub meta: Meta,
    /// Equal as long as nothing changed.
    pub etag: String,
    /// Whether it was in memory.
    pub cached: Cached,
}

/// A poll that waits.
struct Held {
    until: Instant,
    reader: Arc<Reader>,
    guest: Guest,
    /// Whether it was asked to go, because the instance stops.
    was_called: bool,
    _entered: Entered,
    _open: Open,
}

impl ListMeta {
    /// Equal as long as nothing changed in the list or in a room of it.
    pub fn etag(&self) -> String {
        let revs: u64 = self.rooms.iter().map(|meta| meta.rev).sum();
        format!("{}.{}.{revs}{}", self.history, self.user_rev, self.named)
    }
}

impl Chat {
    /// Meta of a room. With a tag and a time to wait: held until it is another, or the time is over.
    pub async fn meta(&self, caller: &Caller, room: &RoomId, tag: Option<&str>, wait: Duration) -> Result<NamedMeta> {
        let user = &caller.id;
        let mut held = self.hold(caller, wait, tag)?;
        // Registered before looking, so that nothing passes between looking and waiting: neither a change of the room
        // nor one of the user's position in it.
        let _subscriptions = match &held {
            Some(Held { reader, .. }) => {
                Some((self.follow(user, room).await?.log.subscribe(reader), self.0.hub.user(user).subscribe(reader)))
            }
            None => None,
        };
        let mut floor = tag.and_then(|tag| numbers(tag, &self.history()));
        loop {
            let followed = self.follow(user, room).await?;
            if let Some((rev, _)) = floor.take().filter(|(rev, _)| *rev > followed.head.rev) {
                // The tag came from an instance that knew more: what is answered never goes back.
                self.reach(&followed.log, rev).await?;
                continue;
            }
            let last_read_seq = followed.member.last_read_seq;
            let history = followed.head.history.clone();
            let mut etag = format!("{history}.{}.{last_read_seq}", followed.head.rev);
            let quota = self.quota_use(&followed.head, user).await?;
            if let Some(QuotaUse { used, limit, resets_at }) = quota {
                etag = format!("{etag}.{used}.{limit}.{}", resets_at.0 / 1_000_000);
            }
            let meta = Meta { history: Some(history), quota, ..Meta::new(&followed.head, last_read_seq) };
            let answer = NamedMeta { meta, etag, cached: followed.cached };
            if tag != Some(&answer.etag) || is_over(held.as_mut()).await? {
                answer.cached.count("meta");
                return Ok(answer);
            }
        }
    }

    /// Meta of all a user's rooms, or of those named. With a tag and a time to wait: held as above.
    pub async fn list_meta(
        &self,
        caller: &Caller,
        named: Option<&[RoomId]>,
        tag: Option<&str>,
        wait: Duration,
    ) -> Result<ListMeta> {
        let user = &caller.id;
        let mut held = self.hold(caller, wait, tag)?;
        let _subscription = match &held {
            Some(Held { reader, .. }) => Some(self.list(user).await?.subscribe(reader)),
            None => None,
        };
        let mut floor = tag.and_then(|tag| numbers(tag, &self.history()));
        loop {
            let list = self.list_now(user, named).await?;
            let revs: u64 = list.rooms.iter().map(|meta| meta.rev).sum();
            if floor.take().is_some_and(|(user_rev, sum)| user_rev > list.user_rev || sum > revs) {
                // The tag may come from an instance that knew more, or a room has left the list since: look.
                let feed = self.list(user).await?;
                self.check_now(&feed.rooms(), &feed).await?;
                continue;
            }
            if tag != Some(list.etag().as_str()) || is_over(held.as_mut()).await? {
                list.cached.count("meta");
                return Ok(list);
            }
        }
    }

    /// Holds a poll, if it is to be held: not beyond the end of its token.
    fn hold(&self, caller: &Caller, wait: Duration, tag: Option<&str>) -> Result<Option<Held>> {
        if tag.is_none() || wait.is_zero() {
            return Ok(None);
        }
        let Some(guest) = self.0.lifecycle.guest() else { return Ok(None) };
        let left = caller.expires_at().0.saturating_sub(Timestamp::now().0);
        let left = Duration::from_micros(u64::try_from(left).unwrap_or(0));
        let until = Instant::now() + wait.min(LONGEST_WAIT).min(left);
        let reader = Arc::new(Reader::of_poll(caller));
        let entered = self.enter(&reader, caller)?;
        let open = Open::count(|counting| &counting.polls_held);
        Ok(Some(Held { until, reader, guest, was_called: false, _entered: entered, _open: open }))
    }

    async fn list_now(&self, user: &UserId, named: Option<&[RoomId]>) -> Result<ListMeta> {
        let cached = if self.0.hub.user(user).rev().is_some() { Cached::Memory } else { Cached::Miss };
        let history = self.history();
        let feed = self.list(user).await?;
        // The `rev` first: a change that comes meanwhile makes the next tag another one.
        let user_rev = feed.rev().unwrap_or(0);
        let mut rooms = Vec::new();
        let mut gone = Vec::new();
        let ids = named.map_or_else(|| feed.rooms().iter().map(|log| log.id().clone()).collect(), <[RoomId]>::to_vec);
        for id in ids {
            match self.follow(user, &id).await {
                // Ended in between: what memory holds now is another database's.
                Ok(followed) if followed.head.history != history => return Err(Error::HistoryChanged),
                Ok(followed) => {
                    let meta = Meta::new(&followed.head, followed.member.last_read_seq);
                    rooms.push(Meta { room_id: Some(id), ..meta });
                }
                Err(Error::RoomNotFound | Error::NotAMember) => gone.push(id),
                Err(error) => return Err(error),
            }
        }
        rooms.sort_by(|a, b| (b.last_message_at, &b.room_id).cmp(&(a.last_message_at, &a.room_id)));
        if named.is_none() {
            rooms.truncate(LIST);
            gone.clear();
        }
        let tag = named.map_or_else(String::new, digest_of);
        Ok(ListMeta { rooms, gone, user_rev, history, named: tag, cached })
    }

    /// A user's room list, followed, with its rooms.
    pub async fn list(&self, user: &UserId) -> Result<Arc<UserFeed>> {
        let feed = self.0.hub.user(user);
        while feed.rev().is_none() {
            // Rooms are followed first and read second, so that nothing is missed between.
            let time = self.0.hub.time();
            let user_live = self.0.broker.join(&[Bucket::of(user.as_str())]).await;
            let (_, found) = self.0.store.user_rooms(user, FOLLOWED).await?;
            let logs: HashMap<RoomId, _> =
                found.into_iter().map(|room| (room.room_id.clone(), self.0.hub.room(&room.room_id))).collect();
            self.0.hub.list(&feed, logs.values().cloned());
            let buckets: Vec<Bucket> = logs.keys().map(|id| Bucket::of(id.as_str())).collect();
            let live = self.0.broker.join(&buckets).await;
            let tickets: HashMap<&RoomId, _> = logs.iter().map(|(id, log)| (id, log.member(user))).collect();
            let (rev, rooms) = self.0.store.user_rooms(user, FOLLOWED).await?;
            if rooms.iter().any(|room| !logs.contains_key(&room.room_id)) {
                continue;
            }
            for room in &rooms {
                let log = &logs[&room.room_id];
                if !log.loaded.initialized() {
                    log.trust.set(live.then_some(time));
                }
                log.load(room.head.clone());
                // Another may have loaded it meanwhile; then both found the same.
                drop(log.loaded.set(()));
                if let crate::hub::Lookup::Read(ticket) = tickets[&room.room_id] {
                    log.learn(&feed, ticket, rev, Some(room.member));
                }
            }
            feed.trust.set(user_live.then_some(time));
            let ids: Vec<RoomId> = rooms.into_iter().map(|room| room.room_id).collect();
            for log in feed.load(rev, &ids).into_iter().flatten() {
                log.remove_feed(user);
            }
        }
        // A room that was joined since has been put under the list without being read.
        for log in feed.rooms() {
            if !log.loaded.initialized() {
                self.load(&log).await?;
            }
        }
        Ok(feed)
    }

    /// Wakes a reader with whatever moves in a user's list.
    pub async fn watch(&self, reader: &Arc<Reader>) -> Result<ListSubscription> {
        let subscription = self.0.hub.user(reader.user()).subscribe(reader);
        self.list(reader.user()).await?;
        Ok(subscription)
    }

    /// Meta of rooms of a watched list, and those that are no longer in it.
    pub async fn listed(&self, user: &UserId, rooms: Option<&[RoomId]>) -> Result<ListMeta> {
        self.list_now(user, rooms).await
    }
}

/// Waits until something moved, and says whether the time is over: that of the poll, or its turn to go when the service
/// drains. Fails if the caller's access has ended.
async fn is_over(held: Option<&mut Held>) -> Result<bool> {
    let Some(Held { until, reader, guest, was_called, .. }) = held else { return Ok(true) };
    let over = loop {
        tokio::select! {
            woken = timeout_at(*until, reader.woken()) => break woken.is_err(),
            () = guest.called(), if !*was_called => {
                *was_called = true;
                *until = guest.turn().moment.min(*until);
            }
        }
    };
    reader.take();
    reader.take_list();
    match reader.ending() {
        Some(Ending::Revoked) => Err(Error::TokenRevoked),
        Some(Ending::Suspended) => Err(Error::Suspended),
        Some(Ending::Disconnected) => Ok(true),
        Some(Ending::HistoryChanged) | None => Ok(over),
    }
}

/// The two numbers of a tag of this history: `rev` and `lastReadSeq` of a room, or the user's `rev` and the sum of the
/// rooms' of a list.
fn numbers(tag: &str, history: &History) -> Option<(u64, u64)> {
    let mut numbers = tag.strip_prefix(history.as_str())?.strip_prefix('.')?.split('.');
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

/// Tells apart tags of lists of other rooms.
fn digest_of(named: &[RoomId]) -> String {
    let mut context = digest::Context::new(&digest::SHA256);
    for id in named {
        context.update(id.as_str().as_bytes());
        context.update(b",");
    }
    context.finish().as_ref()[..6].iter().fold(String::from("."), |text, byte| format!("{text}{byte:02x}"))
}

/// Reads how long a poll may wait.
pub fn wait_of(seconds: Option<u64>) -> Result<Duration> {
    match seconds.unwrap_or(0) {
        seconds if Duration::from_secs(seconds) <= LONGEST_WAIT => Ok(Duration::from_secs(seconds)),
        _ => Err(Error::invalid("wait", format!("seconds, at most {}", LONGEST_WAIT.as_secs()))),
    }
}
