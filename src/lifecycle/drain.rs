//! The way to a stop: whoever stays for long is told a moment of their own to go elsewhere. The moments lie evenly in a
//! window that is the shorter the fewer there are, so that wherever they go to meets no herd. Each has a while longer to
//! be gone, and the stop waits for them, but not beyond that. It may not know what they stay for.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::{CancellationToken, WaitForCancellationFuture};

/// Time between two moments, as long as that is enough for all.
const EACH: Duration = Duration::from_millis(10);
/// The least that one has from one's moment until one has to be gone: to find another place, and to move there. The
/// longer the moments take, the longer is this, too.
const LEAVE: Duration = Duration::from_secs(1);
/// How long after it the last may take to be gone indeed.
const GOODBYE: Duration = Duration::from_secs(1);

/// When one goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Turn {
    /// When to go elsewhere.
    pub moment: Instant,
    /// When to be gone.
    pub end: Instant,
}

/// What became of those who stayed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Drained {
    /// How many there were.
    pub guests: u32,
    /// How many were shown out, because they had not gone by their end.
    pub shown_out: u32,
    /// How many are still there, because they could not even be told.
    pub left: u32,
}

/// Those who stay, and when they go.
#[derive(Debug, Default)]
pub(super) struct Drain {
    guests: AtomicU32,
    has_begun: AtomicBool,
    plan: OnceLock<Plan>,
    begun: CancellationToken,
    turns: AtomicU32,
    shown_out: AtomicU32,
    empty: Notify,
}

/// One who stays for long. The stop waits until it is dropped.
#[derive(Debug)]
pub struct Guest(Arc<Drain>);

impl Guest {
    /// Resolves once it is time to think of going. Not an `async fn`, as every idle connection keeps room for what it is.
    pub fn called(&self) -> WaitForCancellationFuture<'_> {
        self.0.begun.cancelled()
    }

    /// When to go, once called; each call takes a turn of its own.
    pub fn turn(&self) -> Turn {
        self.0.next_turn()
    }

    /// It had not gone by its end.
    pub fn shown_out(&self) {
        self.0.shown_out.fetch_add(1, Ordering::Relaxed);
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        if self.0.guests.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.0.empty.notify_one();
        }
    }
}

impl Drain {
    /// One more who stays; nobody once all are to go.
    pub(super) fn guest(self: &Arc<Self>) -> Option<Guest> {
        // Counted first and looked at second, and the other way round where it begins: whoever comes in is in the plan.
        self.guests.fetch_add(1, Ordering::SeqCst);
        let guest = Guest(self.clone());
        (!self.has_begun.load(Ordering::SeqCst)).then_some(guest)
    }

    pub(super) fn has_begun(&self) -> bool {
        self.has_begun.load(Ordering::Relaxed)
    }

    /// Begins; a second call changes nothing.
    pub(super) fn begin(&self, longest: Duration) -> Plan {
        self.has_begun.store(true, Ordering::SeqCst);
        let plan = *self.plan.get_or_init(|| Plan::new(Instant::now(), self.guests.load(Ordering::SeqCst), longest));
        self.begun.cancel();
        plan
    }

    /// Waits until all have gone, or should have.
    pub(super) async fn wait(&self, plan: Plan) -> Drained {
        let gone = async {
            while self.guests.load(Ordering::SeqCst) > 0 {
                self.empty.notified().await;
            }
        };
        // Whoever is still there then cannot be told; what follows ends them.
        drop(timeout_at(plan.begin + plan.takes() + GOODBYE, gone).await);
        let (shown_out, left) = (self.shown_out.load(Ordering::Relaxed), self.guests.load(Ordering::SeqCst));
        Drained { guests: plan.guests, shown_out, left }
    }

    fn next_turn(&self) -> Turn {
        let turn = self.turns.fetch_add(1, Ordering::Relaxed);
        // It has begun, so there is a plan; without one it would be time to go.
        let plan = self.plan.get().copied().unwrap_or_else(|| Plan::new(Instant::now(), 0, Duration::ZERO));
        plan.turn(turn)
    }
}

/// Who goes when.
#[derive(Debug, Clone, Copy)]
pub(super) struct Plan {
    begin: Instant,
    guests: u32,
    /// How long moments come.
    spread: Duration,
    /// How long after it one may be there.
    leave: Duration,
}

