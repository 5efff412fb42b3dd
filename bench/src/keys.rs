//! A great many virtual keys, each under a limit of its own: how long the sidecar takes to start with them, what they take
//! there, and that Envoy's memory does not grow with the keys that call.
//!
//! Does not: tell the size of their table, which a test of the sidecar does; this is whole processes. What the sidecar took
//! while it read the file is in its number as far as its allocator has kept it.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use anyhow::{Result, ensure};
use sha2::{Digest, Sha256};
use tests::client::{Client, Dialect};
use tests::mock::Mock;
use tests::stack::StackOptions;

use crate::Args;
use crate::variant::{CONFIG, OPENAI, Whole};

pub(crate) const CASE: &str = "many keys";

/// Connections.
const CLIENTS: usize = 32;
/// Times that memory is looked at.
const LOOKS: usize = 5;

/// Starts with all keys and lets some of them call, once each. Returns the section of the results.
pub(crate) async fn run(args: &Args, mock: &Mock) -> Result<String> {
    mock.host(OPENAI).clear();
    let yaml = yaml(args.keys)?;
    // The sidecar renders by itself, else the file would be read here as well. Its first answers are slow, which nobody
    // measures.
    let options = StackOptions { push: Some(1), sidecar: "deadline: 10s", ..StackOptions::new(mock) };
    let whole = Whole::start("keys", &yaml, options).await?;
    // Again, and this time nothing else is started.
    whole.stack.kill_sidecar();
    let began = Instant::now();
    whole.stack.start_sidecar().await?;
    let (took, idle) = (began.elapsed().as_secs_f64(), mib(whole.stack.sidecar_memory()));
    let mut text = format!(
        "{} keys, each with a limit of its own, in a file of {} MB: `attache serve` takes {took:.1} s to start, and then\n\
         {idle} MiB of memory.\n\n",
        args.keys,
        yaml.len() / 1_000_000
    );
    writeln!(text, "| keys that have called | Envoy MiB | sidecar MiB |\n|---|---|---|")?;
    let mut called = 0;
    for look in 0..=LOOKS {
        let until = args.callers * look / LOOKS;
        calls(&whole, called, until).await?;
        called = until;
        mock.journal().clear();
        let (envoy, sidecar) = (mib(whole.stack.envoy_memory()), mib(whole.stack.sidecar_memory()));
        writeln!(text, "| {called} | {envoy} | {sidecar} |")?;
    }
    let settled = whole.settled(u64::try_from(args.callers)?).await?;
    ensure!(settled == u64::try_from(args.callers)?, "{} requests were answered and {settled} settled", args.callers);
    Ok(text)
}

fn mib(bytes: u64) -> u64 {
    bytes >> 20
}

fn secret(key: usize) -> String {
    format!("vk-{key}")
}

fn yaml(keys: usize) -> Result<String> {
    let mut text = format!("{CONFIG}auth: required\nvirtual_keys:\n");
    for key in 0..keys {
        write!(text, "- {{name: k{key}, secret: \"sha256:")?;
        Sha256::digest(secret(key)).iter().try_for_each(|byte| write!(text, "{byte:02x}"))?;
        writeln!(text, "\", limits: [{{requests: 1000000, per: 1d}}]}}")?;
    }
    Ok(text)
}

/// One call of each of these keys.
async fn calls(whole: &Whole, from: usize, to: usize) -> Result<()> {
    let next = Arc::new(AtomicUsize::new(from));
    let tasks = (0..CLIENTS).map(|_| {
        let (client, next) = (Client::h1(whole.variant.listen), Arc::clone(&next));
        tokio::spawn(async move {
            loop {
                let key = next.fetch_add(1, Ordering::Relaxed);
                if key >= to {
                    return Ok(());
                }
                let answer =
                    client.send(&Dialect::OpenAi.chat("same", "who are you?", false).key(&secret(key))).await?;
                ensure!(answer.status == 200, "key {key}: status {}: {}", answer.status, answer.text());
            }
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await??;
    }
    Ok(())
}
