//! A container as a manifest describes it, as far as Linux gives one without a container runtime: the user and groups, no
//! capability and no way to get one, a root file system that is read-only and holds the program, the system's libraries,
//! and what is mounted. Whoever runs the tests, root or not. The filter of system calls and the limit on memory are not here.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Stdio;

use serde_json::Value;
use tempfile::TempDir;

use super::rendered::{environment, list, number, text};
use crate::support::{PROGRAM, Process, program};

/// Where the image has the program.
const INSTALLED: &str = "/usr/local/bin/tidings";
/// Of the system, what the image has too.
const LIBRARIES: [&str; 2] = ["/usr/lib", "/etc/ssl/certs"];

/// A container that can be started any number of times.
pub(super) struct Container {
    files: TempDir,
    template: Value,
    environment: BTreeMap<String, String>,
    mounts: Vec<(String, String)>,
}

impl Container {
    /// The only container of such pods. `secrets` are the values of the Secret's keys.
    pub(super) fn new(objects: &[Value], maker: &Value, secrets: &BTreeMap<String, String>) -> Self {
        let template = maker["spec"]["template"].clone();
        let container = &template["spec"]["containers"][0];
        let files = tempfile::tempdir().unwrap();
        fs::set_permissions(files.path(), Permissions::from_mode(0o755)).unwrap();
        // The program may lie where another user may not look. A link spares the disk, which others wait for.
        let installed = files.path().join("tidings");
        fs::hard_link(PROGRAM, &installed).or_else(|_| fs::copy(PROGRAM, &installed).map(drop)).unwrap();
        let mut mounts = Vec::new();
        for mount in list(&container["volumeMounts"]) {
            assert_eq!(mount["readOnly"], true, "{mount}");
            let name = text(&mount["name"]);
            let volume = list(&template["spec"]["volumes"]).iter().find(|volume| volume["name"] == name).unwrap();
            let folder = files.path().join(name);
            lay(&folder, volume, number(&template["spec"]["securityContext"]["fsGroup"]), secrets);
            mounts.push((folder.display().to_string(), text(&mount["mountPath"]).to_owned()));
        }
        Self { environment: environment(objects, container), files, template, mounts }
    }

    /// Starts it with its own arguments.
    pub(super) fn start(&self, changed: &[(&str, &str)]) -> Process {
        let arguments: Vec<&str> = list(&self.template["spec"]["containers"][0]["args"]).iter().map(text).collect();
        self.run(&arguments, changed)
    }

    /// Starts the program in it, as `kubectl exec` would; of its environment only this is another.
    pub(super) fn run(&self, arguments: &[&str], changed: &[(&str, &str)]) -> Process {
        let mut environment = self.environment.clone();
        environment.extend(changed.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        let environment: Vec<(&str, &str)> = environment.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
        let mut words = self.launcher();
        words.push(INSTALLED.to_owned());
        words.extend(arguments.iter().map(|&argument| argument.to_owned()));
        Process::by(&words, Stdio::null(), &environment)
    }

    fn launcher(&self) -> Vec<String> {
        let security = &self.template["spec"]["securityContext"];
        let id = |name: &str| number(&security[name]).to_string();
        let (user, group) = (id("runAsUser"), id("runAsGroup"));
        let own = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect::<Vec<_>>();
        let mut words = Vec::new();
        if is_root() {
            words.extend(own(&["--reuid", &user, "--regid", &group, "--groups", &id("fsGroup"), "--inh-caps=-all"]));
        }
        words.push(program("bwrap", "bubblewrap").display().to_string());
        words.extend(own(&["--unshare-user", "--uid", &user, "--gid", &group, "--unshare-pid", "--as-pid-1"]));
        words.extend(own(&["--unshare-ipc", "--unshare-uts", "--die-with-parent", "--cap-drop", "ALL"]));
        for folder in LIBRARIES {
            words.extend(own(&["--ro-bind", folder, folder]));
        }
        for (folder, real) in [("/lib", "usr/lib"), ("/lib64", "usr/lib64")] {
            words.extend(own(&["--symlink", real, folder]));
        }
        words.extend(own(&["--ro-bind-try", "/usr/lib64", "/usr/lib64", "--proc", "/proc", "--dev", "/dev"]));
        let installed = self.files.path().join("tidings").display().to_string();
        words.extend(own(&["--ro-bind", &installed, INSTALLED]));
        for (from, to) in &self.mounts {
            words.extend(own(&["--ro-bind", from, to]));
        }
        words.extend(own(&["--remount-ro", "/", "--chdir", "/"]));
        words
    }

    /// Fails unless a process of it has what the manifest gives it and no more.
    pub(super) fn assert_holds(&self, process: u32) {
        let of = |file: &str| fs::read_to_string(format!("/proc/{process}/{file}")).unwrap();
        let status = of("status");
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_else(|| panic!("{name}"));
            line.trim_start_matches(':').split_whitespace().map(ToOwned::to_owned).collect::<Vec<_>>()
        };
        let security = &self.template["spec"]["securityContext"];
        if is_root() {
            assert_eq!(field("Uid"), vec![number(&security["runAsUser"]).to_string(); 4]);
            assert_eq!(field("Gid"), vec![number(&security["runAsGroup"]).to_string(); 4]);
        }
        assert_ne!(field("Uid")[0], "0");
        for capabilities in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
            assert_eq!(field(capabilities), ["0000000000000000"], "{capabilities}");
        }
        assert_eq!(field("NoNewPrivs"), ["1"]);
        // What may be written to is the kernel's and belongs to no disk.
        for mount in of("mountinfo").lines() {
            let words: Vec<&str> = mount.split(' ').collect();
            let (place, options) = (words[4], words[5]);
            let is_kernels = ["/proc", "/dev"].iter().any(|own| place == *own || place.starts_with(&format!("{own}/")));
            assert!(
                is_kernels || options.split(',').any(|option| option == "ro"),
                "{place} can be written to: {options}"
            );
        }
    }
}

pub(super) fn is_root() -> bool {
    std::os::unix::fs::MetadataExt::uid(&fs::metadata("/proc/self").unwrap()) == 0
}

/// Lays the files of a volume out as the kubelet does: the group's, with the volume's mode.
fn lay(folder: &Path, volume: &Value, group: u64, secrets: &BTreeMap<String, String>) {
    fs::create_dir(folder).unwrap();
    let chosen: Vec<(String, String)> = match list(&volume["secret"]["items"]) {
        [] => secrets.keys().map(|key| (key.clone(), key.clone())).collect(),
        items => items.iter().map(|item| (text(&item["key"]).to_owned(), text(&item["path"]).to_owned())).collect(),
    };
    for (key, path) in chosen {
        let file = folder.join(path);
        fs::write(&file, &secrets[&key]).unwrap();
        if is_root() {
            std::os::unix::fs::chown(&file, Some(0), Some(u32::try_from(group).unwrap())).unwrap();
        }
        let mode = u32::try_from(number(&volume["secret"]["defaultMode"])).unwrap();
        fs::set_permissions(&file, Permissions::from_mode(mode)).unwrap();
    }
}
