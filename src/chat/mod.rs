//! What a person can do, and how everyone learns of it: permission, then store, then this instance's hub, then cache and
//! bus, in that order and only here. What is acknowledged was committed; what is shown was committed before it was
//! shown; and what was committed is applied here even if whoever asked for it is gone.

mod access;
mod administration;
mod bus;
mod following;
mod limiting;
mod messages;
mod moderation;
mod polling;
mod present;
mod quota;
mod reading;
mod repair;
mod retention;
mod rooms;
mod tail;
mod users;

use std::future::Future;
use std::hash::Hash;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use quick_cache::Weighter;
use quick_cache::sync::Cache as Memory;
use tokio::sync::{Notify, Semaphore};
use tracing::Span;

use crate::broker::Broker;
use crate::cache::Cache;
use crate::error::{Error, Result};
use crate::hub::{Hub, NewestPage};
use crate::lifecycle::Lifecycle;
use crate::limits::Limits;
use crate::model::{Commit, History, RoomId, UserId};
use crate::moderation::Screen;
use crate::presence::Presence;
use crate::redis::Redis;
use crate::store::Store;
use crate::telemetry;
use access::Access;
use users::KnownUser;

pub use administration::{MemberInput, RoomSettings};
pub use following::{Begin, CatchUp, Followed};
pub use messages::Accepted;
pub use polling::{ListMeta, NamedMeta, wait_of};
pub use present::Online;
pub use reading::PageAnswer;
pub use retention::{ErasedNow, Keeping};
pub use rooms::RoomInput;

pub use crate::cache::Cached;
pub use crate::store::{PageQuery, ReadTo, RoomCursor};

/// How long a user's name and role are taken from memory at most.
const USER_TTL: Duration = Duration::from_mins(5);
/// Users kept in memory.
const USERS: usize = 100_000;
/// Catch-up pages kept for other readers who want the same, until the next sweep, in bytes.
const PAGE_BYTES: u64 = 16 << 20;
/// How many that are about.
const PAGES: usize = 1000;
/// Newest pages kept for who asks at about the same time; after that the room's log keeps them.
const NEWEST: usize = 1000;
/// How long one waits for another who reads the same.
const READ_BY_ANOTHER: Duration = Duration::from_secs(5);
/// How long an acknowledgement waits for the bus and the cache.
const ACKNOWLEDGE: Duration = Duration::from_millis(5);
/// Rooms that are read from the store at the same time because something was missed: sends need the database too.
const REPAIRS: usize = 8;
/// How long a look at how things are waits for the database: whoever watches wants all else in time, too.
const LOOK: Duration = Duration::from_millis(250);
/// How often what nobody reads any more is looked for.
const SWEEP: Duration = Duration::from_secs(10);

/// A room's log at a `rev`.
type PageKey = (History, RoomId, u64);

/// The service, apart from its transports. Cloning it is cheap.
#[derive(Debug, Clone)]
pub struct Chat(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    store: Store,
    /// The history that everything in memory belongs to.
    history: RwLock<History>,
    hub: Hub,
    broker: Broker,
    cache: Cache,
    presence: Presence,
    redis: Option<Redis>,
    limits: Limits,
    screen: Screen,
    /// Takes from the buckets that instances share.
    shared: limiting::Shared,
    lifecycle: Lifecycle,
    message_chars: usize,
    users_make_rooms: bool,
    access: Access,
    most: Most,
    keeping: Keeping,
    users: Memory<UserId, KnownUser>,
    pages: Memory<PageKey, Arc<following::SharedPage>, following::Weight>,
    newest: Memory<PageKey, (NewestPage, Cached)>,
    /// The tail check should look now, and not only at its next turn.
    look: Notify,
    repairs: Semaphore,
}

/// What the service is put together from.
#[derive(Debug)]
pub struct Parts {
    /// Durable truth.
    pub store: Store,
    /// The bus to other instances.
    pub broker: Broker,
    /// What is shared with them.
    pub cache: Cache,
    /// Who is present at any of them.
    pub presence: Presence,
    /// Redis, if there is one, to say how it is.
    pub redis: Option<Redis>,
    /// Buckets.
    pub limits: Limits,
    /// What is asked before a message is written.
    pub screen: Screen,
    /// Tasks and the stop.
    pub lifecycle: Lifecycle,
    /// Longest message, in characters.
    pub message_chars: usize,
    /// Whether anyone may make rooms, or only the admin side.
    pub users_make_rooms: bool,
    /// What one user may have open at once.
    pub most: Most,
    /// How much of each room is kept.
    pub keeping: Keeping,
}

/// What one user may have open at this instance at the same time.
#[derive(Debug, Clone, Copy)]
pub struct Most {
    /// Connections.
    pub connections: usize,
    /// Held polls.
    pub polls: usize,
}

/// How the service is, for whoever runs it.
#[derive(Debug)]
pub struct Readiness {
    /// Whether it is about to stop, and should be sent nobody more.
    pub stops: bool,
    /// What is wrong with the database; without it nothing can be served.
    pub database: Option<String>,
    /// How the bus between instances is.
    pub bus: &'static str,
    /// What is wrong with Redis; the service goes on without.
    pub redis: Option<String>,
}

