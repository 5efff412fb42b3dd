//! What translating a body takes of the VM's memory, told before it is begun.
//!
//! Example: 30 MiB of text in ten messages weigh 180 MiB. 30 MiB of `{"name":""},` weigh more than [`WORK`], and the
//! client reads `functions: found 5242880 values, expected at most 729444 in a body of 31457280 bytes`.
//!
//! Does not: know how much memory is free; the host does.

use wire::format::Malformed;
use wire::format::bounds::{PER_BYTE, PER_VALUE, decode_cost};
use wire::ir::{Fault, FaultKind};
use wire::json::nodes::Nodes;

use crate::shown::shown;

/// Bytes of memory that one piece of work may take: reading a request or an answer and telling it in another format.
pub const WORK: usize = 256 << 20;

/// Copies of a body that stays in its format: as it came, and with its edits.
pub const COPIES: usize = 2;

/// Bytes of memory that translating this body takes at most, the body included.
#[must_use]
pub fn weight(body: &[u8]) -> usize {
    weighed(body).0
}

/// The same, and the values where they were counted: text is full of commas, so where it matters they are not counted in it.
fn weighed(body: &[u8]) -> (usize, Option<Nodes<'_>>) {
    let most = decode_cost(body);
    if most <= WORK {
        return (most, None);
    }
    let nodes = Nodes::of(body);
    (exact(body.len(), nodes.all).min(most), Some(nodes))
}

fn exact(bytes: usize, values: usize) -> usize {
    bytes.saturating_mul(PER_BYTE).saturating_add(values.saturating_mul(PER_VALUE))
}

/// The weight of a body that is light enough to be translated.
///
/// # Errors
/// It is not: the member that makes it so, and how much is taken.
pub fn light_enough(body: &[u8]) -> Result<usize, Malformed> {
    let (weight, nodes) = weighed(body);
    let Some(nodes) = nodes.filter(|_| weight > WORK) else { return Ok(weight) };
    let most = WORK.saturating_sub(exact(body.len(), 0)) / PER_VALUE;
    let heavy = nodes.heaviest.filter(|(_, own)| own.saturating_mul(2) > nodes.all);
    let (name, found) = heavy.unwrap_or((b"", nodes.all));
    let path = shown(&String::from_utf8_lossy(name));
    Err(Malformed {
        path,
        message: format!("found {found} values, expected at most {most} in a body of {} bytes", body.len()),
    })
}

/// The same as a fault of its own kind.
#[must_use]
pub fn too_heavy(problem: Malformed) -> Fault {
    let fault = super::malformed(problem);
    Fault { kind: FaultKind::TooLarge, status: FaultKind::TooLarge.status(), ..fault }
}
