//! A small host for one proxy-wasm module: enough of Envoy to drive both roles and to make every host call fail.
//!
//! Does not: route, retry or answer calls (see `gateway.rs`), speak WASI, or run more than one worker. Semantics follow
//! Envoy's source/extensions/common/wasm/context.cc and proxy-wasm-cpp-host's src/exports.cc.
//!
//! Decision: our own host on wasmtime, because each import must be able to return any status; with Winch, its one-pass
//! compiler, because Cranelift, unoptimised in a debug build, takes several times as long for the module. Rejected: the
//! proxy-wasm test framework, which is not published and stands on an old wasmtime.

pub mod abi;
mod imports;
pub mod side;
pub mod world;

use std::sync::OnceLock;

use wasmtime::{
    Config, Engine, Instance, InstancePre, Linker, Module, Result, Store, StoreLimitsBuilder, WasmParams, WasmResults,
    bail,
};

use abi::Action;
use side::{Part, Piece};
use world::{Call, Context, Fault, Root, Stream, Way, World};

/// Linear memory that Envoy's V8 gives a module.
const MEMORY: usize = 1 << 30;

/// Instructions one callback may take: an endless loop in the guest fails a test instead of hanging it.
const FUEL: u64 = 8_000_000_000;

/// The built module, compiled once for all tests.
pub struct Guest {
    pub bytes: Vec<u8>,
    pub module: Module,
    ready: InstancePre<World>,
}

/// The module `make build` made, or the one `ATTACHE_WASM` names. Without one there is nothing to test, so that fails.
pub fn guest() -> &'static Guest {
    static GUEST: OnceLock<Guest> = OnceLock::new();
    GUEST.get_or_init(|| {
        let target = std::env::var("CARGO_TARGET_DIR");
        let target = target.unwrap_or_else(|_| concat!(env!("CARGO_MANIFEST_DIR"), "/../target").to_owned());
        let path = std::env::var("ATTACHE_WASM")
            .unwrap_or_else(|_| format!("{target}/wasm32-unknown-unknown/guest/attache.wasm"));
        let bytes = std::fs::read(&path).unwrap_or_else(|e| panic!("{path}: {e}; `make build` makes it"));
        let mut config = Config::new();
        config.consume_fuel(true);
        let engine = Engine::new(&config).unwrap();
        let module = Module::new(&engine, &bytes).unwrap();
        let mut linker = Linker::new(&engine);
        imports::define(&mut linker, &module).unwrap();
        let ready = linker.instantiate_pre(&module).expect("the module imports only what this host defines");
        Guest { bytes, module, ready }
    })
}

/// One worker's VM.
pub struct Vm {
    store: Store<World>,
    instance: Instance,
    next_context: u32,
    next_stream: u32,
    /// Instructions that all callbacks have taken.
    pub spent: u64,
    /// Instructions that one callback may take.
    pub limit: u64,
}

impl Vm {
    /// Loads the module and runs `_initialize`.
    pub fn new(guest: &Guest, fault: Option<Fault>) -> Result<Self> {
        let limits = StoreLimitsBuilder::new().memory_size(MEMORY).build();
        let world = World { now: 1_800_000_000_000_000_000, fault, limits, restricted: true, ..World::default() };
        let mut store = Store::new(guest.module.engine(), world);
        store.limiter(|world| &mut world.limits);
        store.set_fuel(FUEL)?;
        let instance = guest.ready.instantiate(&mut store)?;
        let Some(memory) = instance.get_memory(&mut store, "memory") else { bail!("no memory") };
        let malloc = instance.get_typed_func(&mut store, "malloc")?;
        store.data_mut().guest = Some((memory, malloc));
        let mut vm = Self { store, instance, next_context: 1, next_stream: 1, spent: 0, limit: FUEL };
        vm.call::<(), ()>(0, "_initialize", ())?;
        vm.world().restricted = false;
        Ok(vm)
    }

    pub fn world(&mut self) -> &mut World {
        self.store.data_mut()
    }

    /// Linear memory in pages.
    pub fn pages(&mut self) -> u64 {
        self.store.data().guest.as_ref().map_or(0, |(memory, _)| memory.size(&self.store))
    }

    /// A gauge of the guest's, as Envoy would show it.
    pub fn gauge(&mut self, name: &str) -> i64 {
        let metrics = self.world().metrics.values().filter(|metric| metric.kind == 1 && metric.name == name);
        metrics.map(|metric| metric.value.cast_signed()).sum()
    }

    /// A counter likewise.
    pub fn counter(&mut self, name: &str) -> u64 {
        self.world().metrics.values().filter(|metric| metric.kind == 0 && metric.name == name).map(|m| m.value).sum()
    }

    /// How often these bytes stand in linear memory, freed or not.
    pub fn copies(&mut self, of: &[u8]) -> usize {
        let memory = self.store.data().guest.as_ref().map(|(memory, _)| *memory);
        let Some(memory) = memory else { return 0 };
        memory.data(&self.store).windows(of.len()).filter(|window| *window == of).count()
    }

    /// One callback. An error is a trap: in Envoy it would take all streams of the worker along.
    pub fn call<P: WasmParams, R: WasmResults>(&mut self, context: u32, name: &'static str, params: P) -> Result<R> {
        let world = self.store.data_mut();
        (world.current, world.effective, world.callback) = (context, 0, (name, 0));
        self.store.set_fuel(self.limit)?;
        let function = self.instance.get_typed_func::<P, R>(&mut self.store, name)?;
        let answer = function.call(&mut self.store, params);
        self.spent += self.limit - self.store.get_fuel()?;
        answer.map_err(|error| {
            let last = self.store.data().logs.last().cloned();
            error.context(format!("{name} trapped; last log line: {last:?}"))
        })
    }

