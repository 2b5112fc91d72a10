//! Who the tests are: tokens as the application in front of the service would sign them.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use super::discretion;

/// The key the servers verify with.
pub(crate) const SECRET: &str = "the tests' own signing key, which is longer than 32 bytes";

/// What a token of this user says, good for an hour. `ann` is called `Ann`.
pub(crate) fn claims(user: &str) -> Value {
    let mut name = user.to_owned();
    name[..1].make_ascii_uppercase();
    json!({ "sub": user, "name": name, "exp": in_seconds(3600) })
}

/// A good token of this user.
pub(crate) fn token(user: &str) -> String {
    mint(&claims(user))
}

/// A token of this user with some claims set otherwise.
pub(crate) fn token_with(user: &str, other: &Value) -> String {
    let mut claims = claims(user);
    for (name, value) in other.as_object().unwrap() {
        claims[name] = value.clone();
    }
    mint(&claims)
}

/// A token of the application itself, which speaks for no user.
pub(crate) fn application_token() -> String {
    mint(&json!({ "scope": "chat:admin", "exp": in_seconds(3600) }))
}

fn mint(claims: &Value) -> String {
    let token = tidings::auth::mint(SECRET, claims);
    discretion::token(&token);
    token
}

/// The `exp` of a token that ends this many seconds from now.
pub(crate) fn in_seconds(seconds: i64) -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    i64::try_from(now).unwrap() + seconds
}
