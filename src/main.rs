//! The command: arguments, then the server until a signal or what else an operator asks for, then an exit code
//! (2: a setting, 1: another failure).

use std::pin::pin;
use std::process::ExitCode;

use clap::Parser;
use serde_json::json;
use tidings::config::{self, Command, ConfigError, Identity, Supervisor};
use tidings::lifecycle::{self, StopSignal};
use tidings::server::{self, StartError};
use tidings::systemd::Systemd;
use tidings::{Config, Server, auth, telemetry};

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

/// Returns whether all that was begun has ended.
#[expect(clippy::print_stdout, reason = "what people and scripts wait for")]
async fn run(config: Config) -> Result<bool, StartError> {
    match &config.command {
        None => return serve(config).await,
        Some(Command::Migrate) => {
            server::migrate(&config).await?;
            println!("The schema is up to date.");
        }
        Some(Command::RenewHistory) => println!("The history is now {}.", server::renew_history(&config).await?),
        Some(command @ Command::Token { .. }) => println!("{}", token(&config, command)?),
    }
    Ok(true)
}

/// Serves until a signal; returns whether all that was begun has ended.
#[expect(clippy::print_stdout, reason = "what people and scripts wait for")]
async fn serve(config: Config) -> Result<bool, StartError> {
    let systemd = Systemd::new(&Supervisor::from_environment()?, server::longest_look(&config))?;
    let connections = config.limits.max_connections;
    // Before there is anything to stop: whoever hears that it is ready may stop it at once.
    let mut stop_signal = StopSignal::listen().map_err(StartError::Signals)?;
    let server = tokio::select! {
        server = Server::start_on(config::passed_listener()?, config) => server?,
        () = stop_signal.received() => return Ok(true),
    };
    lifecycle::take_open_files(connections);
    println!("Tidings is listening on {}", server.url());
    systemd.ready(&server.url());
    tokio::select! {
        () = stop_signal.received() => {}
        () = systemd.watch(|| server.is_alive()) => {}
    }
    tracing::info!("stopping");
    systemd.stopping();
    let mut stop = pin!(server.shut_down());
    Ok(tokio::select! {
        ended = &mut stop => ended,
        // A stop has a deadline of its own, and accepts nothing any more.
        () = systemd.watch(async || true) => stop.await,
    })
}

/// A token as the application would sign it.
fn token(config: &Config, command: &Command) -> Result<String, ConfigError> {
    let Command::Token { user, application, name, role, days } = command else { return Ok(String::new()) };
    let unsigned = || ConfigError::new("JWT_SECRET", "is needed to sign a token with");
    let Identity::Tokens(tokens) = config.identity()? else { return Err(unsigned()) };
    let mut claims = json!({ "exp": auth::in_days(*days) });
    let scope = application.then(|| auth::application_scope().to_owned());
    let settings = &config.identity;
    for (claim, value) in [
        ("sub", user),
        ("scope", &scope),
        (&settings.claim_name, name),
        (&settings.claim_role, role),
        ("iss", &tokens.issuer),
        ("aud", &tokens.audience),
    ] {
        if let Some(value) = value {
            claims[claim] = json!(value);
        }
    }
    auth::mint_for(&tokens, &claims).ok_or_else(unsigned)
}
