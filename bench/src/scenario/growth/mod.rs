//! How cost grows: with a room's subscribers, with rooms, with instances, with a room's history, and with the rooms that
//! an instance watches for changes it was not told of.

pub(crate) mod history;
pub(crate) mod watched;

use super::fan_out::{Case, Rate};

/// Rooms of ever more subscribers, at the same number of deliveries where that can be.
pub(crate) const SUBSCRIBERS: [(&str, Case); 4] = [
    ("10 subscribers", case(1, 10, 500.0)),
    ("100 subscribers", case(1, 100, 200.0)),
    ("1,000 subscribers", case(1, 1_000, 20.0)),
    ("10,000 subscribers", case(1, 10_000, 2.0)),
];

/// Ever more rooms, at the same rate of messages.
pub(crate) const ROOMS: [(&str, Case); 3] = [
    ("1 room of 10", case(1, 10, 200.0)),
    ("100 rooms of 10", case(100, 10, 200.0)),
    ("10,000 rooms of 1", case(10_000, 1, 200.0)),
];

/// Ever more instances, on one PostgreSQL and one Redis.
pub(crate) const INSTANCES: [(&str, Case); 4] = [
    ("1 instance", Case { instances: 1, ..case(20, 50, 200.0) }),
    ("2 instances", Case { instances: 2, ..case(20, 50, 200.0) }),
    ("4 instances", Case { instances: 4, ..case(20, 50, 200.0) }),
    ("2 instances without Redis", Case { instances: 2, redis: false, ..case(20, 50, 200.0) }),
];

const fn case(rooms: usize, members: usize, per_second: f64) -> Case {
    Case { rooms, members, rate: Rate::Open(per_second), writers: 8, instances: 1, redis: true, pinned: false }
}
