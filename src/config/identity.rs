//! Who may come in: the settings of tokens, keys, sessions, cookies and origins.

use std::net::IpAddr;
use std::path::PathBuf;

use clap::Args;
use hyper::Uri;

use super::{ConfigError, Switch, or_file};

/// The smallest secret: HS256 keys have at least the hash's 32 bytes (RFC 7518, section 3.2).
const SECRET_BYTES: usize = 32;
/// What `TRUST_CLAIMS` may list, in the order of [`ClaimNames`].
const CLAIMS: [&str; 5] = ["name", "picture", "role", "partnerId", "partnerStatus"];

/// Settings of who may come in.
#[derive(Clone, Args)]
pub struct IdentitySettings {
    /// Secret of the application's HMAC tokens, at least 32 bytes; ends the demo, as every key below does
    #[arg(long, env = "JWT_SECRET", value_name = "SECRET", hide_env_values = true)]
    pub jwt_secret: Option<String>,

    /// File that holds the secret instead
    #[arg(long, env = "JWT_SECRET_FILE", value_name = "FILE", conflicts_with = "jwt_secret")]
    pub jwt_secret_file: Option<PathBuf>,

    /// Secret of before, whose tokens count as well while the secret is being changed
    #[arg(long, env = "JWT_SECRET_PREVIOUS", value_name = "SECRET", hide_env_values = true)]
    pub jwt_secret_previous: Option<String>,

    /// File that holds the secret of before instead
    #[arg(long, env = "JWT_SECRET_PREVIOUS_FILE", value_name = "FILE", conflicts_with = "jwt_secret_previous")]
    pub jwt_secret_previous_file: Option<PathBuf>,

    /// PEM file of the public keys (RSA, P-256, P-384, Ed25519) of the application's tokens; several while they change
    #[arg(long, env = "JWT_PUBLIC_KEY_FILE", value_name = "FILE")]
    pub jwt_public_key_file: Option<PathBuf>,

    /// Where the application publishes its public keys (JWKS): https, or http on this machine
    #[arg(long, env = "JWKS_URL", value_name = "URL", hide_env_values = true)]
    pub jwks_url: Option<String>,

    /// File of public keys (JWKS) instead
    #[arg(long, env = "JWKS_FILE", value_name = "FILE", conflicts_with = "jwks_url")]
    pub jwks_file: Option<PathBuf>,

    /// Algorithms of tokens [default: HS256 for a secret, RS256 for RSA, what the curve says, a JWKS key's own]
    #[arg(long, env = "JWT_ALGORITHMS", value_delimiter = ',', value_name = "NAMES")]
    pub jwt_algorithms: Vec<String>,

    /// Issuer that tokens must name, as `iss`
    #[arg(long, env = "JWT_ISSUER", value_name = "ISSUER")]
    pub jwt_issuer: Option<String>,

    /// Audience that tokens must name, in `aud`
    #[arg(long, env = "JWT_AUDIENCE", value_name = "AUDIENCE")]
    pub jwt_audience: Option<String>,

    /// Secret of an application with NextAuth v4, whose sessions then count, as cookies and as tokens
    #[arg(long, env = "NEXTAUTH_SECRET", value_name = "SECRET", hide_env_values = true)]
    pub nextauth_secret: Option<String>,

    /// File that holds it instead
    #[arg(long, env = "NEXTAUTH_SECRET_FILE", value_name = "FILE", conflicts_with = "nextauth_secret")]
    pub nextauth_secret_file: Option<PathBuf>,

    /// Secret of an application with Auth.js v5, whose sessions then count, as cookies and as tokens
    #[arg(long, env = "AUTH_SECRET", value_name = "SECRET", hide_env_values = true)]
    pub auth_secret: Option<String>,

    /// File that holds it instead
    #[arg(long, env = "AUTH_SECRET_FILE", value_name = "FILE", conflicts_with = "auth_secret")]
    pub auth_secret_file: Option<PathBuf>,

    /// Further secrets of sessions, as Auth.js itself reads them while a secret is being changed
    #[arg(long, env = "AUTH_SECRET_1", value_name = "SECRET", hide_env_values = true)]
    pub auth_secret_1: Option<String>,

    /// File that holds it instead
    #[arg(long, env = "AUTH_SECRET_1_FILE", value_name = "FILE", conflicts_with = "auth_secret_1")]
    pub auth_secret_1_file: Option<PathBuf>,

