//! Every decoder of answers and errors: what decodes is encoded as one JSON object for every client.

#![no_main]

use libfuzzer_sys::fuzz_target;
use wire::format::{INBOUND, StreamContext};
use wire::json::Object;
use wire::provider;

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
            assert!(Object::parse(&inbound.encode_fault(&fault)).is_ok());
            if let Ok(response) = &response {
                assert!(Object::parse(&inbound.encode_response(response, &StreamContext::default())).is_ok());
            }
        }
    }
});
