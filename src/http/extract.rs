//! What handlers take: the caller, ids of the path, the query, a JSON body; each with our own errors.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::to_bytes;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::header::{CONTENT_ENCODING, CONTENT_TYPE, IF_NONE_MATCH};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use http_body_util::LengthLimitError;
use serde::de::DeserializeOwned;

use super::AppState;
use crate::auth::user;
use crate::chat::Cached;
use crate::error::{Error, Result};
use crate::model::{Caller, Principal};
use crate::protocol::parse_bytes;

pub(super) use crate::protocol::{object, present};

/// Where an answer was found.
pub(super) const X_CACHE: HeaderName = HeaderName::from_static("x-cache");
/// Where its time went (Server Timing, W3C).
pub(super) const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");
/// Longest body, in bytes.
pub const BODY_BYTES: usize = 256 << 10;

/// How long one may take to arrive; who sends half of it must not hold a place for ever.
const BODY_TIME: Duration = Duration::from_secs(10);

/// Who calls: their token is verified and they are known to the database.
pub(super) struct Authenticated {
    pub(super) caller: Arc<Caller>,
    took: Duration,
}

impl FromRequestParts<AppState> for Authenticated {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self> {
        let begin = Instant::now();
        let caller = user(principal(parts, state).await?)?;
        state.chat.user(&caller).await?;
        Ok(Self { caller, took: begin.elapsed() })
    }
}

/// Whoever the request's token speaks for.
pub(super) async fn principal(parts: &Parts, state: &AppState) -> Result<Principal> {
    let token = state.browsers.token(&parts.headers)?;
    let token = token.ok_or(Error::Unauthenticated("send a token: `Authorization: Bearer <token>`"))?;
    state.browsers.check_cookie_origin(&token, &parts.headers, parts.method.is_safe())?;
    let principal = state.auth.verify(&token).await?;
    state.chat.admit(&principal)?;
    Ok(principal)
}

/// Where an answer's time went, as `Server-Timing` and `X-Cache` tell it.
pub(super) struct Timing {
    auth: Duration,
    begin: Instant,
}

impl Authenticated {
    /// Begins to measure what follows the check of the caller.
    pub(super) fn timing(&self) -> Timing {
        Timing { auth: self.took, begin: Instant::now() }
    }
}

impl Timing {
    /// The headers of an answer that came from there.
    pub(super) fn headers(&self, cached: Cached) -> HeaderMap {
        let part = if cached == Cached::Memory { "cache" } else { "db" };
        let ms = |d: Duration| (u64::try_from(d.as_millis()).unwrap_or(u64::MAX), d.subsec_micros() % 1000);
        let ((auth, auth_us), (rest, rest_us)) = (ms(self.auth), ms(self.begin.elapsed()));
        let timing = format!("auth;dur={auth}.{auth_us:03}, {part};dur={rest}.{rest_us:03}");
        let mut headers = HeaderMap::with_capacity(8);
        headers.insert(X_CACHE, HeaderValue::from_static(cached.as_str()));
        if let Ok(timing) = HeaderValue::try_from(timing) {
            headers.insert(SERVER_TIMING, timing);
        }
        headers
    }
}

/// The tag the client holds, without its quotes; a proxy may have made it weak (RFC 9110, section 8.8.1).
pub(super) struct KnownTag(pub(super) Option<String>);

impl<S: Send + Sync> FromRequestParts<S> for KnownTag {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Infallible> {
        let value = parts.headers.get(IF_NONE_MATCH).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let tag = value.trim().trim_start_matches("W/").strip_prefix('"').and_then(|tag| tag.strip_suffix('"'));
        Ok(Self(tag.map(str::to_owned)))
    }
}

/// Ids in the path.
#[derive(FromRequestParts)]
#[from_request(via(axum::extract::Path), rejection(Error))]
pub(super) struct Path<T>(pub(super) T);

/// The query.
#[derive(FromRequestParts)]
#[from_request(via(axum::extract::Query), rejection(Error))]
pub(super) struct Query<T>(pub(super) T);

impl From<PathRejection> for Error {
    fn from(rejection: PathRejection) -> Self {
        tracing::debug!(%rejection, "a path was refused");
        Self::invalid("path", crate::model::id::ID_RULE)
    }
}

impl From<QueryRejection> for Error {
    fn from(rejection: QueryRejection) -> Self {
        let text = rejection.body_text();
        let detail = text.strip_prefix("Failed to deserialize query string: ").unwrap_or(&text);
        match detail.split_once(": ") {
            Some((field, detail)) if !field.contains(' ') => Self::invalid(field, detail),
            _ => Self::invalid("query", detail),
        }
    }
}

/// A JSON body. Without any, that of an empty object.
pub(super) struct Json<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Json<T> {
    type Rejection = Error;

    async fn from_request(request: Request, _state: &S) -> Result<Self> {
        let kind = request.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        // Nothing is inflated here, so that no body grows beyond what was sent.
        let is_packed = request.headers().get(CONTENT_ENCODING).is_some_and(|coding| coding != "identity");
        let arriving = tokio::time::timeout(BODY_TIME, to_bytes(request.into_body(), BODY_BYTES)).await;
        let arrived = arriving.map_err(|_| Error::invalid("body", "did not arrive in time"))?;
        let bytes = arrived.map_err(|error| {
            if error.into_inner().is::<LengthLimitError>() {
                Error::TooLarge { what: "the body", limit: format!("{BODY_BYTES} bytes") }
            } else {
                Error::invalid("body", "did not arrive whole")
            }
        })?;
        if bytes.is_empty() {
            return parse_bytes(b"{}").map(Self);
        }
        // A form of another site cannot say this content type, so it cannot act in a browser's name.
        if kind != "application/json" || is_packed {
            return Err(Error::UnsupportedMediaType);
        }
        parse_bytes(&bytes).map(Self)
    }
}