    /// Likewise
    #[arg(long, env = "AUTH_SECRET_2", value_name = "SECRET", hide_env_values = true)]
    pub auth_secret_2: Option<String>,

    /// File that holds it instead
    #[arg(long, env = "AUTH_SECRET_2_FILE", value_name = "FILE", conflicts_with = "auth_secret_2")]
    pub auth_secret_2_file: Option<PathBuf>,

    /// Likewise
    #[arg(long, env = "AUTH_SECRET_3", value_name = "SECRET", hide_env_values = true)]
    pub auth_secret_3: Option<String>,

    /// File that holds it instead
    #[arg(long, env = "AUTH_SECRET_3_FILE", value_name = "FILE", conflicts_with = "auth_secret_3")]
    pub auth_secret_3_file: Option<PathBuf>,

    /// Secret of sessions of before, of NextAuth or Auth.js
    #[arg(long, env = "AUTH_SECRET_PREVIOUS", value_name = "SECRET", hide_env_values = true)]
    pub auth_secret_previous: Option<String>,

    /// File that holds it instead
    #[arg(long, env = "AUTH_SECRET_PREVIOUS_FILE", value_name = "FILE", conflicts_with = "auth_secret_previous")]
    pub auth_secret_previous_file: Option<PathBuf>,

    /// Let anyone in by name: on for any address, off for none [default: while no key is set, on this machine only]
    #[arg(long, env = "DEMO", value_name = "on|off")]
    pub demo: Option<Switch>,

    /// Cookie that carries the token, before those of NextAuth and Auth.js. Needs the page's own or an allowed origin
    #[arg(long, env = "SESSION_COOKIE", value_name = "NAME")]
    pub session_cookie: Option<String>,

    /// Origins of other sites whose pages may call, such as `https://app.example.com`
    #[arg(long, env = "ALLOWED_ORIGINS", value_delimiter = ',', value_name = "ORIGINS")]
    pub allowed_origins: Vec<String>,

    /// Claims of tokens that are believed, of: name, picture, role, partnerId, partnerStatus; or none
    #[arg(long, env = "TRUST_CLAIMS", value_delimiter = ',', default_values = CLAIMS, value_name = "CLAIMS")]
    pub trust_claims: Vec<String>,

    /// Claim that holds the user's name
    #[arg(long, env = "CLAIM_NAME", default_value = "name", value_name = "CLAIM")]
    pub claim_name: String,

    /// Claim that holds where their picture is
    #[arg(long, env = "CLAIM_PICTURE", default_value = "picture", value_name = "CLAIM")]
    pub claim_picture: String,

    /// Claim that holds their role: CUSTOMER, PARTNER or ADMIN
    #[arg(long, env = "CLAIM_ROLE", default_value = "role", value_name = "CLAIM")]
    pub claim_role: String,

    /// Claim that holds the id of their partner profile, or null
    #[arg(long, env = "CLAIM_PARTNER_ID", default_value = "partnerId", value_name = "CLAIM")]
    pub claim_partner_id: String,

    /// Claim that holds that profile's status
    #[arg(long, env = "CLAIM_PARTNER_STATUS", default_value = "partnerStatus", value_name = "CLAIM")]
    pub claim_partner_status: String,
}

/// Who may come in.
pub enum Identity {
    /// Anyone, by name. For trying it out.
    Demo,
    /// Who holds a token that one of these keys vouches for.
    Tokens(Box<Tokens>),
}

/// How the application's tokens are told from others.
#[derive(Default)]
pub struct Tokens {
    /// Secrets of HMAC tokens; the first one signs.
    pub secrets: Vec<String>,
    /// Public keys, as PEM.
    pub public_keys: Option<String>,
    /// A set of public keys that may change.
    pub key_set: Option<KeySetSource>,
    /// The algorithms that are accepted; empty for those the keys say.
    pub algorithms: Vec<String>,
    /// What `iss` must be.
    pub issuer: Option<String>,
    /// What `aud` must hold.
    pub audience: Option<String>,
    /// Secrets of sessions of NextAuth and Auth.js.
    pub session_secrets: Vec<String>,
    /// A cookie of one's own that carries the token.
    pub session_cookie: Option<String>,
    /// The claims that are believed.
    pub claims: ClaimNames,
}

