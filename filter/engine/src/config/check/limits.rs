//! How much is too much: of one request, and of Envoy's memory.

use super::size;
use crate::config::fault::Faults;
use crate::config::path::Path;
use crate::config::schema::Limits;
use crate::config::snapshot::Bounds;
use crate::config::text;

/// What memory of a process is written as.
pub(in crate::config) const MEMORY: &str = "memory such as 2GiB or 512MiB, 64MiB to 1TiB";

const MOST_CONNECTIONS: u32 = 1_000_000;

/// The largest body, and the bounds of Envoy.
pub(super) fn resolve(given: &Limits, path: &Path, faults: &mut Faults) -> (u64, Bounds) {
    let default = Bounds::default();
    let body = size(given.body.as_deref(), 32 << 20, &path.member("body"), faults);
    let rate = size(given.body_rate.as_deref(), default.body_rate, &path.member("body_rate"), faults);
    let heap = match given.heap.as_deref() {
        None => default.heap,
        Some(told) => text::memory(told).unwrap_or_else(|| {
            faults.add(&path.member("heap"), format!("{told:?}"), MEMORY);
            default.heap
        }),
    };
    // Half of the heap is for bodies, and two of the largest must fit.
    if heap / 4 < body {
        let told = given.heap.as_deref().map_or_else(|| "8GiB as by default".to_owned(), |told| format!("{told:?}"));
        let expected = format!("at least four times limits.body, {} bytes", body.saturating_mul(4));
        faults.add(&path.member("heap"), told, expected);
    }
    let connections = given.connections.unwrap_or(default.connections);
    if !(1..=MOST_CONNECTIONS).contains(&connections) {
        faults.add(&path.member("connections"), connections.to_string(), format!("1 to {MOST_CONNECTIONS}"));
    }
    (body, Bounds { heap, connections, body_rate: rate })
}
