//! The records of resting lanes, as all workers share them.
//!
//! Does not: decide who rests; see `engine::cooldown`.
//!
//! A lane in health costs the one call that every plan makes to read the records. That a lane serves is written only
//! where a record of it was among those read last.

use engine::config::snapshot::Snapshot;
use engine::cooldown::{Cooldowns, Mark, Place};
use engine::draw::Draw;
use engine::exchange::Exchange;
use engine::route::{Plan, Refusal};

use crate::{host, vm};

/// Shared data: all records. Another name than that of any older shape of them.
const SHARED: &str = "rests_by_model";

/// Plans by the records as they are now, and again if another request tries the lane that this one would have tried.
pub(crate) fn plan(
    snapshot: &Snapshot,
    now: u64,
    mut draw: impl FnMut(&Cooldowns, &mut Draw) -> Result<Plan, Refusal>,
) -> Option<Result<Plan, Refusal>> {
    read(now);
    let mut planned = || vm::with(|vm| draw(&vm.cooldowns, &mut vm.draw));
    let first = planned()?;
    let place = first.as_ref().ok().and_then(|plan| plan.hops.first()?.place(snapshot));
    let due = |place: &Place<'_>| vm::with(|vm| vm.cooldowns.due(*place, now)) == Some(true);
    match place.filter(due) {
        Some(place) if !claim(place, now) => planned(),
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

/// Is this request the one that tries a model or a key whose rest is over? False if another one does.
fn claim(place: Place<'_>, now: u64) -> bool {
    let mut claimed = false;
    let written = host::update_shared(SHARED, |old| {
        let mut records = Cooldowns::parse(old, now);
        claimed = records.claim(place, now);
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
    ex.share(|snapshot, place, mark| write(snapshot, place, mark, now));
}

/// The client is about to see the last try's answer.
pub(crate) fn served(ex: &Exchange, now: u64) {
    let Some(marked) = ex.served() else { return };
    if let Some(place) = ex.place(&marked)
        && vm::with(|vm| vm.cooldowns.knows(place)) == Some(true)
    {
        write(&ex.snapshot, place, marked.mark, now);
    }
}

/// True if the model or the key rests by it.
fn write(snapshot: &Snapshot, place: Place<'_>, mark: Mark, now: u64) -> bool {
    let mut rested = false;
    let written = host::update_shared(SHARED, |old| {
        let mut records = Cooldowns::parse(old, now);
        rested = records.note(place, mark, &snapshot.lanes, &snapshot.retry.rest, now);
        records.to_bytes()
    });
    match written {
        Ok(new) => keep(Cooldowns::parse(&new, now)),
        Err(_) => log::warn!("what became of a try at {} could not be shared", place.lane.cluster),
    }
    rested
}
