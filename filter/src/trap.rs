//! A header that kills the VM, or makes it stand still. For tests alone: the module that is shipped is built without.
//!
//! For example: `x-attache-trap: now` ends as an allocation that fails would, and `x-attache-trap: stall` keeps the worker
//! busy for so long that the others take its VM for dead.

use crate::host::{self, Map};

const HEADER: &[u8] = b"x-attache-trap";
/// Nanoseconds.
const STALL: u64 = 9_000_000_000;

/// Does what the request's head asks for.
pub(crate) fn spring() {
    let headers = host::headers(Map::Request).unwrap_or_default();
    let list = headers.list();
    let Some((_, asked)) = list.iter().find(|(name, _)| *name == HEADER) else { return };
    // These words are how a test knows this module.
    host::log(log::Level::Warn, "attache: x-attache-trap was sent");
    if *asked != b"stall" {
        std::process::abort();
    }
    let until = host::now().saturating_add(STALL);
    while host::now() < until {}
}
