//! A token bucket for each user. It decides alone and at once; a block from outside can only make it stricter, for a
//! while. No I/O.

use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use dashmap::DashMap;
use governor::clock::{Clock, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};

use crate::model::UserId;

/// Users that may be blocked at the same time; of further ones the local buckets alone hold.
const BLOCKED: usize = 100_000;

/// How fast a bucket fills, and how much it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// The time in which one more fits.
    pub period: Duration,
    /// How many may be taken at once.
    pub burst: NonZeroU32,
}

impl Rate {
    /// So many a second, and `times` as many at once.
    pub fn per_second(most: NonZeroU32, times: NonZeroU32) -> Self {
        Self { burst: most.saturating_mul(times), ..Self::within(most, Duration::from_secs(1)) }
    }

    /// So many in this time, all of them at once if one likes.
    pub fn within(most: NonZeroU32, time: Duration) -> Self {
        Self { period: time / most.get(), burst: most }
    }

    /// The same in the words of a bucket.
    pub fn quota(self) -> Quota {
        Quota::with_period(self.period)
            .expect("an hour or a second by at most 100,000 is more than 0")
            .allow_burst(self.burst)
    }
}

/// A bucket for each user.
#[derive(Debug)]
pub(super) struct UserBuckets {
    rate: Rate,
    taken: DefaultKeyedRateLimiter<UserId>,
    blocked: DashMap<UserId, Instant>,
    clock: DefaultClock,
}

impl UserBuckets {
    pub(super) fn new(rate: Rate) -> Self {
        let taken = RateLimiter::keyed(rate.quota());
        Self { rate, taken, blocked: DashMap::new(), clock: DefaultClock::default() }
    }

    pub(super) fn rate(&self) -> Rate {
        self.rate
    }

    /// Takes one, or says how long to wait.
    pub(super) fn take(&self, user: &UserId) -> Result<(), Duration> {
        let until = self.blocked.get(user).map(|until| *until);
        if let Some(left) =
            until.map(|until| until.saturating_duration_since(Instant::now())).filter(|left| !left.is_zero())
        {
            return Err(left);
        }
        self.taken.check_key(user).map_err(|not_until| not_until.wait_time_from(self.clock.now()))
    }

    pub(super) fn block(&self, user: &UserId, wait: Duration) {
        if self.blocked.len() < BLOCKED || self.blocked.contains_key(user) {
            self.blocked.insert(user.clone(), Instant::now() + wait);
        }
    }

    pub(super) fn sweep(&self) {
        self.taken.retain_recent();
        let now = Instant::now();
        self.blocked.retain(|_, until| *until > now);
        self.blocked.shrink_to_fit();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(number: usize) -> UserId {
        UserId::trusted(format!("u{number}"))
    }

    fn buckets() -> UserBuckets {
        UserBuckets::new(Rate::within(NonZeroU32::new(3).expect("not zero"), Duration::from_hours(1)))
    }

    #[test]
    fn a_bucket_gives_what_it_holds_and_then_says_how_long_to_wait() {
        let buckets = buckets();
        for _ in 0..3 {
            assert_eq!(buckets.take(&user(1)), Ok(()));
        }
        let wait = buckets.take(&user(1)).expect_err("it is empty");
        assert!(wait > Duration::from_mins(19) && wait <= Duration::from_mins(20), "{wait:?}");
        assert_eq!(buckets.take(&user(2)), Ok(()), "each has a bucket of their own");
    }

    #[test]
    fn a_block_holds_its_time_and_takes_nothing_from_the_bucket() {
        let buckets = buckets();
        buckets.block(&user(1), Duration::from_mins(1));
        let wait = buckets.take(&user(1)).expect_err("blocked");
        assert!(wait > Duration::from_secs(59) && wait <= Duration::from_mins(1), "{wait:?}");
        buckets.block(&user(1), Duration::ZERO);
        for _ in 0..3 {
            assert_eq!(buckets.take(&user(1)), Ok(()));
        }
        buckets.sweep();
        assert!(buckets.blocked.is_empty(), "what is over is forgotten");
    }

    #[test]
    fn no_more_are_blocked_than_there_is_room_for() {
        let buckets = buckets();
        for number in 0..=BLOCKED {
            buckets.block(&user(number), Duration::from_mins(1));
        }
        assert_eq!(buckets.blocked.len(), BLOCKED);
        assert!(buckets.take(&user(0)).is_err() && buckets.take(&user(BLOCKED)).is_ok());
    }
}
