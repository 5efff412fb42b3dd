//! `attache serve -c FILE`.

use std::path::PathBuf;

use sidecar::push::source::Needs;
use sidecar::serve;

use super::{Failure, render};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The configuration. A change to it or to a secret of it is taken up while everything runs.
    #[arg(short, long, value_name = "FILE", default_value = "attache.yaml")]
    config: PathBuf,
    /// Renders for Envoy into this directory too, and pushes each change to the Envoy that watches it, in steps of which
    /// no request notices anything.
    #[arg(long, value_name = "DIR")]
    render: Option<PathBuf>,
    #[command(flatten, next_help_heading = "With --render")]
    envoy: render::Options,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    super::read(&args.config)?;
    let read = super::follow(&args.config, Needs { providers: args.render.is_some(), virtual_keys: true })?;
    let directory = args.render.as_ref().map(|output| args.envoy.directory(output)).transpose()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async { serve::run(read, directory, super::stopped()?).await })?;
    Ok(())
}
