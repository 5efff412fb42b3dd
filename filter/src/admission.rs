//! Who may go on: key records from this VM, from the other workers, or from the sidecar; and the calls to the sidecar.
//!
//! A key is asked for once: requests that come while the call is under way wait for its answer. The call belongs to the
//! first of them; if that client leaves, Envoy drops the call and the next tick asks again for the others.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use engine::config::schema::{AuthMode, ClientKeys, OnFailure};
use engine::config::snapshot::{Snapshot, VirtualKey};
use engine::exchange::{Denial, needs_key};
use engine::keys::{self, KeyDigest, Record};
use foldhash::fast::FixedState;
use hashbrown::HashMap;
use prost::Message;
use sidecar_api::v1::admit_response::Verdict as Said;
use sidecar_api::{self as api, v1};

use crate::host::{self, Buffer};
use crate::metrics::Counter;
use crate::request::{Admission, Planned, Request};
use crate::settlement::Fate;
use crate::vm;

/// Cluster of the sidecar in every rendered configuration.
const CLUSTER: &str = "sidecar";
/// Records kept in this VM; when they are that many, all go: the shared table has them still.
const LOCAL: usize = 4096;
/// Time the sidecar has to make a batch durable.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(2);
/// Nanoseconds a lost answer is waited for beyond the call's own deadline, which Envoy enforces.
const GRACE: u64 = 200_000_000;
/// Nanoseconds after which a call that was never answered is forgotten: its context left, and Envoy tells nobody.
const FORGOTTEN: u64 = 10_000_000_000;
/// gRPC statuses that will not change by sending the same again: malformed, and larger than the sidecar reads.
const INVALID_ARGUMENT: u32 = 3;
const OUT_OF_RANGE: u32 = 11;
/// Shared data: the newest generation of key records any worker has heard of.
const GENERATION: &str = "generation";

#[derive(Clone)]
enum Verdict {
    Good(Rc<VirtualKey>),
    Bad(Denial),
}

struct Known {
    verdict: Verdict,
    expires: u64,
    generation: u64,
}

struct Pending {
    waiting: Vec<Rc<RefCell<Request>>>,
    since: u64,
    /// The context the call belongs to; `None` if it has left.
    owner: Option<u32>,
}

enum Call {
    Admit(KeyDigest),
    Hello,
    Settle(u64),
}

/// A request that may go on, with what is known of its key; `None` if nobody answered.
type Ready = (Rc<RefCell<Request>>, KeyDigest, Option<Verdict>);

/// Admission state of one VM.
pub(crate) struct Admissions {
    known: HashMap<KeyDigest, Known, FixedState>,
    pending: HashMap<KeyDigest, Pending, FixedState>,
    ready: VecDeque<Ready>,
    /// Calls under way and since when, by the host's token.
    calls: HashMap<u32, (Call, u64), FixedState>,
    generation: u64,
    /// That the sidecar cannot even be called has been logged: it is a fault of the configuration, and lasts.
    complained: bool,
}

impl Admissions {
    pub(crate) fn new(seed: u64) -> Self {
        let map = || FixedState::with_seed(seed);
        Self {
            known: HashMap::with_hasher(map()),
            pending: HashMap::with_hasher(map()),
            ready: VecDeque::new(),
            calls: HashMap::with_hasher(map()),
            generation: 0,
            complained: false,
        }
    }

    fn find(&self, digest: &KeyDigest, now: u64) -> Option<Verdict> {
        let known = self.known.get(digest)?;
        (known.expires > now && known.generation >= self.generation).then(|| known.verdict.clone())
    }

    fn keep(&mut self, digest: KeyDigest, known: Known) {
        if self.known.len() >= LOCAL {
            self.known.clear();
        }
        self.known.insert(digest, known);
    }
}

