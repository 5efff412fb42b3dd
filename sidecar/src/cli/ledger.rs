//! `attache ledger clock`.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, anyhow};
use jiff::Timestamp;
use sidecar::serve::accounts::Accounts;
use sidecar::serve::clock::{machine, words};
use sidecar::serve::ledger::book::{Label, Terms as _};
use sidecar::serve::ledger::sqlite::Sqlite;
use sidecar::serve::ledger::sqlite::clock::{Future, look};
use sidecar::serve::ledger::tally::{Labels, Names};

use super::Failure;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Shows the ledger's clock, the wall clock, and windows that have not begun. With --set now puts a ledger that ran ahead
    /// back, while no sidecar has it open.
    Clock(Clock),
}

#[derive(Debug, clap::Args)]
struct Clock {
    /// The configuration, for its `sidecar.store` and its limits.
    #[arg(short, long, value_name = "FILE", default_value = "attache.yaml")]
    config: PathBuf,
    /// Sets the ledger's clock back to the wall clock. Windows that have not begun end; what was used of them counts in the
    /// present ones, in which it was used.
    #[arg(long, value_name = "TIME")]
    set: Option<Time>,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Time {
    /// The wall clock's.
    Now,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let What::Clock(args) = &args.what;
    let loaded = super::read(&args.config)?;
    let path = Path::new(&loaded.snapshot.sidecar.store);
    let now = machine()().wall;
    let accounts = Accounts::of(&loaded, Arc::default());
    let told = || format!("sidecar.store {}", path.display());
    let (kept, future) = look(path, now).with_context(told)?;
    let mut out = std::io::stdout().lock();
    if args.set.is_some() {
        let mut store = Sqlite::open(path, Labels::new(Names::default())).with_context(told)?;
        let closed = store.set_back(&accounts, now).with_context(told)?;
        windows(&mut out, "ended", &closed, &accounts)?;
        writeln!(out, "ledger: {}, set back from {}", date(now), date(kept.time))?;
        return Ok(());
    }
    writeln!(out, "ledger: {}", if kept.time > 0 { date(kept.time) } else { "no commit yet".to_owned() })?;
    writeln!(out, "wall:   {}", date(now))?;
    windows(&mut out, "not begun", &future, &accounts)?;
    if kept.time > now {
        let ahead = words(i64::try_from(kept.time - now).unwrap_or(i64::MAX));
        return Err(Failure::Other(anyhow!(
            "the ledger is {ahead} ahead. If the wall clock is right, stop the sidecar and run this with --set now"
        )));
    }
    Ok(())
}

fn windows(out: &mut impl std::io::Write, what: &str, list: &[Future], accounts: &Accounts) -> std::io::Result<()> {
    for Future { account, window, balance } in list {
        let Label { shard, scope, name, counted, window: length } = accounts.label(*account).unwrap_or_else(|| Label {
            scope: "account".to_owned(),
            name: account.to_string(),
            ..Label::default()
        });
        let of = if shard.is_empty() { String::new() } else { format!(" of customer {shard}") };
        let (from, used) = (date(window.saturating_mul(1_000_000_000)), balance.used);
        writeln!(out, "{what}: {scope} {name}{of}, {counted} {length}, from {from}, used {used}")?;
    }
    Ok(())
}

/// In Greenwich, to the second.
fn date(nanos: u64) -> String {
    let seconds = i64::try_from(nanos / 1_000_000_000).ok();
    let time = seconds.and_then(|seconds| Timestamp::from_second(seconds).ok());
    time.map_or_else(|| "beyond all calendars".to_owned(), |time| time.to_string())
}
