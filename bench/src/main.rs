//! `bench`: what one request costs Envoy, and how long its client waits, against the same Envoy without us.
//!
//! Does not: measure throughput: load, providers and Envoy share the machine's cores, so that would be a number about the
//! machine. CPU time of the Envoy process alone is what the module adds to. Waits are told as differences to a bare Envoy
//! that served the same load a moment before.
//!
//! Decision: all variants run at once and take turns, A B C A B C, so that a machine whose clock drifts slows all of
//! them, and what is reported are ratios within one turn. Rejected: one variant after the other.

#![expect(clippy::print_stdout, reason = "a program for people")]

mod keys;
mod limits;
mod load;
mod report;
mod variant;

use std::path::PathBuf;

use anyhow::{Result, ensure};
use clap::Parser;
use tests::client::{Call, Dialect};
use tests::mock::{Fault, HostSpec, Mock};

use report::Row;
use variant::{ANTHROPIC, OPENAI, Variant, Variants};

#[derive(Debug, Parser)]
#[command(name = "bench", about = "CPU and latency of a request: bare Envoy, both roles as no-ops, and whole")]
struct Args {
    /// Requests of each variant in each turn.
    #[arg(long, default_value_t = 2000)]
    requests: usize,
    /// Turns.
    #[arg(long, default_value_t = 7)]
    rounds: usize,
    /// Connections while CPU is counted; waits are taken on one.
    #[arg(long, default_value_t = 8)]
    clients: usize,
    /// Only the cases whose name contains this.
    #[arg(long, default_value = "")]
    case: String,
    /// Another build of attache.wasm, to take turns with the built one.
    #[arg(long)]
    against: Option<PathBuf>,
    /// Virtual keys of the case with many of them.
    #[arg(long, default_value_t = 1_000_000)]
    keys: usize,
    /// How many of those call, once each.
    #[arg(long, default_value_t = 100_000)]
    callers: usize,
    /// A table of draws and settlements, as the program `ledger` prints it, to be put into the results.
    #[arg(long)]
    ledger: Option<PathBuf>,
    /// A table of instructions, as the program `instructions` prints it, to be put into the results.
    #[arg(long)]
    instructions: Option<PathBuf>,
    /// Folder for the results.
    #[arg(long, default_value = "bench/results")]
    results: PathBuf,
}

/// A kind of request. All variants ask the same provider, so they get the same answer from it; the baselines cannot
/// translate, so their client speaks that provider's dialect.
struct Case {
    name: &'static str,
    translated: bool,
    stream: bool,
}

const CASES: [Case; 4] = [
    Case { name: "same format, unary", translated: false, stream: false },
    Case { name: "same format, streamed", translated: false, stream: true },
    Case { name: "translated, unary", translated: true, stream: false },
    Case { name: "translated, streamed", translated: true, stream: true },
];

fn main() -> Result<()> {
    let args = Args::parse();
    let mock = Mock::start(&[HostSpec::plain(OPENAI), HostSpec::plain(ANTHROPIC)])?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(run(&args, &mock))
}

async fn run(args: &Args, mock: &Mock) -> Result<()> {
    let variants = Variants::start(mock, args.against.clone()).await?;
    let mut rows = Vec::new();
    let mut sent = 0;
    for case in CASES.iter().filter(|case| case.name.contains(&args.case)) {
        for host in [OPENAI, ANTHROPIC] {
            mock.host(host).clear();
            if case.stream {
                // One event a piece, as providers send them; otherwise the mock cuts into odd crumbs.
                mock.host(host).fault(Fault::Drip { ms: 0 }.always());
            }
        }
        // A stream takes as long as its events: about thirty, a millisecond apart.
        let requests = if case.stream { args.requests / 8 } else { args.requests };
        for variant in variants.of(case.translated) {
            // Pools, caches and the compiler's tiers settle first.
            load::run(variant, &call(case, variant), args.clients, requests * 4).await?;
        }
        let mut row = Row::new(case.name);
        for _ in 0..args.rounds {
            for variant in variants.of(case.translated) {
                let busy = load::run(variant, &call(case, variant), args.clients, requests).await?;
                let alone = load::run(variant, &call(case, variant), 1, requests / 4).await?;
                row.push(variant.name, busy.cpu, &alone.waits);
                // The mock keeps what it receives.
                mock.journal().clear();
            }
        }
        sent += requests * 4 + args.rounds * (requests + requests / 4);
        println!("{}\n{}", row.cpu(), row.waits());
        rows.push(row);
    }
    let settled = variants.settled(u64::try_from(sent)?).await?;
    ensure!(settled == u64::try_from(sent)?, "{sent} requests were answered and {settled} settled");
    drop(variants);
    let mut limits = None;
    if limits::CASE.contains(&args.case) {
        let found = limits.insert(limits::run(args, mock).await?);
        println!("{}\n{}", found.row.pair(limits::NAMES), found.remark());
    }
    let mut keys = None;
    if keys::CASE.contains(&args.case) {
        println!("{}", keys.insert(keys::run(args, mock).await?));
    }
    let path = report::write(&args.results, &report::Found { rows, limits, keys }, args)?;
    println!("bench: ok {}", path.display());
    Ok(())
}

fn call(case: &Case, variant: &Variant) -> Call {
    // About 1 KB, of which the model name is all that a splice changes.
    let text = "What a request costs is counted in time on the processor. ".repeat(16);
    let (dialect, model) = match (variant.plans, case.translated) {
        (true, false) => (Dialect::OpenAi, "same"),
        (true, true) => (Dialect::OpenAi, "other"),
        (false, false) => (Dialect::OpenAi, "gpt-4o-mini"),
        (false, true) => (Dialect::Anthropic, "claude-3-5-haiku-latest"),
    };
    // The baselines pass the key on to the provider; we replace it.
    dialect.chat(model, &text, case.stream).key("sk-bench-1")
}