/// What is known of a request's key; `None`: it has been asked for, and `request` will be woken.
pub(crate) fn look_up(
    snapshot: &Snapshot,
    digest: Option<KeyDigest>,
    request: &Rc<RefCell<Request>>,
    context: u32,
) -> Option<Admission> {
    if snapshot.auth == AuthMode::Open {
        return Some(Ok(None));
    }
    let Some(digest) = digest else {
        return Some(if needs_key(snapshot.auth) { Err(Denial::Missing) } else { Ok(None) });
    };
    let now = host::now();
    let known = vm::with(|vm| vm.admissions.find(&digest, now)).flatten().or_else(|| from_workers(&digest, now));
    if let Some(verdict) = known {
        return Some(admission(snapshot, verdict));
    }
    let asked = vm::with(|vm| {
        let pending = vm.admissions.pending.entry(digest).or_insert_with(|| Pending {
            waiting: Vec::new(),
            since: now,
            owner: Some(context),
        });
        pending.waiting.push(Rc::clone(request));
        pending.waiting.len() > 1
    });
    if asked == Some(false) && !ask(snapshot, &digest) {
        vm::with(|vm| vm.admissions.pending.remove(&digest));
        return Some(away(snapshot, &digest));
    }
    None
}

fn admission(snapshot: &Snapshot, verdict: Verdict) -> Admission {
    match verdict {
        Verdict::Good(key) => Ok(Some(key)),
        // Not ours: a provider key of the client's own, which the configuration lets pass.
        Verdict::Bad(Denial::Unknown)
            if snapshot.client_keys == ClientKeys::Pass && snapshot.auth == AuthMode::Optional =>
        {
            Ok(None)
        }
        Verdict::Bad(denial) => Err(denial),
    }
}

/// The sidecar is away. A record that is only older than the generation still has its time: which key has changed nobody can
/// say, and to refuse them all would make an outage of every push that the sidecar does not survive. So `key_ttl` is how
/// long a revoked key lasts at most. Beyond it the configuration decides, and where that allows, an ended record is better
/// than none.
fn away(snapshot: &Snapshot, digest: &KeyDigest) -> Admission {
    vm::with(|vm| vm.metrics.add(Counter::AdmitsFailed));
    let now = host::now();
    let lasting = |vm: &mut vm::Vm| {
        let known = vm.admissions.known.get(digest).filter(|known| known.expires > now);
        known.map(|known| known.verdict.clone())
    };
    if let Some(verdict) = vm::with(lasting).flatten() {
        return admission(snapshot, verdict);
    }
    match snapshot.sidecar.on_failure {
        OnFailure::Deny => Err(Denial::Away),
        OnFailure::Allow => {
            let ended = vm::with(|vm| vm.admissions.known.get(digest).map(|known| known.verdict.clone())).flatten();
            ended.map_or(Ok(None), |verdict| admission(snapshot, verdict))
        }
    }
}

fn slot(digest: &KeyDigest) -> String {
    format!("key.{}", keys::set(digest))
}

/// A record that another worker has asked for.
fn from_workers(digest: &KeyDigest, now: u64) -> Option<Verdict> {
    let bytes = host::shared(&slot(digest));
    let record = keys::find(&bytes, digest, now)?;
    let answer = v1::AdmitResponse::decode(record.payload).ok()?;
    let known = known(&answer, record.expires)?;
    let verdict = known.verdict.clone();
    vm::with(|vm| {
        let current = known.generation >= vm.admissions.generation;
        current.then(|| vm.admissions.keep(*digest, known))
    })
    .flatten()
    .map(|()| verdict)
}

fn known(answer: &v1::AdmitResponse, expires: u64) -> Option<Known> {
    let verdict = match answer.verdict() {
        Said::Admitted => Verdict::Good(Rc::new(answer.key.clone()?.try_into().ok()?)),
        Said::UnknownKey => Verdict::Bad(Denial::Unknown),
        Said::Disabled => Verdict::Bad(Denial::Disabled),
        Said::Unspecified => return None,
    };
    Some(Known { verdict, expires, generation: answer.generation })
}

