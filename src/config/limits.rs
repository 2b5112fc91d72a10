//! How much one may do.

use clap::Args;

use super::Switch;

/// Settings of how much one may do.
#[derive(Clone, Args)]
pub struct LimitSettings {
    /// Rate limits; off only for load tests
    #[arg(long, env = "LIMITS", default_value = "on", value_name = "on|off")]
    pub limits: Switch,

    /// Longest message, in characters
    #[arg(long, env = "MESSAGE_CHARS", default_value_t = 4000, value_parser = clap::value_parser!(u32).range(1..=20_000))]
    pub message_chars: u32,

    /// Messages a user may send per second in the long run, four times as many at once
    #[arg(long, env = "SENDS_PER_SECOND", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub sends_per_second: u32,

    /// Connections this instance takes
    #[arg(long, env = "MAX_CONNECTIONS", default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(1..))]
    pub max_connections: u32,

    /// Rooms one connection may be subscribed to
    #[arg(long, env = "ROOMS_PER_CONNECTION", default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub rooms_per_connection: u32,

    /// Connections one user may have to this instance at the same time
    #[arg(long, env = "CONNECTIONS_PER_USER", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    pub connections_per_user: u32,

    /// Polls of one user that this instance holds at the same time
    #[arg(long, env = "POLLS_PER_USER", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
    pub polls_per_user: u32,
}
