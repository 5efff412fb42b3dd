//! What bytes mean: wire formats, framing, provider rows.
//!
//! Does not: route, count, time, read files or talk to anybody. Everything here is a function of its arguments, so the
//! same code runs in the guest, in the sidecar, in tests and in a browser.
//!
//! Decision: one intermediate representation ([`ir`]) between N inbound and M outbound formats, so a new format is one
//! module, not N translations. Rejected: pairwise translators, whose number grows with the product.
//!
//! Decision: JSON that nobody interprets (tool schemas, unknown members) stays *text* ([`ir::Json`]): key order and
//! number spelling survive, and no map keyed by what a client sends is ever built. Rejected: `serde_json::Value`, which
//! rounds numbers and hashes hostile keys.

pub mod format;
pub mod framing;
pub mod ir;
pub mod json;
pub mod mask;
pub mod provider;
pub mod scan;
