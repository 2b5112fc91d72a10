//! Every setting that is a secret can be a file instead, as containers and systemd hand secrets out.

use clap::CommandFactory;
use tempfile::tempdir;
use tidings::Config;

use crate::support::{Api, PASSWORD, Postgres, Process, Redis, SECRET, eventually, token};

/// The names of the settings that help does not show the value of.
fn secrets() -> Vec<String> {
    let command = Config::command();
    let hidden = command.get_arguments().filter(|argument| argument.is_hide_env_values_set());
    // Keys at an address are public, and a password in it is refused; their file is JWKS_FILE.
    let names = hidden.map(|argument| argument.get_env().unwrap().to_str().unwrap().to_owned());
    names.filter(|name| name != "JWKS_URL").collect()
}

/// The exit code and what it said, of a program that does not start.
fn refused(environment: &[(&str, &str)]) -> (Option<i32>, String) {
    let (status, errors) = Process::start(&["--port", "0"], environment).ended();
    (status.code(), errors)
}

#[test]
fn every_secret_may_be_a_file_and_never_both() {
    let secrets = secrets();
    for expected in ["DATABASE_URL", "REDIS_URL", "JWT_SECRET", "NEXTAUTH_SECRET", "MODERATION_HOOK_SECRET"] {
        assert!(secrets.iter().any(|name| name == expected), "{expected} is no secret: {secrets:?}");
    }
    for name in secrets {
        let file = format!("{name}_FILE");
        let (code, errors) = refused(&[(&file, "/no/such/file")]);
        assert!(code == Some(2) && errors.starts_with(&format!("{file}: ")), "{file}: {code:?} {errors}");
        assert!(errors.contains("/no/such/file"), "{errors}");
        let (code, errors) = refused(&[(&name, "postgres://confidential"), (&file, "/no/such/file")]);
        let flag = format!("--{} ", name.to_lowercase().replace('_', "-"));
        assert!(code == Some(2) && errors.contains(&flag), "{name} and {file}: {code:?} {errors}");
        assert!(!errors.contains("confidential"), "the secret is shown: {errors}");
    }
}

#[test]
fn what_is_in_a_file_is_not_shown_when_it_does_not_work() {
    let folder = tempdir().unwrap();
    let secret = folder.path().join("secret");
    let path = secret.to_str().unwrap();
    for (content, environment) in [
        ("mysql://confidential\n", &[("DATABASE_URL_FILE", path)][..]),
        ("confidential\n", &[("REDIS_URL_FILE", path)]),
        ("confidential\n", &[("JWT_SECRET_FILE", path)]),
        ("", &[("AUTH_SECRET_FILE", path)]),
        ("", &[("AUTH_SECRET_2_FILE", path)]),
        ("confidential\n", &[("MODERATION_HOOK_SECRET_FILE", path), ("MODERATION_HOOK_URL", "https://app.example/m")]),
        ("confidential\n", &[("MODERATION_HOOK_URL_FILE", path), ("MODERATION_HOOK_SECRET", SECRET)]),
    ] {
        std::fs::write(&secret, content).unwrap();
        let (code, errors) = refused(environment);
        let setting = environment[0].0.trim_end_matches("_FILE");
        assert!(code == Some(2) && errors.contains(setting), "{setting}: {code:?} {errors}");
        assert!(!errors.contains("confidential"), "the secret is shown: {errors}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn database_redis_and_key_from_files_work_and_stay_out_of_the_log() {
    Postgres::shared().create("secrets").await;
    let folder = tempdir().unwrap();
    let file = |name: &str, content: String| {
        let path = folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let database = file("database-url", Postgres::shared().url("secrets") + "\n");
    let redis = file("redis-url", Redis::shared().url() + "\r\n");
    let key = file("jwt-secret", SECRET.to_owned() + "\n");
    let environment = [
        ("DATABASE_URL_FILE", database.as_str()),
        ("REDIS_URL_FILE", &redis),
        ("REDIS_PREFIX", "secrets:"),
        ("JWT_SECRET_FILE", &key),
        ("RUST_LOG", "debug"),
    ];
    let mut process = Process::start(&["--host", "127.0.0.1", "--port", "0"], &environment);
    let api = Api::new(process.address(), Some(token("ann")));
    assert_eq!(api.get("/api/session").await.ok(200)["user"]["id"], "ann");
    let redis_is_ok = async || (api.get("/readyz").await.ok(200)["redis"] == "ok").then_some(());
    eventually("Redis is connected", redis_is_ok).await;
    process.signal("TERM");
    let (status, log) = process.ended();
    assert!(status.success(), "{log}");
    assert!(!log.contains(PASSWORD) && !log.contains(SECRET), "a secret is in the log:\n{log}");
    Postgres::shared().remove_later("secrets");
}
