//! The Envoy guest: glue between proxy-wasm and the engine. See `README.md` beside this crate for what it needs of Envoy.
#![expect(missing_docs, reason = "the SDK's entry macro emits an undocumented function")]

mod account;
mod admission;
mod attempt;
mod calls;
mod cooldown;
mod govern;
mod host;
mod identity;
mod lines;
mod members;
mod metrics;
mod missing;
mod patience;
mod pending;
mod plan;
mod purses;
mod request;
mod root;
mod seldom;
mod settlement;
#[cfg(feature = "trap")]
mod trap;
mod turns;
mod uploads;
mod vm;
mod wake;
mod watch;

use std::panic;

proxy_wasm::main! {{
    // Under `panic = abort` the hook is the last thing that runs; without it a crash says nothing but "unreachable".
    panic::set_hook(Box::new(|info| host::log(log::Level::Error, &format!("attache: panic: {info}"))));
    if log::set_logger(&HostLog).is_ok() {
        log::set_max_level(log::LevelFilter::Info);
    }
    proxy_wasm::set_root_context(|id| Box::new(root::Root::new(id)));
}}

/// The `log` crate's sink: Envoy's own log.
struct HostLog;

impl log::Log for HostLog {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        host::log(record.level(), &format!("attache: {}", record.args()));
    }

    fn flush(&self) {}
}
