//! The connection to Redis or Valkey that bus, cache and presence share. Every command has one attempt and a deadline;
//! what is wrong is known in words and logged when it changes. It knows nothing of rooms, and nothing here may be
//! waited for without that deadline: Redis carries hints and caches only, and the service runs without it.

mod inspection;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use fred::clients::{Client, WithOptions};
use fred::error::{Error as FredError, ErrorKind};
use fred::interfaces::{ClientLike, EventInterface, KeysInterface, LuaInterface};
use fred::types::config::{Config, Options, ReconnectPolicy, UnresponsiveConfig};
use fred::types::{Builder, ClientState, Expiration, FromValue, RespVersion, Value};
use futures_util::future::BoxFuture;
use tokio::sync::broadcast::error::RecvError;

use crate::lifecycle::Lifecycle;
use crate::telemetry;

pub use inspection::{Inspection, inspect};

/// How long after a connection was given up for good (a wrong password) another is tried.
const AGAIN: Duration = Duration::from_secs(1);
/// Messages of the bus that may wait to be read; with more, the reader is told that it missed some.
const BUS_BACKLOG: usize = 8192;
/// How long it is said that something on the bus could not be read.
const GARBLED: Duration = Duration::from_mins(1);
/// What is said while there is no connection.
const UNREACHABLE: &str = "it cannot be reached";
/// Commands that may wait for a connection; more fail at once.
const COMMANDS: usize = 10_000;

/// How to reach Redis.
#[derive(Clone)]
pub struct Settings {
    /// `redis://`, `rediss://`, `redis-cluster://`, `redis-sentinel://`, `redis+unix://`, and the same for `valkey`.
    pub url: String,
    /// In front of every key and channel.
    pub prefix: String,
    /// How long a command may take.
    pub deadline: Duration,
}

/// What a fault concerns; each has at most one at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Area {
    /// There is no connection.
    Connection,
    /// It is too slow.
    Speed,
    /// Publishing and hearing.
    Bus,
    /// Keeping values.
    Write,
    /// Reading them.
    Read,
}

impl Area {
    const ALL: [Self; 5] = [Self::Connection, Self::Speed, Self::Bus, Self::Write, Self::Read];
}

/// A value to put in the place of an older one of the same history.
#[derive(Debug)]
pub struct Replacement {
    /// The key, without the prefix.
    pub key: String,
    /// The history the value belongs to.
    pub history: String,
    /// Its place in that history's log.
    pub rev: u64,
    /// JSON, with `history` and `rev` in it.
    pub value: Vec<u8>,
    /// How long it lives.
    pub lifetime: Duration,
}

/// A slow reader must not put an old value back: of the same history only a newer one replaces what is there. What is
/// of another history, or nonsense, no reader takes, so anything may replace it.
const REPLACE: &str = "
local old = redis.call('GET', KEYS[1])
if old then
  local known, value = pcall(cjson.decode, old)
  if known and type(value) == 'table' and value.history == ARGV[1]
     and (tonumber(value.rev) or -1) >= tonumber(ARGV[2]) then
    return 0
  end
end
redis.call('SET', KEYS[1], ARGV[3], 'PX', ARGV[4])
return 1";

/// A handle to Redis. Cloning it is cheap.
#[derive(Clone)]
pub struct Redis(Arc<Inner>);

struct Inner {
    commands: Client,
    subscriber: Client,
    options: Options,
    prefix: String,
    deadline: Duration,
    clustered: bool,
    usable: AtomicBool,
    /// When something came over the bus that is no message of ours, and why not.
    garbled: Mutex<Option<(Instant, String)>>,
    faults: Mutex<BTreeMap<Area, String>>,
}

impl Redis {
    /// Reads the address; `REDIS_URL` is named by whoever calls. Nothing is connected yet.
    pub fn new(settings: &Settings) -> Result<Self, String> {
        let mut config = read(&settings.url)?;
        config.version = RespVersion::RESP3;
        config.fail_fast = false;
        let clustered = config.server.is_clustered();
        let mut builder = Builder::from_config(config);
        builder.set_policy(ReconnectPolicy::new_exponential(0, 50, 1_000, 2));
        builder.with_connection_config(|connection| {
            connection.connection_timeout = Duration::from_secs(1);
            connection.internal_command_timeout = Duration::from_secs(1);
            connection.max_command_attempts = 1;
            connection.max_command_buffer_len = COMMANDS;
            connection.tcp.nodelay = Some(true);
            connection.unresponsive =
                UnresponsiveConfig { interval: Duration::from_millis(500), max_timeout: Some(Duration::from_secs(3)) };
        });
        builder.with_performance_config(|performance| {
            performance.default_command_timeout = settings.deadline;
            performance.broadcast_channel_capacity = BUS_BACKLOG;
        });
        let client = || builder.build().map_err(|error| error.details().to_owned());
        Ok(Self(Arc::new(Inner {
            commands: client()?,
            subscriber: client()?,
            options: Options {
                max_attempts: Some(1),
                timeout: Some(settings.deadline),
                fail_fast: true,
                ..Options::default()
            },
            prefix: settings.prefix.clone(),
            deadline: settings.deadline,
            clustered,
            usable: AtomicBool::new(false),
            garbled: Mutex::default(),
            faults: Mutex::new(BTreeMap::from([(Area::Connection, UNREACHABLE.to_owned())])),
        })))
    }