impl Chat {
    /// The service of these parts. Starts the tasks that listen, look and forget.
    pub fn new(parts: Parts) -> Self {
        let Parts {
            store,
            broker,
            cache,
            presence,
            redis,
            limits,
            screen,
            lifecycle,
            message_chars,
            most,
            users_make_rooms,
            keeping,
        } = parts;
        let chat = Self(Arc::new(Inner {
            history: RwLock::new(store.history().clone()),
            store,
            hub: Hub::default(),
            broker,
            cache,
            presence,
            redis,
            limits,
            screen,
            shared: limiting::Shared::default(),
            lifecycle,
            message_chars,
            access: Access::default(),
            most,
            keeping,
            users_make_rooms,
            users: Memory::new(USERS),
            pages: Memory::with_weighter(PAGES, PAGE_BYTES, following::Weight),
            newest: Memory::new(NEWEST),
            look: Notify::new(),
            repairs: Semaphore::new(REPAIRS),
        }));
        chat.start();
        chat
    }

    fn start(&self) {
        let lifecycle = &self.0.lifecycle;
        let (listen, look, present, sweep) = (self.clone(), self.clone(), self.clone(), self.clone());
        let (access, keep) = (self.clone(), self.clone());
        lifecycle.supervise("access", move || access.clone().follow_access());
        lifecycle.supervise("listen", move || listen.clone().listen());
        lifecycle.supervise("tail check", move || look.clone().check_tails());
        lifecycle.supervise("presence", move || present.clone().watch_presence());
        lifecycle.supervise("sweep", move || sweep.clone().sweep());
        lifecycle.supervise("retention", move || keep.clone().keep_bounds());
    }

    /// The history that everything in memory belongs to.
    pub fn history(&self) -> History {
        self.0.history.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The shared buckets.
    pub fn limits(&self) -> &Limits {
        &self.0.limits
    }

    /// How the service is.
    pub async fn readiness(&self) -> Readiness {
        Readiness {
            stops: self.0.lifecycle.is_draining(),
            database: self.0.store.ping().await.err().map(|error| error.chain()),
            bus: self.0.broker.status(),
            redis: self.0.redis.as_ref().and_then(Redis::fault),
        }
    }

    /// How things are, for whoever watches: put where they are counted at the moment they are looked at.
    pub async fn look(&self) {
        let store = self.0.store.clone();
        // In a task of its own: a look that is given up must not cut the connection it uses.
        let asked = self.0.lifecycle.spawn("look", async move { store.ping().await });
        let answers = matches!(tokio::time::timeout(LOOK, asked).await, Ok(Ok(Some(Ok(())))));
        let drains = self.0.lifecycle.is_draining();
        metrics::gauge!(telemetry::READY).set(u8::from(answers && !drains));
        metrics::gauge!(telemetry::DRAINING).set(u8::from(drains));
        metrics::gauge!(telemetry::ROOMS_FOLLOWED).set(u32::try_from(self.0.hub.rooms_followed()).unwrap_or(u32::MAX));
    }

    /// Runs a write and tells everyone here of it, in a task of its own: whoever hangs up must not cut the way
    /// between the commit and those who wait for it.
    async fn write<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<(T, Option<Commit>)>> + Send + 'static,
    ) -> Result<T> {
        let chat = self.clone();
        let task = self.0.lifecycle.spawn_in(Span::current(), "write", async move {
            let (answer, commit) = work.await?;
            // Durable before visible: this line is reached only after COMMIT.
            if let Some(commit) = commit {
                // The others usually have it when the answer goes out; with Redis slow or down nobody waits.
                chat.tell_all(&commit).wait(ACKNOWLEDGE).await;
            }
            Ok(answer)
        });
        match task.await {
            Ok(Some(result)) => result,
            Ok(None) => Err(Error::internal("writing", "the task panicked")),
            Err(error) => Err(Error::internal("writing", error)),
        }
    }

    async fn sweep(self) {
        let mut tick = tokio::time::interval(SWEEP);
        loop {
            tokio::select! {
                () = self.0.lifecycle.stopping() => return,
                now = tick.tick() => {
                    self.0.hub.sweep(now.into_std());
                    self.0.limits.sweep();
                    self.0.access.sweep();
                    self.0.users.retain(|_, known| known.age() < USER_TTL);
                    self.0.pages.clear();
                    self.0.newest.clear();
                    self.leave_buckets();
                }
            }
        }
    }
}

/// What is kept in memory, or else is read by one for all who want it at the same time. A failure is kept for nobody: of those
/// who waited, one tries again.
async fn read_for_all<K, V, W>(memory: &Memory<K, V, W>, key: &K, read: impl Future<Output = Result<V>>) -> Result<V>
where
    K: Hash + Eq + Clone,
    V: Clone,
    W: Weighter<K, V> + Clone,
{
    let late = |_| Error::unavailable("reading what others read, too", "it took too long");
    match tokio::time::timeout(READ_BY_ANOTHER, memory.get_value_or_guard_async(key)).await.map_err(late)? {
        Ok(kept) => Ok(kept),
        // Whoever reads has the store's own deadline.
        Err(place) => {
            let value = read.await?;
            // An error says that all was forgotten meanwhile; those who wait have it all the same.
            drop(place.insert(value.clone()));
            Ok(value)
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::poll;
    use std::future::{pending, ready};
    use std::pin::pin;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn one_reads_for_all_who_want_the_same_and_is_waited_for_only_so_long() {
        let memory: Memory<u32, u32> = Memory::new(10);
        let waits = async |read: Result<u32>| read_for_all(&memory, &1, ready(read)).await;
        {
            let mut slow = pin!(read_for_all(&memory, &1, pending()));
            assert!(poll!(slow.as_mut()).is_pending());
            assert!(matches!(waits(Ok(2)).await, Err(Error::Unavailable { .. })), "another reads it at this moment");
        }
        assert!(matches!(waits(Err(Error::NotFound)).await, Err(Error::NotFound)));
        assert_eq!(waits(Ok(3)).await.ok(), Some(3), "a failure is not kept");
        assert_eq!(waits(Ok(4)).await.ok(), Some(3), "what was read is");
    }
}
