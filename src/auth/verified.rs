//! Tokens that were verified before: who polls, or comes back, costs no second look at a signature. It says nothing of
//! what may have changed since but for the keys: whether access has ended is asked elsewhere, each time.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use quick_cache::sync::Cache;
use ring::digest::{Context, SHA256};

use super::request::Token;
use crate::model::{Credential, Principal, Timestamp};

/// Tokens kept; of more, those used least go.
const TOKENS: usize = 20_000;
/// How long one is kept.
const TIME: Duration = Duration::from_mins(10);
/// How often those are looked for that have been kept for so long.
const SWEEP: Duration = Duration::from_mins(1);

/// A token and what carried it, as a digest: the text itself is kept by nobody.
pub(super) type Print = [u8; 32];

/// What tokens said, and by which keys.
pub(super) struct Verified {
    tokens: Cache<Print, Known>,
    swept: Mutex<Instant>,
}

#[derive(Clone)]
struct Known {
    principal: Principal,
    keys: u64,
    since: Instant,
}

impl Verified {
    pub(super) fn new() -> Self {
        Self { tokens: Cache::new(TOKENS), swept: Mutex::new(Instant::now()) }
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
        let known = self.tokens.get(print)?;
        let is_good =
            known.keys == keys && known.is_fresh() && credential(&known.principal).expires_at > Timestamp::now();
        is_good.then_some(known.principal)
    }

    pub(super) fn keep(&self, print: Print, keys: u64, principal: &Principal) {
        self.tokens.insert(print, Known { principal: principal.clone(), keys, since: Instant::now() });
        let mut swept = self.swept.lock().unwrap_or_else(PoisonError::into_inner);
        if swept.elapsed() >= SWEEP {
            *swept = Instant::now();
            self.tokens.retain(|_, known| known.is_fresh());
        }
    }
}

impl Known {
    fn is_fresh(&self) -> bool {
        self.since.elapsed() < TIME
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
        let since = Instant::now().checked_sub(TIME).expect("a time");
        let old = Known { principal: principal(in_a_minute), keys: 7, since };
        verified.tokens.insert(Verified::print(&bearer), old);
        assert_eq!(verified.find(&Verified::print(&bearer), 7), None, "it was verified too long ago");
        *verified.swept.lock().expect("a lock") = since;
        verified.keep(Verified::print(&cookie), 7, &principal(in_a_minute));
        assert_eq!(verified.tokens.len(), 1, "what is old is not kept for ever");
    }
}
