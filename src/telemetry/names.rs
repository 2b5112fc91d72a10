//! Every metric there is: its name, what it says, and the values its labels can have. Counters and histograms
//! are there from the start at 0 wherever these say what there will be, so that a first step shows.

/// Values of a label that are not written down here; such a series is there once something was counted.
const MANY: &[&str] = &[];

/// What kind of metric it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Counter,
    Gauge,
    /// Of seconds, in buckets.
    Histogram,
}

/// A metric.
#[derive(Debug)]
pub(super) struct Metric {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) help: &'static str,
    /// Its labels, and every value of each.
    pub(super) labels: &'static [(&'static str, &'static [&'static str])],
}

const fn counter(
    name: &'static str,
    labels: &'static [(&'static str, &'static [&'static str])],
    help: &'static str,
) -> Metric {
    Metric { name, kind: Kind::Counter, help, labels }
}

const fn gauge(name: &'static str, help: &'static str) -> Metric {
    Metric { name, kind: Kind::Gauge, help, labels: &[] }
}

const fn histogram(
    name: &'static str,
    labels: &'static [(&'static str, &'static [&'static str])],
    help: &'static str,
) -> Metric {
    Metric { name, kind: Kind::Histogram, help, labels }
}

/// The upper bounds of all histograms, in seconds: from an answer out of memory to the longest deadline.
pub(super) const BUCKETS: &[f64] = &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.3, 0.5, 1.0, 2.5, 5.0, 10.0];

pub(super) const HOW_DELIVERED: [&str; 2] = ["pushed", "pulled"];
pub(super) const DELIVERED_FROM: [&str; 3] = ["own", "bus", "store"];
pub(super) const CACHE_KEYS: [&str; 3] = ["meta", "page", "user"];
pub(super) const CACHE_RESULTS: [&str; 3] = ["memory", "hit", "miss"];
pub(super) const SENT: [&str; 4] = ["new", "repeated", "refused", "failed"];
pub(super) const HELD: [&str; 2] = ["false", "true"];
pub(super) const POLLED: [&str; 4] = ["unchanged", "changed", "refused", "failed"];
pub(super) const TRANSPORTS: [&str; 2] = ["websocket", "http"];

pub(super) const ALL: &[Metric] = &[
    gauge(BUILD, "Always 1; the label says which version this is"),
    gauge(READY, "1 while this instance can serve: the database answers, and it is not about to stop"),
    gauge(DRAINING, "1 once this instance is about to stop"),
    gauge(LIMITS_OFF, "1 while rate limits are off, which is for load tests only"),
    gauge(CONNECTIONS, "Connections that are open, by transport"),
    gauge(CONNECTIONS_LIMIT, "Connections that may be open at once, by transport"),
    gauge(POLLS_HELD, "Polls that are held until something changes"),
    gauge(ROOMS_FOLLOWED, "Rooms whose log is followed in memory"),
    histogram(
        REQUEST_SECONDS,
        &[("route", MANY)],
        "Time to answer a request, by route, method and class of status; held polls are a route apart",
    ),
    histogram(FRAME_SECONDS, &[("type", MANY)], "Time to do what a frame of a client asks, by type and result"),
    counter(SENDS, &[("result", &SENT)], "Messages given to be sent, by what came of them"),
    counter(POLLS, &[("held", &HELD), ("status", &POLLED)], "Polls of meta that were answered, by status"),
    counter(CHANGES, &[], "Messages and changes of messages that were committed"),
    counter(EXPIRED, &[], "Messages removed because they are not kept for longer"),
    counter(DELIVERIES, &[("how", &HOW_DELIVERED)], "Changes written to the sockets of readers"),
    histogram(
        DELIVERY_SECONDS,
        &[("from", &DELIVERED_FROM)],
        "Time from a commit until it was given to all of the room's readers here, once per batch, by where it came from",
    ),
    counter(SLOW_READERS, &[], "Times a socket took no more, so that its reader reads on from the log"),
    counter(CATCH_UPS, &[], "Pages read from the store for readers who were behind what memory holds"),
    counter(
        RESUMES,
        &[("result", &["live", "recovered", "reset_behind", "reset_history", "reset_trimmed"])],
        "Subscriptions that began at a cursor, by how",
    ),
    counter(
        REPAIRS,
        &[("cause", &["hole", "tail", "resubscribed", "lagged", "reader"])],
        "Changes read from the store that should have come by themselves, by cause",
    ),
    counter(
        CACHE,
        &[("key", &CACHE_KEYS), ("result", &CACHE_RESULTS)],
        "Values asked for, by kind and where they were found",
    ),
    counter(QUERIES, &[], "Statements given to the database"),
    histogram(QUERY_SECONDS, &[], "Time the database took for a statement"),
    counter(REDIS_CALLS, &[], "Commands given to Redis"),
    gauge(BUS_PROVEN, "1 while this instance is sure to hear what others publish"),
    gauge(BUS_HEARD, "1 while the probes of this instance come back over the bus in time"),
    counter(
        PUBLICATIONS,
        &[("result", &["sent", "failed", "dropped"])],
        "Messages for other instances, by what came of them",
    ),
    counter(GARBAGE, &[], "Messages of the bus that could not be read"),
    counter(
        LIMITS_HIT,
        &[(
            "limit",
            &[
                "sends",
                "changes",
                "rooms",
                "frames",
                "connections",
                "connections_per_user",
                "connections_per_address",
                "polls_per_user",
                "rooms_per_connection",
                "slow_mode",
                "quota",
            ],
        )],
        "Times somebody was at a limit, by which",
    ),
    counter(
        TAKES,
        &[("result", &["within", "over", "unanswered", "not_asked"])],
        "Takes from buckets that instances share, by what came of them",
    ),
    counter(FAULTS, &[("code", &["unavailable", "internal"])], "Answers that said the service was at fault, by code"),
    counter(
        MODERATION,
        &[("by", &["words", "hook"]), ("result", &["accept", "flag", "reject", "failed"])],
        "Messages that were looked at before they were written, by who looked and what was said",
    ),
    histogram(MODERATION_HOOK_SECONDS, &[], "Time the moderation hook took to answer, or not to"),
    counter(KEY_SETS, &[("result", &["ok", "failed"])], "Readings of the set of public keys, by what came of them"),
];

