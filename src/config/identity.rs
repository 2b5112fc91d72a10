//! Who may come in: the settings of tokens, cookies and origins.

use std::net::IpAddr;
use std::path::PathBuf;

use clap::Args;

use super::{ConfigError, Switch, or_file};

/// The smallest secret: HS256 keys have at least the hash's 32 bytes (RFC 7518, section 3.2).
const SECRET_BYTES: usize = 32;

/// Settings of who may come in.
#[derive(Clone, Args)]
pub struct IdentitySettings {
    /// Secret of the application's HS256 tokens, at least 32 bytes; ends the demo
    #[arg(long, env = "JWT_SECRET", value_name = "SECRET", hide_env_values = true)]
    pub jwt_secret: Option<String>,

    /// File that holds the secret instead
    #[arg(long, env = "JWT_SECRET_FILE", value_name = "FILE", conflicts_with = "jwt_secret")]
    pub jwt_secret_file: Option<PathBuf>,

    /// Issuer that tokens must name, as `iss`
    #[arg(long, env = "JWT_ISSUER", value_name = "ISSUER")]
    pub jwt_issuer: Option<String>,

    /// Audience that tokens must name, in `aud`
    #[arg(long, env = "JWT_AUDIENCE", value_name = "AUDIENCE")]
    pub jwt_audience: Option<String>,

    /// Let anyone in by name: on for any address, off for none [default: while no secret is set, on this machine only]
    #[arg(long, env = "DEMO", value_name = "on|off")]
    pub demo: Option<Switch>,

    /// Session cookie that also carries the token; off unless set. Needs the page's own or an allowed origin
    #[arg(long, env = "SESSION_COOKIE", value_name = "NAME")]
    pub session_cookie: Option<String>,

    /// Origins of other sites whose pages may call, such as `https://app.example.com`
    #[arg(long, env = "ALLOWED_ORIGINS", value_delimiter = ',', value_name = "ORIGINS")]
    pub allowed_origins: Vec<String>,
}

/// Who may come in.
pub enum Identity {
    /// Anyone, by name. For trying it out.
    Demo,
    /// Who holds a token signed with this secret.
    Secret(String),
}

impl IdentitySettings {
    /// Who may come in, at this address. Refuses what would let the public in by accident.
    pub(super) fn identity(&self, host: Option<IpAddr>) -> Result<Identity, ConfigError> {
        let secret = or_file(self.jwt_secret.as_ref(), "JWT_SECRET_FILE", self.jwt_secret_file.as_deref())?;
        match (secret, self.demo) {
            (Some(_), Some(Switch::On)) => Err(ConfigError::new(
                "DEMO",
                "is on while a JWT_SECRET is set; with the application's tokens there is no demo",
            )),
            (Some(secret), _) if secret.len() < SECRET_BYTES => Err(ConfigError::new(
                "JWT_SECRET",
                format!("has {} bytes; at least {SECRET_BYTES} are needed, random ones", secret.len()),
            )),
            (Some(secret), _) => Ok(Identity::Secret(secret)),
            (None, Some(Switch::Off)) => {
                Err(ConfigError::new("JWT_SECRET", "is needed with DEMO=off; without one nobody could come in"))
            }
            (None, demo) => {
                if demo.is_none() && host.is_some_and(|host| !host.is_loopback()) {
                    let detail = "is reachable from outside while anyone may come in by name; set JWT_SECRET, or DEMO=on if that is meant";
                    return Err(ConfigError::new("HOST", detail));
                }
                Ok(Identity::Demo)
            }
        }
    }
}
