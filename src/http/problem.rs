//! Errors as `application/problem+json` (RFC 9457).

use axum::body::Body;
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use schemars::JsonSchema;
use serde::Serialize;

use crate::error::{Details, Error};
use crate::telemetry;

/// What went wrong (RFC 9457).
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Problem<'a> {
    /// `about:blank`: the code says more.
    #[serde(rename = "type")]
    kind: &'static str,
    /// The status in words.
    title: &'a str,
    /// The status.
    status: u16,
    /// What went wrong, for people.
    detail: String,
    /// Stable; one switches on it.
    code: &'static str,
    /// Repeats the detail, for clients of the older application.
    error: String,
    /// Which field does not hold what it must; of `invalid`.
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<&'a str>,
    /// Finds the call in the service's log; of what is the service's fault.
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<&'a str>,
    #[serde(flatten)]
    details: Details<'a>,
}

pub(super) fn status(error: &Error) -> StatusCode {
    match error {
        Error::Invalid { .. } | Error::TokenInUrl => StatusCode::BAD_REQUEST,
        Error::Unauthenticated(_) | Error::TokenExpired | Error::TokenRevoked => StatusCode::UNAUTHORIZED,
        Error::Forbidden(_) | Error::NotAMember | Error::Suspended | Error::QuotaExceeded { .. } => {
            StatusCode::FORBIDDEN
        }
        Error::RoomNotFound | Error::MessageNotFound | Error::UserNotFound(_) | Error::NotFound => {
            StatusCode::NOT_FOUND
        }
        Error::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
        Error::MessageIdConflict | Error::HistoryChanged => StatusCode::CONFLICT,
        Error::PositionExpired { .. } => StatusCode::GONE,
        Error::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
        Error::UnsupportedMediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        Error::ContentRejected { .. } => StatusCode::UNPROCESSABLE_ENTITY,
        Error::RateLimited { .. } | Error::SlowMode { .. } => StatusCode::TOO_MANY_REQUESTS,
        Error::Unavailable { .. } | Error::Stopping => StatusCode::SERVICE_UNAVAILABLE,
        Error::Internal { .. } => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

impl IntoResponse for Error {
    /// The status alone; [`render`] writes the body where the request's id is known.
    fn into_response(self) -> Response {
        let mut response = status(&self).into_response();
        response.extensions_mut().insert(self);
        response
    }
}

/// Writes the problem of a failed call, and logs it if the service is at fault: here, once, with its whole chain.
pub(super) fn render(mut response: Response, request_id: &str) -> Response {
    let Some(error) = response.extensions_mut().remove::<Error>() else { return response };
    let status = status(&error);
    if error.is_fault() {
        metrics::counter!(telemetry::FAULTS, "code" => error.code()).increment(1);
        tracing::error!(request.id = request_id, code = error.code(), error = error.chain(), "a call failed");
    } else {
        tracing::debug!(request.id = request_id, code = error.code(), error = error.discreet(), "a call was refused");
    }
    let detail = error.to_string();
    let field = if let Error::Invalid { field, .. } = &error { Some(field.as_str()) } else { None };
    let problem = Problem {
        kind: "about:blank",
        title: status.canonical_reason().unwrap_or("Error"),
        status: status.as_u16(),
        error: detail.clone(),
        detail,
        code: error.code(),
        field,
        request_id: error.is_fault().then_some(request_id),
        details: error.details(),
    };
    let body = serde_json::to_vec(&problem).expect("a problem is texts and numbers");
    *response.body_mut() = Body::from(body);
    let headers = response.headers_mut();
    headers.remove(axum::http::header::CONTENT_LENGTH);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    if let Some(wait) = error.retry_after() {
        // Whole seconds, rounded up: never sooner than it is worth it (RFC 9110, section 10.2.3).
        let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        headers.insert(RETRY_AFTER, HeaderValue::from(seconds.max(1)));
    }
    if status == StatusCode::UNAUTHORIZED {
        headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    response
}
