//! The tail check: the primary is asked in turns which heads of what is followed here are not as they are known. It
//! finds what the bus has lost without a successor that would show it, what was committed by an instance that died
//! before it published, and a database that was put back. The message table is the outbox.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{try_join, try_join_all};

use super::Chat;
use crate::broker::{Bucket, Cause};
use crate::error::Result;
use crate::hub::{RoomLog, TURNS, UserFeed};
use crate::model::History;
use crate::telemetry;

/// How often it looks: at everything while the bus is not proven, else at what has its turn. All turns, with the grace
/// below, take less than two seconds.
const TICK: Duration = Duration::from_millis(250);
/// How long a publication on its way may take before it counts as lost.
const GRACE: Duration = Duration::from_millis(200);
/// Ids in one statement.
const CHUNK: usize = 5000;

impl Chat {
    /// Looks, for as long as the service runs.
    pub(super) async fn check_tails(self) {
        if !self.0.broker.has_others() {
            return;
        }
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut sure = None;
        for turn in 0.. {
            tokio::select! {
                () = self.0.lifecycle.stopping() => return,
                _ = tick.tick() => {}
                () = self.0.look.notified() => {}
            }
            sure = self.check(turn, sure).await.unwrap_or_else(|error| {
                // The next turn is near, and sends say the same louder.
                tracing::debug!(error = error.chain(), "the tail check could not read the database");
                None
            });
        }
    }

    /// Looks at everything, unless since this time everything was compared while all of the bus was heard: then at what has
    /// its turn. Returns since when that is so.
    async fn check(&self, turn: usize, before: Option<u64>) -> Result<Option<u64>> {
        let (broker, hub) = (&self.0.broker, &self.0.hub);
        if turn.is_multiple_of(TURNS) || !broker.is_proven() {
            self.look_at_history().await?;
        }
        let sure = Some(hub.time()).filter(|_| broker.is_proven() && broker.hears_all());
        let (rooms, users) = if sure.is_some() && sure == before {
            (hub.rooms_due(turn), hub.users_due(turn))
        } else {
            (hub.rooms(), hub.users())
        };
        // Side by side: each may have to wait for the grace, and the next turn comes before two of them are over.
        let rooms = try_join_all(rooms.chunks(CHUNK).map(|chunk| self.check_rooms(chunk)));
        let users = try_join_all(users.chunks(CHUNK).map(|chunk| self.check_users(chunk)));
        try_join(rooms, users).await?;
        Ok(sure)
    }

    async fn check_rooms(&self, logs: &[Arc<RoomLog>]) -> Result<()> {
        // In this order: whatever is published after "live" is heard, whatever is known before the read is in it.
        let time = self.0.hub.time();
        let before: Vec<_> = logs
            .iter()
            .filter_map(|log| {
                let (head, bucket) = (log.known_head()?, Bucket::of(log.id().as_str()));
                Some((log, head, self.0.broker.is_live(bucket)))
            })
            .collect();
        let known: Vec<_> = before.iter().map(|(log, head, _)| (log.id(), head)).collect();
        if known.is_empty() {
            return Ok(());
        }
        let unlike = self.0.store.heads_unlike(&known, &self.history()).await?;
        let heads: std::collections::HashMap<_, _> = unlike.into_iter().collect();
        let mut suspects = Vec::new();
        for (log, known, live) in before {
            // In the database it is as it was here before the read.
            let Some(head) = heads.get(log.id()) else {
                log.trust.set(live.then_some(time));
                continue;
            };
            let known = known.rev;
            if head.history != self.history() {
                return self.look_at_history().await;
            }
            if head.rev < known {
                tracing::error!(room.id = %log.id(), known, stored = head.rev,
                    "the database holds less of a room than was read from it before; after a restore run `tidings new-history`");
                self.end_history(head.history.clone());
                return Ok(());
            }
            log.adopt(head);
            let trusted = log.trust.is(time) && live;
            log.trust.set(live.then_some(time));
            if log.known_rev().is_some_and(|rev| rev < head.rev) {
                suspects.push((log, head.rev, trusted));
            }
        }
        self.confirm(suspects.iter().any(|(.., trusted)| *trusted)).await;
        for (log, rev, trusted) in suspects {
            if log.expect(rev) {
                self.found(trusted);
                self.repair_soon(log.clone(), if trusted { Cause::Tail } else { Cause::Resubscribed });
            }
        }
        Ok(())
    }

    async fn check_users(&self, feeds: &[Arc<UserFeed>]) -> Result<()> {
        let time = self.0.hub.time();
        let before: Vec<_> = feeds
            .iter()
            .filter_map(|feed| Some((feed, feed.known()?, self.0.broker.is_live(Bucket::of(feed.user().as_str())))))
            .collect();
        let known: Vec<_> = before.iter().map(|(feed, rev, _)| (feed.user(), *rev)).collect();
        if known.is_empty() {
            return Ok(());
        }
        let revs: std::collections::HashMap<_, _> = self.0.store.revs_unlike(&known).await?.into_iter().collect();
        let mut suspects = Vec::new();
        for (feed, _, live) in before {
            let trusted = feed.trust.is(time) && live;
            feed.trust.set(live.then_some(time));
            let Some(rev) = revs.get(feed.user()) else { continue };
            if feed.known().is_some_and(|known| known < *rev) {
                suspects.push((feed, *rev, trusted));
            }
        }
        self.confirm(suspects.iter().any(|(.., trusted)| *trusted)).await;
        for (feed, rev, trusted) in suspects {
            if feed.miss(rev) {
                let cause = if trusted { Cause::Tail } else { Cause::Resubscribed };
                metrics::counter!(telemetry::REPAIRS, "cause" => cause.as_str()).increment(1);
                self.found(trusted);
            }
        }
        Ok(())
    }

    /// What is on its way over a bus that works arrives within this time, and is then no loss.
    async fn confirm(&self, worth_waiting: bool) {
        if worth_waiting && self.0.broker.is_proven() {
            tokio::time::sleep(GRACE).await;
        }
    }

    /// A proven bus has lost something.
    fn found(&self, trusted: bool) {
        if trusted && self.0.broker.is_proven() {
            tracing::warn!("the tail check found what the bus did not bring; looking more often for a while");
            self.0.broker.doubt();
        }
    }

    /// Whether the database still is the one that everything in memory was read from.
    pub(super) async fn look_at_history(&self) -> Result<()> {
        // The number of users and rooms followed may be zero: sockets and caches still name the history.
        let history = self.0.store.current_history().await?;
        if history != self.history() {
            tracing::warn!(%history, "the database has another history; clients begin anew");
            self.end_history(history);
        }
        Ok(())
    }

    /// Drops all that memory holds; readers are told, and begin with what is there now.
    fn end_history(&self, history: History) {
        *self.0.history.write().unwrap_or_else(std::sync::PoisonError::into_inner) = history;
        self.0.hub.end();
        self.0.users.clear();
        self.access_hinted();
        self.0.pages.clear();
    }

    /// Reads the heads of rooms and users together; for a reader who knows more than this instance.
    pub(super) async fn check_now(&self, logs: &[Arc<RoomLog>], feed: &Arc<UserFeed>) -> Result<()> {
        let feeds = [feed.clone()];
        try_join(self.check_rooms(logs), self.check_users(&feeds)).await.map(drop)
    }
}
