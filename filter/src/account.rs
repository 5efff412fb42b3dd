//! One account of bytes per VM: what each request in flight keeps, what a decode may take, who goes when it is too much.
//!
//! V8 gives the module 1 GiB, which never shrinks, and an allocation that fails ends every stream of the worker. So three
//! numbers stand well below it: requests may keep [`KEPT`] between callbacks, one piece of work may take [`WORK`] within
//! one, and no work begins beyond their sum, [`TOTAL`]. A VM has one thread, so work is never done twice at a time.
//!
//! ```text
//! an unfinished event of 900 KiB at each of 300 streams   the largest are ended, one by one, until the rest has room
//! 60 KiB at each of 5,000 streams, and a new request       503 with retry-after
//! ```
//!
//! Decision: bytes are counted by the allocator and charged by difference around each callback, so no structure can be
//! forgotten. Rejected: a charge that each structure makes for itself, and a budget for each of many caches.

use std::cell::Cell;
use std::rc::Rc;

use engine::exchange::WORK;
use proxy_wasm::traits::{Context, HttpContext};
use proxy_wasm::types::Action;

use crate::host::{self, heap};
use crate::metrics::Counter;
use crate::seldom::Seldom;
use crate::vm;

/// Bytes that may stay in use between callbacks.
const KEPT: usize = 256 << 20;
/// Bytes in use at most, those of the work at hand included.
const TOTAL: usize = KEPT + WORK;
/// Whoever keeps less than this is not ended for others: an ordinary stream keeps less.
const FAIR: i64 = 16 << 10;
/// Bytes more after which it is looked again for whom to end.
const STEP: usize = 1 << 20;

thread_local! {
    /// Sum of all accounts.
    static CHARGED: Cell<i64> = const { Cell::new(0) };
    /// Within a charge: what others were charged meanwhile.
    static OTHERS: Cell<i64> = const { Cell::new(0) };
    /// Below it nobody was found to be ended.
    static IN_VAIN: Cell<usize> = const { Cell::new(0) };
    /// Lines of the log that there is no room.
    static SAID: Seldom = const { Seldom::new() };
}

/// What one request keeps, in all its contexts. It may be below zero for a moment: others free what it has made.
#[derive(Debug, Default)]
pub(crate) struct Account(Cell<i64>);

impl Account {
    /// Does something for this request, and charges it what is kept of it.
    pub(crate) fn charge<T>(&self, work: impl FnOnce() -> T) -> T {
        let (out, own) = measured(work);
        self.0.set(self.0.get() + own);
        CHARGED.set(CHARGED.get() + own);
        out
    }

    /// Bytes.
    pub(crate) fn bytes(&self) -> i64 {
        self.0.get()
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        CHARGED.set(CHARGED.get() - self.0.get());
    }
}

/// Does something for the VM: a table that all requests share must not count as the one's in whose callback it grew.
pub(crate) fn shared<T>(work: impl FnOnce() -> T) -> T {
    measured(work).0
}

/// Does it, and says how many more bytes are in use after it, without what was charged within.
fn measured<T>(work: impl FnOnce() -> T) -> (T, i64) {
    let outer = OTHERS.replace(0);
    let before = heap::live();
    let out = work();
    let grown = heap::live().cast_signed().wrapping_sub(before.cast_signed()) as i64;
    let own = grown - OTHERS.get();
    OTHERS.set(outer + grown);
    (out, own)
}

/// Bytes in use, those of them that requests keep, and the size of linear memory.
pub(crate) fn standing() -> [i64; 3] {
    let signed = |bytes: usize| i64::try_from(bytes).unwrap_or(i64::MAX);
    [signed(heap::live()), CHARGED.get(), signed(heap::size())]
}

/// There is room for one more request.
pub(crate) fn is_open() -> bool {
    relieve();
    let open = heap::live() <= KEPT;
    if !open {
        refused();
    }
    open
}

/// There is room for work that takes so many bytes; made, where need be, at the cost of who keeps more than that.
pub(crate) fn has_room(work: usize) -> bool {
    let most = i64::try_from(work).unwrap_or(i64::MAX);
    while heap::live().saturating_add(work) > TOTAL && end_largest(most.max(FAIR)) {}
    let room = heap::live().saturating_add(work) <= TOTAL && heap::has(work);
    if !room {
        refused();
    }
    room
}

