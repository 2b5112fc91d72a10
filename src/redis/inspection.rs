//! What an operator wants to know of Redis before the service relies on it. A connection of its own, whose first failure
//! is the answer.

use std::collections::HashMap;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use fred::error::Error as FredError;
use fred::interfaces::{ClientLike, KeysInterface};
use fred::types::{Builder, ClusterHash, CustomCommand, Expiration, InfoKind};

use super::{Settings, describe, read};

/// How long it may take altogether.
const PATIENCE: Duration = Duration::from_secs(5);

/// What it says of itself, and how it behaves.
#[derive(Debug)]
pub struct Inspection {
    /// Its version.
    pub version: String,
    /// Whether it is a cluster.
    pub is_cluster: bool,
    /// `master` or `slave`.
    pub role: String,
    /// What it does when its memory is full.
    pub eviction: String,
    /// How much memory it may use; 0: all there is.
    pub max_memory: u64,
    /// How much it uses.
    pub used_memory: u64,
    /// How long a command took.
    pub took: Duration,
    /// By how many microseconds its clock is ahead of this machine's.
    pub clock_ahead: i64,
    /// Why it takes no value, if it takes none.
    pub refuses: Option<String>,
}

/// Looks at it; if that does not work, says why.
pub async fn inspect(settings: &Settings) -> Result<Inspection, String> {
    let looked = tokio::time::timeout(PATIENCE, look(settings)).await;
    looked.unwrap_or_else(|_| Err(format!("it did not answer within {} s", PATIENCE.as_secs())))
}

async fn look(settings: &Settings) -> Result<Inspection, String> {
    let mut config = read(&settings.url)?;
    config.fail_fast = true;
    let client = Builder::from_config(config).build().map_err(|error| error.details().to_owned())?;
    let in_words = |error: FredError| format!("{} ({})", describe(&error), error.details());
    client.init().await.map_err(in_words)?;
    let mut facts = HashMap::new();
    for part in [InfoKind::Server, InfoKind::Memory, InfoKind::Replication] {
        let text: String = client.info(Some(part)).await.map_err(in_words)?;
        facts.extend(text.lines().filter_map(|line| line.split_once(':')).map(|(k, v)| (k.to_owned(), v.to_owned())));
    }
    let fact = |name: &str| facts.get(name).cloned().unwrap_or_default();
    let bytes = |name: &str| fact(name).parse().unwrap_or(0);
    let begin = Instant::now();
    let before = now();
    let time: (i64, i64) = {
        let command = CustomCommand::new_static("TIME", ClusterHash::Random, false);
        client.custom(command, Vec::<String>::new()).await.map_err(in_words)?
    };
    let took = begin.elapsed();
    let between = before + i64::try_from(took.as_micros() / 2).unwrap_or(0);
    let key = format!("{}chat:probe", settings.prefix);
    let set = client.set::<(), _, _>(key, 1, Some(Expiration::PX(1)), None, false).await;
    drop(client.quit().await);
    Ok(Inspection {
        version: fact("redis_version"),
        is_cluster: fact("redis_mode") == "cluster",
        role: fact("role"),
        eviction: fact("maxmemory_policy"),
        max_memory: bytes("maxmemory"),
        used_memory: bytes("used_memory"),
        took,
        clock_ahead: time.0 * 1_000_000 + time.1 - between,
        refuses: set.err().map(in_words),
    })
}

/// Microseconds since 1970.
fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}
