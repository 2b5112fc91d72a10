//! The example units: valid by systemd's own tools, and in agreement with the program.

use std::path::{Path, PathBuf};
use std::process::Command;

use clap::{CommandFactory, Parser};
use tempfile::tempdir;
use tidings::{Config, server};

use crate::support::{PROGRAM, program};

/// Where the example expects the program.
const INSTALLED: &str = "/usr/local/bin/tidings";
/// Of 100, what a service may be exposed by; one without any hardening has 96.
const EXPOSURE: &str = "15";

fn unit(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/systemd").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The values of a directive, in their order.
fn values(text: &str, directive: &str) -> Vec<String> {
    let start = format!("{directive}=");
    text.lines().filter_map(|line| line.strip_prefix(&start)).map(ToOwned::to_owned).collect()
}

fn value(text: &str, directive: &str) -> String {
    let [value] = &values(text, directive)[..] else { panic!("{directive}= is not there once") };
    value.clone()
}

fn analyze(arguments: &[&str], units: &[PathBuf]) -> (bool, String) {
    let tool = program("systemd-analyze", "systemd");
    let output = Command::new(tool).args(arguments).args(units).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    (output.status.success(), text)
}

#[test]
fn systemd_finds_nothing_wrong_with_the_units_and_little_exposed() {
    let folder = tempdir().unwrap();
    let paths = ["tidings.service", "tidings.socket"].map(|name| {
        let path = folder.path().join(name);
        // It looks whether the program is there.
        let text = unit(name).replace(INSTALLED, PROGRAM);
        std::fs::write(&path, text).unwrap();
        path
    });
    let (good, said) = analyze(&["verify", "--man=no"], &paths);
    assert!(good && said.trim().is_empty(), "{said}");
    let (good, said) = analyze(&["security", "--offline=true", "--no-pager", "--threshold", EXPOSURE], &paths[..1]);
    assert!(good, "{said}");
    // That it finds something wrong at all.
    std::fs::write(&paths[0], unit("tidings.service").replace("WatchdogSec=", "WatchdogSecs=")).unwrap();
    let (_, said) = analyze(&["verify", "--man=no"], &paths);
    assert!(said.contains("WatchdogSecs"), "{said}");
}

#[test]
fn the_unit_gives_what_the_containers_give() {
    let text = unit("tidings.service");
    for (directive, expected) in [
        ("DynamicUser", "yes"),
        ("CapabilityBoundingSet", ""),
        ("NoNewPrivileges", "yes"),
        ("ProtectSystem", "strict"),
        ("PrivateTmp", "yes"),
        ("StateDirectoryMode", "0700"),
        ("UMask", "0077"),
    ] {
        assert_eq!(value(&text, directive), expected, "{directive}=");
    }
}

#[test]
fn the_unit_agrees_with_the_program() {
    let text = unit("tidings.service");
    assert_eq!(value(&text, "Type"), "notify");
    assert_eq!(value(&text, "ExecStart"), INSTALLED);
    let command = Config::command();
    let known: Vec<&str> =
        command.get_arguments().filter_map(|argument| argument.get_env().and_then(|name| name.to_str())).collect();
    let settings: Vec<(String, String)> = values(&text, "Environment")
        .iter()
        .map(|setting| setting.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned())).unwrap())
        .collect();
    assert!(settings.len() >= 2, "{settings:?}");
    for (name, value) in &settings {
        assert!(known.contains(&name.as_str()), "{name} is no setting");
        // A credential that is read is one that is loaded.
        if let Some(credential) = value.strip_prefix("%d/") {
            let loaded = values(&text, "LoadCredential");
            assert!(loaded.iter().any(|load| load.starts_with(&format!("{credential}:"))), "{name}: {loaded:?}");
        }
    }
    let seconds = |directive: &str| value(&text, directive).parse::<u64>().unwrap();
    let config = Config::parse_from(["tidings"]);
    let stop = config.drain_seconds + server::PATIENCE.as_secs();
    assert!(seconds("TimeoutStopSec") > stop + 5, "a stop is cut off");
    assert!(
        seconds("WatchdogSec") >= 2 * 4 * server::longest_look(&config).as_secs(),
        "it may be killed while it lives"
    );
    // What a setting that does not work ends with.
    assert_eq!(value(&text, "RestartPreventExitStatus"), "2");
    let database = settings.iter().find(|(name, _)| name == "DATABASE_URL").unwrap();
    let state = format!("sqlite:/var/lib/{}/", value(&text, "StateDirectory"));
    assert!(database.1.starts_with(&state), "{} is not in the one folder it may write to", database.1);
}
