//! The operator's page names what there is.

use super::rendered::{root, settings};

fn page() -> String {
    std::fs::read_to_string(root().join("docs/OPERATIONS.md")).unwrap()
}

#[test]
fn every_setting_is_on_the_page() {
    let page = page();
    let settings = settings();
    let missing: Vec<&String> = settings
        .iter()
        .filter(|name| match name.strip_suffix("_FILE") {
            // How a secret becomes a file is said once for all.
            Some(secret) if settings.iter().any(|other| other == secret) => false,
            _ => !page.contains(name.as_str()) && !["_1", "_2", "_3"].iter().any(|end| name.ends_with(end)),
        })
        .collect();
    assert!(missing.is_empty(), "these are not: {missing:?}");
}

#[test]
fn every_file_the_page_leads_to_is_there() {
    let page = page();
    let links = page.split("](../").skip(1).map(|rest| rest.split([')', '#']).next().unwrap());
    let folders = page.split("-k k8s/").skip(1).map(|rest| format!("k8s/{}", rest.split_whitespace().next().unwrap()));
    let paths: Vec<String> = links.map(ToOwned::to_owned).chain(folders).collect();
    assert!(paths.len() > 5, "{paths:?}");
    for path in paths {
        assert!(root().join(&path).exists(), "{path} is not there");
    }
}
