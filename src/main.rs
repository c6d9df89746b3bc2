//! guildstream: Discord guild events, live in the browser. One program; the first argument is its role.

use std::{
    fmt,
    future::Future,
    io::{self, Write as _},
    process::ExitCode,
    time::Duration,
};

use actix_web::rt::System;
use anyhow::{Context as _, bail};
use clap::Parser;
use guildstream::{
    config::{
        self, ConfigError, Environment, GatewayConfig, LogConfig, SandboxSettings, WebConfig,
        setting::{self, Role},
    },
    roles::{self, RoleError, RunningRole},
    shutdown::StopSignals,
    telemetry,
};
use guildstream_actors::event_log;
use log::{error, info};

/// Wrong usage or settings, as `EX_USAGE` in sysexits.h.
const EXIT_USAGE: u8 = 64;
/// The role failed for a reason that has no code of its own.
const EXIT_FAILURE: u8 = 1;
/// Service managers kill after ten seconds or more; by then everything here has had its chance.
const STOP_DEADLINE: Duration = Duration::from_secs(5);

/// Discord guild events, live in the browser.
#[derive(Debug, Parser)]
#[command(version, subcommand_required = true)]
enum Command {
    /// Hold the connection to Discord and serve the link
    #[command(after_help = setting::help(Role::Gateway))]
    Gateway,
    /// Follow a gateway and serve browsers
    #[command(after_help = setting::help(Role::Web))]
    Web,
    /// Be a Discord on this machine, for development and tests
    #[command(after_help = setting::help(Role::Sandbox))]
    Sandbox,
    /// Remove the events that the gateway role keeps in GATEWAY_STATE_DIR; stop it first
    Purge,
    /// Check a role's settings and print them, secrets left out
    Config {
        /// The role whose settings to check
        role: Role,
    },
}

fn main() -> ExitCode {
    // Every TLS connection of every library below takes the provider that is installed here.
    if rustls::crypto::ring::default_provider().install_default().is_err() {
        return fail("another TLS provider is installed already", EXIT_FAILURE);
    }
    let command = match Command::try_parse() {
        Ok(command) => command,
        Err(answer) => {
            // Help and version come this way too; a closed pipe is no reason to complain.
            let _ = answer.print();
            return if answer.use_stderr() { EXIT_USAGE.into() } else { ExitCode::SUCCESS };
        }
    };
    let environment = Environment::of_process();
    match command {
        Command::Gateway => {
            run(GatewayConfig::read(&environment), |config| &config.log, roles::gateway::start)
        }
        Command::Web => run(WebConfig::read(&environment), |config| &config.log, roles::web::start),
        Command::Sandbox => {
            run(SandboxSettings::read(&environment), |config| &config.log, roles::sandbox::start)
        }
        Command::Purge => purge(&environment),
        Command::Config { role } => print_config(role, &environment),
    }
}

/// Runs a role to its end and says how it ended.
fn run<C, F>(
    config: Result<C, ConfigError>,
    log_config: impl Fn(&C) -> &LogConfig,
    start: impl FnOnce(C) -> F,
) -> ExitCode
where
    F: Future<Output = Result<RunningRole, RoleError>>,
{
    let config = match config {
        Ok(config) => config,
        Err(mistakes) => return fail(mistakes, EXIT_USAGE),
    };
    telemetry::init(log_config(&config));
    match System::new().block_on(until_stopped(start(config))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            error!("{reason:#}");
            reason.downcast_ref().map_or(EXIT_FAILURE, RoleError::exit_code).into()
        }
    }
}

/// Ends when the role fails, or when it was asked to stop and has stopped, or did not manage to.
async fn until_stopped(starting: impl Future<Output = Result<RunningRole, RoleError>>) -> anyhow::Result<()> {
    let mut signals = StopSignals::listen().context("cannot listen for SIGTERM and SIGINT")?;
    let role = starting.await?;
    let asked = tokio::sync::Notify::new();
    let stop = async {
        // Not as the macro's argument: those are only evaluated when the level is logged.
        let signal = signals.next().await;
        info!("{signal} received: stopping");
        asked.notify_one();
    };
    let overdue = async {
        asked.notified().await;
        let mut again = StopSignals::listen()?;
        tokio::select! {
            () = tokio::time::sleep(STOP_DEADLINE) => bail!("not stopped after {STOP_DEADLINE:?}: leaving as it is"),
            signal = again.next() => bail!("{signal} received again: leaving as it is"),
        }
    };
    tokio::select! {
        ended = role.wait(stop) => ended?,
        ended = overdue => ended?,
    }
    info!("stopped");
    Ok(())
}

fn purge(environment: &Environment) -> ExitCode {
    let Some(dir) = config::gateway_state_dir(environment) else {
        return fail("GATEWAY_STATE_DIR is empty: nothing is kept on disk", EXIT_USAGE);
    };
    match event_log::purge(&dir) {
        Ok(files) => {
            let _ = writeln!(io::stdout(), "{files} files removed from {}", dir.display());
            ExitCode::SUCCESS
        }
        Err(error) => fail(error, EXIT_FAILURE),
    }
}

fn print_config(role: Role, environment: &Environment) -> ExitCode {
    let settings = config::effective(role, environment).join("\n");
    // A closed pipe is no reason to complain.
    let _ = writeln!(io::stdout(), "{settings}");
    match config::check(role, environment) {
        Ok(()) => ExitCode::SUCCESS,
        Err(mistakes) => fail(mistakes, EXIT_USAGE),
    }
}

/// Says why before there is a log.
fn fail(why: impl fmt::Display, code: u8) -> ExitCode {
    let _ = writeln!(io::stderr(), "guildstream: {why}");
    code.into()
}
