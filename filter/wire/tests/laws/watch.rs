//! Streams that are passed through.

use crate::cases::{self, Case};
use crate::fold::Answer;
use crate::stream::decode;
use crate::tree::Tree;
use wire::ir::Event;

fn through(case: &Case, hide: bool, chunks: &[&[u8]]) -> (Vec<u8>, wire::ir::Usage, bool) {
    let mut watch = cases::outbound(case.format).stream_watch(hide);
    let mut out = Vec::new();
    chunks.iter().for_each(|chunk| watch.push(chunk, &mut out));
    watch.finish(&mut out);
    (out, watch.usage(), watch.done())
}

/// The stream as it would be had nobody asked for usage. Works on the text, knows nothing of pushes.
fn without_usage(case: &Case) -> Vec<u8> {
    let text = String::from_utf8(case.body.clone()).unwrap();
    let end = if text.contains("\r\n\r\n") { "\r\n\r\n" } else { "\n\n" };
    let kept = text.split_inclusive(end).map(|event| {
        let Some(data) = event.trim().strip_prefix("data:").map(str::trim).filter(|data| data.starts_with('{')) else {
            return event.to_owned();
        };
        if !data.ends_with('}') {
            return event.to_owned();
        }
        let chunk = Tree::parse(data.as_bytes());
        let empty = chunk.get("choices").is_some_and(|choices| *choices == Tree::Array(Vec::new()));
        match chunk.get("usage") {
            Some(Tree::Object(_)) if empty => String::new(),
            Some(Tree::Null) => {
                let cut = event.replacen(r#","usage":null"#, "", 1);
                assert_eq!(
                    Tree::parse(cut.trim().strip_prefix("data:").unwrap().as_bytes()).get("usage"),
                    None,
                    "{}",
                    case.name
                );
                cut
            }
            _ => event.to_owned(),
        }
    });
    kept.collect::<String>().into_bytes()
}

#[test]
fn without_hiding_every_push_goes_out_as_it_came() {
    for case in cases::streams() {
        let mut watch = cases::outbound(case.format).stream_watch(false);
        for chunk in case.body.chunks(7) {
            let mut out = Vec::new();
            watch.push(chunk, &mut out);
            assert_eq!(out, chunk, "{}", case.name);
        }
    }
}

#[test]
fn usage_and_end_are_read_along_the_way() {
    for case in cases::streams() {
        let answer = Answer::of_events(&decode(case.format, &[&case.body]));
        for hide in [false, true] {
            let (_, usage, done) = through(&case, hide, &case.body.chunks(11).collect::<Vec<_>>());
            assert_eq!(usage, answer.usage, "{}", case.name);
            assert_eq!(done, answer.done, "{}", case.name);
        }
    }
}

#[test]
fn hiding_takes_usage_and_nothing_else() {
    let mut hidden = 0;
    for case in cases::streams().into_iter().filter(|case| case.format == "openai_chat") {
        let expected = without_usage(&case);
        hidden += usize::from(expected.len() < case.body.len());
        for size in [1, 2, 3, 64, case.body.len()] {
            let (out, ..) = through(&case, true, &case.body.chunks(size).collect::<Vec<_>>());
            let text = String::from_utf8_lossy(&out);
            assert_eq!(text, String::from_utf8_lossy(&expected), "{} in pieces of {size}", case.name);
        }
    }
    assert!(hidden >= 4, "{hidden} streams had something to hide");
}

#[test]
fn hiding_holds_no_more_than_one_event() {
    for case in cases::streams().into_iter().filter(|case| case.format == "openai_chat") {
        let mut watch = cases::outbound(case.format).stream_watch(true);
        let (mut sent, mut held) = (0, Vec::new());
        for byte in case.body.chunks(1) {
            let mut out = Vec::new();
            watch.push(byte, &mut out);
            held.push(byte[0]);
            sent += out.len();
            let ended = held.ends_with(b"\n\n") || held.ends_with(b"\r\n\r");
            assert!(out.is_empty() || ended || out == b"\n", "{}: sent before its end", case.name);
            if ended {
                held.clear();
            }
        }
        assert!(sent > 0, "{}", case.name);
    }
}

#[test]
fn an_event_too_large_to_hold_passes() {
    let big = format!("data: {{\"choices\":[],\"x\":\"{}\"}}\n\n", "y".repeat(2 << 20));
    let (before, after) = ("data: {\"a\":1,\"usage\":null}\n\n", "data: {\"b\":1,\"usage\":null}\n\n");
    let body = [before, big.as_str(), after].concat();
    let mut watch = cases::outbound("openai_chat").stream_watch(true);
    let mut out = Vec::new();
    for chunk in body.as_bytes().chunks(1000) {
        watch.push(chunk, &mut out);
    }
    let expected = ["data: {\"a\":1}\n\n", big.as_str(), "data: {\"b\":1}\n\n"].concat();
    assert!(out == expected.as_bytes());
    assert_eq!(watch.skipped(), 1);
}

#[test]
fn content_shows_with_its_first_piece() {
    for case in cases::streams().into_iter().filter(|case| case.format == "openai_chat") {
        for hide in [false, true] {
            let mut watch = cases::outbound(case.format).stream_watch(hide);
            let mut decoder = cases::outbound(case.format).stream_decoder();
            let (mut out, mut events) = (Vec::new(), Vec::new());
            for chunk in case.body.chunks(5) {
                watch.push(chunk, &mut out);
                decoder.push(chunk, &mut events);
                assert_eq!(watch.content(), events.iter().any(Event::is_content), "{}", case.name);
            }
        }
    }
}

#[test]
fn what_cannot_be_read_passes_and_is_counted() {
    let body = "data: {\"choices\":[{\"delta\":{\"content\":7}}]}\n\ndata: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\n\
        data: <html>\n\ndata: {\"choices\":[{\"finish_reason\":\"stop\"],}\n\ndata: [DONE]\n\n";
    for hide in [false, true] {
        let mut watch = cases::outbound("openai_chat").stream_watch(hide);
        let mut out = Vec::new();
        watch.push(body.as_bytes(), &mut out);
        watch.finish(&mut out);
        assert_eq!(String::from_utf8(out).unwrap(), body);
        assert_eq!((watch.skipped(), watch.content(), watch.done()), (3, true, true));
    }
}
