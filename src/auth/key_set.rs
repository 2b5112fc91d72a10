//! Public keys that the application publishes and may change (JWKS, RFC 7517). They are kept in memory: verifying
//! reads them there, and a task of their own fetches them at the start, every ten minutes, and when a token names a key
//! that is not there, for that at most every 30 s however many such tokens come. A fetch that fails changes
//! nothing.

use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hyper::Uri;
use hyper::body::Bytes;
use jsonwebtoken::{Algorithm, DecodingKey};
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep_until, timeout};

use super::der::{ed25519, point};
use super::keys::{Accepted, Key, Kind, algorithm, rsa};
use crate::config::{ConfigError, KeySetSource};
use crate::lifecycle::Lifecycle;
use crate::outbound::Outbound;
use crate::telemetry;

/// How often keys are fetched anyway; after that long a key that was taken back does not count any more.
const PERIOD: Duration = Duration::from_mins(10);
/// The time between two fetches because of unknown keys.
const COOLDOWN: Duration = Duration::from_secs(30);
/// How long a token with an unknown key waits for the fetch it causes.
const WAIT: Duration = Duration::from_secs(2);
/// How long after a failure to try again at first; twice as long each time, up to [`COOLDOWN`].
const RETRY: Duration = Duration::from_secs(1);
/// How long a fetch may take.
const DEADLINE: Duration = Duration::from_secs(5);
/// The longest set, in bytes.
const SET_BYTES: usize = 128 << 10;
/// The most keys of a set.
const SET_KEYS: usize = 64;

/// Why there are no new keys, in words for the log.
type Reason = String;

/// The keys as of the last fetch that worked.
pub(super) struct KeySet {
    source: Source,
    accepted: Accepted,
    state: watch::Sender<State>,
    wanted: Notify,
}

/// Where a set comes from: the one address or file that is set, whatever a token says.
#[derive(Clone)]
enum Source {
    Url(Box<(Uri, Outbound)>),
    File(PathBuf),
}

#[derive(Default)]
struct State {
    keys: Arc<[Named]>,
    is_fetching: bool,
    /// Fetches that have ended, well or not.
    fetches: u64,
    /// When an unknown key was the last time the reason.
    demanded: Option<Instant>,
}

/// A key and its `kid`.
struct Named {
    id: Option<String>,
    key: Key,
}

/// What the set says of a token's signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The key is there and vouches for it.
    Good,
    /// It does not, or there is none and never will be.
    Bad,
    /// The key is not there; perhaps it is new.
    Unknown,
}

impl KeySet {
    /// The set of a source. A file is read at once, and must be right; an address may be down for the moment.
    pub(super) fn open(source: &KeySetSource, accepted: Accepted) -> Result<Self, ConfigError> {
        match source {
            KeySetSource::Url(uri) => {
                let outbound = Outbound::new()
                    .map_err(|error| ConfigError::new("JWKS_URL", format!("no certificates to trust: {error}")))?;
                Ok(Self::empty(Source::Url(Box::new((uri.clone(), outbound))), accepted))
            }
            KeySetSource::File(path) => {
                let set = Self::empty(Source::File(path.clone()), accepted);
                let refused = |reason| ConfigError::new("JWKS_FILE", format!("{}: {reason}", path.display()));
                let keys = read(path).and_then(|bytes| set.parse(&bytes)).map_err(refused)?;
                set.state.send_modify(|state| state.keys = keys);
                Ok(set)
            }
        }
    }

    fn empty(source: Source, accepted: Accepted) -> Self {
        Self { source, accepted, state: watch::Sender::default(), wanted: Notify::new() }
    }

    /// How often the keys may have changed.
    pub(super) fn fetches(&self) -> u64 {
        self.state.borrow().fetches
    }

    /// Whether the set vouches for a message. The `kid` is looked up as it is; without one, there has to be just
    /// one key that fits.
    pub(super) fn verify(&self, id: Option<&str>, algorithm: Algorithm, message: &str, signature: &str) -> Verdict {
        if algorithm.family() == jsonwebtoken::AlgorithmFamily::Hmac {
            return Verdict::Bad;
        }
        let keys = self.state.borrow().keys.clone();
        let named: Vec<_> = keys.iter().filter(|named| id.is_none() || named.id.as_deref() == id).collect();
        if named.is_empty() {
            return Verdict::Unknown;
        }
        let mut fitting = named.into_iter().filter(|named| named.key.fits(algorithm));
        match (fitting.next(), fitting.next()) {
            (Some(one), None) if one.key.verifies(algorithm, message, signature) => Verdict::Good,
            _ => Verdict::Bad,
        }
    }

    /// Resolves once a fetch that may bring an unknown key has ended; at once where none is due.
    pub(super) async fn refreshed(&self) {
        let mut state = self.state.subscribe();
        let seen = {
            let now = state.borrow_and_update();
            if !now.is_fetching {
                self.wanted.notify_one();
                if now.demanded.is_some_and(|at| at.elapsed() < COOLDOWN) {
                    return;
                }
            }
            now.fetches
        };
        // Late or not, the token is looked at again, and refused if its key is not there.
        drop(timeout(WAIT, state.wait_for(|now| now.fetches > seen)).await);
    }

    /// Keeps the keys fresh for as long as the service runs.
    pub(super) fn keep_fresh(self: &Arc<Self>, lifecycle: &Lifecycle) {
        let (set, life) = (self.clone(), lifecycle.clone());
        // From now on: a token that comes before the task has begun waits for the first fetch and asks for no other.
        self.state.send_modify(|state| state.is_fetching = true);
        lifecycle.supervise("key set", move || {
            let (set, life) = (set.clone(), life.clone());
            async move {
                tokio::select! {
                    () = life.stopping() => {}
                    () = set.keep(|| set.source.clone().fetch()) => {}
                }
            }
        });
    }

