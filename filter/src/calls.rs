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

use engine::keys::KeyDigest;

use crate::host::{self, Buffer};
use crate::purses::Asked;
use crate::settlement::Fate;
use crate::{admission, purses, vm, wake};

/// Cluster of the sidecar in every rendered configuration.
const CLUSTER: &str = "sidecar";
/// Time the sidecar has to make a batch durable.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(2);
/// Nanoseconds after which a call that was never answered is forgotten: its context left, and Envoy tells nobody.
const FORGOTTEN: u64 = 10_000_000_000;
/// gRPC statuses that will not change by sending the same again: malformed, and larger than the sidecar reads.
const INVALID_ARGUMENT: u32 = 3;
const OUT_OF_RANGE: u32 = 11;

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
}

/// Calls under way and since when, by the host's token.
pub(crate) struct Calls {
    under_way: HashMap<u32, (Call, u64), FixedState>,
    /// That the sidecar cannot even be called has been logged: it is a fault of the configuration, and lasts.
    complained: bool,
}

impl Calls {
    pub(crate) fn new(seed: u64) -> Self {
        Self { under_way: HashMap::with_hasher(FixedState::with_seed(seed)), complained: false }
    }

    /// No answer will come any more to what this context has drawn.
    pub(crate) fn orphaned(&mut self, context: u32) -> Vec<Asked> {
        let own = |call: &Call| matches!(call, Call::Draw(_, owner) if *owner == context);
        let orphans = self.under_way.extract_if(|_, (call, _)| own(call));
        orphans.filter_map(|(_, (call, _))| if let Call::Draw(asked, _) = call { Some(asked) } else { None }).collect()
    }

    /// The farewell of this VM is on its way.
    pub(crate) fn is_drawing(&self) -> bool {
        self.under_way.values().any(|(call, _)| matches!(call, Call::Draw(..)))
    }

    /// Forgets what was never answered.
    pub(crate) fn tidy(&mut self, now: u64) {
        self.under_way.retain(|_, (_, since)| now.saturating_sub(*since) < FORGOTTEN);
    }
}

fn call(method: &str, message: &[u8], timeout: Duration, call: Call) -> Result<(), Call> {
    let sent =
        proxy_wasm::hostcalls::dispatch_grpc_call(CLUSTER, api::SERVICE, method, Vec::new(), Some(message), timeout);
    match sent {
        Ok(token) => {
            vm::with(|vm| vm.calls.under_way.insert(token, (call, host::now())));
            Ok(())
        }
        Err(status) => {
            if vm::with(|vm| std::mem::replace(&mut vm.calls.complained, true)) == Some(false) {
                log::error!("the sidecar cannot be called: {status:?}");
            }
            Err(call)
        }
    }
}

/// Asks for a record.
pub(crate) fn admit(request: &v1::AdmitRequest, digest: KeyDigest, deadline: Duration) -> bool {
    call(api::ADMIT, &request.encode_to_vec(), deadline, Call::Admit(digest)).is_ok()
}

/// Asks for leases and rates. What was asked comes back if it could not be sent.
pub(crate) fn draw(request: &v1::AdmitRequest, asked: Asked, context: u32, deadline: Duration) -> Result<(), Asked> {
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

/// Sends a batch of settlements.
pub(crate) fn settle(batch: u64, message: &[u8]) -> bool {
    call(api::SETTLE, message, SETTLE_TIMEOUT, Call::Settle(batch)).is_ok()
}

/// The sidecar answered, or Envoy gave up. `context` is the one whose callback this is.
pub(crate) fn answered(context: u32, token: u32, status: u32, size: usize) {
    let Some((call, sent)) = vm::with(|vm| vm.calls.under_way.remove(&token)).flatten() else { return };
    let bytes = if status == 0 { host::buffer(Buffer::GrpcReceive, 0, size).ok() } else { None };
    let now = host::now();
    let admitted = || bytes.as_ref().and_then(|b| v1::AdmitResponse::decode(b.as_slice()).ok());
    match call {
        Call::Settle(batch) => {
            let answer = bytes.and_then(|b| v1::SettleResponse::decode(b.as_slice()).ok());
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
            vm::with(|vm| vm.settlements.greeted(answer.map(|a| a.vm_nonce)));
            purses::greeted();
            wake::go_on(context, now);
        }
        Call::Admit(digest) => {
            let verdict = bytes.and_then(|bytes| admission::learn(&digest, &bytes, now));
            admission::arrived(&digest, verdict.as_ref());
            wake::go_on(context, now);
        }
        Call::Draw(asked, _) => {
            let answer = admitted();
            admission::heard(answer.as_ref().map(|a| a.generation));
            purses::answered(&asked, answer, sent, now);
            wake::go_on(context, now);
        }
    }
}
