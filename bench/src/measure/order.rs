//! Whether everything arrived, once and in order: one subscriber's numbers of one room.

use std::collections::BTreeSet;
use std::ops::AddAssign;

/// What did not go as it should, and what did.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) delivered: u64,
    pub(crate) lost: u64,
    pub(crate) doubled: u64,
    pub(crate) reordered: u64,
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.delivered += other.delivered;
        self.lost += other.lost;
        self.doubled += other.doubled;
        self.reordered += other.reordered;
    }
}

/// The numbers that one subscriber has seen, from one on.
#[derive(Debug, Default)]
pub(crate) struct Order {
    next: u64,
    missing: BTreeSet<u64>,
    tally: Tally,
}

impl Order {
    /// Expects this number next.
    pub(crate) fn from(next: u64) -> Self {
        Self { next, ..Self::default() }
    }

    /// The number that is expected next.
    pub(crate) fn next(&self) -> u64 {
        self.next
    }

    /// A number arrived; returns whether it was new.
    pub(crate) fn saw(&mut self, number: u64) -> bool {
        if number < self.next {
            if !self.missing.remove(&number) {
                self.tally.doubled += 1;
                return false;
            }
            self.tally.reordered += 1;
        } else {
            self.missing.extend(self.next..number);
            self.next = number + 1;
        }
        self.tally.delivered += 1;
        true
    }

    /// What it was, with everything up to `end` (not itself) that did not arrive as lost.
    pub(crate) fn tally(&self, end: u64) -> Tally {
        let lost = self.missing.len() as u64 + end.saturating_sub(self.next);
        Tally { lost, ..self.tally }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(numbers: &[u64], end: u64) -> Tally {
        let mut order = Order::from(5);
        for number in numbers {
            order.saw(*number);
        }
        order.tally(end)
    }

    #[test]
    fn what_goes_well_is_only_delivered() {
        assert_eq!(tally(&[5, 6, 7], 8), Tally { delivered: 3, ..Tally::default() });
    }

    #[test]
    fn a_hole_and_a_missing_end_are_lost() {
        assert_eq!(tally(&[5, 7], 10), Tally { delivered: 2, lost: 3, ..Tally::default() });
    }

    #[test]
    fn what_comes_late_is_reordered_and_not_lost() {
        assert_eq!(tally(&[5, 7, 6], 8), Tally { delivered: 3, reordered: 1, ..Tally::default() });
    }

    #[test]
    fn what_comes_twice_is_doubled_also_when_it_came_late() {
        assert_eq!(tally(&[5, 5, 7, 6, 6, 4], 8), Tally { delivered: 3, doubled: 3, reordered: 1, lost: 0 });
    }
}
