//! `attache render envoy -c FILE -o DIR`.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Context as _;
use sidecar::render;

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
    /// Where to put the files; made if it is not there. Rendering again into it is how to push a change.
    #[arg(short, long, value_name = "DIR")]
    output: PathBuf,
    /// Directory in which Envoy will find the files, where that is not DIR, e.g. in a container.
    #[arg(long, value_name = "DIR")]
    at: Option<PathBuf>,
    /// The module, as Envoy will find it. Default: attache.wasm in the directory of the files.
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
    // Envoy takes relative paths from wherever it was started.
    let output = std::path::absolute(&args.output).context("the output directory")?;
    let at = args.at.clone().unwrap_or_else(|| output.clone());
    let wasm = match &args.wasm {
        Some(path) if args.at.is_none() => std::path::absolute(path).context("the module")?,
        Some(path) => path.clone(),
        None => at.join("attache.wasm"),
    };
    let ca = args.ca.clone();
    let options = render::Options { at, wasm, ca, admin: args.admin, resolve: args.resolve.clone() };
    let rendered = render::envoy(&loaded, &options)?;
    rendered.write(&output)?;
    let mut out = std::io::stdout().lock();
    for file in &rendered.files {
        writeln!(out, "{}", output.join(&file.path).display())?;
    }
    Ok(())
}
