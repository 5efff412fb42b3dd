//! Medians and ratios, and the file they are kept in.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::Args;
use crate::limits::{self, Limits};

/// In the order of columns; the last is absent unless two builds are compared.
const VARIANTS: [&str; 4] = ["bare", "no-op", "whole", "other"];

/// One turn of one variant.
#[derive(Debug)]
struct Turn {
    variant: &'static str,
    /// Nanoseconds a request.
    cpu: f64,
    /// Microseconds, lowest first.
    waits: Vec<f64>,
}

/// One case: what a request cost in each variant and turn.
#[derive(Debug)]
pub(crate) struct Row {
    case: &'static str,
    turns: Vec<Turn>,
}

impl Row {
    pub(crate) fn new(case: &'static str) -> Self {
        Self { case, turns: Vec::new() }
    }

    pub(crate) fn push(&mut self, variant: &'static str, cpu: f64, waits: &[Duration]) {
        let mut waits: Vec<f64> = waits.iter().map(|wait| wait.as_secs_f64() * 1e6).collect();
        waits.sort_unstable_by(f64::total_cmp);
        self.turns.push(Turn { variant, cpu, waits });
    }

    /// A number of each turn of a variant.
    fn of(&self, variant: &str, number: impl Fn(&Turn) -> f64) -> Vec<f64> {
        self.turns.iter().filter(|turn| turn.variant == variant).map(number).collect()
    }

    /// A row of the table of two variants: CPU, waits, and what the second adds to the first.
    pub(crate) fn pair(&self, [base, other]: [&str; 2]) -> String {
        let cpu = |variant: &str| self.of(variant, |turn| turn.cpu);
        let ratios = cpu(other).iter().zip(cpu(base)).map(|(a, b)| a / b).collect();
        let (base_us, other_us) = (median(cpu(base)) / 1e3, median(cpu(other)) / 1e3);
        let mut line = format!("| {} | {base_us:.0} | {other_us:.0} | {}", self.case, spread(ratios, 3));
        for percent in [50, 99] {
            let wait = |variant: &str| self.of(variant, |turn| percentile(&turn.waits, percent));
            let added = wait(other).iter().zip(wait(base)).map(|(a, b)| a - b).collect();
            let _ = write!(line, " | {:.0} | {}", median(wait(base)), spread(added, 0));
        }
        line + " |"
    }

    /// A row of the table of CPU.
    pub(crate) fn cpu(&self) -> String {
        let mut line = format!("| {}", self.case);
        let cpu = |variant: &str| self.of(variant, |turn| turn.cpu);
        for variant in VARIANTS {
            if !cpu(variant).is_empty() {
                let _ = write!(line, " | {:.0}", median(cpu(variant)) / 1e3);
            }
        }
        for (variant, base) in [("no-op", "bare"), ("whole", "bare"), ("whole", "no-op"), ("whole", "other")] {
            if !cpu(base).is_empty() {
                let ratios = cpu(variant).iter().zip(cpu(base)).map(|(a, b)| a / b).collect();
                let _ = write!(line, " | {}", spread(ratios, 2));
            }
        }
        line + " |"
    }

    /// A row of the table of waits.
    pub(crate) fn waits(&self) -> String {
        let mut line = format!("| {}", self.case);
        for percent in [50, 99] {
            let wait = |variant: &str| self.of(variant, |turn| percentile(&turn.waits, percent));
            let _ = write!(line, " | {:.0}", median(wait("bare")));
            for variant in VARIANTS.iter().skip(1) {
                let added: Vec<f64> = wait(variant).iter().zip(wait("bare")).map(|(a, b)| a - b).collect();
                if !added.is_empty() {
                    let _ = write!(line, " | {}", spread(added, 0));
                }
            }
        }
        line + " |"
    }
}

/// The median, and the lowest and highest of all.
fn spread(values: Vec<f64>, digits: usize) -> String {
    let (low, high) = values.iter().fold((f64::MAX, f64::MIN), |(l, h), v| (l.min(*v), h.max(*v)));
    format!("{:.digits$} ({low:.digits$}–{high:.digits$})", median(values))
}

