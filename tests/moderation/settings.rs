//! What cannot work is refused at the start, by name, and no secret is shown.

use tempfile::tempdir;

use super::listener::{Answer, KEY, Listener};
use super::word_list;
use crate::support::{Api, Process, SECRET, database_url, fresh_id, make_room, token};

/// What was said by a program that does not start.
fn refused(environment: &[(&str, &str)]) -> String {
    let directory = tempdir().unwrap();
    let database = database_url(&directory);
    let mut all = vec![("DATABASE_URL", database.as_str()), ("PORT", "0"), ("JWT_SECRET", SECRET)];
    all.extend_from_slice(environment);
    let (status, errors) = Process::start(&[], &all).ended();
    assert_eq!(status.code(), Some(2), "{environment:?}: {errors}");
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0, "it left something behind: {errors}");
    errors
}

#[test]
fn a_word_list_that_is_none_is_named_with_its_line() {
    for (list, line) in [("# fine\nflag: odd\nno list", "line 3"), ("block: odd", "line 1"), ("flag:\n", "line 1")] {
        let (_folder, path) = word_list(list);
        let errors = refused(&[("MODERATION_WORDS_FILE", &path)]);
        assert!(errors.contains("MODERATION_WORDS_FILE") && errors.contains(line), "{list}: {errors}");
    }
    let errors = refused(&[("MODERATION_WORDS_FILE", "/no/such/file")]);
    assert!(errors.contains("MODERATION_WORDS_FILE") && errors.contains("/no/such/file"), "{errors}");
}

#[test]
fn a_hook_that_cannot_work_is_named() {
    let (folder, short) = word_list("short\n");
    let url = ("MODERATION_HOOK_URL", "http://hidden.example/moderate");
    let key = ("MODERATION_HOOK_SECRET", KEY);
    for (environment, named) in [
        (&[url][..], "MODERATION_HOOK_SECRET"),
        (&[key], "MODERATION_HOOK_URL"),
        (&[url, ("MODERATION_HOOK_SECRET", "tooshort")], "MODERATION_HOOK_SECRET"),
        (&[url, ("MODERATION_HOOK_SECRET_FILE", &short)], "MODERATION_HOOK_SECRET"),
        (&[url, ("MODERATION_HOOK_SECRET_FILE", "/no/such/file")], "MODERATION_HOOK_SECRET_FILE"),
        (&[url, key, ("MODERATION_HOOK_SECRET_FILE", &short)], "--moderation-hook-secret"),
        (&[key, ("MODERATION_HOOK_URL", "hidden.example/moderate")], "MODERATION_HOOK_URL"),
        (&[key, ("MODERATION_HOOK_URL", "ftp://hidden.example/")], "MODERATION_HOOK_URL"),
        (&[key, ("MODERATION_HOOK_URL", "")], "MODERATION_HOOK_URL"),
        (&[url, key, ("MODERATION_HOOK_DEADLINE_MS", "9")], "--moderation-hook-deadline-ms"),
        (&[url, key, ("MODERATION_HOOK_FAILURE", "maybe")], "--moderation-hook-failure"),
    ] {
        let errors = refused(environment);
        assert!(errors.contains(named), "{environment:?}: {errors}");
        assert!(!errors.contains(KEY) && !errors.contains("hidden") && !errors.contains("tooshort"), "{errors}");
    }
    drop(folder);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_key_may_come_by_file_and_the_log_holds_nothing_of_what_was_written() {
    let hook = Listener::start(Answer::ByContent).await;
    let (_folder, key) = word_list(&format!("{KEY}\n"));
    let (_words, words) = word_list("reject: xyzzy\nflag: plugh\n");
    let directory = tempdir().unwrap();
    let (database, url) = (database_url(&directory), hook.url());
    let environment = [
        ("PORT", "0"),
        ("METRICS_ADDR", "127.0.0.1:0"),
        ("DATABASE_URL", &database),
        ("JWT_SECRET", SECRET),
        ("MODERATION_HOOK_URL", &url),
        ("MODERATION_HOOK_SECRET_FILE", &key),
        ("MODERATION_HOOK_DEADLINE_MS", "9000"),
        ("MODERATION_WORDS_FILE", &words),
        ("RUST_LOG", "debug"),
    ];
    let mut process = tokio::task::block_in_place(|| Process::start(&["--host", "127.0.0.1"], &environment));
    let ann = Api::new(tokio::task::block_in_place(|| process.address()), Some(token("ann")));
    make_room(&ann, "garden", "GROUP", &[]).await;
    let mut statuses = Vec::new();
    for content in ["secretly hello", "secretly xyzzy", "secretly plugh", "secretly reject me", "secretly flag me"] {
        let draft = serde_json::json!({ "id": fresh_id(), "content": content });
        statuses.push(ann.post("/api/chat/rooms/garden/messages", draft).await.status);
    }
    assert_eq!(statuses, [201, 422, 201, 422, 201]);
    assert_eq!(hook.asked().len(), 4);
    hook.answer(Answer::Raw(200, b"secretly garbage".to_vec()));
    ann.post("/api/chat/rooms/garden/messages", serde_json::json!({ "content": "secretly" })).await.ok(201);
    let log = process.log();
    assert!(log.contains("the moderation hook fails; messages are accepted meanwhile"), "{log}");
    for never in ["secretly", "be kind", "xyzzy", "plugh", KEY] {
        assert!(!log.contains(never), "{never}: {log}");
    }
}
