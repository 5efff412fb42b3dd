//! Answers that the tick looks after: streams that wait for their first content, and answers on their way that must not
//! fall silent.
//!
//! Does not: touch what Envoy holds. Only a callback changes a body; heads can be changed from outside, and going on and
//! cutting are allowed.
//!
//! Decision: silence is measured here. Envoy's `per_try_idle_timeout` also runs before the head, so it would end a unary
//! answer that may take `timeouts.complete`; and it is gone for good once the per-try timeout has passed, ignored, on a
//! stream that had begun (`UpstreamRequest::onPerTryTimeout`), so a long stream that stalls would hang. Rejected: a time
//! read at each piece, which is a host call a piece; the count of bytes that the exchange keeps anyway tells as much.

use std::cell::RefCell;
use std::rc::Rc;

use engine::exchange::{Answer, Exchange};
use foldhash::fast::FixedState;
use hashbrown::HashMap;

use crate::account::Account;
use crate::attempt::carry_out;
use crate::host::{self, Map};
use crate::{account, cooldown, vm};

/// Nanoseconds between two looks at answers on their way. Their limits are many times that.
const SWEEP: u64 = 250_000_000;

/// An answer that is looked after.
pub(crate) struct Watched {
    pub(crate) exchange: Rc<RefCell<Exchange>>,
    pub(crate) account: Rc<Account>,
    pub(crate) answer: Rc<RefCell<Answer>>,
    /// It kept too much, has given that back, and is to be ended.
    pub(crate) given_up: bool,
    /// The bytes it had when it was last seen to have moved, and that time; `None` while it waits for its first content.
    moved: Option<(u64, u64)>,
}

/// By the host's context. An attempt takes itself out when it ends.
pub(crate) type Watch = HashMap<u32, Watched, FixedState>;

/// Looks after this try's answer. `shown`: since when it is on its way.
pub(crate) fn begin(
    context: u32,
    exchange: &Rc<RefCell<Exchange>>,
    account: &Rc<Account>,
    answer: &Rc<RefCell<Answer>>,
    shown: Option<u64>,
) {
    let watched = Watched {
        exchange: Rc::clone(exchange),
        account: Rc::clone(account),
        answer: Rc::clone(answer),
        given_up: false,
        moved: shown.map(|now| (0, now)),
    };
    vm::with(|vm| account::shared(|| vm.watch.insert(context, watched)));
}

/// The tick ends it: it has given up what it kept.
pub(crate) fn give_up(context: u32) {
    vm::with(|vm| vm.watch.get_mut(&context).map(|watched| watched.given_up = true));
}

/// It is on its way.
pub(crate) fn shown(context: u32, now: u64) {
    vm::with(|vm| {
        if let Some(watched) = vm.watch.get_mut(&context) {
            watched.moved = Some((0, now));
        }
    });
}

/// Lets go, or gives up, what has waited long enough.
pub(crate) fn tick(root: u32) {
    if vm::with(|vm| vm.watch.is_empty()) != Some(false) {
        return;
    }
    let now = host::now();
    let due: Vec<u32> = vm::with(|vm| {
        let sweep = now.saturating_sub(vm.swept) >= SWEEP;
        if sweep {
            vm.swept = now;
        }
        let now = |watched: &Watched| watched.given_up || watched.moved.is_none();
        let looked_at = vm.watch.iter().filter(|(_, watched)| sweep || now(watched));
        looked_at.map(|(context, _)| *context).collect()
    })
    .unwrap_or_default();
    let mut touched = 0;
    for context in due {
        if touched == host::AT_ONCE {
            // The others with the next tick.
            vm::with(|vm| vm.swept = 0);
            break;
        }
        touched += usize::from(look(context, now));
    }
    if touched > 0 {
        host::back_to(root);
    }
}

/// Looks at one; true if the host's context is now its own.
fn look(context: u32, now: u64) -> bool {
    let parts = vm::with(|vm| {
        let Watched { exchange, account, answer, given_up, moved } = vm.watch.get(&context)?;
        Some((Rc::clone(exchange), Rc::clone(account), Rc::clone(answer), *given_up, *moved))
    });
    let Some((exchange, account, answer, given_up, moved)) = parts.flatten() else { return false };
    account.charge(|| {
        let (Ok(mut ex), Ok(mut answer)) = (exchange.try_borrow_mut(), answer.try_borrow_mut()) else { return false };
        match moved {
            None => wait(context, &mut ex, &mut answer, now),
            Some(_) if given_up => end(context, &mut ex),
            Some(moved) => pace(context, &mut ex, moved, now),
        }
    })
}

/// One that waits for its first content, perhaps for too long.
fn wait(context: u32, ex: &mut Exchange, answer: &mut Answer, now: u64) -> bool {
    let Some(head) = answer.late(ex, now) else { return false };
    cooldown::share(ex, now);
    shown(context, now);
    if host::enter(context).is_err() {
        return false;
    }
    let set = head.set.as_ref().is_some_and(|new| host::set_headers(Map::Response, new).is_ok());
    if !set || carry_out(&head).is_none() || host::resume_response().is_err() {
        log::warn!("a held stream could not be let go");
    }
    true
}

/// One on its way, which must move and come to content.
fn pace(context: u32, ex: &mut Exchange, (bytes, since): (u64, u64), now: u64) -> bool {
    let have = ex.received();
    let moves = have != bytes;
    let silent = !moves && u128::from(now.saturating_sub(since)) >= ex.snapshot.timeouts.idle.as_nanos();
    if silent || moves && ex.drones(now) {
        return end(context, ex);
    }
    if moves {
        vm::with(|vm| vm.watch.get_mut(&context).map(|watched| watched.moved = Some((have, now))));
    }
    false
}

/// Cuts one that is looked after, from the callback of another context.
fn end(context: u32, ex: &mut Exchange) -> bool {
    vm::with(|vm| vm.watch.remove(&context));
    if host::enter(context).is_err() {
        return false;
    }
    cut(ex);
    true
}

/// Ends an answer that can no longer become whole: its client sees a cut one. The host's context is the try's.
pub(crate) fn cut(ex: &mut Exchange) {
    ex.torn = true;
    if host::reset().is_err() {
        log::warn!("an answer could not be cut");
    }
}
