//! What is not to be kept goes: passes over all rooms, made by one instance for all; and what a person wrote, when the
//! admin side says so. Both take small steps and leave room between them for those who write.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;
use tokio::time::{Instant, MissedTickBehavior};

use super::Chat;
use crate::error::{Error, Result};
use crate::model::{RoomId, Timestamp, UserId};
use crate::store::Bounds;
use crate::telemetry;

/// Shortest rest between two batches of a room; a batch that took longer is followed by a rest as long.
const REST: Duration = Duration::from_millis(20);
/// How often it is asked whether a pass is due, at most.
const LOOK: Duration = Duration::from_secs(10);
/// How long one call erases, at about: it is called again for the rest.
const ERASING: Duration = Duration::from_secs(1);

/// What is kept, and how often it is looked whether there is more.
#[derive(Debug, Clone, Copy)]
pub struct Keeping {
    /// How much.
    pub bounds: Bounds,
    /// From one pass to the next.
    pub every: Duration,
}

/// What was erased of a person by one call.
#[derive(Debug, Default, Serialize, JsonSchema)]
#[schemars(rename = "Erased")]
pub struct ErasedNow {
    /// Messages of theirs that were blanked.
    pub messages: u64,
    /// Messages that a reaction of theirs was taken from.
    pub reactions: u64,
    /// Whether something is left: then the call is to be made again.
    pub more: bool,
}

impl Chat {
    /// Makes passes when they are due, for as long as the service runs.
    pub(super) async fn keep_bounds(self) {
        let every = self.0.keeping.every;
        let mut tick = tokio::time::interval(every.min(LOOK));
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = self.0.lifecycle.stopping() => return,
                _ = tick.tick() => {}
            }
            let done = match self.0.store.begin_retention(Timestamp::now(), every).await {
                Ok(true) => self.pass().await,
                Ok(false) => continue,
                Err(error) => Err(error),
            };
            if let Err(error) = done {
                // Whatever was not looked at is looked at by the next pass.
                tracing::warn!(error = error.chain(), "messages that are not to be kept are still there");
            }
        }
    }

    async fn pass(&self) -> Result<()> {
        let (began, mut rooms, mut messages, mut after) = (Instant::now(), 0_u64, 0_u64, None::<RoomId>);
        loop {
            let due = self.0.store.due_rooms(after.as_ref(), self.0.keeping.bounds, Timestamp::now()).await?;
            for room in &due.rooms {
                match self.trim(room).await {
                    Ok(removed) => messages += removed,
                    // The others are not to wait for it.
                    Err(error) => {
                        tracing::warn!(room.id = %room, error = error.chain(), "a room was not brought to its bounds");
                    }
                }
                rooms += 1;
            }
            after = due.next;
            if after.is_none() || self.0.lifecycle.is_draining() {
                break;
            }
        }
        if messages > 0 {
            let took_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
            tracing::info!(rooms, messages, took_ms, "removed messages that were not to be kept any longer");
        }
        Ok(())
    }

    /// Brings a room to its bounds; returns how many messages that took.
    async fn trim(&self, room: &RoomId) -> Result<u64> {
        let mut removed = 0;
        while !self.0.lifecycle.is_draining() {
            let (store, id, bounds) = (self.0.store.clone(), room.clone(), self.0.keeping.bounds);
            let began = Instant::now();
            let batch = self.write(async move {
                let trimmed = store.trim(&id, bounds, Timestamp::now()).await?;
                Ok(((trimmed.messages, trimmed.more), trimmed.commit))
            });
            let (messages, more) = batch.await?;
            metrics::counter!(telemetry::EXPIRED).increment(messages);
            removed += messages;
            if !more {
                break;
            }
            tokio::time::sleep(began.elapsed().max(REST)).await;
        }
        Ok(removed)
    }

    /// Erases what a person wrote and their reactions, as far as it comes in a second; nothing of it can be had back.
    pub async fn erase(&self, user: &UserId) -> Result<ErasedNow> {
        if user.is_system() {
            return Err(Error::Forbidden("this is the user in whose name the application acts"));
        }
        let (began, mut done) = (Instant::now(), ErasedNow::default());
        while began.elapsed() < ERASING {
            let (store, user) = (self.0.store.clone(), user.clone());
            let part = self.write(async move {
                let erased = store.erase(&user).await?;
                Ok(erased.map_or((None, None), |part| (Some((part.messages, part.reactions)), Some(part.commit))))
            });
            let Some((messages, reactions)) = part.await? else { return Ok(done) };
            done.messages += messages;
            done.reactions += reactions;
        }
        Ok(ErasedNow { more: true, ..done })
    }
}
