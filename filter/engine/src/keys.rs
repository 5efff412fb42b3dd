//! Key records between two calls to the sidecar: a set-associative table in slots of fixed number and size.
//!
//! The table is pure: a slot is bytes in and bytes out, so that the guest can keep it in Envoy's shared data, which all
//! workers see and from which nothing can be deleted. Bad keys are remembered too, else every wrong key is a call.
//!
//! Decision: eight ways a set; a bad key never pushes out a live good one, so a flood of random keys costs the flooder.
//! Rejected: a map keyed by the presented key (grows with what clients send); least recently used (needs a write a read).

use sha2::{Digest, Sha256};

/// Number of sets; with the ways of a set and the largest record it bounds the memory of the table.
pub const SETS: u32 = 2048;
/// Records a set.
const WAYS: usize = 8;
/// Largest record kept; a larger one is asked for again each time (a key with hundreds of models).
const LARGEST: usize = 4096;
/// Digest, expiry, good or bad, length.
const HEAD: usize = 32 + 8 + 1 + 4;

/// SHA-256 of a presented key: the only form in which it is stored or sent.
pub type KeyDigest = [u8; 32];

/// One record of a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record<'a> {
    /// Whose.
    pub digest: &'a [u8],
    /// Unix nanoseconds.
    pub expires: u64,
    /// A key that may be used; bad ones are remembered with an empty payload or the reason.
    pub good: bool,
    /// The caller's bytes.
    pub payload: &'a [u8],
}

/// Hashes what a client presented.
#[must_use]
pub fn digest(key: &[u8]) -> KeyDigest {
    // In one place to the end: a hasher that is moved leaves its buffer, and a short key in it, on the stack.
    let mut hasher = Sha256::new();
    hasher.update(key);
    hasher.finalize_reset().into()
}

/// Overwrites what held a key and is about to be freed: the allocator would leave it as it is, for whoever gets the bytes.
pub fn wipe(bytes: &mut [u8]) {
    bytes.fill(0);
    // Without a reader the compiler may leave out what is written and then freed.
    std::hint::black_box(bytes);
}

/// The set a digest belongs to.
#[must_use]
pub fn set(digest: &KeyDigest) -> u32 {
    let [a, b, c, d, ..] = *digest;
    u32::from_le_bytes([a, b, c, d]) % SETS
}

fn records(slot: &[u8]) -> impl Iterator<Item = Record<'_>> {
    let mut rest = slot;
    std::iter::from_fn(move || {
        let (digest, tail) = rest.split_at_checked(32)?;
        let (expires, tail) = tail.split_at_checked(8)?;
        let (good, tail) = tail.split_first()?;
        let (len, tail) = tail.split_at_checked(4)?;
        let len = usize::try_from(u32::from_le_bytes(len.try_into().ok()?)).ok()?;
        let (payload, tail) = tail.split_at_checked(len)?;
        rest = tail;
        Some(Record { digest, expires: u64::from_le_bytes(expires.try_into().ok()?), good: *good == 1, payload })
    })
}

/// The live record of this digest.
#[must_use]
pub fn find<'a>(slot: &'a [u8], digest: &KeyDigest, now: u64) -> Option<Record<'a>> {
    records(slot).find(|r| r.digest == digest && r.expires > now)
}

/// The slot with this record in it. Gives way: the same digest, then ended records, then the bad one that ends first,
/// then (to a good record only) the good one that ends first.
#[must_use]
pub fn put(slot: &[u8], new: Record<'_>, now: u64) -> Vec<u8> {
    let mut kept: Vec<Record<'_>> = records(slot).filter(|r| r.digest != new.digest && r.expires > now).collect();
    let mut store = new.payload.len() <= LARGEST;
    if kept.len() >= WAYS {
        let first = |good: bool| {
            kept.iter().enumerate().filter(|(_, r)| r.good == good).min_by_key(|(_, r)| r.expires).map(|(i, _)| i)
        };
        match first(false).or_else(|| if new.good { first(true) } else { None }) {
            Some(i) => drop(kept.remove(i)),
            None => store = false,
        }
    }
    if store {
        kept.push(new);
    }
    let mut out = Vec::with_capacity(kept.iter().map(|r| HEAD + r.payload.len()).sum());
    for r in kept {
        out.extend_from_slice(r.digest);
        out.extend_from_slice(&r.expires.to_le_bytes());
        out.push(u8::from(r.good));
        out.extend_from_slice(&u32::try_from(r.payload.len()).unwrap_or(0).to_le_bytes());
        out.extend_from_slice(r.payload);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::{Record, WAYS, digest, find, put};

    fn record<'a>(digest: &'a [u8; 32], expires: u64, good: bool, payload: &'a [u8]) -> Record<'a> {
        Record { digest, expires, good, payload }
    }

    #[test]
    fn a_record_is_found_until_it_ends() {
        let d = digest(b"vk-prod");
        let slot = put(&[], record(&d, 100, true, b"payload"), 1);
        assert_eq!(find(&slot, &d, 99).map(|r| r.payload), Some(&b"payload"[..]));
        assert_eq!(find(&slot, &d, 100), None);
        assert_eq!(find(&slot, &digest(b"vk-other"), 1), None);
    }

    #[test]
    fn bad_keys_never_push_out_live_good_ones() {
        let good: Vec<_> = (0..WAYS as u8).map(|i| digest(&[i])).collect();
        let mut slot = Vec::new();
        for d in &good {
            slot = put(&slot, record(d, 1000, true, b"g"), 1);
        }
        let full = slot.len();
        for i in 0..1000_u32 {
            slot = put(&slot, record(&digest(&i.to_le_bytes()), 5000, false, b""), 1);
        }
        assert!(good.iter().all(|d| find(&slot, d, 1).is_some()));
        assert_eq!(slot.len(), full, "the slot has not grown");
    }

    #[test]
    fn good_keys_push_out_bad_ones_and_the_slot_stays_bounded() {
        let mut slot = Vec::new();
        for i in 0..100_u32 {
            slot = put(&slot, record(&digest(&i.to_le_bytes()), 5000, false, b""), 1);
        }
        let d = digest(b"good");
        slot = put(&slot, record(&d, 10, true, b"g"), 1);
        assert!(find(&slot, &d, 1).is_some());
        assert!(slot.len() <= WAYS * 64);
        assert!(put(&slot, record(&d, 10, true, &[0; 5000]), 1).len() < slot.len(), "too large to keep");
    }

    #[test]
    fn garbage_is_no_record() {
        let d = digest(b"x");
        for n in 0..200 {
            assert_eq!(find(&vec![0xff; n], &d, 0), None);
        }
    }
}
