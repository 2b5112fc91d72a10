//! The log: lines on standard error, as text or JSON. It never holds a token, nor what a message says.

use std::io::IsTerminal;

use tracing::Subscriber;
use tracing_subscriber::filter::{LevelFilter, ParseError, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, fmt};

use super::trace::{self, Traces};
use crate::config::{ConfigError, LogFormat, Recording};

/// The target of the spans of calls and connections, which carry their ids: no filter leaves them out.
pub const CALL: &str = "tidings::call";
/// What no filter changes. In more detail the first two print the frames they carry, texts and tokens included; then the
/// spans above, and those of traces, which would say again what stands around them.
const FIXED: [(&str, LevelFilter); 4] = [
    ("tungstenite", LevelFilter::INFO),
    ("tokio_tungstenite", LevelFilter::INFO),
    (CALL, LevelFilter::ERROR),
    ("tidings::trace", LevelFilter::OFF),
];

/// Begins to log to standard error, and to record traces if that is asked for. A second call, as in a process with several
/// servers, changes nothing.
pub fn start(text: &str, format: LogFormat, recording: Option<&Recording>) -> Result<Traces, ConfigError> {
    let filter = filter(text).map_err(|error| ConfigError::new("RUST_LOG", error.to_string()))?;
    let registry = tracing_subscriber::registry();
    // An error says that logging has begun already.
    drop(match recording.map(trace::layer).transpose()?.flatten() {
        None => registry.with(filter).with(lines(format)).try_init(),
        // A filter for each: whether a trace is recorded is not the log's affair.
        Some(traces) => registry.with(traces).with(lines(format).with_filter(filter)).try_init(),
    });
    if recording.is_some() && !cfg!(feature = "otlp") {
        tracing::warn!(
            "OTEL_EXPORTER_OTLP_ENDPOINT is set, and this program was built without the feature otlp; it sends no traces"
        );
    }
    Ok(Traces)
}

/// What of the log is written: by what `RUST_LOG` says, levels of targets such as `info,sqlx=warn`, and with what is never
/// written left out. Not by spans, as some programs have it: that would be looked up whenever a task goes on.
pub fn filter(text: &str) -> Result<Targets, ParseError> {
    let parts: Vec<&str> = text.split(',').map(str::trim).filter(|part| !part.is_empty()).collect();
    let asked: Targets =
        if parts.is_empty() { Targets::new().with_default(LevelFilter::ERROR) } else { parts.join(",").parse()? };
    let all_else = asked.default_level().unwrap_or(LevelFilter::OFF);
    let is_free = |(target, _): &(String, _)| !FIXED.iter().any(|(fixed, _)| target.starts_with(fixed));
    Ok(Targets::new().with_default(all_else).with_targets(asked.into_iter().filter(is_free)).with_targets(FIXED))
}

fn lines<S: Subscriber + for<'a> LookupSpan<'a>>(format: LogFormat) -> Box<dyn Layer<S> + Send + Sync> {
    let lines = fmt::layer().with_writer(std::io::stderr).with_ansi(std::io::stderr().is_terminal());
    match format {
        LogFormat::Text => lines.with_target(false).boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    }
}

#[cfg(test)]
mod tests {
    use tracing::Level;

    use super::*;

    #[test]
    fn a_filter_is_levels_of_targets_and_never_lets_frames_through() {
        for (text, target, level, written) in [
            ("info,sqlx=warn", "tidings::ws", Level::INFO, true),
            ("info,sqlx=warn", "tidings::ws", Level::DEBUG, false),
            (" info , sqlx=warn,", "sqlx::query", Level::INFO, false),
            ("tidings::http=debug", "tidings::http::problem", Level::DEBUG, true),
            ("tidings::http=debug", "tidings::ws", Level::ERROR, false),
            ("", "tidings", Level::ERROR, true),
            ("", "tidings", Level::WARN, false),
            ("off", CALL, Level::ERROR, true),
            ("trace,tungstenite=trace", "tungstenite::protocol", Level::DEBUG, false),
            ("trace,tungstenite::protocol=trace", "tungstenite::protocol", Level::DEBUG, false),
        ] {
            let filter = filter(text).expect("a filter");
            assert_eq!(filter.would_enable(target, &level), written, "{text}: {target} at {level}");
        }
        for text in ["tidings=loud", "info,[request{id=1}]=debug"] {
            assert!(filter(text).is_err(), "{text}");
        }
    }
}