impl Plan {
    fn new(begin: Instant, guests: u32, longest: Duration) -> Self {
        let spread = (EACH * guests).min(longest / 4 * 3);
        let leave = (spread / 3).max(LEAVE).min(longest.saturating_sub(spread));
        Self { begin, guests, spread, leave }
    }

    /// How long it takes until the last has to be gone.
    pub(super) fn takes(&self) -> Duration {
        self.spread + self.leave
    }

    fn turn(&self, number: u32) -> Turn {
        let moment =
            self.begin + self.spread.mul_f64(f64::from(number.min(self.guests)) / f64::from(self.guests.max(1)));
        Turn { moment, end: moment + self.leave }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONGEST: Duration = Duration::from_secs(20);

    fn moments(plan: &Plan) -> Vec<Duration> {
        (0..plan.guests).map(|n| plan.turn(n).moment - plan.begin).collect()
    }

    #[test]
    fn moments_lie_evenly_in_a_window_that_fits_their_number() {
        for (guests, spread) in [(1, 10), (50, 500), (300, 3000), (1500, 15_000), (20_000, 15_000)] {
            let plan = Plan::new(Instant::now(), guests, LONGEST);
            let moments = moments(&plan);
            assert_eq!(plan.spread, Duration::from_millis(spread), "{guests}");
            assert_eq!(moments[0], Duration::ZERO);
            for (n, begin) in moments.iter().enumerate() {
                let within = moments[n..].partition_point(|moment| *moment < *begin + Duration::from_secs(1));
                let (within, even) = (within as u64, u64::from(guests) * 1000 / spread);
                assert!(10 * within <= 12 * even, "{within} of {guests} within a second, evenly it would be {even}");
            }
        }
    }

    #[test]
    fn a_stop_with_few_is_short_and_with_many_no_longer_than_said() {
        let takes = |guests, longest| Plan::new(Instant::now(), guests, Duration::from_secs(longest)).takes();
        assert!(takes(1, 20) < Duration::from_millis(1100));
        assert_eq!(takes(1_000_000, 20), Duration::from_secs(20));
        assert_eq!(takes(1_000_000, 1), Duration::from_secs(1));
        assert_eq!(takes(1_000_000, 0), Duration::ZERO);
        let late = Plan::new(Instant::now(), 2, LONGEST);
        assert_eq!(late.turn(7).moment, late.begin + late.spread, "one who was not counted goes with the last");
        assert!(late.turn(7).end <= late.begin + late.takes());
    }

    #[tokio::test(start_paused = true)]
    async fn the_stop_waits_for_who_is_there_and_lets_nobody_in() {
        let drain = Arc::new(Drain::default());
        let guests = [drain.guest().expect("open"), drain.guest().expect("open")];
        let plan = drain.begin(LONGEST);
        assert!(drain.guest().is_none() && drain.has_begun());
        let begin = Instant::now();
        let mut turns = Vec::new();
        for guest in &guests {
            guest.called().await;
            turns.push(guest.turn());
        }
        assert_eq!(turns[1].moment - turns[0].moment, EACH);
        let leave = async {
            tokio::time::sleep_until(turns[1].moment).await;
            drop(guests);
        };
        let (drained, ()) = tokio::join!(drain.wait(plan), leave);
        assert_eq!(drained, Drained { guests: 2, shown_out: 0, left: 0 });
        assert_eq!(begin.elapsed(), EACH, "and no longer");
    }

    #[tokio::test(start_paused = true)]
    async fn the_stop_waits_for_nobody_longer_than_it_said() {
        let drain = Arc::new(Drain::default());
        let guests = [drain.guest().expect("open"), drain.guest().expect("open")];
        let begin = Instant::now();
        guests[0].shown_out();
        let plan = drain.begin(LONGEST);
        assert_eq!(drain.wait(plan).await, Drained { guests: 2, shown_out: 1, left: 2 });
        assert_eq!(begin.elapsed(), plan.takes() + GOODBYE);
        assert_eq!(drain.wait(Arc::new(Drain::default()).begin(LONGEST)).await.guests, 0);
    }
}
