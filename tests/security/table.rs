//! The attempts S1–S66 stand in `attempts.md`, with what each must come to and the tests that try it. Every number
//! stands there, every test that is named exists, and what has nothing to try here says why.

use std::collections::{BTreeMap, BTreeSet};

use super::sources;

const TABLE: &str = include_str!("attempts.md");
/// What begins the reason of an attempt that no test tries.
const NOTHING: &str = "nothing to try: ";

struct Attempt<'a> {
    number: u8,
    result: &'a str,
    /// File and name of each test; of the browser's, file and title.
    tests: Vec<(&'a str, &'a str)>,
}

fn attempts(table: &str) -> Vec<Attempt<'_>> {
    let rows = table.lines().filter_map(|line| line.strip_prefix("| S"));
    let read = |row| -> Option<Attempt<'_>> {
        let [number, _what, result, tests] = <[&str; 4]>::try_from(columns(row)).ok()?;
        let tests = tests.split('`').skip(1).step_by(2).map(|test| test.split_once(' ')).collect::<Option<_>>()?;
        Some(Attempt { number: number.parse().ok()?, result, tests })
    };
    rows.map(|row| read(row).unwrap_or_else(|| panic!("no row of the table: {row}"))).collect()
}

/// The cells of a row whose texts may hold an escaped bar.
fn columns(row: &str) -> Vec<&str> {
    let mut cells = Vec::new();
    let mut start = 0;
    for (at, _) in row.match_indices('|').filter(|(at, _)| !row[..*at].ends_with('\\')) {
        cells.push(row[start..at].trim());
        start = at + 1;
    }
    cells
}

/// Whether a file holds a test of this name: a Rust function right below its attribute, or a test of the browser.
fn has_test(text: &str, name: &str) -> bool {
    if text.contains(&format!("test(\"{name}\"")) {
        return true;
    }
    let mut lines = text.lines().map(str::trim);
    while let Some(line) = lines.next() {
        let is_test = line.starts_with("#[test]") || line.starts_with("#[tokio::test");
        let function = if is_test { lines.next().unwrap_or_default() } else { "" };
        let named = function.trim_start_matches("async ").strip_prefix("fn ").and_then(|rest| rest.split('(').next());
        if named == Some(name) {
            return true;
        }
    }
    false
}

#[test]
fn every_attempt_of_the_list_is_tried_or_has_nothing_to_try() {
    let attempts = attempts(TABLE);
    assert_eq!(attempts.iter().map(|attempt| attempt.number).collect::<Vec<_>>(), (1..=66).collect::<Vec<u8>>());
    let files: BTreeMap<_, _> = sources("tests").into_iter().chain(sources("src")).collect();
    let (mut findings, mut pointed) = (Vec::new(), BTreeSet::new());
    for Attempt { number, result, tests } in attempts {
        let is_reason = result.strip_prefix(NOTHING).is_some_and(|why| !why.is_empty());
        assert!(is_reason == tests.is_empty() && !result.is_empty(), "S{number} says neither how it ends nor why not");
        for (file, name) in tests {
            pointed.insert(name);
            if !files.get(file).is_some_and(|text| has_test(text, name)) {
                findings.push(format!("S{number}: there is no test {name} in {file}"));
            }
        }
    }
    // The other way round: a test that bears a number stands in the table.
    for (file, text) in &files {
        for name in text.split("fn ").skip(1).filter_map(|rest| rest.split('(').next()) {
            let numbered = name.strip_prefix('s').and_then(|rest| rest.split('_').next()).map(str::parse::<u8>);
            if numbered.is_some_and(|number| number.is_ok()) && name.contains('_') && !pointed.contains(name) {
                findings.push(format!("{file}: {name} stands in no row"));
            }
        }
    }
    assert!(findings.is_empty(), "{}", findings.join("\n"));
}

#[test]
fn a_test_that_does_not_exist_is_not_found() {
    let text =
        "#[tokio::test(flavor = \"multi_thread\")]\nasync fn it_works() {}\nfn no_test() {}\n#[test]\nfn it_does() {}";
    assert!(has_test(text, "it_works") && has_test(text, "it_does"));
    assert!(!has_test(text, "no_test") && !has_test(text, "it_work"));
    assert!(has_test("test(\"a page\", async () => {})", "a page") && !has_test("// a page", "a page"));
}
