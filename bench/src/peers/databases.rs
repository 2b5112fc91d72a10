//! PostgreSQL and Redis of a measurement's own: on free ports, in a temporary folder, as an unprivileged user.
//! PostgreSQL keeps its defaults, so that every commit is synced; Redis keeps nothing.

use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::Child;
use crate::Failure;

const PATIENCE: Duration = Duration::from_secs(30);

/// Both, running.
pub(crate) struct Databases {
    postgres: (Child, u16),
    redis: Option<(Child, u16)>,
    _folder: TempDir,
}

impl Databases {
    pub(crate) fn start(with_redis: bool) -> Result<Self, Failure> {
        let folder = tempfile::Builder::new().prefix("tidings-bench-").tempdir()?;
        std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o777))?;
        let postgres = postgres(folder.path())?;
        let redis = if with_redis { Some(redis()?) } else { None };
        Ok(Self { postgres, redis, _folder: folder })
    }

    /// What leads an instance to them.
    pub(crate) fn settings(&self) -> Vec<(&'static str, String)> {
        let postgres = format!("postgres://postgres@127.0.0.1:{}/postgres", self.postgres.1);
        let redis = self.redis.as_ref().map(|(_, port)| ("REDIS_URL", format!("redis://127.0.0.1:{port}")));
        [Some(("DATABASE_URL", postgres)), redis].into_iter().flatten().collect()
    }

    pub(crate) fn processes(&self) -> Vec<u32> {
        let redis = self.redis.as_ref().map(|(child, _)| child.id());
        [Some(self.postgres.0.id()), redis].into_iter().flatten().collect()
    }
}

fn postgres(folder: &Path) -> Result<(Child, u16), Failure> {
    let user = unprivileged();
    let data = folder.join("postgres");
    let data = data.to_str().ok_or("the temporary folder's name is no text")?;
    let begin = |name| -> Result<_, Failure> {
        Ok(Child::new(&program(name, "postgresql")?).within(Path::new("/")).user(user.as_ref()))
    };
    begin("initdb")?.run(&["-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "-D", data])?;
    let port = free_port()?;
    let number = port.to_string();
    let settings = ["-k", "", "-c", "listen_addresses=127.0.0.1", "-c", "max_connections=200"];
    let child = begin("postgres")?.quiet().start(&[&["-D", data, "-p", &number], &settings[..]].concat())?;
    listening(port, "PostgreSQL")?;
    Ok((child, port))
}

fn redis() -> Result<(Child, u16), Failure> {
    let port = free_port()?;
    let number = port.to_string();
    let program = program("redis-server", "redis-server")?;
    let arguments = ["--port", &number, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"];
    let child = Child::new(&program).user(unprivileged().as_ref()).start(&arguments)?;
    listening(port, "Redis")?;
    Ok((child, port))
}

/// A port nobody listens on.
pub(crate) fn free_port() -> Result<u16, Failure> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}

/// Waits until someone listens there.
pub(crate) fn listening(port: u16, what: &str) -> Result<(), Failure> {
    let begin = Instant::now();
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        if begin.elapsed() > PATIENCE {
            return Err(format!("{what} did not listen within {PATIENCE:?}").into());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// Where a program is: on the PATH, or where Debian keeps the newest PostgreSQL's.
pub(crate) fn program(name: &str, package: &str) -> Result<PathBuf, Failure> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = std::env::split_paths(&path).chain(["/usr/sbin".into()]).collect();
    let mut versions: Vec<PathBuf> =
        std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    versions.sort_by_key(|folder| folder.file_name()?.to_str()?.parse::<u32>().ok());
    folders.extend(versions.into_iter().rev().map(|folder| folder.join("bin")));
    let found = folders.into_iter().map(|folder| folder.join(name)).find(|path| path.is_file());
    found.ok_or_else(|| format!("{name} is not installed; on Debian: apt-get install {package}").into())
}

/// The user and group that need no rights, if this process is root: PostgreSQL refuses to run as root.
fn unprivileged() -> Option<(String, String)> {
    let id = |arguments: &[&str]| {
        let output = Command::new("id").args(arguments).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    if id(&["-u"]).as_deref() != Some("0") {
        return None;
    }
    let (user, group) =
        if id(&["-u", "postgres"]).is_some() { ("postgres", "postgres") } else { ("nobody", "nogroup") };
    Some((user.to_owned(), group.to_owned()))
}
