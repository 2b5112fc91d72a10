//! Who calls: tokens verified strictly, by keys whose algorithms are fixed, with `exp` required and `iss` and `aud`
//! checked when set. Checking a token costs no I/O; one that names a new key waits, shortly, for the task that fetches
//! keys. Nothing is read from a token before its signature is verified but which key that takes. No transport, no
//! store.

mod claims;
mod der;
mod key_set;
mod keys;
mod provider;
pub mod request;
mod session;
mod verified;

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Value, json};

use claims::{Payload, Refusal, Rules};
use key_set::{KeySet, Verdict};
use keys::{Accepted, Key};
use request::Token;
use session::SessionKeys;
use verified::Verified;

use crate::config::{ClaimNames, ConfigError, Tokens};
use crate::error::{Error, Result};
use crate::lifecycle::Lifecycle;
use crate::model::{Caller, Principal, Timestamp, UserId};

/// Longest token that is looked at, in bytes.
const TOKEN_BYTES: usize = 8192;
/// Longest `kid`, in bytes.
const KEY_ID_BYTES: usize = 255;
/// How long a demo token is good, in seconds.
const DEMO_LIFE: u64 = 7 * 24 * 3600;

/// Checks tokens, and in a demo makes them.
pub struct Auth {
    keys: Vec<Key>,
    key_set: Option<Arc<KeySet>>,
    sessions: Option<SessionKeys>,
    token_rules: Rules,
    session_rules: Rules,
    demo: Option<EncodingKey>,
    verified: Verified,
}

/// What a token's header says that matters. Keys that it holds or points to (`jwk`, `jku`, `x5c`, `x5u`) do not.
#[derive(Deserialize)]
struct Head {
    alg: String,
    kid: Option<String>,
    typ: Option<String>,
    /// What must be understood, or the token refused (RFC 7515, section 4.1.11). None of it is here.
    crit: Option<IgnoredAny>,
}

impl Auth {
    /// Takes tokens that one of these keys vouches for. Refuses keys that cannot be used, by the setting's name.
    pub fn new(tokens: &Tokens) -> Result<Self, ConfigError> {
        let accepted = Accepted::read(&tokens.algorithms)?;
        let keys = keys::fixed(tokens, &accepted)?;
        let key_set = tokens.key_set.as_ref().map(|source| KeySet::open(source, accepted)).transpose()?;
        let derive = || SessionKeys::derive(&tokens.session_secrets, tokens.session_cookie.as_deref());
        Ok(Self {
            keys,
            key_set: key_set.map(Arc::new),
            sessions: (!tokens.session_secrets.is_empty()).then(derive),
            token_rules: Rules {
                issuer: tokens.issuer.clone(),
                audience: tokens.audience.clone(),
                claims: tokens.claims.clone(),
                takes_application: true,
            },
            // The key is the application's own and made for nothing else, which says what `iss` and `aud` would.
            session_rules: Rules { claims: tokens.claims.clone(), ..Rules::default() },
            demo: None,
            verified: Verified::new(),
        })
    }

    /// Lets anyone in by name, with tokens signed by this key.
    pub fn demo(key: &str) -> Result<Self, ConfigError> {
        let claims = |name: &str| Some(name.to_owned());
        // Whoever can name themselves must not name themselves administrator.
        let claims = ClaimNames { name: claims("name"), picture: claims("picture"), ..ClaimNames::default() };
        let auth = Self::new(&Tokens { secrets: vec![key.to_owned()], claims, ..Tokens::default() })?;
        let token_rules = Rules { takes_application: false, ..auth.token_rules };
        Ok(Self { demo: Some(EncodingKey::from_secret(key.as_bytes())), token_rules, ..auth })
    }

    /// Keeps keys that may change fresh, for as long as the service runs.
    pub fn keep_fresh(&self, lifecycle: &Lifecycle) {
        if let Some(key_set) = &self.key_set {
            key_set.keep_fresh(lifecycle);
        }
    }

    /// Whether anyone may come in by name.
    pub fn is_demo(&self) -> bool {
        self.demo.is_some()
    }

