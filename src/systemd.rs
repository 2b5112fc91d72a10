//! Tells systemd, or whatever stands in for it, that the service is ready, alive, and stopping (`sd_notify(3)`). Where
//! nobody asked to be told, does nothing. A supervisor that does not listen is logged and never in the service's way.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use tokio::time::MissedTickBehavior;

use crate::config::{ConfigError, Supervisor};

/// The longest a thread is held up by a supervisor that does not read what it is sent.
const PATIENCE: Duration = Duration::from_secs(1);
/// How many looks at whether the service is alive fit into the time after which it counts as dead.
const LOOKS: u32 = 4;

/// The way to the supervisor.
#[derive(Debug)]
pub struct Systemd {
    socket: Option<(UnixDatagram, SocketAddr)>,
    watchdog: Option<Duration>,
}

impl Systemd {
    /// The way to this one. `look` is the longest that it takes to tell whether the service is alive.
    pub fn new(supervisor: &Supervisor, look: Duration) -> Result<Self, ConfigError> {
        let refused = |error| ConfigError::new("NOTIFY_SOCKET", format!("cannot be written to: {error}"));
        let socket = supervisor.socket.as_deref().map(open).transpose().map_err(refused)?;
        // Otherwise a database that is slow would get the service killed, which cures nothing.
        if supervisor.watchdog.is_some_and(|within| within < look * LOOKS) {
            let detail =
                format!("WatchdogSec= is at least {}s, as DATABASE_DEADLINE_MS is now", (look * LOOKS).as_secs());
            return Err(ConfigError::new("WATCHDOG_USEC", detail));
        }
        Ok(Self { socket, watchdog: supervisor.watchdog })
    }

    /// It serves, there.
    pub fn ready(&self, url: &str) {
        self.tell(&format!("READY=1\nSTATUS=Listening on {url}"));
    }

    /// It has begun to stop, which may take this long: more than the unit allows, if that is what was set.
    pub fn stopping(&self, longest: Duration) {
        self.tell(&format!("STOPPING=1\nSTATUS=Stopping\nEXTEND_TIMEOUT_USEC={}", longest.as_micros()));
    }

    /// Tells again and again that the service is alive, for as long as it is. Never ends.
    pub async fn watch<F: Future<Output = bool>>(&self, is_alive: impl Fn() -> F) {
        let Some(within) = self.watchdog else { return std::future::pending().await };
        let mut looks = tokio::time::interval(within / LOOKS);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            looks.tick().await;
            if is_alive().await {
                self.tell("WATCHDOG=1");
            } else {
                tracing::error!("the service is not alive any more; the supervisor is not told that it is");
            }
        }
    }

    fn tell(&self, state: &str) {
        let Some((socket, address)) = &self.socket else { return };
        if let Err(error) = socket.send_to_addr(state.as_bytes(), address) {
            tracing::warn!(%error, "the supervisor did not hear what it was told");
        }
    }
}

/// A path, or after `@` a name in the abstract namespace.
fn open(name: &OsStr) -> io::Result<(UnixDatagram, SocketAddr)> {
    let address = match name.as_bytes() {
        [b'@', name @ ..] => of_abstract_name(name)?,
        _ => SocketAddr::from_pathname(name)?,
    };
    let socket = UnixDatagram::unbound()?;
    socket.set_write_timeout(Some(PATIENCE))?;
    Ok((socket, address))
}

#[cfg(target_os = "linux")]
fn of_abstract_name(name: &[u8]) -> io::Result<SocketAddr> {
    <SocketAddr as std::os::linux::net::SocketAddrExt>::from_abstract_name(name)
}

#[cfg(not(target_os = "linux"))]
fn of_abstract_name(_name: &[u8]) -> io::Result<SocketAddr> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use tempfile::TempDir;

    use super::*;

    const LOOK: Duration = Duration::from_secs(1);

    fn supervisor(folder: &TempDir, watchdog: Duration) -> (UnixDatagram, Supervisor) {
        let path = folder.path().join("notify");
        let heard = UnixDatagram::bind(&path).expect("a path of its own");
        heard.set_nonblocking(true).expect("a socket");
        (heard, Supervisor { socket: Some(path.into()), watchdog: Some(watchdog) })
    }

    fn told(heard: &UnixDatagram) -> Vec<String> {
        let mut buffer = [0; 100];
        let next =
            || heard.recv(&mut buffer).ok().map(|length| String::from_utf8_lossy(&buffer[..length]).into_owned());
        std::iter::from_fn(next).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_said_to_be_alive_only_while_it_is() {
        let folder = tempfile::tempdir().expect("a folder");
        let (heard, supervisor) = supervisor(&folder, 8 * LOOK);
        let systemd = Systemd::new(&supervisor, LOOK).expect("a socket");
        let alive = AtomicBool::new(true);
        let watch = async |time: Duration| {
            drop(tokio::time::timeout(time, systemd.watch(|| async { alive.load(Ordering::Relaxed) })).await);
        };
        watch(7 * LOOK).await;
        assert_eq!(told(&heard), ["WATCHDOG=1"; 4], "at once and every two seconds");
        alive.store(false, Ordering::Relaxed);
        watch(60 * LOOK).await;
        assert_eq!(told(&heard), [""; 0]);
        drop(tokio::time::timeout(60 * LOOK, systemd.watch(std::future::pending::<bool>)).await);
        assert_eq!(told(&heard), [""; 0], "nor while it cannot be told");
        systemd.ready("here");
        systemd.stopping(Duration::from_secs(40));
        let stopping = "STOPPING=1\nSTATUS=Stopping\nEXTEND_TIMEOUT_USEC=40000000";
        assert_eq!(told(&heard), ["READY=1\nSTATUS=Listening on here", stopping]);
    }

    #[test]
    fn a_watchdog_too_quick_to_tell_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let (_heard, supervisor) = supervisor(&folder, 3 * LOOK);
        assert_eq!(Systemd::new(&supervisor, LOOK).expect_err("too quick").setting, "WATCHDOG_USEC");
    }

    #[test]
    fn nobody_to_tell_is_no_error() {
        let systemd = Systemd::new(&Supervisor::default(), LOOK).expect("nothing to open");
        systemd.ready("here");
        let gone = Supervisor { socket: Some("/no/such/socket".into()), watchdog: None };
        Systemd::new(&gone, LOOK).expect("it may come").stopping(LOOK);
    }
}
