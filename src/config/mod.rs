//! Every setting, once. The only place that reads the environment; it knows nothing of the rest of the service.

mod commands;
mod identity;
mod limits;
mod moderation;
mod retention;
mod supervisor;
mod traces;

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use clap::{Parser, ValueEnum};

pub use commands::{Command, ExportArgs, Following, ImportArgs, SendArgs, ServerArgs, TailArgs, TokenArgs};
pub use identity::{ClaimNames, Identity, IdentitySettings, KeySetSource, Tokens};
pub use limits::LimitSettings;
pub use moderation::{HookFailure, ModerationSettings};
pub use retention::RetentionSettings;
pub use supervisor::{Supervisor, passed_listener};
pub use traces::{Recording, Sampler, TraceProtocol, TraceSettings};

/// Tidings: a chat service that pushes over WebSockets, answers polls, and loses nothing in between.
///
/// Without any setting it runs alone on SQLite in ./data, on this machine only, and lets anyone in by name.
/// Every flag is also an environment variable; flags win. Settings stand in front of a command:
/// `tidings --database-url postgres://… check`.
#[derive(Clone, Parser)]
#[command(name = "tidings", version, max_term_width = 100)]
pub struct Config {
    /// What to do; without one it serves
    #[command(subcommand)]
    pub command: Option<Command>,

    /// Address to listen on [default: 127.0.0.1 for the demo, else 0.0.0.0]
    #[arg(long, env = "HOST", value_name = "ADDRESS")]
    pub host: Option<IpAddr>,

    /// Port to listen on; 0 takes a free one
    #[arg(long, env = "PORT", default_value_t = 8080)]
    pub port: u16,

    /// Address of GET /metrics, such as 127.0.0.1:9090; off unless set
    #[arg(long, env = "METRICS_ADDR", value_name = "ADDRESS:PORT")]
    pub metrics_addr: Option<SocketAddr>,

    /// Path in front of every route, such as /tidings
    #[arg(long, env = "BASE_PATH", default_value = "", value_name = "PATH")]
    pub base_path: String,