    /// A demo token for this user, and when it ends. Never one of an administrator.
    pub fn mint_demo(&self, id: &UserId, name: &str) -> Result<(String, Timestamp)> {
        let key = self.demo.as_ref().ok_or(Error::NotFound)?;
        let expires = now() + DEMO_LIFE;
        let claims = json!({ "sub": id, "name": name, "exp": expires });
        let token = jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, key)
            .map_err(|error| Error::internal("signing a demo token", error))?;
        Ok((token, Timestamp::from_seconds(expires)))
    }

    /// The user whose token it is.
    pub async fn user(&self, token: &Token<'_>) -> Result<Arc<Caller>> {
        user(self.verify(token).await?)
    }

    /// Who the token's bearer is. Waits only for a key that is not known yet, and for that at most two seconds.
    pub async fn verify(&self, token: &Token<'_>) -> Result<Principal> {
        // Before the check: should the keys change meanwhile, it is of those of before.
        let keys = self.key_set.as_ref().map_or(0, |set| set.fetches());
        let print = Verified::print(token);
        if let Some(principal) = self.verified.find(&print, keys) {
            return Ok(principal);
        }
        let mut checked = self.check(token);
        if let (Err(Refusal::UnknownKey), Some(key_set)) = (&checked, &self.key_set) {
            key_set.refreshed().await;
            checked = self.check(token);
        }
        if let Ok(principal) = &checked {
            self.verified.keep(print, keys, principal);
        }
        checked.map_err(|refusal| match refusal {
            Refusal::Expired => Error::TokenExpired,
            Refusal::UnknownKey | Refusal::Invalid(_) => {
                tracing::debug!(?refusal, "a token was refused");
                Error::Unauthenticated("the token is not valid here")
            }
        })
    }

    fn check(&self, token: &Token<'_>) -> Result<Principal, Refusal> {
        let text = token.text();
        if text.len() > TOKEN_BYTES {
            return Err(Refusal::Invalid("it is too long"));
        }
        match text.bytes().filter(|byte| *byte == b'.').count() {
            2 => {
                let payload = self.verified(text)?;
                let principal = Payload::read(&payload)?.principal(&self.token_rules, now())?;
                // A browser sends its cookies to whoever makes it; the application has no browser.
                if token.is_cookie() && matches!(principal, Principal::Application(_)) {
                    return Err(Refusal::Invalid("the application's own token came in a cookie"));
                }
                Ok(principal)
            }
            4 => {
                let opened = self.sessions.as_ref().and_then(|keys| keys.open(text, token.carrier()));
                let payload = opened.ok_or(Refusal::Invalid("no secret of sessions opens it"))?;
                Payload::read(&payload)?.principal(&self.session_rules, now())
            }
            _ => Err(Refusal::Invalid("it is neither a JWT nor a session")),
        }
    }

    /// The claims of a signed token, if a key vouches for them.
    fn verified(&self, token: &str) -> Result<Vec<u8>, Refusal> {
        const BROKEN: Refusal = Refusal::Invalid("it is no JWT");
        const FORGED: Refusal = Refusal::Invalid("no key vouches for it");
        let (message, signature) = token.rsplit_once('.').ok_or(BROKEN)?;
        let (head, payload) = message.split_once('.').ok_or(BROKEN)?;
        let bytes = |text: &str| URL_SAFE_NO_PAD.decode(text).map_err(|_| BROKEN);
        let head: Head = serde_json::from_slice(&bytes(head)?).map_err(|_| BROKEN)?;
        let algorithm = keys::algorithm(&head.alg).ok_or(FORGED)?;
        if head.crit.is_some() || !head.typ.as_deref().is_none_or(is_access_token) {
            return Err(Refusal::Invalid("its crit or typ says it is for something else"));
        }
        let id = head.kid.as_deref();
        if id.is_some_and(|id| id.len() > KEY_ID_BYTES) {
            return Err(Refusal::Invalid("its kid is too long"));
        }
        if !self.keys.iter().any(|key| key.verifies(algorithm, message, signature)) {
            let key_set = self.key_set.as_ref().ok_or(FORGED)?;
            match key_set.verify(id, algorithm, message, signature) {
                Verdict::Good => {}
                Verdict::Bad => return Err(FORGED),
                Verdict::Unknown => return Err(Refusal::UnknownKey),
            }
        }
        bytes(payload)
    }
}

impl std::fmt::Debug for Auth {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Auth").field("demo", &self.is_demo()).finish_non_exhaustive()
    }
}

/// Whether a `typ` is of tokens that let one in, and not of a refresh token or whatever else the same key signs.
fn is_access_token(kind: &str) -> bool {
    let kind = kind.to_ascii_lowercase();
    matches!(kind.strip_prefix("application/").unwrap_or(&kind), "jwt" | "at+jwt")
}

/// The cookies that carry a token, in the order in which they count.
pub fn cookies(tokens: &Tokens) -> Vec<String> {
    let usual = if tokens.session_secrets.is_empty() { &[][..] } else { &session::COOKIES[..] };
    let usual = usual.iter().map(|&name| name.to_owned());
    tokens.session_cookie.clone().into_iter().chain(usual).collect()
}

/// The user whose token it is; the application's own is none of any.
pub fn user(principal: Principal) -> Result<Arc<Caller>> {
    match principal {
        Principal::User(caller) => Ok(caller),
        Principal::Application(_) => Err(Error::Forbidden("this token speaks for no user; it is for /api/admin")),
    }
}

fn now() -> u64 {
    jsonwebtoken::get_current_timestamp()
}

/// The `exp` of a token that ends so many days from now.
pub fn in_days(days: u64) -> u64 {
    now() + days * 24 * 3600
}

/// Signs claims with an HS256 secret, as an application does for its users.
pub fn mint(secret: &str, claims: &Value) -> String {
    sign(secret, Algorithm::HS256, claims)
}

/// Signs claims as an application would that these settings are for; nothing without a secret.
pub fn mint_for(tokens: &Tokens, claims: &Value) -> Option<String> {
    let accepted = tokens.algorithms.iter().filter_map(|name| keys::algorithm(name));
    let algorithm = { accepted }.find(|algorithm| algorithm.family() == jsonwebtoken::AlgorithmFamily::Hmac);
    tokens.secrets.first().map(|secret| sign(secret, algorithm.unwrap_or(Algorithm::HS256), claims))
}

/// The scope of a token of the application itself.
pub fn application_scope() -> &'static str {
    claims::ADMIN_SCOPE
}

fn sign(secret: &str, algorithm: Algorithm, claims: &Value) -> String {
    provider::install();
    jsonwebtoken::encode(&Header::new(algorithm), claims, &EncodingKey::from_secret(secret.as_bytes()))
        .expect("any JSON can be signed with any secret")
}

#[cfg(test)]
mod tests;
