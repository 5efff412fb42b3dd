//! Streams: what a client of another format sees at every event.
//!
//! `tests/corpus/<format>/event/` holds streams with every kind of event; a comment in front of an event says how its
//! kind is called.

use wire::framing::sse;

use crate::cases::{self, Case};
use crate::doc::Doc;
use crate::page::code;
use crate::stream::context;

/// Longest frame shown whole.
const WIDTH: usize = 160;

/// Members at the top of every chunk.
const ENVELOPE: &[&str] = &["id", "object", "created", "model"];

/// A kind of event and the bytes its client gets.
struct Step {
    kind: Option<String>,
    bytes: Vec<u8>,
}

fn steps(case: &Case, to: &str) -> Vec<Step> {
    let mut decoder = cases::outbound(case.format).stream_decoder();
    let mut encoder = cases::inbound(to).stream_encoder(context());
    let text = std::str::from_utf8(&case.body).unwrap();
    let mut kind = None;
    let mut steps = Vec::new();
    for event in text.split_inclusive("\n\n") {
        let (mut events, mut bytes) = (Vec::new(), Vec::new());
        decoder.push(event.as_bytes(), &mut events);
        events.iter().for_each(|event| encoder.event(event, &mut bytes));
        match event.strip_prefix(": ") {
            Some(name) => kind = Some(name.trim().to_owned()),
            None => steps.push(Step { kind: kind.take(), bytes }),
        }
    }
    steps
}

fn shown(bytes: &[u8]) -> String {
    let (mut decoder, mut frames) = (sse::Decoder::default(), Vec::new());
    decoder.push(bytes, &mut frames);
    let lines = frames.iter().map(|frame| {
        if !frame.data.starts_with('{') {
            return code(&frame.data);
        }
        let Doc::Object(mut members) = Doc::parse(frame.data.as_bytes()) else { panic!("{}", frame.data) };
        members.retain(|(name, _)| !ENVELOPE.contains(&name.as_str()));
        let line = Doc::Object(members).line();
        let cut: String = line.chars().take(WIDTH).collect();
        code(&if cut.len() < line.len() { format!("{cut}…") } else { line })
    });
    let lines: Vec<String> = lines.collect();
    match (lines.is_empty(), bytes.is_empty()) {
        (false, _) => lines.join("<br>"),
        (true, false) => "a comment".to_owned(),
        (true, true) => "nothing yet".to_owned(),
    }
}

pub(super) fn table(from: &str, to: &str) -> String {
    let mut text = "| event | the client sees |\n|---|---|\n".to_owned();
    for case in cases::corpus("event").iter().filter(|case| case.format == from) {
        for step in steps(case, to) {
            if let Some(kind) = step.kind {
                text.push_str(&format!("| {kind} | {} |\n", shown(&step.bytes)));
            }
        }
    }
    text
}
