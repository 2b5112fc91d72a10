//! What an operator does from the terminal beside serving: one file for each command. What is asked for goes to standard
//! output, how it goes on to standard error. Like `server` it stands above the rest; `store` does what is done with a
//! database, and a running service what is done in a room.

mod check;
mod client;
mod export;
mod files;
mod import;
mod lines;
mod old;
mod progress;
mod send;
mod tail;
mod token;

use std::io::Write;
use std::time::Duration;

use crate::config::{Command, Config, ConfigError};
use crate::error::Error;
use crate::server::{self, StartError};
use crate::store::{OpenError, Settings, Store};

/// How long a statement of a command may take: nobody waits for an answer meanwhile.
const PATIENCE: Duration = Duration::from_mins(2);
/// Connections of a command, which does one thing after the other.
const CONNECTIONS: u32 = 4;

/// Why a command did not do what it was asked to.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// A setting or an argument does not work.
    #[error(transparent)]
    Setting(#[from] ConfigError),
    /// The service or its database cannot be used.
    #[error(transparent)]
    Start(StartError),
    /// Anything else, in words for whoever gave the command.
    #[error("{0}")]
    Failed(String),
}

impl Failure {
    /// What the program ends with: 2 for a setting, 1 for anything else.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Setting(_) => 2,
            Self::Start(_) | Self::Failed(_) => 1,
        }
    }

    fn failed(what: impl Into<String>) -> Self {
        Self::Failed(what.into())
    }

    /// A failure of this file.
    fn of_file(path: &std::path::Path, error: &std::io::Error) -> Self {
        Self::Failed(format!("{}: {error}", path.display()))
    }
}

impl From<StartError> for Failure {
    fn from(error: StartError) -> Self {
        match error {
            StartError::Config(error) => Self::Setting(error),
            other => Self::Start(other),
        }
    }
}

impl From<OpenError> for Failure {
    fn from(error: OpenError) -> Self {
        Self::Start(error.into())
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Failed(error.chain())
    }
}

type Result<T, E = Failure> = std::result::Result<T, E>;

/// Does it; returns whether all was well.
pub async fn run(config: &Config, command: Command) -> Result<bool> {
    match command {
        Command::Serve => return Err(Failure::failed("serving is no command of an operator")),
        Command::Migrate => {
            server::migrate(config).await?;
            print("The schema is up to date.")?;
        }
        Command::NewHistory => print(&format!("The history is now {}.", server::renew_history(config).await?))?,
        Command::Token(args) => print(&token::token(config, &args)?)?,
        Command::Check => return check::run(config).await,
        Command::Tail(args) => return tail::run(args).await,
        Command::Send(args) => return send::run(args).await,
        Command::Export(args) => export::run(config, args).await?,
        Command::Import(args) => import::run(config, args).await?,
    }
    Ok(true)
}

/// A line of standard output. That nobody reads on is no failure: `head` does that.
fn print(line: &str) -> Result<()> {
    let mut output = std::io::stdout().lock();
    match output.write_all(format!("{line}\n").as_bytes()).and_then(|()| output.flush()) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => std::process::exit(0),
        written => written.map_err(|error| Failure::failed(format!("standard output: {error}"))),
    }
}

/// Opens the database for a command.
async fn open(config: &Config) -> Result<Store> {
    let settings = server::store_settings(config)?;
    Ok(Store::open(&Settings { deadline: PATIENCE, connections: CONNECTIONS, ..settings }).await?)
}
