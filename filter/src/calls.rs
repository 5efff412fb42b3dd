//! Calls to the sidecar, and their answers.
//!
//! A call belongs to the context whose callback makes it, for Envoy and for the SDK: when that stream ends, Envoy drops
//! the call and tells nobody. So what is asked for several requests at once goes out at the end of a callback, in the
//! callback's own context, and the tick asks again for those who still wait.

use std::time::Duration;

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use prost::Message;
use sidecar_api::{self as api, v1};

use engine::config::snapshot::Sidecar;
use engine::keys::KeyDigest;

use crate::host::{self, Buffer};
use crate::members::Reported;
use crate::patience::{Health, UNAVAILABLE, nanos};
use crate::purses::Asked;
use crate::settlement::Fate;
use crate::{account, admission, members, pending, purses, vm, wake};

/// Cluster of the sidecar in every rendered configuration.
const CLUSTER: &str = "sidecar";
/// Time the sidecar has to make a batch durable.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(2);
/// Nanoseconds after its deadline when a call counts as lost that was never answered: its context left, and Envoy tells
/// nobody.
const GRACE: u64 = 1_000_000_000;
/// gRPC statuses that will not change by sending the same again: malformed, and larger than the sidecar reads.
const INVALID_ARGUMENT: u32 = 3;
const OUT_OF_RANGE: u32 = 11;
/// gRPC status of a call that took too long.
const DEADLINE_EXCEEDED: u32 = 4;

/// What was asked.
pub(crate) enum Call {
    /// A record.
    Admit(KeyDigest),
    /// Leases and rates, by this context.
    Draw(Asked, u32),
    /// A nonce.
    Hello,
    /// To take this batch.
    Settle(u64),
    /// To take back what these VMs held.
    Report(Vec<Reported>),
}

/// A call under way.
struct Sent {
    call: Call,
    at: u64,
    deadline: Duration,
}

/// Calls under way, by the host's token, and how former ones have ended.
pub(crate) struct Calls {
    under_way: HashMap<u32, Sent, FixedState>,
    /// Of the sidecar as a whole, and of its store, which draws wait for.
    link: Health,
    store: Health,
    /// That the sidecar cannot even be called has been logged: it is a fault of the configuration, and lasts.
    complained: bool,
}

impl Calls {
    pub(crate) fn new(seed: u64) -> Self {
        let under_way = HashMap::with_hasher(FixedState::with_seed(seed));
        Self { under_way, link: Health::default(), store: Health::default(), complained: false }
    }

    /// Nobody should wait for a record.
    pub(crate) fn is_away(&self, sidecar: &Sidecar, now: u64) -> bool {
        self.link.is_away(sidecar, now)
    }

    /// Nobody should wait for a lease.
    pub(crate) fn grants_nothing(&self, sidecar: &Sidecar, now: u64) -> bool {
        self.is_away(sidecar, now) || self.store.is_away(sidecar, now)
    }

    /// Something may be asked though it is away, to see whether it is back.
    pub(crate) fn may_probe(&mut self, now: u64) -> bool {
        self.link.may_probe(now)
    }

    /// How a call has ended. Settlements wait for syncs of the disk that no request waits for: they say only that somebody
    /// is there. Counting takes as long as the prompt is, and says no more.
    fn ended(&mut self, sidecar: &Sidecar, sent: &Sent, status: u32, now: u64) {
        let took = now.saturating_sub(sent.at);
        let parts = match &sent.call {
            Call::Draw(asked, _) if asked.draws() => [Some(&mut self.link), Some(&mut self.store)],
            Call::Draw(asked, _) if asked.counts() => [None, None],
            Call::Draw(..) | Call::Admit(_) | Call::Hello => [Some(&mut self.link), None],
            Call::Settle(_) | Call::Report(_) if status == 0 => [Some(&mut self.link), None],
            Call::Settle(_) | Call::Report(_) => [None, None],
        };
        for part in parts.into_iter().flatten() {
            if status != 0 {
                part.failed(sidecar, status, sent.at, sent.deadline, now);
                continue;
            }
            part.answered();
            if matches!(&sent.call, Call::Admit(_) | Call::Draw(..)) {
                part.took(sidecar, took);
            }
        }
    }

    /// No answer will come any more to what this context has drawn.
    pub(crate) fn orphaned(&mut self, context: u32) -> Vec<Asked> {
        let own = |call: &Call| matches!(call, Call::Draw(_, owner) if *owner == context);
        let orphans = self.under_way.extract_if(|_, sent| own(&sent.call));
        orphans.filter_map(|(_, sent)| if let Call::Draw(asked, _) = sent.call { Some(asked) } else { None }).collect()
    }

    /// The farewell of this VM is on its way.
    pub(crate) fn is_drawing(&self) -> bool {
        self.under_way.values().any(|sent| matches!(sent.call, Call::Draw(..)))
    }

    /// What was never answered.
    fn overdue(&mut self, now: u64) -> Vec<Sent> {
        let late = |sent: &Sent| now.saturating_sub(sent.at) > nanos(sent.deadline).saturating_add(GRACE);
        self.under_way.extract_if(|_, sent| late(sent)).map(|(_, sent)| sent).collect()
    }
}

