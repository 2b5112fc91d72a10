//! What one run of one case with one peer came to.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::measure::{Histogram, Spent, Tally};

/// Figures by name. The ending of a name is the unit.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Figures(BTreeMap<String, f64>);

impl Figures {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Sets a figure; one that could not be had, a division by nothing, is left out.
    pub(crate) fn set(&mut self, name: &str, value: f64) {
        if value.is_finite() {
            self.0.insert(name.to_owned(), value);
        }
    }

    pub(crate) fn set_some(&mut self, name: &str, value: Option<f64>) {
        if let Some(value) = value {
            self.set(name, value);
        }
    }

    pub(crate) fn get(&self, name: &str) -> Option<f64> {
        self.0.get(name).copied()
    }

    /// The usual percentiles.
    pub(crate) fn latency(&mut self, latency: &Histogram) {
        for (name, share) in [("p50_ms", 0.5), ("p99_ms", 0.99), ("p999_ms", 0.999)] {
            self.set_some(name, latency.percentile(share));
        }
        self.set_some("longest_ms", latency.longest());
    }

    /// How many cores were busy, by whom.
    pub(crate) fn cores(&mut self, spent: &Spent) {
        self.set("server_cores", spent.servers.total / spent.seconds);
        self.set("client_cores", spent.client / spent.seconds);
        self.set("others_cores", spent.others / spent.seconds);
    }

    /// What did not arrive as it should.
    pub(crate) fn tally(&mut self, tally: Tally) {
        self.set("lost", tally.lost as f64);
        self.set("doubled", tally.doubled as f64);
        self.set("reordered", tally.reordered as f64);
    }
}

/// The same with what it is of.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Sample {
    pub(crate) scenario: String,
    pub(crate) case: String,
    pub(crate) peer: String,
    pub(crate) round: u32,
    pub(crate) figures: Figures,
}
