//! Open files, of which each connection is one.

use std::process::Stdio;

use tempfile::tempdir;

use crate::support::{PROGRAM, Process, database_url, program};

#[test]
fn it_takes_all_the_files_it_is_granted_and_says_if_they_are_too_few() {
    let prlimit = program("prlimit", "util-linux").display().to_string();
    for (connections, warned) in [("3900", false), ("4000", true)] {
        let folder = tempdir().unwrap();
        let database = database_url(&folder);
        let words = [prlimit.as_str(), "--nofile=256:4096", PROGRAM, "--port", "0", "--max-connections", connections];
        let mut process = Process::by(&words, Stdio::null(), &[("DATABASE_URL", &database)]);
        process.line("Tidings is listening on ");
        let limits = std::fs::read_to_string(format!("/proc/{}/limits", process.id())).unwrap();
        let files = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
        assert_eq!(files.split_whitespace().filter(|word| *word == "4096").count(), 2, "soft and hard: {files}");
        process.signal("TERM");
        let log = process.ended().1;
        assert_eq!(log.contains("MAX_CONNECTIONS"), warned, "{connections}: {log}");
    }
}