fn refused() {
    count(Counter::MemoryRefused);
}

/// Counts it, and says so in the log once a minute.
fn count(counter: Counter) {
    vm::with(|vm| vm.metrics.add(counter));
    if SAID.with(|said| said.is_due(host::now())) {
        let [live, requests, linear] = standing();
        log::warn!(
            "no room: {live} bytes in use of {linear}, {requests} kept by requests; see attache_filter_memory_*"
        );
    }
}

/// Ends the largest until what is kept is no more than may be. Where nobody keeps much, it is not looked for again before
/// more is kept.
fn relieve() {
    while heap::live() > KEPT.max(IN_VAIN.get()) {
        if !end_largest(FAIR) {
            IN_VAIN.set(heap::live() + STEP);
            return;
        }
    }
    if heap::live() <= KEPT {
        IN_VAIN.set(0);
    }
}

/// The answer that keeps most gives it back at once; the tick ends it. False if none keeps more than `least`.
fn end_largest(least: i64) -> bool {
    let largest = vm::with(|vm| {
        let left = vm.watch.iter_mut().filter(|(_, watched)| !watched.given_up && watched.account.bytes() > least);
        let (_, watched) = left.max_by_key(|(_, watched)| watched.account.bytes())?;
        watched.given_up = true;
        Some((Rc::clone(&watched.account), Rc::clone(&watched.exchange), Rc::clone(&watched.answer)))
    });
    let Some((account, exchange, answer)) = largest.flatten() else { return false };
    if let (Ok(ex), Ok(mut answer)) = (exchange.try_borrow(), answer.try_borrow_mut()) {
        account.charge(|| answer.give_up(&ex));
    }
    count(Counter::MemoryEnded);
    true
}

/// Whose account a context's callbacks are charged to.
pub(crate) trait Owner {
    fn account(&self) -> Option<Rc<Account>>;
}

/// A context whose callbacks are charged. The context itself is taken back within a charge, too.
pub(crate) struct Charged<C: Owner>(Option<C>);

impl<C: Owner> Charged<C> {
    pub(crate) fn new(context: C) -> Self {
        Self(Some(context))
    }

    fn charge<T>(&mut self, otherwise: T, work: impl FnOnce(&mut C) -> T) -> T {
        let Some(context) = &mut self.0 else { return otherwise };
        let out = match context.account() {
            Some(account) => account.charge(|| work(context)),
            None => work(context),
        };
        if heap::live() > KEPT {
            relieve();
        }
        out
    }
}

impl<C: Owner> Drop for Charged<C> {
    fn drop(&mut self) {
        if let Some(account) = self.0.as_ref().and_then(Owner::account) {
            account.charge(|| self.0 = None);
        }
    }
}

impl<C: Owner + Context> Context for Charged<C> {
    fn on_grpc_call_response(&mut self, token: u32, status: u32, size: usize) {
        self.charge((), |context| context.on_grpc_call_response(token, status, size));
    }
}

impl<C: Owner + HttpContext> HttpContext for Charged<C> {
    fn on_http_request_headers(&mut self, count: usize, end: bool) -> Action {
        self.charge(Action::Continue, |context| context.on_http_request_headers(count, end))
    }

    fn on_http_request_body(&mut self, size: usize, end: bool) -> Action {
        self.charge(Action::Continue, |context| context.on_http_request_body(size, end))
    }

    fn on_http_request_trailers(&mut self, count: usize) -> Action {
        self.charge(Action::Continue, |context| context.on_http_request_trailers(count))
    }

    fn on_http_response_headers(&mut self, count: usize, end: bool) -> Action {
        self.charge(Action::Continue, |context| context.on_http_response_headers(count, end))
    }

    fn on_http_response_body(&mut self, size: usize, end: bool) -> Action {
        self.charge(Action::Continue, |context| context.on_http_response_body(size, end))
    }

    fn on_http_response_trailers(&mut self, count: usize) -> Action {
        self.charge(Action::Continue, |context| context.on_http_response_trailers(count))
    }

    fn on_log(&mut self) {
        self.charge((), HttpContext::on_log);
    }
}