    /// A plugin configuration: a root context, started and configured. False if the guest refuses it.
    pub fn plugin(&mut self, role: &str, configuration: &[u8]) -> Result<(u32, bool)> {
        let root = self.id();
        self.world().roots.insert(root, Root { role: role.to_owned(), ..Root::default() });
        self.call::<_, ()>(root, "proxy_on_context_create", (root, 0))?;
        let started = self.call::<_, u32>(root, "proxy_on_vm_start", (root, 0))? != 0;
        Ok((root, started && self.configure(root, configuration)?))
    }

    pub fn configure(&mut self, root: u32, configuration: &[u8]) -> Result<bool> {
        self.root(root).configuration = Some(configuration.to_vec());
        let accepted = self.call::<_, u32>(root, "proxy_on_configure", (root, configuration.len() as u32));
        self.root(root).configuration = None;
        Ok(accepted? != 0)
    }

    pub fn tick(&mut self, root: u32) -> Result<()> {
        self.call::<_, ()>(root, "proxy_on_tick", root)?;
        self.resume();
        Ok(())
    }

    pub fn root(&mut self, id: u32) -> &mut Root {
        self.world().roots.get_mut(&id).expect("a root of this VM")
    }

    pub fn context(&mut self, id: u32) -> &mut Context {
        self.world().contexts.get_mut(&id).expect("an open context")
    }

    /// A downstream stream: what its contexts share.
    pub fn stream(&mut self) -> u32 {
        let id = self.next_stream;
        self.next_stream += 1;
        self.world().streams.insert(id, Stream::default());
        id
    }

    pub fn open(&mut self, root: u32, stream: u32) -> Result<u32> {
        let id = self.id();
        self.world().contexts.insert(id, Context { root, stream, ..Context::default() });
        self.call::<_, ()>(id, "proxy_on_context_create", (id, root))?;
        Ok(id)
    }

    /// One part of a message reaches the filter; what passes waits in the side until it is taken.
    pub fn deliver(&mut self, id: u32, way: Way, piece: Piece) -> Result<()> {
        let side = self.context(id).side(way);
        let (part, end, size) = match piece {
            Piece::Head(headers, end) => (Part::Head, end, side.head(headers, end)),
            Piece::Body(bytes, end) => (Part::Body, end, side.chunk(&bytes, end)),
            Piece::Trailers(trailers) => (Part::Trailers, true, side.tail(trailers)),
        };
        let (size, end) = (size as u32, u32::from(end));
        let answer = match (way, part) {
            (Way::Request, Part::Head) => self.call(id, "proxy_on_request_headers", (id, size, end)),
            (Way::Request, Part::Body) => self.call(id, "proxy_on_request_body", (id, size, end)),
            (Way::Request, Part::Trailers) => self.call(id, "proxy_on_request_trailers", (id, size)),
            (Way::Response, Part::Head) => self.call(id, "proxy_on_response_headers", (id, size, end)),
            (Way::Response, Part::Body) => self.call(id, "proxy_on_response_body", (id, size, end)),
            (Way::Response, Part::Trailers) => self.call(id, "proxy_on_response_trailers", (id, size)),
        };
        let action = match answer? {
            0 => Action::Continue,
            1 => Action::Pause,
            other => bail!("the guest answered a callback with {other}"),
        };
        let context = self.context(id);
        // After a local reply Envoy stops the iteration, whatever the callback answered.
        if context.local.is_none() {
            context.side(way).answered(part, action);
        }
        self.resume();
        Ok(())
    }

    /// Delivers a reply or a failed call's status. The stream it was for may be gone.
    pub fn reply(&mut self, call: &Call, reply: Result<Vec<u8>, u32>) -> Result<()> {
        match reply {
            Ok(message) => {
                let size = message.len() as u32;
                self.root(call.root).grpc_message = Some(message);
                let done = self.call::<_, ()>(call.root, "proxy_on_grpc_receive", (call.root, call.token, size));
                self.root(call.root).grpc_message = None;
                done?;
            }
            Err(status) => self.call::<_, ()>(call.root, "proxy_on_grpc_close", (call.root, call.token, status))?,
        }
        self.resume();
        Ok(())
    }

    /// The stream's end: Envoy writes the access log for downstream filters only.
    pub fn close(&mut self, id: u32, log: bool) -> Result<()> {
        if log {
            self.context(id).logging = true;
            self.call::<_, ()>(id, "proxy_on_log", id)?;
            self.context(id).logging = false;
        }
        self.call::<_, u32>(id, "proxy_on_done", id)?;
        self.call::<_, ()>(id, "proxy_on_delete", id)?;
        self.world().contexts.remove(&id);
        Ok(())
    }

    /// As `WasmBase::startShutdown`: no stream of this root is left, and Envoy has no use for it.
    pub fn drop_root(&mut self, root: u32) -> Result<()> {
        if self.call::<_, u32>(root, "proxy_on_done", root)? == 0 {
            self.root(root).pending = true;
            return Ok(());
        }
        self.call::<_, ()>(root, "proxy_on_delete", root)?;
        self.world().roots.remove(&root);
        Ok(())
    }

    fn id(&mut self) -> u32 {
        self.next_context += 1;
        self.next_context - 1
    }

    /// What Envoy does after a callback: streams the guest resumed go on.
    fn resume(&mut self) {
        // Thousands may be open, and hardly a callback resumes one.
        if !std::mem::take(&mut self.world().resumed) {
            return;
        }
        for context in self.world().contexts.values_mut() {
            for side in [&mut context.request, &mut context.response] {
                if side.resumed && context.local.is_none() {
                    side.pass();
                }
            }
        }
    }
}
