//! Settings: whether the service would start with them, and what of them should be meant.

use super::Report;
use crate::config::{Config, Identity, Switch};
use crate::server;

const AREA: &str = "settings";
/// Descriptors that are not sockets of clients: the database, Redis, files, the log.
const OTHERS: u64 = 100;

pub(super) fn check(config: &Config, report: &mut Report) {
    match server::check_settings(config) {
        Ok(()) => report.ok(AREA, "the service would start with them"),
        Err(error) => report.fail(AREA, error.to_string(), "tidings --help says what each setting takes"),
    }
    match config.identity() {
        Ok(Identity::Demo) if config.identity.demo == Some(Switch::On) => report.warn(
            AREA,
            "DEMO=on: anyone who reaches the service comes in by name",
            "set JWT_SECRET or another key of your application's tokens",
        ),
        Ok(Identity::Demo) => report.warn(
            AREA,
            "no key is set: anyone on this machine comes in by name",
            "set JWT_SECRET or another key of your application's tokens",
        ),
        Ok(Identity::Tokens(_)) => report.ok(AREA, "the application's tokens are taken"),
        // Said above.
        Err(_) => {}
    }
    if matches!(config.identity.short_session_secrets(), Ok(true)) {
        report.warn(
            AREA,
            "AUTH_SECRET or NEXTAUTH_SECRET has under 32 bytes",
            "whoever guesses it is anyone they like; `openssl rand -base64 32` makes one",
        );
    }
    if config.limits.limits == Switch::Off {
        report.warn(AREA, "LIMITS=off", "that is for load tests; leave it out");
    }
    if config.unsafe_database == Switch::On {
        report.warn(AREA, "UNSAFE_DATABASE=on", "a crash of the database can then lose acknowledged messages");
    }
    if matches!(config.traces.recording(), Ok(Some(_))) && !cfg!(feature = "otlp") {
        report.warn(
            AREA,
            "OTEL_EXPORTER_OTLP_ENDPOINT is set, and this program sends no traces",
            "build it with the feature otlp, as the image is",
        );
    }
    check_files(report, config.limits.max_connections.into(), open_files());
}

/// Whether every connection can have its descriptor.
fn check_files(report: &mut Report, connections: u64, files: Option<u64>) {
    match files {
        Some(files) if files < connections + OTHERS => report.warn(
            AREA,
            format!("MAX_CONNECTIONS is {connections}, and the system grants {files} open files"),
            format!("`ulimit -n {}` (LimitNOFILE= in systemd), or a lower MAX_CONNECTIONS", connections + OTHERS),
        ),
        Some(files) => report.ok(AREA, format!("{files} open files are enough for {connections} connections")),
        None => {}
    }
}

/// How many files the system grants this process if it asks; nothing where it does not say.
fn open_files() -> Option<u64> {
    let limits = std::fs::read_to_string("/proc/self/limits").ok()?;
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    // After the number that it has until it asks.
    match line.split_whitespace().nth(1)? {
        "unlimited" => Some(u64::MAX),
        number => number.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operator::check::State;

    #[test]
    fn connections_need_files() {
        let state = |connections, files| {
            let mut report = Report::default();
            check_files(&mut report, connections, files);
            report.0.first().map(|finding| finding.state)
        };
        assert_eq!(state(1000, Some(1024)), Some(State::Warning));
        assert_eq!(state(1000, Some(65_536)), Some(State::Ok));
        assert_eq!(state(1000, None), None);
    }
}