/// Where a set of public keys comes from.
#[derive(Clone)]
pub enum KeySetSource {
    /// An address, read again and again.
    Url(Uri),
    /// A file, likewise.
    File(PathBuf),
}

/// What the believed claims are called; one that is not believed has no name.
#[derive(Default, Clone)]
pub struct ClaimNames {
    /// Of the name.
    pub name: Option<String>,
    /// Of the picture's address.
    pub picture: Option<String>,
    /// Of the role.
    pub role: Option<String>,
    /// Of the partner profile's id.
    pub partner_id: Option<String>,
    /// Of its status.
    pub partner_status: Option<String>,
}

impl IdentitySettings {
    /// Who may come in, at this address. Refuses what would let the public in by accident.
    pub(super) fn identity(&self, host: Option<IpAddr>) -> Result<Identity, ConfigError> {
        let tokens = self.tokens()?;
        let has_keys = !tokens.secrets.is_empty()
            || tokens.public_keys.is_some()
            || tokens.key_set.is_some()
            || !tokens.session_secrets.is_empty();
        match (has_keys, self.demo) {
            (true, Some(Switch::On)) => Err(ConfigError::new(
                "DEMO",
                "is on while a JWT_SECRET or another key is set; with the application's tokens there is no demo",
            )),
            (true, _) => Ok(Identity::Tokens(Box::new(tokens))),
            (false, _) if !self.jwt_algorithms.is_empty() => {
                Err(ConfigError::new("JWT_ALGORITHMS", "is set, but no key that it could be about"))
            }
            (false, Some(Switch::Off)) => Err(ConfigError::new(
                "JWT_SECRET",
                "or another key is needed with DEMO=off; without one nobody could come in",
            )),
            (false, demo) => {
                if demo.is_none() && host.is_some_and(|host| !host.is_loopback()) {
                    let detail = "is reachable from outside while anyone may come in by name; set JWT_SECRET or another key, or DEMO=on if that is meant";
                    return Err(ConfigError::new("HOST", detail));
                }
                Ok(Identity::Demo)
            }
        }
    }

    fn tokens(&self) -> Result<Tokens, ConfigError> {
        let is_cookie =
            |name: &str| !name.is_empty() && name.bytes().all(|b| b.is_ascii_graphic() && !b"=;,".contains(&b));
        if self.session_cookie.as_deref().is_some_and(|name| !is_cookie(name)) {
            return Err(ConfigError::new("SESSION_COOKIE", "is the name of a cookie"));
        }
        Ok(Tokens {
            secrets: self.secrets()?,
            public_keys: or_file(None, "JWT_PUBLIC_KEY_FILE", self.jwt_public_key_file.as_deref())?,
            key_set: self.key_set()?,
            algorithms: self.jwt_algorithms.clone(),
            issuer: self.jwt_issuer.clone(),
            audience: self.jwt_audience.clone(),
            session_secrets: self.session_secrets()?,
            session_cookie: self.session_cookie.clone(),
            claims: self.claims()?,
        })
    }

    fn secrets(&self) -> Result<Vec<String>, ConfigError> {
        let current = or_file(self.jwt_secret.as_ref(), "JWT_SECRET_FILE", self.jwt_secret_file.as_deref())?;
        let file = self.jwt_secret_previous_file.as_deref();
        let previous = or_file(self.jwt_secret_previous.as_ref(), "JWT_SECRET_PREVIOUS_FILE", file)?;
        if previous.is_some() && current.is_none() {
            let detail = "is for a change of JWT_SECRET, which is not set";
            return Err(ConfigError::new("JWT_SECRET_PREVIOUS", detail));
        }
        for (setting, secret) in [("JWT_SECRET", &current), ("JWT_SECRET_PREVIOUS", &previous)] {
            let Some(secret) = secret else { continue };
            if secret.len() < SECRET_BYTES {
                let detail = format!("has {} bytes; at least {SECRET_BYTES} are needed, random ones", secret.len());
                return Err(ConfigError::new(setting, detail));
            }
            // A public key as a secret would let everyone sign: the classic confusion, made by configuration.
            if secret.contains("-----BEGIN") {
                return Err(ConfigError::new(setting, "is a key in PEM; its file is a JWT_PUBLIC_KEY_FILE"));
            }
        }
        Ok(current.into_iter().chain(previous).collect())
    }

