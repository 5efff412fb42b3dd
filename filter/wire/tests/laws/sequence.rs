//! What the vendors' own clients demand of a stream.

use wire::format::INBOUND;
use wire::framing::{Frame, sse};

use crate::cases;
use crate::stream::{context, decode, encode};
use crate::tree::Tree;

fn frames(bytes: &[u8]) -> Vec<Frame> {
    let (mut decoder, mut out) = (sse::Decoder::default(), Vec::new());
    decoder.push(bytes, &mut out);
    out
}

#[test]
fn streams_are_what_clients_of_their_format_demand() {
    for case in cases::streams() {
        let events = decode(case.format, &[&case.body]);
        for format in INBOUND {
            let bytes = encode(format.name(), &events, context()).concat();
            let at = format!("{} as {}\n{}", case.name, format.name(), String::from_utf8_lossy(&bytes));
            match format.name() {
                "openai_chat" => openai_chat(&frames(&bytes), &at),
                "anthropic" => anthropic(&frames(&bytes), &at),
                other => panic!("say what clients of {other} demand"),
            }
        }
    }
}

fn openai_chat(frames: &[Frame], at: &str) {
    let (last, chunks) = frames.split_last().unwrap();
    let mut heads: Vec<[Tree; 4]> = Vec::new();
    let mut finished = 0;
    let mut calls = 0;
    for (number, frame) in chunks.iter().enumerate() {
        assert_eq!(frame.event, None, "{at}");
        let chunk = Tree::parse(frame.data.as_bytes());
        heads.push(["id", "object", "created", "model"].map(|name| chunk.get(name).unwrap().clone()));
        let choices = chunk.get("choices").unwrap().items();
        if choices.is_empty() {
            assert_eq!(number, chunks.len() - 1, "usage comes last: {at}");
            continue;
        }
        assert_eq!(finished, 0, "nothing after the finish reason: {at}");
        let delta = choices[0].get("delta").unwrap();
        assert_eq!(number == 0, delta.get("role").is_some(), "{at}");
        for call in delta.get("tool_calls").map(Tree::items).unwrap_or_default() {
            if call.get("id").is_some() {
                assert_eq!(call.get("index"), Some(&Tree::Whole(calls)), "{at}");
                calls += 1;
            }
        }
        finished += usize::from(choices[0].get("finish_reason") != Some(&Tree::Null));
    }
    assert!(heads.windows(2).all(|pair| pair[0] == pair[1]), "{at}");
    if last.data == "[DONE]" {
        assert_eq!(finished, 1, "{at}");
    } else {
        let error = Tree::parse(last.data.as_bytes());
        let error = error.get("error").unwrap();
        assert!(["message", "type", "param", "code"].iter().all(|name| error.get(name).is_some()), "{at}");
    }
}

fn anthropic(frames: &[Frame], at: &str) {
    let mut open = None;
    let mut next = 0;
    let mut seen: Vec<String> = Vec::new();
    for frame in frames {
        let data = Tree::parse(frame.data.as_bytes());
        let kind = data.get("type").and_then(Tree::text).unwrap().to_owned();
        assert_eq!(frame.event.as_deref(), Some(kind.as_str()), "{at}");
        let index = data.get("index").cloned();
        match kind.as_str() {
            "message_start" => {
                assert!(seen.iter().all(|kind| kind == "ping"), "{at}");
                let message = data.get("message").unwrap();
                assert!(matches!(message.get("usage").unwrap().get("input_tokens"), Some(Tree::Whole(_))), "{at}");
            }
            "content_block_start" => {
                assert_eq!((open.take(), index), (None, Some(Tree::Whole(next))), "blocks do not overlap: {at}");
                open = Some(next);
                next += 1;
            }
            "content_block_delta" => assert_eq!(index, open.map(Tree::Whole), "{at}"),
            "content_block_stop" => assert_eq!(index, open.take().map(Tree::Whole), "{at}"),
            "message_delta" => {
                assert_eq!(open, None, "{at}");
                assert!(matches!(data.get("usage").unwrap().get("output_tokens"), Some(Tree::Whole(_))), "{at}");
                assert!(!seen.contains(&kind), "{at}");
            }
            "message_stop" => assert!(seen.iter().any(|kind| kind == "message_delta"), "{at}"),
            "error" | "ping" => {}
            other => panic!("{other}: {at}"),
        }
        seen.push(kind);
    }
    let last = seen.last().map(String::as_str);
    assert!(last == Some("message_stop") || last == Some("error"), "{at}");
}
