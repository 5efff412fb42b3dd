//! Every decoder of answers and errors: what decodes is encoded as one JSON object for every client.

#![no_main]

use libfuzzer_sys::fuzz_target;
use wire::format::{INBOUND, StreamContext};
use wire::provider;

/// One JSON object, of any number of members: [`wire::json::Object`] bounds them.
fn is_object(body: &[u8]) -> bool {
    let raw = serde_json::from_slice::<&serde_json::value::RawValue>(body);
    raw.is_ok_and(|raw| wire::json::kind(raw) == "object")
}

fuzz_target!(|input: (u16, Vec<u8>)| {
    let (status, body) = input;
    for name in ["anthropic", "openai"] {
        let Some(row) = provider::find(name) else { continue };
        let fault = row.format.decode_fault(status, &body);
        assert!((400..600).contains(&fault.status));
        let response = row.format.decode_response(&body);
        if let Ok(response) = &response {
            assert!(row.format.glance(&body).is_ok_and(|usage| usage == response.usage));
        }
        for inbound in INBOUND {
            assert!(is_object(&inbound.encode_fault(&fault)));
            if let Ok(response) = &response {
                assert!(is_object(&inbound.encode_response(response, &StreamContext::default())));
            }
        }
    }
});