    /// Where messages are kept: a file of `SQLite`, or a database of `PostgreSQL` that several instances share
    #[arg(
        long,
        env = "DATABASE_URL",
        default_value = "sqlite:./data/tidings.db",
        value_name = "URL",
        hide_env_values = true
    )]
    pub database_url: String,

    /// File that holds the address of the database instead
    #[arg(long, env = "DATABASE_URL_FILE", value_name = "FILE", conflicts_with = "database_url")]
    pub database_url_file: Option<PathBuf>,

    /// Bring the schema up to date at the start; off only looks, and says what is missing
    #[arg(long, env = "AUTO_MIGRATE", default_value = "on", value_name = "on|off")]
    pub auto_migrate: Switch,

    /// Connections to `PostgreSQL`, for reads and writes together
    #[arg(long, env = "DATABASE_CONNECTIONS", default_value_t = 16, value_parser = clap::value_parser!(u32).range(2..=500))]
    pub database_connections: u32,

    /// Milliseconds a call may wait for the database before it is refused with 503
    #[arg(long, env = "DATABASE_DEADLINE_MS", default_value_t = 1500, value_parser = clap::value_parser!(u64).range(100..=60_000))]
    pub database_deadline_ms: u64,

    /// Writes of one room in one transaction at most
    #[arg(long, env = "COMMIT_BATCH", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=512))]
    pub commit_batch: u32,

    /// Start although the database runs with fsync, `full_page_writes` or `synchronous_commit` off
    #[arg(long, env = "UNSAFE_DATABASE", default_value = "off", value_name = "on|off")]
    pub unsafe_database: Switch,

    /// Redis or Valkey, shared by several instances: redis:, rediss:, redis-cluster:, redis-sentinel:, redis+unix:
    #[arg(long, env = "REDIS_URL", value_name = "URL", hide_env_values = true)]
    pub redis_url: Option<String>,

    /// File that holds the address of Redis instead
    #[arg(long, env = "REDIS_URL_FILE", value_name = "FILE", conflicts_with = "redis_url")]
    pub redis_url_file: Option<PathBuf>,

    /// In front of every key and bus name in Redis
    #[arg(long, env = "REDIS_PREFIX", default_value = "", value_name = "TEXT")]
    pub redis_prefix: String,

    /// Milliseconds a command to Redis may take; nobody waits for it longer
    #[arg(long, env = "REDIS_DEADLINE_MS", default_value_t = 200, value_parser = clap::value_parser!(u64).range(20..=5000))]
    pub redis_deadline_ms: u64,

    /// Who may come in
    #[command(flatten)]
    pub identity: IdentitySettings,

    /// How much one may do
    #[command(flatten)]
    pub limits: LimitSettings,

    /// What may be written
    #[command(flatten)]
    pub moderation: ModerationSettings,

    /// How much is kept
    #[command(flatten)]
    pub retention: RetentionSettings,

    /// Seconds between heartbeats; a connection that is silent for two and a half of them is closed
    #[arg(long, env = "HEARTBEAT_SECONDS", default_value_t = 25, value_parser = clap::value_parser!(u64).range(1..=300))]
    pub heartbeat_seconds: u64,

    /// Seconds a WebSocket has to authenticate
    #[arg(long, env = "AUTH_SECONDS", default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=60))]
    pub auth_seconds: u64,

    /// Seconds a request's head may take and an idle connection is kept; more than a proxy in front keeps its own
    #[arg(long, env = "HEAD_SECONDS", default_value_t = 75, value_parser = clap::value_parser!(u64).range(1..=600))]
    pub head_seconds: u64,

    /// Seconds in which a stop sends clients elsewhere, one after the other; few take less, and 0 takes none
    #[arg(long, env = "DRAIN_SECONDS", default_value_t = 20, value_parser = clap::value_parser!(u64).range(0..=3600))]
    pub drain_seconds: u64,

    /// Who may make rooms: users, or only the application and its administrators, by /api/admin
    #[arg(long, env = "ROOM_CREATE", default_value = "users", value_name = "users|service")]
    pub room_create: RoomCreate,

    /// How the log is written
    #[arg(long, env = "LOG_FORMAT", default_value = "text", value_name = "text|json")]
    pub log_format: LogFormat,

    /// What is logged: a level, and levels of targets
    #[arg(long, env = "RUST_LOG", default_value = "info,sqlx=warn", value_name = "FILTER")]
    pub rust_log: String,

    /// What is traced
    #[command(flatten)]
    pub traces: TraceSettings,
}

/// On or off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Switch {
    /// Yes.
    #[value(alias = "true")]
    On,
    /// No.
    #[value(alias = "false")]
    Off,
}

/// Who may make rooms.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum RoomCreate {
    /// Anyone who may come in.
    Users,
    /// The admin side.
    Service,
}

/// How the log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// A line for people.
    Text,
    /// A line of JSON.
    Json,
}

/// Settings that do not work, or not together.
#[derive(Debug, thiserror::Error)]
#[error("{setting}: {detail}")]
pub struct ConfigError {
    /// The setting's name.
    pub setting: &'static str,
    /// What would be right.
    pub detail: String,
}

impl ConfigError {
    /// A setting, and what would be right.
    pub fn new(setting: &'static str, detail: impl Into<String>) -> Self {
        Self { setting, detail: detail.into() }
    }
}

impl Config {
    /// Who may come in. Refuses what would let the public in by accident.
    pub fn identity(&self) -> Result<Identity, ConfigError> {
        self.identity.identity(self.host)
    }

    /// The address of the database.
    pub fn database_url(&self) -> Result<String, ConfigError> {
        let url = or_file(None, "DATABASE_URL_FILE", self.database_url_file.as_deref())?;
        let (setting, url) = match url {
            Some(url) => ("DATABASE_URL_FILE", url),
            None => ("DATABASE_URL", self.database_url.clone()),
        };
        if !["sqlite:", "postgres://", "postgresql://"].iter().any(|scheme| url.starts_with(scheme)) {
            return Err(ConfigError::new(setting, "begins with sqlite:, postgres:// or postgresql://"));
        }
        Ok(url)
    }

