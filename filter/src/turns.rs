//! Large bodies take turns: a worker takes up one a tick, so that other requests and connections get ahead in between.
//!
//! Example: the last bytes of a hundred bodies of 32 MiB come together. Taken up at once they would hold the worker for ten
//! seconds, and connections to providers that were begun meanwhile would be over `timeouts.connect`.
//!
//! Does not: hold bodies. Envoy has them, and they are counted in [`crate::uploads`].

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::{Rc, Weak};

use crate::host;
use crate::request::{Planned, Request};
use crate::{account, vm};

/// A body of so many bytes takes turns. A smaller one is read and translated within milliseconds.
const LARGE: usize = 1 << 20;

/// Whose turn comes.
#[derive(Default)]
pub(crate) struct Turns {
    waiting: VecDeque<Weak<RefCell<Request>>>,
    /// A large body has been taken up since the last tick.
    taken: bool,
}

impl Turns {
    /// A body of this size has to wait for a turn of its own.
    pub(crate) fn must_wait(&mut self, request: &Rc<RefCell<Request>>, size: usize) -> bool {
        if size < LARGE {
            return false;
        }
        let wait = std::mem::replace(&mut self.taken, true);
        if wait {
            account::shared(|| self.waiting.push_back(Rc::downgrade(request)));
        }
        wait
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// The next whose client is still there.
    fn next(&mut self) -> Option<Rc<RefCell<Request>>> {
        self.taken = false;
        while let Some(request) = self.waiting.pop_front() {
            if let Some(request) = request.upgrade() {
                self.taken = true;
                return Some(request);
            }
        }
        None
    }
}

/// Takes up the next. `root` is the one whose tick this is, and the host's again afterwards.
pub(crate) fn tick(root: u32) {
    let Some(next) = vm::with(|vm| vm.turns.next()).flatten() else { return };
    if let Ok(mut request) = next.try_borrow_mut()
        && host::enter(request.context).is_ok()
    {
        let account = Rc::clone(&request.account);
        account.charge(|| {
            if matches!(request.body(), Planned::Go) {
                request.resume();
            }
        });
    }
    host::back_to(root);
}
