//! What it costs to check a token, by its kind: `cargo run --release --example token_cost`. It needs `openssl`, which
//! makes the RSA key. Each kind is measured in several runs, and the quickest is printed: the others were disturbed.
#![expect(clippy::unwrap_used, reason = "what goes wrong here ends it")]
#![expect(clippy::print_stdout, reason = "that is what it is for")]

#[path = "../tests/auth/forge.rs"]
#[expect(dead_code, reason = "the tests forge more than is measured here")]
mod forge;

use std::time::{Duration, Instant};

use clap::Parser;
use serde_json::json;
use tidings::Config;
use tidings::auth::{Auth, request::Token};
use tidings::config::Identity;

use forge::{Signer, seal_v4, seal_v5};

const SECRET: &str = "a secret of the measurement, of more than 32 bytes";
const COOKIE: &str = "authjs.session-token";
const RUNS: usize = 15;
const RUN: Duration = Duration::from_millis(100);

fn main() {
    let folder = std::env::temp_dir().join(format!("tidings-token-cost-{}", std::process::id()));
    std::fs::create_dir(&folder).unwrap();
    let claims = json!({ "sub": "cm3x2v9k40000qwer1234asdf", "name": "Ann Example", "email": "ann@example.com",
        "picture": "https://app.example.com/avatars/ann.png", "role": "PARTNER", "partnerId": "p1",
        "partnerStatus": "APPROVED", "iat": 1_700_000_000, "exp": 4_102_444_800_u64, "jti": "5f1c3c1e" });
    let signers = [
        ("HS256", Signer::secret(SECRET)),
        ("RS256", Signer::rsa()),
        ("PS256", Signer::rsa()),
        ("ES256", Signer::p256()),
        ("ES384", Signer::p384()),
        ("EdDSA", Signer::ed25519()),
    ];
    println!("{:12} {:>8} {:>10}", "token", "bytes", "µs");
    for (algorithm, signer) in signers {
        let token = signer.sign(algorithm, &json!({ "typ": "JWT" }), &claims);
        let flags = if algorithm == "HS256" {
            vec!["--jwt-secret".to_owned(), SECRET.to_owned()]
        } else {
            let pem = folder.join("key.pem");
            std::fs::write(&pem, signer.pem()).unwrap();
            let path = pem.to_str().unwrap().to_owned();
            vec!["--jwt-public-key-file".to_owned(), path, "--jwt-algorithms".to_owned(), algorithm.to_owned()]
        };
        print(algorithm, &auth(flags), &token);
    }
    std::fs::remove_dir_all(&folder).unwrap();
    let sessions = auth(vec!["--auth-secret".to_owned(), SECRET.to_owned()]);
    print("NextAuth v4", &sessions, &seal_v4(SECRET, &claims));
    print("Auth.js v5", &sessions, &seal_v5(SECRET, COOKIE, &claims));
}

fn auth(flags: Vec<String>) -> Auth {
    let config = Config::parse_from([vec!["tidings".to_owned()], flags].concat());
    let Identity::Tokens(tokens) = config.identity().unwrap() else { panic!("no keys") };
    Auth::new(&tokens).unwrap()
}

fn print(kind: &str, auth: &Auth, token: &str) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let quickest = (0..RUNS).map(|_| runtime.block_on(run(auth, token))).fold(f64::INFINITY, f64::min);
    println!("{kind:12} {:>8} {quickest:>10.2}", token.len());
}

/// The µs of a check, on average over a while.
async fn run(auth: &Auth, token: &str) -> f64 {
    let token = Token::bearer(token);
    let begin = Instant::now();
    let mut checks = 0_u32;
    while begin.elapsed() < RUN {
        for _ in 0..50 {
            auth.verify(&token).await.unwrap();
        }
        checks += 50;
    }
    begin.elapsed().as_secs_f64() * 1e6 / f64::from(checks)
}
