//! Daily quotas and slow mode: what the admin side sets, and what a room's meta tells a member of their own use.

use super::Chat;
use crate::error::{Error, Result};
use crate::model::{Head, Quota, QuotaName, QuotaUse, RoomId, TimeZone, UserId};

/// Messages a day at most.
const PER_DAY: u32 = 1_000_000;
/// Slowest slow mode.
const SLOWEST: u32 = 3600;

/// Refuses what is no time between two messages.
pub(super) fn check_slow_mode(seconds: Option<u32>) -> Result<()> {
    match seconds {
        Some(seconds) if seconds > SLOWEST => {
            Err(Error::invalid("slowModeSeconds", format!("a number from 0, for none, to {SLOWEST}")))
        }
        _ => Ok(()),
    }
}

impl Chat {
    /// Makes a quota, or changes it.
    pub async fn put_quota(&self, name: QuotaName, per_day: u32, time_zone: &str) -> Result<Quota> {
        if !(1..=PER_DAY).contains(&per_day) {
            return Err(Error::invalid("perDay", format!("a number from 1 to {PER_DAY}")));
        }
        let unknown = || Error::invalid("timeZone", "a name of the IANA time zone database, such as Europe/Berlin");
        let quota = Quota { name, per_day, time_zone: TimeZone::parse(time_zone).ok_or_else(unknown)? };
        self.0.store.put_quota(quota.clone()).await?;
        Ok(quota)
    }

    /// All quotas.
    pub async fn quotas(&self) -> Result<Vec<Quota>> {
        self.0.store.quotas().await
    }

    /// One quota.
    pub async fn quota(&self, name: &QuotaName) -> Result<Quota> {
        self.quotas().await?.into_iter().find(|quota| quota.name == *name).ok_or(Error::NotFound)
    }

    /// Removes a quota that no room names.
    pub async fn delete_quota(&self, name: &QuotaName) -> Result<()> {
        self.0.store.delete_quota(name).await
    }

    /// What a member has used of the quota of the room with this head. A room without one costs nothing here.
    pub(super) async fn quota_use(&self, head: &Head, user: &UserId) -> Result<Option<QuotaUse>> {
        match &head.quota {
            Some(name) => self.0.store.quota_use(name, user).await,
            None => Ok(None),
        }
    }

    /// Takes in what was set on a room without a change of its log, such as its quota. The other instances find it when
    /// they next look at the heads of what they follow.
    pub async fn look_again(&self, room: &RoomId) -> Result<()> {
        if let Some(log) = self.0.hub.followed(room) {
            log.adopt(&self.0.store.head(room).await?);
        }
        Ok(())
    }
}
