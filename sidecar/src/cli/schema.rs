//! `attache schema`.

use std::io::Write as _;

use engine::config;
use sidecar::reference;

use super::Failure;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// A page for people instead.
    #[arg(long)]
    markdown: bool,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let schema = config::json_schema();
    let text = if args.markdown { reference::markdown(&schema) } else { format!("{schema:#}\n") };
    std::io::stdout().lock().write_all(text.as_bytes())?;
    Ok(())
}
