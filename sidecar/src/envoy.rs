//! Asking Envoy's admin interface.
//!
//! Does not: change anything there, and does not know what the answers mean.

use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::Uri;
use hyper::body::Bytes;
use hyper_util::client::legacy::{Client, Error};
use hyper_util::rt::TokioExecutor;

/// An Envoy with thousands of clusters dumps some ten megabytes.
const LARGEST: usize = 256 << 20;

/// A page.
///
/// # Errors
/// Nobody is there, or the answer is none or too late. [`nobody`] tells the first from the others.
pub async fn page(url: &Uri, patience: Duration) -> anyhow::Result<Bytes> {
    let ask = async {
        let client = Client::builder(TokioExecutor::new()).build_http::<Empty<Bytes>>();
        let answer = client.get(url.clone()).await.with_context(|| format!("asking {url}"))?;
        if !answer.status().is_success() {
            bail!("{url} answered {}: is that Envoy's admin address?", answer.status());
        }
        let body = Limited::new(answer.into_body(), LARGEST).collect().await;
        Ok(body.map_err(|error| anyhow!(error)).with_context(|| format!("reading {url}"))?.to_bytes())
    };
    tokio::time::timeout(patience, ask).await.map_err(|_| anyhow!("{url} does not answer"))?
}

/// Does nobody listen there?
#[must_use]
pub fn nobody(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| cause.downcast_ref::<Error>().is_some_and(Error::is_connect))
}
