//! The law of linear time and bounded memory, over the built module: for each format, direction and operation, for each
//! place of the walk's list that may repeat, nest or grow, four times the body costs at most 4.6 times the instructions,
//! and memory grows by no more than [`decode_cost`] says.
//!
//! `ATTACHE_LINEAR=WORDS` plays only cases whose name holds these words, e.g. those that a failure names.
//!
//! Does not: measure time. Wasmtime counts instructions, so a run gives the same figures on every machine. It counts a
//! copy of any length as one instruction; a body copied once too often shows in memory, not here.
//!
//! All bombs are tried small. Those that grow most, cost most or take most memory, and those made by hand are tried again at 0.25
//! and 1 MiB, and the worst of these at 4 MiB, where a small quadratic share can no longer hide.

mod answers;
mod bomb;
mod heads;
mod requests;

use std::sync::atomic::{AtomicUsize, Ordering};

use wasmtime::Result;
use wire::format::bounds::decode_cost;

use crate::bank::{Bank, account};
use crate::fixture::json;
use crate::gateway::{Answer, Gateway, Message, Outcome};
use crate::host::guest;

/// Sizes of all bombs, in bytes.
const SMALL: [usize; 2] = [16 << 10, 64 << 10];
/// Sizes of the worst of them.
const LARGE: [usize; 2] = [256 << 10, 1 << 20];
/// Sizes of the worst of these.
const LARGEST: [usize; 2] = [1 << 20, 4 << 20];
/// Instructions that one callback may take: far above what is linear, since the law has the better words.
const LIMIT: u64 = 40_000_000_000;
/// What four times the body may cost, in instructions: linear is 4, and sorting adds a little.
const GROWTH: f64 = 4.6;
/// Instructions that do not grow with a body. A callback costs tens of thousands.
const FIXED: u64 = 400_000;
/// Bytes of memory that do not grow with a body: the allocator takes more than it is asked for.
const ROOM: usize = 2 << 20;
/// How many of those that grow most, of those that cost most and of those that take most memory are tried again.
const WORST: usize = 3;

/// What one exchange took.
#[derive(Debug, Clone, Default)]
pub struct Cost {
    /// Instructions.
    fuel: u64,
    /// Bytes that linear memory has grown by.
    grown: usize,
    /// Bytes of what was sent.
    sent: usize,
    /// What memory may grow by.
    allowed: usize,
    status: String,
}

/// One thing that can be sent in any size.
pub struct Case<'c> {
    pub name: String,
    /// Made by hand because two places grow together; tried at all sizes.
    pub known: bool,
    pub run: Box<dyn Fn(usize) -> Result<Cost> + Send + Sync + 'c>,
}

