//! What cannot work is refused at the start, by name, and with an exit code that tells whose fault it is.

use tempfile::tempdir;

use super::{people, start};
use crate::support::{Api, Process, SECRET, database_url, make_room, say, token};

/// The exit code and what it said, of a program that does not start.
fn refused(arguments: &[&str], environment: &[(&str, &str)]) -> (Option<i32>, String) {
    let directory = tempdir().unwrap();
    let database = database_url(&directory);
    let mut all = vec![("DATABASE_URL", database.as_str()), ("PORT", "0")];
    all.extend_from_slice(environment);
    let (status, errors) = Process::start(arguments, &all).ended();
    let made = std::fs::read_dir(directory.path()).unwrap().count();
    assert!(status.success() || made == 0, "it left something behind: {errors}");
    (status.code(), errors)
}

#[test]
fn a_bad_setting_is_named_and_nothing_is_opened() {
    for (name, value) in [
        ("HOST", "0.0.0.0"),
        ("HOST", "::"),
        ("HOST", "nonsense"),
        ("PORT", "65536"),
        ("PORT", "http"),
        ("BASE_PATH", "chat"),
        ("BASE_PATH", "/chat/"),
        ("DATABASE_URL", "mysql://localhost/chat"),
        ("AUTO_MIGRATE", "perhaps"),
        ("DATABASE_CONNECTIONS", "1"),
        ("DATABASE_CONNECTIONS", "501"),
        ("DATABASE_DEADLINE_MS", "99"),
        ("COMMIT_BATCH", "0"),
        ("UNSAFE_DATABASE", "maybe"),
        ("DATABASE_URL", "chat.db"),
        ("REDIS_URL", "localhost"),
        ("REDIS_PREFIX", "a b"),
        ("JWT_SECRET", "short"),
        ("JWT_SECRET_FILE", "/no/such/file"),
        ("DEMO", "maybe"),
        ("ALLOWED_ORIGINS", "*"),
        ("ALLOWED_ORIGINS", "https://good.example,app.example.com"),
        ("LIMITS", "none"),
        ("CHANGES_PER_SECOND", "0"),
        ("ROOMS_PER_HOUR", "0"),
        ("FRAMES_PER_SECOND", "many"),
        ("CONNECTIONS_PER_ADDRESS", "0"),
        ("TRUSTED_PROXIES", "10.0.0.0/33"),
        ("TRUSTED_PROXIES", "10.0.0.1,proxy.example"),
        ("MESSAGE_CHARS", "0"),
        ("MESSAGE_CHARS", "20001"),
        ("SENDS_PER_SECOND", "0"),
        ("MAX_CONNECTIONS", "0"),
        ("ROOMS_PER_CONNECTION", "0"),
        ("HEARTBEAT_SECONDS", "0"),
        ("AUTH_SECONDS", "61"),
        ("DRAIN_SECONDS", "3601"),
        ("LOG_FORMAT", "xml"),
        ("RUST_LOG", "tidings=loud"),
    ] {
        let (code, errors) = refused(&[], &[(name, value)]);
        assert_eq!(code, Some(2), "{name}={value}: {errors}");
        let flag = format!("--{}", name.to_lowercase().replace('_', "-"));
        assert!(errors.contains(name) || errors.contains(&flag), "{name}={value}: {errors}");
    }
}

#[test]
fn settings_that_do_not_go_together_are_refused() {
    for (environment, named) in [
        (&[("DEMO", "off")][..], "JWT_SECRET"),
        (&[("DEMO", "on"), ("JWT_SECRET", SECRET)], "DEMO"),
        (&[("JWT_SECRET", SECRET), ("JWT_SECRET_FILE", "/dev/null")], "--jwt-secret"),
    ] {
        let (code, errors) = refused(&[], environment);
        assert_eq!(code, Some(2), "{environment:?}: {errors}");
        assert!(errors.contains(named), "{environment:?}: {errors}");
        assert!(!errors.contains(SECRET), "the secret is shown: {errors}");
    }
    let (code, errors) = refused(&["--nonsense"], &[]);
    assert!(code == Some(2) && errors.contains("--nonsense"), "{code:?} {errors}");
}

