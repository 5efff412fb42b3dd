//! Request bodies that Envoy holds: counted from the head to the end of the request, and refused where one comes too slowly
//! or all together are too many. The rules are in [`engine::upload`].
//!
//! Does not: hold bytes. What is counted here is Envoy's memory, which the module's own account does not know.

use std::cell::RefCell;
use std::rc::{Rc, Weak};

use engine::config::snapshot::Bounds;
use engine::upload::{Shares, Upload, crowded, excess, part, too_slow};
use foldhash::fast::FixedState;
use hashbrown::HashMap;
use wire::ir::Fault;

use crate::host;
use crate::request::Request;
use crate::vm;

/// Nanoseconds between two looks at how fast bodies come.
const SWEEP: u64 = 250_000_000;
/// The other workers are told when this worker holds so many bytes more or less, or after a second.
const STEP: u64 = 1 << 20;
const REFRESH: u64 = 1_000_000_000;

/// Key of the value in which workers tell each other what they hold.
const SHARED: &str = "bodies";

/// The bodies of one worker, by the host's context.
pub(crate) struct Uploads {
    worker: u64,
    coming: HashMap<u32, (Weak<RefCell<Request>>, Upload), FixedState>,
    /// Bytes of bodies that are whole, until their requests end: Envoy keeps a body for retries.
    whole: HashMap<u32, u64, FixedState>,
    /// Bytes of all of them.
    held: u64,
    others: u64,
    /// What the other workers know of this one, and since when.
    told: (u64, u64),
    swept: u64,
}

impl Uploads {
    /// `worker` is a number that no other worker has.
    pub(crate) fn new(worker: u64, seed: u64) -> Self {
        Self {
            worker,
            coming: HashMap::with_hasher(FixedState::with_seed(seed)),
            whole: HashMap::with_hasher(FixedState::with_seed(seed)),
            held: 0,
            others: 0,
            told: (0, 0),
            swept: 0,
        }
    }

    /// A head came whose body follows.
    pub(crate) fn begin(&mut self, context: u32, request: &Rc<RefCell<Request>>, now: u64) {
        self.coming.insert(context, (Rc::downgrade(request), Upload::new(now)));
    }

    /// So many bytes of the body are here.
    pub(crate) fn grown(&mut self, context: u32, size: usize) {
        if let Some((_, upload)) = self.coming.get_mut(&context) {
            self.held = self.held.saturating_sub(upload.bytes()).saturating_add(size as u64);
            upload.has(size as u64);
        }
    }

    /// All of the body is here; `size` is what it has, if that is known.
    pub(crate) fn done(&mut self, context: u32, size: usize) {
        if size != host::ALL {
            self.grown(context, size);
        }
        if let Some((_, upload)) = self.coming.remove(&context)
            && upload.bytes() > 0
        {
            self.whole.insert(context, upload.bytes());
        }
    }

    /// The request has ended.
    pub(crate) fn forget(&mut self, context: u32) {
        let coming = self.coming.remove(&context).map(|(_, upload)| upload.bytes());
        let bytes = coming.or_else(|| self.whole.remove(&context)).unwrap_or(0);
        self.held = self.held.saturating_sub(bytes);
    }

    /// Those to refuse now, and why.
    fn due(&mut self, bounds: Bounds, now: u64) -> Vec<(Rc<RefCell<Request>>, Fault)> {
        if self.coming.is_empty() && self.held == 0 && self.told.0 == 0 {
            return Vec::new();
        }
        self.share(now);
        let bound = part(self.held, self.others, bounds.bodies());
        let all = self.coming.iter().map(|(context, (_, upload))| (*context, *upload));
        let mut due: Vec<(u32, Fault)> =
            excess(all, self.held, bound, now).into_iter().map(|context| (context, crowded())).collect();
        if now.saturating_sub(self.swept) >= SWEEP {
            self.swept = now;
            let slow = self.coming.iter_mut().filter_map(|(context, (_, upload))| {
                upload.slow(bounds.body_rate, now).then_some((*context, too_slow(bounds.body_rate)))
            });
            due.extend(slow);
        }
        if due.len() > host::AT_ONCE {
            // The others with the next tick.
            due.truncate(host::AT_ONCE);
            self.swept = 0;
        }
        let mut out = Vec::new();
        for (context, fault) in due {
            let request = self.coming.get(&context).and_then(|(request, _)| request.upgrade());
            self.forget(context);
            out.extend(request.map(|request| (request, fault)));
        }
        out
    }

    /// Tells the other workers, and hears of them, if that has changed or is old.
    fn share(&mut self, now: u64) {
        let (held, at) = self.told;
        if held == 0 && self.held < STEP {
            // Too little to be told; a bound that nobody nears needs no call.
            self.others = 0;
            return;
        }
        if self.held.abs_diff(held) < STEP && now.saturating_sub(at) < REFRESH {
            return;
        }
        let shared = host::update_shared(SHARED, |old| {
            let mut shares = Shares::decode(old);
            shares.tell(self.worker, self.held, now);
            shares.encode()
        });
        if let Ok(shared) = shared {
            self.others = Shares::decode(&shared).others(self.worker);
            self.told = (self.held, now);
        }
    }
}

/// Refuses what came too slowly, and what is too much.
pub(crate) fn tick(root: u32, bounds: Bounds, now: u64) {
    let due = vm::with(|vm| vm.uploads.due(bounds, now)).unwrap_or_default();
    let some = !due.is_empty();
    for (request, fault) in due {
        let Ok(mut request) = request.try_borrow_mut() else { continue };
        if host::enter(request.context).is_ok() {
            request.refuse(&fault);
        }
    }
    if some {
        host::back_to(root);
    }
}
