//! One line on standard error that says what is being done, kept up to date while it runs.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

/// Between two states of the line.
const PAUSE: Duration = Duration::from_millis(500);
/// Where there is no terminal, lines cannot be replaced, and a log needs few of them.
const PAUSE_IN_A_LOG: Duration = Duration::from_secs(10);

/// The line.
pub(crate) struct Progress {
    begin: Instant,
    last: Instant,
    doing: String,
    terminal: bool,
}

impl Progress {
    pub(crate) fn new() -> Self {
        let now = Instant::now();
        Self { begin: now, last: now, doing: String::new(), terminal: std::io::stderr().is_terminal() }
    }

    /// Something else begins.
    pub(crate) fn begin(&mut self, doing: impl Into<String>) {
        self.doing = doing.into();
        self.line("");
    }

    /// How it goes; said only now and then, so that telling costs nothing.
    pub(crate) fn tell(&mut self, text: impl FnOnce() -> String) {
        let pause = if self.terminal { PAUSE } else { PAUSE_IN_A_LOG };
        if self.last.elapsed() >= pause {
            self.line(&text());
        }
    }

    fn line(&mut self, text: &str) {
        self.last = Instant::now();
        let seconds = self.begin.elapsed().as_secs();
        let (start, end) = if self.terminal { ("\r\x1b[2K", "") } else { ("", "\n") };
        let mut error = std::io::stderr().lock();
        // Nobody there to read it is no reason to stop.
        drop(write!(error, "{start}{:>3}:{:02} {} {text}{end}", seconds / 60, seconds % 60, self.doing));
        drop(error.flush());
    }

    /// Leaves the line empty for what follows.
    pub(crate) fn clear(&self) {
        if self.terminal {
            drop(write!(std::io::stderr().lock(), "\r\x1b[2K"));
        }
    }
}
