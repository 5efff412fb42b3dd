//! The records of resting lanes, as all workers share them.
//!
//! Does not: decide who rests; see `engine::cooldown`.
//!
//! A lane in health costs the one call that every plan makes to read the records. That a lane serves is written only
//! where a record of it was among those read last.

use engine::config::snapshot::{Lane, Snapshot};
use engine::cooldown::Cooldowns;
use engine::draw::Draw;
use engine::exchange::{Exchange, Marked};
use engine::route::{Plan, Refusal};

use crate::{host, vm};

/// Shared data: all records. Another name than that of any older shape of them.
const SHARED: &str = "rests";

/// Plans by the records as they are now, and again if another request tries the lane that this one would have tried.
pub(crate) fn plan(
    snapshot: &Snapshot,
    now: u64,
    mut draw: impl FnMut(&Cooldowns, &mut Draw) -> Result<Plan, Refusal>,
) -> Option<Result<Plan, Refusal>> {
    read(now);
    let mut planned = || vm::with(|vm| draw(&vm.cooldowns, &mut vm.draw));
    let first = planned()?;
    let lane = first.as_ref().ok().and_then(|plan| snapshot.lanes.get(plan.hops.first()?.lane));
    let due = |lane: &&Lane| vm::with(|vm| vm.cooldowns.due(lane, now)) == Some(true);
    match lane.filter(due) {
        Some(lane) if !claim(lane, now) => planned(),
        Some(_) | None => Some(first),
    }
}

/// Reads the records anew; they stay in the VM until the next reading.
fn read(now: u64) {
    keep(Cooldowns::parse(&host::shared(SHARED), now));
}

fn keep(records: Cooldowns) {
    vm::with(|vm| vm.cooldowns = records);
}

/// Is this request the one that tries a lane whose rest is over? False if another one does.
fn claim(lane: &Lane, now: u64) -> bool {
    let mut claimed = false;
    let written = host::update_shared(SHARED, |old| {
        let mut records = Cooldowns::parse(old, now);
        claimed = records.claim(lane, now);
        records.to_bytes()
    });
    match &written {
        Ok(new) => keep(Cooldowns::parse(new, now)),
        // Many workers want it at once, so one of them has it.
        Err(_) => read(now),
    }
    claimed && written.is_ok()
}

/// Tells the other workers what the request's tries said of their lanes.
pub(crate) fn share(ex: &mut Exchange, now: u64) {
    ex.share(|snapshot, marked| write(snapshot, marked, now));
}

/// The client is about to see the last try's answer.
pub(crate) fn served(ex: &Exchange, now: u64) {
    let known = |marked: &Marked| {
        let lane = ex.snapshot.lanes.get(marked.lane)?;
        vm::with(|vm| vm.cooldowns.knows(lane))
    };
    if let Some(marked) = ex.served().filter(|marked| known(marked) == Some(true)) {
        write(&ex.snapshot, marked, now);
    }
}

/// True if the lane rests by it.
fn write(snapshot: &Snapshot, marked: Marked, now: u64) -> bool {
    let Some(lane) = snapshot.lanes.get(marked.lane) else { return false };
    let mut rested = false;
    let written = host::update_shared(SHARED, |old| {
        let mut records = Cooldowns::parse(old, now);
        rested = records.note(lane, marked.mark, &snapshot.lanes, &snapshot.retry.rest, now);
        records.to_bytes()
    });
    match written {
        Ok(new) => keep(Cooldowns::parse(&new, now)),
        Err(_) => log::warn!("what became of a try at {} could not be shared", lane.cluster),
    }
    rested
}
