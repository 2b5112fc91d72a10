//! A process of ours: pinned to a core if wanted, gone when this process is gone, however that ends.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use crate::Failure;

/// How long a server may take to listen.
const PATIENCE: Duration = Duration::from_secs(30);

/// How a process is to be started.
pub(crate) struct Plan {
    command: Vec<String>,
    program: PathBuf,
    environment: Vec<(String, String)>,
    folder: Option<PathBuf>,
    quiet: bool,
}

/// A process that runs until it is dropped.
pub(crate) struct Child {
    process: std::process::Child,
    lines: Receiver<String>,
    begun: Instant,
    /// From its start until it said where it listens.
    pub(crate) listened_after: Option<Duration>,
}

impl Child {
    /// A plan to start this program.
    #[expect(clippy::new_ret_no_self, reason = "the child is there once it is started")]
    pub(crate) fn new(program: &Path) -> Plan {
        let command = ["setpriv", "--pdeathsig", "KILL"].map(str::to_owned).to_vec();
        Plan { command, program: program.to_owned(), environment: Vec::new(), folder: None, quiet: false }
    }

    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    /// Waits for the line that names the address, `… 127.0.0.1:8080`.
    pub(crate) fn address(&mut self) -> Result<SocketAddr, Failure> {
        loop {
            let line = self.lines.recv_timeout(PATIENCE).map_err(|_| "a server did not say where it listens")?;
            if let Some(at) = line.find("127.0.0.1:")
                && let Ok(address) = line[at..].trim_end_matches('/').parse()
            {
                self.listened_after = Some(self.begun.elapsed());
                return Ok(address);
            }
        }
    }

    /// Asks it to end, and waits until it has.
    pub(crate) fn stop(mut self) {
        self.end("INT");
    }

    fn end(&mut self, signal: &str) {
        if matches!(self.process.try_wait(), Ok(None)) {
            let process = self.process.id().to_string();
            drop(Command::new("kill").args(["-s", signal, &process]).stderr(Stdio::null()).status());
        }
        drop(self.process.wait());
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.end("TERM");
    }
}

impl Plan {
    /// On these cores only, as `taskset` names them.
    pub(crate) fn pinned(mut self, cores: Option<&str>) -> Self {
        if let Some(cores) = cores {
            self.command.extend(["taskset", "-c", cores].map(str::to_owned));
        }
        self
    }

    /// As this user and group, if this process is root.
    pub(crate) fn user(mut self, user: Option<&(String, String)>) -> Self {
        if let Some((user, group)) = user {
            self.command.extend(["--reuid", user, "--regid", group, "--clear-groups"].map(str::to_owned));
        }
        self
    }

    /// Only when nothing else wants the core.
    pub(crate) fn idle(mut self) -> Self {
        self.command.extend(["chrt", "-i", "0"].map(str::to_owned));
        self
    }

    pub(crate) fn set(mut self, name: &str, value: impl Into<String>) -> Self {
        self.environment.push((name.to_owned(), value.into()));
        self
    }

    /// What it says on standard error is for nobody.
    pub(crate) fn quiet(mut self) -> Self {
        self.quiet = true;
        self
    }

    pub(crate) fn within(mut self, folder: &Path) -> Self {
        self.folder = Some(folder.to_owned());
        self
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.command[0]);
        command.args(&self.command[1..]).arg(&self.program).args(arguments);
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        if let Some(folder) = &self.folder {
            command.current_dir(folder);
        }
        command.stdin(Stdio::null());
        if self.quiet {
            command.stderr(Stdio::null());
        }
        command
    }

    pub(crate) fn start(self, arguments: &[&str]) -> Result<Child, Failure> {
        let mut command = self.command(arguments);
        let begun = Instant::now();
        let started = command.stdout(Stdio::piped()).spawn();
        let mut process = started.map_err(|error| format!("{}: {error}", self.program.display()))?;
        let (say, lines) = channel();
        if let Some(output) = process.stdout.take() {
            // Reads to the end, so that the server never waits for a reader.
            std::thread::spawn(move || {
                BufReader::new(output).lines().map_while(Result::ok).for_each(|line| drop(say.send(line)));
            });
        }
        Ok(Child { process, lines, begun, listened_after: None })
    }

    /// Runs it to its end.
    pub(crate) fn run(self, arguments: &[&str]) -> Result<(), Failure> {
        let output =
            self.command(arguments).output().map_err(|error| format!("{}: {error}", self.program.display()))?;
        if output.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        Err(format!("{} ended with {}: {said}", self.program.display(), output.status).into())
    }
}
