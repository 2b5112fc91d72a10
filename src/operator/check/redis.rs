//! Redis: whether it is there, quick enough, and set up to hold caches.

use std::time::Duration;

use super::{Report, check_clock};
use crate::config::Config;
use crate::redis::{self, Inspection};
use crate::server;

const AREA: &str = "redis";
/// The oldest version that works, and the oldest with which a cluster shards publications.
const OLDEST: (u32, u32) = (6, 0);
const OLDEST_CLUSTER: (u32, u32) = (7, 0);

pub(super) async fn check(config: &Config, report: &mut Report) {
    let settings = match server::redis_settings(config) {
        Ok(Some(settings)) => settings,
        Ok(None) => {
            let is_alone = config.database_url().is_ok_and(|url| url.starts_with("sqlite:"));
            if is_alone {
                report.ok(AREA, "there is none, and one process on SQLite needs none");
            } else {
                report.warn(
                    AREA,
                    "there is none: instances find each other's messages in PostgreSQL, within a second",
                    "set REDIS_URL if there are several",
                );
            }
            return;
        }
        // Said among the settings.
        Err(_) => return,
    };
    match redis::inspect(&settings).await {
        Ok(facts) => {
            check_facts(report, &facts, settings.deadline);
            check_clock(report, AREA, facts.clock_ahead);
        }
        Err(why) => report.fail(
            AREA,
            why,
            "the service runs without it, degraded; is it running, are address and password in REDIS_URL right?",
        ),
    }
}

fn check_facts(report: &mut Report, facts: &Inspection, deadline: Duration) {
    let kind = if facts.is_cluster { " (cluster)" } else { "" };
    let what = format!("version {}{kind}", facts.version);
    let (oldest, advice) = if facts.is_cluster {
        (OLDEST_CLUSTER, "a cluster needs 7.0 or newer")
    } else {
        (OLDEST, "6.0 or newer is needed, or Valkey")
    };
    if version(&facts.version) < oldest {
        report.fail(AREA, what, advice);
    } else {
        report.ok(AREA, what);
    }
    if facts.role == "slave" {
        report.fail(
            AREA,
            "it is a replica, which takes no values",
            "REDIS_URL must lead to the primary or the sentinels",
        );
    }
    if let Some(why) = &facts.refuses {
        report.fail(AREA, format!("it takes no value: {why}"), "caches and presence are not kept until it does");
    }
    check_memory(report, facts);
    let took = format!("an answer took {} ms", facts.took.as_millis());
    if facts.took > deadline / 2 {
        let advice = "with half of REDIS_DEADLINE_MS it counts as gone; move it nearer, or raise that";
        report.warn(AREA, took, advice);
    } else {
        report.ok(AREA, took);
    }
}

/// What happens when it is full: to refuse is worse than to forget, because nothing in it is worth keeping.
fn check_memory(report: &mut Report, facts: &Inspection) {
    let policy = &facts.eviction;
    let memory = match facts.max_memory {
        0 => "no maxmemory".to_owned(),
        most => format!("{} of {} MiB used", facts.used_memory >> 20, most >> 20),
    };
    let what = format!("eviction policy {policy}, {memory}");
    if policy.starts_with("noeviction") && facts.max_memory > 0 {
        report.warn(AREA, what, "set maxmemory-policy allkeys-lru: full, it would refuse caches and presence");
    } else if facts.max_memory == 0 {
        report.warn(
            AREA,
            what,
            "set maxmemory (128mb) and maxmemory-policy allkeys-lru: what it grows to is unbounded",
        );
    } else {
        report.ok(AREA, what);
    }
}

/// The first two parts of a version.
fn version(text: &str) -> (u32, u32) {
    let mut parts = text.split('.').map(|part| part.parse().unwrap_or(0));
    (parts.next().unwrap_or(0), parts.next().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operator::check::State;

    fn facts() -> Inspection {
        Inspection {
            version: "7.2.4".to_owned(),
            is_cluster: false,
            role: "master".to_owned(),
            eviction: "allkeys-lru".to_owned(),
            max_memory: 128 << 20,
            used_memory: 1 << 20,
            took: Duration::from_millis(1),
            clock_ahead: 0,
            refuses: None,
        }
    }

    #[test]
    fn what_is_wrong_with_it_is_found() {
        let (ok, warning, failed) = (State::Ok, State::Warning, State::Failed);
        for (facts, state, named) in [
            (facts(), ok, ""),
            (Inspection { version: "5.0.14".to_owned(), ..facts() }, failed, "5.0.14"),
            (Inspection { version: "6.2.1".to_owned(), is_cluster: true, ..facts() }, failed, "cluster"),
            (Inspection { role: "slave".to_owned(), ..facts() }, failed, "replica"),
            (Inspection { refuses: Some("its memory is full".to_owned()), ..facts() }, failed, "full"),
            (Inspection { eviction: "noeviction".to_owned(), ..facts() }, warning, "noeviction"),
            (Inspection { max_memory: 0, ..facts() }, warning, "no maxmemory"),
            (Inspection { took: Duration::from_millis(150), ..facts() }, warning, "150 ms"),
        ] {
            let mut report = Report::default();
            check_facts(&mut report, &facts, Duration::from_millis(200));
            let wrong: Vec<_> = report.0.iter().filter(|finding| finding.state != State::Ok).collect();
            assert_eq!(wrong.first().map_or(State::Ok, |finding| finding.state), state, "{wrong:?}");
            assert!(wrong.iter().all(|finding| finding.what.contains(named)), "{wrong:?}");
        }
    }
}
