//! The command: arguments, then the server until a signal or what else an operator asks for, then an exit code
//! (2: a setting, 1: another failure).

use std::process::ExitCode;

use clap::Parser;
use tidings::config::Command;
use tidings::operator::{self, Failure};
use tidings::server::StartError;
use tidings::{Config, Server, lifecycle, telemetry};

#[tokio::main]
async fn main() -> ExitCode {
    let config = Config::parse();
    if let Err(error) = telemetry::start(&config.rust_log, config.log_format) {
        eprintln!("RUST_LOG: {error}");
        return ExitCode::from(2);
    }
    if let Err(error) = lifecycle::survive_file_size_limit() {
        tracing::warn!(%error, "a file size limit would end the process");
    }
    let done = match config.command.clone() {
        None | Some(Command::Serve) => serve(config).await.map_err(Failure::from),
        Some(command) => operator::run(&config, command).await,
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(failure) => {
            eprintln!("{failure}");
            ExitCode::from(failure.exit_code())
        }
    }
}

/// Serves until a signal; returns whether all that was begun has ended.
#[expect(clippy::print_stdout, reason = "what people and scripts wait for")]
async fn serve(config: Config) -> Result<bool, StartError> {
    let server = Server::start(config).await?;
    println!("Tidings is listening on {}", server.url());
    lifecycle::stop_signal().await.map_err(StartError::Signals)?;
    tracing::info!("stopping");
    let ended = server.shut_down().await;
    if !ended {
        eprintln!("Stopped, but some work did not end in time and was cut off.");
    }
    Ok(ended)
}
