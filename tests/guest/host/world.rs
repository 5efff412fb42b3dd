//! What the host knows: contexts, streams, shared data, metrics, logs, calls, the clock, and the fault to inject.

use std::collections::BTreeMap;

use wasmtime::{Memory, Result, StoreLimits, TypedFunc, bail};

use super::abi::{self, Headers};
use super::side::Side;

/// One plugin configuration, thus one root context.
#[derive(Debug, Default)]
pub struct Root {
    /// Under which host calls are counted.
    pub role: String,
    pub tick_ms: u32,
    /// Readable only while it configures.
    pub configuration: Option<Vec<u8>>,
    /// Readable only while a reply is delivered.
    pub grpc_message: Option<Vec<u8>>,
    /// Envoy wants it gone, and it has asked for time.
    pub pending: bool,
}

/// One HTTP filter instance.
#[derive(Debug, Default)]
pub struct Context {
    pub root: u32,
    pub stream: u32,
    pub request: Side,
    pub response: Side,
    pub local: Option<Local>,
    /// The guest cut the stream.
    pub closed: bool,
    /// In the access log phase both heads can be read again.
    pub logging: bool,
}

/// A direction of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    Request,
    Response,
}

impl Context {
    pub fn side(&mut self, way: Way) -> &mut Side {
        match way {
            Way::Request => &mut self.request,
            Way::Response => &mut self.response,
        }
    }
}

/// A response made by the guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Local {
    pub headers: Headers,
    pub body: Vec<u8>,
    pub details: String,
}

/// What all contexts of one downstream stream share.
#[derive(Debug, Default)]
pub struct Stream {
    /// Filter state, without the prefix `wasm.`.
    pub state: BTreeMap<Vec<u8>, Vec<u8>>,
    /// Envoy's own attributes, by path joined with zero bytes.
    pub attributes: BTreeMap<Vec<u8>, Vec<u8>>,
}

/// One gRPC call-out.
#[derive(Debug, Clone)]
pub struct Call {
    pub token: u32,
    pub root: u32,
    pub cluster: String,
    pub service: String,
    pub method: String,
    pub message: Vec<u8>,
    pub timeout_ms: u32,
}

#[derive(Debug)]
pub struct Metric {
    pub name: String,
    pub kind: u32,
    pub value: u64,
}

/// Makes one import fail: it does nothing and returns `status`.
#[derive(Debug, Clone)]
pub struct Fault {
    pub import: String,
    pub status: u32,
    /// Its n-th call from the start of the VM, or every call once the VM has started.
    pub only: Option<usize>,
    pub hits: usize,
}