/// Of values in order, the one that so many percent of them do not reach.
fn percentile(values: &[f64], percent: usize) -> f64 {
    values.get(values.len() * percent / 100).copied().unwrap_or(f64::NAN)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Of all cases that were run.
pub(crate) struct Found {
    pub(crate) rows: Vec<Row>,
    pub(crate) limits: Option<Limits>,
    /// As a text.
    pub(crate) keys: Option<String>,
}

/// Writes `DATE-COMMIT.md` into `folder`.
pub(crate) fn write(folder: &Path, found: &Found, args: &Args) -> Result<PathBuf> {
    let rows = &found.rows;
    let commit = said("git", &["rev-parse", "--short", "HEAD"]).unwrap_or_else(|_| "none".to_owned());
    let changed = said("git", &["status", "--porcelain"]).is_ok_and(|files| !files.is_empty());
    let date = said("date", &["+%F"])?;
    let cpu = std::fs::read_to_string("/proc/cpuinfo")?;
    let cpu = cpu.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or(": unknown");
    let cores = std::thread::available_parallelism()?;
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease")?;
    let load = std::fs::read_to_string("/proc/loadavg")?;
    let (requests, rounds, clients) = (args.requests, args.rounds, args.clients);

    let mut text = format!("# What a request costs, {date}\n\n");
    writeln!(text, "- commit: {commit}{}", if changed { ", with changes" } else { "" })?;
    writeln!(text, "- machine: {}, {cores} cores, Linux {}", cpu.trim_start_matches([' ', '\t', ':']), kernel.trim())?;
    writeln!(text, "- load of the machine at the end: {}", load.trim())?;
    writeln!(
        text,
        "- command: `make bench` (`bench --requests {requests} --rounds {rounds} --clients {clients}`), Envoy 1.40.0, \
         1 worker"
    )?;
    text.push_str(
        "\nPlaintext HTTP/1.1 on both sides, request about 1 KB, streams one event a piece. `bare` proxies; `no-op` is the \
         whole\nwiring with both roles doing nothing; `whole` plans, tries and settles: every one of its requests was found \
         in the\nsidecar's ledger. All ask the same provider; where `whole` translates, the client of the others speaks that \
         provider's\ndialect. Load, providers, sidecar and the Envoys share the machine's cores.\n",
    );
    write!(
        text,
        "\n## CPU\n\nµs on the processor of the Envoy process per request, {clients} connections (median of the turns), and \
         ratios within a\nturn (median, lowest to highest).\n\n"
    )?;
    let other = args.against.is_some();
    let columns = if other { " other µs |" } else { "" };
    let ratios = if other { " whole/other |" } else { "" };
    let head =
        format!("| case | bare µs | no-op µs | whole µs |{columns} no-op/bare | whole/bare | whole/no-op |{ratios}");
    table(&mut text, &head, rows.iter().map(Row::cpu));
    text.push_str(
        "\n## Latency\n\nµs from sending to the whole answer, or to the first content of a stream, one connection. `bare`, and \
         what the others add\nto it within a turn (median of the turns, lowest to highest).\n\n",
    );
    let added = |percent: &str| {
        let other = if other { format!(" other {percent} |") } else { String::new() };
        format!(" bare {percent} | no-op {percent} | whole {percent} |{other}")
    };
    table(&mut text, &format!("| case |{}{}", added("p50"), added("p99")), rows.iter().map(Row::waits));
    if let Some(limits) = &found.limits {
        write!(
            text,
            "\n## Limits\n\nA virtual key under four strict limits with leases held (money: everybody, the key; requests: \
             customer, team), none of\nthem near its end, against the same gateway and key without any. µs as above.\n\n"
        )?;
        let head = "| case | key µs | limits µs | limits/key | key p50 | limits p50 | key p99 | limits p99 |";
        table(&mut text, head, [limits.row.pair(limits::NAMES)].into_iter());
        write!(text, "\n{}", limits.remark())?;
    }
    if let Some(file) = &args.ledger {
        text.push_str(
            "\n## Ledger\n\nWithout Envoy: callers speak to the sidecar over its unix socket, one call at a time each. A draw is on the \
             five accounts\nof a key, a settlement call carries 64 settlements with a charge to each of five; both are durable \
             when answered.\n\n",
        );
        text.push_str(&std::fs::read_to_string(file).with_context(|| file.display().to_string())?);
    }
    if let Some(keys) = &found.keys {
        write!(text, "\n## Many keys\n\n{keys}")?;
    }
    if let Some(file) = &args.instructions {
        text.push_str(
            "\n## Instructions\n\nOf native code with the guest's optimisations, counted by callgrind: the engine alone, \
             without Envoy and without the\ncalls to it. By the length of the text in the request or the answer. Two runs \
             agree.\n\n",
        );
        text.push_str(&std::fs::read_to_string(file).with_context(|| file.display().to_string())?);
    }
    std::fs::create_dir_all(folder)?;
    let path = folder.join(format!("{date}-{commit}.md"));
    std::fs::write(&path, text)?;
    Ok(path)
}

fn table(text: &mut String, head: &str, rows: impl Iterator<Item = String>) {
    let rule = "---|".repeat(head.matches('|').count().saturating_sub(1));
    let _ = writeln!(text, "{head}\n|{rule}");
    rows.for_each(|row| {
        let _ = writeln!(text, "{row}");
    });
}

fn said(program: &str, arguments: &[&str]) -> Result<String> {
    let output = Command::new(program).args(arguments).output().with_context(|| program.to_owned())?;
    anyhow::ensure!(output.status.success(), "{program} failed");
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}
