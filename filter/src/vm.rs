//! What all contexts of one worker's VM share: the snapshot, requests in flight, records, purses, settlements.
//!
//! Does not: outlive the VM or cross workers; what workers share is in Envoy's shared data.
//!
//! Decision: one thread-local value, borrowed for a moment at a time and never across a host call that could re-enter.
//! Rejected: passing state through filter state, which copies and serialises it at each crossing.

use std::cell::RefCell;
use std::rc::Rc;

use engine::config::snapshot::Snapshot;
use engine::cooldown::Cooldowns;
use engine::draw::Draw;
use engine::exchange::Exchange;
use foldhash::fast::FixedState;
use hashbrown::HashMap;

use crate::account::Account;
use crate::admission::Admissions;
use crate::calls::Calls;
use crate::host;
use crate::members::{self, Members};
use crate::metrics::Metrics;
use crate::pending::Pendings;
use crate::purses::Purses;
use crate::settlement::Settlements;
use crate::turns::Turns;
use crate::uploads::Uploads;
use crate::wake::Ready;
use crate::watch::Watch;

/// A request in flight.
#[derive(Clone)]
pub(crate) struct Running {
    pub(crate) exchange: Rc<RefCell<Exchange>>,
    /// What it keeps.
    pub(crate) account: Rc<Account>,
}

/// Requests in flight, by number. The number also is the second half of the admission id.
pub(crate) type Exchanges = HashMap<u64, Running, FixedState>;

/// State of one VM.
pub(crate) struct Vm {
    pub(crate) snapshot: Option<Rc<Snapshot>>,
    /// The root context whose tick serves the VM, that of the running configuration; 0 if it has gone.
    pub(crate) elected: u32,
    pub(crate) exchanges: Exchanges,
    pub(crate) watch: Watch,
    /// When answers on their way were last looked at; Unix nanoseconds.
    pub(crate) swept: u64,
    pub(crate) calls: Calls,
    pub(crate) admissions: Admissions,
    pub(crate) pending: Pendings,
    pub(crate) purses: Purses,
    pub(crate) uploads: Uploads,
    pub(crate) turns: Turns,
    /// Requests that have the record they waited for.
    pub(crate) ready: Ready,
    pub(crate) settlements: Settlements,
    pub(crate) members: Members,
    pub(crate) metrics: Metrics,
    /// As last read.
    pub(crate) cooldowns: Cooldowns,
    pub(crate) draw: Draw,
    ordinal: u64,
    numbers: u64,
}

impl Vm {
    fn new() -> Self {
        // Each VM draws its own lot: the order in which it came is the only thing sure to differ.
        let ordinal = host::update_shared("vms", |old| word(old).wrapping_add(1).to_le_bytes().to_vec())
            .map_or(0, |new| word(&new));
        let seed = Draw::new(host::now() ^ ordinal.rotate_left(32)).bits();
        Self {
            snapshot: None,
            elected: 0,
            exchanges: HashMap::with_hasher(FixedState::with_seed(seed)),
            watch: HashMap::with_hasher(FixedState::with_seed(seed)),
            swept: 0,
            calls: Calls::new(seed),
            admissions: Admissions::new(seed),
            pending: Pendings::new(seed),
            purses: Purses::new(seed),
            uploads: Uploads::new(ordinal, seed),
            turns: Turns::default(),
            ready: Ready::new(),
            settlements: Settlements::default(),
            members: Members::default(),
            metrics: Metrics::default(),
            cooldowns: Cooldowns::default(),
            draw: Draw::new(seed),
            ordinal,
            // A try of a request that another VM planned before it died may come to this one: no number of that means
            // another request here.
            numbers: seed,
        }
    }

    /// Takes a new configuration; requests in flight keep theirs.
    pub(crate) fn configure(&mut self, snapshot: Rc<Snapshot>, root: u32) {
        if let Some(seed) = snapshot.seed {
            // Reproducible for a test, and still another sequence for each worker.
            self.draw = Draw::new(Draw::new(seed ^ self.ordinal).bits());
        }
        self.snapshot = Some(snapshot);
        self.elected = root;
    }

    /// This configuration runs. Envoy does not configure a root context anew when a push is taken back to a configuration
    /// that still has streams, so whoever gets a request is the one.
    pub(crate) fn run(&mut self, snapshot: &Rc<Snapshot>, root: u32) {
        if self.elected != root {
            self.elected = root;
            self.snapshot = Some(Rc::clone(snapshot));
        }
    }

    /// A root context goes.
    pub(crate) fn leave(&mut self, root: u32) {
        if self.elected == root {
            self.elected = 0;
            members::leave(self);
        }
    }

    /// Requests that wait for the sidecar.
    pub(crate) fn waiting(&self) -> usize {
        self.pending.len().saturating_add(self.purses.lines.len())
    }

    /// The next number; never given twice by one VM.
    pub(crate) fn number(&mut self) -> u64 {
        self.numbers = self.numbers.wrapping_add(1);
        self.numbers
    }
}

/// A little-endian word of shared data.
pub(crate) fn word(bytes: &[u8]) -> u64 {
    bytes.try_into().map_or(0, u64::from_le_bytes)
}

thread_local! {
    static VM: RefCell<Option<Vm>> = const { RefCell::new(None) };
}

/// Borrows the VM's state. `None` only if it is borrowed already, which no callback does; then the caller gives up its
/// work rather than the worker.
pub(crate) fn with<T>(f: impl FnOnce(&mut Vm) -> T) -> Option<T> {
    VM.with(|vm| {
        let mut vm = vm.try_borrow_mut().ok()?;
        Some(f(vm.get_or_insert_with(Vm::new)))
    })
}

/// The request in flight with this number.
pub(crate) fn running(number: u64) -> Option<Running> {
    with(|vm| vm.exchanges.get(&number).cloned()).flatten()
}
