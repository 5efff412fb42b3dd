//! A million keys: what their table takes in memory. A program of its own, so that nobody else's memory is counted.
#![cfg(test)]

use std::time::Instant;

use engine::config::snapshot::{KeyCandidate, Names, VirtualKey};
use sidecar::serve::keys::{Digest, Found, Keys};

const KEYS: u32 = 1_000_000;
const TEAMS: u32 = 1000;
/// A row, a print and a name are 85; the rest is what the system rounds up to. A map from digests to records would take
/// ten times as much.
const MOST_BYTES: u64 = 160;

/// As random as a digest is.
fn digest(number: u32) -> Digest {
    let mut digest = Digest::default();
    for (part, bytes) in (0..).zip(digest.chunks_mut(8)) {
        let mut z = u64::from(number) << 2 | part;
        z = z.wrapping_add(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bytes.copy_from_slice(&(z ^ (z >> 31)).to_be_bytes());
    }
    digest
}

fn key(number: u32) -> VirtualKey {
    let hex: String =
        digest(number).chunks(4).map(|b| format!("{:08x}", u32::from_be_bytes(b.try_into().unwrap()))).collect();
    let team = number % TEAMS;
    VirtualKey {
        name: format!("user-{number:07}-of-team"),
        secret: format!("sha256:{hex}"),
        models: Some(Names::These(vec!["gpt-4o".to_owned(), "claude-*".to_owned()])),
        candidates: vec![KeyCandidate {
            provider: "openai".to_owned(),
            models: vec!["gpt-4o".to_owned(), "gpt-4o-mini".to_owned()],
            weight: 1.0,
            limits: Vec::new(),
        }],
        team: Some(format!("team-{team}")),
        customer: Some(format!("customer-{}", team % 50)),
        ..VirtualKey::default()
    }
}

/// Bytes of memory that this program has now.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("VmRSS");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") * 1024
}

#[test]
fn a_million_keys_take_little_memory_and_each_is_found() {
    let before = resident();
    let began = Instant::now();
    let keys = Keys::resolve((0..KEYS).map(key), None, sidecar::read::secret).expect("they are fine");
    let (made, each) = (began.elapsed(), resident().saturating_sub(before) / u64::from(KEYS));
    let began = Instant::now();
    for number in (0..KEYS).step_by(7) {
        let Found::Good { record, .. } = keys.find(&digest(number), 0) else { panic!("key {number} is not found") };
        assert_eq!(record.team, format!("team-{}", number % TEAMS));
    }
    let found = began.elapsed() / (KEYS / 7);
    assert_eq!(keys.find(&digest(KEYS), 0), Found::Unknown);
    assert_eq!(keys.len(), KEYS as usize);
    println!("{KEYS} keys: {each} bytes each, made in {made:?}, found in {found:?}");
    assert!(each <= MOST_BYTES, "{each} bytes each");
}
