//! The command: arguments, then the server until a signal, then an exit code (2: a setting, 1: another failure).

use std::process::ExitCode;

use clap::Parser;
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
    match run(config).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => {
            eprintln!("Stopped, but some work did not end in time and was cut off.");
            ExitCode::FAILURE
        }
        Err(error @ StartError::Config(_)) => {
            eprintln!("{error}");
            ExitCode::from(2)
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

#[expect(clippy::print_stdout, reason = "the one line that people and scripts wait for")]
async fn run(config: Config) -> Result<bool, StartError> {
    let server = Server::start(config).await?;
    println!("Tidings is listening on {}", server.url());
    lifecycle::stop_signal().await.map_err(StartError::Signals)?;
    tracing::info!("stopping");
    Ok(server.shut_down().await)
}
