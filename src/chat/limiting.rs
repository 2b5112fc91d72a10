//! How much a user may write. The bucket of this instance decides, at once; what it gave is then taken from the bucket
//! that all instances share in Redis as well, and nobody waits for that. Says Redis that together they gave too much,
//! this instance gives the user nothing until it is made up for. So a user is over the limit by what is under way for
//! one round trip, and without a Redis that answers, each instance holds the limit alone.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::Chat;
use crate::error::Result;
use crate::limits::{Kind, Rate};
use crate::model::UserId;
use crate::redis::Redis;
use crate::telemetry;

/// Takes from shared buckets that may be under way at the same time; with more the local buckets alone hold.
const UNDER_WAY: usize = 1024;

/// Takes one from a bucket, whether it holds one or not, by GCRA on Redis's own clock: the value is when all that was
/// taken will have fitted. Returns for how many milliseconds nothing more should be taken. What is taken too much
/// counts, so that instances that go on in turns are together no faster than one.
const TAKE: &str = "
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local period, burst = tonumber(ARGV[1]), tonumber(ARGV[2])
local fits = math.max(tonumber(redis.call('GET', KEYS[1])) or 0, now) + period
redis.call('SET', KEYS[1], string.format('%.0f', fits), 'PX', math.ceil((fits - now) / 1000) + 1000)
return math.max(0, math.ceil((fits - now - period * burst) / 1000))";

/// Bounds the takes under way.
#[derive(Debug)]
pub(super) struct Shared(Arc<Semaphore>);

impl Default for Shared {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(UNDER_WAY)))
    }
}

impl Chat {
    /// Takes one send from the user's bucket.
    pub(super) fn take_send(&self, user: &UserId) -> Result<()> {
        self.take(Kind::Sends, user)
    }

    /// Takes one of what else is written. What the application does itself is not limited.
    pub(super) fn take_change(&self, user: &UserId) -> Result<()> {
        if user.is_system() { Ok(()) } else { self.take(Kind::Changes, user) }
    }

    /// Takes one room to make.
    pub(super) fn take_room(&self, user: &UserId) -> Result<()> {
        self.take_change(user)?;
        if user.is_system() { Ok(()) } else { self.take(Kind::Rooms, user) }
    }

    fn take(&self, kind: Kind, user: &UserId) -> Result<()> {
        let rate = self.0.limits.take(kind, user)?;
        if let (Some(rate), Some(redis)) = (rate, &self.0.redis)
            && self.0.broker.has_others()
        {
            match self.0.shared.0.clone().try_acquire_owned() {
                // One that is slow or down is not asked: its answers would come too late to be of use.
                Ok(place) if redis.is_usable() => self.take_shared(kind, user, rate, redis, place),
                _ => metrics::counter!(telemetry::TAKES, "result" => "not_asked").increment(1),
            }
        }
        Ok(())
    }

    fn take_shared(&self, kind: Kind, user: &UserId, rate: Rate, redis: &Redis, place: OwnedSemaphorePermit) {
        let (chat, redis, user) = (self.clone(), redis.clone(), user.clone());
        self.0.lifecycle.spawn("shared limit", async move {
            let key = format!("chat:limit:{}:{user}", kind.as_str());
            let period = u64::try_from(rate.period.as_micros()).unwrap_or(u64::MAX);
            let arguments = vec![period.to_string().into(), rate.burst.get().to_string().into()];
            let wait: Option<u64> = redis.script(TAKE, &[key], arguments).await;
            let result = match wait {
                Some(0) => "within",
                Some(_) => "over",
                None => "unanswered",
            };
            metrics::counter!(telemetry::TAKES, "result" => result).increment(1);
            if let Some(wait @ 1..) = wait {
                chat.0.limits.block(kind, &user, Duration::from_millis(wait));
            }
            drop(place);
        });
    }
}
