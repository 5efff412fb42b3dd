//! Stories through the real Envoy: the built guest, the real sidecar, providers over TLS and HTTP/2 under their own
//! names.
//!
//! Does not: look inside. A story is what a client sees, what a provider received and what the books say.
//!
//! Decision: without Envoy or the guest a story fails and names the command that brings them. Rejected: skipping it,
//! which looks like passing.

#[cfg(feature = "slow")]
mod bodies;
mod broken_streams;
mod crowd;
mod dialects;
mod dispositions;
mod doctor;
mod envoys_own;
mod failover;
mod flood;
mod guide;
mod hammer;
mod hold;
mod hostile;
mod hostile_framing;
mod hostile_names;
mod keys;
mod limits;
mod lists;
mod local_replies;
mod memory;
mod mesh;
mod metrics;
mod order_in_time;
mod outage;
mod passthrough;
mod patience;
mod push;
mod quota;
mod recorded;
mod revocation;
mod secrets;
mod settlement;
mod sidecar_away;
mod split;
mod strict;
mod tokenizer;
mod tools;
mod upgrade;
mod vendors;
mod vm_death;
mod world;
