//! Server-sent events in every spelling the standard allows, cut anywhere; and events that cannot be understood.

use proptest::prelude::*;
use wire::framing::Frame;
use wire::framing::sse::{self, MAX_EVENT};
use wire::ir::Event;

use crate::cases;
use crate::fold::{Answer, Said};
use crate::stream::decode;

#[derive(Debug, Clone)]
struct Written {
    name: Option<&'static str>,
    lines: Vec<&'static str>,
    /// What stands among the lines: comments, members nobody needs.
    beside: Option<&'static str>,
    space: bool,
    end: &'static str,
}

impl Written {
    fn bytes(&self) -> String {
        let mut text = String::new();
        let colon = if self.space { ": " } else { ":" };
        let mut line = |start: &str, rest: &str| text.push_str(&format!("{start}{colon}{rest}{}", self.end));
        if let Some(name) = self.name {
            line("event", name);
        }
        for data in &self.lines {
            line("data", data);
        }
        if let Some(beside) = self.beside {
            text.push_str(beside);
            text.push_str(self.end);
        }
        text + self.end
    }

    fn frame(&self) -> Option<Frame> {
        let event = self.name.map(str::to_owned);
        (!self.lines.is_empty()).then(|| Frame { event, data: self.lines.join("\n"), after_gap: false })
    }
}

fn written() -> impl Strategy<Value = Written> {
    let name = prop::option::of(prop::sample::select(vec!["message", "é"]));
    let lines = prop::collection::vec(prop::sample::select(vec!["", "{\"a\":1}", "é😀", "a: b", "data"]), 0..4);
    let beside = prop::option::of(prop::sample::select(vec![": hello", ":", "id: 7", "retry: 5", "unknown", "é: ü"]));
    let end = prop::sample::select(vec!["\n", "\r\n", "\r"]);
    (name, lines, beside, any::<bool>(), end).prop_map(|(name, lines, beside, space, end)| Written {
        name,
        lines,
        beside,
        space,
        end,
    })
}

fn frames(chunks: &[&[u8]]) -> Vec<Frame> {
    let (mut decoder, mut out) = (sse::Decoder::default(), Vec::new());
    chunks.iter().for_each(|chunk| decoder.push(chunk, &mut out));
    decoder.finish(&mut out);
    out
}

proptest! {
    #[test]
    fn any_spelling_in_any_cut_is_the_same_frames(
        events in prop::collection::vec(written(), 0..6),
        mark in any::<bool>(),
        unended in any::<bool>(),
        size in 1..9usize,
    ) {
        let mut bytes = if mark { b"\xef\xbb\xbf".to_vec() } else { Vec::new() };
        events.iter().for_each(|event| bytes.extend_from_slice(event.bytes().as_bytes()));
        if unended {
            // The blank line at the very end, and the line end before it, may be missing.
            while bytes.last().is_some_and(|byte| b"\r\n".contains(byte)) {
                bytes.pop();
            }
        }
        let expected: Vec<Frame> = events.iter().filter_map(Written::frame).collect();
        prop_assert_eq!(&frames(&[&bytes]), &expected);
        prop_assert_eq!(&frames(&bytes.chunks(size).collect::<Vec<_>>()), &expected);
        prop_assert_eq!(&frames(&bytes.chunks(1).collect::<Vec<_>>()), &expected);
    }

    #[test]
    fn no_bytes_can_break_the_framer(bytes in any::<Vec<u8>>(), at in any::<prop::sample::Index>()) {
        let (a, b) = bytes.split_at(at.index(bytes.len() + 1));
        prop_assert_eq!(frames(&[a, b]), frames(&[&bytes]));
    }
}

