//! Who calls: JWTs verified strictly, with a fixed algorithm, `exp` required, `iss` and `aud` checked when set.
//! Parsing a token costs no I/O. No transport, no store.

mod provider;
pub mod request;

use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::error::{Error, Result};
use crate::model::{Caller, Claims, Credential, Principal, Timestamp, UserId, UserRole};

/// Longest token that is looked at, in bytes.
const TOKEN_BYTES: usize = 8192;
/// How far clocks may differ, in seconds.
const LEEWAY: u64 = 15;
/// How long a demo token is good, in seconds.
const DEMO_LIFE: u64 = 7 * 24 * 3600;

/// Checks tokens, and in a demo makes them.
pub struct Auth {
    key: DecodingKey,
    validation: Validation,
    demo: Option<EncodingKey>,
}

#[derive(Deserialize)]
struct Payload {
    sub: Option<String>,
    exp: u64,
    iat: Option<u64>,
    jti: Option<String>,
    sid: Option<String>,
    scope: Option<String>,
    name: Option<String>,
    picture: Option<String>,
    role: Option<String>,
}

/// The scope of the application's own tokens, which speak for no user.
const ADMIN_SCOPE: &str = "chat:admin";

impl Auth {
    /// Takes tokens that the application signed with this secret.
    pub fn with_secret(secret: &str, issuer: Option<&str>, audience: Option<&str>) -> Self {
        provider::install();
        let mut validation = Validation::new(Algorithm::HS256);
        validation.leeway = LEEWAY;
        validation.validate_nbf = true;
        let mut required = vec!["exp"];
        if let Some(issuer) = issuer {
            validation.set_issuer(&[issuer]);
            required.push("iss");
        }
        match audience {
            Some(audience) => {
                validation.set_audience(&[audience]);
                required.push("aud");
            }
            None => validation.validate_aud = false,
        }
        validation.set_required_spec_claims(&required);
        Self { key: DecodingKey::from_secret(secret.as_bytes()), validation, demo: None }
    }

    /// Lets anyone in by name, with tokens signed by this key.
    pub fn demo(key: &str) -> Self {
        Self { demo: Some(EncodingKey::from_secret(key.as_bytes())), ..Self::with_secret(key, None, None) }
    }

    /// Whether anyone may come in by name.
    pub fn is_demo(&self) -> bool {
        self.demo.is_some()
    }

    /// A demo token for this user, and when it ends. Never one of an administrator.
    pub fn mint_demo(&self, id: &UserId, name: &str) -> Result<(String, Timestamp)> {
        let key = self.demo.as_ref().ok_or(Error::NotFound)?;
        let expires = jsonwebtoken::get_current_timestamp() + DEMO_LIFE;
        let claims = json!({ "sub": id, "name": name, "exp": expires });
        let token = jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, key)
            .map_err(|error| Error::internal("signing a demo token", error))?;
        Ok((token, Timestamp::from_seconds(expires)))
    }

    /// The user whose token it is.
    pub fn user(&self, token: &str) -> Result<Caller> {
        user(self.verify(token)?)
    }

    /// Who the token's bearer is. Nothing is read from a token before its signature is verified.
    pub fn verify(&self, token: &str) -> Result<Principal> {
        const BAD: Error = Error::Unauthenticated("the token is not valid here");
        if token.len() > TOKEN_BYTES {
            return Err(BAD);
        }
        let verified = jsonwebtoken::decode::<Payload>(token, &self.key, &self.validation);
        let payload = verified
            .map_err(|error| match error.kind() {
                jsonwebtoken::errors::ErrorKind::ExpiredSignature => Error::TokenExpired,
                _ => BAD,
            })?
            .claims;
        let credential = Credential {
            token_id: payload.jti,
            session_id: payload.sid,
            issued_at: payload.iat.map(Timestamp::from_seconds),
            expires_at: Timestamp::from_seconds(payload.exp),
        };
        // Whoever can name themselves must not name themselves administrator.
        let role = payload.role.filter(|_| !self.is_demo()).as_deref().map(UserRole::parse);
        match payload.sub {
            Some(id) => Ok(Principal::User(Caller {
                id: UserId::try_from(id).ok().filter(|id| !id.is_system()).ok_or(BAD)?,
                claims: Claims {
                    name: payload.name.filter(|name| is_name(name)),
                    picture: payload.picture.filter(|url| url.len() <= 2048),
                    role,
                    partner: None,
                },
                credential,
            })),
            None if !self.is_demo()
                && payload.scope.is_some_and(|all| all.split(' ').any(|one| one == ADMIN_SCOPE)) =>
            {
                Ok(Principal::Application(credential))
            }
            None => Err(BAD),
        }
    }
}