fn call(method: &str, message: &[u8], timeout: Duration, call: Call) -> bool {
    let sent =
        proxy_wasm::hostcalls::dispatch_grpc_call(CLUSTER, api::SERVICE, method, Vec::new(), Some(message), timeout);
    match sent {
        Ok(token) => vm::with(|vm| vm.admissions.calls.insert(token, (call, host::now()))).is_some(),
        Err(status) => {
            if vm::with(|vm| std::mem::replace(&mut vm.admissions.complained, true)) == Some(false) {
                log::error!("the sidecar cannot be called: {status:?}");
            }
            false
        }
    }
}

fn ask(snapshot: &Snapshot, digest: &KeyDigest) -> bool {
    vm::with(|vm| vm.metrics.add(Counter::Admits));
    let message = v1::AdmitRequest { key_sha256: digest.to_vec(), hello: false }.encode_to_vec();
    call(api::ADMIT, &message, snapshot.sidecar.deadline, Call::Admit(*digest))
}

/// Asks for this VM's nonce.
pub(crate) fn hello() -> bool {
    let message = v1::AdmitRequest { key_sha256: Vec::new(), hello: true }.encode_to_vec();
    call(api::ADMIT, &message, SETTLE_TIMEOUT, Call::Hello)
}

/// Sends a batch of settlements.
pub(crate) fn settle(batch: u64, message: &[u8]) -> bool {
    call(api::SETTLE, message, SETTLE_TIMEOUT, Call::Settle(batch))
}

/// The sidecar answered, or Envoy gave up. `context` is the one whose callback this is.
pub(crate) fn answered(context: u32, token: u32, status: u32, size: usize) {
    let Some((call, _)) = vm::with(|vm| vm.admissions.calls.remove(&token)).flatten() else { return };
    let bytes = if status == 0 { host::buffer(Buffer::GrpcReceive, 0, size).ok() } else { None };
    let now = host::now();
    match call {
        Call::Settle(batch) => {
            let answer = bytes.and_then(|b| v1::SettleResponse::decode(b.as_slice()).ok());
            let fate = match (&answer, status) {
                (Some(_), _) => Fate::Durable,
                (None, INVALID_ARGUMENT | OUT_OF_RANGE) => Fate::Refused,
                (None, _) => Fate::Lost,
            };
            vm::with(|vm| vm.settlements.ended(batch, fate, now, &mut vm.metrics));
            heard(answer.map(|a| a.generation));
        }
        Call::Hello => {
            let answer = bytes.and_then(|b| v1::AdmitResponse::decode(b.as_slice()).ok());
            heard(answer.as_ref().map(|a| a.generation));
            vm::with(|vm| vm.settlements.greeted(answer.map(|a| a.vm_nonce)));
        }
        Call::Admit(digest) => {
            let verdict = bytes.and_then(|bytes| learn(&digest, &bytes, now));
            let waiting = vm::with(|vm| vm.admissions.pending.remove(&digest)).flatten();
            wake(waiting, &digest, verdict.as_ref(), now);
            if host::enter(context).is_err() {
                log::warn!("the context of a callback is gone");
            }
        }
    }
}

/// Keeps an answer here and where the other workers find it.
fn learn(digest: &KeyDigest, bytes: &[u8], now: u64) -> Option<Verdict> {
    let answer = v1::AdmitResponse::decode(bytes).ok()?;
    heard(Some(answer.generation));
    let expires = now.saturating_add(u64::from(answer.ttl_ms).saturating_mul(1_000_000));
    let known = known(&answer, expires)?;
    let verdict = known.verdict.clone();
    let good = matches!(verdict, Verdict::Good(_));
    vm::with(|vm| vm.admissions.keep(*digest, known));
    let shared =
        host::update_shared(&slot(digest), |old| keys::put(old, Record { digest, expires, good, payload: bytes }, now));
    if shared.is_err() {
        log::warn!("a key record could not be shared");
    }
    Some(verdict)
}

