//! What is counted, and `GET /metrics`. No name of a user or a room is a label, so the number of series stays small.

use axum::Router;
use axum::routing::get;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};

/// Begins to count. Without this call, counting costs nothing and keeps nothing; in a process with several servers
/// they count together.
pub fn count() -> Option<PrometheusHandle> {
    let handle = PrometheusBuilder::new().install_recorder().ok()?;
    ::metrics::describe_gauge!(LIMITS_OFF, "1 while rate limits are off, which is for load tests only");
    ::metrics::describe_gauge!(CONNECTIONS, "WebSockets that are open");
    ::metrics::describe_gauge!(ROOMS_FOLLOWED, "Rooms whose log is followed in memory");
    ::metrics::describe_counter!(MESSAGES, "Messages and changes of messages that were committed");
    ::metrics::describe_counter!(CATCH_UPS, "Pages read from the store for readers who were behind what memory holds");
    ::metrics::describe_counter!(REPAIRS, "Changes read from the store that should have come by themselves, by cause");
    ::metrics::describe_counter!(QUERIES, "Statements given to the database");
    ::metrics::describe_counter!(REDIS_CALLS, "Commands given to Redis");
    ::metrics::describe_counter!(TAKES, "Takes from buckets that instances share, by what came of them");
    ::metrics::describe_counter!(CACHE, "Cached values asked for, by kind and by where they were found");
    ::metrics::describe_counter!(PUBLICATIONS, "Messages for other instances, by what came of them");
    ::metrics::describe_counter!(GARBAGE, "Messages of the bus that could not be read");
    ::metrics::describe_gauge!(BUS_PROVEN, "1 while this instance is sure to hear what others publish");
    ::metrics::describe_counter!(FAULTS, "Answers that said the service was at fault, by code");
    ::metrics::describe_counter!(
        MODERATION,
        "Messages that were looked at before they were written, by who looked and what was said"
    );
    ::metrics::describe_counter!(MODERATION_HOOK_MS, "Milliseconds spent waiting for the moderation hook");
    ::metrics::describe_counter!(KEY_SETS, "Readings of the set of public keys, by what came of them");
    Some(handle)
}

/// `GET /metrics` in Prometheus' text format, for an address of its own.
pub fn router(handle: PrometheusHandle) -> Router {
    Router::new().route("/metrics", get(async move || handle.render()))
}

/// 1 while rate limits are off.
pub const LIMITS_OFF: &str = "tidings_limits_off";
/// WebSockets that are open.
pub const CONNECTIONS: &str = "tidings_connections";
/// Rooms followed.
pub const ROOMS_FOLLOWED: &str = "tidings_rooms_followed";
/// Changes committed.
pub const MESSAGES: &str = "tidings_changes_total";
/// Catch-up pages read.
pub const CATCH_UPS: &str = "tidings_catch_up_pages_total";
/// Holes filled.
pub const REPAIRS: &str = "tidings_repairs_total";
/// Answers that said the service was at fault.
pub const FAULTS: &str = "tidings_faults_total";
/// Statements.
pub const QUERIES: &str = "tidings_queries_total";
/// Commands to Redis.
pub const REDIS_CALLS: &str = "tidings_redis_calls_total";
/// Takes from shared buckets.
pub const TAKES: &str = "tidings_shared_takes_total";
/// Cached values asked for.
pub const CACHE: &str = "tidings_cache_total";
/// Messages to the bus.
pub const PUBLICATIONS: &str = "tidings_publications_total";
/// Unreadable messages of the bus.
pub const GARBAGE: &str = "tidings_bus_garbage_total";
/// Whether the bus is proven.
pub const BUS_PROVEN: &str = "tidings_bus_proven";
/// Verdicts of the word list and the hook.
pub const MODERATION: &str = "tidings_moderation_total";
/// Time spent waiting for the hook.
pub const MODERATION_HOOK_MS: &str = "tidings_moderation_hook_milliseconds_total";
/// Readings of the key set.
pub const KEY_SETS: &str = "tidings_key_sets_total";