/// Which version runs.
pub const BUILD: &str = "tidings_build_info";
/// Whether it can serve.
pub const READY: &str = "tidings_ready";
/// Whether it is about to stop.
pub const DRAINING: &str = "tidings_draining";
/// 1 while rate limits are off.
pub const LIMITS_OFF: &str = "tidings_limits_off";
/// Connections that are open.
pub const CONNECTIONS: &str = "tidings_connections";
/// How many may be.
pub const CONNECTIONS_LIMIT: &str = "tidings_connections_limit";
/// Polls that are held.
pub const POLLS_HELD: &str = "tidings_polls_held";
/// Rooms followed.
pub const ROOMS_FOLLOWED: &str = "tidings_rooms_followed";
/// Time to answer a request.
pub const REQUEST_SECONDS: &str = "tidings_http_request_duration_seconds";
/// Time to do what a frame asks.
pub const FRAME_SECONDS: &str = "tidings_frame_duration_seconds";
/// Messages given to be sent.
pub const SENDS: &str = "tidings_sends_total";
/// Polls answered.
pub const POLLS: &str = "tidings_polls_total";
/// Changes committed.
pub const CHANGES: &str = "tidings_changes_total";
/// Messages removed by retention.
pub const EXPIRED: &str = "tidings_expired_messages_total";
/// Changes written to sockets.
pub const DELIVERIES: &str = "tidings_deliveries_total";
/// Time from commit to delivery.
pub const DELIVERY_SECONDS: &str = "tidings_delivery_duration_seconds";
/// Sockets that took no more.
pub const SLOW_READERS: &str = "tidings_slow_readers_total";
/// Catch-up pages read.
pub const CATCH_UPS: &str = "tidings_catch_up_pages_total";
/// Subscriptions that began at a cursor.
pub const RESUMES: &str = "tidings_resumes_total";
/// Holes filled.
pub const REPAIRS: &str = "tidings_repairs_total";
/// Answers that said the service was at fault.
pub const FAULTS: &str = "tidings_faults_total";
/// Statements.
pub const QUERIES: &str = "tidings_queries_total";
/// Time they took.
pub const QUERY_SECONDS: &str = "tidings_query_duration_seconds";
/// Commands to Redis.
pub const REDIS_CALLS: &str = "tidings_redis_calls_total";
/// Times somebody was at a limit.
pub const LIMITS_HIT: &str = "tidings_limits_hit_total";
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
/// Whether probes come back.
pub const BUS_HEARD: &str = "tidings_bus_heard";
/// Verdicts of the word list and the hook.
pub const MODERATION: &str = "tidings_moderation_total";
/// Time the hook took.
pub const MODERATION_HOOK_SECONDS: &str = "tidings_moderation_hook_duration_seconds";
/// Readings of the key set.
pub const KEY_SETS: &str = "tidings_key_sets_total";
