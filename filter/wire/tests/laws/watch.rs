//! Streams that are passed through.

use crate::cases::{self, Case};
use crate::fold::Answer;
use crate::stream::decode;
use crate::tree::Tree;

fn through(case: &Case, hide: bool, chunks: &[&[u8]]) -> (Vec<u8>, wire::ir::Usage, bool) {
    let mut watch = cases::outbound(case.format).stream_watch(hide);
    let mut out = Vec::new();
    chunks.iter().for_each(|chunk| watch.push(chunk, &mut out));
    watch.finish(&mut out);
    (out, watch.usage(), watch.done())
}

/// The stream without the chunk that holds usage and nothing else. Works on the text, knows nothing of pushes.
fn without_usage(case: &Case) -> Vec<u8> {
    let text = String::from_utf8(case.body.clone()).unwrap();
    let end = if text.contains("\r\n\r\n") { "\r\n\r\n" } else { "\n\n" };
    let kept = text.split_inclusive(end).filter(|event| {
        let Some(data) = event.trim().strip_prefix("data:").map(str::trim).filter(|data| data.starts_with('{')) else {
            return true;
        };
        if !data.ends_with('}') {
            return true;
        }
        let chunk = Tree::parse(data.as_bytes());
        let empty = chunk.get("choices").is_some_and(|choices| *choices == Tree::Array(Vec::new()));
        !(empty && matches!(chunk.get("usage"), Some(Tree::Object(_))))
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
fn hiding_takes_the_usage_chunk_and_nothing_else() {
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
fn hiding_holds_a_chunk_only_until_its_choices_show() {
    for case in cases::streams().into_iter().filter(|case| case.format == "openai_chat") {
        let mut watch = cases::outbound(case.format).stream_watch(true);
        let (mut sent, mut held) = (0, Vec::new());
        for byte in case.body.chunks(1) {
            let mut out = Vec::new();
            watch.push(byte, &mut out);
            held.push(byte[0]);
            sent += out.len();
            if !out.is_empty() {
                held.clear();
            }
            let text = String::from_utf8_lossy(&held);
            assert!(!text.contains("\"choices\":[{"), "{}: held {text}", case.name);
            assert!(!text.trim_start().starts_with(':') || !text.ends_with("\n\n"), "{}: held {text}", case.name);
        }
        assert!(sent > 0, "{}", case.name);
    }
}
