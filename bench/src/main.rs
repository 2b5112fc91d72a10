//! Measures Tidings beside the floor and beside what else one might use, in one run: `tidings-bench --help`.
//! Everything is started, measured from outside and ended here, on this machine; README.md says how to read the result.
#![expect(clippy::cast_precision_loss, reason = "counts become figures; none is near 2^53")]

mod calls;
mod load;
mod measure;
mod options;
mod peers;
mod progress;
mod report;
mod rounds;
mod scenario;
mod serve;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};

pub(crate) use options::Options;

/// Why a measurement could not be made, for whoever started it.
pub(crate) type Failure = Box<dyn std::error::Error>;

/// Measures Tidings beside the floor and beside what else one might use.
#[derive(Parser)]
#[command(name = "tidings-bench", max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Messages to rooms full of subscribers: A, B and A-max
    FanOut(Options),
    /// Connections that do nothing: memory, and what it takes to connect
    Idle(Options),
    /// Polls of what has not changed, 12,000 each second
    Polls(Options),
    /// Acknowledged sends, in one room and in 20
    Sends(Options),
    /// 5,000 clients come back at once while others send
    Storm(Options),
    /// How cost grows: subscribers, rooms, instances, history, watched rooms (as --cases)
    Growth(Options),
    /// What polling by meta saves against reading the whole list
    Savings(Options),
    /// All of it
    All(Options),
    /// Draws the picture of the README from the results
    Picture {
        /// Where they are
        #[arg(long, default_value = options::RESULTS, value_name = "FOLDER")]
        results: PathBuf,
        /// Where it goes
        #[arg(long, default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/measured.svg"), value_name = "FILE")]
        to: PathBuf,
    },
    /// Prints the tables of the results again
    Tables {
        /// Where they are
        #[arg(long, default_value = options::RESULTS, value_name = "FOLDER")]
        results: PathBuf,
    },
    /// A server that a measurement starts for itself
    #[command(hide = true)]
    Serve { role: serve::Role },
}

/// Draws what fan-out and idle connections came to.
fn draw(results: &Path, to: &Path) -> Result<(), Failure> {
    let mut samples = report::Results::read(results, "fan-out")?.1;
    samples.extend(report::Results::read(results, "idle")?.1);
    Ok(std::fs::write(to, report::picture(&samples))?)
}

fn main() -> ExitCode {
    let done = match Arguments::parse().task {
        Task::FanOut(options) => rounds::fan_out(&options),
        Task::Idle(options) => rounds::idle(&options),
        Task::Polls(options) => rounds::polls(&options),
        Task::Sends(options) => rounds::sends(&options),
        Task::Storm(options) => rounds::storm(&options),
        Task::Growth(options) => rounds::growth(&options),
        Task::Savings(options) => rounds::savings(&options),
        Task::All(options) => rounds::all(&options),
        Task::Picture { results, to } => draw(&results, &to),
        Task::Tables { results } => rounds::tables(&results),
        Task::Serve { role } => serve::serve(role),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("\n{failure}");
            ExitCode::FAILURE
        }
    }
}