#[derive(Default)]
pub struct World {
    /// Unix nanoseconds; stands still until a test moves it.
    pub now: u64,
    pub roots: BTreeMap<u32, Root>,
    pub contexts: BTreeMap<u32, Context>,
    pub streams: BTreeMap<u32, Stream>,
    pub shared: BTreeMap<Vec<u8>, (Vec<u8>, u32)>,
    pub last_cas: u32,
    pub metrics: BTreeMap<u32, Metric>,
    pub logs: Vec<(u32, String)>,
    /// Not answered yet, oldest first.
    pub calls: Vec<Call>,
    pub next_token: u32,
    /// Host calls by role and import.
    pub counts: BTreeMap<(String, &'static str), usize>,
    /// Host calls that were answered with another status than Ok, without a fault.
    pub refusals: Vec<(&'static str, u32)>,
    pub fault: Option<Fault>,
    pub limits: StoreLimits,
    /// The guest has resumed a stream since the last look.
    pub resumed: bool,
    pub started: bool,
    /// `_initialize` may only log.
    pub restricted: bool,
    pub current: u32,
    pub effective: u32,
    /// The callback that runs and how many host calls it has made.
    pub callback: (&'static str, usize),
    pub(super) guest: Option<(Memory, TypedFunc<u32, u32>)>,
    /// Calls of each import since the VM exists.
    pub seen: BTreeMap<&'static str, usize>,
}

impl World {
    /// Counts a host call; `Some` is the status to return instead of doing it.
    pub fn enter(&mut self, import: &'static str) -> Result<Option<u32>> {
        // Envoy refuses all but logging, clock and environment of WASI here: `WasmBase::startVm`.
        if self.restricted && import != "proxy_log" {
            bail!("{import} called from _initialize");
        }
        *self.counts.entry((self.role(), import)).or_default() += 1;
        let (callback, calls) = &mut self.callback;
        *calls += 1;
        // The SDK's dispatcher makes this call itself, before the guest's code runs, with an id it holds; Envoy
        // (`exports::set_effective_context`) answers BadArgument only to an id it does not.
        let sdk = import == "proxy_set_effective_context" && *calls == 1 && callback.starts_with("proxy_on_grpc");
        let seen = self.seen.entry(import).or_default();
        *seen += 1;
        Ok(match &mut self.fault {
            Some(fault) if fault.import == import && !sdk => {
                let hit = fault.only.map_or(self.started, |n| n == *seen);
                fault.hits += usize::from(hit);
                hit.then_some(fault.status)
            }
            _ => None,
        })
    }

    /// The context that host calls act on.
    pub fn acting(&self) -> u32 {
        let exists = self.roots.contains_key(&self.effective) || self.contexts.contains_key(&self.effective);
        if exists { self.effective } else { self.current }
    }

    /// Whose host call it is.
    fn role(&self) -> String {
        match self.contexts.get(&self.acting()) {
            Some(context) => self.roots.get(&context.root).map(|root| root.role.clone()).unwrap_or_default(),
            None => "root".to_owned(),
        }
    }

    /// The acting context's root, which owns timers and calls.
    pub fn acting_root(&mut self) -> Option<(u32, &mut Root)> {
        let acting = self.acting();
        let id = self.contexts.get(&acting).map_or(acting, |context| context.root);
        self.roots.get_mut(&id).map(|root| (id, root))
    }

    pub fn context(&mut self) -> Option<&mut Context> {
        let acting = self.acting();
        self.contexts.get_mut(&acting)
    }

    /// As `Context::getConstMap`.
    pub fn map(&mut self, kind: u32) -> Option<&Headers> {
        let logging = self.context().is_some_and(|context| context.logging);
        let slot = match (self.context()?, kind) {
            (context, abi::REQUEST_HEADERS) => &context.request.headers,
            (context, abi::REQUEST_TRAILERS) => &context.request.trailers,
            (context, abi::RESPONSE_HEADERS) => &context.response.headers,
            (context, abi::RESPONSE_TRAILERS) => &context.response.trailers,
            _ => return None,
        };
        (slot.reach || logging && kind != abi::REQUEST_TRAILERS).then_some(&slot.value)
    }

    /// As `Context::getMap`: nothing can be changed in the log phase.
    pub fn map_mut(&mut self, kind: u32) -> Option<&mut Headers> {
        let slot = match (self.context()?, kind) {
            (context, abi::REQUEST_HEADERS) => &mut context.request.headers,
            (context, abi::REQUEST_TRAILERS) => &mut context.request.trailers,
            (context, abi::RESPONSE_HEADERS) => &mut context.response.headers,
            (context, abi::RESPONSE_TRAILERS) => &mut context.response.trailers,
            _ => return None,
        };
        slot.reach.then_some(&mut slot.value)
    }

    /// As `Context::getBuffer`: `None` is NotFound, a body out of reach reads as empty.
    pub fn buffer(&mut self, kind: u32) -> Option<Vec<u8>> {
        match kind {
            abi::REQUEST_BODY | abi::RESPONSE_BODY => Some(self.body_mut(kind).cloned().unwrap_or_default()),
            abi::GRPC_RECEIVE => Some(self.acting_root()?.1.grpc_message.clone().unwrap_or_default()),
            abi::VM_CONFIGURATION => Some(Vec::new()),
            abi::PLUGIN_CONFIGURATION => self.acting_root()?.1.configuration.clone(),
            _ => None,
        }
    }

    pub fn body_mut(&mut self, kind: u32) -> Option<&mut Vec<u8>> {
        let context = self.context()?;
        let slot = match kind {
            abi::REQUEST_BODY => &mut context.request.body,
            abi::RESPONSE_BODY => &mut context.response.body,
            _ => return None,
        };
        slot.reach.then_some(&mut slot.value)
    }

    pub fn stream(&mut self) -> Option<&mut Stream> {
        let stream = self.context()?.stream;
        self.streams.get_mut(&stream)
    }

    /// An attribute, or filter state written by the guest, under its bare name.
    pub fn property(&mut self, path: &[u8]) -> Option<Vec<u8>> {
        let stream = self.stream()?;
        let bare = path.strip_prefix(b"filter_state\0wasm.").unwrap_or(path);
        stream.attributes.get(path).or_else(|| stream.state.get(bare)).cloned()
    }
}
