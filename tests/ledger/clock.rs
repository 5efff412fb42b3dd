//! The real clock of the ledger, on a machine whose wall clock does as it likes; and the law that no window lasts longer
//! than it should, or shorter.
//!
//! Does not: sleep. Boot time is the true time of the schedule.

use sidecar::serve::clock::{Anchor, Kept, Reading, Steady};

use super::plan::{EPOCH, Mutant, Plan, SECOND};

/// Parts of a hundred by which the ledger's clock may be faster or slower than the truth.
const LEAN: u64 = 1;

#[derive(Debug, Default)]
pub struct LedgerClock {
    /// Of the running process.
    steady: Option<Steady>,
    /// What the store has.
    kept: Kept,
    boot_id: u64,
    /// What it was at some true time, unless the machine was started since: then only a wall clock tells.
    before: Option<(u64, u64)>,
    time: u64,
}

impl LedgerClock {
    /// The ledger's clock at this true time; an error if it is not what that allows.
    pub fn read(&mut self, plan: &Plan, at: u64, skew: i64) -> Result<u64, String> {
        let wall = at.saturating_add_signed(skew);
        if plan.is(Mutant::FallingClock) {
            self.time = wall;
            return Ok(wall);
        }
        let reading = Reading { wall, boot: at - EPOCH + SECOND, boot_id: self.boot_id + 1 };
        let steady = self.steady.get_or_insert_with(|| Steady::start(&self.kept, reading));
        steady.read(reading);
        let time = if plan.is(Mutant::JumpingClock) { self.time.max(wall) } else { steady.time() };
        let anchor = steady.anchor(reading.boot_id);
        self.kept = Kept { time, anchor: Some(Anchor { ..anchor }) };
        self.time = time;
        let Some((then, was)) = self.before.replace((at, time)) else { return Ok(time) };
        let (passed, moved) = (at - then, time.saturating_sub(was));
        let slack = passed * LEAN / 100 + 1;
        if time < was || moved + slack < passed || moved > passed + slack {
            return Err(format!("the ledger's clock moved by {moved} ns in {passed} ns, from {was} to {time}"));
        }
        Ok(time)
    }

    /// At this true time, as far as anybody knows before it is read.
    pub fn time(&self, at: u64) -> u64 {
        self.before.map_or(self.time, |(then, was)| was + (at - then))
    }

    /// The process is started again; with `reboot`, so is the machine.
    pub fn restart(&mut self, reboot: bool) {
        self.steady = None;
        if reboot {
            self.boot_id += 1;
            self.before = None;
        }
    }
}