    fn session_secrets(&self) -> Result<Vec<String>, ConfigError> {
        let read = |setting, given: &Option<String>, of_file, file: &Option<PathBuf>| {
            or_file(given.as_ref(), of_file, file.as_deref()).map(|secret| (setting, secret))
        };
        let all = [
            read("AUTH_SECRET", &self.auth_secret, "AUTH_SECRET_FILE", &self.auth_secret_file)?,
            read("NEXTAUTH_SECRET", &self.nextauth_secret, "NEXTAUTH_SECRET_FILE", &self.nextauth_secret_file)?,
            read("AUTH_SECRET_3", &self.auth_secret_3, "AUTH_SECRET_3_FILE", &self.auth_secret_3_file)?,
            read("AUTH_SECRET_2", &self.auth_secret_2, "AUTH_SECRET_2_FILE", &self.auth_secret_2_file)?,
            read("AUTH_SECRET_1", &self.auth_secret_1, "AUTH_SECRET_1_FILE", &self.auth_secret_1_file)?,
            read(
                "AUTH_SECRET_PREVIOUS",
                &self.auth_secret_previous,
                "AUTH_SECRET_PREVIOUS_FILE",
                &self.auth_secret_previous_file,
            )?,
        ];
        if let Some((setting, _)) = all.iter().find(|(_, secret)| secret.as_deref() == Some("")) {
            return Err(ConfigError::new(setting, "is empty; leave it out if there are no such sessions"));
        }
        if all[5].1.is_some() && all[..5].iter().all(|(_, secret)| secret.is_none()) {
            let detail = "is for a change of AUTH_SECRET or NEXTAUTH_SECRET, of which none is set";
            return Err(ConfigError::new("AUTH_SECRET_PREVIOUS", detail));
        }
        Ok(all.into_iter().filter_map(|(_, secret)| secret).collect())
    }

    /// Which secrets of sessions are short. They are the application's, so it is told and not refused.
    pub fn short_session_secrets(&self) -> Result<bool, ConfigError> {
        Ok(self.session_secrets()?.iter().any(|secret| secret.len() < SECRET_BYTES))
    }

    fn key_set(&self) -> Result<Option<KeySetSource>, ConfigError> {
        if let Some(file) = &self.jwks_file {
            return Ok(Some(KeySetSource::File(file.clone())));
        }
        let Some(url) = &self.jwks_url else { return Ok(None) };
        let refused = |detail| Err(ConfigError::new("JWKS_URL", detail));
        let Ok(uri) = url.parse::<Uri>() else {
            return refused("is no URL, such as https://app.example.com/jwks.json");
        };
        if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
            return refused("holds a password; keys are public and need none");
        }
        match (uri.scheme_str(), uri.host()) {
            (Some("https"), Some(host)) if !host.is_empty() => {}
            (Some("http"), Some(host)) if is_loopback(host) => {}
            _ => return refused("begins with https://, so that nobody on the way can put in keys of their own"),
        }
        Ok(Some(KeySetSource::Url(uri)))
    }

    fn claims(&self) -> Result<ClaimNames, ConfigError> {
        let named = [
            ("CLAIM_NAME", &self.claim_name),
            ("CLAIM_PICTURE", &self.claim_picture),
            ("CLAIM_ROLE", &self.claim_role),
            ("CLAIM_PARTNER_ID", &self.claim_partner_id),
            ("CLAIM_PARTNER_STATUS", &self.claim_partner_status),
        ];
        if let Some((setting, _)) = named.iter().find(|(_, name)| name.trim().is_empty()) {
            return Err(ConfigError::new(setting, "is the name of a claim, and not empty"));
        }
        let trusted = &self.trust_claims;
        let nothing = trusted.len() == 1 && trusted[0] == "none";
        if let Some(unknown) = trusted.iter().find(|claim| !nothing && !CLAIMS.contains(&claim.as_str())) {
            let detail = format!("{unknown:?} is none of {}; or it is none alone", CLAIMS.join(", "));
            return Err(ConfigError::new("TRUST_CLAIMS", detail));
        }
        let [name, picture, role, partner_id, partner_status] =
            std::array::from_fn(|i| trusted.iter().any(|claim| claim == CLAIMS[i]).then(|| named[i].1.clone()));
        Ok(ClaimNames { name, picture, role, partner_id, partner_status })
    }
}

fn is_loopback(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || address.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}
