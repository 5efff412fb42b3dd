//! What everybody else does, for comparison: look at the counter before the request, add to it after the answer.
//!
//! Does not: suffer from the network or from clocks; replicas share one counter and see it at once. It is overrun all the
//! same: by what is in flight, and by what nobody lives to add.

use super::chance::Chance;
use super::plan::{Plan, SECOND};

/// By how much a limit of money was overrun, with as many requests as a schedule has.
pub fn overshoot(seed: u64) -> (u64, u64) {
    let mut chance = Chance::new(seed);
    let plan = Plan::new(&mut chance, None);
    let most = plan.specs[0].most;
    let (mut counted, mut spent, mut at) = (0, 0, 0);
    // When each ends, what it costs, and whether its replica is killed before.
    let mut running: Vec<(u64, u64, bool)> = Vec::new();
    while at < plan.busy {
        at += chance.between(SECOND / 1000, plan.pause);
        running.retain(|(end, cost, killed)| {
            let over = *end <= at;
            counted += if over && !killed { *cost } else { 0 };
            !over
        });
        let worst = chance.between(1, plan.dearest);
        let cost = chance.between(0, worst);
        let longest = if chance.often(100) { 90 * SECOND } else { 4 * SECOND };
        if counted < most {
            spent += cost;
            running.push((at + chance.between(SECOND / 1000, longest), cost, chance.often(plan.faults.kill)));
        }
    }
    (most, spent.saturating_sub(most))
}
