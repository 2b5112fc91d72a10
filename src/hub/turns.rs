//! What is followed, dealt out over turns: so that all of it is gone through in seven of them, and none of it touched that
//! has not its turn. Whoever forgets what is followed need not come here: nothing is kept alive.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// Turns over which everything is spread.
pub const TURNS: usize = 7;

type Dealt<T> = Mutex<Vec<Weak<T>>>;

/// What is followed, by turn.
#[derive(Debug)]
pub(super) struct Turns<T> {
    dealt: [Dealt<T>; TURNS],
    /// What was not settled when it was looked at last: it has every turn.
    new: Dealt<T>,
    next: AtomicUsize,
}

impl<T> Default for Turns<T> {
    fn default() -> Self {
        Self { dealt: Default::default(), new: Mutex::default(), next: AtomicUsize::default() }
    }
}

impl<T> Turns<T> {
    /// Something is followed from now on.
    pub(super) fn deal(&self, one: &Arc<T>) {
        let next = self.next.fetch_add(1, Ordering::Relaxed) % TURNS;
        for dealt in [&self.dealt[next], &self.new] {
            dealt.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::downgrade(one));
        }
    }

    /// What has this turn, and what is not settled yet. It may name one twice.
    pub(super) fn due(&self, turn: usize, is_settled: impl Fn(&T) -> bool) -> Vec<Arc<T>> {
        let mut due = Vec::new();
        keep(&self.dealt[turn % TURNS], &mut due, |_| true);
        keep(&self.new, &mut due, |one| !is_settled(one));
        due
    }

    /// Lets go of what is followed no more.
    pub(super) fn sweep(&self) {
        for dealt in self.dealt.iter().chain([&self.new]) {
            dealt.lock().unwrap_or_else(PoisonError::into_inner).retain(|one| one.strong_count() > 0);
        }
    }
}

/// Leaves of a list what there still is and what is wanted of it, and adds that to `found`.
fn keep<T>(dealt: &Dealt<T>, found: &mut Vec<Arc<T>>, is_wanted: impl Fn(&T) -> bool) {
    dealt.lock().unwrap_or_else(PoisonError::into_inner).retain(|one| {
        let one = one.upgrade().filter(|one| is_wanted(one));
        let is_kept = one.is_some();
        found.extend(one);
        is_kept
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_has_its_turn_and_what_is_new_has_every_one() {
        let turns = Turns::default();
        let mut all: Vec<Arc<usize>> = (0..100).map(Arc::new).collect();
        for one in &all {
            turns.deal(one);
        }
        let due = |turn: usize, settled: usize| {
            let mut due: Vec<usize> = turns.due(turn, |one| *one < settled).iter().map(|one| **one).collect();
            due.sort_unstable();
            due.dedup();
            due
        };
        assert_eq!(due(0, 0).len(), 100, "nothing is settled");
        assert_eq!(due(1, 90).iter().filter(|one| **one >= 90).count(), 10);
        let mut found: Vec<usize> = (2..2 + TURNS).flat_map(|turn| due(turn, 100)).collect();
        assert!(found.len() == 100, "each once: {found:?}");
        all.truncate(50);
        turns.sweep();
        found = (0..TURNS).flat_map(|turn| due(turn, 0)).collect();
        found.sort_unstable();
        assert_eq!(found, (0..50).collect::<Vec<_>>(), "what is gone has no turn, and what was settled once stays so");
    }
}
