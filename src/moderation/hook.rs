//! The operator's hook: asked by HTTP what is to become of a message before it is written. Each call is signed with its
//! time, so that the receiver knows who asks and can refuse what is said again. It is asked once, within a deadline, and
//! where it does not answer as it should, a setting says what becomes of the message.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use hyper::Uri;
use ring::hmac;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::count;
use crate::error::Error;
use crate::model::moderation::reason;
use crate::model::{ContentType, Flag, FlaggedBy, MessageId, RoomId, Timestamp, UserId, UserRole, Verdict};
use crate::outbound::{Outbound, OutboundError};
use crate::telemetry;

/// Calls at the same time. Who finds no place within the deadline was not answered in time.
const CALLS: usize = 64;
/// Longest answer, in bytes.
const ANSWER_BYTES: usize = 16 << 10;
/// Says when the call was signed, and the signature: `t=1790000000,v1=<hex>`.
const SIGNATURE: &str = "x-tidings-signature";

/// What becomes of a message when the hook does not answer as it should.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnFailure {
    /// It is written.
    Accept,
    /// It is refused for the moment.
    Refuse,
}

/// How to ask.
pub struct HookSettings {
    /// Whom.
    pub address: Uri,
    /// The key of the signatures.
    pub secret: String,
    /// How long an answer may take.
    pub deadline: Duration,
    /// What becomes of a message without one.
    pub on_failure: OnFailure,
}

/// The hook.
#[derive(Debug)]
pub struct Hook {
    outbound: Outbound,
    address: Uri,
    key: hmac::Key,
    deadline: Duration,
    on_failure: OnFailure,
    calls: Semaphore,
    /// Whether the last call failed: the log tells when that changes, not each time.
    failing: AtomicBool,
}

/// What is asked, as it is on the wire.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Asked<'a> {
    /// Where it is to be written.
    pub room_id: &'a RoomId,
    /// The message.
    pub message_id: &'a MessageId,
    /// Whether it is there already, and is to say something else now.
    pub is_edit: bool,
    /// Who writes it.
    pub sender: Sender<'a>,
    /// What it says.
    pub content: &'a str,
    /// What the content is.
    pub content_type: ContentType,
    /// What is beside it.
    pub metadata: Option<&'a RawValue>,
}

/// Who writes.
#[derive(Debug, Serialize)]
pub struct Sender<'a> {
    /// Their id.
    pub id: &'a UserId,
    /// Their name.
    pub name: &'a str,
    /// What they are to the application.
    pub role: UserRole,
}

#[derive(Deserialize)]
struct Answer {
    action: Action,
    reason: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Action {
    Accept,
    Flag,
    Reject,
}

/// Why there is no verdict.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("{CALLS} calls were under way for as long as one may take")]
    Busy,
    #[error(transparent)]
    Call(#[from] OutboundError),
    // Without what the parser says: it would quote the answer, and that may quote the message.
    #[error("the answer is not {{\"action\": \"accept\", \"flag\" or \"reject\", \"reason\"}}")]
    NoAnswer,
}

impl Hook {
    /// The hook of these settings.
    pub fn new(settings: HookSettings, outbound: Outbound) -> Self {
        let HookSettings { address, secret, deadline, on_failure } = settings;
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
        let (calls, failing) = (Semaphore::new(CALLS), AtomicBool::new(false));
        Self { outbound, address, key, deadline, on_failure, calls, failing }
    }

    /// Asks what is to become of a message.
    pub async fn ask(&self, asked: &Asked<'_>) -> Result<Verdict, Error> {
        let begin = Instant::now();
        let called = self.call(asked, begin).await;
        let took = u64::try_from(begin.elapsed().as_millis()).unwrap_or(u64::MAX);
        metrics::counter!(telemetry::MODERATION_HOOK_MS).increment(took);
        self.tell(called.as_ref().err());
        let flag = |reason| Flag { by: FlaggedBy::Hook, reason };
        match called {
            Ok(Answer { action, reason: why }) => {
                let verdict = match action {
                    Action::Accept => Verdict::Accept,
                    Action::Flag => Verdict::Flag(flag(reason(why.as_deref()))),
                    Action::Reject => Verdict::Reject(reason(why.as_deref())),
                };
                count("hook", super::name(&verdict));
                Ok(verdict)
            }
            Err(failure) => {
                count("hook", "failed");
                match self.on_failure {
                    OnFailure::Accept => Ok(Verdict::Accept),
                    // Not a word against the message: sent again later it may well be written.
                    OnFailure::Refuse => Err(Error::unavailable("asking the moderation hook", failure)),
                }
            }
        }
    }

    async fn call(&self, asked: &Asked<'_>, begin: Instant) -> Result<Answer, Failure> {
        let place = timeout(self.deadline, self.calls.acquire()).await;
        let _place = place.map_err(|_| Failure::Busy)?.map_err(|_| Failure::Busy)?;
        let body = serde_json::to_vec(asked).expect("a question is texts");
        let signature = self.signature(Timestamp::now().0.div_euclid(1_000_000), &body);
        let left = self.deadline.saturating_sub(begin.elapsed());
        let headers = [(SIGNATURE, signature)];
        let asked = ("application/json", body.into());
        let answer = self.outbound.post(&self.address, &headers, asked, left, ANSWER_BYTES).await?;
        serde_json::from_slice(&answer).map_err(|_| Failure::NoAnswer)
    }

    /// The time in seconds since 1970, and HMAC-SHA256 of `<time>.<body>` in hexadecimal.
    fn signature(&self, time: i64, body: &[u8]) -> String {
        let mut context = hmac::Context::with_key(&self.key);
        context.update(time.to_string().as_bytes());
        context.update(b".");
        context.update(body);
        let tag = context.sign();
        tag.as_ref().iter().fold(format!("t={time},v1="), |text, byte| format!("{text}{byte:02x}"))
    }

    fn tell(&self, failure: Option<&Failure>) {
        let before = self.failing.swap(failure.is_some(), Ordering::Relaxed);
        match failure {
            Some(failure) if !before => {
                let error: &dyn std::error::Error = failure;
                let why = error.source().map(ToString::to_string).unwrap_or_default();
                let becomes = if self.on_failure == OnFailure::Accept { "accepted" } else { "refused" };
                tracing::warn!(error = %failure, why, "the moderation hook fails; messages are {becomes} meanwhile");
            }
            None if before => tracing::info!("the moderation hook answers again"),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_that_of_the_time_and_the_body() {
        let settings = HookSettings {
            address: Uri::from_static("http://127.0.0.1:1/"),
            secret: "k".repeat(32),
            deadline: Duration::from_millis(1),
            on_failure: OnFailure::Accept,
        };
        let hook = Hook::new(settings, Outbound::new().expect("certificates"));
        // printf '1790000000.{"a":1}' | openssl dgst -sha256 -hmac kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk
        assert_eq!(
            hook.signature(1_790_000_000, br#"{"a":1}"#),
            "t=1790000000,v1=f4586a786e6b0920815134c10f2e9563160c30e5e2a193d34d620db5ea6f1d6b"
        );
    }
}
