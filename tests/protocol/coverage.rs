//! The contract and the sources name the same routes, frames, codes and closes, and a test meets each of them. The
//! sources are read as text: what these checks need stands in one place each, which is what they also keep so.

use std::collections::BTreeSet;
use std::path::Path;

use super::example::{Step, examples};
use super::{document, read, root};

type Set = BTreeSet<String>;

/// Which words of the document's table differ from those of the sources.
#[track_caller]
fn assert_same(what: &str, documented: &Set, present: &Set, tested: &Set) {
    let list = |title: &str, names: Vec<&String>| match names.as_slice() {
        [] => String::new(),
        names => format!("\n  {title}: {names:?}"),
    };
    assert!(!present.is_empty(), "found no {what} in the sources: this check has lost sight of them");
    let findings = list("undocumented", present.difference(documented).collect())
        + &list("stale in docs/PROTOCOL.md", documented.difference(present).collect())
        + &list("met by no test", present.difference(tested).collect());
    assert!(findings.is_empty(), "{what}:{findings}");
}

/// The first code span of every row of the tables under this heading.
fn table(document: &str, heading: &str) -> Set {
    let level = heading.split(' ').next().unwrap_or_default().len();
    let mut lines = document.lines().skip_while(|line| *line != heading);
    assert!(lines.next().is_some(), "docs/PROTOCOL.md has no heading {heading:?}");
    let ends = |line: &str| {
        let marks = line.chars().take_while(|c| *c == '#').count();
        marks > 0 && marks <= level && line[marks..].starts_with(' ')
    };
    let section = lines.take_while(|line| !ends(line));
    let keys = section.filter_map(|line| line.strip_prefix("| `")?.split_once('`'));
    keys.map(|(key, _)| key.to_owned()).collect()
}

/// Every string literal of the tests, apart from these checks' own folder; of a close, which the tests write
/// `(4001, "unauthenticated")`, its code.
fn literals_of_tests() -> Set {
    let mut literals = Set::new();
    for_each_rust_file(&root().join("tests"), &mut |path, text| {
        if path.components().any(|part| part.as_os_str() == "protocol") {
            return;
        }
        let parts: Vec<&str> = text.split('"').collect();
        literals.extend(parts.iter().skip(1).map(|&part| part.to_owned()));
        let closes = parts.iter().filter_map(|part| part.strip_suffix(", ")?.rsplit('(').next());
        literals.extend(closes.filter(|code| code.parse::<u16>().is_ok()).map(str::to_owned));
    });
    literals
}

fn for_each_rust_file(folder: &Path, see: &mut impl FnMut(&Path, &str)) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.ends_with("node_modules") {
            for_each_rust_file(&path, see);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            see(&path, &std::fs::read_to_string(&path).unwrap());
        }
    }
}

/// The names of an enum's variants, as the wire writes them.
pub(crate) fn variants(source: &str, name: &str) -> Set {
    let start = source.find(&format!("pub enum {name}")).unwrap_or_else(|| panic!("no enum {name}"));
    let body = source[start..].lines().skip(1).take_while(|line| *line != "}");
    let names = body.filter_map(|line| {
        let line = line.strip_prefix("    ")?;
        let end = line.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(line.len());
        line.starts_with(|c: char| c.is_ascii_uppercase()).then(|| line[..end].to_owned())
    });
    names.map(|name| name[..1].to_ascii_lowercase() + &name[1..]).collect()
}

