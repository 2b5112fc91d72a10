//! The container image and compose.yaml, as far as they can be judged without building one: by a linter, by what the build
//! reads, and by asking the health check of a real program.

use std::path::Path;
use std::process::{Command, Stdio};

use clap::Parser;
use tempfile::tempdir;
use tidings::{Config, server};

use super::rendered::{everything, file, list, number, one, root, settings, text, tool};
use crate::support::{Process, database_url, program};

/// Of the image; what other platforms need has not been fetched.
const PLATFORM: &str = "x86_64-unknown-linux-gnu";

/// The instructions of the Dockerfile, each as one line, and by stage.
fn stages() -> Vec<Vec<(String, String)>> {
    let text = std::fs::read_to_string(root().join("Dockerfile")).unwrap();
    let lines = text.lines().filter(|line| !line.trim_start().starts_with('#')).collect::<Vec<_>>().join("\n");
    let mut stages = Vec::new();
    for line in lines.replace("\\\n", " ").lines().filter(|line| !line.trim().is_empty()) {
        let (instruction, rest) = line.split_once(' ').unwrap();
        if instruction == "FROM" {
            stages.push(Vec::new());
        }
        stages.last_mut().unwrap().push((instruction.to_owned(), rest.trim().to_owned()));
    }
    stages
}

/// The only instruction of this name in the final image.
fn last(name: &str) -> String {
    let stages = stages();
    let found: Vec<_> = stages.last().unwrap().iter().filter(|(instruction, _)| instruction == name).collect();
    let [(_, rest)] = found[..] else { panic!("{name} is not there once") };
    rest.clone()
}

/// What the instructions copy from the project, each with where to.
fn copies(instructions: &[(String, String)]) -> Vec<(String, String)> {
    let copies = instructions.iter().filter(|(name, rest)| name == "COPY" && !rest.contains("--from="));
    let pairs = copies.flat_map(|(_, rest)| {
        let words: Vec<&str> = rest.split_whitespace().collect();
        let (to, from) = words.split_last().expect("COPY has a destination");
        from.iter().map(|from| ((*from).to_owned(), (*to).to_owned())).collect::<Vec<_>>()
    });
    pairs.collect()
}

fn copied() -> Vec<String> {
    stages().iter().flat_map(|stage| copies(stage)).map(|(from, _)| from).collect()
}

#[test]
fn a_linter_finds_nothing_in_the_dockerfile() {
    let output =
        Command::new(tool("hadolint")).args(["--no-color", "Dockerfile"]).current_dir(root()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

#[test]
fn all_that_is_copied_exists_and_is_sent_to_the_builder() {
    let ignored = std::fs::read_to_string(root().join(".dockerignore")).unwrap();
    let sent: Vec<&str> = ignored.lines().filter_map(|line| line.strip_prefix('!')).collect();
    assert!(ignored.lines().any(|line| line == "*"), "what is not named is not sent");
    let copied = copied();
    for path in &copied {
        assert!(root().join(path).exists(), "{path} does not exist");
        let first = path.split('/').next().unwrap();
        assert!(sent.iter().any(|sent| sent == path || *sent == first), "{path} is not sent to the builder");
    }
    for path in sent {
        assert!(copied.iter().any(|copied| copied.starts_with(path)), "{path} is sent and not copied");
    }
}

#[test]
fn all_that_the_compiler_reads_is_copied() {
    let copied = copied();
    let mut folders = vec![root().join("src")];
    let mut read = 0;
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let source = std::fs::read_to_string(&path).unwrap();
            let source = if path.ends_with("tests.rs") { "" } else { source.split("#[cfg(test)]").next().unwrap() };
            let of_file = |part: &str| {
                let name = part.split_once('"')?.1.split_once('"')?.0;
                (!name.contains("concat!")).then(|| path.parent().unwrap().join(name))
            };
            let of_folder = |part: &str| Some(root().join(part.split_once('"')?.1.split_once('"')?.0));
            let included = ["include_str!", "include_bytes!"].into_iter().flat_map(|name| source.split(name).skip(1));
            let embedded = source.split("#[folder").skip(1);
            for needed in included.filter_map(of_file).chain(embedded.filter_map(of_folder)) {
                let needed = needed.canonicalize().unwrap_or_else(|error| panic!("{}: {error}", needed.display()));
                let inside = needed.strip_prefix(root()).unwrap();
                assert!(copied.iter().any(|copied| inside.starts_with(copied)), "{} is not copied", inside.display());
                read += 1;
            }
        }
    }
    assert!(read > 10, "only {read} files are read: this has lost sight of them");
}

