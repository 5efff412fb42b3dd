//! Frames do not depend on where the bytes were cut, and what is encoded is decoded.

#![no_main]

use libfuzzer_sys::fuzz_target;
use wire::framing::{Frame, sse};

fn decode(chunks: &[&[u8]]) -> Vec<Frame> {
    let (mut decoder, mut out) = (sse::Decoder::default(), Vec::new());
    chunks.iter().for_each(|chunk| decoder.push(chunk, &mut out));
    decoder.finish(&mut out);
    out
}

fuzz_target!(|input: (Vec<u8>, usize)| {
    let (bytes, at) = input;
    let frames = decode(&[&bytes]);
    let (a, b) = bytes.split_at(at.min(bytes.len()));
    assert_eq!(decode(&[a, b]), frames);
    let mut again = Vec::new();
    frames.iter().for_each(|frame| sse::encode(frame.event.as_deref(), frame.data.as_bytes(), &mut again));
    assert_eq!(decode(&[&again]), frames);
});
