//! Tokens that were verified before: who polls, or comes back, costs no second look at a signature. It says nothing of
//! what may have changed since but for the keys: whether access has ended is asked elsewhere, each time.

use std::time::Duration;

use moka::future::Cache;
use ring::digest::{Context, SHA256};

use super::request::Token;
use crate::model::{Credential, Principal, Timestamp};

/// Tokens kept; of more, those used least go.
const TOKENS: u64 = 20_000;
/// How long one is kept that nobody uses.
const IDLE: Duration = Duration::from_mins(5);

/// A token and what carried it, as a digest: the text itself is kept by nobody.
pub(super) type Print = [u8; 32];

/// What tokens said, and by which keys.
pub(super) struct Verified(Cache<Print, (u64, Principal)>);

impl Verified {
    pub(super) fn new() -> Self {
        Self(Cache::builder().max_capacity(TOKENS).time_to_idle(IDLE).build())
    }

    /// The print of a token. What carried it counts: one that is good in a header may be none in a cookie.
    pub(super) fn print(token: &Token<'_>) -> Print {
        let mut context = Context::new(&SHA256);
        let carrier = token.carrier();
        context.update(&[u8::from(carrier.is_some())]);
        context.update(&(carrier.map_or(0, str::len) as u64).to_be_bytes());
        context.update(carrier.unwrap_or_default().as_bytes());
        context.update(token.text().as_bytes());
        let mut print = Print::default();
        print.copy_from_slice(context.finish().as_ref());
        print
    }

    /// Who the bearer is, if the token was verified by the keys of this time and has not ended.
    pub(super) async fn find(&self, print: &Print, keys: u64) -> Option<Principal> {
        let (verified_by, principal) = self.0.get(print).await?;
        (verified_by == keys && credential(&principal).expires_at > Timestamp::now()).then_some(principal)
    }

    pub(super) async fn keep(&self, print: Print, keys: u64, principal: &Principal) {
        self.0.insert(print, (keys, principal.clone())).await;
    }
}

fn credential(principal: &Principal) -> &Credential {
    match principal {
        Principal::User(caller) => &caller.credential,
        Principal::Application(credential) => credential,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::model::{Caller, Claims};

    fn principal(expires_at: Timestamp) -> Principal {
        let credential = Credential { token_id: None, session_id: None, issued_at: None, expires_at };
        Principal::User(Arc::new(Caller { id: "ann".parse().expect("an id"), claims: Claims::default(), credential }))
    }

    #[tokio::test]
    async fn a_token_is_known_to_the_same_keys_by_the_same_way_until_it_ends() {
        let verified = Verified::new();
        let (bearer, cookie) = (Token::bearer("a.b.c"), Token::cookie("sid", "a.b.c"));
        let in_a_minute = Timestamp::now().after(Duration::from_mins(1));
        verified.keep(Verified::print(&bearer), 7, &principal(in_a_minute)).await;
        assert_eq!(verified.find(&Verified::print(&bearer), 7).await, Some(principal(in_a_minute)));
        assert_eq!(verified.find(&Verified::print(&bearer), 8).await, None, "the keys may have changed");
        assert_eq!(verified.find(&Verified::print(&cookie), 7).await, None, "it came in another way");
        let other = Token::cookie("si", "da.b.c");
        assert_ne!(Verified::print(&cookie), Verified::print(&other), "a name does not run into a token");
        verified.keep(Verified::print(&bearer), 7, &principal(Timestamp::now())).await;
        assert_eq!(verified.find(&Verified::print(&bearer), 7).await, None, "it has ended");
    }
}
