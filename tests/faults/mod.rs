//! Several instances on one PostgreSQL and one Redis, while something breaks. `support::Load` checks what must hold
//! whatever that is; what each fault promises beyond it is asked here.

mod database;
mod figures;
mod flood;
mod garbage;
mod input;
mod instances;
mod publications;
mod redis;
mod restore;
mod servers;
mod slots;

use std::time::Duration;

/// As the settings say it.
const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}
