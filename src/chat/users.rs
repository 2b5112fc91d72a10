//! Who people are: read once and kept, in memory and in the shared cache; learnt from newer tokens; set by the admin side.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Cached, Chat, USER_TTL, read_for_all};
use crate::error::{Error, Result};
use crate::model::{Caller, Session, Timestamp, User, UserId, UserPatch, UserRole};

/// How long a change of a user stays in the log of access: longer than anything that is cached of them.
const CHANGED: Duration = Duration::from_mins(31);

/// A user, with the number of the log of access up to which that was known when they were read.
#[derive(Debug, Clone)]
pub(super) struct KnownUser {
    user: Arc<User>,
    as_of: u64,
    read_at: Instant,
}

impl KnownUser {
    pub(super) fn age(&self) -> Duration {
        self.read_at.elapsed()
    }
}

impl Chat {
    /// The user behind a token, made from its claims if they come for the first time. Refuses one whose access has
    /// ended.
    pub async fn user(&self, caller: &Caller) -> Result<Arc<User>> {
        self.0.access.check(Some(&caller.id), &caller.credential)?;
        let user = self.known_user(caller).await?;
        if !user.learns_from(caller) {
            return Ok(user);
        }
        let (chat, caller) = (self.clone(), caller.clone());
        self.change_user(async move { chat.0.store.take_claims(&caller, Timestamp::now().after(CHANGED)).await }).await
    }

    /// What the service knows of who calls.
    pub async fn session(&self, caller: &Caller) -> Result<Session> {
        Ok(Session::new(&*self.user(caller).await?, caller.expires_at()))
    }

    /// Whether a user is an administrator: by the database, because whoever can write to the shared cache must not be
    /// able to make one.
    pub async fn is_admin(&self, caller: &Caller) -> Result<bool> {
        let is_admin = |user: &User| user.role == UserRole::Admin;
        Ok(is_admin(&*self.user(caller).await?) && is_admin(&self.user_of(&caller.id).await?.0))
    }

    /// A user and whether they are suspended, as the admin side sees them.
    pub async fn user_of(&self, id: &UserId) -> Result<(User, bool)> {
        let user = self.0.store.user(id).await?.ok_or_else(|| Error::UserNotFound(id.to_string()))?;
        Ok((user, self.0.access.is_suspended(id)))
    }

    /// Sets what the admin side says of a user, here and everywhere.
    pub async fn set_user(&self, id: &UserId, patch: UserPatch) -> Result<(User, bool)> {
        let (chat, of) = (self.clone(), id.clone());
        let user = self
            .change_user(async move { chat.0.store.set_user(&of, patch, Timestamp::now().after(CHANGED)).await })
            .await?;
        Ok(((*user).clone(), self.0.access.is_suspended(id)))
    }

    /// Changes a user, in a task of its own: between the commit and those who wait for it nobody hangs up.
    async fn change_user(&self, change: impl Future<Output = Result<User>> + Send + 'static) -> Result<Arc<User>> {
        let chat = self.clone();
        let task = self.0.lifecycle.spawn_in(tracing::Span::current(), "user", async move {
            let user = Arc::new(change.await?);
            // Before the others are told to look, so that they find it.
            chat.0.cache.replace_user(&user).await;
            chat.access_changed().await?;
            Ok(user)
        });
        task.await.ok().flatten().unwrap_or_else(|| Err(Error::internal("changing a user", "the task ended early")))
    }

    async fn known_user(&self, caller: &Caller) -> Result<Arc<User>> {
        loop {
            let (known, found) = match self.0.users.get(&caller.id) {
                Some(known) => (known, Cached::Memory),
                // Boxed, as all that is rare: who is known does not carry it along.
                None => Box::pin(self.read_user(caller)).await?,
            };
            if self.is_current(&caller.id, &known) {
                found.count("user");
                return Ok(known.user);
            }
            // It is old, or a change came between its reading and its keeping.
            self.0.users.remove_if(&caller.id, |known| !self.is_current(&caller.id, known));
        }
    }

    fn is_current(&self, id: &UserId, known: &KnownUser) -> bool {
        known.age() < USER_TTL && self.0.access.is_current(id, known.as_of)
    }

    async fn read_user(&self, caller: &Caller) -> Result<(KnownUser, Cached)> {
        let mut found = Cached::Memory;
        let load = async {
            let (user, cached) = self.load_user(caller).await?;
            found = cached;
            Ok(user)
        };
        let known = read_for_all(&self.0.users, &caller.id, load).await?;
        Ok((known, found))
    }

    async fn load_user(&self, caller: &Caller) -> Result<(KnownUser, Cached)> {
        let access = &self.0.access;
        // The number first: what is read behind it holds at least that.
        let as_of = access.cursor();
        let changed = access.changed_lately(&caller.id);
        // Of two ids that are the same one is kept.
        let of_caller = |user| Arc::new(User { id: caller.id.clone(), ..user });
        if !changed && let Some(user) = self.0.cache.user(&caller.id).await {
            return Ok((KnownUser { user: of_caller(user), as_of, read_at: Instant::now() }, Cached::Hit));
        }
        let user = of_caller(self.0.store.ensure_user(caller).await?);
        if changed {
            // What is cached may be older, should Redis have been away when it changed.
            self.0.cache.replace_user(&user).await;
        } else {
            self.0.cache.keep_user(&user).await;
        }
        Ok((KnownUser { user, as_of, read_at: Instant::now() }, Cached::Miss))
    }
}
