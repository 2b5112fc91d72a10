//! The log: lines on standard error, as text or JSON. It never holds a token, nor what a message says.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;

use crate::config::LogFormat;

/// In more detail these print the frames they carry, texts and tokens included, so no filter gets them to.
const DISCREET: [&str; 2] = ["tungstenite=info", "tokio_tungstenite=info"];

/// Begins to log to standard error. A second call, as in a process with several servers, changes nothing.
pub fn start(filter: &str, format: LogFormat) -> Result<(), ParseError> {
    let mut filter = EnvFilter::try_new(filter)?;
    for discreet in DISCREET {
        filter = filter.add_directive(discreet.parse()?);
    }
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    // An error says that logging has begun already.
    match format {
        LogFormat::Text => drop(log.with_target(false).try_init()),
        LogFormat::Json => drop(log.json().flatten_event(true).try_init()),
    }
    Ok(())
}
