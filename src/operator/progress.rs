//! How far something is, on standard error: one line that changes on a terminal, else a line every few seconds.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

/// Between two looks of a person.
const TERMINAL: Duration = Duration::from_millis(200);
/// Between two lines of a log.
const LOG: Duration = Duration::from_secs(5);

/// How far something is.
pub(super) struct Progress {
    what: &'static str,
    total: u64,
    done: u64,
    began: Instant,
    shown: Instant,
    is_terminal: bool,
}

impl Progress {
    /// Begins to count `what`, of which there are so many.
    pub(super) fn new(what: &'static str, total: u64) -> Self {
        let now = Instant::now();
        Self { what, total, done: 0, began: now, shown: now, is_terminal: std::io::stderr().is_terminal() }
    }

    /// So many more are done.
    pub(super) fn add(&mut self, more: usize) {
        self.done += more as u64;
        if self.shown.elapsed() >= if self.is_terminal { TERMINAL } else { LOG } {
            self.shown = Instant::now();
            self.show(if self.is_terminal { "\r" } else { "\n" });
        }
    }

    /// All are done.
    pub(super) fn end(self) {
        self.show("\n");
    }

    fn show(&self, end: &str) {
        // A log that nobody takes is nobody's loss.
        drop(write!(std::io::stderr(), "{}{end}", self.line(self.began.elapsed())));
    }

    fn line(&self, took: Duration) -> String {
        let rate = u128::from(self.done) * 1000 / took.as_millis().max(1);
        format!("{}: {} of {}, {rate}/s", self.what, self.done, self.total.max(self.done))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_how_far_and_how_fast() {
        let mut progress = Progress::new("messages", 500);
        progress.add(250);
        assert_eq!(progress.line(Duration::from_millis(500)), "messages: 250 of 500, 500/s");
        // What came since the count was asked for.
        progress.add(300);
        assert_eq!(progress.line(Duration::from_secs(1)), "messages: 550 of 550, 550/s");
    }
}