/// A worker that serves model `m` at these providers in turn, with a limit that needs the prompt's size.
fn gateway(providers: &[&str]) -> Gateway {
    let keys = |name: &&str| format!(r#""{name}": {{"keys": [{{"name": "k1", "models": ["*"]}}]}}"#);
    let keys: Vec<String> = providers.iter().map(keys).collect();
    let candidate =
        |(n, name): (usize, &&str)| format!(r#"{{"provider": "{name}", "model": "claude-opus-5", "priority": {n}}}"#);
    let candidates: Vec<String> = providers.iter().enumerate().map(candidate).collect();
    let config = format!(
        r#"{{"role": "plan", "config": {{"version": 1, "auth": "required", "providers": {{{}}},
            "models": {{"m": {{"candidates": [{}]}}}},
            "sidecar": {{"key_ttl": "30s"}}, "routing": {{"seed": 7}}}}}}"#,
        keys.join(","),
        candidates.join(",")
    );
    let lane = |name: &&str| (format!("{name}_k1"), format!(r#"{{"role": "attempt", "lane": "{name}_k1"}}"#));
    let lanes: Vec<(String, String)> = providers.iter().map(lane).collect();
    let lanes: Vec<(&str, &str)> = lanes.iter().map(|(lane, config)| (lane.as_str(), config.as_str())).collect();
    let started = Gateway::start(guest(), &config, &lanes, None);
    let mut gateway = started.unwrap().expect("the configuration is good");
    let money = sidecar_api::v1::Account {
        elastic: true,
        ..account(1, sidecar_api::v1::account::Counted::Money, u64::MAX >> 8)
    };
    gateway.vm.limit = LIMIT;
    gateway.sidecar = Box::new(Bank::new(vec![money]).script());
    let last = format!("{}_k1", providers.last().expect("a provider"));
    gateway.provider = Box::new(move |seen| Answer::Whole(json(if seen.lane == last { "200" } else { "503" }, "{}")));
    for _ in 0..2 {
        gateway.vm.world().now += 100_000_000;
        gateway.tick().unwrap();
    }
    gateway
}

/// Plays one exchange and says what it took. `sent` is what grows: the request's body or the answer's.
fn measure(gateway: &mut Gateway, request: &Message, sent: &[u8]) -> Result<(Cost, Outcome)> {
    let (fuel, pages) = (gateway.vm.spent, gateway.vm.pages());
    let outcome = gateway.exchange(request)?;
    let grown = (gateway.vm.pages() - pages) as usize * 65_536;
    let fuel = gateway.vm.spent - fuel;
    let status = outcome.status().to_owned();
    Ok((Cost { fuel, grown, sent: sent.len(), allowed: decode_cost(sent) + ROOM, status }, outcome))
}

/// How much more the larger one cost than the smaller, per four times the bytes.
fn growth(small: &Cost, large: &Cost) -> f64 {
    let per_byte = |fuel: u64, cost: &Cost| fuel as f64 / cost.sent.max(1) as f64;
    4.0 * per_byte(large.fuel.saturating_sub(FIXED), large) / per_byte(small.fuel.max(1), small)
}

/// Holds the law over these.
fn hold(cases: &[Case<'_>]) {
    let broken = breaches(cases);
    assert!(broken.is_empty(), "{} of {} cases:\n{}", broken.len(), cases.len(), broken.join("\n"));
}

/// What of these breaks the law.
fn breaches(cases: &[Case<'_>]) -> Vec<String> {
    let started = std::time::Instant::now();
    let mut broken = Vec::new();
    let only = std::env::var("ATTACHE_LINEAR").unwrap_or_default();
    let all: Vec<&Case<'_>> = cases.iter().filter(|case| case.name.contains(&only)).collect();
    let small = measure_all(&all, &SMALL, &mut broken);
    let mut again = worst(&all, &small);
    again.extend(all.iter().filter(|case| case.known));
    again.dedup_by(|a, b| std::ptr::eq(*a, *b));
    let large = measure_all(&again, &LARGE, &mut broken);
    let again = worst(&again, &large);
    for (n, costs) in measure_all(&again, &LARGEST, &mut broken) {
        let Some(last) = costs.last() else { continue };
        let bytes = last.sent.max(1);
        let grown = last.grown as f64 / bytes as f64;
        println!(
            "{}: {} instructions, {grown:.1} bytes a byte, {}",
            again[n].name,
            last.fuel / bytes as u64,
            last.status
        );
    }
    println!("{} cases in {:?}", all.len(), started.elapsed());
    broken
}

/// The cases that grow most, those that cost most, and those that take most memory.
fn worst<'l, 'c>(cases: &[&'l Case<'c>], costs: &[(usize, Vec<Cost>)]) -> Vec<&'l Case<'c>> {
    let by = |key: &dyn Fn(&Cost, &Cost) -> f64| {
        let rank = |(n, costs): &(usize, Vec<Cost>)| match costs.as_slice() {
            [.., small, large] => (key(small, large), *n),
            _ => (0.0, *n),
        };
        let mut ranks: Vec<(f64, usize)> = costs.iter().map(rank).collect();
        ranks.sort_by(|(a, _), (b, _)| b.total_cmp(a));
        ranks.into_iter().take(WORST).map(|(_, n)| n).collect::<Vec<usize>>()
    };
    let mut numbers = by(&growth);
    numbers.extend(by(&|_, large| large.fuel as f64 / large.sent.max(1) as f64));
    numbers.extend(by(&|_, large| large.grown as f64 / large.sent.max(1) as f64));
    numbers.sort_unstable();
    numbers.dedup();
    numbers.into_iter().filter_map(|n| cases.get(n).copied()).collect()
}

/// Runs the cases in these sizes, on all cores, and notes what breaks the law.
fn measure_all(cases: &[&Case<'_>], sizes: &[usize], broken: &mut Vec<String>) -> Vec<(usize, Vec<Cost>)> {
    let next = AtomicUsize::new(0);
    let work = || {
        let (mut costs, mut broken) = (Vec::new(), Vec::new());
        loop {
            let n = next.fetch_add(1, Ordering::Relaxed);
            let Some(case) = cases.get(n) else { return (costs, broken) };
            match sizes.iter().map(|size| (case.run)(*size)).collect::<Result<Vec<Cost>>>() {
                Ok(found) => {
                    broken.extend(judge(&case.name, &found));
                    costs.push((n, found));
                }
                Err(why) => broken.push(format!("{}: {why:#}", case.name)),
            }
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let mut all = Vec::new();
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        for worker in workers {
            let (costs, faults) = worker.join().expect("a case is judged, not lost");
            all.extend(costs);
            broken.extend(faults);
        }
    });
    all
}

fn judge(name: &str, costs: &[Cost]) -> Vec<String> {
    let mut broken = Vec::new();
    for pair in costs.windows(2) {
        let [small, large] = pair else { continue };
        if growth(small, large) > GROWTH {
            broken.push(format!(
                "{name}: {} instructions for {} bytes, {} for {}: {:.1} times",
                small.fuel,
                small.sent,
                large.fuel,
                large.sent,
                growth(small, large)
            ));
        }
    }
    for cost in costs.iter().filter(|cost| cost.grown > cost.allowed) {
        broken.push(format!(
            "{name}: memory grew by {} for {} bytes, allowed are {} ({})",
            cost.grown, cost.sent, cost.allowed, cost.status
        ));
    }
    broken
}

/// The law finds each kind of mistake, among many cases that keep it, and lets pass what sorts.
#[test]
fn what_grows_faster_than_its_body_is_found() {
    const BODY: f64 = 100.0;
    type Law = fn(f64) -> f64;
    let case = |name: &str, fuel: Law, grown: Law| Case {
        name: name.to_owned(),
        known: false,
        run: Box::new(move |size| {
            let bytes = size as f64;
            let (fuel, grown) = ((50_000.0 + fuel(bytes)) as u64, grown(bytes) as usize);
            Ok(Cost { fuel, grown, sent: size, allowed: size * 10 + ROOM, status: "200".to_owned() })
        }),
    };
    let linear: Law = |bytes| BODY * bytes;
    let planted: [(&str, Law, Law); 4] = [
        ("square", |bytes| bytes * bytes, linear_memory),
        // A search of eight bytes a step through what came before: a third of the work at 4 MiB.
        ("hidden square", |bytes| BODY * bytes + bytes * bytes / 100_000.0, linear_memory),
        ("power 1.2", |bytes| 10.0 * bytes.powf(1.2), linear_memory),
        ("memory", linear, |bytes| 30.0 * bytes),
    ];
    let good = || {
        let mut cases: Vec<Case<'_>> = (0..40).map(|n| case(&format!("good {n}"), linear, linear_memory)).collect();
        cases.push(case("sorts", |bytes| BODY * bytes * bytes.log2(), linear_memory));
        cases
    };
    assert_eq!(breaches(&good()), Vec::<String>::new());
    for (name, fuel, grown) in planted {
        let mut cases = good();
        cases.push(case(name, fuel, grown));
        let broken = breaches(&cases);
        let found = !broken.is_empty() && broken.iter().all(|told| told.starts_with(name));
        assert!(found, "{name}: {broken:#?}");
    }
}

fn linear_memory(bytes: f64) -> f64 {
    6.0 * bytes
}