/// A stream of two pieces of text, with something between them.
fn around(format: &str, between: &str) -> String {
    let (before, after) = match format {
        "openai_chat" => {
            let chunk = |choice: &str| {
                format!("data: {{\"id\":\"c\",\"model\":\"m\",\"choices\":[{{\"index\":0,{choice}}}]}}\n\n")
            };
            let text = |text: &str| chunk(&format!("\"delta\":{{\"content\":\"{text}\"}},\"finish_reason\":null"));
            (text("one "), text("two") + &chunk("\"delta\":{},\"finish_reason\":\"stop\"") + "data: [DONE]\n\n")
        }
        "anthropic" => {
            let event = |kind: &str, rest: &str| format!("event: {kind}\ndata: {{\"type\":\"{kind}\"{rest}}}\n\n");
            let text = |text: &str| {
                event(
                    "content_block_delta",
                    &format!(",\"index\":0,\"delta\":{{\"type\":\"text_delta\",\"text\":\"{text}\"}}"),
                )
            };
            let message = ",\"message\":{\"id\":\"i\",\"model\":\"m\",\"content\":[],\"usage\":{\"input_tokens\":1}}";
            let block = ",\"index\":0,\"content_block\":{\"type\":\"text\",\"text\":\"\"}";
            let end = ",\"delta\":{\"stop_reason\":\"end_turn\"},\"usage\":{\"output_tokens\":2}";
            (
                event("message_start", message) + &event("content_block_start", block) + &text("one "),
                text("two")
                    + &event("content_block_stop", ",\"index\":0")
                    + &event("message_delta", end)
                    + &event("message_stop", ""),
            )
        }
        other => panic!("say what a stream of {other} is"),
    };
    format!("{before}{between}{after}")
}

/// What of the answer is read with this in its middle, and how many events were left out.
fn read(format: &str, between: &str) -> (Answer, u64) {
    let stream = around(format, between);
    let mut decoder = cases::outbound(format).stream_decoder();
    let mut events: Vec<Event> = Vec::new();
    stream.as_bytes().chunks(1 << 10).for_each(|chunk| decoder.push(chunk, &mut events));
    decoder.finish(&mut events);
    (Answer::of_events(&events), decoder.skipped())
}

fn is_whole(answer: &Answer) -> bool {
    matches!(answer.said.as_slice(), [Said::Text(text, ..)] if text == "one two")
}

#[test]
fn an_event_that_cannot_be_read_is_left_out_and_counted() {
    for format in cases::formats().iter().map(|format| format.name()) {
        assert_eq!(decode(format, &[around(format, "").as_bytes()]).last(), Some(&Event::Done));
        let mut wrong = Vec::new();
        for garbled in ["data: {\"choices\":[{\n\n", "data: <html>\n\n", "data: {}}\n\n", "data: \u{fffd}\n\n"] {
            let (answer, skipped) = read(format, garbled);
            if !answer.done || !is_whole(&answer) || skipped != 1 {
                let shown: String = garbled.chars().take(24).collect();
                wrong.push(format!("{format} at {shown:?}: {answer:?}, {skipped} skipped"));
            }
        }
        assert!(wrong.is_empty(), "{format}: {wrong:#?}");
    }
}

/// It is content that is missing then, and what is left must not pass for the answer.
#[test]
fn an_event_that_is_too_large_is_a_fault_and_nothing_counts_after_it() {
    let giant = format!("data: {}\n\n", "x".repeat(MAX_EVENT + 1));
    for format in cases::formats().iter().map(|format| format.name()) {
        let body = around(format, &giant);
        // In one piece, which holds the end of the stream as well, and in several.
        for chunks in [vec![body.as_bytes()], body.as_bytes().chunks(1 << 16).collect()] {
            let events = decode(format, &chunks);
            let answer = Answer::of_events(&events);
            assert!(!answer.done && answer.fault.is_some(), "{format}: {answer:?}");
            assert!(matches!(events.last(), Some(Event::Fault(_))), "{format}: {answer:?}");
        }
    }
}

#[test]
fn what_is_no_event_is_not_counted() {
    for format in cases::formats().iter().map(|format| format.name()) {
        for idle in [":\n\n", ": keep-alive\n\n", "\n\n\n", "event: ping\n\n", "id: 3\n\n"] {
            let (answer, skipped) = read(format, idle);
            assert_eq!((answer.done, skipped), (true, 0), "{format} at {idle:?}: {answer:?}");
            assert!(is_whole(&answer), "{format} at {idle:?}: {answer:?}");
        }
    }
}
