//! The house rules that a compiler does not know: who may import whom, how long a file may be, that a module says
//! what it is, which words are not used, and that no test waits by sleeping.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// What a module may import of its siblings. Imports go one way, from what speaks to clients down to the words;
/// `main` and `lib` only name modules, and `server` puts everything together.
const IMPORTS: &[(&str, &[&str])] = &[
    ("operator", &["auth", "config", "error", "lifecycle", "model", "redis", "server", "store"]),
    ("http", &["auth", "chat", "error", "lifecycle", "limits", "model", "protocol", "telemetry"]),
    ("ws", &["auth", "chat", "error", "hub", "lifecycle", "limits", "model", "protocol", "telemetry"]),
    (
        "chat",
        &[
            "broker",
            "cache",
            "error",
            "hub",
            "lifecycle",
            "limits",
            "model",
            "moderation",
            "presence",
            "protocol",
            "redis",
            "store",
            "telemetry",
        ],
    ),
    ("store", &["error", "model", "telemetry"]),
    ("broker", &["lifecycle", "protocol", "redis", "telemetry"]),
    ("cache", &["model", "redis", "telemetry"]),
    ("presence", &["model", "protocol", "redis"]),
    ("redis", &["lifecycle", "telemetry"]),
    ("hub", &["model", "protocol", "telemetry"]),
    ("limits", &["error", "model", "telemetry"]),
    ("moderation", &["error", "model", "outbound", "telemetry"]),
    ("auth", &["config", "error", "lifecycle", "model", "outbound", "telemetry"]),
    ("outbound", &[]),
    ("protocol", &["error", "model"]),
    ("model", &["error"]),
    ("telemetry", &["config", "outbound", "protocol"]),
    ("systemd", &["config"]),
    ("config", &[]),
    ("lifecycle", &[]),
    ("error", &[]),
];

/// They may import what they like.
const ABOVE: [&str; 3] = ["lib", "main", "server"];

/// Words for which the house has another: room, member, hub, broker, store, or what the thing does.
const NOT_OUR_WORDS: [&str; 9] =
    ["channel", "topic", "participant", "manager", "service", "util", "helper", "dto", "repository"];

struct Source {
    path: PathBuf,
    text: String,
}

impl Source {
    fn name(&self) -> String {
        self.path.strip_prefix(env!("CARGO_MANIFEST_DIR")).unwrap().display().to_string()
    }

    /// The module directly under `src` that the file belongs to.
    fn module(&self) -> String {
        let name = self.name();
        let first = name.split('/').nth(1).unwrap_or_default();
        first.trim_end_matches(".rs").to_owned()
    }

    /// The lines that are code, so that what a comment mentions does not count.
    fn code(&self) -> impl Iterator<Item = &str> {
        self.text.lines().filter(|line| !line.trim_start().starts_with("//"))
    }
}

/// Every file under a folder with this ending; `js` also means `mjs`.
fn sources(folder: &str, extension: &str) -> Vec<Source> {
    let mut found = Vec::new();
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
            let path = entry.unwrap().path();
            if path.is_dir() && !path.ends_with("node_modules") {
                folders.push(path);
            } else if path.extension().is_some_and(|other| other == extension || (extension == "js" && other == "mjs"))
            {
                let text = std::fs::read_to_string(&path).unwrap();
                found.push(Source { path, text });
            }
        }
    }
    assert!(!found.is_empty(), "no .{extension} under {folder}: these checks have lost sight of it");
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

/// The modules named after each `crate::` of a text, alone or in braces.
fn imported(code: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for after in code.split("crate::").skip(1) {
        let Some(group) = after.strip_prefix('{') else {
            names.insert(identifier(after));
            continue;
        };
        let mut depth = 1;
        let mut part = String::new();
        for c in group.chars() {
            depth += i32::from(c == '{') - i32::from(c == '}');
            if depth == 0 || (depth == 1 && c == ',') {
                names.insert(identifier(part.trim_start()));
                part.clear();
            } else {
                part.push(c);
            }
            if depth == 0 {
                break;
            }
        }
    }
    // A type or macro at the crate's root is no module.
    names.retain(|name| name.starts_with(|c: char| c.is_ascii_lowercase()));
    names
}

