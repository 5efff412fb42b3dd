//! Streams.

use wire::format::{INBOUND, StreamContext};
use wire::ir::Event;

use crate::cases::{self, Case};
use crate::fold::Answer;

/// Largest recorded stream that is cut at every single place; our own are, whatever their size.
const CUT_EVERYWHERE: usize = 1 << 10;

pub(crate) fn decode(format: &str, chunks: &[&[u8]]) -> Vec<Event> {
    let mut decoder = cases::outbound(format).stream_decoder();
    let mut events = Vec::new();
    chunks.iter().for_each(|chunk| decoder.push(chunk, &mut events));
    decoder.finish(&mut events);
    events
}

fn whole(case: &Case) -> Vec<Event> {
    decode(case.format, &[&case.body])
}

/// What an encoder of `format` makes of events: the bytes of each, and those of the end.
pub(crate) fn encode(format: &str, events: &[Event], context: StreamContext) -> Vec<Vec<u8>> {
    let mut encoder = cases::inbound(format).stream_encoder(context);
    let mut steps: Vec<Vec<u8>> = Vec::new();
    for event in events {
        let mut out = Vec::new();
        encoder.event(event, &mut out);
        steps.push(out);
    }
    let mut out = Vec::new();
    encoder.finish(&mut out);
    steps.push(out);
    steps
}

pub(crate) fn context() -> StreamContext {
    StreamContext { model: "asked".to_owned(), usage: true, now: 1_700_000_000 }
}

#[test]
fn a_cut_anywhere_gives_the_same_events() {
    let mut checked = 0;
    for case in cases::streams() {
        // A piece with comments is one keep-alive, however many they are.
        let decode = |format: &str, chunks: &[&[u8]]| -> Vec<Event> {
            decode(format, chunks).into_iter().filter(|event| *event != Event::Ping).collect()
        };
        let expected = decode(case.format, &[&case.body]);
        let bytes: Vec<&[u8]> = case.body.chunks(1).collect();
        assert_eq!(decode(case.format, &bytes), expected, "{} byte by byte", case.name);
        let ours = case.name.contains("/stream/") || case.name.contains("/event/");
        if ours || case.body.len() <= CUT_EVERYWHERE {
            for at in 0..case.body.len() {
                let (a, b) = case.body.split_at(at);
                assert_eq!(decode(case.format, &[a, b]), expected, "{} cut at {at}", case.name);
            }
        }
        checked += 1;
    }
    println!("{checked} streams");
}

#[test]
fn events_keep_their_grammar_and_every_stream_ends() {
    for case in cases::streams() {
        let answer = Answer::of_events(&whole(&case));
        let cut_off = case.name.contains("truncated");
        assert_eq!(answer.done || answer.fault.is_some(), !cut_off, "{}", case.name);
        if answer.done {
            assert!(!answer.model.is_empty(), "{}", case.name);
        }
    }
}

#[test]
fn events_folded_are_the_unary_answer() {
    let mut pairs = 0;
    let responses = cases::corpus("response");
    for case in cases::corpus("stream") {
        let name = case.name.replace("/stream/", "/response/").replace(".sse", ".json");
        let Some(unary) = responses.iter().find(|case| case.name == name) else { continue };
        let unary = cases::outbound(case.format).decode_response(&unary.body).unwrap();
        let folded = Answer::of_events(&whole(&case));
        assert_eq!(folded.merged(), Answer::of_response(&unary).merged(), "{}", case.name);
        pairs += 1;
    }
    assert!(pairs >= 10, "{pairs} pairs");
}

#[test]
fn what_an_encoder_writes_is_read_back_as_the_same_answer() {
    for case in cases::streams() {
        let events = whole(&case);
        for format in INBOUND {
            let bytes = encode(format.name(), &events, context()).concat();
            let told = Answer::of_events(&decode(format.name(), &[&bytes]));
            let expected = Answer::of_events(&events).told_by(format.name());
            let at = format!("{} as {}\n{}", case.name, format.name(), String::from_utf8_lossy(&bytes));
            assert_eq!(told.done, expected.done, "{at}");
            assert_eq!(told.fault.is_some(), !expected.done, "{at}");
            if expected.done {
                let mut told = told.told_by(format.name());
                // Where a server gives no id or reason, the client gets one.
                told.id = if expected.id.is_empty() { String::new() } else { told.id };
                told.stop = expected.stop.is_some().then_some(told.stop).flatten();
                // The usage chunk has both counts always.
                told.usage.input = expected.usage.input.and(told.usage.input);
                told.usage.output = expected.usage.output.and(told.usage.output);
                assert_eq!(told, expected, "{at}");
            }
        }
    }
}

