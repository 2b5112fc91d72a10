//! When something is to be done, whatever came of what was done before: the schedule of an open loop, and the thread
//! that wakes the load for it. A wait of the poll ends at whole milliseconds only.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use mio::Waker;

/// Woken more often than that, the load would wake servers for nothing else either.
const SHORTEST: Duration = Duration::from_micros(200);

/// So many each second, from a beginning on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Schedule {
    begin: Instant,
    per_second: f64,
}

impl Schedule {
    pub(crate) fn new(begin: Instant, per_second: f64) -> Self {
        Self { begin, per_second }
    }

    /// When the one of this number is due.
    pub(crate) fn at(&self, number: u64) -> Instant {
        self.begin + Duration::from_secs_f64(number as f64 / self.per_second)
    }
}

/// Wakes the load in an even beat until it is dropped.
pub(crate) struct Pace {
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Pace {
    pub(crate) fn start(waker: Arc<Waker>, schedule: Schedule) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&over);
        let beat = Duration::from_secs_f64(1.0 / schedule.per_second).max(SHORTEST);
        let thread = thread::spawn(move || {
            while !seen.load(Ordering::Relaxed) {
                let now = Instant::now();
                thread::sleep(next_beat(schedule.begin, beat, now) - now);
                // Nobody to be woken: the load has ended.
                if waker.wake().is_err() {
                    return;
                }
            }
        });
        Self { over, thread: Some(thread) }
    }
}

/// The first beat after now. Counted from the beginning, so that being late once makes no beat after it late.
fn next_beat(begin: Instant, beat: Duration, now: Instant) -> Instant {
    match now.checked_duration_since(begin) {
        None => begin,
        Some(elapsed) => now + beat.saturating_sub(Duration::from_secs_f64(elapsed.as_secs_f64() % beat.as_secs_f64())),
    }
}

impl Drop for Pace {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // A panic there is told by the thread itself.
            drop(thread.join());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schedule_does_not_drift() {
        let begin = Instant::now();
        let schedule = Schedule::new(begin, 3.0);
        assert_eq!(schedule.at(0), begin);
        assert_eq!((schedule.at(3_000) - begin).as_secs(), 1_000);
    }

    #[test]
    fn a_late_beat_makes_no_other_late() {
        let begin = Instant::now();
        let beat = Duration::from_millis(20);
        let next = next_beat(begin, beat, begin + Duration::from_millis(47)) - begin;
        assert!(next.abs_diff(Duration::from_millis(60)) < Duration::from_micros(1), "{next:?}");
        assert_eq!(next_beat(begin + beat, beat, begin), begin + beat);
    }
}
