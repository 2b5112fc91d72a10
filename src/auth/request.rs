//! Where a request carries its token, and from which sites a browser may send one.

use std::borrow::Cow;

use hyper::HeaderMap;
use hyper::header::{AUTHORIZATION, COOKIE, HOST, HeaderName, ORIGIN};

use super::TOKEN_BYTES;
use crate::error::{Error, Result};

/// Most pieces of one cookie. A session that is too long for one cookie is cut into several.
const PIECES: usize = 16;

/// A token, and what carried it.
#[derive(Clone)]
pub struct Token<'a> {
    text: Cow<'a, str>,
    cookie: Option<&'a str>,
}

impl<'a> Token<'a> {
    /// One that was shown on purpose: in the `Authorization` header, a subprotocol or a frame.
    pub fn bearer(text: &'a str) -> Self {
        Self { text: Cow::Borrowed(text), cookie: None }
    }

    /// One of a cookie of this name.
    pub fn cookie(name: &'a str, text: impl Into<Cow<'a, str>>) -> Self {
        Self { text: text.into(), cookie: Some(name) }
    }

    /// Whether a browser sent it by itself, whoever wrote the page.
    pub fn is_cookie(&self) -> bool {
        self.cookie.is_some()
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    pub(super) fn carrier(&self) -> Option<&str> {
        self.cookie
    }
}

impl std::fmt::Debug for Token<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Token").field("cookie", &self.cookie).finish_non_exhaustive()
    }
}

/// How browsers may authenticate.
#[derive(Debug, Clone, Default)]
pub struct Browsers {
    /// The cookies that carry the token; of several the first counts.
    pub cookies: Vec<String>,
    /// Other origins whose pages may call.
    pub origins: Vec<String>,
}

impl Browsers {
    /// The token in the `Authorization` header (RFC 6750), else in a session cookie. A cookie is sent by the
    /// browser whoever wrote the page, so it counts only with an origin that is allowed: see
    /// [`check_cookie_origin`](Self::check_cookie_origin).
    pub fn token<'a>(&'a self, headers: &'a HeaderMap) -> Result<Option<Token<'a>>> {
        if let Some(value) = single(headers, &AUTHORIZATION)? {
            let (scheme, token) = value.split_once(' ').unwrap_or((value, ""));
            let bearer = scheme.eq_ignore_ascii_case("bearer") && !token.is_empty();
            return if bearer {
                Ok(Some(Token::bearer(token.trim())))
            } else {
                Err(Error::Unauthenticated("send `Authorization: Bearer <token>`"))
            };
        }
        if self.cookies.is_empty() || !headers.contains_key(COOKIE) {
            return Ok(None);
        }
        let cookies = pairs(headers);
        Ok(self.cookies.iter().find_map(|name| cookie(&cookies, name)))
    }

    /// Refuses a page of another site. A request without an origin comes from no page.
    pub fn check_origin(&self, headers: &HeaderMap) -> Result<()> {
        let Some(origin) = single(headers, &ORIGIN)? else { return Ok(()) };
        let host = single(headers, &HOST)?.unwrap_or_default();
        let own = origin
            .split_once("://")
            .is_some_and(|(_, authority)| !authority.is_empty() && authority.eq_ignore_ascii_case(host));
        if own || self.origins.iter().any(|allowed| allowed.eq_ignore_ascii_case(origin)) {
            return Ok(());
        }
        Err(Error::Forbidden("pages of this origin may not call; see ALLOWED_ORIGINS"))
    }

    /// Refuses a token that a cookie brought without an allowed origin. A plain GET of the own page sends none and is
    /// harmless: other sites cannot read its answer.
    pub fn check_cookie_origin(&self, token: &Token<'_>, headers: &HeaderMap, is_safe: bool) -> Result<()> {
        if !token.is_cookie() {
            return Ok(());
        }
        if !is_safe && !headers.contains_key(ORIGIN) {
            return Err(Error::Forbidden("a cookie counts only together with an allowed Origin"));
        }
        self.check_origin(headers)
    }
}

