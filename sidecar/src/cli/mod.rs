//! Subcommands of `attache`.
//!
//! Does not: hold logic of its own; each subcommand reads the file and calls the library.

mod check;
mod doctor;
mod key;
mod ledger;
mod render;
mod schema;
mod serve;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use engine::config::{Fault, Loaded};
use sidecar::push::Follower;
use sidecar::push::source::{Config, Needs, Source};
use tokio::signal::unix::{SignalKind, signal};

/// Attaché: LLM egress inside Envoy. Configuration, rendering, and the sidecar.
#[derive(Debug, Parser)]
#[command(name = "attache", version, after_help = EXIT_CODES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  the configuration is fine, but something around it is not: a secret, a file, an address, an Envoy
  2  wrong usage, or faults in the configuration, all of which are printed";

#[derive(Debug, Subcommand)]
enum Command {
    /// Reads a configuration and prints every fault, one a line.
    Check(check::Args),
    /// Reads the configuration a running Envoy took and prints what would break, each with the lines that mend it.
    Doctor(doctor::Args),
    /// Makes a virtual key, or what stands for one in a configuration.
    Key(key::Args),
    /// Shows or sets back the clock that limits go by.
    Ledger(ledger::Args),
    /// Renders what a host needs to run the configuration.
    Render(render::Args),
    /// Prints the JSON Schema of a configuration, for editors.
    Schema(schema::Args),
    /// Runs the sidecar: admits keys, keeps count.
    Serve(serve::Args),
}

/// Why a subcommand ended early.
enum Failure {
    /// Faults in this configuration.
    Faults(PathBuf, Vec<Fault>),
    /// Anything else.
    Other(anyhow::Error),
}

/// The configuration of this file.
fn read(file: &Path) -> Result<Loaded, Failure> {
    sidecar::read::file(file).map_err(|faults| Failure::Faults(file.to_owned(), faults))
}

/// The configuration of this file and its secrets, to be followed.
fn follow(file: &Path, needs: Needs) -> Result<(Source, Config), Failure> {
    Follower::read(file.to_owned(), needs).map_err(|faults| Failure::Other(anyhow::anyhow!("{}", faults.join("\n"))))
}

/// Waits for SIGTERM or SIGINT.
fn stopped() -> std::io::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

impl<E: Into<anyhow::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Other(error.into())
    }
}

/// Runs the command line of this process.
pub(crate) fn run() -> ExitCode {
    let ended = match Cli::parse().command {
        Command::Check(args) => check::run(&args),
        Command::Doctor(args) => doctor::run(&args),
        Command::Key(args) => key::run(&args),
        Command::Ledger(args) => ledger::run(&args),
        Command::Render(args) => render::run(&args),
        Command::Schema(args) => schema::run(&args),
        Command::Serve(args) => serve::run(&args),
    };
    // If stderr is closed, the exit code still tells.
    let mut err = std::io::stderr().lock();
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Faults(file, faults)) => {
            for fault in faults {
                // `FILE:LINE:COLUMN: …` is what editors and terminals take for a link.
                let gap = if fault.place.is_some() { "" } else { " " };
                let _closed = writeln!(err, "{}:{gap}{fault}", file.display());
            }
            ExitCode::from(2)
        }
        Err(Failure::Other(error)) => {
            let _closed = writeln!(err, "attache: {error:#}");
            ExitCode::FAILURE
        }
    }
}
