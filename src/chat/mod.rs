//! What a person can do, and how everyone learns of it: permission, then store, then this instance's hub, in that
//! order and only here. What is acknowledged was committed; what is shown was committed before it was shown; and
//! what was committed is applied here even if whoever asked for it is gone.

mod following;
mod messages;
mod polling;
mod reading;
mod rooms;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use moka::future::Cache;

use crate::error::{Error, Result};
use crate::hub::Hub;
use crate::lifecycle::Lifecycle;
use crate::limits::Limits;
use crate::model::{Caller, Commit, History, RoomId, Session, User, UserId};
use crate::store::Store;
use crate::telemetry;

pub use following::{Begin, CatchUp, Followed};
pub use polling::{ListMeta, NamedMeta, wait_of};
pub use reading::{Cached, PageAnswer};
pub use rooms::RoomInput;

pub use crate::store::{PageQuery, ReadTo, RoomCursor};

/// How long a user's name and role are taken from memory.
const USER_TTL: Duration = Duration::from_mins(5);
/// Users kept in memory.
const USERS: u64 = 100_000;
/// Catch-up pages kept for other readers who want the same, in bytes.
const PAGE_BYTES: u64 = 16 << 20;
/// How long they are kept.
const PAGE_TTL: Duration = Duration::from_secs(5);
/// How often what nobody reads any more is looked for.
const SWEEP: Duration = Duration::from_secs(10);

/// The service, apart from its transports. Cloning it is cheap.
#[derive(Debug, Clone)]
pub struct Chat(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    store: Store,
    hub: Hub,
    limits: Limits,
    lifecycle: Lifecycle,
    message_chars: usize,
    users: Cache<UserId, Arc<User>>,
    pages: Cache<(RoomId, u64), Arc<following::SharedPage>>,
}

impl Chat {
    /// The service on a store. Starts the task that forgets what nobody reads.
    pub fn new(store: Store, limits: Limits, lifecycle: Lifecycle, message_chars: usize) -> Self {
        let chat = Self(Arc::new(Inner {
            store,
            hub: Hub::default(),
            limits,
            lifecycle,
            message_chars,
            users: Cache::builder().max_capacity(USERS).time_to_live(USER_TTL).build(),
            pages: Cache::builder()
                .max_capacity(PAGE_BYTES)
                .weigher(|_, page: &Arc<following::SharedPage>| page.weight())
                .time_to_live(PAGE_TTL)
                .build(),
        }));
        let sweeper = chat.clone();
        chat.0.lifecycle.supervise("sweep", move || sweeper.clone().sweep());
        chat
    }

    /// The database's history.
    pub fn history(&self) -> &History {
        self.0.store.history()
    }

    /// The shared buckets.
    pub fn limits(&self) -> &Limits {
        &self.0.limits
    }

    /// Whether the database answers.
    pub async fn is_ready(&self) -> bool {
        self.0.store.ping().await.is_ok()
    }

    /// The user behind a token, made from its claims if they come for the first time.
    pub async fn user(&self, caller: &Caller) -> Result<Arc<User>> {
        let load = async { self.0.store.ensure_user(caller).await.map(Arc::new) };
        // One reads for all who ask at the same time; a failure is not kept.
        self.0.users.try_get_with_by_ref(&caller.id, load).await.map_err(|error: Arc<Error>| (*error).clone())
    }

    /// What the service knows of who calls.
    pub async fn session(&self, caller: &Caller) -> Result<Session> {
        Ok(Session::new(&*self.user(caller).await?, caller.expires_at))
    }

    /// Runs a write and tells everyone here of it, in a task of its own: whoever hangs up must not cut the way
    /// between the commit and those who wait for it.
    async fn write<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<(T, Option<Commit>)>> + Send + 'static,
    ) -> Result<T> {
        let chat = self.clone();
        let task = self.0.lifecycle.spawn("write", async move {
            let (answer, commit) = work.await?;
            // Durable before visible: this line is reached only after COMMIT.
            if let Some(commit) = commit {
                chat.apply(&commit);
            }
            Ok(answer)
        });
        match task.await {
            Ok(Some(result)) => result,
            Ok(None) => Err(Error::internal("writing", "the task panicked")),
            Err(error) => Err(Error::internal("writing", error)),
        }
    }

    fn apply(&self, commit: &Commit) {
        metrics::counter!(telemetry::MESSAGES).increment(commit.changes.len() as u64);
        if let Some(log) = self.0.hub.apply(commit) {
            let chat = self.clone();
            self.0.lifecycle.spawn("repair", async move { chat.repair(&log).await });
        }
    }

    async fn sweep(self) {
        let mut tick = tokio::time::interval(SWEEP);
        loop {
            tokio::select! {
                () = self.0.lifecycle.draining() => return,
                now = tick.tick() => {
                    self.0.hub.sweep(now.into_std());
                    self.0.limits.sweep();
                    metrics::gauge!(telemetry::ROOMS_FOLLOWED).set(u32::try_from(self.0.hub.rooms_followed()).unwrap_or(u32::MAX));
                }
            }
        }
    }
}
