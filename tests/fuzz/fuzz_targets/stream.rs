//! Every stream decoder, encoder and watcher: cuts do not matter, every stream a client sees ends, and a watcher that
//! hides nothing changes nothing.

#![no_main]

use libfuzzer_sys::fuzz_target;
use wire::format::{INBOUND, Outbound, StreamContext};
use wire::ir::Event;
use wire::provider;

fn decode(format: &dyn Outbound, chunks: &[&[u8]]) -> Vec<Event> {
    let (mut decoder, mut events) = (format.stream_decoder(), Vec::new());
    chunks.iter().for_each(|chunk| decoder.push(chunk, &mut events));
    decoder.finish(&mut events);
    events
}

fn watch(format: &dyn Outbound, hide: bool, chunks: &[&[u8]]) -> Vec<u8> {
    let (mut watch, mut out) = (format.stream_watch(hide), Vec::new());
    chunks.iter().for_each(|chunk| watch.push(chunk, &mut out));
    watch.finish(&mut out);
    out
}

fuzz_target!(|input: (Vec<u8>, usize)| {
    let (bytes, at) = input;
    let (a, b) = bytes.split_at(at.min(bytes.len()));
    for name in ["anthropic", "openai"] {
        let Some(row) = provider::find(name) else { continue };
        let events = decode(row.format, &[&bytes]);
        assert_eq!(decode(row.format, &[a, b]), events);
        assert_eq!(watch(row.format, false, &[a, b]), bytes);
        assert_eq!(watch(row.format, true, &[a, b]), watch(row.format, true, &[&bytes]));
        for inbound in INBOUND {
            let mut encoder = inbound.stream_encoder(StreamContext { usage: true, ..StreamContext::default() });
            let mut out = Vec::new();
            events.iter().for_each(|event| encoder.event(event, &mut out));
            encoder.finish(&mut out);
            let Some(target) = provider::find(if inbound.name() == "anthropic" { "anthropic" } else { "openai" })
            else {
                continue;
            };
            let told = decode(target.format, &[&out]);
            assert!(matches!(told.last(), Some(Event::Done | Event::Fault(_))), "{}", String::from_utf8_lossy(&out));
        }
    }
});
