//! The log: lines on standard error, as text or JSON. It never holds a token, nor what a message says.

use std::io::IsTerminal;

use tracing::Subscriber;
use tracing_subscriber::filter::ParseError;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, fmt};

use super::trace::{self, Traces};
use crate::config::{ConfigError, LogFormat, Recording};

/// The target of the spans of calls and connections, which carry their ids: no filter leaves them out.
pub const CALL: &str = "tidings::call";
/// What no filter changes. In more detail the first two print the frames they carry, texts and tokens included; then the
/// spans above, and those of traces, which would say again what stands around them.
const FIXED: [&str; 4] = ["tungstenite=info", "tokio_tungstenite=info", "tidings::call=error", "tidings::trace=off"];

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

/// What of the log is written, by what `RUST_LOG` says and with what is never written left out.
pub fn filter(text: &str) -> Result<EnvFilter, ParseError> {
    FIXED.iter().try_fold(EnvFilter::try_new(text)?, |filter, fixed| Ok(filter.add_directive(fixed.parse()?)))
}

fn lines<S: Subscriber + for<'a> LookupSpan<'a>>(format: LogFormat) -> Box<dyn Layer<S> + Send + Sync> {
    let lines = fmt::layer().with_writer(std::io::stderr).with_ansi(std::io::stderr().is_terminal());
    match format {
        LogFormat::Text => lines.with_target(false).boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    }
}
