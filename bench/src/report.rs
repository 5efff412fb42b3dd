//! Medians and ratios, and the file they are kept in.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::Args;

const VARIANTS: [&str; 3] = ["bare", "no-op", "whole"];

/// One case: what a request cost in each variant and turn, in nanoseconds.
#[derive(Debug)]
pub(crate) struct Row {
    case: &'static str,
    costs: Vec<(&'static str, f64)>,
}

impl Row {
    pub(crate) fn new(case: &'static str) -> Self {
        Self { case, costs: Vec::new() }
    }

    pub(crate) fn push(&mut self, variant: &'static str, cost: f64) {
        self.costs.push((variant, cost));
    }

    fn of(&self, variant: &str) -> Vec<f64> {
        self.costs.iter().filter(|(name, _)| *name == variant).map(|(_, cost)| *cost).collect()
    }

    /// `variant` over `base` in each turn.
    fn ratios(&self, variant: &str, base: &str) -> Vec<f64> {
        self.of(variant).iter().zip(self.of(base)).map(|(a, b)| a / b).collect()
    }

    /// A row of the table.
    pub(crate) fn line(&self) -> String {
        let mut line = format!("| {}", self.case);
        for variant in VARIANTS {
            let _ = write!(line, " | {:.0}", median(self.of(variant)) / 1e3);
        }
        for (variant, base) in [("no-op", "bare"), ("whole", "bare"), ("whole", "no-op")] {
            let ratios = self.ratios(variant, base);
            let (low, high) = ratios.iter().fold((f64::MAX, f64::MIN), |(l, h), r| (l.min(*r), h.max(*r)));
            let _ = write!(line, " | {:.2} ({low:.2}–{high:.2})", median(ratios));
        }
        line + " |"
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Writes `DATE-COMMIT.md` into `folder`.
pub(crate) fn write(folder: &Path, rows: &[Row], args: &Args) -> Result<PathBuf> {
    let commit = said("git", &["rev-parse", "--short", "HEAD"]).unwrap_or_else(|_| "none".to_owned());
    let changed = said("git", &["status", "--porcelain"]).is_ok_and(|files| !files.is_empty());
    let date = said("date", &["+%F"])?;
    let cpu = std::fs::read_to_string("/proc/cpuinfo")?;
    let cpu = cpu.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or(": unknown");
    let cores = std::thread::available_parallelism()?;
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease")?;
    let (requests, rounds, clients) = (args.requests, args.rounds, args.clients);

    let mut text = format!("# CPU per request, {date}\n\n");
    writeln!(text, "- commit: {commit}{}", if changed { ", with changes" } else { "" })?;
    writeln!(text, "- machine: {}, {cores} cores, Linux {}", cpu.trim_start_matches([' ', '\t', ':']), kernel.trim())?;
    writeln!(
        text,
        "- command: `bench --requests {requests} --rounds {rounds} --clients {clients}`, Envoy 1.40.0, 1 worker"
    )?;
    text.push_str(
        "\nµs of CPU of the Envoy process per request (median of the turns), and ratios within a turn (median, lowest to \
         highest).\nPlaintext HTTP/1.1 on both sides, request about 1 KB, streams in the mock's small odd chunks. `bare` \
         proxies; `no-op` is\nthe whole wiring with both roles doing nothing; `whole` plans, tries, settles. All three ask \
         the same provider; where `whole`\ntranslates, the client of the other two speaks that provider's dialect.\n\n\
         | case | bare µs | no-op µs | whole µs | no-op/bare | whole/bare | whole/no-op |\n|---|---|---|---|---|---|---|\n",
    );
    for row in rows {
        writeln!(text, "{}", row.line())?;
    }
    std::fs::create_dir_all(folder)?;
    let path = folder.join(format!("{date}-{commit}.md"));
    std::fs::write(&path, text)?;
    Ok(path)
}

fn said(program: &str, arguments: &[&str]) -> Result<String> {
    let output = Command::new(program).args(arguments).output().with_context(|| program.to_owned())?;
    anyhow::ensure!(output.status.success(), "{program} failed");
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}
