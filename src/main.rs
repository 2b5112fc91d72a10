//! The command: arguments, then the server until a signal or what else an operator asks for, then an exit code
//! (2: a setting, 3: a stop that cut something off, 1: another failure).

use std::pin::pin;
use std::process::ExitCode;

use clap::Parser;
use tidings::config::{self, Command, ConfigError, Supervisor};
use tidings::lifecycle::{self, StopSignal};
use tidings::operator::{self, Failure};
use tidings::server::{self, StartError};
use tidings::systemd::Systemd;
use tidings::telemetry::trace::Traces;
use tidings::{Config, Server, telemetry};

#[tokio::main]
async fn main() -> ExitCode {
    let config = Config::parse();
    let traces = match start_telemetry(&config) {
        Ok(traces) => traces,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::from(2);
        }
    };
    if let Err(error) = lifecycle::survive_file_size_limit() {
        tracing::warn!(%error, "a file size limit would end the process");
    }
    let done = match config.command.clone() {
        None | Some(Command::Serve) => serve(config, traces).await.map_err(Failure::from),
        Some(command) => {
            let done = operator::run(&config, command).await;
            traces.stop().await;
            done.map(|well| if well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
    };
    match done {
        Ok(code) => code,
        Err(failure) => {
            eprintln!("{failure}");
            ExitCode::from(failure.exit_code())
        }
    }
}

/// What a stop ends with that did not wait for all that was begun.
const CUT: u8 = 3;

/// Begins to log; a service that has a collector is traced as well.
fn start_telemetry(config: &Config) -> Result<Traces, ConfigError> {
    let serves = matches!(config.command, None | Some(Command::Serve));
    let recording = if serves { config.traces.recording()? } else { None };
    telemetry::start(&config.rust_log, config.log_format, recording.as_ref())
}

/// Serves until a signal; a second one cuts off what the stop would wait for.
#[expect(clippy::print_stdout, reason = "what people and scripts wait for")]
async fn serve(config: Config, traces: Traces) -> Result<ExitCode, StartError> {
    let systemd = Systemd::new(&Supervisor::from_environment()?, server::longest_look(&config))?;
    let connections = config.limits.max_connections;
    // Before there is anything to stop: whoever hears that it is ready may stop it at once.
    let mut stop_signal = StopSignal::listen().map_err(StartError::Signals)?;
    let server = tokio::select! {
        server = Server::start_on(config::passed_listener()?, config) => server?,
        () = stop_signal.received() => return Ok(ExitCode::SUCCESS),
    };
    lifecycle::take_open_files(connections);
    println!("Tidings is listening on {}", server.url());
    systemd.ready(&server.url());
    tokio::select! {
        () = stop_signal.received() => {}
        () = systemd.watch(|| server.is_alive()) => {}
    }
    tracing::info!("stopping");
    systemd.stopping(server.longest_stop());
    let mut stop = pin!(async {
        let ended = server.shut_down().await;
        traces.stop().await;
        ended
    });
    let ended = tokio::select! {
        ended = &mut stop => ended,
        // A stop has a deadline of its own, and accepts nothing any more.
        () = systemd.watch(async || true) => stop.await,
        () = stop_signal.received() => false,
    };
    if !ended {
        eprintln!("Stopped, but some work did not end in time and was cut off.");
        return Ok(ExitCode::from(CUT));
    }
    Ok(ExitCode::SUCCESS)
}
