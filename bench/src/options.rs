//! What the command line says.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::time::Duration;

use clap::Args;

use crate::Failure;
use crate::peers::Peer;

/// Where results are kept.
pub(crate) const RESULTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/results");

/// How many cores there are, of which the load may have left itself only one.
pub(crate) fn cores() -> usize {
    static CORES: LazyLock<usize> = LazyLock::new(|| std::thread::available_parallelism().map_or(1, usize::from));
    *CORES
}

/// What all scenarios understand; each takes what concerns it.
#[derive(Debug, Clone, Args)]
pub(crate) struct Options {
    /// What to measure, in this order in each round; each scenario has its own default
    #[arg(long, value_delimiter = ',')]
    pub(crate) peers: Vec<Peer>,

    /// The cases of the scenario; all unless given
    #[arg(long, value_delimiter = ',')]
    pub(crate) cases: Vec<String>,

    /// How often everything is measured
    #[arg(long, default_value_t = 3)]
    pub(crate) rounds: u32,

    /// Seconds that count, in each measurement that takes a time
    #[arg(long, default_value_t = 10.0)]
    pub(crate) seconds: f64,

    /// How many connect, where they do nothing
    #[arg(long, default_value_t = 5000)]
    pub(crate) connections: usize,

    /// How many come back at once in a storm
    #[arg(long, default_value_t = 5000)]
    pub(crate) clients: usize,

    /// What the long history of a room holds
    #[arg(long, default_value_t = 1_000_000)]
    pub(crate) messages: u64,

    /// Who sends
    #[arg(long, default_value_t = 64)]
    pub(crate) writers: usize,

    /// What each of them has under way at once
    #[arg(long, default_value_t = 4)]
    pub(crate) outstanding: usize,

    /// Sends or polls each second, on schedule; sends come as fast as they are acknowledged without it
    #[arg(long)]
    pub(crate) rate: Option<f64>,

    /// Whether Tidings on `PostgreSQL` has a Redis
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set, value_name = "true|false")]
    pub(crate) redis: bool,

    /// The program; else target/release/tidings
    #[arg(long, value_name = "PATH")]
    binary: Option<PathBuf>,

    /// A setting of Tidings, NAME=VALUE
    #[arg(long = "set", value_parser = setting, value_name = "NAME=VALUE")]
    pub(crate) settings: Vec<(String, String)>,

    /// Whether servers get core 0 and the load core 1; where it is not said, as the scenario has it
    #[arg(long, value_name = "true|false")]
    pin: Option<bool>,

    /// Whether core 0 is kept from halting while servers are pinned to it
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set, value_name = "true|false")]
    awake: bool,

    /// Where results go, a file of JSON lines for each scenario
    #[arg(long, default_value = RESULTS, value_name = "FOLDER")]
    pub(crate) results: PathBuf,

    /// A few seconds only, which fail if anything is lost, doubled or reordered: whether it works, not how fast
    #[arg(long)]
    pub(crate) smoke: bool,
}

/// Which cores are whose, as `taskset` names them.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Pins {
    pub(crate) server: Option<&'static str>,
    pub(crate) client: Option<&'static str>,
    /// Whether the server's core is kept awake.
    pub(crate) awake: bool,
}

impl Options {
    /// The same, pinned as the scenario has it unless the command line says something else.
    pub(crate) fn pinned_unless_told(&self, pinned: bool) -> Self {
        Self { pin: Some(self.pin.unwrap_or(pinned && cores() > 1)), ..self.clone() }
    }

    /// The same in one round, for what takes long and is compared with itself.
    pub(crate) fn once(&self) -> Self {
        Self { rounds: 1, ..self.clone() }
    }

    /// The same without Redis.
    pub(crate) fn without_redis(&self) -> Self {
        Self { redis: false, ..self.clone() }
    }

    pub(crate) fn pins(&self) -> Pins {
        match self.pin {
            Some(true) => Pins { server: Some("0"), client: Some("1"), awake: self.awake },
            _ => Pins::default(),
        }
    }

    /// Until caches are warm and buffers have grown.
    pub(crate) fn warm_up(&self) -> Duration {
        Duration::from_secs_f64((self.seconds / 5.0).min(2.0))
    }

    /// The program that is measured.
    pub(crate) fn binary(&self) -> Result<PathBuf, Failure> {
        let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."));
        let path = self.binary.clone().unwrap_or_else(|| workspace.join("target/release/tidings"));
        if path.is_file() {
            return Ok(path);
        }
        Err(format!("{} is not there: cargo build --release, or --binary PATH", path.display()).into())
    }

    /// The same, or so little that it takes a few seconds.
    pub(crate) fn brief(&self) -> Self {
        if !self.smoke {
            return self.clone();
        }
        let peers = if self.peers.is_empty() { vec![Peer::Floor, Peer::Tidings] } else { self.peers.clone() };
        Self { rounds: 1, seconds: 0.5, pin: Some(false), peers, ..self.clone() }
    }

    /// Whether a case is wanted.
    pub(crate) fn wants(&self, case: &str) -> bool {
        self.cases.is_empty() || self.cases.iter().any(|wanted| wanted.eq_ignore_ascii_case(case))
    }
}

fn setting(text: &str) -> Result<(String, String), String> {
    let parts = text.split_once('=').ok_or("is written NAME=VALUE")?;
    Ok((parts.0.to_owned(), parts.1.to_owned()))
}
