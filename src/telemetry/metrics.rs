//! What is counted, and `GET /metrics`. No name of a user or a room is a label, so the number of series stays small. What
//! is rare is counted by the macros of the `metrics` crate, which look the series up; what is done with every message or
//! poll, by handles that are made once counting begins. Until then, nothing is kept.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use axum::Router;
use axum::routing::get;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};

use super::names::{
    ALL, BUCKETS, BUILD, CACHE, CACHE_KEYS, CACHE_RESULTS, CONNECTIONS, DELIVERED_FROM, DELIVERIES, DELIVERY_SECONDS,
    FRAME_SECONDS, HELD, HOW_DELIVERED, Kind, LIMITS_HIT, Metric, POLLED, POLLS, POLLS_HELD, QUERIES, QUERY_SECONDS,
    REQUEST_SECONDS, SENDS, SENT, SLOW_READERS, TRANSPORTS,
};

/// How often what histograms were given is put into their buckets, also if nobody asks for it.
pub const UPKEEP: Duration = Duration::from_secs(5);

static HANDLES: OnceLock<Handles> = OnceLock::new();

/// What is counted too often to be looked up each time.
#[derive(Debug)]
pub struct Handles {
    page: PrometheusHandle,
    /// Changes pushed to sockets.
    pub pushed: ::metrics::Counter,
    /// Changes that readers read from the log and wrote to their sockets.
    pub pulled: ::metrics::Counter,
    /// Sockets that took no more.
    pub slow_readers: ::metrics::Counter,
    /// Polls that are held.
    pub polls_held: ::metrics::Gauge,
    /// WebSockets.
    pub websockets: ::metrics::Gauge,
    /// Connections that speak HTTP.
    pub http_connections: ::metrics::Gauge,
    /// Time from commit to delivery.
    pub delivery: By<::metrics::Histogram, 3>,
    /// Messages given to be sent.
    pub sends: By<::metrics::Counter, 4>,
    cache: By<By<::metrics::Counter, 3>, 3>,
    polls: By<By<::metrics::Counter, 4>, 2>,
    queries: ::metrics::Counter,
    query: ::metrics::Histogram,
}

/// What is counted by a label of these values.
#[derive(Debug)]
pub struct By<T, const N: usize> {
    values: [&'static str; N],
    counted: [T; N],
}

impl<T, const N: usize> By<T, N> {
    fn new(values: [&'static str; N], make: impl Fn(&'static str) -> T) -> Self {
        Self { values, counted: values.map(make) }
    }

    /// What is counted under this value; of one that is not among them, nothing.
    pub fn of(&self, value: &str) -> Option<&T> {
        let at = self.values.iter().position(|known| *known == value);
        debug_assert!(at.is_some(), "{value} is none of {:?}", self.values);
        at.map(|at| &self.counted[at])
    }
}

impl Handles {
    fn new(page: PrometheusHandle) -> Self {
        use ::metrics::{counter, gauge, histogram};
        Self {
            page,
            pushed: counter!(DELIVERIES, "how" => HOW_DELIVERED[0]),
            pulled: counter!(DELIVERIES, "how" => HOW_DELIVERED[1]),
            slow_readers: counter!(SLOW_READERS),
            polls_held: gauge!(POLLS_HELD),
            websockets: gauge!(CONNECTIONS, "transport" => TRANSPORTS[0]),
            http_connections: gauge!(CONNECTIONS, "transport" => TRANSPORTS[1]),
            delivery: By::new(DELIVERED_FROM, |from| histogram!(DELIVERY_SECONDS, "from" => from)),
            sends: By::new(SENT, |result| counter!(SENDS, "result" => result)),
            cache: By::new(CACHE_KEYS, |key| {
                By::new(CACHE_RESULTS, |result| counter!(CACHE, "key" => key, "result" => result))
            }),
            polls: By::new(HELD, |held| By::new(POLLED, |status| counter!(POLLS, "held" => held, "status" => status))),
            queries: counter!(QUERIES),
            query: histogram!(QUERY_SECONDS),
        }
    }

    /// Takes note of where a value of this kind was found.
    pub fn found(&self, key: &str, result: &str) {
        if let Some(counter) = self.cache.of(key).and_then(|results| results.of(result)) {
            counter.increment(1);
        }
    }

    /// Takes note of an answer to a poll.
    pub fn polled(&self, held: bool, status: &str) {
        if let Some(counter) = self.polls.of(if held { "true" } else { "false" }).and_then(|by| by.of(status)) {
            counter.increment(1);
        }
    }

