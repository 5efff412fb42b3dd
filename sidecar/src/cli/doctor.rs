//! `attache doctor ADMIN_URL`.

use std::io::Write as _;
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::Uri;
use hyper::body::Bytes;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;
use sidecar::doctor;

use super::Failure;

/// An Envoy with thousands of clusters dumps some ten megabytes.
const LARGEST: usize = 256 << 20;
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
    let ask = async {
        let client = Client::builder(TokioExecutor::new()).build_http::<Empty<Bytes>>();
        let answer = client.get(url.clone()).await.with_context(|| format!("asking {url}"))?;
        if !answer.status().is_success() {
            bail!("{url} answered {}: is that Envoy's admin address?", answer.status());
        }
        let body = Limited::new(answer.into_body(), LARGEST).collect().await;
        Ok(body.map_err(|error| anyhow!(error)).with_context(|| format!("reading {url}"))?.to_bytes())
    };
    let body = tokio::time::timeout(PATIENCE, ask).await.map_err(|_| anyhow!("{admin} does not answer"))??;
    serde_json::from_slice(&body)
        .with_context(|| format!("{admin} answered something else: is that Envoy's admin address?"))
}
