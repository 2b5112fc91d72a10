//! How much one may do.

use clap::Args;
use ipnet::IpNet;

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

    /// Other things a user may write per second, likewise: edits, reactions, read positions, members, rooms
    #[arg(long, env = "CHANGES_PER_SECOND", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub changes_per_second: u32,

    /// Rooms a user may make per hour, all of them at once if they like
    #[arg(long, env = "ROOMS_PER_HOUR", default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub rooms_per_hour: u32,

    /// Frames a connection may send per second, four times as many at once
    #[arg(long, env = "FRAMES_PER_SECOND", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub frames_per_second: u32,

    /// WebSockets this instance takes of one address, and as many connections that speak HTTP
    #[arg(long, env = "CONNECTIONS_PER_ADDRESS", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..))]
    pub connections_per_address: u32,

    /// Proxies in front, as addresses or networks: of these `X-Forwarded-For` and `X-Forwarded-Proto` are believed
    #[arg(long, env = "TRUSTED_PROXIES", value_delimiter = ',', value_parser = network, value_name = "NETWORKS")]
    pub trusted_proxies: Vec<IpNet>,

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

/// A network such as 10.0.0.0/8, or one address.
fn network(text: &str) -> Result<IpNet, String> {
    let address = || text.parse().map(|address: std::net::IpAddr| IpNet::from(address));
    text.parse().or_else(|_| address()).map_err(|_| "is an address or a network, such as 10.0.0.0/8".to_owned())
}
