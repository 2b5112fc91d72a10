//! What an operator does from the terminal, and what each command may be told.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{ConfigError, or_file};

/// What an operator does beside the service. The settings are the same, as flags before the command or by environment.
#[derive(Debug, Clone, Subcommand)]
pub enum Command {
    /// Serve until SIGTERM or Ctrl-C; what happens without a command
    Serve,
    /// Bring the schema up to date, and end
    Migrate,
    /// Look whether settings, database, Redis and clocks are as the service needs them
    ///
    /// Prints a line for each thing that was looked at: ok, warning or failed, and what to do. Changes nothing, and may be
    /// run beside a running service. Ends with 0 if nothing failed, else with 1.
    Check,
    /// Print a token signed with the secret of the settings, for trying things out
    Token(TokenArgs),
    /// Print a room's messages as they come, over a WebSocket to a running service
    ///
    /// Comes back by itself after a cut or a restart, from where it was, so that no message is missing or printed twice.
    /// Ends with 0 at Ctrl-C, with 1 if it may not read the room (any more).
    Tail(TailArgs),
    /// Send a message, or each line of standard input as one, over HTTP to a running service
    ///
    /// Each message has an id before it is sent, so that trying again never doubles it. Prints the id and seq of each once
    /// the service has it. Ends with 0 if all were taken, else with 1 at the first that was not.
    Send(SendArgs),
    /// Give a restored database a new history, so that clients begin anew instead of mixing two
    #[command(visible_alias = "renew-history")]
    NewHistory,
    /// Write a whole room as lines of JSON: messages, changes, reactions, members, read positions, bans, moderation
    ///
    /// All of it is of one moment, also while the service writes. Progress goes to standard error.
    Export(ExportArgs),
    /// Read a room that `export` wrote, or the tables of the old application
    ///
    /// Either may be cut off and run again, and run again later: it then adds what is new.
    Import(ImportArgs),
}

/// What a token is to say.
#[derive(Debug, Clone, Args)]
pub struct TokenArgs {
    /// Whose token, the `sub`
    #[arg(long, value_name = "ID", required_unless_present = "application")]
    pub user: Option<String>,

    /// A token of the application itself, for /api/admin
    #[arg(long, conflicts_with_all = ["user", "name", "role"])]
    pub application: bool,

    /// Their name
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,

    /// Their role in the application, such as ADMIN
    #[arg(long, value_name = "ROLE")]
    pub role: Option<String>,

    /// Days until it ends
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u64).range(1..=365))]
    pub days: u64,
}

/// A running service, and who asks it.
#[derive(Clone, Args)]
pub struct ServerArgs {
    /// Where the service is, with the path in front of its routes, if it has one
    #[arg(long, env = "TIDINGS_URL", default_value = "http://127.0.0.1:8080", value_name = "URL")]
    pub url: String,

    /// Token of the user in whose name it happens, such as `tidings token` prints
    #[arg(long, env = "TIDINGS_TOKEN", value_name = "TOKEN", hide_env_values = true)]
    pub token: Option<String>,

    /// File that holds the token instead
    #[arg(long, env = "TIDINGS_TOKEN_FILE", value_name = "FILE", conflicts_with = "token")]
    pub token_file: Option<PathBuf>,
}

impl ServerArgs {
    /// The token; there is no default.
    pub fn token(&self) -> Result<String, ConfigError> {
        let token = or_file(self.token.as_ref(), "TIDINGS_TOKEN_FILE", self.token_file.as_deref())?;
        token.ok_or_else(|| ConfigError::new("TIDINGS_TOKEN", "is needed; `tidings token --user ID` prints one"))
    }
}

impl std::fmt::Debug for ServerArgs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ServerArgs").field("url", &self.url).finish_non_exhaustive()
    }
}

/// What to print of a room.
#[derive(Debug, Clone, Args)]
pub struct TailArgs {
    /// The room's id
    #[arg(value_name = "ROOM")]
    pub room: String,

    /// Which service, as whom
    #[command(flatten)]
    pub server: ServerArgs,

    /// Messages to begin with, the room's newest: 0 to 100
    #[arg(long, default_value_t = 10, value_name = "MESSAGES", value_parser = clap::value_parser!(u32).range(0..=100))]
    pub limit: u32,

