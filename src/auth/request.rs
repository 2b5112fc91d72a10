//! Where a request carries its token, and from which sites a browser may send one.

use hyper::HeaderMap;
use hyper::header::{AUTHORIZATION, COOKIE, HOST, HeaderName, ORIGIN};

use crate::error::{Error, Result};

/// How browsers may authenticate.
#[derive(Debug, Clone, Default)]
pub struct Browsers {
    /// The cookie that carries the token, if any.
    pub cookie: Option<String>,
    /// Other origins whose pages may call.
    pub origins: Vec<String>,
}

impl Browsers {
    /// The token in the `Authorization` header (RFC 6750), else in the session cookie. A cookie is sent by the
    /// browser whoever wrote the page, so it counts only with an origin that is allowed.
    pub fn token<'a>(&self, headers: &'a HeaderMap) -> Result<Option<&'a str>> {
        if let Some(value) = single(headers, &AUTHORIZATION)? {
            let (scheme, token) = value.split_once(' ').unwrap_or((value, ""));
            let bearer = scheme.eq_ignore_ascii_case("bearer") && !token.is_empty();
            return if bearer {
                Ok(Some(token.trim()))
            } else {
                Err(Error::Unauthenticated("send `Authorization: Bearer <token>`"))
            };
        }
        Ok(self.cookie.as_deref().and_then(|name| cookie(headers, name)))
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

    /// Refuses a cookie that came without an allowed origin. A plain GET of the own page sends none and is harmless:
    /// other sites cannot read its answer.
    pub fn check_cookie_origin(&self, headers: &HeaderMap, is_safe: bool) -> Result<()> {
        if headers.contains_key(AUTHORIZATION) || self.cookie.is_none() {
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

fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let cookies = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
    cookies.flat_map(|value| value.split(';')).find_map(|pair| pair.trim().strip_prefix(name)?.strip_prefix('='))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (HeaderName::from_static(name), value.parse().expect("a value"))).collect()
    }

    #[test]
    fn only_the_own_and_the_allowed_origins_pass() {
        let browsers = Browsers { cookie: None, origins: vec!["https://app.example.com".to_owned()] };
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
        let browsers = Browsers { cookie: Some("session".to_owned()), origins: Vec::new() };
        let found = headers(&[("cookie", "old-session=a; session=b; sessions=c")]);
        assert_eq!(browsers.token(&found).expect("headers"), Some("b"));
        assert!(browsers.check_cookie_origin(&found, false).is_err());
    }
}
