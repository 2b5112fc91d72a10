//! What is asked before a message is written: the operator's word list, which is in memory, and their hook, which is
//! HTTP. It decides nothing by itself, keeps nothing, and writes nothing of what a message says to the log.

mod hook;
mod words;

use crate::model::{Flag, Verdict};
use crate::telemetry;

pub use hook::{Asked, Hook, HookSettings, OnFailure, Sender};
pub use words::WordList;

/// What is asked, as far as it is set.
#[derive(Debug, Default)]
pub struct Screen {
    words: Option<WordList>,
    hook: Option<Hook>,
}

impl Screen {
    /// What asks these.
    pub fn new(words: Option<WordList>, hook: Option<Hook>) -> Self {
        Self { words, hook }
    }

    /// What the word list says.
    pub fn words(&self, content: &str) -> Verdict {
        let Some(words) = &self.words else { return Verdict::Accept };
        let verdict = words.judge(content);
        count("words", name(&verdict));
        verdict
    }

    /// The hook, if there is one. Whoever asks it holds no lock and no connection.
    pub fn hook(&self) -> Option<&Hook> {
        self.hook.as_ref()
    }
}

/// Both verdicts together: the word list's flag stays on what the hook lets pass.
pub fn together(words: Option<Flag>, hook: Verdict) -> Verdict {
    match (words, hook) {
        (Some(flag), Verdict::Accept | Verdict::Flag(_)) => Verdict::Flag(flag),
        (_, hook) => hook,
    }
}

fn name(verdict: &Verdict) -> &'static str {
    match verdict {
        Verdict::Accept => "accept",
        Verdict::Flag(_) => "flag",
        Verdict::Reject(_) => "reject",
    }
}

fn count(by: &'static str, result: &'static str) {
    metrics::counter!(telemetry::MODERATION, "by" => by, "result" => result).increment(1);
}
