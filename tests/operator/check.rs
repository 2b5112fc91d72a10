//! `check` on installations that are well, and on some that are not: what is wrong is named, with what to do, and nothing
//! is changed.

use super::{Place, tidings};
use crate::support::{Postgres, Process, Redis, SECRET};

/// A Redis as the documentation wants it.
const WELL: [&str; 4] = ["--maxmemory", "64mb", "--maxmemory-policy", "allkeys-lru"];

/// The exit code and what it printed.
fn check(environment: &[(&str, &str)]) -> (Option<i32>, Vec<String>) {
    let (code, lines, errors) = tidings(&["check"], environment, "");
    assert_eq!(errors, "", "what it finds it prints");
    (code, lines)
}

/// The lines of a state.
fn found<'a>(lines: &'a [String], state: &str) -> Vec<&'a String> {
    lines.iter().filter(|line| line.starts_with(state)).collect()
}

/// Something is wrong and is named, with what to do, as `state`.
fn assert_found(environment: &[(&str, &str)], state: &str, named: &str) {
    let (code, lines) = check(environment);
    assert_eq!(code, Some(i32::from(state == "failed")), "{lines:#?}");
    let line = lines.iter().position(|line| line.starts_with(state) && line.contains(named));
    let line = line.unwrap_or_else(|| panic!("{state} {named}: {lines:#?}"));
    assert!(lines[line + 1].trim_start().starts_with('→'), "nothing is said to be done: {lines:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_that_is_well_is_well() {
    let place = Place::postgres().await;
    let redis = Redis::with(&WELL);
    let (url, redis) = (place.url(), redis.url());
    let environment =
        [("DATABASE_URL", url.as_str()), ("REDIS_URL", &redis), ("JWT_SECRET", SECRET), ("MAX_CONNECTIONS", "100")];
    // Before its first start, and after it.
    for _ in 0..2 {
        let (code, lines) = check(&environment);
        assert_eq!(
            (code, found(&lines, "failed").len(), found(&lines, "warning").len()),
            (Some(0), 0, 0),
            "{lines:#?}"
        );
        for area in ["settings", "database", "redis"] {
            assert!(lines.iter().any(|line| line.starts_with(&format!("ok       {area}"))), "{area}: {lines:#?}");
        }
        for named in ["PostgreSQL", "clock", "synchronous_commit", "enough for", "eviction policy allkeys-lru"] {
            assert!(lines.iter().any(|line| line.contains(named)), "{named}: {lines:#?}");
        }
        place.done(&["migrate"]);
    }
    let (_, lines) = check(&environment);
    assert!(lines.iter().any(|line| line.contains("the schema is this version's, with its")), "{lines:#?}");
    assert!(lines.last().unwrap().ends_with("0 to look at, 0 failed"), "{lines:#?}");
    assert!(!lines.concat().contains(SECRET), "a secret is shown: {lines:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_looked_at_beside_the_service_that_uses_it() {
    let place = Place::sqlite();
    let url = place.url();
    let environment = [("DATABASE_URL", url.as_str()), ("JWT_SECRET", SECRET), ("MAX_CONNECTIONS", "100")];
    let (code, lines) = check(&environment);
    assert!(code == Some(0) && lines.iter().any(|line| line.contains("not there yet")), "{lines:#?}");
    let Place::Sqlite(folder) = &place else { unreachable!() };
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "looking made something");
    let (process, _) = place.serve(&[]);
    let (code, lines) = check(&environment);
    assert_eq!((code, found(&lines, "warning").len()), (Some(0), 0), "{lines:#?}");
    assert!(lines.iter().any(|line| line.contains("in use by a running Tidings")), "{lines:#?}");
    drop(process);
    let (code, lines) = check(&environment);
    assert!(code == Some(0) && !lines.iter().any(|line| line.contains("in use")), "{lines:#?}");
    let path = folder.path().join("tidings.db");
    sqlx_run(&path, "drop index message_rev").await;
    assert_found(&environment, "failed", "message_rev");
    for left in ["tidings.db-wal", "tidings.db-shm"] {
        drop(std::fs::remove_file(folder.path().join(left)));
    }
    std::fs::write(&path, "this was a database once, until somebody wrote over it".repeat(100)).unwrap();
    assert_found(&environment, "failed", "tidings.db");
}

async fn sqlx_run(path: &std::path::Path, statement: &'static str) {
    use sqlx::{Connection, Executor, SqliteConnection};
    let mut database = SqliteConnection::connect(&format!("sqlite:{}", path.display())).await.unwrap();
    database.execute(statement).await.unwrap();
    database.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_that_do_not_work_are_named_and_the_rest_is_looked_at_all_the_same() {
    let place = Place::sqlite();
    let url = place.url();
    let with = |more: (&'static str, &'static str)| {
        let all = [("DATABASE_URL", url.as_str()), ("JWT_SECRET", SECRET), ("MAX_CONNECTIONS", "100"), more];
        all.map(|(name, value)| (name.to_owned(), value.to_owned()))
    };
    for (setting, state, named) in [
        (("ALLOWED_ORIGINS", "*"), "failed", "ALLOWED_ORIGINS"),
        (("JWT_PUBLIC_KEY_FILE", "/no/such/file"), "failed", "JWT_PUBLIC_KEY_FILE"),
        (("MODERATION_WORDS_FILE", "/no/such/file"), "failed", "MODERATION_WORDS_FILE"),
        (("REDIS_URL", "localhost"), "failed", "REDIS_URL"),
        (("LIMITS", "off"), "warning", "LIMITS=off"),
        (("AUTH_SECRET", "guess"), "warning", "AUTH_SECRET"),
        (("UNSAFE_DATABASE", "on"), "warning", "UNSAFE_DATABASE"),
    ] {
        let all = with(setting);
        let all: Vec<(&str, &str)> = all.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_found(&all, state, named);
    }
    let few = [("DATABASE_URL", url.as_str()), ("JWT_SECRET", SECRET), ("MAX_CONNECTIONS", "4000000000")];
    assert_found(&few, "warning", "the system grants");
    assert_found(&[("DATABASE_URL", url.as_str())], "warning", "comes in by name");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_not_as_it_must_be_is_found_out() {
    let place = Place::postgres().await;
    let Place::Postgres(database) = &place else { unreachable!() };
    let (url, name) = (place.url(), &database.name);
    let environment = [("DATABASE_URL", url.as_str()), ("JWT_SECRET", SECRET), ("AUTO_MIGRATE", "off")];
    let postgres = Postgres::shared();
    assert_found(&environment, "failed", "lacks the migration 0001");
    place.done(&["migrate"]);
    let (code, lines) = check(&environment);
    assert_eq!((code, found(&lines, "failed").len()), (Some(0), 0), "{lines:#?}");
    assert!(found(&lines, "warning").iter().any(|line| line.contains("redis")), "there is none: {lines:#?}");
    for (breaks, heals, named) in [
        (
            "alter database NAME set synchronous_commit = off",
            "alter database NAME reset synchronous_commit",
            "synchronous_commit=off",
        ),
        (
            "alter database NAME set default_transaction_read_only = on",
            "alter database NAME reset default_transaction_read_only",
            "read-only",
        ),
        (
            "update pg_index set indisvalid = false where indexrelid = 'message_id'::regclass",
            "reindex index message_id",
            "message_id",
        ),
        ("drop index member_user", "create index member_user on member (user_id, room_id)", "member_user"),
        ("update _sqlx_migrations set checksum = ''", "", "another text"),
    ] {
        let of = |statement: &str| statement.replace("NAME", name);
        postgres.run_on(name, &of(breaks)).await;
        assert_found(&environment, "failed", named);
        // What is wrong there is written outside of the transaction that may not write.
        let heal = of(heals);
        if heal.starts_with("alter database") {
            postgres.run_on("postgres", &heal).await;
        } else if !heal.is_empty() {
            postgres.run_on(name, &heal).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_does_not_let_one_in_or_write_is_found_out() {
    let place = Place::postgres().await;
    let Place::Postgres(database) = &place else { unreachable!() };
    let name = &database.name;
    place.done(&["migrate"]);
    let postgres = Postgres::shared();
    postgres
        .run_on(
            name,
            &format!("create role weak_{name} login; grant select on all tables in schema public to weak_{name}"),
        )
        .await;
    let url = place.url().replace("postgres@", &format!("weak_{name}@"));
    assert_found(&[("DATABASE_URL", &url), ("JWT_SECRET", SECRET)], "failed", "may not read and write");
    postgres.run_on(name, &format!("drop owned by weak_{name}; drop role weak_{name}")).await;
    assert_found(&[("DATABASE_URL", &url), ("JWT_SECRET", SECRET)], "failed", "refuses");
    let nowhere = "postgres://ann:secret@127.0.0.1:1/chat";
    assert_found(&[("DATABASE_URL", nowhere), ("JWT_SECRET", SECRET)], "failed", "cannot reach");
    let (_, lines) = check(&[("DATABASE_URL", nowhere), ("JWT_SECRET", SECRET)]);
    assert!(!lines.concat().contains("secret"), "a password is shown: {lines:#?}");
    let crowded =
        [("DATABASE_URL", place.url()), ("JWT_SECRET", SECRET.to_owned()), ("DATABASE_CONNECTIONS", "400".to_owned())];
    let crowded: Vec<(&str, &str)> = crowded.iter().map(|(name, value)| (*name, value.as_str())).collect();
    assert_found(&crowded, "failed", "not enough for one");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_is_not_as_it_should_be_is_found_out() {
    let place = Place::sqlite();
    let database = place.url();
    let looked = |url: &str, state: &str, named: &str| {
        assert_found(&[("DATABASE_URL", &database), ("JWT_SECRET", SECRET), ("REDIS_URL", url)], state, named);
    };
    looked("redis://127.0.0.1:1", "failed", "cannot be reached");
    let full = Redis::with(&["--maxmemory", "1", "--maxmemory-policy", "noeviction"]);
    looked(&full.url(), "failed", "its memory is full");
    looked(&full.url(), "failed", "takes no value");
    let closed =
        Redis::with(&["--requirepass", "open-sesame", "--maxmemory", "64mb", "--maxmemory-policy", "allkeys-lru"]);
    looked(&closed.url(), "failed", "wants a password");
    let (code, lines) = check(&[
        ("DATABASE_URL", &database),
        ("JWT_SECRET", SECRET),
        ("MAX_CONNECTIONS", "100"),
        ("REDIS_URL", &format!("redis://:open-sesame@127.0.0.1:{}", closed.port())),
    ]);
    assert!(code == Some(0) && found(&lines, "warning").is_empty(), "{lines:#?}");
    let bounded = Redis::with(&["--maxmemory", "64mb", "--maxmemory-policy", "noeviction"]);
    looked(&bounded.url(), "warning", "noeviction");
    bounded.cli(&["replicaof", "127.0.0.1", "1"]);
    looked(&bounded.url(), "failed", "replica");
    let unbounded = Redis::shared();
    looked(&unbounded.url(), "warning", "no maxmemory");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_check_calls_well_starts() {
    let place = Place::sqlite();
    let url = place.url();
    let environment = [("DATABASE_URL", url.as_str()), ("JWT_SECRET", SECRET), ("HOST", "127.0.0.1"), ("PORT", "0")];
    assert_eq!(check(&environment).0, Some(0));
    let mut process = Process::start(&["serve"], &environment);
    process.address();
}