#[test]
fn every_piece_goes_out_with_its_event() {
    for case in cases::streams() {
        let events = whole(&case);
        if case.name.contains("interleaved") {
            continue;
        }
        for format in INBOUND {
            let steps = encode(format.name(), &events, context());
            for (event, step) in events.iter().zip(&steps) {
                let needs_bytes = match event {
                    Event::Start { .. } | Event::PartStart { .. } | Event::Delta { .. } | Event::Done => true,
                    Event::Fault(_) | Event::Ping => true,
                    Event::Signature { .. } | Event::Citation { .. } | Event::PartEnd { .. } => false,
                    Event::Stop(_) | Event::Usage(_) => false,
                };
                let nothing_to_say = format.name() == "openai_chat" && matches!(event, Event::PartStart { .. });
                if needs_bytes && !nothing_to_say {
                    assert!(!step.is_empty(), "{} as {}: {event:?} was held", case.name, format.name());
                }
            }
        }
    }
}

#[test]
fn interleaved_parts_wait_no_longer_than_they_must() {
    let case = cases::corpus("stream").into_iter().find(|case| case.name.contains("interleaved")).unwrap();
    let events = whole(&case);
    let steps = encode("anthropic", &events, context());
    let (mut open, mut held) = (0, 0);
    for (event, step) in events.iter().zip(&steps) {
        if let Event::Delta { index, .. } | Event::PartEnd { index } = event {
            assert_eq!(!step.is_empty(), *index == open, "{event:?}");
            held += usize::from(step.is_empty());
            open += usize::from(*index == open && matches!(event, Event::PartEnd { .. }));
        }
    }
    assert!(held > 0 && open > 0, "the case interleaves");
}

#[test]
fn a_piece_with_comments_is_one_keep_alive_for_every_client() {
    let keep_alive =
        |format: &str| if format == "anthropic" { "event: ping\ndata: {\"type\":\"ping\"}\n\n" } else { ": ping\n\n" };
    for from in INBOUND {
        for comments in [":\n\n", ": k\n\n", ": k\r\n", ":k\r\r", &": OPENROUTER PROCESSING\n\n".repeat(10_000)] {
            let mut decoder = cases::outbound(from.name()).stream_decoder();
            for _ in 0..2 {
                let mut events = Vec::new();
                decoder.push(comments.as_bytes(), &mut events);
                assert_eq!(events, [Event::Ping], "{}: each piece", from.name());
            }
            for to in INBOUND {
                let told = encode(to.name(), &[Event::Ping], context());
                assert_eq!(told[0], keep_alive(to.name()).as_bytes());
            }
            assert_eq!(decoder.skipped(), 0);
        }
        for others in ["id: 3\n\n", "data: \n\n", "retry: 5\n", "\n", ": not yet whole"] {
            let mut events = Vec::new();
            cases::outbound(from.name()).stream_decoder().push(others.as_bytes(), &mut events);
            assert_eq!(events, [], "{others:?}");
        }
    }
}

#[test]
fn usage_is_told_only_to_clients_that_asked() {
    let case = cases::corpus("stream").into_iter().find(|case| case.name == "anthropic/stream/text.sse").unwrap();
    let events = whole(&case);
    let text = |usage| {
        let context = StreamContext { usage, ..context() };
        String::from_utf8(encode("openai_chat", &events, context).concat()).unwrap()
    };
    assert!(!text(false).contains("usage"));
    let asked = text(true);
    let last = asked.trim_end().strip_suffix("data: [DONE]").unwrap().trim_end().lines().next_back().unwrap();
    let expected = "\"choices\":[],\"usage\":{\"prompt_tokens\":125,\"completion_tokens\":15,\"total_tokens\":140,\
        \"prompt_tokens_details\":{\"cached_tokens\":100,\"cache_write_tokens\":0}}}";
    assert!(last.ends_with(expected), "{last}");
}