fn call(method: &str, message: &[u8], deadline: Duration, call: Call) -> Result<(), Call> {
    let sent =
        proxy_wasm::hostcalls::dispatch_grpc_call(CLUSTER, api::SERVICE, method, Vec::new(), Some(message), deadline);
    match sent {
        Ok(token) => {
            vm::with(|vm| vm.calls.under_way.insert(token, Sent { call, at: host::now(), deadline }));
            Ok(())
        }
        Err(status) => {
            let now = host::now();
            let first = vm::with(|vm| {
                // Envoy has nobody to send it to.
                if let Some(snapshot) = &vm.snapshot {
                    vm.calls.link.failed(&snapshot.sidecar, UNAVAILABLE, now, deadline, now);
                }
                !std::mem::replace(&mut vm.calls.complained, true)
            });
            if first == Some(true) {
                log::error!("the sidecar cannot be called: {status:?}");
            }
            Err(call)
        }
    }
}

/// Asks for a record.
pub(crate) fn admit(request: &v1::AdmitRequest, digest: KeyDigest, sidecar: &Sidecar) -> bool {
    let deadline = vm::with(|vm| vm.calls.link.deadline(sidecar)).unwrap_or(sidecar.deadline);
    call(api::ADMIT, &request.encode_to_vec(), deadline, Call::Admit(digest)).is_ok()
}

/// Asks for leases, rates or a count. What was asked comes back if it could not be sent.
pub(crate) fn draw(request: &v1::AdmitRequest, asked: Asked, context: u32, sidecar: &Sidecar) -> Result<(), Asked> {
    let deadline = if asked.counts() {
        // To count the same once more would take no less time.
        sidecar.patience
    } else {
        vm::with(|vm| vm.calls.link.deadline(sidecar).max(vm.calls.store.deadline(sidecar))).unwrap_or(sidecar.deadline)
    };
    match call(api::ADMIT, &request.encode_to_vec(), deadline, Call::Draw(asked, context)) {
        Err(Call::Draw(asked, _)) => Err(asked),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Asks for this VM's nonce.
pub(crate) fn hello() -> bool {
    let message = v1::AdmitRequest { hello: true, ..v1::AdmitRequest::default() }.encode_to_vec();
    call(api::ADMIT, &message, SETTLE_TIMEOUT, Call::Hello).is_ok()
}

/// Reports VMs that have died.
pub(crate) fn report(request: &v1::AdmitRequest, these: Vec<Reported>) -> bool {
    call(api::ADMIT, &request.encode_to_vec(), SETTLE_TIMEOUT, Call::Report(these)).is_ok()
}

/// Sends a batch of settlements.
pub(crate) fn settle(batch: u64, message: &[u8]) -> bool {
    call(api::SETTLE, message, SETTLE_TIMEOUT, Call::Settle(batch)).is_ok()
}

/// The sidecar answered, or Envoy gave up. `context` is the one whose callback this is.
pub(crate) fn answered(context: u32, token: u32, status: u32, size: usize) {
    let Some(sent) = vm::with(|vm| vm.calls.under_way.remove(&token)).flatten() else { return };
    let bytes = if status == 0 { host::buffer(Buffer::GrpcReceive, 0, size).ok() } else { None };
    let now = host::now();
    let waits = !matches!(sent.call, Call::Settle(_));
    ended(sent, status, bytes.as_deref(), now);
    if waits {
        wake::go_on(context, now);
    }
}

/// Takes what was never answered for lost.
pub(crate) fn tick(now: u64) {
    for sent in vm::with(|vm| vm.calls.overdue(now)).unwrap_or_default() {
        ended(sent, DEADLINE_EXCEEDED, None, now);
    }
}

fn ended(sent: Sent, status: u32, bytes: Option<&[u8]>, now: u64) {
    vm::with(|vm| {
        if let Some(snapshot) = &vm.snapshot {
            vm.calls.ended(&snapshot.sidecar, &sent, status, now);
        }
    });
    let admitted = || bytes.and_then(|bytes| v1::AdmitResponse::decode(bytes).ok());
    match sent.call {
        Call::Settle(batch) => {
            let answer = bytes.and_then(|bytes| v1::SettleResponse::decode(bytes).ok());
            let fate = match (&answer, status) {
                (Some(_), _) => Fate::Durable,
                (None, INVALID_ARGUMENT | OUT_OF_RANGE) => Fate::Refused,
                (None, _) => Fate::Lost,
            };
            vm::with(|vm| vm.settlements.ended(batch, fate, now, &mut vm.metrics));
            admission::heard(answer.map(|a| a.generation));
        }
        Call::Hello => {
            let answer = admitted();
            admission::heard(answer.as_ref().map(|a| a.generation));
            vm::with(|vm| {
                vm.settlements.greeted(answer.map(|a| a.vm_nonce));
                account::shared(|| members::join(vm));
            });
            purses::greeted(now);
        }
        Call::Report(these) => {
            if admitted().is_some() {
                members::reported(&these);
            }
        }
        Call::Admit(digest) => match bytes.and_then(|bytes| admission::learn(&digest, bytes, now)) {
            Some(verdict) => pending::arrived(&digest, &verdict),
            None => pending::lost(&digest, now),
        },
        Call::Draw(asked, _) => {
            let answer = admitted();
            admission::heard(answer.as_ref().map(|a| a.generation));
            match answer {
                Some(answer) => purses::answered(&asked, answer, sent.at, now),
                None => purses::lost(&asked, now),
            }
        }
    }
}