/// `METHOD /path` of every `.route("/path", get(…).post(…))`.
pub(crate) fn routes(source: &str) -> Set {
    let mut routes = Set::new();
    for route in source.split(".route(").skip(1) {
        let mut depth = 1;
        let end = route.find(|c: char| {
            depth += i32::from(c == '(') - i32::from(c == ')');
            depth == 0
        });
        let route = &route[..end.expect("a call ends")];
        let path = route.split('"').nth(1).expect("a route has a literal path");
        for (call, method) in
            [("get(", "GET"), ("post(", "POST"), ("put(", "PUT"), ("patch(", "PATCH"), ("delete(", "DELETE")]
        {
            let named = |(at, _): (usize, &str)| !route[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_');
            if route.match_indices(call).any(named) {
                routes.insert(format!("{method} {path}"));
            }
        }
        // The WebSocket's is handed in ready; a handshake is a GET (RFC 6455, section 4.1).
        if route.ends_with(", ws") {
            routes.insert(format!("GET {path}"));
        }
    }
    routes
}

/// What the examples call, by the documented routes.
fn called(document: &str, documented: &Set) -> Set {
    let mut called = Set::new();
    for example in examples(document) {
        for step in &example.steps {
            let Step::Call { request, .. } = step else { continue };
            let path = request.path.split('?').next().unwrap_or_default();
            let matches = |route: &&String| {
                let (method, template) = route.split_once(' ').unwrap_or_default();
                method == request.method && fits(template, path)
            };
            // `/rooms/{roomId}` fits nothing that a longer literal path would fit better: they differ in length.
            called.extend(documented.iter().filter(matches).cloned());
        }
    }
    called
}

fn fits(template: &str, path: &str) -> bool {
    let (template, path): (Vec<_>, Vec<_>) = (template.split('/').collect(), path.split('/').collect());
    let one = |(template, part): (&&str, &&str)| template.starts_with('{') || template == part;
    template.len() == path.len() && template.iter().zip(&path).all(one)
}

/// A field of all the frames that the examples show in one direction, or the codes of all closes and problems.
fn shown(document: &str) -> (Set, Set, Set, Set) {
    let (mut said, mut heard, mut codes, mut closes) = (Set::new(), Set::new(), Set::new(), Set::new());
    let text = |value: &serde_json::Value| value.as_str().map(str::to_owned);
    for example in examples(document) {
        for step in &example.steps {
            match step {
                Step::Say { frame, .. } => said.extend(text(&frame["type"])),
                Step::Hear { frame, .. } => {
                    heard.extend(text(&frame["type"]));
                    codes.extend(text(&frame["code"]));
                }
                Step::Closed { code, .. } => drop(closes.insert(code.to_string())),
                Step::Call { answer, .. } => codes.extend(answer.body.as_ref().and_then(|body| text(&body["code"]))),
                Step::Leave { .. } => {}
            }
        }
    }
    (said, heard, codes, closes)
}

#[test]
fn every_route_is_documented_and_replayed() {
    let document = document();
    let documented = table(&document, "## Every route");
    let routed = &routes(&read("src/http/mod.rs")) | &routes(&read("src/http/admin/mod.rs"));
    assert_same("routes", &documented, &routed, &called(&document, &documented));
}

#[test]
fn every_frame_is_documented_and_tested() {
    let (document, source, literals) = (document(), read("src/protocol.rs"), literals_of_tests());
    let (said, heard, ..) = shown(&document);
    let client = table(&document, "### What a client says");
    assert_same("client frames", &client, &variants(&source, "ClientFrame"), &said);
    let server = table(&document, "### What the service says");
    assert_same("server frames", &server, &variants(&source, "ServerFrame"), &(&heard | &literals));
}

#[test]
fn every_error_code_is_documented_and_tested() {
    let (document, source) = (document(), read("src/error.rs"));
    let body = source.split("fn code(").nth(1).expect("src/error.rs has code()");
    let body = body.split("\n    }").next().unwrap_or_default();
    let codes: Set = body.split("=> \"").skip(1).filter_map(|rest| rest.split('"').next()).map(str::to_owned).collect();
    let (_, _, shown, _) = shown(&document);
    assert_same("error codes", &table(&document, "## Errors"), &codes, &(&shown | &literals_of_tests()));
}

#[test]
fn every_close_code_is_documented_and_tested() {
    let (document, source) = (document(), read("src/protocol/close.rs"));
    let numbers = source.split("code: ").skip(1).filter_map(|rest| rest.split([',', ' ', '}']).next());
    let codes: Set = numbers.filter(|code| code.parse::<u16>().is_ok()).map(str::to_owned).collect();
    let (_, _, _, shown) = shown(&document);
    assert_same("close codes", &table(&document, "## How a connection ends"), &codes, &(&shown | &literals_of_tests()));
}
