//! Results as data: a line of JSON for each sample, after one for the machine they were measured on.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use super::Sample;
use crate::Failure;
use crate::options::cores;

/// What was measured on.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Machine {
    /// Seconds since 1970.
    pub(crate) at: u64,
    pub(crate) processor: String,
    pub(crate) cores: usize,
    pub(crate) kernel: String,
    /// The command that was run.
    pub(crate) command: String,
    /// Of what was measured, by name.
    pub(crate) versions: Vec<(String, String)>,
}

impl Machine {
    pub(crate) fn look(versions: Vec<(String, String)>) -> Self {
        let processors = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let processor = processors.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
        Self {
            at: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()),
            processor: processor.map(|(_, name)| name.to_owned()).unwrap_or_default(),
            cores: cores(),
            kernel: said("uname", &["-r"]),
            command: without_paths(std::env::args().skip(1)),
            versions,
        }
    }
}

/// The command line, but for where things lie on this machine.
fn without_paths(arguments: impl Iterator<Item = String>) -> String {
    let is_place = |argument: &str| ["--binary", "--results"].iter().any(|name| argument.starts_with(name));
    let (mut kept, mut is_value) = (Vec::new(), false);
    for argument in arguments {
        let skipped = is_value || is_place(&argument);
        is_value = is_place(&argument) && !argument.contains('=');
        if !skipped {
            kept.push(argument);
        }
    }
    kept.join(" ")
}

/// The first line a program prints.
pub(crate) fn said(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    let text = output.map(|output| [output.stdout, output.stderr].concat()).unwrap_or_default();
    String::from_utf8_lossy(&text).lines().next().unwrap_or_default().to_owned()
}

/// A file of results.
pub(crate) struct Results {
    path: Option<PathBuf>,
    pub(crate) samples: Vec<Sample>,
}

impl Results {
    /// A new file for a scenario, in the place of one that was there.
    pub(crate) fn new(folder: &Path, scenario: &str, machine: &Machine) -> Result<Self, Failure> {
        fs::create_dir_all(folder)?;
        let path = folder.join(format!("{scenario}.jsonl"));
        fs::write(&path, serde_json::to_string(machine)? + "\n")?;
        Ok(Self { path: Some(path), samples: Vec::new() })
    }

    /// None that are kept.
    pub(crate) fn none() -> Self {
        Self { path: None, samples: Vec::new() }
    }

    /// What was measured of a scenario, and on which machine.
    pub(crate) fn read(folder: &Path, scenario: &str) -> Result<(Machine, Vec<Sample>), Failure> {
        let path = folder.join(format!("{scenario}.jsonl"));
        let text = fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        let mut lines = text.lines();
        let machine = serde_json::from_str(lines.next().ok_or("an empty file of results")?)?;
        let samples = lines.map(serde_json::from_str).collect::<Result<_, _>>()?;
        Ok((machine, samples))
    }

    /// Keeps a sample at once, so that a run that is broken off loses nothing.
    pub(crate) fn add(&mut self, sample: Sample) -> Result<(), Failure> {
        if let Some(path) = &self.path {
            let mut file = File::options().append(true).open(path)?;
            writeln!(file, "{}", serde_json::to_string(&sample)?)?;
        }
        self.samples.push(sample);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_kept_without_the_places_of_one_machine() {
        let line = "fan-out --binary /a/b --seconds 5 --results=/c --rounds 3 --binary=/d --peers floor";
        assert_eq!(without_paths(line.split(' ').map(str::to_owned)), "fan-out --seconds 5 --rounds 3 --peers floor");
    }
}