    /// The address of Redis, if there is one.
    pub fn redis_url(&self) -> Result<Option<String>, ConfigError> {
        or_file(self.redis_url.as_ref(), "REDIS_URL_FILE", self.redis_url_file.as_deref())
    }

    /// Where to listen.
    pub fn host(&self, identity: &Identity) -> IpAddr {
        self.host.unwrap_or(match identity {
            Identity::Demo => IpAddr::from([127, 0, 0, 1]),
            Identity::Tokens(_) => IpAddr::from([0, 0, 0, 0]),
        })
    }

    /// Refuses what cannot work, before anything is opened.
    pub fn check(&self) -> Result<(), ConfigError> {
        if !self.base_path.is_empty() && (!self.base_path.starts_with('/') || self.base_path.ends_with('/')) {
            return Err(ConfigError::new("BASE_PATH", "begins with / and does not end with it, such as /tidings"));
        }
        if self.redis_prefix.contains(|c: char| c.is_whitespace() || c.is_control()) {
            return Err(ConfigError::new("REDIS_PREFIX", "has no white space, such as chat1:"));
        }
        let database_url = self.database_url()?;
        for origin in &self.identity.allowed_origins {
            let host = origin.strip_prefix("https://").or_else(|| origin.strip_prefix("http://"));
            if host.is_none_or(|host| host.is_empty() || host.contains(['/', '*', ' '])) {
                let detail =
                    format!("{origin:?} is no origin; write it as https://app.example.com, without a path or *");
                return Err(ConfigError::new("ALLOWED_ORIGINS", detail));
            }
        }
        self.traces.recording()?;
        let identity = self.identity()?;
        if matches!(identity, Identity::Demo) && self.identity.demo.is_none() && !database_url.starts_with("sqlite:") {
            let detail =
                "or another key is needed on a database that others share; or DEMO=on, if anyone may come in by name";
            return Err(ConfigError::new("JWT_SECRET", detail));
        }
        Ok(())
    }
}

/// A secret given as it is, or in a file whose last line end does not count.
fn or_file(given: Option<&String>, setting: &'static str, file: Option<&Path>) -> Result<Option<String>, ConfigError> {
    let Some(path) = file else { return Ok(given.cloned()) };
    let text = std::fs::read_to_string(path)
        .map_err(|error| ConfigError::new(setting, format!("cannot read {}: {error}", path.display())))?;
    Ok(Some(text.trim_end_matches(['\r', '\n']).to_owned()))
}

impl std::fmt::Debug for Config {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Secrets stay out of logs because nothing here prints them.
        f.debug_struct("Config").field("port", &self.port).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(flags: &[&str]) -> Config {
        Config::try_parse_from([&["tidings"], flags].concat()).expect("flags")
    }

    #[test]
    fn the_demo_stays_on_this_machine_unless_told() {
        assert!(config(&[]).check().is_ok());
        assert!(config(&["--host", "127.0.0.1"]).check().is_ok());
        assert_eq!(config(&["--host", "0.0.0.0"]).check().expect_err("public").setting, "HOST");
        assert!(config(&["--host", "0.0.0.0", "--demo", "on"]).check().is_ok());
    }

    #[test]
    fn a_bad_setting_is_named() {
        let named = |flags: &[&str]| config(flags).check().expect_err("refused").setting;
        assert_eq!(named(&["--jwt-secret", "short"]), "JWT_SECRET");
        assert_eq!(named(&["--demo", "off"]), "JWT_SECRET");
        assert_eq!(named(&["--demo", "on", "--jwt-secret", &"x".repeat(32)]), "DEMO");
        assert_eq!(named(&["--base-path", "chat/"]), "BASE_PATH");
        assert_eq!(named(&["--redis-prefix", "a b"]), "REDIS_PREFIX");
        assert_eq!(named(&["--database-url", "mysql://localhost"]), "DATABASE_URL");
        assert_eq!(named(&["--allowed-origins", "*"]), "ALLOWED_ORIGINS");
        assert_eq!(named(&["--jwt-secret-file", "no/such/file"]), "JWT_SECRET_FILE");
    }
}
