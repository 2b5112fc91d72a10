//! Who may come in, now: what the log of access says is kept in memory, so that no request pays for it, and followed from
//! a cursor. The bus only hints that there is more; without it the log is looked at every 250 ms, with it every 2 s.
//! Whoever's access ends is ended here, wherever they read.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use dashmap::DashMap;
use tokio::sync::{Mutex, Notify};

use super::{ACKNOWLEDGE, Chat};
use crate::broker::Bucket;
use crate::error::{Error, Result};
use crate::hub::{Ending, Entered, Reader};
use crate::model::{AccessChange, Caller, Credential, NumberedChange, Principal, Timestamp, UserId};
use crate::protocol::publication::BusMessage;
use crate::telemetry;

/// How often the log is looked at while the bus is not proven.
const TICK: Duration = Duration::from_millis(250);
/// Every how many of these it is looked at all the same.
const TICKS: u64 = 8;
/// How long somebody who was disconnected stays in the log: instances that were away for longer have lost them anyway.
const DISCONNECTED: Duration = Duration::from_mins(10);

/// What of the log of access still counts.
#[derive(Debug, Default)]
pub(super) struct Access {
    /// Everything up to this number is in here.
    cursor: AtomicU64,
    /// One reads the log at a time, so that it is applied in order.
    reading: Mutex<()>,
    hint: Notify,
    suspended: DashMap<UserId, ()>,
    /// Revoked tokens and sessions, and until when that means anything.
    tokens: DashMap<String, Timestamp>,
    sessions: DashMap<String, Timestamp>,
    /// Tokens of these users that were issued before are revoked.
    before: DashMap<UserId, Timestamp>,
    /// Of whom something changed: what was read of them before this number is old. And until when what is cached
    /// elsewhere may be older.
    changed: DashMap<UserId, (u64, Timestamp)>,
}

impl Access {
    /// Everything up to this number of the log is known here.
    pub(super) fn cursor(&self) -> u64 {
        self.cursor.load(Ordering::Acquire)
    }

    /// Whether something that was read of a user when this number was known is still what holds.
    pub(super) fn is_current(&self, user: &UserId, as_of: u64) -> bool {
        self.changed.get(user).is_none_or(|changed| changed.0 <= as_of)
    }

    /// Whether a user changed of late, so that what is cached elsewhere may be older.
    pub(super) fn changed_lately(&self, user: &UserId) -> bool {
        self.changed.contains_key(user)
    }

    /// Whether a user is suspended.
    pub(super) fn is_suspended(&self, user: &UserId) -> bool {
        self.suspended.contains_key(user)
    }

    /// Refuses a credential that is good no longer, and a user who is suspended.
    pub(super) fn check(&self, user: Option<&UserId>, credential: &Credential) -> Result<()> {
        let named = |revoked: &DashMap<String, Timestamp>, id: &Option<String>| {
            id.as_ref().is_some_and(|id| revoked.contains_key(id))
        };
        if named(&self.tokens, &credential.token_id) || named(&self.sessions, &credential.session_id) {
            return Err(Error::TokenRevoked);
        }
        let Some(user) = user else { return Ok(()) };
        if self.before.get(user).is_some_and(|before| issued_before(credential, *before)) {
            return Err(Error::TokenRevoked);
        }
        if self.is_suspended(user) { Err(Error::Suspended) } else { Ok(()) }
    }

    /// Forgets what means nothing any more.
    pub(super) fn sweep(&self) {
        let now = Timestamp::now();
        self.tokens.retain(|_, until| *until > now);
        self.sessions.retain(|_, until| *until > now);
        self.changed.retain(|_, (_, until)| *until > now);
    }

    fn clear(&self) {
        self.suspended.clear();
        self.tokens.clear();
        self.sessions.clear();
        self.before.clear();
    }
}

/// A token that does not say when it was issued is older than any time.
fn issued_before(credential: &Credential, time: Timestamp) -> bool {
    credential.issued_at.is_none_or(|issued| issued < time)
}

impl Chat {
    /// Refuses whoever's access has ended. Costs no I/O.
    pub fn admit(&self, principal: &Principal) -> Result<()> {
        match principal {
            Principal::User(caller) => self.0.access.check(Some(&caller.id), &caller.credential),
            Principal::Application(credential) => self.0.access.check(None, credential),
        }
    }

    /// Enters a reader among those who are here, so that it is ended when its caller's access is; refuses it if that was
    /// before.
    pub fn enter(&self, reader: &Arc<Reader>, caller: &Caller) -> Result<Entered> {
        let most = if reader.is_connection() { self.0.most.connections } else { self.0.most.polls };
        let entered = self.0.hub.present().enter(reader, most);
        let entered = entered.ok_or_else(|| {
            let limit = if reader.is_connection() { "connections_per_user" } else { "polls_per_user" };
            telemetry::limit_hit(limit);
            Error::RateLimited { retry_after: Duration::from_secs(1) }
        })?;
        // Behind the entering: whatever ends their access from here on finds the reader, whatever did before is seen now.
        self.0.access.check(Some(&caller.id), &caller.credential)?;
        Ok(entered)
    }

