//! A fixed number of requests, the CPU time that Envoy spent on them, and how long clients waited.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use tests::client::{Call, Client};

use crate::variant::Variant;

/// What one turn of a variant cost.
#[derive(Debug)]
pub(crate) struct Cost {
    /// Nanoseconds of CPU per request.
    pub(crate) cpu: f64,
    /// What each client waited: for a stream until its first content, else until the whole answer.
    pub(crate) waits: Vec<Duration>,
}

/// Sends `requests` over `clients` connections, each as soon as the one before it is answered.
pub(crate) async fn run(variant: &Variant, call: &Call, clients: usize, requests: usize) -> Result<Cost> {
    let client = Client::h1(variant.listen);
    let left = Arc::new(AtomicUsize::new(requests));
    let before = cpu_nanos(variant.envoy)?;
    let tasks: Vec<_> =
        (0..clients).map(|_| tokio::spawn(until_none_left(client.clone(), call.clone(), Arc::clone(&left)))).collect();
    let mut waits = Vec::with_capacity(requests);
    for task in tasks {
        waits.extend(task.await??);
    }
    let spent = cpu_nanos(variant.envoy)?.saturating_sub(before);
    Ok(Cost { cpu: to_f64(spent) / to_f64(u64::try_from(requests)?), waits })
}

async fn until_none_left(client: Client, call: Call, left: Arc<AtomicUsize>) -> Result<Vec<Duration>> {
    let take = |n: usize| n.checked_sub(1);
    let mut waits = Vec::new();
    while left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok() {
        let sent = Instant::now();
        let answer = client.send(&call).await?;
        let whole = sent.elapsed();
        ensure!(answer.status == 200 && answer.broken.is_none(), "status {}: {}", answer.status, answer.text());
        let streamed = answer.header("content-type").starts_with("text/event-stream");
        let first = answer.chunks.iter().find(|(_, chunk)| streamed && has_content(chunk));
        waits.push(first.map_or(whole, |(at, _)| at.saturating_duration_since(sent)));
    }
    Ok(waits)
}

/// The roles and beginnings before it tell a reader nothing, and the gateway holds them.
fn has_content(piece: &[u8]) -> bool {
    const ANTHROPIC: &[u8] = b"\"text_delta\"";
    const OPENAI: &[u8] = b"\"content\":\"";
    let with_text = |at: &[u8]| at.strip_prefix(OPENAI).is_some_and(|text| text.first() != Some(&b'"'));
    (0..piece.len()).filter_map(|at| piece.get(at..)).any(|at| at.starts_with(ANTHROPIC) || with_text(at))
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
