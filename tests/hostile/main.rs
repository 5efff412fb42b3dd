//! The slow tier: hostile tenants and hostile providers through the real Envoy, with a tenant beside them who means well.
//!
//! ```text
//! attacker ──► Envoy, two workers ──► sink, which answers what an attack wants
//! victim   ──►                    ──► another sink, which answers well
//! ```
//!
//! Each attack says how it may end. All attacks share three laws. The victim is served to 100 %. The victim's 99th
//! percentile stays below five times that of a quiet run of the same process just before. No VM of Envoy is lost.
//!
//! Does not: assert any wall time. The percentile is relative; where the quiet run is faster than 50 ms it counts as 50
//! ms, so that a busy machine is no failure. A percentile that is too high is compared with a second quiet run just
//! after. A round that fails for its percentile alone is played once more: noise only adds. A wait counts for every
//! request that the victim would have sent meanwhile.
//!
//! Decision: a binary of its own behind the feature `slow`, which `make test-slow` turns on. Rejected: `#[ignore]`, which
//! looks like a test that ran.

mod answers;
mod arena;
mod bodies;
mod bombs;
mod crowds;
mod lists;
mod pressure;
mod sink;
