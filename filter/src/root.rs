//! The life of a plugin configuration: parse, take over or keep the former one; the tick.

use std::rc::Rc;

use engine::config;
use engine::config::snapshot::Snapshot;
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::ContextType;

use crate::account::{Account, Charged};
use crate::attempt::Attempt;
use crate::host::{self, Buffer};
use crate::plan::Plan;
use crate::{account, admission, calls, members, pending, purses, settlement, turns, uploads, vm, wake, watch};

/// Milliseconds between ticks: how long a settlement waits, and how late a lost sidecar answer is noticed.
const TICK: u32 = 20;

/// What this plugin configuration makes of the module.
enum Role {
    /// Not configured, or configured to do nothing (for measuring what a bare callback costs).
    Noop,
    /// Downstream, with this configuration.
    Plan(Rc<Snapshot>),
    /// Upstream, in front of this cluster.
    Attempt(String),
}

/// One plugin configuration.
pub(crate) struct Root {
    id: u32,
    role: Role,
    /// Envoy has no use for it any more.
    leaving: bool,
}

impl Root {
    pub(crate) fn new(id: u32) -> Self {
        Self { id, role: Role::Noop, leaving: false }
    }

    fn configure(&mut self, bytes: &[u8]) -> Result<(), Vec<String>> {
        let one = |fault: String| vec![fault];
        let mut value: serde_json::Value =
            serde_json::from_slice(bytes).map_err(|e| one(format!("plugin configuration is no JSON: {e}")))?;
        let text = |value: &serde_json::Value, name: &str| value.get(name).and_then(|v| v.as_str()).map(str::to_owned);
        match text(&value, "role").as_deref() {
            Some("noop") => self.role = Role::Noop,
            Some("attempt") => {
                let lane = text(&value, "lane").ok_or_else(|| one("lane: missing".to_owned()))?;
                self.role = Role::Attempt(lane);
            }
            Some("plan") => {
                let config = value.get_mut("config").map(serde_json::Value::take).unwrap_or_default();
                let mut snapshot = config::load_guest(config)
                    .map_err(|faults| faults.iter().map(ToString::to_string).collect::<Vec<_>>())?;
                // Each module has clusters of its own, since a try can only be made by the VM that planned it.
                if let Some(module) = text(&value, "module") {
                    snapshot.lanes.iter_mut().for_each(|lane| lane.cluster.push_str(&module));
                }
                let snapshot = Rc::new(snapshot);
                vm::with(|vm| vm.configure(Rc::clone(&snapshot), self.id));
                self.role = Role::Plan(snapshot);
            }
            found => return Err(one(format!("role: found {found:?}, expected plan, attempt or noop"))),
        }
        Ok(())
    }
}

impl Context for Root {
    /// The root context goes; its tick goes on until nothing waits for it that nobody else in this VM would do: after a
    /// module was replaced, what its last streams have to settle.
    fn on_done(&mut self) -> bool {
        let elected = vm::with(|vm| vm.elected == self.id) == Some(true);
        if elected && !std::mem::replace(&mut self.leaving, true) {
            purses::leave(self.id, host::now());
        }
        let idle =
            vm::with(|vm| !elected || vm.settlements.is_empty() && vm.turns.is_empty() && !vm.calls.is_drawing());
        self.leaving = true;
        if idle == Some(true) {
            vm::with(|vm| vm.leave(self.id));
            pending::orphaned(self.id);
            purses::orphaned(self.id);
        }
        idle == Some(true)
    }

    fn on_grpc_call_response(&mut self, token: u32, status: u32, size: usize) {
        calls::answered(self.id, token, status, size);
    }
}

impl RootContext for Root {
    fn on_configure(&mut self, size: usize) -> bool {
        let bytes = host::buffer(Buffer::PluginConfiguration, 0, size).unwrap_or_default();
        if let Err(faults) = self.configure(&bytes) {
            // Envoy keeps the former configuration serving.
            faults.iter().for_each(|fault| log::error!("configuration refused: {fault}"));
            return false;
        }
        if matches!(self.role, Role::Plan(_)) {
            vm::with(|vm| {
                let providers = vm.snapshot.iter().flat_map(|snapshot| &snapshot.providers);
                vm.metrics.define(providers.map(|provider| provider.name.as_str()));
            });
            if host::set_tick_period(TICK).is_err() {
                log::error!("no tick: settlements will not be sent");
            }
        }
        true
    }

    fn on_tick(&mut self) {
        let Role::Plan(snapshot) = &self.role else { return };
        let elected = vm::with(|vm| {
            if vm.elected == 0 {
                vm.run(snapshot, self.id);
            }
            vm.elected
        });
        if elected == Some(self.id) {
            let now = host::now();
            calls::tick(now);
            members::tick(now);
            admission::tick();
            pending::tick(self.id, snapshot, now);
            purses::tick(snapshot, now);
            wake::go_on(self.id, now);
            turns::tick(self.id);
            purses::flush(self.id, now);
            watch::tick(self.id);
            uploads::tick(self.id, snapshot.bounds, now);
            settlement::tick();
            vm::with(|vm| vm.metrics.flush(account::standing(), now));
        }
        if self.leaving && self.on_done() && host::done().is_err() {
            log::warn!("the root context is gone");
        }
    }

    fn create_http_context(&self, id: u32) -> Option<Box<dyn HttpContext>> {
        Some(match &self.role {
            Role::Noop => Box::new(Noop),
            Role::Plan(snapshot) => {
                vm::with(|vm| vm.run(snapshot, self.id));
                let account = Rc::new(Account::default());
                account.charge(|| Box::new(Charged::new(Plan::new(id, Rc::clone(&account)))))
            }
            Role::Attempt(cluster) => Box::new(Charged::new(Attempt::new(id, cluster.clone()))),
        })
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }
}

/// A stream nobody looks at.
struct Noop;

impl Context for Noop {}
impl HttpContext for Noop {}
