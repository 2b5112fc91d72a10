//! The program itself as a child: what an operator starts, reads and stops. Killed by its id when dropped.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::process::{Child, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::DEADLINE;
use super::{discretion, services};

/// Where it is.
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_tidings");

/// How long a program may take that does one thing and ends.
const PATIENCE: Duration = DEADLINE.saturating_mul(12);

/// A running program.
pub(crate) struct Process {
    child: Child,
    stdout: Receiver<String>,
    stderr: Option<JoinHandle<()>>,
    log: Arc<Mutex<String>>,
}

impl Process {
    /// Starts it with these arguments and this environment, and no other.
    pub(crate) fn start(arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        Self::by(&[&[PROGRAM], arguments].concat(), Stdio::null(), environment)
    }

    /// The same with this on its standard input.
    pub(crate) fn fed(arguments: &[&str], environment: &[(&str, &str)], input: &str) -> Self {
        let mut process = Self::by(&[&[PROGRAM], arguments].concat(), Stdio::piped(), environment);
        let (mut feed, input) = (process.child.stdin.take().unwrap(), input.to_owned());
        // One that ends before it has read all of it wants no more.
        std::thread::spawn(move || drop(feed.write_all(input.as_bytes())));
        process
    }

    /// The same by a command that in the end becomes or starts the program, with this input.
    pub(crate) fn by(words: &[impl AsRef<OsStr>], input: Stdio, environment: &[(&str, &str)]) -> Self {
        discretion::environment(environment.iter().copied());
        discretion::arguments(words);
        let mut command = services::mortal("KILL");
        command.args(words).env_clear().envs(environment.iter().copied());
        command.stdin(input).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = services::start(command).expect("the program can be started");
        let (lines, stdout) = channel();
        let output = BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || output.lines().map_while(Result::ok).all(|line| lines.send(line).is_ok()));
        let errors = BufReader::new(child.stderr.take().unwrap());
        let log = Arc::new(Mutex::new(String::new()));
        let written = log.clone();
        let stderr = std::thread::spawn(move || {
            for line in errors.lines().map_while(Result::ok) {
                discretion::keep_line(&line);
                *written.lock().unwrap() += &(line + "\n");
            }
        });
        Self { child, stdout, stderr: Some(stderr), log }
    }

    /// The next line of standard output that contains this.
    pub(crate) fn line(&mut self, part: &str) -> String {
        let start = Instant::now();
        let mut seen = Vec::new();
        loop {
            match self.stdout.recv_timeout(DEADLINE.saturating_sub(start.elapsed())) {
                Ok(line) if line.contains(part) => return line,
                Ok(line) => seen.push(line),
                Err(RecvTimeoutError::Timeout) => panic!("waited {DEADLINE:?} for a line with {part:?}, saw {seen:#?}"),
                Err(RecvTimeoutError::Disconnected) => {
                    let (status, errors) = self.ended();
                    panic!("ended with {status} before a line with {part:?}; saw {seen:#?}\n{errors}");
                }
            }
        }
    }

    /// How it ended, and all of its standard output and standard error. It may take a while, but not forever.
    pub(crate) fn output(&mut self) -> (ExitStatus, Vec<String>, String) {
        let (begin, mut lines) = (Instant::now(), Vec::new());
        loop {
            match self.stdout.recv_timeout(PATIENCE.saturating_sub(begin.elapsed())) {
                Ok(line) => lines.push(line),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => panic!("waited {PATIENCE:?} for its end; it said {}", self.log()),
            }
        }
        let (status, errors) = self.ended();
        (status, lines, errors)
    }

    /// Where it says it listens, once it does.
    pub(crate) fn address(&mut self) -> SocketAddr {
        let line = self.line("Tidings is listening on http://");
        let (_, address) = line.split_once("http://").unwrap();
        address.trim().trim_end_matches('/').parse().unwrap_or_else(|error| panic!("{error}: {line}"))
    }

    /// Sends a signal, such as `TERM`.
    pub(crate) fn signal(&self, name: &str) {
        services::signal(self.id(), name);
    }

    /// Its number, for tools that ask for it; that of the program itself, whoever started it.
    pub(crate) fn id(&self) -> u32 {
        let mut id = self.child.id();
        while let Some(&started) = services::children(id).first() {
            id = started;
        }
        id
    }

    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// What it has written to standard error so far.
    pub(crate) fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// How it ended, and all of its standard error.
    pub(crate) fn ended(&mut self) -> (ExitStatus, String) {
        let start = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(start.elapsed() < DEADLINE, "waited {DEADLINE:?} for the program to end");
            std::thread::park_timeout(Duration::from_millis(5));
        };
        if let Some(reader) = self.stderr.take() {
            reader.join().unwrap();
        }
        (status, self.log())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
