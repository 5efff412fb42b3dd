//! Every request decoder, and every encoder behind it: what decodes is encoded as one JSON object to every format.

#![no_main]

use libfuzzer_sys::fuzz_target;
use wire::format::INBOUND;
use wire::ir::Losses;
use wire::provider;

/// One JSON object, of any number of members: [`wire::json::Object`] bounds them.
fn is_object(body: &[u8]) -> bool {
    let raw = serde_json::from_slice::<&serde_json::value::RawValue>(body);
    raw.is_ok_and(|raw| wire::json::kind(raw) == "object")
}

fuzz_target!(|body: &[u8]| {
    for inbound in INBOUND {
        let Ok(request) = inbound.decode_request(body) else { continue };
        for name in provider::names() {
            let Some(row) = provider::find(name) else { continue };
            let mut losses = Losses::default();
            let encoded = row.format.encode_request(&request, "model", &mut losses);
            assert!(is_object(&encoded), "{name}: {}", String::from_utf8_lossy(&encoded));
            assert!(losses.dropped.len() <= Losses::MAX);
        }
    }
});