impl std::fmt::Debug for Auth {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Auth").field("demo", &self.is_demo()).finish_non_exhaustive()
    }
}

/// The user whose token it is; the application's own is none of any.
pub fn user(principal: Principal) -> Result<Caller> {
    match principal {
        Principal::User(caller) => Ok(caller),
        Principal::Application(_) => Err(Error::Forbidden("this token speaks for no user; it is for /api/admin")),
    }
}

/// Whether a text can be a person's name: 1 to 80 characters, none that controls a terminal or a line's direction.
pub fn is_name(name: &str) -> bool {
    let unseen = |c: char| c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    (1..=80).contains(&name.chars().count()) && !name.trim().is_empty() && !name.contains(unseen)
}

/// The `exp` of a token that ends so many days from now.
pub fn in_days(days: u64) -> u64 {
    jsonwebtoken::get_current_timestamp() + days * 24 * 3600
}

/// Signs claims with an HS256 secret, as an application does for its users.
pub fn mint(secret: &str, claims: &Value) -> String {
    provider::install();
    jsonwebtoken::encode(&Header::new(Algorithm::HS256), claims, &EncodingKey::from_secret(secret.as_bytes()))
        .expect("any JSON can be signed with any secret")
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "a secret of more than thirty-two bytes";

    fn in_seconds(seconds: i64) -> u64 {
        jsonwebtoken::get_current_timestamp().saturating_add_signed(seconds)
    }

    #[test]
    fn a_token_is_checked_in_every_part() {
        let auth = Auth::with_secret(SECRET, Some("app"), Some("chat"));
        let good = json!({ "sub": "ann", "exp": in_seconds(60), "iss": "app", "aud": "chat" });
        let caller = auth.user(&mint(SECRET, &good)).expect("good");
        assert_eq!(caller.id.as_str(), "ann");
        let with = |key: &str, value: Value| {
            let mut claims = good.clone();
            claims[key] = value;
            auth.verify(&mint(SECRET, &claims))
        };
        assert!(matches!(with("exp", json!(in_seconds(-60))), Err(Error::TokenExpired)));
        for (key, value) in [
            ("exp", json!("9999999999")),
            ("exp", Value::Null),
            ("iss", json!("other")),
            ("aud", json!(["other"])),
            ("nbf", json!(in_seconds(600))),
            ("sub", json!("")),
            ("sub", json!("a b")),
            ("sub", json!(7)),
        ] {
            assert!(matches!(with(key, value.clone()), Err(Error::Unauthenticated(_))), "{key} = {value}");
        }
        let forged = mint("another secret of thirty-two bytes...", &good);
        assert!(auth.verify(&forged).is_err());
        for bad in ["", "a.b", "a.b.c", &"x".repeat(9000)] {
            assert!(auth.verify(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn another_algorithm_is_refused_whatever_the_header_says() {
        let auth = Auth::with_secret(SECRET, None, None);
        let claims = json!({ "sub": "ann", "exp": in_seconds(60) });
        let token =
            jsonwebtoken::encode(&Header::new(Algorithm::HS512), &claims, &EncodingKey::from_secret(SECRET.as_bytes()));
        assert!(auth.verify(&token.expect("signed")).is_err());
        let parts = mint(SECRET, &claims);
        let body = parts.split('.').nth(1).expect("a body");
        // {"alg":"none"} and {"alg":"HS256"} without a signature
        for unsigned in [format!("eyJhbGciOiJub25lIn0.{body}."), format!("eyJhbGciOiJIUzI1NiJ9.{body}.")] {
            assert!(auth.verify(&unsigned).is_err(), "{unsigned}");
        }
    }

    #[test]
    fn a_demo_never_makes_an_administrator() {
        let auth = Auth::demo(SECRET);
        let token = mint(SECRET, &json!({ "sub": "eve", "role": "ADMIN", "exp": in_seconds(60) }));
        assert_eq!(auth.user(&token).expect("a caller").claims.role, None);
    }
}
