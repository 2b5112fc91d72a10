//! Real PostgreSQL, Redis and Prometheus servers of the tests' own, on ports and in folders nobody else uses, as an unprivileged
//! user. They are children of a thread that never ends and die with this process, however that ends; a server that a
//! test starts for itself also ends when dropped. What is not installed fails, with the package that has it.

mod postgres;
mod prometheus;
mod redis;

use std::io;
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::time::{Duration, Instant};

use uuid::Uuid;

pub(crate) use postgres::{PASSWORD, Postgres};
pub(crate) use prometheus::Prometheus;
pub(crate) use redis::{Redis, RedisCluster};

/// How long a server may take to be there.
const PATIENCE: Duration = Duration::from_secs(30);
/// Between two looks at whether something is so.
const PAUSE: Duration = Duration::from_millis(5);
/// Outside the range from which systems take the ports of outgoing connections, so that a server which was stopped
/// finds its port free again; a Redis Cluster's second port is this far above.
const PORTS: std::ops::Range<u16> = 12_000..21_000;
const SECOND_PORT: u16 = 10_000;
/// How the folders of all such processes begin; the process's number follows.
const FOLDERS: &str = "tidings-tests-";
/// What the largest test may write, in KiB: a container's memory disk is often smaller.
const DATA: u64 = 3 << 20;

/// Where a program is: on the PATH, or where Debian keeps the newest PostgreSQL's.
pub(crate) fn program(name: &str, package: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    let version = |folder: &PathBuf| folder.file_name().and_then(|name| name.to_str()?.parse::<u32>().ok());
    let mut versions: Vec<PathBuf> =
        std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    versions.sort_by_key(|folder| std::cmp::Reverse(version(folder)));
    folders.extend(versions.into_iter().map(|folder| folder.join("bin")));
    let found = folders.into_iter().map(|folder| folder.join(name)).find(|path| path.is_file());
    found.unwrap_or_else(|| panic!("{name} is not installed; on Debian: apt-get install {package}"))
}

