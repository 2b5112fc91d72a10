//! What may be written, and who decides.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::{ConfigError, or_file};

/// The smallest key of signatures: as long as what HMAC-SHA256 makes (RFC 2104, section 3).
const SECRET_BYTES: usize = 32;

/// Settings of what may be written.
#[derive(Clone, Args)]
pub struct ModerationSettings {
    /// File of words that reject or flag a message: lines of `reject: WORD` or `flag: WORD`, comments after #
    #[arg(long, env = "MODERATION_WORDS_FILE", value_name = "FILE")]
    pub moderation_words_file: Option<PathBuf>,

    /// Address that is asked before a message is written, such as `https://app.example.com/moderate`
    #[arg(long, env = "MODERATION_HOOK_URL", value_name = "URL", hide_env_values = true)]
    pub moderation_hook_url: Option<String>,

    /// File that holds the address instead
    #[arg(long, env = "MODERATION_HOOK_URL_FILE", value_name = "FILE", conflicts_with = "moderation_hook_url")]
    pub moderation_hook_url_file: Option<PathBuf>,

    /// Key of the signatures of what is asked there, at least 32 bytes
    #[arg(long, env = "MODERATION_HOOK_SECRET", value_name = "SECRET", hide_env_values = true)]
    pub moderation_hook_secret: Option<String>,

    /// File that holds the key instead
    #[arg(long, env = "MODERATION_HOOK_SECRET_FILE", value_name = "FILE", conflicts_with = "moderation_hook_secret")]
    pub moderation_hook_secret_file: Option<PathBuf>,

    /// Milliseconds an answer of the hook may take
    #[arg(long, env = "MODERATION_HOOK_DEADLINE_MS", default_value_t = 500, value_parser = clap::value_parser!(u64).range(10..=10_000))]
    pub moderation_hook_deadline_ms: u64,

    /// What becomes of a message when the hook does not answer as it should: it is accepted, or refused with 503
    #[arg(long, env = "MODERATION_HOOK_FAILURE", default_value = "accept", value_name = "accept|reject")]
    pub moderation_hook_failure: HookFailure,
}

/// What becomes of a message when the hook does not answer as it should.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum HookFailure {
    /// It is written.
    Accept,
    /// It is refused for the moment.
    Reject,
}

impl ModerationSettings {
    /// The text of the word list, if there is one.
    pub fn words(&self) -> Result<Option<String>, ConfigError> {
        or_file(None, "MODERATION_WORDS_FILE", self.moderation_words_file.as_deref())
    }

    /// The hook's address and key, if there is one.
    pub fn hook(&self) -> Result<Option<(String, String)>, ConfigError> {
        let file = self.moderation_hook_secret_file.as_deref();
        let secret = or_file(self.moderation_hook_secret.as_ref(), "MODERATION_HOOK_SECRET_FILE", file)?;
        let file = self.moderation_hook_url_file.as_deref();
        let url = or_file(self.moderation_hook_url.as_ref(), "MODERATION_HOOK_URL_FILE", file)?;
        match (url, secret) {
            (None, None) => Ok(None),
            (None, Some(_)) => {
                Err(ConfigError::new("MODERATION_HOOK_URL", "is needed with a MODERATION_HOOK_SECRET: whom to ask"))
            }
            (Some(_), None) => Err(ConfigError::new(
                "MODERATION_HOOK_SECRET",
                "is needed with a MODERATION_HOOK_URL, which asks signed",
            )),
            (Some(_), Some(secret)) if secret.len() < SECRET_BYTES => Err(ConfigError::new(
                "MODERATION_HOOK_SECRET",
                format!("has {} bytes; at least {SECRET_BYTES} are needed, random ones", secret.len()),
            )),
            (Some(url), Some(secret)) => Ok(Some((url, secret))),
        }
    }
}
