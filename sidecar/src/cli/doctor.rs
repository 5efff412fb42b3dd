//! `attache doctor ADMIN_URL`.

use std::io::Write as _;
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use hyper::Uri;
use serde_json::Value;
use sidecar::{doctor, envoy};

use super::Failure;

const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Envoy's admin interface, e.g. http://127.0.0.1:9901.
    #[arg(value_name = "ADMIN_URL")]
    admin: String,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (server, dump) = runtime.block_on(async {
        let server = get(&args.admin, "/server_info").await?;
        let dump = get(&args.admin, "/config_dump?include_eds").await?;
        anyhow::Ok((server, dump))
    })?;
    let found = doctor::examine(&server, &dump);
    let mut out = std::io::stdout().lock();
    for finding in &found {
        writeln!(out, "{finding}")?;
    }
    match found.len() {
        0 => Ok(writeln!(out, "{}: nothing found", args.admin)?),
        n => Err(Failure::Other(anyhow!("{n} found in {}", args.admin))),
    }
}

async fn get(admin: &str, path: &str) -> anyhow::Result<Value> {
    let admin = if admin.contains("://") { admin.to_owned() } else { format!("http://{admin}") };
    let url: Uri = format!("{}{path}", admin.trim_end_matches('/')).parse().context("ADMIN_URL")?;
    if url.scheme_str() != Some("http") {
        bail!("ADMIN_URL: found {admin}, expected http://HOST:PORT (Envoy's admin interface has no TLS)");
    }
    let body = envoy::page(&url, PATIENCE).await?;
    serde_json::from_slice(&body)
        .with_context(|| format!("{admin} answered something else: is that Envoy's admin address?"))
}
