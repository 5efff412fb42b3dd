//! This VM among the others of its Envoy: its beat, the ceilings of its leases, and reports of VMs that died.
//!
//! Does not: decide who is dead, or what a ceiling is (`engine::govern::Member`).
//!
//! For example: the VM of one worker traps. Within six seconds the VM of another one fences it and reports it to the
//! sidecar. What the dead VM held of limits and had not used is there for everybody again.

use engine::govern::{Account, Counted, Ended, Fenced, Member, Shared};
use sidecar_api::v1;

use crate::vm::{self, Vm};
use crate::{calls, host};

/// Nanoseconds between two beats.
const BEAT: u64 = 500_000_000;

/// This VM's record, once it has a nonce.
#[derive(Debug, Default)]
pub(crate) struct Members {
    own: Option<Member>,
    /// There was no place; nothing is known of this VM, and its leases end with their windows.
    alone: bool,
    beaten: u64,
}

/// A VM that was reported: where its record is, and its nonce.
pub(crate) type Reported = (u64, [u8; 16]);

/// Envoy's shared data.
struct Host;

impl Shared for Host {
    fn get(&mut self, key: &str) -> (Vec<u8>, u32) {
        host::versioned(key)
    }

    fn swap(&mut self, key: &str, value: &[u8], version: u32) -> bool {
        host::swap_shared(key, value, version).is_ok()
    }
}

/// Beats, lowers ceilings, and reports who has fallen silent.
pub(crate) fn tick(now: u64) {
    let ended = vm::with(|vm| {
        // Also where the clock went back.
        if now.wrapping_sub(vm.members.beaten) < BEAT {
            return Vec::new();
        }
        vm.members.beaten = now;
        if beat(vm).is_err() {
            renew(vm);
        }
        vm.members.own.as_mut().map(|own| own.watch(&mut Host)).unwrap_or_default()
    })
    .unwrap_or_default();
    if !ended.is_empty() {
        report(ended);
    }
}

/// Takes a place among the others, as soon as this VM has a nonce: what it draws from then on is known.
pub(crate) fn join(vm: &mut Vm) {
    let Vm { members, purses, settlements, .. } = vm;
    let Ok(nonce) = settlements.nonce().try_into() else { return };
    if members.own.is_some() || members.alone {
        return;
    }
    purses.wallet.unknown();
    members.own = Member::join(&mut Host, nonce);
    members.alone = members.own.is_none();
    if members.alone {
        log::warn!("too many VMs in one Envoy: should this one die, its leases end with their windows");
    }
}

fn beat(vm: &mut Vm) -> Result<(), Fenced> {
    // One that had left, and is used again.
    join(vm);
    let Vm { members, purses, .. } = vm;
    let Some(own) = &mut members.own else { return Ok(()) };
    own.beat(&mut Host)?;
    let lower = purses.wallet.lower();
    let without = own.write(&mut Host, &lower)?;
    purses.wallet.raised(&[], &without);
    Ok(())
}

/// Makes sure that all of this may be reserved: others know the most that is used, and take this VM for alive. False: it
/// has lost its leases and begins anew.
pub(crate) fn secure<'a>(vm: &mut Vm, needs: impl Iterator<Item = (&'a Account, u64)>) -> bool {
    let secured = raise(vm, needs);
    if secured.is_err() {
        renew(vm);
    }
    secured.is_ok()
}

/// Makes sure that others take this VM for alive: what it draws would be nobody's else. False: it begins anew.
pub(crate) fn alive(vm: &mut Vm) -> bool {
    let alive = vm.members.own.as_ref().is_none_or(|own| own.check(&mut Host).is_ok());
    if !alive {
        renew(vm);
    }
    alive
}

fn raise<'a>(vm: &mut Vm, needs: impl Iterator<Item = (&'a Account, u64)>) -> Result<(), Fenced> {
    let Vm { members, purses, .. } = vm;
    let Some(own) = &members.own else { return Ok(()) };
    let (mut raises, mut slots) = (Vec::new(), false);
    for (account, amount) in needs {
        slots |= account.limit.counted == Counted::Concurrent;
        raises.extend(purses.wallet.raise(account.id, amount));
    }
    if slots {
        // A ceiling would not say it: slots come back whole.
        own.check(&mut Host)?;
    }
    if !raises.is_empty() {
        let news: Vec<_> = raises.iter().map(|ceiling| (*ceiling, true)).collect();
        let without = own.write(&mut Host, &news)?;
        purses.wallet.raised(&raises, &without);
    }
    Ok(())
}

/// Others took this VM for dead, and its leases are theirs. Requests under way are settled under the name they began with.
fn renew(vm: &mut Vm) {
    log::warn!("this worker stood still for so long that others took its module for dead; it asks for new leases");
    vm.members.own = None;
    vm.settlements.renew();
    vm.purses.renew();
}

fn report(ended: Vec<Ended>) {
    for it in ended.iter().filter(|it| it.is_new) {
        let held = it.ceilings.len();
        log::warn!(
            "the module of a worker has died or stands still: its streams are lost, what it held of {held} limits goes back"
        );
    }
    let reported = ended.iter().map(|it| (it.seat, it.nonce)).collect();
    let told = |it: Ended| v1::Ended {
        vm_nonce: it.nonce.to_vec(),
        ceilings: it
            .ceilings
            .iter()
            .map(|ceiling| v1::Ceiling { account: ceiling.account, window: ceiling.window, most: ceiling.most })
            .collect(),
    };
    let message = v1::AdmitRequest { ended: ended.into_iter().map(told).collect(), ..v1::AdmitRequest::default() };
    // Whoever does not get through is reported again.
    calls::report(&message, reported);
}

/// The sidecar knows of these.
pub(crate) fn reported(these: &[Reported]) {
    vm::with(|vm| {
        if let Some(own) = &mut vm.members.own {
            these.iter().for_each(|(seat, nonce)| own.forget(&mut Host, *seat, nonce));
        }
    });
}

/// This VM goes.
pub(crate) fn leave(vm: &mut Vm) {
    if let Some(own) = vm.members.own.take() {
        own.leave(&mut Host);
    }
}
