//! What the table of each scenario shows.

use crate::report::Column;

/// By scenario.
pub(super) const ALL: [(&str, &[Column]); 11] = [
    ("fan-out", FAN_OUT),
    ("idle", IDLE),
    ("polls", POLLS),
    ("sends", SENDS),
    ("storm", STORM),
    ("savings", SAVINGS),
    ("growth-subscribers", FAN_OUT),
    ("growth-rooms", FAN_OUT),
    ("growth-instances", FAN_OUT),
    ("growth-history", HISTORY),
    ("growth-watched", WATCHED),
];

pub(super) const FAN_OUT: &[Column] = &[
    Column::spread("CPU µs/delivery", "cpu_us"),
    Column::times("× floor", "cpu_us", "floor"),
    Column::median("of it user", "user_us"),
    Column::median("µs/message with nobody there", "apart_us"),
    Column::spread("delivery alone", "deliver_us"),
    Column::times("× floor", "deliver_us", "floor"),
    Column::median("deliveries/s", "deliveries_per_s"),
    Column::median("p50 ms", "p50_ms"),
    Column::median("p99 ms", "p99_ms"),
    Column::median("p99.9 ms", "p999_ms"),
    Column::median("server cores", "server_cores"),
    Column::median("client cores", "client_cores"),
    Column::most("others' cores", "others_cores"),
    Column::most("lost", "lost"),
    Column::most("doubled", "doubled"),
    Column::most("reordered", "reordered"),
    Column::most("refused", "refused"),
    Column::most("closed", "closed"),
];

pub(super) const IDLE: &[Column] = &[
    Column::spread("bytes/connection", "bytes_per_connection"),
    Column::median("connects/s", "connects_per_s"),
    Column::spread("CPU µs/connect", "connect_us"),
    Column::median("again: connects/s", "again_per_s"),
    Column::median("CPU µs/connect", "again_us"),
    Column::median("CPU µs/s when idle", "idle_us_per_s"),
    Column::median("MiB at rest", "at_rest_mib"),
    Column::median("ms until it listens", "listening_ms"),
    Column::median("client cores", "client_cores"),
    Column::most("others' cores", "others_cores"),
    Column::most("closed", "closed"),
];

pub(super) const POLLS: &[Column] = &[
    Column::spread("CPU µs/poll", "cpu_us"),
    Column::times("× hyper", "cpu_us", "hyper"),
    Column::times("× floor", "cpu_us", "floor"),
    Column::median("of it user", "user_us"),
    Column::median("answers/s", "answers_per_s"),
    Column::median("p50 ms", "p50_ms"),
    Column::median("p99 ms", "p99_ms"),
    Column::median("p99.9 ms", "p999_ms"),
    Column::median("server cores", "server_cores"),
    Column::median("client cores", "client_cores"),
    Column::most("others' cores", "others_cores"),
    Column::most("lost", "lost"),
    Column::most("not 304", "refused"),
    Column::most("closed", "closed"),
];

pub(super) const SENDS: &[Column] = &[
    Column::spread("acknowledged/s", "acknowledged_per_s"),
    Column::median("p50 ms", "p50_ms"),
    Column::median("p99 ms", "p99_ms"),
    Column::median("longest ms", "longest_ms"),
    Column::spread("CPU µs/send", "cpu_us"),
    Column::median("databases' µs/send", "databases_us"),
    Column::median("client cores", "client_cores"),
    Column::most("others' cores", "others_cores"),
    Column::most("lost", "lost"),
    Column::most("refused", "refused"),
];

pub(super) const STORM: &[Column] = &[
    Column::spread("s until all are back", "all_back_s"),
    Column::median("half", "half_back_s"),
    Column::median("sends meanwhile", "sends"),
    Column::median("p50 ms", "p50_ms"),
    Column::spread("p99 ms", "p99_ms"),
    Column::median("longest ms", "longest_ms"),
    Column::median("CPU µs/client", "connect_us"),
    Column::median("server cores", "server_cores"),
    Column::median("client cores", "client_cores"),
    Column::most("others' cores", "others_cores"),
    Column::most("turned away", "turned_away"),
    Column::most("resets", "resets"),
    Column::most("lost", "lost"),
    Column::most("doubled", "doubled"),
    Column::most("reordered", "reordered"),
    Column::most("refused", "refused"),
];

pub(super) const SAVINGS: &[Column] = &[
    Column::median("queries/1,000 polls", "queries_per_1000"),
    Column::median("calls to Redis/1,000 polls", "redis_per_1000"),
    Column::median("bytes/poll", "bytes"),
    Column::median("% unchanged", "unchanged_percent"),
    Column::median("queries/s", "queries_per_s"),
    Column::median("bytes/s", "bytes_per_s"),
];

pub(super) const HISTORY: &[Column] = &[
    Column::median("newest page p50 ms", "newest_p50_ms"),
    Column::median("CPU µs", "newest_us"),
    Column::median("any older page p50 ms", "older_p50_ms"),
    Column::median("CPU µs", "older_us"),
    Column::median("oldest page p50 ms", "first_p50_ms"),
    Column::median("CPU µs", "first_us"),
    Column::median("40 changes caught up p50 ms", "caught_up_p50_ms"),
    Column::median("CPU µs", "caught_up_us"),
    Column::median("meta p50 ms", "meta_p50_ms"),
    Column::median("CPU µs", "meta_us"),
];

pub(super) const WATCHED: &[Column] = &[
    Column::median("CPU µs/s when nothing happens", "idle_us_per_s"),
    Column::median("databases' µs/s", "databases_us_per_s"),
    Column::median("queries/s", "queries_per_s"),
    Column::median("bytes/room", "bytes_per_room"),
];
