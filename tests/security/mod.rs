//! What attackers try, by the numbers S1–S66 of the list in `attempts.md`, and what each attempt comes to.

mod authorization;
mod handshake;
mod rates;
mod shared;
mod surface;
mod table;
mod text;
mod tokens;

use std::path::{Path, PathBuf};

use crate::protocol::coverage::routes;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_path_buf()
}

/// `METHOD` and path of every route of the service.
fn all_routes() -> Vec<(String, String)> {
    let text = sources("src/http").into_iter().fold(String::new(), |all, (_, text)| {
        // Without the modules' own tests, which have routes of their own.
        all + text.split("#[cfg(test)]").next().unwrap_or_default()
    });
    let routes = routes(&text);
    assert!(routes.len() > 20, "this check has lost sight of the routes: {routes:?}");
    routes.iter().filter_map(|route| route.split_once(' ')).map(|(a, b)| (a.to_owned(), b.to_owned())).collect()
}

/// The Rust files under a folder, each with its path from the root and its text.
fn sources(folder: &str) -> Vec<(String, String)> {
    let (mut folders, mut found) = (vec![root().join(folder)], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() && !path.ends_with("node_modules") {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs" || extension == "mjs") {
                let name = path.strip_prefix(root()).unwrap().display().to_string();
                found.push((name, std::fs::read_to_string(&path).unwrap()));
            }
        }
    }
    found
}
