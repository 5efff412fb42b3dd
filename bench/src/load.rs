//! A fixed number of requests, and the CPU time that Envoy spent on them.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context, Result, ensure};
use tests::client::{Call, Client};

use crate::variant::Variant;

/// Sends `requests` over `clients` connections. Returns nanoseconds of CPU per request.
pub(crate) async fn run(variant: &Variant, call: &Call, clients: usize, requests: usize) -> Result<f64> {
    let client = Client::h1(variant.listen);
    let left = Arc::new(AtomicUsize::new(requests));
    let before = cpu_nanos(variant.envoy)?;
    let tasks: Vec<_> =
        (0..clients).map(|_| tokio::spawn(until_none_left(client.clone(), call.clone(), Arc::clone(&left)))).collect();
    for task in tasks {
        task.await??;
    }
    let spent = cpu_nanos(variant.envoy)?.saturating_sub(before);
    Ok(to_f64(spent) / to_f64(u64::try_from(requests)?))
}

async fn until_none_left(client: Client, call: Call, left: Arc<AtomicUsize>) -> Result<()> {
    let take = |n: usize| n.checked_sub(1);
    while left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok() {
        let answer = client.send(&call).await?;
        ensure!(answer.status == 200 && answer.broken.is_none(), "status {}: {}", answer.status, answer.text());
    }
    Ok(())
}

/// Time on the processor of all threads of a process.
fn cpu_nanos(process: u32) -> Result<u64> {
    let mut sum = 0;
    for thread in std::fs::read_dir(format!("/proc/{process}/task")).context("Envoy is gone")? {
        let path: PathBuf = thread?.path().join("schedstat");
        let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        sum += text.split(' ').next().context("schedstat")?.parse::<u64>()?;
    }
    Ok(sum)
}

#[expect(clippy::cast_precision_loss, reason = "nanoseconds of seconds: far below 2^53")]
fn to_f64(n: u64) -> f64 {
    n as f64
}
