//! Tokens that were verified before: who polls, or comes back, costs no second look at a signature. It says nothing of
//! what may have changed since but for the keys: whether access has ended is asked elsewhere, each time.

use std::sync::Arc;
use std::time::Duration;

use ring::digest::{Context, SHA256};

use super::request::Token;
use crate::model::{Credential, Principal, Timestamp};
use crate::recent::Recent;

/// Tokens kept; of more, the oldest go.
const TOKENS: usize = 50_000;
/// How long one is kept.
const TIME: Duration = Duration::from_mins(10);

/// A token and what carried it, as a digest: the text itself is kept by nobody.
pub(super) type Print = [u8; 32];

/// What tokens said, and by which keys.
pub(super) struct Verified(Recent<Print, Arc<(u64, Principal)>>);

impl Verified {
    pub(super) fn new() -> Self {
        Self(Recent::new(TOKENS, TIME))
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
    pub(super) fn find(&self, print: &Print, keys: u64) -> Option<Principal> {
        let known = self.0.get(print)?;
        let (verified_by, principal) = &*known;
        let is_good = *verified_by == keys && credential(principal).expires_at > Timestamp::now();
        is_good.then(|| principal.clone())
    }

    pub(super) fn keep(&self, print: Print, keys: u64, principal: &Principal) {
        self.0.keep(print, Arc::new((keys, principal.clone())));
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

    #[test]
    fn a_token_is_known_to_the_same_keys_by_the_same_way_until_it_ends() {
        let verified = Verified::new();
        let (bearer, cookie) = (Token::bearer("a.b.c"), Token::cookie("sid", "a.b.c"));
        let in_a_minute = Timestamp::now().after(Duration::from_mins(1));
        verified.keep(Verified::print(&bearer), 7, &principal(in_a_minute));
        assert_eq!(verified.find(&Verified::print(&bearer), 7), Some(principal(in_a_minute)));
        assert_eq!(verified.find(&Verified::print(&bearer), 8), None, "the keys may have changed");
        assert_eq!(verified.find(&Verified::print(&cookie), 7), None, "it came in another way");
        let other = Token::cookie("si", "da.b.c");
        assert_ne!(Verified::print(&cookie), Verified::print(&other), "a name does not run into a token");
        verified.keep(Verified::print(&bearer), 7, &principal(Timestamp::now()));
        assert_eq!(verified.find(&Verified::print(&bearer), 7), None, "it has ended");
    }
}
