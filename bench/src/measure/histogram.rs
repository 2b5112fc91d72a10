//! Times, counted in buckets that are some 1.6 % wide: constant memory, whatever the number.

use std::time::Duration;

/// Buckets for each power of two.
const FINE: u32 = 64;
const FINE_BITS: u32 = FINE.ilog2();

/// How long things took.
#[derive(Debug, Clone)]
pub(crate) struct Histogram {
    buckets: Vec<u64>,
    count: u64,
    longest: u64,
}

impl Histogram {
    pub(crate) fn new() -> Self {
        Self { buckets: vec![0; bucket(u64::MAX) + 1], count: 0, longest: 0 }
    }

    pub(crate) fn record(&mut self, took: Duration) {
        let nanoseconds = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.buckets[bucket(nanoseconds)] += 1;
        self.count += 1;
        self.longest = self.longest.max(nanoseconds);
    }

    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    /// What this share of all took at most, in milliseconds; nothing if there was nothing.
    pub(crate) fn percentile(&self, share: f64) -> Option<f64> {
        let rank = (self.count as f64 * share).ceil().max(1.0);
        let mut seen = 0;
        let found = self.buckets.iter().position(|count| {
            seen += count;
            seen as f64 >= rank
        });
        found.filter(|_| self.count > 0).map(|found| upper(found).min(self.longest) as f64 / 1e6)
    }

    /// The longest, in milliseconds.
    pub(crate) fn longest(&self) -> Option<f64> {
        (self.count > 0).then_some(self.longest as f64 / 1e6)
    }
}

fn bucket(value: u64) -> usize {
    let power = value.max(1).ilog2();
    let index = match power.checked_sub(FINE_BITS) {
        None => value,
        Some(shift) => u64::from(FINE * (shift + 1)) + ((value >> shift) - u64::from(FINE)),
    };
    usize::try_from(index).unwrap_or(usize::MAX)
}

/// The largest value of a bucket.
fn upper(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    let fine = u64::from(FINE);
    if bucket < fine {
        return bucket;
    }
    let (shift, rest) = (bucket / fine - 1, bucket % fine);
    let above = u128::from(fine + rest + 1) << shift;
    u64::try_from(above - 1).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_lies_in_its_bucket() {
        let mut values: Vec<u64> = (0..64).flat_map(|power| [1 << power, (1 << power) - 1, (1 << power) + 1]).collect();
        values.push(u64::MAX);
        for value in values {
            let found = bucket(value);
            assert!(upper(found) >= value, "{value}");
            assert!(found == 0 || upper(found - 1) < value, "{value}");
        }
    }

    #[test]
    fn percentiles_are_those_of_what_was_recorded() {
        let mut histogram = Histogram::new();
        assert_eq!(histogram.percentile(0.5), None);
        for millisecond in 1..=1000 {
            histogram.record(Duration::from_millis(millisecond));
        }
        for (share, expected) in [(0.5, 500.0), (0.99, 990.0), (1.0, 1000.0)] {
            let found = histogram.percentile(share).expect("recorded");
            assert!((found - expected).abs() / expected < 0.016, "{share}: {found}");
        }
        assert_eq!(histogram.longest(), Some(1000.0));
    }
}
