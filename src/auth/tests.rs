//! Tokens against keys, without a server.

use super::*;
use crate::config::KeySetSource;

const SECRET: &str = "a secret of more than thirty-two bytes";

fn in_seconds(seconds: i64) -> u64 {
    now().saturating_add_signed(seconds)
}

fn with_secret(other: Tokens) -> Auth {
    Auth::new(&Tokens { secrets: vec![SECRET.to_owned()], ..other }).expect("a secret")
}

fn check(auth: &Auth, token: &str) -> Result<Principal, Refusal> {
    auth.check(&Token::bearer(token))
}

#[test]
fn a_token_is_checked_in_every_part() {
    let (issuer, audience) = (Some("app".to_owned()), Some("chat".to_owned()));
    let auth = with_secret(Tokens { issuer, audience, ..Tokens::default() });
    let good = json!({ "sub": "ann", "exp": in_seconds(60), "iss": "app", "aud": "chat", "jti": "t1", "sid": "s1" });
    let Ok(Principal::User(caller)) = check(&auth, &mint(SECRET, &good)) else { panic!("it is refused") };
    assert_eq!(caller.id.as_str(), "ann");
    let ids = (caller.credential.token_id.as_deref(), caller.credential.session_id.as_deref());
    assert_eq!(ids, (Some("t1"), Some("s1")));
    let with = |key: &str, value: Value| {
        let mut claims = good.clone();
        claims[key] = value;
        check(&auth, &mint(SECRET, &claims))
    };
    assert!(matches!(with("exp", json!(in_seconds(-60))), Err(Refusal::Expired)));
    for (key, value) in [
        ("exp", json!("9999999999")),
        ("exp", Value::Null),
        ("exp", json!(-1)),
        ("exp", json!(true)),
        ("exp", json!([in_seconds(60)])),
        ("iat", json!("1")),
        ("iss", json!("other")),
        ("iss", json!(["app"])),
        ("iss", Value::Null),
        ("aud", json!(["other"])),
        ("aud", json!(["chat", 1])),
        ("aud", json!({ "chat": 1 })),
        ("nbf", json!(in_seconds(600))),
        ("nbf", json!("x")),
        ("nbf", Value::Null),
        ("sub", json!("")),
        ("sub", json!("a b")),
        ("sub", json!(7)),
        ("sub", Value::Null),
        ("sub", json!("tidings:system")),
        ("jti", json!("a b")),
        ("jti", json!("")),
        ("jti", json!(7)),
        ("sid", json!("ä")),
        ("sid", json!("x".repeat(256))),
        ("name", json!({ "first": "Ann" })),
    ] {
        let auth_claims = key != "name";
        assert_eq!(with(key, value.clone()).is_err(), auth_claims, "{key} = {value}");
    }
    for (key, value) in [
        ("aud", json!(["other", "chat"])),
        ("nbf", json!(in_seconds(-600))),
        ("exp", json!(f64::from(u32::try_from(in_seconds(60)).expect("it is not 2106 yet")) + 0.5)),
        ("exp", json!(u64::MAX)),
        ("sid", json!("x".repeat(255))),
        ("jti", Value::Null),
    ] {
        assert!(with(key, value.clone()).is_ok(), "{key} = {value}");
    }
    for bad in ["", "a.b", "a.b.c", "a.b.c.d", "a.b.c.d.e", &"x".repeat(9000)] {
        assert!(check(&auth, bad).is_err(), "{bad}");
    }
}

#[test]
fn claims_that_are_not_believed_are_not_even_read() {
    let claims = |name: &str| Some(name.to_owned());
    let full = ClaimNames {
        name: claims("name"),
        picture: claims("picture"),
        role: claims("https://app.example.com/role"),
        partner_id: claims("partnerId"),
        partner_status: claims("partnerStatus"),
    };
    let said = json!({ "sub": "ann", "exp": in_seconds(60), "name": "Ann", "picture": "p", "partnerId": "p1",
        "partnerStatus": "PENDING", "https://app.example.com/role": "ADMIN", "role": "PARTNER" });
    let read = |names: &ClaimNames, claims: &Value| {
        let auth = with_secret(Tokens { claims: names.clone(), ..Tokens::default() });
        match check(&auth, &mint(SECRET, claims)) {
            Ok(Principal::User(caller)) => Some(caller.claims.clone()),
            _ => None,
        }
    };
    let all = read(&full, &said).expect("a user");
    assert_eq!(all.role, Some(crate::model::UserRole::Admin));
    let partner = crate::model::Partner { id: "p1".to_owned(), status: "PENDING".to_owned() };
    assert_eq!(all.partner, Some(Some(partner)));
    let nothing = read(&ClaimNames::default(), &said).expect("a user");
    assert_eq!(nothing, crate::model::Claims::default());
    let mut other = said.clone();
    other["partnerId"] = Value::Null;
    assert_eq!(read(&full, &other).expect("a user").partner, Some(None), "that there is none is said");
    for (claim, value) in [("partnerId", json!("")), ("partnerStatus", Value::Null)] {
        let mut other = said.clone();
        other[claim] = value;
        assert_eq!(read(&full, &other).expect("a user").partner, None, "{claim}");
    }
    other["picture"] = json!(7);
    assert!(read(&full, &other).is_none(), "a believed claim of another type");
    assert!(read(&ClaimNames { picture: None, ..full }, &other).is_some(), "one that is not believed");
}

