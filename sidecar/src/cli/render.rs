//! `attache render envoy -c FILE -o DIR`.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use sidecar::push::Follower;
use sidecar::push::source::Needs;
use sidecar::render;
use sidecar::render::push::Directory;
use sidecar::serve::logs;
use sidecar::serve::metrics::Metrics;

use super::Failure;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    host: Host,
}

#[derive(Debug, clap::Subcommand)]
enum Host {
    /// A bootstrap and the files it watches. Secrets are read now and written to DIR/sds, readable by their owner only.
    Envoy(Envoy),
}

#[derive(Debug, clap::Args)]
struct Envoy {
    /// The configuration.
    #[arg(short, long, value_name = "FILE", default_value = "attache.yaml")]
    config: PathBuf,
    /// Where to put the files; made if it is not there. Rendering again into it replaces them all at once; under traffic
    /// use --watch, or `attache serve --render`.
    #[arg(short, long, value_name = "DIR")]
    output: PathBuf,
    /// Goes on: pushes each change of the configuration or a secret of it, in steps of which no request notices anything.
    #[arg(long)]
    watch: bool,
    #[command(flatten)]
    envoy: Options,
}

/// What the rendering depends on besides the configuration.
#[derive(Debug, clap::Args)]
pub(super) struct Options {
    /// Directory in which Envoy will find the files, where that is not DIR, e.g. in a container.
    #[arg(long, value_name = "DIR")]
    at: Option<PathBuf>,
    /// The module, as Envoy will find it. Default: attache.wasm in the directory of the files. What follows changes gives
    /// Envoy a copy in that directory, and follows this file too, if it can be read here.
    #[arg(long, value_name = "PATH")]
    wasm: Option<PathBuf>,
    /// Certificates that providers' certificates are trusted by.
    #[arg(long, value_name = "FILE", default_value = "/etc/ssl/certs/ca-certificates.crt")]
    ca: PathBuf,
    /// Envoy's own admin address; loopback only.
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:9901", value_parser = loopback)]
    admin: SocketAddr,
    /// Address of a provider's host in place of DNS, for tests. TLS still checks the name. May be repeated.
    #[arg(long, value_name = "HOST=IP:PORT", value_parser = resolve)]
    resolve: Vec<(String, SocketAddr)>,
    /// Seconds that a removed provider key still serves requests which were planned with it; after that they go on to
    /// their next candidate.
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    grace: u64,
}

impl Options {
    /// Where to put the files, and what to write into them.
    fn resolved(&self, output: &Path) -> anyhow::Result<(PathBuf, render::Options)> {
        // Envoy takes relative paths from wherever it was started.
        let output = std::path::absolute(output).context("the output directory")?;
        let at = self.at.clone().unwrap_or_else(|| output.clone());
        let wasm = match &self.wasm {
            Some(path) if self.at.is_none() => std::path::absolute(path).context("the module")?,
            Some(path) => path.clone(),
            None => at.join("attache.wasm"),
        };
        let (ca, admin, resolve) = (self.ca.clone(), self.admin, self.resolve.clone());
        Ok((output, render::Options { at, wasm, module: String::new(), ca, admin, resolve }))
    }

    /// A directory to push into.
    pub(super) fn directory(&self, output: &Path) -> anyhow::Result<Directory> {
        let (output, options) = self.resolved(output)?;
        let module = self.wasm.clone().unwrap_or_else(|| output.join("attache.wasm"));
        Ok(Directory::new(output, options, module, Duration::from_secs(self.grace)))
    }
}

fn loopback(text: &str) -> Result<SocketAddr, String> {
    let address: SocketAddr = text.parse().map_err(|_| "expected IP:PORT".to_owned())?;
    if address.ip().is_loopback() { Ok(address) } else { Err("expected a loopback address".to_owned()) }
}

fn resolve(text: &str) -> Result<(String, SocketAddr), String> {
    let (host, address) = text.split_once('=').ok_or("expected HOST=IP:PORT")?;
    Ok((host.to_ascii_lowercase(), address.parse().map_err(|_| "expected IP:PORT after =")?))
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let Host::Envoy(args) = &args.host;
    let loaded = super::read(&args.config)?;
    if args.watch {
        return watch(args);
    }
    let (output, options) = args.envoy.resolved(&args.output)?;
    let rendered = render::envoy(&loaded, &options)?;
    rendered.write(&output)?;
    let mut out = std::io::stdout().lock();
    for file in &rendered.files {
        writeln!(out, "{}", output.join(&file.path).display())?;
    }
    Ok(())
}

fn watch(args: &Envoy) -> Result<(), Failure> {
    logs::init();
    let read = super::follow(&args.config, Needs { providers: true, virtual_keys: false })?;
    let directory = args.envoy.directory(&args.output)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let follower = Follower::start(read, Some(directory), None, Arc::new(Metrics::by_this_machine()?)).await?;
        tracing::info!(directory = %args.output.display(), "rendered; following the configuration");
        tokio::select! {
            never = follower.run() => match never {},
            () = super::stopped()? => anyhow::Ok(()),
        }
    })?;
    Ok(())
}