    /// Changes who may come in, here and everywhere. Returns once it holds here.
    pub async fn change_access(&self, change: AccessChange, until: Option<Timestamp>) -> Result<()> {
        let until = match change {
            AccessChange::UserDisconnected(_) | AccessChange::SessionDisconnected(_) => {
                Timestamp::now().after(DISCONNECTED)
            }
            _ => until.unwrap_or(Timestamp(i64::MAX)),
        };
        let chat = self.clone();
        let task = self.0.lifecycle.spawn_in(tracing::Span::current(), "access", async move {
            chat.0.store.change_access(change, until).await?;
            chat.access_changed().await
        });
        task.await.ok().flatten().unwrap_or_else(|| Err(Error::internal("changing access", "the task ended early")))
    }

    /// Something was appended to the log and committed: it is applied here, and the others are told to look.
    pub(super) async fn access_changed(&self) -> Result<()> {
        let message = vec![(Bucket::EVERYONE, BusMessage::Access)];
        let sent = if self.0.broker.has_others() {
            Some(self.0.broker.publish(None, message, tracing::Span::none()))
        } else {
            None
        };
        self.read_access().await?;
        if let Some(sent) = sent {
            sent.wait(ACKNOWLEDGE).await;
        }
        Ok(())
    }

    /// Takes in what the log of access holds beyond the cursor. The service does not serve before the first time.
    pub async fn read_access(&self) -> Result<()> {
        let access = &self.0.access;
        let _one = access.reading.lock().await;
        let (mut last, mut changes) = self.0.store.access_since(access.cursor()).await?;
        if last < access.cursor() {
            tracing::warn!("the log of access is shorter than it was; it is read anew");
            access.clear();
            access.cursor.store(0, Ordering::Release);
            self.0.users.clear();
            (last, changes) = self.0.store.access_since(0).await?;
        }
        for change in changes {
            self.apply_access(change);
        }
        access.cursor.store(last, Ordering::Release);
        Ok(())
    }

    fn apply_access(&self, NumberedChange { number, change, until }: NumberedChange) {
        let (access, present) = (&self.0.access, self.0.hub.present());
        match change {
            AccessChange::User(user) => {
                // In this order: who reads the user at the new number does not believe what is cached elsewhere, and
                // who read them before it is found out by the number.
                access.changed.insert(user.clone(), (number, until));
                access.cursor.store(number, Ordering::Release);
                self.0.users.remove(&user);
            }
            AccessChange::Suspended(user, false) => drop(access.suspended.remove(&user)),
            AccessChange::Suspended(user, true) => {
                access.suspended.insert(user.clone(), ());
                present.end_user(&user, Ending::Suspended, |_| true);
            }
            AccessChange::TokenRevoked(id) => {
                access.tokens.insert(id.clone(), until);
                present.end_all(Ending::Revoked, |credential| credential.token_id.as_ref() == Some(&id));
            }
            AccessChange::SessionRevoked(id) => {
                access.sessions.insert(id.clone(), until);
                present.end_all(Ending::Revoked, |credential| credential.session_id.as_ref() == Some(&id));
            }
            AccessChange::RevokedBefore(user, time) => {
                access.before.insert(user.clone(), time);
                present.end_user(&user, Ending::Revoked, |credential| issued_before(credential, time));
            }
            AccessChange::UserDisconnected(user) => present.end_user(&user, Ending::Disconnected, |_| true),
            AccessChange::SessionDisconnected(id) => {
                present.end_all(Ending::Disconnected, |credential| credential.session_id.as_ref() == Some(&id));
            }
        }
    }

    /// The bus says that there is more in the log.
    pub(super) fn access_hinted(&self) {
        self.0.access.hint.notify_one();
    }

    /// Follows the log, for as long as the service runs.
    pub(super) async fn follow_access(self) {
        if !self.0.broker.has_others() {
            return;
        }
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        for turn in 0_u64.. {
            let due = tokio::select! {
                () = self.0.lifecycle.stopping() => return,
                () = self.0.access.hint.notified() => true,
                _ = tick.tick() => turn.is_multiple_of(TICKS) || !self.0.broker.is_proven(),
            };
            if due && let Err(error) = self.read_access().await {
                // The next look is near, and sends say the same louder.
                tracing::debug!(error = error.chain(), "the log of access could not be read");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_read_before_a_change_is_not_what_holds() {
        let access = Access::default();
        let (ann, ben): (UserId, UserId) = ("ann".parse().expect("an id"), "ben".parse().expect("an id"));
        access.changed.insert(ann.clone(), (5, Timestamp::now().after(Duration::from_mins(1))));
        assert!(!access.is_current(&ann, 4), "read before it, and kept after it");
        assert!(access.is_current(&ann, 5) && access.is_current(&ben, 0));
        assert!(access.changed_lately(&ann));
        access.changed.insert(ann.clone(), (5, Timestamp(0)));
        access.sweep();
        assert!(!access.changed_lately(&ann), "nothing can be older any more");
    }
}
