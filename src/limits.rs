//! How much one may do: token buckets in memory. No I/O.

use std::num::NonZeroU32;
use std::time::Duration;

use governor::clock::{Clock, DefaultClock};
use governor::{DefaultDirectRateLimiter, DefaultKeyedRateLimiter, Quota, RateLimiter};

use crate::error::{Error, Result};
use crate::model::{RoomId, UserId};

/// Frames per second one connection may send, in the long run.
const FRAMES_PER_SECOND: NonZeroU32 = NonZeroU32::new(50).expect("not zero");
/// Frames it may send at once.
const FRAME_BURST: NonZeroU32 = NonZeroU32::new(200).expect("not zero");
/// How often one person's writing is told to a room.
const TYPING: Duration = Duration::from_secs(3);

/// The buckets that all connections and requests share.
#[derive(Debug)]
pub struct Limits {
    sends: Option<DefaultKeyedRateLimiter<UserId>>,
    typing: DefaultKeyedRateLimiter<(UserId, RoomId)>,
    clock: DefaultClock,
    on: bool,
}

impl Limits {
    /// Buckets of so many sends per second and user, four times as many at once; 0 or `on: false`: no limit.
    pub fn new(sends_per_second: u32, on: bool) -> Self {
        let quota = NonZeroU32::new(sends_per_second)
            .filter(|_| on)
            .map(|rate| Quota::per_second(rate).allow_burst(rate.saturating_mul(FOUR)));
        let typing = Quota::with_period(TYPING).expect("not zero");
        Self {
            sends: quota.map(RateLimiter::keyed),
            typing: RateLimiter::keyed(typing),
            clock: DefaultClock::default(),
            on,
        }
    }

    /// Takes one send from the user's bucket.
    pub fn send(&self, user: &UserId) -> Result<()> {
        let Some(sends) = &self.sends else { return Ok(()) };
        sends
            .check_key(user)
            .map_err(|not_until| Error::RateLimited { retry_after: not_until.wait_time_from(self.clock.now()) })
    }

    /// Whether the room should be told again that the user is writing.
    pub fn typing(&self, user: &UserId, room: &RoomId) -> bool {
        self.typing.check_key(&(user.clone(), room.clone())).is_ok()
    }

    /// A new connection's own bucket of frames.
    pub fn connection(&self) -> FrameBucket {
        let quota = Quota::per_second(FRAMES_PER_SECOND).allow_burst(FRAME_BURST);
        FrameBucket { frames: self.on.then(|| RateLimiter::direct(quota)), clock: self.clock.clone() }
    }

    /// Forgets the buckets that are full again; without this they would only grow in number.
    pub fn sweep(&self) {
        if let Some(sends) = &self.sends {
            sends.retain_recent();
        }
        self.typing.retain_recent();
    }
}

const FOUR: NonZeroU32 = NonZeroU32::new(4).expect("not zero");

/// One connection's bucket of frames.
#[derive(Debug)]
pub struct FrameBucket {
    frames: Option<DefaultDirectRateLimiter>,
    clock: DefaultClock,
}

impl FrameBucket {
    /// Takes one frame from the bucket.
    pub fn frame(&self) -> Result<()> {
        let Some(frames) = &self.frames else { return Ok(()) };
        frames
            .check()
            .map_err(|not_until| Error::RateLimited { retry_after: not_until.wait_time_from(self.clock.now()) })
    }
}