    /// Keeps both connections, for as long as the service runs.
    pub fn connect(&self, lifecycle: &Lifecycle) {
        for client in [self.0.commands.clone(), self.0.subscriber.clone()] {
            let (redis, life) = (self.clone(), lifecycle.clone());
            lifecycle.supervise("redis connection", move || redis.clone().keep(client.clone(), life.clone()));
        }
    }

    /// fred comes back by itself, except where it gives up; then this does.
    async fn keep(self, client: Client, lifecycle: Lifecycle) {
        let (mut errors, mut connected) = (client.error_rx(), client.reconnect_rx());
        let mut task = client.connect();
        let mut retry = tokio::time::interval(AGAIN);
        loop {
            tokio::select! {
                // The connection stays: what is being written is still to be published.
                () = lifecycle.stopping() => return,
                error = errors.recv() => match error {
                    Ok((error, _)) if !error.is_cluster() => self.failed(Area::Connection, &error),
                    Ok(_) | Err(RecvError::Lagged(_)) => {}
                    Err(RecvError::Closed) => return,
                },
                // Whatever else is wrong shows again with the next command.
                _ = connected.recv() => self.all_works(),
                _ = retry.tick(), if task.is_finished() => task = client.connect(),
            }
        }
    }

    /// Commands, each with one attempt and the deadline.
    pub fn commands(&self) -> WithOptions<Client> {
        self.0.commands.with_options(&self.0.options)
    }

    /// Runs a script on keys. Scripts take no options, so that without a connection they would wait for one.
    pub async fn script<T: FromValue + Send>(&self, text: &str, keys: &[String], arguments: Vec<Value>) -> Option<T> {
        if self.0.commands.state() != ClientState::Connected {
            // Already said by whoever keeps the connection.
            return None;
        }
        let done = self.0.commands.eval(text, keys.iter().map(|key| self.name(key)).collect::<Vec<_>>(), arguments);
        self.run(Area::Write, Box::pin(done)).await
    }

    /// The connection that hears the bus.
    pub fn subscriber(&self) -> &Client {
        &self.0.subscriber
    }

    /// Whether there is such a connection.
    pub fn hears(&self) -> bool {
        self.0.subscriber.state() == ClientState::Connected
    }

    /// Commands on that connection, in the order given, with the deadline. They wait for the connection: its coming is
    /// told before it takes commands.
    pub fn subscribing(&self) -> WithOptions<Client> {
        self.0.subscriber.with_options(&Options { fail_fast: false, ..self.0.options.clone() })
    }

    /// Whether Redis is a cluster, whose channels belong to nodes.
    pub fn is_clustered(&self) -> bool {
        self.0.clustered
    }

    /// How long a command may take.
    pub fn deadline(&self) -> Duration {
        self.0.deadline
    }

    /// The name of a key or channel.
    pub fn name(&self, name: &str) -> String {
        format!("{}{name}", self.0.prefix)
    }

