//! Daily quotas: how many messages a person may write in all rooms that name one, and when the day turns.

use chrono::DateTime;
use chrono_tz::Tz;
use schemars::JsonSchema;
use serde::{Serialize, Serializer};

use super::{QuotaName, Timestamp};

/// Longest a day can be that is looked through: two ordinary ones, for where a zone leaves one out.
const HORIZON: i64 = 50 * 3600 * 1_000_000;

/// A time zone of the IANA database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeZone(Tz);

impl TimeZone {
    /// The zone of a name such as `Europe/Berlin`.
    pub fn parse(name: &str) -> Option<Self> {
        name.parse().ok().map(Self)
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        self.0.name()
    }

    /// The date there, as `2026-11-25`.
    pub fn date(self, at: Timestamp) -> String {
        let time = DateTime::from_timestamp_micros(at.0).unwrap_or_default();
        time.with_timezone(&self.0).date_naive().to_string()
    }

    /// When the next day begins there: the first moment of another date. Dates never go back, so it is found by halving,
    /// also where a clock that is set forward leaves out midnight, or one that is set back has it twice.
    pub fn next_day(self, at: Timestamp) -> Timestamp {
        let today = self.date(at);
        let (mut same, mut other) = (at.0, at.0.saturating_add(HORIZON));
        while other - same > 1 {
            let middle = same + (other - same) / 2;
            if self.date(Timestamp(middle)) == today {
                same = middle;
            } else {
                other = middle;
            }
        }
        Timestamp(other)
    }
}

impl Serialize for TimeZone {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// So many messages a day and person, over all rooms that name it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Quota {
    /// Its name.
    pub name: QuotaName,
    /// Messages a day.
    pub per_day: u32,
    /// Whose midnight begins the day.
    #[schemars(with = "String")]
    pub time_zone: TimeZone,
}

/// What one person has used of a quota.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct QuotaUse {
    /// Messages since the day began.
    pub used: u64,
    /// Messages a day.
    pub limit: u64,
    /// When the next day begins.
    pub resets_at: Timestamp,
}

impl Quota {
    /// What `used` of it means at this time.
    pub fn used(&self, used: u64, at: Timestamp) -> QuotaUse {
        QuotaUse { used, limit: u64::from(self.per_day), resets_at: self.time_zone.next_day(at) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(time: &str) -> Timestamp {
        Timestamp(DateTime::parse_from_rfc3339(time).expect("a time").timestamp_micros())
    }

    #[track_caller]
    fn assert_day(zone: &str, now: &str, date: &str, next: &str) {
        let zone = TimeZone::parse(zone).expect("a zone");
        assert_eq!(zone.date(at(now)), date, "{zone:?} {now}");
        assert_eq!(zone.next_day(at(now)), at(next), "{zone:?} {now}: {}", zone.next_day(at(now)));
        let before = Timestamp(at(next).0 - 1);
        assert_eq!(zone.date(before), date, "{zone:?}: up to the last moment");
        assert!(zone.date(at(next)).as_str() > date, "{zone:?}: and not longer");
    }

    #[test]
    fn a_day_turns_at_midnight_of_its_zone() {
        assert_day("UTC", "2026-11-25T04:30:00Z", "2026-11-25", "2026-11-26T00:00:00Z");
        assert_day("Europe/Berlin", "2026-11-25T22:59:59.999999Z", "2026-11-25", "2026-11-25T23:00:00Z");
        assert_day("Europe/Berlin", "2026-11-25T23:00:00Z", "2026-11-26", "2026-11-26T23:00:00Z");
        assert_day("Asia/Kathmandu", "2026-11-25T18:15:00Z", "2026-11-26", "2026-11-26T18:15:00Z");
        assert_day("Pacific/Kiritimati", "2026-11-25T10:00:00Z", "2026-11-26", "2026-11-26T10:00:00Z");
    }

    #[test]
    fn a_day_on_which_the_clock_is_set_is_shorter_or_longer() {
        // 23 hours and 25.
        assert_day("Europe/Berlin", "2026-03-28T23:00:00Z", "2026-03-29", "2026-03-29T22:00:00Z");
        assert_day("Europe/Berlin", "2026-10-24T22:00:00Z", "2026-10-25", "2026-10-25T23:00:00Z");
        // Midnight itself is left out: the day begins at one o'clock.
        assert_day("America/Santiago", "2026-09-05T12:00:00Z", "2026-09-05", "2026-09-06T04:00:00Z");
        // Midnight comes twice: the day begins at the first.
        assert_day("America/Havana", "2026-10-31T12:00:00Z", "2026-10-31", "2026-11-01T04:00:00Z");
        assert_day("America/Havana", "2026-11-01T04:30:00Z", "2026-11-01", "2026-11-02T05:00:00Z");
        // At midnight the clock goes back to eleven: the last hour comes twice.
        assert_day("America/Santiago", "2026-04-04T12:00:00Z", "2026-04-04", "2026-04-05T04:00:00Z");
        // A day that was left out.
        assert_day("Pacific/Apia", "2011-12-30T09:00:00Z", "2011-12-29", "2011-12-30T10:00:00Z");
        assert_eq!(TimeZone::parse("Pacific/Apia").expect("a zone").date(at("2011-12-30T10:00:00Z")), "2011-12-31");
    }

    #[test]
    fn a_zone_has_a_name_of_the_database() {
        for good in ["UTC", "Europe/Berlin", "America/Argentina/Buenos_Aires"] {
            assert_eq!(TimeZone::parse(good).map(TimeZone::name), Some(good));
        }
        for bad in ["", "Berlin", "Europe/", "+01:00", "europe/berlin "] {
            assert!(TimeZone::parse(bad).is_none(), "{bad}");
        }
    }
}