    /// Fetches again and again.
    async fn keep<F: Future<Output = Result<Bytes, Reason>>>(&self, fetch: impl Fn() -> F) {
        let mut failures = 0;
        let mut is_told = false;
        loop {
            self.state.send_modify(|state| state.is_fetching = true);
            let fetched = fetch().await.and_then(|bytes| self.parse(&bytes));
            let pause = match &fetched {
                Ok(keys) => {
                    if !is_told {
                        tracing::info!(keys = keys.len(), "the key set is read");
                    }
                    (failures, is_told) = (0, true);
                    PERIOD
                }
                Err(reason) => {
                    tracing::warn!(reason, "the key set cannot be read; the keys of before count");
                    (failures, is_told) = (failures + 1, false);
                    COOLDOWN.min(RETRY * 2_u32.pow(failures.min(6) - 1))
                }
            };
            let result = if fetched.is_ok() { "ok" } else { "failed" };
            metrics::counter!(telemetry::KEY_SETS, "result" => result).increment(1);
            self.state.send_modify(|state| {
                state.keys = fetched.unwrap_or_else(|_| state.keys.clone());
                state.is_fetching = false;
                state.fetches += 1;
            });
            tokio::select! {
                () = sleep_until(Instant::now() + pause) => {}
                () = self.demanded() => {}
            }
        }
    }

    /// Resolves when a fetch is due because of an unknown key.
    async fn demanded(&self) {
        self.wanted.notified().await;
        let before = self.state.borrow().demanded;
        if let Some(before) = before {
            sleep_until(before + COOLDOWN).await;
        }
        self.state.send_modify(|state| state.demanded = Some(Instant::now()));
    }

    /// The keys of a set that can be used here. One that has none is no set.
    fn parse(&self, bytes: &[u8]) -> Result<Arc<[Named]>, Reason> {
        #[derive(Deserialize)]
        struct Set {
            keys: Vec<Value>,
        }
        let set: Set = serde_json::from_slice(bytes).map_err(|_| "it is no JSON with a list of `keys`".to_owned())?;
        if set.keys.len() > SET_KEYS {
            return Err(format!("it has {} keys of at most {SET_KEYS}", set.keys.len()));
        }
        let keys: Arc<[Named]> = set.keys.into_iter().filter_map(|key| self.usable(key)).collect();
        if keys.is_empty() {
            return Err("it has no key that can verify tokens here; see JWT_ALGORITHMS".to_owned());
        }
        Ok(keys)
    }

    fn usable(&self, jwk: Value) -> Option<Named> {
        let jwk: Jwk = serde_json::from_value(jwk).ok()?;
        let verifies = jwk.usage.as_deref().is_none_or(|usage| usage == "sig")
            && jwk.operations.as_ref().is_none_or(|all| all.iter().any(|one| one == "verify"));
        let (kind, key) = jwk.key().filter(|_| verifies)?;
        // An algorithm we do not know is one the key may not be used for here.
        let own = jwk.algorithm.as_deref().map(algorithm);
        let algorithms = match own {
            Some(None) => Vec::new(),
            own => self.accepted.of(kind, own.flatten()),
        };
        (!algorithms.is_empty()).then(|| Named { id: jwk.id, key: Key::new(algorithms, key) })
    }
}

/// A key of a set. Secrets have no place in one, so there is none of `oct`.
#[derive(Deserialize)]
struct Jwk {
    kty: String,
    #[serde(rename = "kid")]
    id: Option<String>,
    #[serde(rename = "alg")]
    algorithm: Option<String>,
    #[serde(rename = "use")]
    usage: Option<String>,
    #[serde(rename = "key_ops")]
    operations: Option<Vec<String>>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

impl Jwk {
    fn key(&self) -> Option<(Kind, DecodingKey)> {
        let bytes = |text: &Option<String>| URL_SAFE_NO_PAD.decode(text.as_deref()?).ok();
        let curve_point = |width| point(&[&[4][..], &bytes(&self.x)?, &bytes(&self.y)?].concat(), width);
        match (self.kty.as_str(), self.crv.as_deref()) {
            ("RSA", _) => Some((Kind::Rsa, rsa(&bytes(&self.n)?, &bytes(&self.e)?)?)),
            ("EC", Some("P-256")) => Some((Kind::P256, curve_point(32)?)),
            ("EC", Some("P-384")) => Some((Kind::P384, curve_point(48)?)),
            ("OKP", Some("Ed25519")) => Some((Kind::Ed25519, ed25519(&bytes(&self.x)?)?)),
            _ => None,
        }
    }
}

impl Source {
    async fn fetch(self) -> Result<Bytes, Reason> {
        match self {
            Self::Url(url) => {
                let (uri, outbound) = *url;
                outbound.get(&uri, DEADLINE, SET_BYTES).await.map_err(|error| chain(&error))
            }
            Self::File(path) => {
                let read = tokio::task::spawn_blocking(move || read(&path)).await;
                read.map_err(|error| error.to_string())?.map(Bytes::from)
            }
        }
    }
}

fn chain(error: &dyn std::error::Error) -> Reason {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

fn read(path: &std::path::Path) -> Result<Vec<u8>, Reason> {
    use std::io::Read;
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(|error| error.to_string())?;
    file.take(SET_BYTES as u64 + 1).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    if bytes.len() > SET_BYTES { Err(format!("it is longer than {SET_BYTES} bytes")) } else { Ok(bytes) }
}

#[cfg(test)]
mod tests;
