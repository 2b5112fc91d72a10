//! What `kubectl kustomize` makes of k8s/, checked by Kubernetes' schemas on the way, and how to find one's way in it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use clap::CommandFactory;
use serde_json::Value;
use tidings::Config;

/// The objects of an overlay, possibly with components.
pub(super) type Objects = Vec<Value>;

pub(super) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A program of the Python environment that the test command makes.
pub(super) fn tool(name: &str) -> PathBuf {
    let path = root().join("target/python/bin").join(name);
    assert!(path.exists(), "{} is not there; tests/run makes it", path.display());
    path
}

fn python(arguments: &[&Path]) -> Value {
    let script = root().join("tests/deploy/render.py");
    let output = Command::new(tool("python")).arg(script).args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Every overlay and every set of components that the docs name, once per run.
pub(super) fn everything() -> &'static BTreeMap<String, Objects> {
    static EVERYTHING: LazyLock<BTreeMap<String, Objects>> =
        LazyLock::new(|| serde_json::from_value(python(&[])).unwrap());
    &EVERYTHING
}

/// A YAML file of the project as it is.
pub(super) fn file(path: &str) -> Objects {
    serde_json::from_value(python(&[&root().join(path)])).unwrap()
}

/// Those of a kind.
pub(super) fn all<'a>(objects: &'a [Value], kind: &str) -> Vec<&'a Value> {
    objects.iter().filter(|object| object["kind"] == kind).collect()
}

/// The one of this kind and name.
pub(super) fn one<'a>(objects: &'a [Value], kind: &str, name: &str) -> &'a Value {
    let mut found = objects.iter().filter(|object| object["kind"] == kind && object["metadata"]["name"] == name);
    found.next().unwrap_or_else(|| panic!("there is no {kind} {name}"))
}

/// A list, empty if there is none.
pub(super) fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

pub(super) fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("{value} is no text"))
}

pub(super) fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("{value} is no number"))
}

/// The pods' templates: of the server, the job, and what an overlay brings along.
pub(super) fn templates(objects: &[Value]) -> Vec<(String, &Value)> {
    let makers = objects.iter().filter(|object| object["spec"]["template"]["spec"]["containers"].is_array());
    makers.map(|maker| (text(&maker["metadata"]["name"]).to_owned(), &maker["spec"]["template"])).collect()
}

/// The environment of a container, as Kubernetes puts it together.
pub(super) fn environment(objects: &[Value], container: &Value) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    for from in list(&container["envFrom"]) {
        let map = one(objects, "ConfigMap", text(&from["configMapRef"]["name"]));
        for (name, value) in map["data"].as_object().expect("a ConfigMap has data") {
            all.insert(name.clone(), text(value).to_owned());
        }
    }
    for variable in list(&container["env"]) {
        all.insert(text(&variable["name"]).to_owned(), text(&variable["value"]).to_owned());
    }
    all
}

/// What the program can be told by its environment.
pub(super) fn settings() -> Vec<String> {
    let command = Config::command();
    let names = command.get_arguments().filter_map(|argument| argument.get_env());
    names.map(|name| name.to_str().expect("a name").to_owned()).collect()
}
