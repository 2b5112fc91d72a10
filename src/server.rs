//! The composition root: settings in, a running service out. The only place that picks backends.

mod watching;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::auth::request::Browsers;
use crate::auth::{self, Auth};
use crate::broker::Broker;
use crate::cache::Cache;
use crate::chat::{Chat, Keeping, Most, Parts};
use crate::config::{Config, ConfigError, HookFailure, Identity, RetentionSettings, RoomCreate, Switch};
use crate::error::Error;
use crate::http;
use crate::lifecycle::{Drained, Lifecycle};
use crate::limits::{self, Connections, Limits, TrustedProxies};
use crate::model::text::METADATA_BYTES;
use crate::model::{History, Retention, RoomId};
use crate::moderation::{Hook, HookSettings, OnFailure, Screen, WordList};
use crate::outbound::Outbound;
use crate::presence::Presence;
use crate::protocol;
use crate::redis::{self, Redis};
use crate::store::{self, Bounds, OpenError, Store};
use crate::ws;
use watching::Watching;

/// The room everyone of a demo meets in.
const LOBBY: &str = "lobby";
/// How long a start waits for the bus.
const BUS: Duration = Duration::from_secs(1);
/// How long a stop waits for what is running, once clients have gone.
pub const PATIENCE: Duration = Duration::from_secs(10);
/// How long the database may take to close; a file then is left as after a crash, which costs the next start a moment.
const CLOSING: Duration = Duration::from_secs(3);
/// Longest frame from a client, in bytes, as long as that fits the longest message.
const FRAME_BYTES: usize = 64 << 10;
/// Bytes a character can take in JSON: two escapes of six.
const CHARACTER_BYTES: usize = 12;

/// Why the service did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A setting does not work.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The database cannot be used.
    #[error(transparent)]
    Database(#[from] OpenError),
    /// The address cannot be listened on.
    #[error("{setting}: cannot listen on {address}: {source}")]
    Listen {
        /// Which settings say so.
        setting: &'static str,
        /// The address.
        address: SocketAddr,
        /// Why not.
        source: std::io::Error,
    },
    /// The socket that was passed cannot be used.
    #[error("LISTEN_FDS: the socket cannot be used: {0}")]
    Passed(std::io::Error),
    /// Signals cannot be heard.
    #[error("cannot listen for signals: {0}")]
    Signals(std::io::Error),
    /// The first use of the database failed.
    #[error("cannot prepare the database: {}", .0.chain())]
    Prepare(Error),
}

/// A running service.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    metrics: Option<SocketAddr>,
    base_path: String,
    lifecycle: Lifecycle,
    store: Store,
    accepting: JoinHandle<Option<()>>,
    longest_look: Duration,
    drain: Duration,
}

impl Server {
    /// Starts the service; it serves once this returns.
    pub async fn start(config: Config) -> Result<Self, StartError> {
        Self::start_on(None, config).await
    }