#[test]
fn the_application_speaks_only_without_a_user() {
    let auth = with_secret(Tokens::default());
    let said = |claims: &Value| check(&auth, &mint(SECRET, claims));
    let exp = in_seconds(60);
    let application = json!({ "scope": "openid chat:admin", "exp": exp });
    assert!(matches!(said(&application), Ok(Principal::Application(_))));
    let cookie = mint(SECRET, &application);
    assert!(auth.check(&Token::cookie("sid", cookie.as_str())).is_err(), "in a cookie");
    for scope in [json!("chat:administrator"), json!(["chat:admin"]), json!(""), Value::Null] {
        assert!(said(&json!({ "scope": scope, "exp": exp })).is_err(), "{scope}");
    }
    for sub in [Value::Null, json!("")] {
        assert!(said(&json!({ "scope": "chat:admin", "exp": exp, "sub": sub })).is_err(), "{sub}");
    }
    let both = said(&json!({ "scope": "chat:admin", "exp": exp, "sub": "ann" }));
    assert!(matches!(both, Ok(Principal::User(_))));
}

#[test]
fn another_algorithm_is_refused_whatever_the_header_says() {
    let auth = with_secret(Tokens::default());
    let claims = json!({ "sub": "ann", "exp": in_seconds(60) });
    assert!(check(&auth, &sign(SECRET, Algorithm::HS512, &claims)).is_err());
    let chosen = with_secret(Tokens { algorithms: vec!["HS512".to_owned()], ..Tokens::default() });
    assert!(check(&chosen, &sign(SECRET, Algorithm::HS512, &claims)).is_ok());
    assert!(check(&chosen, &mint(SECRET, &claims)).is_err());
}

#[test]
fn a_demo_never_makes_an_administrator_and_never_the_application() {
    let auth = Auth::demo(SECRET).expect("a demo");
    let token = mint(SECRET, &json!({ "sub": "eve", "role": "ADMIN", "partnerId": "p", "exp": in_seconds(60) }));
    let Ok(Principal::User(caller)) = check(&auth, &token) else { panic!("it is refused") };
    assert_eq!((caller.claims.role, &caller.claims.partner), (None, &None));
    assert!(check(&auth, &mint(SECRET, &json!({ "scope": "chat:admin", "exp": in_seconds(60) }))).is_err());
}

/// Tokens that `jose` has signed, without any claim that says when they end.
#[test]
fn tokens_of_another_library_verify_by_their_own_key_alone() {
    let vectors: Vec<Value> = serde_json::from_str(include_str!("../../tests/auth/vectors/jose.json")).expect("JSON");
    let folder = std::env::temp_dir().join(format!("tidings-vectors-{}", uuid::Uuid::new_v4()));
    std::fs::create_dir(&folder).expect("a folder");
    let auths: Vec<Auth> = vectors
        .iter()
        .zip(0..)
        .map(|(vector, number)| {
            let mut tokens = Tokens::default();
            if let Some(secret) = vector["secret"].as_str() {
                tokens.secrets.push(secret.to_owned());
            } else {
                let path = folder.join(format!("{number}.json"));
                std::fs::write(&path, json!({ "keys": [vector["jwk"]] }).to_string()).expect("written");
                tokens.key_set = Some(KeySetSource::File(path));
            }
            Auth::new(&tokens).expect("keys")
        })
        .collect();
    std::fs::remove_dir_all(&folder).expect("removed");
    assert_eq!(vectors.len(), 6, "a vector for each kind");
    for (mine, auth) in auths.iter().enumerate() {
        for (other, vector) in vectors.iter().enumerate() {
            let token = vector["token"].as_str().expect("a token");
            assert_eq!(auth.verified(token).is_ok(), mine == other, "{mine} {}", vector["alg"]);
            let (message, signature) = token.rsplit_once('.').expect("a signature");
            let first = if signature.starts_with('A') { 'B' } else { 'A' };
            let bent = format!("{message}.{first}{}", &signature[1..]);
            assert!(auth.verified(&bent).is_err(), "one bit more or less");
            assert!(auth.verified(&format!("{message}.")).is_err(), "without a signature");
        }
    }
}
