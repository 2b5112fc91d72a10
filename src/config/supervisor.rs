//! What systemd, or whatever supervises the process in its manner, puts into the environment. These are no settings: an
//! operator writes a unit, and the supervisor sets them.

use std::ffi::OsString;
use std::net::TcpListener;
use std::time::Duration;

use listenfd::ListenFd;

use super::ConfigError;

/// How to speak to the supervisor.
#[derive(Debug, Default, Clone)]
pub struct Supervisor {
    /// Where it hears what becomes of the service (`NOTIFY_SOCKET`).
    pub socket: Option<OsString>,
    /// Within what time it wants to hear that the service is alive (`WATCHDOG_USEC`).
    pub watchdog: Option<Duration>,
}

impl Supervisor {
    /// The one of this process, if it has one.
    pub fn from_environment() -> Result<Self, ConfigError> {
        let text = |name: &str| std::env::var_os(name).map(|value| value.to_string_lossy().into_owned());
        let socket = std::env::var_os("NOTIFY_SOCKET").filter(|path| !path.is_empty());
        // A process started by the supervised one inherits these, and is not meant.
        let own = text("WATCHDOG_PID").is_none_or(|pid| pid == std::process::id().to_string());
        let watchdog = text("WATCHDOG_USEC").filter(|_| own).map(|value| microseconds(&value)).transpose()?;
        Ok(Self { socket, watchdog })
    }
}

fn microseconds(value: &str) -> Result<Duration, ConfigError> {
    let number = value.parse().ok().filter(|number| *number > 0);
    number.map(Duration::from_micros).ok_or_else(|| ConfigError::new("WATCHDOG_USEC", "is a number of microseconds"))
}

/// The socket to listen on in the place of `HOST` and `PORT`, if the supervisor passed one (`LISTEN_FDS`).
pub fn passed_listener() -> Result<Option<TcpListener>, ConfigError> {
    let refused = |detail: String| ConfigError::new("LISTEN_FDS", detail);
    let mut passed = ListenFd::from_env();
    if passed.len() > 1 {
        return Err(refused(format!("{} sockets were passed, and one is listened on", passed.len())));
    }
    let listener = passed.take_tcp_listener(0);
    listener.map_err(|error| refused(format!("what was passed is no listening TCP socket: {error}")))
}