fn single<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else { return Ok(None) };
    let once = values.next().is_none();
    value
        .to_str()
        .ok()
        .filter(|_| once)
        .map(Some)
        .ok_or_else(|| Error::invalid(name.as_str(), "is sent once, in ASCII"))
}

/// All cookies of a request.
fn pairs(headers: &HeaderMap) -> Vec<(&str, &str)> {
    let cookies = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
    cookies.flat_map(|value| value.split(';')).filter_map(|pair| pair.trim().split_once('=')).collect()
}

/// The token of this cookie, or of its pieces `name.0`, `name.1` and so on.
fn cookie<'a>(cookies: &[(&'a str, &'a str)], name: &'a str) -> Option<Token<'a>> {
    if let Some((_, value)) = cookies.iter().find(|(other, _)| *other == name) {
        return Some(Token::cookie(name, *value));
    }
    let piece = |index: usize| {
        let index = index.to_string();
        let number = |other: &'a str| other.strip_prefix(name)?.strip_prefix('.');
        cookies.iter().find(|(other, _)| number(other) == Some(&index)).map(|(_, value)| *value)
    };
    let mut whole = piece(0)?.to_owned();
    for value in (1..PIECES).map_while(piece) {
        whole.push_str(value);
        if whole.len() > TOKEN_BYTES {
            break; // it is refused for its length
        }
    }
    Some(Token::cookie(name, whole))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (HeaderName::from_static(name), value.parse().expect("a value"))).collect()
    }

    #[test]
    fn only_the_own_and_the_allowed_origins_pass() {
        let browsers = Browsers { cookies: Vec::new(), origins: vec!["https://app.example.com".to_owned()] };
        let check = |origin| browsers.check_origin(&headers(&[("host", "chat.example.com"), ("origin", origin)]));
        for good in ["https://chat.example.com", "https://app.example.com", "HTTPS://APP.example.com"] {
            assert!(check(good).is_ok(), "{good}");
        }
        for bad in [
            "null",
            "https://evil.example",
            "https://app.example.com.evil.example",
            "http://app.example.com",
            "https://app.example.com:444",
        ] {
            assert!(check(bad).is_err(), "{bad}");
        }
        assert!(browsers.check_origin(&headers(&[("host", "chat.example.com")])).is_ok());
    }

    #[test]
    fn a_cookie_is_found_by_its_whole_name() {
        let browsers = Browsers { cookies: vec!["session".to_owned()], origins: Vec::new() };
        let found = headers(&[("cookie", "old-session=a; session=b; sessions=c")]);
        let token = browsers.token(&found).expect("headers").expect("a token");
        assert_eq!((token.text(), token.carrier()), ("b", Some("session")));
        assert!(browsers.check_cookie_origin(&token, &found, false).is_err());
        assert!(!format!("{token:?}").contains('b'), "the token is shown");
        let other = headers(&[("cookie", "old-session=a; sessions=c; session.x=d; session.1=e")]);
        assert!(browsers.token(&other).expect("headers").is_none());
    }

    #[test]
    fn the_pieces_of_a_cookie_are_joined_by_number_and_never_beyond_the_longest_token() {
        let browsers = Browsers { cookies: vec!["a".to_owned(), "b".to_owned()], origins: Vec::new() };
        let text = |cookies: &str| {
            let found = headers(&[("cookie", cookies)]);
            browsers.token(&found).expect("headers").map(|token| token.text().to_owned())
        };
        let twelve = (0..12).rev().map(|i| format!("b.{i}={}", char::from(b'a' + i))).collect::<Vec<_>>().join("; ");
        assert_eq!(text(&twelve).as_deref(), Some("abcdefghijkl"));
        assert_eq!(text("b.0=x; b.2=z").as_deref(), Some("x"), "what is missing ends it");
        assert_eq!(text("b.0=x; b=whole").as_deref(), Some("whole"));
        assert_eq!(text("b=second; a.0=first").as_deref(), Some("first"));
        let long = (0..30).map(|i| format!("a.{i}={}", "x".repeat(2000))).collect::<Vec<_>>().join("; ");
        assert!(text(&long).is_some_and(|text| text.len() <= TOKEN_BYTES + 2000));
    }
}
