//! Who may come in: every kind of key and session, and what is tried by those who have none.

mod attempts;
mod forge;
mod key_sets;
mod keys;
mod publisher;
mod sessions;
mod settings;

use serde_json::{Value, json};

use crate::support::{TestServer, in_seconds};

/// What is asked of whoever calls: nothing but who they are.
const SESSION: &str = "/api/session";

/// The claims of a user, good for an hour.
fn claims(user: &str) -> Value {
    json!({ "sub": user, "exp": in_seconds(3600) })
}

/// Whether this token lets its user in by HTTP.
async fn lets_in(server: &TestServer, token: &str) -> bool {
    let reply = server.anonymous().with_token(token).get(SESSION).await;
    match reply.status {
        200 => true,
        401 => {
            reply.problem(401, "unauthenticated");
            false
        }
        _ => panic!("neither in nor out: {reply}"),
    }
}

/// A file of this content, gone with the folder.
fn file(folder: &tempfile::TempDir, name: &str, content: &str) -> String {
    let path = folder.path().join(name);
    std::fs::write(&path, content).unwrap();
    path.to_str().unwrap().to_owned()
}