/// A generation was heard of: records older than it are asked for again, by every worker.
fn heard(generation: Option<u64>) {
    let Some(new) = generation else { return };
    let newer = vm::with(|vm| {
        let newer = new > vm.admissions.generation;
        vm.admissions.generation = vm.admissions.generation.max(new);
        newer
    });
    if newer == Some(true) {
        let told = host::update_shared(GENERATION, |old| vm::word(old).max(new).to_le_bytes().to_vec());
        if told.is_err() {
            log::warn!("the generation of key records could not be shared");
        }
    }
}

/// The requests that waited for this key may go on.
fn wake(pending: Option<Pending>, digest: &KeyDigest, verdict: Option<&Verdict>, now: u64) {
    let waiting = pending.map(|p| p.waiting).unwrap_or_default();
    let ready = waiting.into_iter().map(|request| (request, *digest, verdict.cloned()));
    vm::with(|vm| vm.admissions.ready.extend(ready));
    go_on(now);
}

/// Lets some of those go on that may. True if the host's context is now one of theirs.
fn go_on(now: u64) -> bool {
    let few: Vec<Ready> = vm::with(|vm| {
        let few = vm.admissions.ready.len().min(host::AT_ONCE);
        vm.admissions.ready.drain(..few).collect()
    })
    .unwrap_or_default();
    let some = !few.is_empty();
    for (request, digest, verdict) in few {
        let Ok(mut request) = request.try_borrow_mut() else { continue };
        let Some(snapshot) = request.snapshot() else { continue };
        // A client that has left meanwhile has no context any more.
        if host::enter(request.context).is_err() {
            continue;
        }
        request.admit(match verdict {
            Some(verdict) => admission(&snapshot, verdict),
            None => away(&snapshot, &digest),
        });
        if matches!(request.advance(now), Planned::Go) && host::resume_request().is_err() {
            log::error!("a request could not be resumed");
        }
    }
    some
}

/// A request is over: it waits for nothing any more.
pub(crate) fn forget(request: &Rc<RefCell<Request>>) {
    let Some(context) = request.try_borrow().ok().map(|r| r.context) else { return };
    vm::with(|vm| {
        if vm.admissions.pending.is_empty() {
            return;
        }
        vm.admissions.pending.retain(|_, pending| {
            pending.waiting.retain(|waiting| !Rc::ptr_eq(waiting, request));
            pending.owner = pending.owner.filter(|owner| *owner != context);
            !pending.waiting.is_empty()
        });
    });
}

/// Asks again for keys whose call went with its client; gives up on answers that never came.
pub(crate) fn tick(root: u32) {
    let Some(Some(snapshot)) = vm::with(|vm| vm.snapshot.clone()) else { return };
    let shared = vm::word(&host::shared(GENERATION));
    let now = host::now();
    let patience = u64::try_from(snapshot.sidecar.deadline.as_nanos()).unwrap_or(u64::MAX).saturating_add(GRACE);
    let (orphans, late) = vm::with(|vm| {
        vm.admissions.generation = vm.admissions.generation.max(shared);
        vm.admissions.calls.retain(|_, (_, since)| now.saturating_sub(*since) < FORGOTTEN);
        let pending = &mut vm.admissions.pending;
        let late: Vec<_> = pending.extract_if(|_, p| now.saturating_sub(p.since) > patience).collect();
        let orphans = pending.iter_mut().filter(|(_, p)| p.owner.is_none()).map(|(digest, p)| {
            p.owner = Some(root);
            *digest
        });
        (orphans.collect::<Vec<_>>(), late)
    })
    .unwrap_or_else(|| (Vec::new(), Vec::new()));
    for digest in orphans {
        // If it cannot be sent now either, patience ends it.
        ask(&snapshot, &digest);
    }
    vm::with(|vm| {
        let late = late.into_iter().flat_map(|(digest, p)| p.waiting.into_iter().map(move |w| (w, digest, None)));
        vm.admissions.ready.extend(late);
    });
    if go_on(now) && host::enter(root).is_err() {
        log::warn!("the root context is gone");
    }
}