fn identifier(text: &str) -> String {
    text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

#[test]
fn imports_go_one_way() {
    let allowed: BTreeMap<&str, BTreeSet<&str>> =
        IMPORTS.iter().map(|(module, others)| (*module, others.iter().copied().collect())).collect();
    let mut unused = allowed.clone();
    let mut findings = Vec::new();
    for source in sources("src", "rs") {
        let module = source.module();
        if ABOVE.contains(&module.as_str()) {
            continue;
        }
        let Some(may) = allowed.get(module.as_str()) else {
            findings.push(format!("{}: the module {module} has no row in the table", source.name()));
            continue;
        };
        let code: String = source.code().flat_map(|line| [line, "\n"]).collect();
        for other in imported(&code) {
            unused.entry(module_key(&allowed, &module)).or_default().remove(other.as_str());
            if other != module && !may.contains(other.as_str()) {
                findings.push(format!("{}: {module} may not import {other}", source.name()));
            }
        }
        // The way around the table: a path that climbs out of its own module.
        let top = source.path.parent().is_some_and(|folder| folder.ends_with("src") || source.path.ends_with("mod.rs"));
        if code.contains("super::super::") || (top && code.lines().any(|line| line.starts_with("use super::"))) {
            findings.push(format!("{}: say crate::, so that this table can be checked", source.name()));
        }
    }
    for (module, others) in unused {
        findings.extend(others.iter().map(|other| format!("stale: {module} does not import {other} any more")));
    }
    assert!(findings.is_empty(), "{}", findings.join("\n"));
}

fn module_key<'a>(table: &BTreeMap<&'a str, BTreeSet<&'a str>>, module: &str) -> &'a str {
    table.get_key_value(module).map(|(key, _)| *key).unwrap_or_default()
}

#[test]
fn the_scan_finds_every_way_to_import() {
    let code = "use crate::error::Error;\nuse crate::{chat::{Chat, room::X}, hub, model::*};\n\
        fn f() -> crate::store::Store {}\npub(crate) fn g() {}\nuse crate::Config;\n";
    let expected = ["chat", "error", "hub", "model", "store"];
    assert_eq!(imported(code).iter().collect::<Vec<_>>(), expected);
}

#[test]
fn no_file_is_longer_than_its_budget() {
    let mut findings = Vec::new();
    for (folder, extension) in [
        ("src", "rs"),
        ("bench", "rs"),
        ("tests", "rs"),
        ("client", "js"),
        ("web", "js"),
        ("bench", "js"),
        ("tests", "js"),
    ] {
        for source in sources(folder, extension) {
            // SQL takes lines, and both backends of the store are read side by side.
            let budget = if source.name().starts_with("src/store/") { 600 } else { 400 };
            let lines = source.text.lines().count();
            if lines > budget {
                findings.push(format!("{}: {lines} lines of at most {budget}", source.name()));
            }
        }
    }
    assert!(findings.is_empty(), "{}", findings.join("\n"));
}

#[test]
fn every_module_says_what_it_is() {
    let files = ["src", "bench", "tests"].into_iter().flat_map(|folder| sources(folder, "rs"));
    let silent: Vec<_> = files.filter(|source| !source.text.starts_with("//! ")).map(|source| source.name()).collect();
    assert!(silent.is_empty(), "these do not begin with //!: {silent:#?}");
}

#[test]
fn nothing_is_named_by_a_word_that_says_nothing() {
    let mut findings = Vec::new();
    for source in sources("src", "rs") {
        for line in source.code() {
            let mut words = line.split_whitespace().skip_while(|word| *word == "async" || word.starts_with("pub"));
            if !matches!(words.next(), Some("struct" | "enum" | "trait" | "fn" | "mod" | "type")) {
                continue;
            }
            let name = identifier(words.next().unwrap_or_default());
            if words_in(&name).iter().any(|word| NOT_OUR_WORDS.contains(&word.trim_end_matches('s'))) {
                findings.push(format!("{}: {name}", source.name()));
            }
        }
    }
    assert!(findings.is_empty(), "{}", findings.join("\n"));
}

/// The words of a `snake_case` or `CamelCase` name, in lower case.
fn words_in(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    for c in name.chars() {
        if c == '_' || c.is_uppercase() {
            words.push(String::new());
        }
        words.last_mut().unwrap().extend(c.to_lowercase().filter(|c| *c != '_'));
    }
    words
}

#[test]
fn no_test_sleeps() {
    let nap = concat!("sle", "ep(");
    let mut findings = Vec::new();
    for source in sources("tests", "rs").into_iter().chain(sources("tests", "js")) {
        let naps = source.text.lines().zip(1..).filter(|(line, _)| line.contains(nap));
        findings.extend(naps.map(|(line, number)| format!("{}:{number}: {}", source.name(), line.trim())));
    }
    assert!(findings.is_empty(), "wait for what should happen, not for time:\n{}", findings.join("\n"));
}
