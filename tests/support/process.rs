//! The program itself as a child: what an operator starts, reads and stops. Killed by its id when dropped.

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread::JoinHandle;
use std::time::Instant;

use super::DEADLINE;

/// A running program.
pub(crate) struct Process {
    child: Child,
    stdout: Receiver<String>,
    stderr: Option<JoinHandle<String>>,
}

impl Process {
    /// Starts it with these arguments and this environment, and no other.
    pub(crate) fn start(arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_tidings"))
            .args(arguments)
            .env_clear()
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program cannot be started");
        let (lines, stdout) = channel();
        let output = BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || output.lines().map_while(Result::ok).all(|line| lines.send(line).is_ok()));
        let mut errors = child.stderr.take().unwrap();
        let stderr = std::thread::spawn(move || {
            let mut text = String::new();
            drop(errors.read_to_string(&mut text));
            text
        });
        Self { child, stdout, stderr: Some(stderr) }
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

    /// Where it says it listens, once it does.
    pub(crate) fn address(&mut self) -> SocketAddr {
        let line = self.line("Tidings is listening on http://");
        let (_, address) = line.split_once("http://").unwrap();
        address.trim().trim_end_matches('/').parse().unwrap_or_else(|error| panic!("{error}: {line}"))
    }

    /// Sends a signal, such as `TERM`.
    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([format!("-{name}"), self.child.id().to_string()]).status();
        assert!(sent.is_ok_and(|status| status.success()), "the signal {name} cannot be sent");
    }

    /// Its number, for tools that ask for it.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// How it ended, and all of its standard error.
    pub(crate) fn ended(&mut self) -> (ExitStatus, String) {
        let start = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(start.elapsed() < DEADLINE, "waited {DEADLINE:?} for the program to end");
            std::thread::park_timeout(std::time::Duration::from_millis(5));
        };
        let errors = self.stderr.take().map(|reader| reader.join().unwrap_or_default());
        (status, errors.unwrap_or_default())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
