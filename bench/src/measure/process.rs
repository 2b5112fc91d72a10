//! What a process costs, read from outside in /proc: with it count all that it started, since some peers are several.

use std::fs;
use std::ops::Sub;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// What the kernel counts processor time in, each second; Linux has no other value for programs.
const TICKS: f64 = 100.0;

/// Processor time in seconds: all of it, and what of it was in the program itself and not in the kernel.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Cpu {
    pub(crate) total: f64,
    pub(crate) user: f64,
}

impl Sub for Cpu {
    type Output = Self;

    fn sub(self, earlier: Self) -> Self {
        Self { total: self.total - earlier.total, user: self.user - earlier.user }
    }
}

/// The processor time of several processes and their descendants.
pub(crate) fn usage(processes: &[u32]) -> Cpu {
    let mut sum = Cpu::default();
    for process in with_descendants(processes) {
        let Cpu { total, user } = process_usage(&process.to_string());
        sum = Cpu { total: sum.total + total, user: sum.user + user };
    }
    sum
}

/// What the kernel counts for a process comes in hundredths of a second, with threads that have ended; what it counts for
/// living threads is exact. So the larger one is nearer to the truth.
fn process_usage(process: &str) -> Cpu {
    let counted = times(&fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default()).unwrap_or_default();
    let tasks = fs::read_dir(format!("/proc/{process}/task")).into_iter().flatten().flatten();
    let ran = |task: fs::DirEntry| {
        let text = fs::read_to_string(task.path().join("schedstat")).unwrap_or_default();
        text.split(' ').next().and_then(|nanoseconds| nanoseconds.parse::<f64>().ok()).unwrap_or(0.0)
    };
    let exact = tasks.map(ran).sum::<f64>() / 1e9;
    Cpu { total: counted.total.max(exact), user: counted.user }
}

/// Bytes of memory that several processes and their descendants have in use. What they share counts for each, so that only differences mean something
pub(crate) fn memory(processes: &[u32]) -> u64 {
    let one = |process: u32| {
        let rollup = fs::read_to_string(format!("/proc/{process}/smaps_rollup")).unwrap_or_default();
        resident(&rollup).unwrap_or(0)
    };
    with_descendants(processes).into_iter().map(one).sum()
}

/// Of /proc/PID/stat: the name may hold anything, but ends with the last parenthesis.
fn times(stat: &str) -> Option<Cpu> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace().skip(11);
    let mut seconds = || fields.next()?.parse::<f64>().ok().map(|ticks| ticks / TICKS);
    let (user, system) = (seconds()?, seconds()?);
    Some(Cpu { total: user + system, user })
}

/// Of `/proc/PID/smaps_rollup`, in bytes.
fn resident(rollup: &str) -> Option<u64> {
    let line = rollup.lines().find_map(|line| line.strip_prefix("Rss:"))?;
    let kibibytes: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kibibytes * 1024)
}

fn with_descendants(processes: &[u32]) -> Vec<u32> {
    let mut all = processes.to_vec();
    let mut looked = 0;
    while let Some(process) = all.get(looked).copied() {
        looked += 1;
        for task in fs::read_dir(format!("/proc/{process}/task")).into_iter().flatten().flatten() {
            let children = fs::read_to_string(task.path().join("children")).unwrap_or_default();
            all.extend(children.split_whitespace().filter_map(|child| child.parse::<u32>().ok()));
        }
    }
    all
}

/// Nanoseconds that this process spent looking for something to do.
static RESTED: AtomicU64 = AtomicU64::new(0);

/// So long this process used a core without doing anything: it waited for something, and did not sleep meanwhile.
pub(crate) fn rested(time: Duration) {
    RESTED.fetch_add(u64::try_from(time.as_nanos()).unwrap_or(0), Ordering::Relaxed);
}

/// A look at what was used so far.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Usage {
    pub(crate) at: Instant,
    servers: Cpu,
    client: f64,
    /// By everything that this process has started, itself among it.
    ours: f64,
    /// By everyone on this machine, and below it what took the cores away.
    machine: f64,
}

/// What was used between two looks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Spent {
    pub(crate) seconds: f64,
    pub(crate) servers: Cpu,
    pub(crate) client: f64,
    /// By others on the same machine, who disturbed the measurement.
    pub(crate) others: f64,
}

impl Usage {
    pub(crate) fn now(servers: &[u32]) -> Self {
        Self {
            at: Instant::now(),
            servers: usage(servers),
            client: process_usage("self").total - RESTED.load(Ordering::Relaxed) as f64 / 1e9,
            ours: usage(&[std::process::id()]).total,
            machine: busy(&fs::read_to_string("/proc/stat").unwrap_or_default()).unwrap_or(0.0),
        }
    }

    pub(crate) fn since(&self, earlier: &Self) -> Spent {
        Spent {
            seconds: (self.at - earlier.at).as_secs_f64(),
            servers: self.servers - earlier.servers,
            client: self.client - earlier.client,
            others: ((self.machine - earlier.machine) - (self.ours - earlier.ours)).max(0.0),
        }
    }
}

/// Of `/proc/stat`, seconds in which cores were not idle: user, nice, system, irq, softirq, steal.
fn busy(stat: &str) -> Option<f64> {
    let fields: Vec<f64> =
        stat.lines().next()?.split_whitespace().skip(1).map_while(|field| field.parse().ok()).collect();
    let at = |place: usize| fields.get(place);
    Some([0, 1, 2, 5, 6, 7].into_iter().filter_map(at).sum::<f64>() / TICKS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_does_not_move_the_fields() {
        let stat = "12 (a) b (c)) S 1 1 1 0 -1 4194304 100 0 0 0 250 50 0 0 20 0 1 0 100 1 1";
        let cpu = times(stat).expect("a stat");
        assert_eq!((cpu.total, cpu.user), (3.0, 2.5));
        assert!(times("no stat").is_none());
    }

    #[test]
    fn what_waits_is_not_busy() {
        assert_eq!(busy("cpu  100 200 300 9999 8888 10 20 30 0 0\ncpu0 1 1\n"), Some(6.6));
    }

    #[test]
    fn memory_is_read_in_bytes() {
        assert_eq!(resident("00400000-7ff r\nRss:   40 kB\nPss:   30 kB\n"), Some(40 << 10));
        assert!(memory(&[std::process::id()]) > 100_000);
    }
}
