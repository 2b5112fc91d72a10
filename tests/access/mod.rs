//! Access that ends when it should, and who people are: revoked, suspended, sent away, set by the admin side, claimed
//! by tokens, on one instance and on all.

mod ending;
mod everywhere;
mod limits;
mod users;

use std::net::SocketAddr;

use serde_json::{Value, json};

use crate::support::{Api, SECRET, TestServer, application_token, claims};

/// The application itself, at this address.
fn application(address: SocketAddr) -> Api {
    Api::new(address, Some(application_token()))
}

/// A token of this user with an id, a session and a time of issue.
fn credential(user: &str, id: &str, session: &str, issued: i64) -> String {
    let mut all = claims(user);
    for (name, value) in [("jti", json!(id)), ("sid", json!(session)), ("iat", json!(issued))] {
        all[name] = value;
    }
    tidings::auth::mint(SECRET, &all)
}

/// Takes access away.
async fn revoke(address: SocketAddr, what: Value) {
    application(address).post("/api/admin/revocations", what).await.ok(204);
}

/// HTTP with this token.
fn with(server: &TestServer, token: &str) -> Api {
    Api::new(server.address(), Some(token.to_owned()))
}
