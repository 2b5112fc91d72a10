//! x
use crate::config::Config;
pub(super) async fn run(_c: &Config, _a: &crate::config::ImportArgs, _u: String) -> super::Result<()> {
    Ok(())
}
