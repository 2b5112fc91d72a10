//! What machines read of the API: `/openapi.json` of the calls, `/asyncapi.json` of the socket. Both are made once, of
//! the types that serde reads and writes and of the tables of operations that stand beside the routes; nothing in them
//! is written a second time, and a test holds the tables against the routes. Objects stay open: clients ignore what they
//! do not know.

mod asyncapi;
mod failures;
mod openapi;
mod operation;
mod schemas;

use std::future::{Ready, ready};
use std::sync::{Arc, LazyLock};

use axum::body::Bytes;
use axum::http::HeaderMap;
use axum::response::Response;
use ring::digest;
use serde_json::Value;

use crate::http::files::unless_known;
use crate::http::operations;

pub(super) use operation::{Operation, delete, get, patch, post, put};

/// A document as it is sent.
struct Document {
    text: Bytes,
    hash: digest::Digest,
}

impl From<Value> for Document {
    fn from(document: Value) -> Self {
        let text = document.to_string();
        Self { hash: digest::digest(&digest::SHA256, text.as_bytes()), text: text.into() }
    }
}

/// `GET /openapi.json` of a service behind this base path.
pub(super) fn openapi(base_path: &str) -> impl Fn(HeaderMap) -> Ready<Response> + Clone + use<> {
    let base_path = base_path.to_owned();
    answering(move || openapi::document(&operations::all(), &base_path))
}

/// `GET /asyncapi.json` of a service behind this base path.
pub(super) fn asyncapi(base_path: &str) -> impl Fn(HeaderMap) -> Ready<Response> + Clone + use<> {
    let base_path = base_path.to_owned();
    answering(move || asyncapi::document(&base_path))
}

/// Answers with a document, which is made for the first who asks.
fn answering(document: impl FnOnce() -> Value + Send) -> impl Fn(HeaderMap) -> Ready<Response> + Clone {
    let document = Arc::new(LazyLock::new(move || Document::from(document())));
    move |headers| ready(unless_known(&headers, document.hash.as_ref(), "application/json", || document.text.clone()))
}