    /// The same on a socket that listens already, in the place of `HOST` and `PORT`.
    pub async fn start_on(listener: Option<std::net::TcpListener>, mut config: Config) -> Result<Self, StartError> {
        if let Some(listener) = &listener {
            // Whether the public could come in by accident depends on where that is.
            let address = listener.local_addr().map_err(StartError::Passed)?;
            (config.host, config.port) = (Some(address.ip()), address.port());
        }
        config.check()?;
        let identity = config.identity()?;
        let address = SocketAddr::new(config.host(&identity), config.port);
        let (longest_look, drain) = (longest_look(&config), Duration::from_secs(config.drain_seconds));
        let keys = keys(&config, &identity)?;
        let redis = redis(&config)?;
        let screen = screen(&config)?;
        let store = Store::open(&store_settings(&config)?).await?;
        let lifecycle = Lifecycle::default();
        let head = Duration::from_secs(config.head_seconds);
        let watching = Watching::begin(&config)?;
        let limits_on = config.limits.limits == Switch::On;
        if !limits_on {
            tracing::warn!("rate limits are off; this is for load tests only");
        }
        let told = told_limits(&config);
        let broker = match &redis {
            _ if store.is_alone() => Broker::Alone,
            None => Broker::Silent,
            Some(redis) => Broker::over(redis.clone(), &lifecycle),
        };
        let (cache, presence) = match &redis {
            None => (Cache::Alone, Presence::Alone),
            Some(redis) => (Cache::Redis(redis.clone()), Presence::Redis(redis.clone(), broker.instance())),
        };
        let chat = Chat::new(Parts {
            store: store.clone(),
            broker,
            cache,
            presence,
            redis: redis.clone(),
            limits: Limits::new(&buckets(&told)),
            screen,
            lifecycle: lifecycle.clone(),
            message_chars: config.limits.message_chars as usize,
            most: most(&config, limits_on),
            users_make_rooms: config.room_create == RoomCreate::Users,
            keeping: keeping(&config.retention),
        });
        // After whoever listens to it listens.
        if let Some(redis) = &redis {
            redis.connect(&lifecycle);
        }
        broker_ready(&chat).await;
        let metrics = watching.map(|watching| watching.serve(head, &chat, &lifecycle)).transpose()?;
        // Nobody comes in before it is known who may not.
        chat.read_access().await.map_err(StartError::Prepare)?;
        let auth = authentication(keys, &chat, &store, &lifecycle).await?;
        let of_address = Connections::new(told.connections_per_address as usize);
        let door = http::Door {
            head,
            proxies: Arc::new(TrustedProxies::new(config.limits.trusted_proxies.clone())),
            connections: Connections::new(told.connections_per_address as usize),
            counted: true,
        };
        let connections = ws::Settings {
            limits: told,
            heartbeat: Duration::from_secs(config.heartbeat_seconds),
            auth_deadline: Duration::from_secs(config.auth_seconds),
            max_connections: config.limits.max_connections as usize,
            of_address,
        };
        let origins = config.identity.allowed_origins.clone();
        let browsers = Arc::new(Browsers { cookies: cookies(&config, &identity), origins });
        let sockets = ws::route(chat.clone(), auth.clone(), browsers.clone(), lifecycle.clone(), connections);
        let site = http::site(http::AppState { chat, auth, browsers }, &config.base_path, sockets, &door);
        let listener = match listener {
            Some(listener) => http::take_over(listener).map_err(StartError::Passed)?,
            None => listen("HOST and PORT", address)?,
        };
        let address = listener.local_addr().map_err(StartError::Passed)?;
        let accepting = serve(listener, site, door, &lifecycle);
        Ok(Self { address, metrics, base_path: config.base_path, lifecycle, store, accepting, longest_look, drain })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where `GET /metrics` is answered, if anywhere.
    pub fn metrics_address(&self) -> Option<SocketAddr> {
        self.metrics
    }

    /// Where a browser finds it.
    pub fn url(&self) -> String {
        let host =
            if self.address.ip().is_unspecified() { "localhost".to_owned() } else { self.address.ip().to_string() };
        format!("http://{host}:{}{}", self.address.port(), self.base_path)
    }

    /// Whether it lives: it takes connections, its threads do what they are given, and the database answers or is found
    /// not to. That the database is gone is no reason to start the service anew, so it does not count.
    pub async fn is_alive(&self) -> bool {
        let store = self.store.clone();
        let asked = self.lifecycle.spawn("look", async move { store.ping().await });
        let answered = tokio::time::timeout(self.longest_look, asked).await;
        matches!(answered, Ok(Ok(Some(_)))) && !self.accepting.is_finished()
    }

    /// The longest that [`shut_down`](Self::shut_down) takes, with something to spare for the database's end.
    pub fn longest_stop(&self) -> Duration {
        self.drain + 2 * PATIENCE
    }

    /// Stops: no new sockets, those there are told when to come back, and served until they have gone; then no connections
    /// at all, running writes finished, the database closed. Returns whether all of it ended in time.
    pub async fn shut_down(self) -> bool {
        let Drained { guests, shown_out, left } = self.lifecycle.drain(self.drain).await;
        self.lifecycle.stop();
        let ended = self.lifecycle.ended(PATIENCE).await;
        let ended = tokio::time::timeout(CLOSING, self.store.close()).await.is_ok() && ended;
        let gone = guests.saturating_sub(shown_out + left);
        tracing::info!(gone, closed = shown_out + left, cut = !ended, "stopped");
        ended
    }
}

/// The longest it takes to tell whether the service is alive: a call that waits for the database ends by its deadline.
pub fn longest_look(config: &Config) -> Duration {
    2 * Duration::from_millis(config.database_deadline_ms)
}

/// How much one may do, as clients are told.
fn told_limits(config: &Config) -> protocol::Limits {
    let limits = &config.limits;
    let if_on = |most: u32| if limits.limits == Switch::On { most } else { 0 };
    protocol::Limits {
        message_chars: limits.message_chars as usize,
        frame_bytes: FRAME_BYTES.max(CHARACTER_BYTES * limits.message_chars as usize + (16 << 10)),
        rooms_per_connection: limits.rooms_per_connection as usize,
        body_bytes: http::BODY_BYTES,
        metadata_bytes: METADATA_BYTES,
        connections_per_user: if_on(limits.connections_per_user),
        polls_per_user: if_on(limits.polls_per_user),
        sends_per_second: if_on(limits.sends_per_second),
        changes_per_second: if_on(limits.changes_per_second),
        rooms_per_hour: if_on(limits.rooms_per_hour),
        frames_per_second: if_on(limits.frames_per_second),
        connections_per_address: if_on(limits.connections_per_address),
    }
}

/// The buckets that hold people to it.
fn buckets(told: &protocol::Limits) -> limits::Settings {
    limits::Settings {
        sends_per_second: told.sends_per_second,
        changes_per_second: told.changes_per_second,
        rooms_per_hour: told.rooms_per_hour,
        frames_per_second: told.frames_per_second,
    }
}

/// How much of each room is kept.
fn keeping(settings: &RetentionSettings) -> Keeping {
    let default = Retention {
        days: Some(settings.retention_days).filter(|days| *days > 0),
        messages: Some(settings.retention_messages).filter(|messages| *messages > 0),
    };
    Keeping { bounds: Bounds { default, at_least: settings.at_least() }, every: settings.every() }
}

fn most(config: &Config, limits_on: bool) -> Most {
    let most = |number: u32| if limits_on { number as usize } else { usize::MAX };
    Most { connections: most(config.limits.connections_per_user), polls: most(config.limits.polls_per_user) }
}

/// Waits a little for the bus, so that the first rooms are followed with it; without Redis it serves all the same.
async fn broker_ready(chat: &Chat) {
    if tokio::time::timeout(BUS, chat.bus_proven()).await.is_err() {
        tracing::warn!("the bus is not there yet; until it is, messages of other instances take up to a second");
    }
}

/// Redis, if it is set; not connected yet.
fn redis(config: &Config) -> Result<Option<Redis>, ConfigError> {
    let Some(settings) = redis_settings(config)? else { return Ok(None) };
    // The address itself is not shown: it may hold a password.
    Redis::new(&settings).map(Some).map_err(|error| ConfigError::new("REDIS_URL", error))
}

/// How to reach Redis, if it is set.
pub fn redis_settings(config: &Config) -> Result<Option<redis::Settings>, ConfigError> {
    let Some(url) = config.redis_url()? else { return Ok(None) };
    let deadline = Duration::from_millis(config.redis_deadline_ms);
    Ok(Some(redis::Settings { url, prefix: config.redis_prefix.clone(), deadline }))
}

/// What is asked before a message is written.
fn screen(config: &Config) -> Result<Screen, ConfigError> {
    let words = config.moderation.words()?.map(|text| WordList::parse(&text)).transpose();
    let words = words.map_err(|wrong| ConfigError::new("MODERATION_WORDS_FILE", wrong))?;
    let Some((url, secret)) = config.moderation.hook()? else { return Ok(Screen::new(words, None)) };
    let address: hyper::Uri = url.parse().unwrap_or_default();
    if address.host().is_none() || !matches!(address.scheme_str(), Some("http" | "https")) {
        // The address itself is not shown: it may hold a secret.
        return Err(ConfigError::new("MODERATION_HOOK_URL", "is no address such as https://app.example.com/moderate"));
    }
    let settings = HookSettings {
        address,
        secret,
        deadline: Duration::from_millis(config.moderation.moderation_hook_deadline_ms),
        on_failure: match config.moderation.moderation_hook_failure {
            HookFailure::Accept => OnFailure::Accept,
            HookFailure::Reject => OnFailure::Refuse,
        },
    };
    let outbound = Outbound::new()
        .map_err(|error| ConfigError::new("MODERATION_HOOK_URL", format!("no certificates can be read: {error}")))?;
    Ok(Screen::new(words, Some(Hook::new(settings, outbound))))
}

fn listen(setting: &'static str, address: SocketAddr) -> Result<TcpListener, StartError> {
    http::listen(address).map_err(|source| StartError::Listen { setting, address, source })
}

/// Serves in a task.
fn serve(listener: TcpListener, site: http::Site, door: http::Door, lifecycle: &Lifecycle) -> JoinHandle<Option<()>> {
    let serving = lifecycle.clone();
    lifecycle.spawn("accept", async move { http::serve(listener, site, door, &serving).await })
}

/// The keys of the application's tokens, if they are not a demo's. Before anything is opened: a key that cannot be used
/// is a setting that does not work.
fn keys(config: &Config, identity: &Identity) -> Result<Option<Auth>, ConfigError> {
    let Identity::Tokens(tokens) = identity else { return Ok(None) };
    if config.identity.short_session_secrets()? {
        tracing::warn!("AUTH_SECRET or NEXTAUTH_SECRET has under 32 bytes; whoever guesses it is anyone they like");
    }
    Auth::new(tokens).map(Some)
}

/// The cookies that carry a token.
fn cookies(config: &Config, identity: &Identity) -> Vec<String> {
    match identity {
        Identity::Tokens(tokens) => auth::cookies(tokens),
        Identity::Demo => config.identity.session_cookie.iter().cloned().collect(),
    }
}

async fn authentication(
    keys: Option<Auth>,
    chat: &Chat,
    store: &Store,
    lifecycle: &Lifecycle,
) -> Result<Arc<Auth>, StartError> {
    let auth = if let Some(auth) = keys {
        auth.keep_fresh(lifecycle);
        auth
    } else {
        tracing::info!("anyone on this machine may come in by name; set JWT_SECRET to use your application's tokens");
        let lobby = RoomId::trusted(LOBBY.to_owned());
        chat.ensure_public_room(&lobby, "Lobby").await.map_err(StartError::Prepare)?;
        Auth::demo(&store.demo_key().await.map_err(StartError::Prepare)?)?
    };
    Ok(Arc::new(auth))
}

/// Brings the schema up to date and ends.
pub async fn migrate(config: &Config) -> Result<(), StartError> {
    let settings = store::Settings { auto_migrate: true, ..store_settings(config)? };
    Store::open(&settings).await?.close().await;
    Ok(())
}

/// Gives the database a new history and ends: after a restore no cursor of before means anything any more.
pub async fn renew_history(config: &Config) -> Result<History, StartError> {
    let store = Store::open(&store_settings(config)?).await?;
    let history = store.renew_history().await.map_err(StartError::Prepare)?;
    store.close().await;
    Ok(history)
}

/// Refuses what cannot work before anything is opened, as a start does.
pub fn check_settings(config: &Config) -> Result<(), ConfigError> {
    config.check()?;
    if let Identity::Tokens(tokens) = config.identity()? {
        Auth::new(&tokens)?;
    }
    redis(config)?;
    screen(config)?;
    Ok(())
}

/// How to open the database.
pub fn store_settings(config: &Config) -> Result<store::Settings, ConfigError> {
    Ok(store::Settings {
        url: config.database_url()?,
        auto_migrate: config.auto_migrate == Switch::On,
        connections: config.database_connections,
        deadline: Duration::from_millis(config.database_deadline_ms),
        commit_batch: config.commit_batch as usize,
        allow_unsafe: config.unsafe_database == Switch::On,
    })
}
