//! Catching a followed log up with the store: when a hole does not close by itself, when the tail check finds the
//! store ahead, when a reader knows more than this instance.

use std::sync::Arc;
use std::time::Duration;

use super::Chat;
use crate::broker::Cause;
use crate::error::{Error, Result};
use crate::hub::RoomLog;
use crate::telemetry::{self, trace::Recorded};

/// Messages in a page.
const PAGE: u32 = 100;
/// How long a late neighbour may take before a hole is read from the store.
const NEIGHBOUR: Duration = Duration::from_millis(50);
/// How long to wait after a failed read.
const AGAIN: Duration = Duration::from_millis(250);

impl Chat {
    /// Repairs in a task of its own.
    pub(super) fn repair_soon(&self, log: Arc<RoomLog>, cause: Cause) {
        let chat = self.clone();
        self.0.lifecycle.spawn("repair", async move { chat.repair(&log, cause).await });
    }

    /// Reads what is missing until the log is where it is known to lead. One repairs for all.
    pub(super) async fn repair(&self, log: &Arc<RoomLog>, cause: Cause) {
        // Looked at again after each: what came while another repair ended must not wait for the next publication.
        while log.behind().is_some() && log.begin_repair() {
            if cause == Cause::Hole {
                tokio::time::sleep(NEIGHBOUR).await;
            }
            while log.behind().is_some() && !self.0.lifecycle.is_stopping() {
                if let Err(error) = self.read_on(log, cause).await {
                    tracing::warn!(room.id = %log.id(), error = error.chain(), "could not read what is missing; trying again");
                    tokio::time::sleep(AGAIN).await;
                }
            }
            log.end_repair();
            if self.0.lifecycle.is_stopping() {
                return;
            }
        }
    }

    /// Reads one page of what is missing.
    async fn read_on(&self, log: &Arc<RoomLog>, cause: Cause) -> Result<()> {
        let _turn = self.0.repairs.acquire().await.map_err(|e| Error::internal("waiting for a repair", e))?;
        let Some((after, expected)) = log.behind() else { return Ok(()) };
        let changes = self.0.store.changes(log.id(), after, PAGE).await?;
        if log.head().is_some_and(|head| head.history != changes.head.history) {
            self.look_at_history().await?;
            return Ok(());
        }
        if changes.rev > after {
            metrics::counter!(telemetry::REPAIRS, "cause" => cause.as_str()).increment(1);
            tracing::debug!(room.id = %log.id(), after, up_to = changes.rev, cause = cause.as_str(), "read what was missing");
        }
        log.fill(&changes, expected);
        self.finish(self.0.hub.deliver(log), Recorded::default());
        Ok(())
    }

    /// Follows a log up to a `rev` that a reader knows of, if the store has it.
    pub(super) async fn reach(&self, log: &Arc<RoomLog>, rev: u64) -> Result<()> {
        if log.head().is_none_or(|head| rev <= head.rev) {
            return Ok(());
        }
        // Told by a client, so looked up before it is believed.
        let head = self.0.store.head(log.id()).await?;
        if head.history != self.history() {
            return self.look_at_history().await;
        }
        if log.expect(head.rev) {
            self.repair(log, Cause::Reader).await;
        }
        Ok(())
    }
}
