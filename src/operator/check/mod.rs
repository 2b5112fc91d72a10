//! `check`: whether all is as the service needs it, in lines for people: what was looked at, how it is, what to do. What
//! stops a start or loses messages has failed; what makes the service slower or shows only later is a warning.

mod database;
mod redis;
mod settings;

use crate::config::Config;
use crate::operator::{Result, print};

/// How something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Ok,
    Warning,
    Failed,
}

/// What was found of one thing.
#[derive(Debug, PartialEq, Eq)]
struct Finding {
    state: State,
    area: &'static str,
    what: String,
    /// What to do about it.
    advice: Option<String>,
}

/// All that was found, in the order in which it is shown.
#[derive(Debug, Default)]
struct Report(Vec<Finding>);

impl Report {
    fn ok(&mut self, area: &'static str, what: impl Into<String>) {
        self.0.push(Finding { state: State::Ok, area, what: what.into(), advice: None });
    }

    fn warn(&mut self, area: &'static str, what: impl Into<String>, advice: impl Into<String>) {
        self.0.push(Finding { state: State::Warning, area, what: what.into(), advice: Some(advice.into()) });
    }

    fn fail(&mut self, area: &'static str, what: impl Into<String>, advice: impl Into<String>) {
        self.0.push(Finding { state: State::Failed, area, what: what.into(), advice: Some(advice.into()) });
    }

    fn count(&self, state: State) -> usize {
        self.0.iter().filter(|finding| finding.state == state).count()
    }

    fn lines(&self) -> Vec<String> {
        let line = |finding: &Finding| {
            let Finding { state, area, what, advice } = finding;
            let state = match state {
                State::Ok => "ok",
                State::Warning => "warning",
                State::Failed => "failed",
            };
            let advice = advice.as_ref().map(|advice| format!("\n{:19}→ {advice}", "")).unwrap_or_default();
            format!("{state:8} {area:9} {what}{advice}")
        };
        let sum = format!(
            "{} ok, {} to look at, {} failed",
            self.count(State::Ok),
            self.count(State::Warning),
            self.count(State::Failed)
        );
        self.0.iter().map(line).chain([sum]).collect()
    }
}

/// Looks at everything; returns whether nothing has failed.
pub(super) async fn run(config: &Config) -> Result<bool> {
    let mut report = Report::default();
    settings::check(config, &mut report);
    database::check(config, &mut report).await;
    redis::check(config, &mut report).await;
    for line in report.lines() {
        print(&line)?;
    }
    Ok(report.count(State::Failed) == 0)
}

/// How far two clocks may be apart before it shows in times, in microseconds.
const CLOCK_SHOWS: i64 = 2_000_000;
/// How far before tokens are taken for expired that are not: what is forgiven them.
const CLOCK_BREAKS: i64 = 15_000_000;

/// Compares a clock with this machine's.
fn check_clock(report: &mut Report, area: &'static str, ahead: i64) {
    const ADVICE: &str = "set both by NTP; quotas, expiry and times of messages go by this machine's clock";
    let text = format!("{}.{:03} s", ahead.abs() / 1_000_000, ahead.abs() % 1_000_000 / 1000);
    let apart = format!("its clock is {text} {} this machine's", if ahead < 0 { "behind" } else { "ahead of" });
    match ahead.abs() {
        CLOCK_BREAKS.. => report.fail(area, apart, ADVICE),
        CLOCK_SHOWS.. => report.warn(area, apart, ADVICE),
        _ => report.ok(area, format!("its clock is within {text} of this machine's")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_may_differ_a_little() {
        let state = |ahead| {
            let mut report = Report::default();
            check_clock(&mut report, "database", ahead);
            report.0[0].state
        };
        for (ahead, expected) in [
            (0, State::Ok),
            (-1_999_999, State::Ok),
            (2_000_000, State::Warning),
            (-14_999_999, State::Warning),
            (15_000_000, State::Failed),
            (-86_400_000_000, State::Failed),
        ] {
            assert_eq!(state(ahead), expected, "{ahead}");
        }
    }

    #[test]
    fn a_line_says_how_it_is_and_what_to_do() {
        let mut report = Report::default();
        report.ok("redis", "version 7");
        report.fail("database", "fsync=off", "turn it on");
        assert_eq!(
            report.lines(),
            [
                "ok       redis     version 7",
                "failed   database  fsync=off\n                   → turn it on",
                "1 ok, 0 to look at, 1 failed",
            ]
        );
    }
}
