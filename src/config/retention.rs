//! How much is kept.

use std::time::Duration;

use clap::Args;

/// Settings of how much of each room is kept.
#[derive(Clone, Args)]
pub struct RetentionSettings {
    /// Days for which messages are kept in rooms that say nothing themselves; 0 is for good
    #[arg(long, env = "RETENTION_DAYS", default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=36_500))]
    pub retention_days: u32,

    /// Messages that are kept in each room that says nothing itself, the newest; 0 is all
    #[arg(long, env = "RETENTION_MESSAGES", default_value_t = 0, value_parser = clap::value_parser!(u64).range(0..=1_000_000_000))]
    pub retention_messages: u64,

    /// Minutes for which every message is kept, whatever a room says: so long the same send is known again
    #[arg(long, env = "RETENTION_AT_LEAST_MINUTES", default_value_t = 1440, value_parser = clap::value_parser!(u64).range(0..=525_600))]
    pub retention_at_least_minutes: u64,

    /// Seconds from one look for what is not to be kept to the next, by one instance for all
    #[arg(long, env = "RETENTION_EVERY_SECONDS", default_value_t = 300, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub retention_every_seconds: u64,
}

impl RetentionSettings {
    /// How long every message is kept.
    pub fn at_least(&self) -> Duration {
        Duration::from_secs(60 * self.retention_at_least_minutes)
    }

    /// From one look to the next.
    pub fn every(&self) -> Duration {
        Duration::from_secs(self.retention_every_seconds)
    }
}
