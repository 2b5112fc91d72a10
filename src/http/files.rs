//! The built-in page and the JavaScript client, carried in the binary.

use axum::body::Body;
use axum::extract::OriginalUri;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH, LOCATION};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use rust_embed::{EmbeddedFile, RustEmbed};

use crate::error::{Error, Result};

#[derive(RustEmbed)]
#[folder = "web/"]
struct Web;

#[derive(RustEmbed)]
#[folder = "client/"]
// What `npm ci` and `tsc` leave there is nobody's to fetch.
#[include = "*.js"]
#[include = "package.json"]
#[exclude = "node_modules/*"]
struct Client;

/// Anything that is no route: a file, or nothing.
pub(super) async fn serve(
    method: Method,
    uri: Uri,
    OriginalUri(original): OriginalUri,
    headers: HeaderMap,
) -> Result<Response> {
    let path = uri.path().trim_start_matches('/');
    if path.is_empty() && !original.path().ends_with('/') {
        // The page's addresses are relative to its folder.
        return Ok((StatusCode::PERMANENT_REDIRECT, [(LOCATION, format!("{}/", original.path()))]).into_response());
    }
    let file = match path.strip_prefix("client/") {
        Some(name) => Client::get(name),
        None => Web::get(if path.is_empty() { "index.html" } else { path }),
    };
    let file = file.ok_or(Error::NotFound)?;
    if method != Method::GET && method != Method::HEAD {
        return Err(Error::MethodNotAllowed);
    }
    Ok(answer(file, &headers))
}

fn answer(file: EmbeddedFile, headers: &HeaderMap) -> Response {
    let (hash, kind) = (file.metadata.sha256_hash(), file.metadata.mimetype().to_owned());
    unless_known(headers, &hash, &kind, || file.data)
}

/// What never changes while the program runs, unless the client has it already. It is looked at again each time, and
/// mostly not sent again: what a new version brings shows at once.
pub(super) fn unless_known<B: Into<Body>>(
    headers: &HeaderMap,
    hash: &[u8],
    kind: &str,
    body: impl FnOnce() -> B,
) -> Response {
    let etag = format!("\"{}\"", BASE64_URL_SAFE_NO_PAD.encode(&hash[..12]));
    let caching = [(CACHE_CONTROL, HeaderValue::from_static("no-cache"))];
    let known = headers.get(IF_NONE_MATCH).is_some_and(|known| known.as_bytes() == etag.as_bytes());
    if known {
        return (StatusCode::NOT_MODIFIED, caching, [(ETAG, etag)]).into_response();
    }
    (caching, [(ETAG, etag), (CONTENT_TYPE, kind.to_owned())], body().into()).into_response()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn of_the_client_its_modules_are_carried_and_nothing_that_tools_leave_beside_them() {
        let carried: Vec<_> = Client::iter().collect();
        for name in ["tidings.js", "react.js", "compat/useChatRest.js", "package.json"] {
            assert!(carried.iter().any(|held| held == name), "{name} is missing");
        }
        let is_module =
            |name: &str| name == "package.json" || Path::new(name).extension().is_some_and(|end| end == "js");
        let foreign = |name: &str| name.contains("node_modules") || !is_module(name);
        let left: Vec<_> = carried.iter().filter(|name| foreign(name)).collect();
        assert!(left.is_empty(), "{left:?}");
    }
}
