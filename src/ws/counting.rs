//! What of a connection is counted: how long frames take, by their type, and how subscriptions are resumed.

use std::sync::OnceLock;
use std::time::Duration;

use metrics::Histogram;

use crate::error::Error;
use crate::protocol::{ClientFrame, ResetReason, SubscribedStatus};
use crate::telemetry;

/// Of a frame that could not be read.
const UNREADABLE: &str = "unreadable";
const KINDS: [&str; 12] = [
    "subscribe",
    "unsubscribe",
    "watch",
    "send",
    "edit",
    "delete",
    "react",
    "read",
    "typing",
    "auth",
    "ping",
    UNREADABLE,
];
const RESULTS: [&str; 3] = ["ok", "refused", "failed"];

/// A frame's type, of one that could not be read as well.
pub(super) fn kind(frame: Option<&ClientFrame>) -> &'static str {
    frame.map_or(UNREADABLE, ClientFrame::name)
}

/// A frame of this type was done in so much time. Handles are made at the first of a kind and kept.
pub(super) fn done(kind: &'static str, time: Duration, error: Option<&Error>) {
    static FRAMES: [[OnceLock<Histogram>; RESULTS.len()]; KINDS.len()] =
        [const { [const { OnceLock::new() }; RESULTS.len()] }; KINDS.len()];
    let Some(handles) = telemetry::handles() else { return };
    let result = match error {
        None => 0,
        Some(error) if error.is_fault() => 2,
        Some(_) => 1,
    };
    if let Some(at) = KINDS.iter().position(|known| *known == kind) {
        FRAMES[at][result].get_or_init(|| handles.frames(kind, RESULTS[result])).record(time);
    }
}

/// A subscription began at a cursor, like this.
pub(super) fn resumed(status: SubscribedStatus, reason: Option<ResetReason>) {
    let result = match (status, reason) {
        (SubscribedStatus::Live, _) => "live",
        (SubscribedStatus::Recovered, _) => "recovered",
        (SubscribedStatus::Reset, Some(ResetReason::Behind)) => "reset_behind",
        (SubscribedStatus::Reset, Some(ResetReason::Trimmed)) => "reset_trimmed",
        (SubscribedStatus::Reset, Some(ResetReason::History) | None) => "reset_history",
    };
    metrics::counter!(telemetry::RESUMES, "result" => result).increment(1);
}
