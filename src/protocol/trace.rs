//! What a request is called, and where it stands in its trace, as callers and instances tell each other: the W3C's
//! `traceparent`, which names a trace and a span and nothing else. Neither changes what happens to a request.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The header that names a request, in its answer and in the log.
pub const REQUEST_ID: &str = "x-request-id";
/// The header in which a caller says where it stands in its trace.
pub const TRACE_PARENT: &str = "traceparent";

/// The span to go on from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceParent {
    /// The trace.
    pub trace_id: u128,
    /// The span in it.
    pub span_id: u64,
    /// Whether the trace is recorded.
    pub is_sampled: bool,
}

/// A text is no `traceparent`.
#[derive(Debug, thiserror::Error)]
#[error("it is no traceparent")]
pub struct NoTraceParent;

impl FromStr for TraceParent {
    type Err = NoTraceParent;

    /// Reads any version that goes on where this one ends, as the W3C wants it (Trace Context, section 4.3).
    fn from_str(text: &str) -> Result<Self, NoTraceParent> {
        let mut parts = text.split('-');
        let mut next = |length| parts.next().filter(|part| part.len() == length && part.bytes().all(is_digit));
        let (version, trace, span, flags) =
            (|| Some((next(2)?, next(32)?, next(16)?, next(2)?)))().ok_or(NoTraceParent)?;
        if version == "ff" || (version == "00" && parts.next().is_some()) {
            return Err(NoTraceParent);
        }
        let trace_id = u128::from_str_radix(trace, 16).map_err(|_| NoTraceParent)?;
        let span_id = u64::from_str_radix(span, 16).map_err(|_| NoTraceParent)?;
        let flags = u8::from_str_radix(flags, 16).map_err(|_| NoTraceParent)?;
        if trace_id == 0 || span_id == 0 {
            return Err(NoTraceParent);
        }
        Ok(Self { trace_id, span_id, is_sampled: flags & 1 == 1 })
    }
}

fn is_digit(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'a'..=b'f')
}

impl fmt::Display for TraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{:032x}-{:016x}-{:02x}", self.trace_id, self.span_id, u8::from(self.is_sampled))
    }
}

impl Serialize for TraceParent {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for TraceParent {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Cow::<'de, str>::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn what_is_written_is_what_is_read() {
        let parent: TraceParent = TRACE.parse().expect("a traceparent");
        assert_eq!((parent.span_id, parent.is_sampled), (0x00f0_67aa_0ba9_02b7, true));
        assert_eq!(parent.to_string(), TRACE);
        let not_recorded = TRACE.replace("-01", "-00");
        assert_eq!(not_recorded.parse::<TraceParent>().expect("a traceparent").to_string(), not_recorded);
    }

    #[test]
    fn a_later_version_may_say_more_and_nothing_else_may() {
        let later = TRACE.replacen("00", "01", 1) + "-more";
        assert!(later.parse::<TraceParent>().is_ok());
        for bad in [
            String::new(),
            format!("{TRACE}-more"),
            TRACE.replacen("00", "ff", 1),
            TRACE.to_uppercase(),
            TRACE.replace("4bf92f3577b34da6a3ce929d0e0e4736", &"0".repeat(32)),
            TRACE.replace("00f067aa0ba902b7", &"0".repeat(16)),
            TRACE.replace("00f067aa0ba902b7", "+0f067aa0ba902b7"),
            TRACE[..54].to_owned(),
        ] {
            assert!(bad.parse::<TraceParent>().is_err(), "{bad}");
        }
    }
}
