//! What to do with a request: configuration, routing, exchanges, settlement. Pure: time and seed are arguments.
//!
//! Does not: touch a socket, a clock, a random source or Envoy. Hosts (the guest, the sidecar, tests) feed inputs and
//! carry out what comes back.
//!
//! Decision: results are values, hosts are callers. Rejected: a `dyn Host` that the core calls back; its mock would be
//! as long as the core and no input sequence could be replayed.

pub mod config;
pub mod cooldown;
pub mod draw;
pub mod exchange;
pub mod govern;
pub mod identity;
pub mod keys;
mod nearest;
pub mod route;
mod shown;
pub mod upload;
