//! What the servers of the whole suite log, and what of it nobody may find there. `tests/run` names a folder in
//! `TIDINGS_TEST_LOGS`; each process of the tests keeps two files there: what its servers logged, and the secrets that it
//! gave them, a line each. At the end `tests/run` looks for every line of the latter in all of the former.

use std::collections::{BTreeSet, HashSet};
use std::ffi::OsStr;
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::{LazyLock, Mutex, PoisonError};

use serde_json::Value;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// The least that says something: anything shorter may stand in a log by chance.
const SHORTEST: usize = 12;
/// The same of a secret that somebody has chosen to be one.
const SHORTEST_SECRET: usize = 8;
/// The longest line that is looked for.
const LONGEST: usize = 80;
/// Fields of a body or a frame in which people say something.
const SAID: [&str; 2] = ["content", "metadata"];

/// The files of this process; none where nobody looks at them.
static KEPT: LazyLock<Option<Kept>> = LazyLock::new(|| {
    let folder = std::env::var_os("TIDINGS_TEST_LOGS")?;
    let file = |ending: &str| {
        let path = Path::new(&folder).join(format!("{}.{ending}", std::process::id()));
        File::options().create(true).append(true).open(path).expect("a file in TIDINGS_TEST_LOGS")
    };
    Some(Kept { known: Mutex::default(), secrets: file("secrets"), log: file("log") })
});

struct Kept {
    known: Mutex<HashSet<String>>,
    // Lines are appended whole, so that nobody waits for anybody.
    secrets: File,
    log: File,
}

/// Keeps what the servers in this process log from now on, in full detail.
pub(crate) fn keep_log() {
    if let Some(kept) = &*KEPT {
        let filter = tidings::telemetry::filter("debug").unwrap();
        let lines = tracing_subscriber::fmt::layer().with_ansi(false).with_writer(|| &kept.log);
        // An error says that it is so already.
        drop(tracing_subscriber::registry().with(filter).with(lines).try_init());
    }
}

/// Keeps a line that a server logged elsewhere.
pub(crate) fn keep_line(line: &str) {
    if let Some(kept) = &*KEPT {
        write_line(&kept.log, line);
    }
}

/// Each line of it is looked for, but those around a key, which say nothing.
fn keep(secret: &str) {
    let Some(kept) = &*KEPT else { return };
    for line in secret.lines().filter(|line| line.len() >= SHORTEST_SECRET && !line.starts_with("-----")) {
        if kept.known.lock().unwrap_or_else(PoisonError::into_inner).insert(line.to_owned()) {
            write_line(&kept.secrets, line);
        }
    }
}

fn write_line(mut file: &File, line: &str) {
    file.write_all(format!("{line}\n").as_bytes()).unwrap();
}

/// Nobody may find this token or session: what makes it one is its last part.
pub(crate) fn token(token: &str) {
    let last = token.trim().rsplit('.').next().unwrap_or_default();
    if last.len() >= SHORTEST {
        keep(&last[..last.len().min(LONGEST)]);
    }
}

/// Nor what a header carries.
pub(crate) fn header(name: &str, value: &str) {
    match name {
        "authorization" => token(value.trim_start_matches("Bearer ")),
        "cookie" => value.split(';').filter_map(|cookie| cookie.split_once('=')).for_each(|(_, value)| token(value)),
        "sec-websocket-protocol" => {
            value.split(',').filter_map(|offer| offer.trim().strip_prefix("bearer.")).for_each(token);
        }
        _ => {}
    }
}

/// Nor what people say in a body or a frame, nor the token in it.
pub(crate) fn body(bytes: &[u8]) {
    if KEPT.is_some()
        && let Ok(json) = serde_json::from_slice::<Value>(bytes)
    {
        look(&json, false);
    }
}

fn look(json: &Value, is_said: bool) {
    match json {
        Value::String(text) if is_said => said(text),
        Value::Array(items) => items.iter().for_each(|item| look(item, is_said)),
        Value::Object(fields) => {
            for (name, value) in fields {
                match value {
                    Value::String(value) if name == "token" => token(value),
                    _ => look(value, is_said || SAID.contains(&name.as_str())),
                }
            }
        }
        _ => {}
    }
}

/// Nobody may find this text. Looked for is the longest part of it that a log would show as it is, without digits, so that
/// thousands of texts that only count are one.
pub(crate) fn said(text: &str) {
    let parts = text.split(|c: char| !c.is_ascii_graphic() && c != ' ' || c.is_ascii_digit() || "\"\\".contains(c));
    let longest = parts.map(str::trim).max_by_key(|part| part.len()).unwrap_or_default();
    let part = longest[..longest.len().min(LONGEST)].trim();
    // Of few letters are those that only fill.
    if part.len() >= SHORTEST && part.bytes().collect::<BTreeSet<u8>>().len() >= 6 {
        keep(part);
    }
}

/// Nor the secrets that a program is started with, as `NAME`, `--name` or in an address.
pub(crate) fn environment<'a>(settings: impl IntoIterator<Item = (&'a str, &'a str)>) {
    for (name, value) in settings {
        let name = name.to_ascii_uppercase().replace('-', "_");
        let is_secret = name.contains("SECRET") || name.ends_with("TOKEN") || name.ends_with("HEADERS");
        if is_secret && !name.ends_with("_FILE") {
            keep(value);
        }
        let password = value.split_once("://").and_then(|(_, rest)| Some(rest.split_once('@')?.0.split_once(':')?.1));
        keep(password.unwrap_or_default());
    }
}

/// The same of arguments.
pub(crate) fn arguments(words: &[impl AsRef<OsStr>]) {
    let words: Vec<&str> = words.iter().filter_map(|word| word.as_ref().to_str()).collect();
    let apart = words.windows(2).filter_map(|pair| Some((pair[0].strip_prefix("--")?, pair[1])));
    let apart = apart.filter(|(_, value)| !value.starts_with("--"));
    let joined = words.iter().filter_map(|word| word.strip_prefix("--")?.split_once('='));
    environment(apart.chain(joined));
}