/// The unprivileged user and group, if this process is root: PostgreSQL refuses to run as root.
fn somebody() -> Option<(&'static str, &'static str)> {
    let id = |arguments: &[&str]| {
        let output = Command::new("id").args(arguments).output().expect("id, of coreutils");
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    if id(&["-u"]).as_deref() != Some("0") {
        return None;
    }
    Some(if id(&["-u", "postgres"]).is_some() { ("postgres", "postgres") } else { ("nobody", "nogroup") })
}

/// A command that runs as the unprivileged user and gets `signal` when this process ends.
fn unprivileged(program: &Path, signal: &str) -> Command {
    static SOMEBODY: LazyLock<Option<(&str, &str)>> = LazyLock::new(somebody);
    let mut command = mortal(signal);
    if let Some((user, group)) = *SOMEBODY {
        command.args(["--reuid", user, "--regid", group, "--clear-groups"]);
    }
    command.arg(program);
    command.env_clear().env("LC_ALL", "C.UTF-8").env("PATH", "/usr/bin:/bin");
    command
}

/// The beginning of a command that gets `signal` when the thread that started it ends.
pub(crate) fn mortal(signal: &str) -> Command {
    static SETPRIV: LazyLock<PathBuf> = LazyLock::new(|| program("setpriv", "util-linux"));
    let mut command = Command::new(&*SETPRIV);
    command.args(["--pdeathsig", signal]);
    command
}

/// Starts a program from the thread that never ends: the one thread a child may die with is that of the process.
pub(crate) fn start(command: Command) -> io::Result<Child> {
    type Order = (Command, Sender<io::Result<Child>>);
    static PARENT: LazyLock<Sender<Order>> = LazyLock::new(|| {
        let (orders, taken) = channel::<Order>();
        std::thread::spawn(move || {
            for (mut command, started) in taken {
                drop(started.send(command.spawn()));
            }
        });
        orders
    });
    let (started, child) = channel();
    PARENT.send((command, started)).expect("the thread never ends");
    child.recv().expect("the thread never ends")
}

/// Looks until it is so, and fails with `what` if it does not come true.
fn until(what: &str, mut so: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !so() {
        assert!(begin.elapsed() < PATIENCE, "waited {PATIENCE:?} for {what}");
        std::thread::park_timeout(PAUSE);
    }
}

/// Sends a signal, such as `STOP`; a process that has ended takes none.
pub(crate) fn signal(process: u32, name: &str) {
    drop(Command::new("kill").args([format!("-{name}"), process.to_string()]).stderr(Stdio::null()).status());
}

/// The processes this one started and that still run.
pub(crate) fn children(process: u32) -> Vec<u32> {
    let list = std::fs::read_to_string(format!("/proc/{process}/task/{process}/children")).unwrap_or_default();
    list.split_whitespace().map(|id| id.parse().expect("a number")).collect()
}

/// A port nobody listens on.
pub(crate) fn free_port() -> u16 {
    loop {
        let (random, _) = Uuid::new_v4().as_u64_pair();
        let span = u64::from(PORTS.end - PORTS.start);
        let port = PORTS.start + u16::try_from(random % span).expect("less than the span");
        let free = |port| TcpListener::bind(("127.0.0.1", port)).is_ok();
        if free(port) && free(port + SECOND_PORT) {
            return port;
        }
    }
}

/// A new folder of the unprivileged user. Its path is short, since that of a socket ends at 107 bytes; it lies in
/// memory where there is enough of it, because there a sync costs nothing.
fn folder() -> PathBuf {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    static ROOT: LazyLock<(PathBuf, Child)> = LazyLock::new(|| {
        let fits = |folder: &&Path| tempfile::tempdir_in(folder).is_ok() && room_in(folder) > DATA;
        let memory = Some(Path::new("/dev/shm")).filter(fits);
        let above = memory.map_or_else(std::env::temp_dir, Path::to_path_buf);
        remove_stale(&above);
        let root = above.join(format!("{FOLDERS}{}", std::process::id()));
        make(&root);
        // It ends when this process has, because then its input does, and takes what is left behind.
        let remove = "cat; until rm -rf -- \"$0\" 2>/dev/null; do :; done";
        let mut keeper = Command::new("sh");
        keeper.args(["-c", remove]).arg(&root).process_group(0);
        let keeper = keeper.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().expect("sh");
        (root, keeper)
    });
    let folder = ROOT.0.join(NEXT.fetch_add(1, Ordering::Relaxed).to_string());
    make(&folder);
    folder
}

fn make(folder: &Path) {
    let mut mkdir = unprivileged(&program("mkdir", "coreutils"), "TERM");
    let made = mkdir.args(["-m", "711"]).arg(folder).status().expect("setpriv and mkdir");
    assert!(made.success(), "{} cannot be made", folder.display());
}

/// Takes away what processes left behind that could not: those whose keeper was killed as well.
fn remove_stale(above: &Path) {
    for entry in std::fs::read_dir(above).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let process = name.strip_prefix(FOLDERS).and_then(|number| number.parse::<u32>().ok());
        if process.is_some_and(|process| !Path::new("/proc").join(process.to_string()).exists()) {
            drop(std::fs::remove_dir_all(entry.path()));
        }
    }
}

/// A server as a child.
struct Daemon {
    child: Child,
    log: PathBuf,
}

impl Daemon {
    /// Starts it; all it says goes to the end of `log`.
    fn start(mut command: Command, log: PathBuf) -> Self {
        let file = std::fs::File::options().create(true).append(true).open(&log).expect("a log in the folder");
        command.stdin(Stdio::null()).stdout(file.try_clone().expect("a file")).stderr(file).process_group(0);
        let child = start(command).expect("the server can be started");
        Self { child, log }
    }

    /// Looks until it is ready; a server that ends instead fails with its log.
    fn ready(&mut self, what: &str, mut so: impl FnMut() -> bool) {
        let (child, log) = (&mut self.child, &self.log);
        until(what, || {
            if let Some(status) = child.try_wait().expect("a child") {
                panic!("{what}: it ended with {status}:\n{}", std::fs::read_to_string(log).unwrap_or_default());
            }
            so()
        });
    }

    /// Sends a signal to it and to what it started: to it first, because what is stopped starts no more.
    fn signal(&self, name: &str) {
        let id = self.child.id();
        let before = children(id);
        signal(id, name);
        for process in before.into_iter().chain(children(id)) {
            signal(process, name);
        }
    }

    /// `kill -9`, also of what it started, which would else finish what it is at.
    fn kill(&mut self) {
        let workers = children(self.child.id());
        self.signal("KILL");
        drop(self.child.wait());
        until("the children of a killed server to end", || {
            workers.iter().all(|process| !Path::new("/proc").join(process.to_string()).exists())
        });
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Free space there, in KiB; nothing if it cannot be told.
fn room_in(folder: &Path) -> u64 {
    let asked = Command::new("df").args(["-k", "--output=avail"]).arg(folder).output();
    let answer = asked.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    answer.lines().last().and_then(|line| line.trim().parse().ok()).unwrap_or(0)
}
