//! `make demo`: the whole product on loopback, an outage in the middle of it, and a table of what became of each request.
//!
//! Does not: need a provider, a key or a network. Everything but the providers is real.
//!
//! Decision: what is printed of a try comes from the sidecar's ledger and what is printed of an answer from the client,
//! so the table shows two ends that know nothing of each other, and a demo that does not hold together fails.

mod load;
mod outage;
mod screen;
mod table;

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::Parser as _;
use tests::client::{Client, DIALECTS, Dialect};
use tests::ledger::Ledger;
use tests::mock::{Fault, HostSpec, Mock};
use tests::said::Said;
use tests::stack::{Stack, StackOptions};
use tokio::signal::unix::{SignalKind, signal};

const YAML: &str = include_str!("attache.yaml");
const OPENAI: &str = "api.openai.com";
const QUESTION: &str = "Where is the nearest café?";

/// One request as its client saw it.
struct Seen {
    dialect: Dialect,
    stream: bool,
    provider: String,
    status: u16,
    first_byte: Duration,
    total: Duration,
}

/// What happens to OpenAI while some requests are sent.
struct Scene {
    title: &'static str,
    requests: usize,
    strike: fn(&Mock),
}

const SCENES: [Scene; 4] = [
    Scene { title: "all is well", requests: 40, strike: |_| {} },
    Scene {
        title: "openai answers 503",
        requests: 12,
        strike: |mock| mock.host(OPENAI).fault(Fault::status(503).always()),
    },
    Scene { title: "openai refuses connections", requests: 12, strike: |mock| mock.host(OPENAI).refuse() },
    Scene {
        title: "openai's key a is rate limited",
        requests: 12,
        strike: |mock| mock.host(OPENAI).fault(Fault::rate_limited(30).always().for_key("sk-demo-a")),
    },
];

#[derive(Debug, clap::Parser)]
struct Args {
    /// Leaves everything up at the end.
    #[arg(long)]
    keep: bool,
    /// Another story than that of a provider's outage.
    #[arg(long)]
    story: Option<Story>,
    #[command(flatten)]
    scale: outage::Scale,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Story {
    /// Live streams, and the plug is pulled on everything around them.
    Outage,
}

#[tokio::main(worker_threads = 2)]
async fn main() -> ExitCode {
    let args = Args::parse();
    let told = match args.story {
        Some(Story::Outage) => outage::run(args.scale).await,
        None => run(args.keep).await,
    };
    match told {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("demo: failed: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(keep: bool) -> Result<()> {
    let mock = Mock::start(&[HostSpec::tls(OPENAI), HostSpec::tls("api.anthropic.com")])?;
    let started = Instant::now();
    let stack = Stack::start(YAML, StackOptions { workers: 1, ..StackOptions::new(&mock) }).await?;
    println!("Envoy with attache.wasm, the sidecar and two mock vendors are up after {:.1?}.", started.elapsed());
    println!("`chat` is 80 % openai (keys a and b, 60 to 40) and 20 % anthropic; each backs up the other.\n");

    let client = stack.client();
    let mut seen = Vec::new();
    for scene in SCENES {
        mock.reset()?;
        (scene.strike)(&mock);
        let former = seen.len();
        for number in former..former + scene.requests {
            seen.push(ask(&client, number).await.with_context(|| format!("request {number}, while {}", scene.title))?);
        }
        let settled = u64::try_from(seen.len())?;
        let ledger = Ledger::open(&stack.store())?;
        ensure!(
            ledger.wait_for(settled).await? == settled,
            "{settled} requests were sent, {} settled",
            ledger.count()?
        );
        table::scene(scene.title, former, &seen[former..], &ledger.all()?[former..]);
    }
    let failovers = stack.metric("attache_failovers_total", &[]).await?;
    ensure!(failovers > 0.0, "the outages forced no failover");
    let split = table::split(&seen[..SCENES[0].requests]);
    table::times(&seen, &SCENES.map(|scene| (scene.title, scene.requests)));
    println!("demo: ok split={split} failovers={failovers} requests={}", seen.len());

    if keep {
        mock.reset()?;
        println!("\nStill up. Ask it something:\n");
        println!("  curl -i http://{}/v1/chat/completions \\", stack.listen());
        println!(r#"    -d '{{"model": "chat", "messages": [{{"role": "user", "content": "Hello"}}]}}'"#);
        let mut terminate = signal(SignalKind::terminate())?;
        tokio::select! {
            _ = terminate.recv() => {}
            interrupted = tokio::signal::ctrl_c() => interrupted?,
        }
    }
    Ok(())
}

/// Both dialects in turn, every third request streamed; whatever happens, the answer must be a good one.
async fn ask(client: &Client, number: usize) -> Result<Seen> {
    let (dialect, stream) = (DIALECTS[number % 2], number % 3 == 2);
    let start = Instant::now();
    let live = client.open(&dialect.chat("chat", QUESTION, stream)).await?;
    let answer = live.finish().await;
    let first_byte = answer.chunks.first().map_or(start, |(at, _)| *at) - start;
    let total = start.elapsed();
    let said = Said::read(dialect, stream, &answer)?;
    ensure!(!said.text.is_empty(), "an empty answer");
    let provider = answer.header("x-attache-provider").to_owned();
    Ok(Seen { dialect, stream, provider, status: answer.status, first_byte, total })
}

/// How many requests each provider answered.
fn shares(seen: &[Seen]) -> BTreeMap<&str, usize> {
    let mut shares = BTreeMap::new();
    for one in seen {
        *shares.entry(one.provider.as_str()).or_default() += 1;
    }
    shares
}
