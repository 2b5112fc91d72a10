//! docs/PROTOCOL.md is true and whole: every example in it is replayed in order against a real server, and every
//! route, frame, error code and close code of the sources stands in it, and nothing else does.

pub(crate) mod coverage;
mod example;
mod pattern;
mod replay;

use std::path::{Path, PathBuf};

/// The contract as its readers see it.
fn document() -> String {
    read("docs/PROTOCOL.md")
}

/// A file of the repository.
fn read(path: &str) -> String {
    let path = root().join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_path_buf()
}