#[test]
fn the_first_layer_is_enough_to_build_the_dependencies() {
    let folder = tempdir().unwrap();
    let stages = stages();
    let first = stages[0].iter().position(|(instruction, _)| instruction == "RUN").unwrap();
    for (from, to) in copies(&stages[0][..first]) {
        let to = folder.path().join(&to);
        let name = Path::new(&from).file_name().unwrap();
        let to = if to.as_os_str().to_string_lossy().ends_with('/') { to.join(name) } else { to };
        std::fs::create_dir_all(to.parent().unwrap()).unwrap();
        std::fs::copy(root().join(from), to).unwrap();
    }
    // What stands in for the sources, by the very commands of the first RUN, up to the one that compiles.
    let (before, compile) =
        stages[0][first].1.split_once("&& cargo build").expect("the first RUN ends with cargo build");
    let before: String =
        before.split_whitespace().filter(|word| !word.starts_with("--mount")).collect::<Vec<_>>().join(" ");
    let made = Command::new("sh").args(["-ec", &before]).current_dir(folder.path()).stdout(Stdio::null()).status();
    assert!(made.unwrap().success(), "{before}");
    assert!(compile.contains("--release --locked --bin tidings"), "{compile}");
    // Cargo finds every target that the manifest names, and the lock as it should be.
    let cargo = std::env::var_os("CARGO").unwrap_or("cargo".into());
    let mut plan = Command::new(cargo);
    plan.args(["metadata", "--locked", "--offline", "--format-version", "1", "--filter-platform", PLATFORM])
        .current_dir(folder.path());
    let output = plan.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn the_image_is_what_the_manifests_expect() {
    let copies: Vec<String> =
        stages().last().unwrap().iter().filter(|(name, _)| name == "COPY").map(|(_, rest)| rest.clone()).collect();
    assert!(copies.iter().any(|copy| copy.ends_with(" /usr/local/bin/tidings")), "{copies:?}");
    assert_eq!(last("ENTRYPOINT"), r#"["tidings"]"#);
    let objects = &everything()["local"];
    let pod = &one(objects, "Deployment", "tidings")["spec"]["template"]["spec"];
    let id = |name: &str| number(&pod["securityContext"][name]);
    assert_eq!(last("USER"), format!("{}:{}", id("runAsUser"), id("runAsGroup")));
    assert_eq!(last("EXPOSE"), number(&pod["containers"][0]["ports"][0]["containerPort"]).to_string());
    // Whoever runs it may take the shell away, but nothing in the manifests may need one.
    for probe in ["startupProbe", "livenessProbe", "readinessProbe"] {
        assert!(pod["containers"][0][probe]["exec"].is_null(), "{probe}");
    }
}

#[test]
fn the_health_check_tells_whether_it_is_well() {
    let check = last("HEALTHCHECK");
    let words: Vec<String> = serde_json::from_str(check.split_once("CMD ").unwrap().1).unwrap();
    assert_eq!(words[..2], ["bash", "-c"]);
    let healthy = |port: &str, base: Option<&str>| {
        let mut command = Command::new(program("bash", "bash"));
        command.args(&words[1..]).env_clear().env("PORT", port).stderr(Stdio::null());
        command.envs(base.map(|base| ("BASE_PATH", base))).status().unwrap().success()
    };
    for (base, wrong) in [(None, Some("/elsewhere")), (Some("/chat"), None)] {
        let folder = tempdir().unwrap();
        let database = database_url(&folder);
        let mut environment = vec![("DATABASE_URL", database.as_str()), ("PORT", "0")];
        environment.extend(base.map(|base| ("BASE_PATH", base)));
        let mut process = Process::start(&[], &environment);
        let line = process.line("Tidings is listening on http://");
        let authority = line.split("://").nth(1).unwrap().split('/').next().unwrap().to_owned();
        let port = authority.rsplit(':').next().unwrap();
        assert!(healthy(port, base), "{line}");
        assert!(!healthy(port, wrong), "{wrong:?} is not where it is");
        process.signal("TERM");
        assert!(process.ended().0.success());
        assert!(!healthy(port, base), "it is gone");
    }
}

#[test]
fn compose_starts_what_the_image_has_and_lets_it_end() {
    let compose = file("compose.yaml").remove(0);
    let known = settings();
    let instances: Vec<_> =
        compose["services"].as_object().unwrap().iter().filter(|(name, _)| name.starts_with("tidings-")).collect();
    assert_eq!(instances.len(), 2);
    for (name, instance) in instances {
        for setting in instance["environment"].as_object().unwrap().keys() {
            assert!(known.contains(setting), "{name}: {setting} is no setting");
        }
        let grace: u64 = text(&instance["stop_grace_period"]).trim_end_matches('s').parse().unwrap();
        let stop = Config::parse_from(["tidings"]).drain_seconds + server::PATIENCE.as_secs();
        assert!(grace >= stop + 5, "{name}: a stop is cut off");
        assert_eq!(instance["read_only"], true, "{name}");
        assert_eq!(list(&instance["cap_drop"]), ["ALL"], "{name}");
        assert_eq!(list(&instance["security_opt"]), ["no-new-privileges:true"], "{name}");
        assert!(Path::new(text(&instance["build"])).join("Dockerfile").exists());
        for store in ["postgres", "redis"] {
            assert_eq!(instance["depends_on"][store]["condition"], "service_healthy", "{name}: {store}");
        }
    }
}
