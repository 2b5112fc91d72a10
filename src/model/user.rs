//! Who people are: what a token says, and what the database holds.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Timestamp, UserId};
use crate::error::{Error, Result};

/// Longest name, in characters.
const NAME_CHARS: usize = 80;
/// Longest address of a picture, in bytes.
const PICTURE_BYTES: usize = 2048;

/// Whether a text can be a person's name: none of its characters controls a terminal or a line's direction.
pub fn is_name(name: &str) -> bool {
    let unseen = |c: char| c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    (1..=NAME_CHARS).contains(&name.chars().count()) && !name.trim().is_empty() && !name.contains(unseen)
}

/// Refuses what is no name, wherever one is given.
pub fn check_name(name: &str) -> Result<()> {
    let rule = || Error::invalid("name", format!("1 to {NAME_CHARS} characters that can be seen"));
    if is_name(name) { Ok(()) } else { Err(rule()) }
}

/// Whether a text can be the address of a person's picture.
pub fn is_picture(url: &str) -> bool {
    (1..=PICTURE_BYTES).contains(&url.len()) && !url.chars().any(char::is_control)
}

/// Refuses what is no address of a picture, wherever one is given.
pub fn check_picture(url: &str) -> Result<()> {
    let rule = || Error::invalid("avatarUrl", format!("an address of up to {PICTURE_BYTES} bytes"));
    if is_picture(url) { Ok(()) } else { Err(rule()) }
}

/// What a person is to the whole application, as opposed to their role in a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum UserRole {
    /// Anyone who signed in.
    #[default]
    Customer,
    /// One whose services are booked.
    Partner,
    /// Runs the service.
    Admin,
}

impl UserRole {
    /// The name in tokens, answers and the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Customer => "CUSTOMER",
            Self::Partner => "PARTNER",
            Self::Admin => "ADMIN",
        }
    }

    /// Reads the name; an unknown one is a customer, who may least.
    pub fn parse(name: &str) -> Self {
        match name {
            "PARTNER" => Self::Partner,
            "ADMIN" => Self::Admin,
            _ => Self::Customer,
        }
    }
}

/// A user's partner profile in the application.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Partner {
    /// The profile's id.
    pub id: String,
    /// Where its review stands, such as `APPROVED`.
    pub status: String,
}

/// A user as the database holds them: what the newest token says, and over it what the admin side has set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct User {
    /// The `sub` of their tokens.
    pub id: UserId,
    /// The name shown beside their messages.
    pub name: String,
    /// Where their picture is.
    pub avatar_url: Option<String>,
    /// What they are to the application.
    pub role: UserRole,
    /// Their partner profile, if they have one.
    pub partner: Option<Partner>,
    /// What of it the admin side has set, over what tokens say.
    pub set: Set,
    /// When the token was issued that the rest is of.
    #[serde(skip)]
    pub claims_at: Timestamp,
}

/// What of a user the admin side has set.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(inline)]
#[expect(clippy::struct_excessive_bools, reason = "one for each thing that can be set")]
pub struct Set {
    /// The name.
    pub name: bool,
    /// The picture.
    #[serde(rename = "avatarUrl")]
    pub avatar: bool,
    /// The role.
    pub role: bool,
    /// The partner profile, or that there is none.
    pub partner: bool,
}

/// What the admin side sets of a user. What is absent stays; what is true in `release` is what tokens say again, from
/// the next one on.
#[derive(Debug, Clone, Default)]
pub struct UserPatch {
    /// Another name.
    pub name: Option<String>,
    /// Another picture, or none.
    pub avatar_url: Option<Option<String>>,
    /// Another role.
    pub role: Option<UserRole>,
    /// Another partner profile, or none.
    pub partner: Option<Option<Partner>>,
    /// What is no longer set.
    pub release: Set,
}

impl User {
    /// Whether a token says something that is not known yet: it is newer than what is known, and differs in what the
    /// admin side has not set.
    pub fn learns_from(&self, caller: &Caller) -> bool {
        let Claims { name, picture, role, partner } = &caller.claims;
        caller.credential.claims_at() > self.claims_at
            && (name.as_ref().is_some_and(|name| !self.set.name && *name != self.name)
                || (picture.is_some() && !self.set.avatar && *picture != self.avatar_url)
                || role.is_some_and(|role| !self.set.role && role != self.role)
                || partner.as_ref().is_some_and(|partner| !self.set.partner && *partner != self.partner))
    }
}

/// What a token says of the person. A claim that is absent, or not trusted here, says nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Claims {
    /// Their name.
    pub name: Option<String>,
    /// Where their picture is.
    pub picture: Option<String>,
    /// What they are to the application.
    pub role: Option<UserRole>,
    /// Their partner profile; that there is none is said, too.
    pub partner: Option<Option<Partner>>,
}

/// What can be said of a token, and so revoked: itself, its session, or all that were issued to a user before a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credential {
    /// The token's own id, its `jti`.
    pub token_id: Option<String>,
    /// The session it belongs to, its `sid`.
    pub session_id: Option<String>,
    /// When it was issued, its `iat`.
    pub issued_at: Option<Timestamp>,
    /// When it ends, its `exp`.
    pub expires_at: Timestamp,
}

/// A user who makes a call: verified, and good until the credential ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The user.
    pub id: UserId,
    /// What their token says of them.
    pub claims: Claims,
    /// The token.
    pub credential: Credential,
}

impl Credential {
    /// How old what the token says is. One that does not say when it was issued is older than any that does, and of
    /// several of these the first one counts.
    pub fn claims_at(&self) -> Timestamp {
        self.issued_at.unwrap_or(Timestamp(1))
    }
}

impl Caller {
    /// When the token ends.
    pub fn expires_at(&self) -> Timestamp {
        self.credential.expires_at
    }
}

/// Whoever a token speaks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Principal {
    /// A user, as many places know them who only pass them on.
    User(Arc<Caller>),
    /// The application itself: a token without a user, of the scope `chat:admin`.
    Application(Credential),
}

/// What `GET /api/session` and `welcome` say of the caller.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Session {
    /// Who.
    pub user: Profile,
    /// What they are to the application.
    pub role: UserRole,
    /// Their partner profile, if they have one.
    pub partner: Option<Partner>,
    /// When the token ends.
    pub expires_at: Timestamp,
}

/// A user as others see them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Profile {
    /// Who.
    pub id: UserId,
    /// Their name.
    pub name: String,
    /// Their picture.
    pub avatar_url: Option<String>,
}

impl Session {
    /// The session of a user by a token that ends at `expires_at`.
    pub fn new(user: &User, expires_at: Timestamp) -> Self {
        Self {
            user: Profile { id: user.id.clone(), name: user.name.clone(), avatar_url: user.avatar_url.clone() },
            role: user.role,
            partner: user.partner.clone(),
            expires_at,
        }
    }
}
