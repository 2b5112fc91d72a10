//! What may be written, and who decides.

use clap::Args;

/// Settings of what may be written.
#[derive(Clone, Args)]
pub struct ModerationSettings {}