    /// A channel's name without the prefix, if it is one of ours.
    pub fn unprefixed<'a>(&self, name: &'a str) -> Option<&'a str> {
        name.strip_prefix(self.0.prefix.as_str())
    }

    /// Redis counts as down while it takes longer than this, half of the time in which a command has to be answered:
    /// nobody waits for it until it is quick again.
    pub fn slow(&self) -> Duration {
        // Shorter than the second between two proofs of life.
        (self.0.deadline / 2).min(Duration::from_millis(500))
    }

    /// Whether Redis answers, and quickly. If not, nobody asks it for what the database knows.
    pub fn is_usable(&self) -> bool {
        self.0.usable.load(Ordering::Acquire)
    }

    /// The proof of life came back quickly, or did not.
    pub fn set_usable(&self, usable: bool) {
        let was = self.0.usable.swap(usable, Ordering::AcqRel);
        if usable && !was {
            // What was late before is so no longer.
            self.all_works();
        }
    }

    /// The proof of life did not come back in time.
    pub fn is_late(&self) {
        self.set_usable(false);
        let late = format!("answers took longer than {} ms", self.slow().as_millis());
        self.failed(Area::Speed, &FredError::new(ErrorKind::Timeout, late));
    }

    /// Runs a command (boxed, because fred's futures are large) within the deadline, and takes note of how it went. `None`: it failed; who asked goes on
    /// without.
    pub async fn run<T>(&self, area: Area, commands: BoxFuture<'_, Result<T, FredError>>) -> Option<T> {
        metrics::counter!(telemetry::REDIS_CALLS).increment(1);
        let start = Instant::now();
        let late = || FredError::new(ErrorKind::Timeout, "no answer in time");
        let result = tokio::time::timeout(self.0.deadline, commands).await.unwrap_or_else(|_| Err(late()));
        if start.elapsed() > self.slow() {
            self.set_usable(false);
        }
        match result {
            Ok(value) => {
                self.worked(area);
                Some(value)
            }
            Err(error) => {
                self.failed(area, &error);
                None
            }
        }
    }

    /// Finds out whether Redis takes values, before anyone relies on it: one that is full or a replica does not.
    pub async fn try_write(&self) {
        let commands = self.commands();
        let set = commands.set::<(), _, _>(self.name("chat:probe"), 1, Some(Expiration::PX(1)), None, false);
        self.run(Area::Write, Box::pin(set)).await;
    }

    /// Replaces a value, unless what is there is as new.
    pub async fn replace(&self, new: &Replacement) {
        let lifetime = u64::try_from(new.lifetime.as_millis()).unwrap_or(u64::MAX).to_string();
        let arguments: Vec<Value> = vec![
            new.history.as_str().into(),
            new.rev.to_string().into(),
            Value::Bytes(new.value.clone().into()),
            lifetime.into(),
        ];
        let _: Option<u64> = self.script(REPLACE, std::slice::from_ref(&new.key), arguments).await;
    }

    /// Something came over the bus that is no message of ours.
    pub fn garbled(&self, why: &str) {
        let mut last = self.0.garbled.lock().unwrap_or_else(PoisonError::into_inner);
        let is_said = last.as_ref().is_some_and(|(at, _)| at.elapsed() < GARBLED);
        *last = Some((Instant::now(), why.to_owned()));
        drop(last);
        if !is_said {
            tracing::warn!(why, "something on the bus is no publication; such are dropped, and counted");
        }
    }

    /// Something of this area works.
    pub fn worked(&self, area: Area) {
        let was = self.faults().remove(&area);
        if let Some(was) = was {
            tracing::info!(before = was, "Redis can be used");
        }
    }

    fn all_works(&self) {
        for area in Area::ALL {
            self.worked(area);
        }
    }

    /// Something of this area does not work: said once, until it changes.
    pub fn failed(&self, area: Area, error: &FredError) {
        let text = describe(error);
        let mut faults = self.faults();
        // Several areas suffer from one cause.
        let is_said = faults.values().any(|said| *said == text);
        faults.insert(area, text.clone());
        drop(faults);
        if !is_said {
            tracing::warn!(redis = text, error = %error, "Redis cannot be used as it should; the service goes on without");
        }
    }

    /// What is wrong, in words for people; nothing if nothing is.
    pub fn fault(&self) -> Option<String> {
        // Without a connection nothing else works, and says so in other words.
        let fault = self.faults().values().next().cloned();
        let garbled = self.0.garbled.lock().unwrap_or_else(PoisonError::into_inner);
        let of_late = garbled.as_ref().filter(|(at, _)| at.elapsed() < GARBLED);
        fault.or_else(|| of_late.map(|(_, why)| format!("something on the bus is no publication: {why}")))
    }

    fn faults(&self) -> std::sync::MutexGuard<'_, BTreeMap<Area, String>> {
        self.0.faults.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is wrong, in words for the person who runs the service.
fn describe(error: &FredError) -> String {
    let details = error.details();
    let begins = |code: &str| details.starts_with(code);
    if begins("NOAUTH") || begins("WRONGPASS") || *error.kind() == ErrorKind::Auth {
        "it wants a password; put the right one into REDIS_URL".to_owned()
    } else if begins("READONLY") {
        "it is read-only; REDIS_URL names a replica".to_owned()
    } else if begins("OOM") {
        "its memory is full".to_owned()
    } else if begins("LOADING") {
        "it is still loading its data".to_owned()
    } else {
        match error.kind() {
            ErrorKind::Timeout => {
                "it is too slow, and counts as down until it is quicker; see REDIS_DEADLINE_MS".to_owned()
            }
            ErrorKind::Protocol | ErrorKind::Parse => "what answers does not speak Redis's protocol".to_owned(),
            _ => UNREACHABLE.to_owned(),
        }
    }
}

/// Reads an address. fred takes nearly any text for one, so what it must look like is checked here.
fn read(url: &str) -> Result<Config, String> {
    const SCHEMES: [&str; 4] = ["", "-cluster", "-sentinel", "+unix"];
    let (scheme, rest) = url.split_once("://").unwrap_or((url, ""));
    if scheme == "unix" {
        return read(&format!("redis+unix://{rest}"));
    }
    let kind = ["rediss", "redis", "valkeys", "valkey"].iter().find_map(|name| scheme.strip_prefix(name));
    if rest.is_empty() || !kind.is_some_and(|kind| SCHEMES.contains(&kind)) {
        return Err(
            "is no address such as redis://host:6379, rediss:, redis-cluster:, redis-sentinel:, redis+unix:///path"
                .to_owned(),
        );
    }
    Config::from_url(url).map_err(|error| error.details().to_owned())
}

impl std::fmt::Debug for Redis {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The address may hold a password.
        f.debug_struct("Redis").field("clustered", &self.0.clustered).finish_non_exhaustive()
    }
}
