//! Requests that have waited for the sidecar and may go on, or ask again.
//!
//! Does not: know what they waited for; each looks for itself.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use crate::admission::Verdict;
use crate::host;
use crate::request::{Planned, Request};
use crate::{purses, vm};

/// Why a request is woken.
pub(crate) enum Cause {
    /// This record came; `None` if nobody answered.
    Record(Option<Verdict>),
    /// Leases or rates came.
    Drawn,
    /// They will not come.
    Lost,
}

/// Those who may go on, the first first.
pub(crate) type Ready = VecDeque<(Rc<RefCell<Request>>, Cause)>;

/// Lets some of those go on that may. `context` is the one whose callback this is, and the host's again afterwards.
pub(crate) fn go_on(context: u32, now: u64) {
    let few: Vec<_> = vm::with(|vm| {
        let few = vm.ready.len().min(host::AT_ONCE);
        vm.ready.drain(..few).collect()
    })
    .unwrap_or_default();
    let some = !few.is_empty();
    for (request, cause) in few {
        let Ok(mut request) = request.try_borrow_mut() else { continue };
        // A client that has left meanwhile has no context any more.
        if host::enter(request.context).is_err() {
            continue;
        }
        match cause {
            Cause::Record(verdict) => request.admitted(verdict),
            Cause::Drawn => {}
            Cause::Lost => request.lost(),
        }
        if matches!(request.advance(now), Planned::Go) && host::resume_request().is_err() {
            log::error!("a request could not be resumed");
        }
    }
    if some {
        if host::enter(context).is_err() {
            log::warn!("the context of a callback is gone");
        }
        purses::flush(context, now);
    }
}
