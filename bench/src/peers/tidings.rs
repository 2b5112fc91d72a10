//! Tidings as it is run: the release binary with tokens, limits that are counted but not reached, and a database of its
//! own that syncs every commit. People and rooms are made by the application's calls, as an application would.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;
use tempfile::TempDir;

use super::Child;
use super::databases::{Databases, free_port};
use crate::calls::{self, Call};
use crate::{Failure, Options};

/// What members one call of the application can name.
const MEMBERS_AT_ONCE: usize = 1000;
/// Calls under way at once while a measurement is prepared.
const WIDTH: usize = 64;
const SECRET: &str = "the secret of a measurement, which has more than 32 bytes";

/// Who connects.
#[derive(Debug, Clone)]
pub(crate) struct Person {
    pub(crate) id: String,
    pub(crate) token: String,
}

impl Person {
    /// Of this name, with a token for a day.
    pub(crate) fn new(id: impl Into<String>) -> Self {
        let id = id.into();
        let token = sign(&format!(r#""sub":"{id}","name":"Person {id}""#));
        Self { id, token }
    }
}

/// A running server, and where it keeps its data.
pub(crate) struct Tidings {
    instances: Vec<Instance>,
    binary: PathBuf,
    cores: Option<&'static str>,
    more: Vec<(String, String)>,
    databases: Option<Databases>,
    folder: TempDir,
}

struct Instance {
    child: Child,
    address: SocketAddr,
    metrics: SocketAddr,
}

impl Tidings {
    /// On a new database: a file, or `PostgreSQL` with Redis.
    pub(crate) fn start(options: &Options, postgres: bool) -> Result<Self, Failure> {
        let databases = if postgres { Some(Databases::start(options.redis)?) } else { None };
        let mut tidings = Self {
            instances: Vec::new(),
            binary: options.binary()?,
            cores: options.pins().server,
            more: options.settings.clone(),
            databases,
            folder: tempfile::Builder::new().prefix("tidings-bench-").tempdir()?,
        };
        tidings.add_instance()?;
        Ok(tidings)
    }

    /// One more instance on the same database and Redis.
    pub(crate) fn add_instance(&mut self) -> Result<(), Failure> {
        let metrics = SocketAddr::from(([127, 0, 0, 1], free_port()?));
        let mut plan = Child::new(&self.binary)
            .pinned(self.cores)
            .set("JWT_SECRET", SECRET)
            .set("HOST", "127.0.0.1")
            .set("PORT", "0")
            .set("METRICS_ADDR", metrics.to_string())
            .set("RUST_LOG", "error");
        for limit in ["SENDS_PER_SECOND", "CHANGES_PER_SECOND", "FRAMES_PER_SECOND"] {
            plan = plan.set(limit, "100000");
        }
        for limit in ["ROOMS_PER_HOUR", "CONNECTIONS_PER_ADDRESS", "MAX_CONNECTIONS", "CONNECTIONS_PER_USER"] {
            plan = plan.set(limit, "1000000");
        }
        plan = plan.set("ROOMS_PER_CONNECTION", "10000");
        plan = match &self.databases {
            Some(databases) => databases.settings().into_iter().fold(plan, |plan, (name, value)| plan.set(name, value)),
            None => plan.set("DATABASE_URL", sqlite(self.folder.path())),
        };
        for (name, value) in &self.more {
            plan = plan.set(name, value);
        }
        let mut child = plan.start(&[])?;
        let address = child.address()?;
        self.instances.push(Instance { child, address, metrics });
        Ok(())
    }

    /// Stops it and starts it anew on the same data: nothing of what was before is in memory.
    pub(crate) fn restart(&mut self) -> Result<(), Failure> {
        let count = self.instances.len();
        self.instances.drain(..).for_each(|instance| instance.child.stop());
        (0..count).try_for_each(|_| self.add_instance())
    }

    /// How long the first instance took to listen.
    pub(crate) fn listened_after(&self) -> Option<Duration> {
        self.instances[0].child.listened_after
    }

    /// The first instance.
    pub(crate) fn address(&self) -> SocketAddr {
        self.instances[0].address
    }

    pub(crate) fn addresses(&self) -> Vec<SocketAddr> {
        self.instances.iter().map(|instance| instance.address).collect()
    }

    pub(crate) fn metrics(&self) -> Vec<SocketAddr> {
        self.instances.iter().map(|instance| instance.metrics).collect()
    }

    /// The processes of the service itself; its databases are not among them.
    pub(crate) fn processes(&self) -> Vec<u32> {
        self.instances.iter().map(|instance| instance.child.id()).collect()
    }

    /// What the databases run as.
    pub(crate) fn database_processes(&self) -> Vec<u32> {
        self.databases.as_ref().map(Databases::processes).unwrap_or_default()
    }

    /// Makes everyone known, who else would be written down when they first come.
    pub(crate) fn introduce(&self, people: &[Person]) -> Result<(), Failure> {
        let calls = people.iter().map(|person| Call::get("/api/session", &person.token)).collect();
        calls::all(self.address(), calls, WIDTH)
    }

    /// Makes rooms with these members.
    pub(crate) fn rooms(&self, rooms: &[(String, Vec<&Person>)]) -> Result<(), Failure> {
        let application = sign(r#""scope":"chat:admin""#);
        let make = |(id, members): &(String, Vec<&Person>)| {
            let members: Vec<String> =
                members.iter().take(MEMBERS_AT_ONCE).map(|person| format!(r#"{{"userId":"{}"}}"#, person.id)).collect();
            let body = format!(r#"{{"type":"PUBLIC","title":"{id}","members":[{}]}}"#, members.join(","));
            Call::new("PUT", format!("/api/admin/rooms/{id}"), &application, &body)
        };
        calls::all(self.address(), rooms.iter().map(make).collect(), WIDTH / 4)?;
        // Who did not fit into the first call comes by themselves.
        let join = |room: &str, person: &Person| {
            let path = format!("/api/chat/rooms/{room}/members/{}", person.id);
            Call::new("PUT", path, &person.token, "{}")
        };
        let rest =
            rooms.iter().flat_map(|(id, members)| members.iter().skip(MEMBERS_AT_ONCE).map(move |one| join(id, one)));
        calls::all(self.address(), rest.collect(), WIDTH)
    }
}

fn sqlite(folder: &Path) -> String {
    format!("sqlite:{}", folder.join("tidings.db").display())
}

/// A token with these claims.
fn sign(claims: &str) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
    let body = format!("{}.{}", part(r#"{"alg":"HS256"}"#), part(&format!(r#"{{{claims},"exp":{}}}"#, now + 86_400)));
    let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes());
    format!("{body}.{}", URL_SAFE_NO_PAD.encode(hmac::sign(&key, body.as_bytes())))
}
