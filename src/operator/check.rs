//! x
use crate::config::Config;
pub(super) async fn run(_c: &Config) -> super::Result<bool> {
    Ok(true)
}
