//! Request bodies on their way in: how slowly one may come, and how much all of them may hold.
//!
//! A client that sends 31 MiB and then a byte a second holds 31 MiB of Envoy's memory: `Upload::slow` finds the client
//! after ten seconds. Thirty such clients are found sooner where memory is short: `excess` names the slowest first.
//!
//! Does not: read bodies. Envoy holds the bytes; this module counts them.
//!
//! Decision: a rate over a window, since an average forgives whoever sent much at first. Rejected: a shorter limit for the
//! whole request, which ends honest clients on slow lines.

use wire::ir::{Fault, FaultKind};

/// Nanoseconds over which a rate is measured.
pub const WINDOW: u64 = 10_000_000_000;

/// Nanoseconds after which the figures of a silent worker count no more: its module has died, and its bodies with it.
const STALE: u64 = 10_000_000_000;

/// Bytes that a body may have without being refused for want of memory: whoever sends so little hurts nobody.
const SMALL: u64 = 64 << 10;

/// One body as far as it has come. Times are Unix nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Upload {
    begun: u64,
    bytes: u64,
    /// Beginning of the window, and the bytes of then.
    since: u64,
    then: u64,
}

impl Upload {
    /// The head came at `now`.
    #[must_use]
    pub fn new(now: u64) -> Self {
        Self { begun: now, bytes: 0, since: now, then: 0 }
    }

    /// So many bytes are here in all.
    pub fn has(&mut self, bytes: u64) {
        self.bytes = bytes;
    }

    /// Bytes so far.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Came fewer than `rate` bytes a second in a whole window? A window that was fast enough is followed by another.
    pub fn slow(&mut self, rate: u64, now: u64) -> bool {
        let passed = now.saturating_sub(self.since);
        if passed < WINDOW {
            return false;
        }
        let came = u128::from(self.bytes.saturating_sub(self.then)) * 1_000_000_000;
        if came < u128::from(rate) * u128::from(passed) {
            return true;
        }
        (self.since, self.then) = (now, self.bytes);
        false
    }

    /// Bytes a second since the beginning.
    fn pace(&self, now: u64) -> u128 {
        u128::from(self.bytes) * 1_000_000_000 / u128::from(now.saturating_sub(self.begun).max(1))
    }
}

/// Those to refuse so that `held` bytes become no more than `bound`: the slowest of the large ones first.
#[must_use]
pub fn excess<K>(uploads: impl Iterator<Item = (K, Upload)>, mut held: u64, bound: u64, now: u64) -> Vec<K> {
    if held <= bound {
        return Vec::new();
    }
    let mut large: Vec<_> = uploads.filter(|(_, upload)| upload.bytes > SMALL).collect();
    large.sort_by_key(|(_, upload)| upload.pace(now));
    let mut out = Vec::new();
    for (key, upload) in large {
        if held <= bound {
            break;
        }
        held = held.saturating_sub(upload.bytes);
        out.push(key);
    }
    out
}

/// What the bodies of each worker hold, as one value that all workers share: 24 bytes a worker.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Shares(Vec<[u64; 3]>);

impl Shares {
    /// From the shared value; what is cut short is dropped.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Self {
        let word = |bytes: &[u8]| bytes.try_into().map_or(0, u64::from_le_bytes);
        let share = |bytes: &[u8]| {
            let (worker, rest) = bytes.split_at_checked(8)?;
            let (held, told) = rest.split_at_checked(8)?;
            Some([word(worker), word(held), word(told)])
        };
        Self(bytes.chunks_exact(24).filter_map(share).collect())
    }

    /// To the shared value.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        self.0.iter().flatten().flat_map(|word| word.to_le_bytes()).collect()
    }

    /// This worker holds so much now. Workers that have not told for long are forgotten.
    pub fn tell(&mut self, worker: u64, held: u64, now: u64) {
        self.0.retain(|[other, _, told]| *other != worker && now.saturating_sub(*told) < STALE);
        if held > 0 {
            self.0.push([worker, held, now]);
        }
    }

    /// What all others hold.
    #[must_use]
    pub fn others(&self, worker: u64) -> u64 {
        self.0.iter().filter(|[other, ..]| *other != worker).fold(0, |sum, [_, held, _]| sum.saturating_add(*held))
    }
}

/// What a worker that holds `own` bytes beside `others` may keep: of what is too much each gives up its part.
#[must_use]
pub fn part(own: u64, others: u64, bound: u64) -> u64 {
    let all = u128::from(own) + u128::from(others);
    if all <= u128::from(bound) {
        return own;
    }
    u64::try_from(u128::from(own) * u128::from(bound) / all).unwrap_or(own)
}

/// 408 for a body that came more slowly than `rate` bytes a second.
#[must_use]
pub fn too_slow(rate: u64) -> Fault {
    let message = format!("The request body came at less than {rate} bytes a second for 10 seconds.");
    Fault { status: 408, ..Fault::new(FaultKind::Timeout, message).with_code("body_too_slow") }
}

/// 503 for a body that all others leave no memory for.
#[must_use]
pub fn crowded() -> Fault {
    let message =
        "The gateway holds as many request bodies as its memory allows; this one came slowest. Send it again.";
    Fault::overloaded(message, "bodies_too_large")
}

#[cfg(test)]
mod tests;