    /// Takes note of a statement that began then and has ended.
    pub fn queried(&self, began: Instant) {
        self.queries.increment(1);
        self.query.record(began.elapsed());
    }

    /// Time to answer requests of a kind. To be kept: making it costs more than the answer.
    pub fn requests(&self, route: &'static str, method: &'static str, status: &'static str) -> ::metrics::Histogram {
        ::metrics::histogram!(REQUEST_SECONDS, "route" => route, "method" => method, "status" => status)
    }

    /// Time to do what frames of a kind ask. To be kept, too.
    pub fn frames(&self, kind: &'static str, result: &'static str) -> ::metrics::Histogram {
        ::metrics::histogram!(FRAME_SECONDS, "type" => kind, "result" => result)
    }

    /// Puts what histograms were given into their buckets; without this it would pile up until somebody asks.
    pub fn upkeep(&self) {
        self.page.run_upkeep();
    }

    /// Everything, in Prometheus' text format.
    pub fn page(&self) -> String {
        self.page.render()
    }
}

/// What counts; nothing while nothing is counted.
pub fn handles() -> Option<&'static Handles> {
    HANDLES.get()
}

/// Counts something that is open for as long as this is held.
#[derive(Debug)]
pub struct Open(Option<&'static ::metrics::Gauge>);

impl Open {
    /// Counts it there.
    pub fn count(at: impl FnOnce(&'static Handles) -> &'static ::metrics::Gauge) -> Self {
        let gauge = handles().map(at);
        if let Some(gauge) = gauge {
            gauge.increment(1);
        }
        Self(gauge)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        if let Some(gauge) = self.0 {
            gauge.decrement(1);
        }
    }
}

/// Somebody was at a limit.
pub fn limit_hit(limit: &'static str) {
    ::metrics::counter!(LIMITS_HIT, "limit" => limit).increment(1);
}

/// Begins to count. In a process with several servers they count together.
pub fn count() -> &'static Handles {
    HANDLES.get_or_init(|| {
        let builder = PrometheusBuilder::new().set_buckets(BUCKETS).expect("there are buckets");
        // Fails only if something else counts already; then that has the numbers, and the page stays empty.
        let recorder = builder.build_recorder();
        let page = recorder.handle();
        drop(::metrics::set_global_recorder(recorder));
        ALL.iter().for_each(begin);
        ::metrics::gauge!(BUILD, "version" => env!("CARGO_PKG_VERSION")).set(1);
        Handles::new(page)
    })
}

/// Describes a metric, and begins at 0 for all that its labels can say.
fn begin(metric: &Metric) {
    let Metric { name, kind, help, labels } = *metric;
    match kind {
        Kind::Gauge => ::metrics::describe_gauge!(name, help),
        Kind::Histogram => {
            ::metrics::describe_histogram!(name, help);
            // To have it is to show it.
            for labels in combined(labels) {
                drop(::metrics::histogram!(name, labels));
            }
        }
        Kind::Counter => {
            ::metrics::describe_counter!(name, help);
            for labels in combined(labels) {
                ::metrics::counter!(name, labels).absolute(0);
            }
        }
    }
}

/// Each value of each label with each of the others.
fn combined(labels: &[(&'static str, &'static [&'static str])]) -> Vec<Vec<::metrics::Label>> {
    labels.iter().fold(vec![Vec::new()], |before, (name, values)| {
        let with = |labels: &Vec<_>| {
            let labels = labels.clone();
            values.iter().map(move |value| {
                let mut labels = labels.clone();
                labels.push(::metrics::Label::from_static_parts(name, value));
                labels
            })
        };
        before.iter().flat_map(with).collect()
    })
}

/// `GET /metrics` in Prometheus' text format, for an address of its own. `look` says first how things are at this moment.
pub fn router<F: Future<Output = ()> + Send>(
    handles: &'static Handles,
    look: impl Fn() -> F + Clone + Send + Sync + 'static,
) -> Router {
    let page = async move || {
        look().await;
        handles.page()
    };
    Router::new().route("/metrics", get(page))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_of_a_label_stands_with_every_one_of_the_others() {
        let all = combined(&[("a", &["1", "2"]), ("b", &["x", "y", "z"])]);
        let texts: Vec<String> =
            all.iter().map(|labels| labels.iter().map(::metrics::Label::value).collect()).collect();
        assert_eq!(texts, ["1x", "1y", "1z", "2x", "2y", "2z"]);
        assert_eq!(combined(&[]), [Vec::new()], "a counter without labels is one");
        assert!(
            combined(&[("a", &[]), ("b", &["x"])]).is_empty(),
            "what is not written down is not there before it is"
        );
    }
}
