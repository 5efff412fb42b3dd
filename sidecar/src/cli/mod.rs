//! Subcommands of `attache`.
//!
//! Does not: hold logic of its own; each subcommand reads the file and calls the library.

mod check;
mod render;
mod serve;

use std::io::Write as _;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use engine::config::Fault;

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
  1  the configuration is fine, but something around it is not: a secret, a file, an address
  2  wrong usage, or faults in the configuration, all of which are printed";

#[derive(Debug, Subcommand)]
enum Command {
    /// Reads a configuration and prints every fault, one a line.
    Check(check::Args),
    /// Renders what a host needs to run the configuration.
    Render(render::Args),
    /// Runs the sidecar: admits keys, keeps count.
    Serve(serve::Args),
}

/// Why a subcommand ended early.
enum Failure {
    /// Faults in the configuration.
    Faults(Vec<Fault>),
    /// Anything else.
    Other(anyhow::Error),
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
        Command::Render(args) => render::run(&args),
        Command::Serve(args) => serve::run(&args),
    };
    // If stderr is closed, the exit code still tells.
    let mut err = std::io::stderr().lock();
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Faults(faults)) => {
            for fault in faults {
                let _closed = writeln!(err, "{fault}");
            }
            ExitCode::from(2)
        }
        Err(Failure::Other(error)) => {
            let _closed = writeln!(err, "attache: {error:#}");
            ExitCode::FAILURE
        }
    }
}
