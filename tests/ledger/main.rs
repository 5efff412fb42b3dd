//! Governance under every misfortune that a seed can think of: the real book and the real wallet, simulated clocks, a
//! network that loses, doubles and delays, a store that is killed at every write. `ATTACHE_SEED=n` replays one schedule and
//! tells what happens.
//!
//! Does not: use Envoy, threads or real time; a schedule is the same on every machine.

mod chance;
mod clock;
mod laws;
mod naive;
mod plan;
mod sidecar;
mod store;
mod summary;
mod trouble;
mod worker;
mod world;

use std::ops::Range;
use std::thread;

use plan::{MUTANTS, Mutant};
use summary::Summary;
use world::World;

/// Schedules of a run.
const SEEDS: u64 = 100_000;
/// Within so many a law must have seen what is wrong.
const ENOUGH: u64 = 4_000;

fn play(seed: u64, mutant: Option<Mutant>, trace: bool) -> Result<Summary, String> {
    let mut world = World::new(seed, mutant, trace);
    world.run().map(|()| world.summary)
}

/// All of these, on as many threads as there are cores; the sums, or the first seed that breaks a law.
fn sweep(seeds: Range<u64>, mutant: Option<Mutant>) -> Result<Summary, (u64, String)> {
    let threads = thread::available_parallelism().map_or(1, |n| n.get() as u64);
    let work = |from: u64| {
        let mut sum = Summary::default();
        for seed in (seeds.start + from..seeds.end).step_by(usize::try_from(threads).unwrap()) {
            let it = play(seed, mutant, false).map_err(|broken| (seed, broken))?;
            sum.add(&it);
        }
        Ok(sum)
    };
    let results: Vec<Result<Summary, (u64, String)>> = thread::scope(|scope| {
        let tasks: Vec<_> = (0..threads).map(|from| scope.spawn(move || work(from))).collect();
        tasks.into_iter().map(|task| task.join().unwrap()).collect()
    });
    let broken = results.iter().filter_map(|result| result.as_ref().err()).min();
    if let Some(broken) = broken {
        return Err(broken.clone());
    }
    let mut sum = Summary::default();
    results.iter().flatten().for_each(|it| sum.add(it));
    Ok(sum)
}

#[test]
fn no_schedule_breaks_a_law() {
    if let Ok(seed) = std::env::var("ATTACHE_SEED") {
        play(seed.parse().unwrap(), None, true).unwrap();
        return;
    }
    match sweep(0..SEEDS, None) {
        Ok(sum) => {
            println!("{SEEDS} schedules: {sum:?}");
            assert!(sum.started > 10 * SEEDS && sum.refused > SEEDS && sum.crashes > SEEDS / 10, "too tame: {sum:?}");
            assert!(sum.fenced > SEEDS / 20 && sum.came_back > SEEDS / 20, "too few die: {sum:?}");
        }
        Err((seed, broken)) => panic!("seed {seed}: {broken}; ATTACHE_SEED={seed} replays it"),
    }
}

#[test]
fn every_fault_of_the_ledger_breaks_a_law() {
    for mutant in MUTANTS {
        let Err((seed, broken)) = sweep(0..ENOUGH, Some(mutant)) else { panic!("nobody sees {mutant:?}") };
        println!("{mutant:?} is seen at seed {seed}: {broken}");
    }
}

/// Seeds that the comparison takes: enough for a share with two digits.
const COMPARED: u64 = 10_000;

#[test]
fn a_counter_that_is_checked_before_and_raised_after_is_overrun() {
    let naive: Vec<(u64, u64)> = (0..COMPARED).map(naive::overshoot).collect();
    let overrun = naive.iter().filter(|(_, over)| *over > 0).count();
    let worst = naive.iter().max_by_key(|(most, over)| over * 1000 / most).unwrap();
    let ours = sweep(0..COMPARED, None).unwrap_or_else(|(seed, broken)| panic!("seed {seed}: {broken}"));
    println!("{COMPARED} schedules      overrun   most by");
    println!("check, then add       {overrun:>7}   {} of {}", worst.1, worst.0);
    println!("leases, strict        {:>7}   {}", ours.overrun_strict, ours.strict);
    println!("leases, elastic       {:>7}   {} (never more than the bound)", ours.overrun_elastic, ours.elastic);
    assert!(overrun > 100, "the comparison is too tame: {overrun}");
    assert_eq!((ours.overrun_strict, ours.strict), (0, 0));
}
