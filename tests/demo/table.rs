//! What the demo prints.

use std::time::Duration;

use tests::client::Dialect;
use tests::ledger::Settled;

use crate::{Seen, shares};

/// Every request of a scene: the client's end, and the tries as the sidecar has them.
pub(crate) fn scene(title: &str, former: usize, seen: &[Seen], settled: &[Settled]) {
    println!("{title}");
    println!("    #  client     answer  status  first byte      total  tries");
    for (i, (one, settled)) in seen.iter().zip(settled).enumerate() {
        let client = match one.dialect {
            Dialect::OpenAi => "openai",
            Dialect::Anthropic => "anthropic",
        };
        let answer = if one.stream { "stream" } else { "whole" };
        let (first, total) = (milliseconds(one.first_byte), milliseconds(one.total));
        let tries = settled.tries.iter().map(|tried| match tried.status {
            0 => format!("{} no answer", tried.provider),
            status => format!("{} {status}", tried.provider),
        });
        let tries = tries.collect::<Vec<_>>().join(" → ");
        println!(
            "  {:>3}  {client:<9}  {answer:<6}  {:>6}  {first:>10}  {total:>9}  {tries}",
            former + i + 1,
            one.status
        );
    }
    println!("  split: {}\n", split(seen));
}

/// `anthropic:7,openai:33`
pub(crate) fn split(seen: &[Seen]) -> String {
    shares(seen).iter().map(|(provider, n)| format!("{provider}:{n}")).collect::<Vec<_>>().join(",")
}

/// A line a scene: how long its requests took.
pub(crate) fn times(seen: &[Seen], scenes: &[(&str, usize)]) {
    println!("{:<32}{:>9}{:>11}{:>11}{:>11}", "", "requests", "median", "slowest", "split");
    let mut rest = seen;
    for (title, requests) in scenes {
        let (mine, others) = rest.split_at(*requests);
        let mut times: Vec<Duration> = mine.iter().map(|one| one.total).collect();
        times.sort_unstable();
        let (median, slowest) = (milliseconds(times[times.len() / 2]), milliseconds(times[times.len() - 1]));
        println!("{title:<32}{requests:>9}{median:>11}{slowest:>11}  {:>9}", split(mine));
        rest = others;
    }
    println!();
}

fn milliseconds(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1e3)
}