#[test]
fn help_names_every_setting_and_shows_no_secret() {
    let mut help = Process::start(&["--help"], &[("JWT_SECRET", SECRET), ("REDIS_URL", "redis://:hidden@cache")]);
    let mut text = String::new();
    for part in ["Usage", "HOST", "DATABASE_URL", "JWT_SECRET", "RUST_LOG"] {
        text += &help.line(part);
    }
    let (status, errors) = help.ended();
    assert!(status.success(), "{errors}");
    assert!(!text.contains(SECRET) && !text.contains("hidden"), "{text}");
}

#[tokio::test]
async fn a_secret_may_come_by_file() {
    let directory = tempdir().unwrap();
    let secret = directory.path().join("secret");
    std::fs::write(&secret, format!("{SECRET}\n")).unwrap();
    let database = database_url(&directory);
    let environment = [("PORT", "0"), ("DATABASE_URL", &database), ("JWT_SECRET_FILE", secret.to_str().unwrap())];
    // With a key it listens on every address, so what it prints is not where the test reaches it.
    let mut process = Process::start(&["--host", "127.0.0.1"], &environment);
    let api = Api::new(process.address(), Some(token("ann")));
    assert_eq!(api.get("/api/session").await.ok(200)["user"]["id"], "ann");
    std::fs::write(&secret, "short\n").unwrap();
    let (code, errors) = refused(&[], &[("JWT_SECRET_FILE", secret.to_str().unwrap())]);
    assert!(code == Some(2) && errors.contains("JWT_SECRET") && !errors.contains("short"), "{code:?} {errors}");
}

#[tokio::test]
async fn the_demo_goes_public_only_when_told_to() {
    let directory = tempdir().unwrap();
    let database = database_url(&directory);
    let environment = [("PORT", "0"), ("DATABASE_URL", &database), ("HOST", "0.0.0.0"), ("DEMO", "on")];
    let mut process = Process::start(&[], &environment);
    let line = process.line("Tidings is listening on http://");
    let port: u16 = line.trim_end_matches('/').rsplit_once(':').unwrap().1.parse().unwrap();
    let api = Api::new(([127, 0, 0, 1], port).into(), None);
    api.post("/api/demo/session", serde_json::json!({ "name": "Ann" })).await.ok(201);
    for file in std::fs::read_dir(directory.path()).unwrap() {
        let file = file.unwrap();
        let mode = std::os::unix::fs::MetadataExt::mode(&file.metadata().unwrap());
        assert_eq!(
            mode & 0o077,
            0,
            "others can read {:?}, with all that was said and the demo's key",
            file.file_name()
        );
    }
}

#[tokio::test]
async fn a_second_program_on_the_same_data_is_refused_and_the_first_goes_on() {
    let directory = tempdir().unwrap();
    let (first, address) = start(&directory, &[]);
    let [ann] = people(address, ["ann"]).await;
    make_room(&ann, "garden", "GROUP", &[]).await;
    let database = database_url(&directory);
    let environment = [("PORT", "0"), ("DATABASE_URL", database.as_str()), ("JWT_SECRET", SECRET)];
    let (status, errors) = Process::start(&[], &environment).ended();
    assert_eq!(status.code(), Some(1), "{errors}");
    assert!(errors.contains("in use") && errors.contains("tidings.db"), "{errors}");
    say(&ann, "garden", "still here").await;
    drop(first);
    // Killed, not stopped: the lock ends with the process, however that ends.
    let (_second, address) = start(&directory, &[]);
    let [ann] = people(address, ["ann"]).await;
    assert_eq!(ann.get("/api/chat/rooms/garden/messages").await.ok(200)["messages"][1]["content"], "still here");
}

#[test]
fn an_address_in_use_is_named() {
    let directory = tempdir().unwrap();
    let (_first, address) = start(&directory, &[]);
    let port = address.port().to_string();
    let other = tempdir().unwrap();
    let database = database_url(&other);
    let environment = [("HOST", "127.0.0.1"), ("PORT", &port), ("DATABASE_URL", &database), ("JWT_SECRET", SECRET)];
    let (status, errors) = Process::start(&[], &environment).ended();
    assert_eq!(status.code(), Some(1), "{errors}");
    assert!(errors.contains("PORT") && errors.contains(&port), "{errors}");
}
