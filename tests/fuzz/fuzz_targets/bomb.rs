//! Bombs in the walk's samples: any place of any request or answer, blown up and then changed at random. What decodes is
//! encoded for everybody, in memory that `decode_cost` bounds and libFuzzer's `-malloc_limit_mb` and `-rss_limit_mb` hold.

#![no_main]

use std::collections::BTreeSet;
use std::sync::LazyLock;

use bomb::{Bomb, bombs};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use wire::format::{INBOUND, StreamContext};
use wire::ir::Losses;
use wire::provider;
use wire::scan::{Prompt, scan};

#[path = "../../guest/linear/bomb.rs"]
#[expect(dead_code, reason = "bombs that are written by hand are for the law alone")]
mod bomb;

/// Largest body. What grows with the square shows here as a slow unit.
const LARGEST: usize = 1 << 20;

fn all(table: &str) -> Vec<Bomb> {
    let mut seen = BTreeSet::new();
    let mut found = Vec::new();
    for format in ["openai_chat", "anthropic"] {
        let file = format!("{}/../corpus/{format}/{table}.json", env!("CARGO_MANIFEST_DIR"));
        let text = std::fs::read_to_string(&file).unwrap_or_else(|e| panic!("{file}: {e}"));
        let table: Value = serde_json::from_str(&text).unwrap_or_else(|e| panic!("{file}: {e}"));
        for row in table["rows"].as_array().into_iter().flatten() {
            let mut body = table["minimal"].clone();
            for (name, value) in row["sample"].as_object().into_iter().flatten() {
                body[name.as_str()] = value.clone();
            }
            found.extend(bombs(&body, &mut seen));
        }
    }
    found
}

static REQUESTS: LazyLock<Vec<Bomb>> = LazyLock::new(|| all("parameter"));
static ANSWERS: LazyLock<Vec<Bomb>> = LazyLock::new(|| all("answer"));

fuzz_target!(|input: (u16, u32, Vec<(u32, u8)>)| {
    let (which, size, changes) = input;
    let body = |bombs: &[Bomb]| {
        let mut body = bombs[usize::from(which) % bombs.len()].body(size as usize % LARGEST);
        for (at, byte) in changes.iter().take(16) {
            let at = *at as usize % body.len();
            body[at] = *byte;
        }
        body
    };
    let request = body(&REQUESTS);
    if let Ok(found) = scan(&request) {
        std::hint::black_box(Prompt::of(&found, &request));
    }
    for inbound in INBOUND {
        let Ok(request) = inbound.decode_request(&request) else { continue };
        for name in ["anthropic", "openai", "openrouter", "deepseek"] {
            let Some(row) = provider::find(name) else { continue };
            let mut losses = Losses::default();
            let encoded = row.format.encode_request(&request, "model", &mut losses);
            assert!(serde_json::from_slice::<&serde_json::value::RawValue>(&encoded).is_ok(), "{name}");
            assert!(losses.dropped.len() <= Losses::MAX);
            assert!(losses.dropped.iter().map(String::len).sum::<usize>() < 64 * 1024);
        }
    }
    let answer = body(&ANSWERS);
    for name in ["anthropic", "openai"] {
        let Some(row) = provider::find(name) else { continue };
        std::hint::black_box(row.format.decode_fault(500, &answer));
        let Ok(response) = row.format.decode_response(&answer) else { continue };
        for inbound in INBOUND {
            inbound.encode_response(&response, &StreamContext::default());
        }
    }
});