    /// Go on after this cursor, as an earlier run printed it at its end: HISTORY.REV
    #[arg(long, value_name = "CURSOR", conflicts_with = "cursor_file")]
    pub since: Option<String>,

    /// Keep the cursor in this file, and go on from it if it is there. It is written once messages are printed: after a
    /// cut the last ones may be printed again, none is left out
    #[arg(long, value_name = "FILE")]
    pub cursor_file: Option<PathBuf>,

    /// Print each message as a line of JSON, as the protocol has it
    #[arg(long)]
    pub json: bool,

    /// How far to go
    #[command(flatten)]
    pub following: Following,
}

/// How far a tail goes.
#[derive(Debug, Clone, Args)]
pub struct Following {
    /// End once all there is is printed, instead of waiting for more
    #[arg(long)]
    pub once: bool,

    /// End after so many messages and changes
    #[arg(long, value_name = "MESSAGES", value_parser = clap::value_parser!(u64).range(1..))]
    pub count: Option<u64>,
}

/// What to send.
#[derive(Debug, Clone, Args)]
pub struct SendArgs {
    /// The room's id
    #[arg(value_name = "ROOM")]
    pub room: String,

    /// What to say; without it, each line of standard input that is not empty is a message
    #[arg(value_name = "TEXT")]
    pub text: Option<String>,

    /// Which service, as whom
    #[command(flatten)]
    pub server: ServerArgs,

    /// The message's id, a UUID: sent again under it, also by another run, it is the same message
    #[arg(long, value_name = "UUID", requires = "text")]
    pub id: Option<String>,

    /// Makes each line's id from this name, the room and the line's number, so that a run over the same lines that was cut
    /// off can be run again without doubling any
    #[arg(long, value_name = "NAME", conflicts_with_all = ["text", "id"])]
    pub batch: Option<String>,

    /// Seconds to go on trying while the service cannot be reached or is busy
    #[arg(long, default_value_t = 60, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(0..=86_400))]
    pub patience: u64,
}

/// What to export.
#[derive(Debug, Clone, Args)]
pub struct ExportArgs {
    /// The room's id
    #[arg(value_name = "ROOM")]
    pub room: String,

    /// File to write, which must not be there yet; without it, standard output
    #[arg(long, short, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

/// What to import.
#[derive(Clone, Args)]
pub struct ImportArgs {
    /// A file that `export` wrote. One that is not whole is refused before anything is changed
    #[arg(value_name = "FILE", required_unless_present_any = ["old_database_url", "old_database_url_file"])]
    pub file: Option<PathBuf>,

    /// `PostgreSQL` of the old application, which is only read; as Prisma writes it, with `schema=` and the like
    #[arg(long, env = "OLD_DATABASE_URL", value_name = "URL", hide_env_values = true, conflicts_with = "file")]
    pub old_database_url: Option<String>,

    /// File that holds that address instead
    #[arg(long, env = "OLD_DATABASE_URL_FILE", value_name = "FILE", conflicts_with_all = ["file", "old_database_url"])]
    pub old_database_url_file: Option<PathBuf>,

    /// What tables are called there, if not `ChatRoom`, `ChatMessage`, `ChatRoomMember`, `User` and `Partner`, such as
    /// `ChatRoom=chat_rooms,User=users`; a view will do as well
    #[arg(long, env = "OLD_TABLES", value_name = "MODEL=TABLE", value_delimiter = ',', conflicts_with = "file")]
    pub old_tables: Vec<String>,

    /// Messages in one transaction
    #[arg(long, default_value_t = 1000, value_name = "MESSAGES", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub batch: u32,
}

impl ImportArgs {
    /// The address of the old application's database, if that is what is to be read.
    pub fn old_database(&self) -> Result<Option<String>, ConfigError> {
        let file = self.old_database_url_file.as_deref();
        or_file(self.old_database_url.as_ref(), "OLD_DATABASE_URL_FILE", file)
    }
}

impl std::fmt::Debug for ImportArgs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ImportArgs").field("file", &self.file).finish_non_exhaustive()
    }
}
