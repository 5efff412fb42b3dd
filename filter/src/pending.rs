//! Requests that wait for the record of their key.
//!
//! A record is asked for once: of a hundred requests with a new key the first makes a call, and its answer lets all of them
//! go on. The call belongs to the first of them; if that client leaves, Envoy drops the call and the next tick asks again for
//! the others, as it does when no answer came. Who waits goes on waiting until `sidecar.patience` is over.
//!
//! Does not: know what a record says (`admission`).

use std::cell::RefCell;
use std::rc::Rc;

use engine::config::snapshot::Snapshot;
use engine::keys::KeyDigest;
use foldhash::fast::FixedState;
use hashbrown::HashMap;

use crate::admission::{Verdict, Who};
use crate::metrics::Counter;
use crate::patience::{WAITING, is_over, nanos, pause};
use crate::request::Request;
use crate::{calls, vm};

struct Pending {
    who: Who,
    /// Each with the time until which it waits.
    waiting: Vec<(Rc<RefCell<Request>>, u64)>,
    /// The context the call belongs to; `None` if there is none under way.
    owner: Option<u32>,
    /// When to ask, if there is none.
    again: u64,
    /// So often asking has helped nobody.
    tries: u32,
}

/// All of one VM.
pub(crate) struct Pendings {
    pending: HashMap<KeyDigest, Pending, FixedState>,
    /// Requests that wait, for whatever record.
    waiting: usize,
}

impl Pendings {
    pub(crate) fn new(seed: u64) -> Self {
        Self { pending: HashMap::with_hasher(FixedState::with_seed(seed)), waiting: 0 }
    }

    /// So many wait.
    pub(crate) fn len(&self) -> usize {
        self.waiting
    }

    /// These wait no longer for this record.
    fn release(&mut self, digest: &KeyDigest) -> Vec<(Rc<RefCell<Request>>, u64)> {
        let waiting = self.pending.remove(digest).map(|pending| pending.waiting).unwrap_or_default();
        self.waiting = self.waiting.saturating_sub(waiting.len());
        waiting
    }
}

/// Puts a request among those that wait for this record. False if it must not wait: the sidecar is away, or too many wait.
pub(crate) fn ask_for(
    snapshot: &Snapshot,
    who: &Who,
    request: &Rc<RefCell<Request>>,
    context: Option<u32>,
    (now, until): (u64, u64),
) -> bool {
    let digest = who.digest();
    let asks = vm::with(|vm| {
        // Who has a record that is only older than the generation can go on with that.
        let lasts = vm.admissions.lasts(&digest, now);
        let until = if lasts { until.min(now.saturating_add(nanos(snapshot.sidecar.deadline))) } else { until };
        if vm.calls.is_away(&snapshot.sidecar, now) {
            return Err(vm.calls.may_probe(now));
        }
        if vm.waiting() >= WAITING {
            return Err(false);
        }
        let new = || Pending { who: who.clone(), waiting: Vec::new(), owner: None, again: now, tries: 0 };
        let pending = vm.pending.pending.entry(digest).or_insert_with(new);
        pending.waiting.push((Rc::clone(request), until));
        vm.pending.waiting += 1;
        let asks = context.is_some() && pending.owner.is_none() && now >= pending.again;
        pending.owner = pending.owner.or(context.filter(|_| asks));
        Ok(asks)
    });
    match asks {
        Some(Ok(true)) => {
            if !ask(snapshot, who) {
                lost(&digest, now);
            }
            true
        }
        Some(Ok(false)) => true,
        Some(Err(probe)) => {
            if probe {
                ask(snapshot, who);
            }
            false
        }
        None => false,
    }
}

fn ask(snapshot: &Snapshot, who: &Who) -> bool {
    vm::with(|vm| vm.metrics.add(Counter::Admits));
    calls::admit(&who.question(), who.digest(), &snapshot.sidecar)
}

/// The requests that waited for this record may go on.
pub(crate) fn arrived(digest: &KeyDigest, verdict: &Verdict) {
    vm::with(|vm| {
        let waiting = vm.pending.release(digest);
        vm.ready.extend(waiting.into_iter().map(|(request, _)| (request, Some(verdict.clone()))));
    });
}

/// No answer came: it is asked again. Who has a record that is only older than the generation goes on with that.
pub(crate) fn lost(digest: &KeyDigest, now: u64) {
    vm::with(|vm| {
        if vm.admissions.lasts(digest, now) {
            let waiting = vm.pending.release(digest);
            vm.ready.extend(waiting.into_iter().map(|(request, _)| (request, None)));
        } else if let Some(pending) = vm.pending.pending.get_mut(digest) {
            pending.owner = None;
            pending.tries = pending.tries.saturating_add(1);
            pending.again = now.saturating_add(pause(pending.tries));
        }
    });
}

/// A request is over that waited for the record of this one.
pub(crate) fn forget(request: &Rc<RefCell<Request>>, who: &Who) {
    vm::with(|vm| {
        let Pendings { pending, waiting } = &mut vm.pending;
        if let Some(pending) = pending.get_mut(&who.digest()) {
            let before = pending.waiting.len();
            pending.waiting.retain(|(waiting, _)| !Rc::ptr_eq(waiting, request));
            *waiting = waiting.saturating_sub(before - pending.waiting.len());
        }
    });
}

/// A context is over, and with it its calls: the tick asks again.
pub(crate) fn orphaned(context: u32) {
    vm::with(|vm| {
        for pending in vm.pending.pending.values_mut().filter(|pending| pending.owner == Some(context)) {
            (pending.owner, pending.again) = (None, 0);
        }
    });
}

/// Asks again for records whose call is lost; gives up for those whose patience is over.
pub(crate) fn tick(root: u32, snapshot: &Snapshot, now: u64) {
    let again = vm::with(|vm| {
        let away = vm.calls.is_away(&snapshot.sidecar, now);
        let Pendings { pending, waiting } = &mut vm.pending;
        let mut again = Vec::new();
        pending.retain(|_, pending| {
            let late = |(_, until): &mut (_, u64)| away || is_over(*until, &snapshot.sidecar, now);
            for (request, _) in pending.waiting.extract_if(.., late) {
                *waiting = waiting.saturating_sub(1);
                vm.ready.push_back((request, None));
            }
            let due = now >= pending.again || pending.again - now > pause(u32::MAX);
            if pending.owner.is_none() && due && !pending.waiting.is_empty() {
                pending.owner = Some(root);
                again.push(pending.who.clone());
            }
            !pending.waiting.is_empty()
        });
        again
    })
    .unwrap_or_default();
    for who in &again {
        if !ask(snapshot, who) {
            lost(&who.digest(), now);
        }
    }
}
