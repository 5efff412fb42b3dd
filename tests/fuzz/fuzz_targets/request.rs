//! Every request decoder, and every encoder behind it: what decodes is encoded as one JSON object to every format.

#![no_main]

use libfuzzer_sys::fuzz_target;
use wire::format::INBOUND;
use wire::ir::Losses;
use wire::json::Object;
use wire::provider;

fuzz_target!(|body: &[u8]| {
    for inbound in INBOUND {
        let Ok(request) = inbound.decode_request(body) else { continue };
        for name in provider::names() {
            let Some(row) = provider::find(name) else { continue };
            let mut losses = Losses::default();
            let encoded = row.format.encode_request(&request, "model", &mut losses);
            assert!(Object::parse(&encoded).is_ok(), "{name}: {}", String::from_utf8_lossy(&encoded));
            assert!(losses.dropped.len() <= Losses::MAX);
        }
    }
});
