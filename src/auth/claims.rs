//! What a token says, once its signature is verified: read strictly, so that a claim which is missing, doubled or of
//! another type is never taken for a claim that is not there.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, Visitor};
use serde_json::Value;

use crate::config::ClaimNames;
use crate::model::user::{is_name, is_picture};
use crate::model::{Caller, Claims, Credential, Partner, Principal, Timestamp, UserId, UserRole};

/// How far clocks may differ, in seconds.
const LEEWAY: u64 = 15;
/// Longest id of a token or a session, in bytes.
const ID_BYTES: usize = 255;
/// The scope of the application's own tokens, which speak for no user.
pub(super) const ADMIN_SCOPE: &str = "chat:admin";

/// Why a token is not good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// It was, until its end.
    Expired,
    /// It names a key that is not there, or not yet.
    UnknownKey,
    /// It is not; this is for the log.
    Invalid(&'static str),
}

/// What is asked of a token besides its signature.
#[derive(Default)]
pub(super) struct Rules {
    pub(super) issuer: Option<String>,
    pub(super) audience: Option<String>,
    /// The claims that are believed.
    pub(super) claims: ClaimNames,
    /// Whether the application may speak for itself.
    pub(super) takes_application: bool,
}

/// The claims of a token; each once.
pub(super) struct Payload(HashMap<String, Value>);

impl<'de> Deserialize<'de> for Payload {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Once;

        impl<'de> Visitor<'de> for Once {
            type Value = Payload;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of claims")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Payload, A::Error> {
                let mut claims = HashMap::new();
                while let Some((name, value)) = entries.next_entry::<String, Value>()? {
                    // Readers disagree on which of two counts; so none does.
                    if claims.insert(name, value).is_some() {
                        return Err(A::Error::custom("a claim stands there twice"));
                    }
                }
                Ok(Payload(claims))
            }
        }

        deserializer.deserialize_map(Once)
    }
}

impl Payload {
    pub(super) fn read(json: &[u8]) -> Result<Self, Refusal> {
        serde_json::from_slice(json).map_err(|_| Refusal::Invalid("its claims are no object in which each stands once"))
    }

    /// Who the token speaks for, `now` in seconds.
    pub(super) fn principal(&self, rules: &Rules, now: u64) -> Result<Principal, Refusal> {
        let expires = self.seconds("exp")?.ok_or(Refusal::Invalid("it has no exp"))?;
        if expires < now.saturating_sub(LEEWAY) {
            return Err(Refusal::Expired);
        }
        if self.seconds("nbf")?.is_some_and(|begins| begins > now + LEEWAY) {
            return Err(Refusal::Invalid("its nbf is yet to come"));
        }
        self.check_parties(rules)?;
        let credential = Credential {
            token_id: self.id("jti")?,
            session_id: self.id("sid")?,
            issued_at: self.seconds("iat")?.map(Timestamp::from_seconds),
            expires_at: Timestamp::from_seconds(expires),
        };
        if self.0.contains_key("sub") {
            let id = self.text("sub")?.and_then(|id| UserId::try_from(id).ok()).filter(|id| !id.is_system());
            let id = id.ok_or(Refusal::Invalid("its sub is not the id of a user"))?;
            return Ok(Principal::User(Arc::new(Caller { id, claims: self.claims(&rules.claims)?, credential })));
        }
        let scope = self.text("scope")?.unwrap_or_default();
        if rules.takes_application && scope.split(' ').any(|one| one == ADMIN_SCOPE) {
            return Ok(Principal::Application(credential));
        }
        Err(Refusal::Invalid("it has no sub"))
    }

    fn check_parties(&self, rules: &Rules) -> Result<(), Refusal> {
        if rules.issuer.is_some() && self.text("iss")? != rules.issuer {
            return Err(Refusal::Invalid("its iss is another"));
        }
        let Some(audience) = &rules.audience else { return Ok(()) };
        let named = match self.0.get("aud") {
            Some(Value::String(one)) => one == audience,
            Some(Value::Array(all)) => {
                all.iter().all(Value::is_string) && all.iter().any(|one| one.as_str() == Some(audience))
            }
            _ => false,
        };
        if named { Ok(()) } else { Err(Refusal::Invalid("its aud does not name us")) }
    }

    /// The claims that are believed. Those that are not are not even looked at.
    fn claims(&self, names: &ClaimNames) -> Result<Claims, Refusal> {
        let name = self.named(names.name.as_deref())?.filter(|name| is_name(name));
        let picture = self.named(names.picture.as_deref())?.filter(|url| is_picture(url));
        let role = self.named(names.role.as_deref())?.as_deref().map(UserRole::parse);
        let has_none = names.partner_id.as_ref().is_some_and(|name| self.0.get(name) == Some(&Value::Null));
        let profile = self.named(names.partner_id.as_deref())?;
        let status = self.named(names.partner_status.as_deref())?;
        let short = |text: &String| (1..=ID_BYTES).contains(&text.len());
        let partner = match (profile.filter(short), status.filter(short)) {
            _ if has_none => Some(None),
            (Some(id), Some(status)) => Some(Some(Partner { id, status })),
            // Of a profile whose status is not known nothing is known.
            _ => None,
        };
        Ok(Claims { name, picture, role, partner })
    }

    fn named(&self, name: Option<&str>) -> Result<Option<String>, Refusal> {
        name.map_or(Ok(None), |name| self.text(name))
    }

    /// A text; nothing if it is absent or null.
    fn text(&self, name: &str) -> Result<Option<String>, Refusal> {
        match self.0.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(_) => Err(Refusal::Invalid("a claim that has to be text is none")),
        }
    }

    /// An id that can be looked for and logged.
    fn id(&self, name: &str) -> Result<Option<String>, Refusal> {
        let id = self.text(name)?;
        let sound = |id: &String| (1..=ID_BYTES).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_graphic());
        if id.as_ref().is_none_or(sound) { Ok(id) } else { Err(Refusal::Invalid("its jti or sid is no id")) }
    }

    /// A time in whole seconds since 1970 (RFC 7519, `NumericDate`); a fraction does not count.
    fn seconds(&self, name: &str) -> Result<Option<u64>, Refusal> {
        /// Beyond any time that is meant.
        const END: f64 = 1e15;
        match self.0.get(name) {
            None => Ok(None),
            Some(value) => match (value.as_u64(), value.as_f64()) {
                (Some(seconds), _) => Ok(Some(seconds)),
                #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the range is checked")]
                (None, Some(seconds)) if (0.0..END).contains(&seconds) => Ok(Some(seconds as u64)),
                _ => Err(Refusal::Invalid("a claim that has to be a time is none")),
            },
        }
    }
}
