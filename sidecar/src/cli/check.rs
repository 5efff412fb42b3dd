//! `attache check FILE`.

use std::io::Write as _;
use std::path::PathBuf;

use super::Failure;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The configuration.
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let loaded = super::read(&args.file)?;
    let snapshot = &loaded.snapshot;
    writeln!(
        std::io::stdout().lock(),
        "ok: {}, {}, {}, {}",
        count(snapshot.providers.len(), "provider"),
        count(snapshot.lanes.len(), "provider key"),
        count(snapshot.models.len(), "model"),
        count(loaded.virtual_keys.len(), "virtual key"),
    )?;
    Ok(())
}

fn count(n: usize, noun: &str) -> String {
    format!("{n} {noun}{}", if n == 1 { "" } else { "s" })
}
