//! Requests that have waited for the sidecar and may go on, or ask again.
//!
//! Does not: know what they waited for; each looks for itself.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use crate::admission::Verdict;
use crate::host;
use crate::purses;
use crate::request::{Planned, Request};
use crate::vm::{self, Vm};

/// Those whose record came (`None`: it will not come), the first first.
pub(crate) type Ready = VecDeque<(Rc<RefCell<Request>>, Option<Verdict>)>;

/// Why a request is woken.
enum Cause {
    /// Its record came; `None` if nobody answered.
    Record(Option<Verdict>),
    /// It is the first of a line, with this ticket; or, if true, what it waits for will not come.
    Line(u64, bool),
}

fn next(vm: &mut Vm) -> Option<(Rc<RefCell<Request>>, Cause)> {
    if let Some((ticket, request, lost)) = vm.purses.lines.next() {
        return Some((request, Cause::Line(ticket, lost)));
    }
    vm.ready.pop_front().map(|(request, verdict)| (request, Cause::Record(verdict)))
}

/// Lets some of those go on that may. `context` is the one whose callback this is, and the host's again afterwards.
pub(crate) fn go_on(context: u32, now: u64) {
    let mut some = false;
    for _ in 0..host::AT_ONCE {
        let Some((request, cause)) = vm::with(next).flatten() else { break };
        some = true;
        let ticket = if let Cause::Line(ticket, _) = cause { Some(ticket) } else { None };
        wake(&request, cause, now);
        if let Some(ticket) = ticket {
            vm::with(|vm| vm.purses.lines.done(ticket));
        }
    }
    if some {
        host::back_to(context);
        purses::flush(context, now);
    }
}

fn wake(request: &Rc<RefCell<Request>>, cause: Cause, now: u64) {
    let Ok(mut request) = request.try_borrow_mut() else { return };
    // A client that has left meanwhile has no context any more.
    if host::enter(request.context).is_err() {
        return;
    }
    let account = Rc::clone(&request.account);
    account.charge(|| {
        request.waited.woken(now);
        match cause {
            Cause::Record(verdict) => request.admitted(verdict),
            Cause::Line(_, lost) if lost => request.lost(),
            Cause::Line(..) => {}
        }
        if matches!(request.advance(now), Planned::Go) {
            request.resume();
        }
    });
}
