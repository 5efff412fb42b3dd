//! Answers of one piece: what is shown as an answer is one, and everything else is a failed try.

use std::rc::Rc;

use engine::config::snapshot::Snapshot;
use engine::exchange::{Answer, Body, Exchange, Flaw, Head, Outcome};
use serde_json::json;
use wire::ir::Event;

use crate::support::{self, SECOND, SIDES, get, pairs};

fn snapshot(limit: &str) -> Rc<Snapshot> {
    let config = json!({
        "version": 1,
        "limits": {"body": limit},
        "providers": {
            "openai": {"keys": [{"name": "k1", "models": ["*"]}]},
            "anthropic": {"keys": [{"name": "k1", "models": ["*"]}]}
        }
    });
    support::snapshot(config)
}

/// A request to these clusters, the first of which has begun.
fn exchange(path: &str, stream: bool, clusters: &[&str]) -> Exchange {
    limited("2MiB", path, stream, clusters)
}

fn limited(limit: &str, path: &str, stream: bool, clusters: &[&str]) -> Exchange {
    let body = json!({"model": "m", "stream": stream, "max_tokens": 9, "messages": []}).to_string();
    let mut ex = support::exchange(&snapshot(limit), path, body.as_bytes(), clusters);
    ex.begin(clusters[0], SECOND).unwrap();
    ex
}

fn answer(ex: &mut Exchange, kind: &str) -> (Answer, Head) {
    Answer::head(ex, &pairs(&[(":status", "200"), ("content-type", kind)]), false, SECOND).unwrap()
}

fn good(cluster: &str) -> String {
    if cluster.starts_with("openai") {
        json!({"id": "x", "object": "chat.completion", "model": "m", "usage": {"prompt_tokens": 3, "completion_tokens": 4},
            "choices": [{"index": 0, "message": {"role": "assistant", "content": "hi"}, "finish_reason": "stop"}]})
    } else {
        json!({"id": "x", "type": "message", "role": "assistant", "model": "m", "stop_reason": "end_turn",
            "content": [{"type": "text", "text": "hi"}], "usage": {"input_tokens": 3, "output_tokens": 4}})
    }
    .to_string()
}

#[test]
fn a_whole_answer_is_shown_at_its_end_and_not_before() {
    for (path, own) in SIDES {
        for (_, cluster) in SIDES {
            let mut ex = exchange(path, false, &[cluster]);
            let (mut answer, head) = answer(&mut ex, "application/json");
            assert!(head == Head::default() && answer.collects());
            assert!(ex.answering.is_none(), "a reply that Envoy makes up now is not the answer");
            assert_eq!(answer.body(&mut ex, b"", false, SECOND), Body::Hold);
            let body = good(cluster);
            match answer.body(&mut ex, body.as_bytes(), true, 2 * SECOND) {
                Body::Show(head) => assert!(own == cluster && get(&head, ":status") == Some("200")),
                Body::Whole(head, told) => {
                    assert_ne!(own, cluster);
                    assert_eq!(get(&head, "content-length"), Some(told.len().to_string().as_str()));
                    assert!(String::from_utf8(told).unwrap().contains("hi"));
                }
                other @ (Body::Keep | Body::Replace(_) | Body::Hold | Body::Stage(_) | Body::Fail(_)) => {
                    panic!("{other:?}")
                }
            }
            let tried = &ex.settle(3 * SECOND).tries[0];
            let usage = tried.usage.unwrap();
            assert_eq!((tried.outcome, usage.usage.output, usage.estimated), (Outcome::Ok, Some(4), false));
        }
    }
}

#[test]
fn what_is_no_answer_is_a_failed_try() {
    let error = |cluster: &str| {
        if cluster.starts_with("openai") {
            json!({"error": {"message": "busy", "code": 429}}).to_string()
        } else {
            json!({"type": "error", "error": {"type": "rate_limit_error", "message": "busy"}}).to_string()
        }
    };
    for (path, _) in SIDES {
        for (cluster, other) in [("openai_k1", "anthropic_k1"), ("anthropic_k1", "openai_k1")] {
            for stream in [false, true] {
                let whole = good(cluster);
                let (cut, _) = whole.split_at(whole.len() - 9);
                for (said, status, flaw) in [
                    (error(cluster), "429", Flaw::Fault),
                    (String::new(), "502", Flaw::Empty),
                    ("<html>busy</html>".to_owned(), "502", Flaw::Garbled),
                    (cut.to_owned(), "502", Flaw::Garbled),
                    ("{}".to_owned(), "502", Flaw::Garbled),
                ] {
                    let case = format!("{path} {cluster} {stream} {said}");
                    let mut ex = exchange(path, stream, &[cluster, other]);
                    let (mut answer, _) = answer(&mut ex, "application/json");
                    let Body::Fail(head) = answer.body(&mut ex, said.as_bytes(), true, SECOND) else {
                        panic!("{case}")
                    };
                    let head = head.set.unwrap();
                    assert_eq!(get(&head, ":status"), Some(status), "{case}");
                    assert_eq!(get(&head, "x-envoy-ratelimited"), None, "Envoy may ask the next: {case}");
                    assert_eq!(ex.tries[0].flaw, Some(flaw), "{case}");
                    assert!(ex.verdict.is_some(), "in case Envoy does not: {case}");
                    ex.begin(other, SECOND).unwrap();
                    assert!(ex.verdict.is_none());
                    let tries = ex.settle(SECOND).tries;
                    assert_eq!(
                        (tries[0].status, tries[0].outcome, tries[0].billed),
                        (200, Outcome::Error, None),
                        "{case}"
                    );
                }
            }
        }
    }
}

#[test]
fn a_head_alone_can_be_enough_to_fail() {
    for (path, cluster) in SIDES {
        let mut ex = exchange(path, false, &[cluster]);
        let (_, head) = answer(&mut ex, "text/event-stream; charset=utf-8");
        assert_eq!(get(&head.set.unwrap(), ":status"), Some("502"), "a stream nobody asked for");
        for kind in ["application/json", "text/event-stream"] {
            let mut ex = exchange(path, kind.starts_with("text"), &[cluster]);
            let head = pairs(&[(":status", "200"), ("content-type", kind)]);
            let (_, head) = Answer::head(&mut ex, &head, true, SECOND).unwrap();
            let head = head.set.unwrap();
            assert_eq!((get(&head, ":status"), get(&head, "x-envoy-ratelimited")), (Some("502"), Some("true")));
            assert_eq!(ex.tries[0].flaw, Some(Flaw::Empty));
        }
    }
}

#[test]
fn who_asked_for_a_stream_gets_one_from_a_provider_that_answers_whole() {
    for (path, own) in SIDES {
        for (_, cluster) in SIDES {
            let mut ex = exchange(path, true, &[cluster]);
            let (mut answer, _) = answer(&mut ex, "application/json");
            let Body::Whole(head, told) = answer.body(&mut ex, good(cluster).as_bytes(), true, 2 * SECOND) else {
                panic!()
            };
            assert_eq!((get(&head, "content-type"), get(&head, "content-length")), (Some("text/event-stream"), None));
            let mut decoder = wire::provider::find(own.trim_end_matches("_k1")).unwrap().format.stream_decoder();
            let mut events = Vec::new();
            decoder.push(&told, &mut events);
            decoder.finish(&mut events);
            let said = |event: &Event| matches!(event, Event::Delta { text, .. } if text == "hi");
            assert!(events.iter().any(said) && events.last() == Some(&Event::Done), "{events:?}");
            let settled = ex.settle(3 * SECOND);
            assert_eq!((settled.first_content, settled.tries[0].outcome), (SECOND, Outcome::Ok));
        }
    }
}

#[test]
fn an_answer_too_large_to_hold_passes_on_or_fails_if_it_had_to_be_told_anew() {
    for (path, own) in SIDES {
        for (_, cluster) in SIDES {
            let mut ex = exchange(path, false, &[cluster]);
            let (mut answer, _) = answer(&mut ex, "application/json");
            let room = answer.room(&ex);
            assert_eq!(room, if own == cluster { 1 << 20 } else { (2 << 20) / 8 * 7 });
            let last = |_| Some(b"and so on".to_vec());
            match answer.overflow(&mut ex, room + 1, SECOND, last) {
                Body::Show(head) => {
                    assert_eq!((own, get(&head, ":status")), (cluster, Some("200")));
                    assert!(answer.passes());
                    // The counts come in two pieces.
                    let whole = good(cluster);
                    let (before, after) = whole.as_bytes().split_at(whole.len() - 9);
                    answer.pass(&mut ex, before.len(), false, 0, |last| Some(before[before.len() - last..].to_vec()));
                    answer.pass(&mut ex, after.len(), false, 0, |last| Some(after[after.len() - last..].to_vec()));
                    answer.pass(&mut ex, 0, true, 2 * SECOND, |_| panic!("there is nothing to fetch"));
                    let tried = &ex.settle(3 * SECOND).tries[0];
                    let usage = tried.usage.unwrap();
                    assert_eq!((tried.outcome, usage.estimated, usage.usage.output), (Outcome::Ok, false, Some(4)));
                }
                Body::Fail(head) => {
                    assert_ne!(own, cluster);
                    assert_eq!(get(&head.set.unwrap(), ":status"), Some("502"));
                }
                other @ (Body::Keep | Body::Replace(_) | Body::Hold | Body::Stage(_) | Body::Whole(..)) => {
                    panic!("{other:?}")
                }
            }
        }
    }
}

#[test]
fn no_answer_is_held_beyond_what_envoy_takes() {
    for (path, _) in SIDES {
        for (_, cluster) in SIDES {
            let mut ex = limited("256KiB", path, false, &[cluster]);
            let (answer, _) = answer(&mut ex, "application/json");
            assert!(answer.room(&ex) < 256 << 10, "{cluster}");
        }
    }
}

#[test]
fn an_error_too_large_to_hold_is_told_without_its_words() {
    let mut ex = exchange(SIDES[0].0, false, &["anthropic_k1"]);
    let (mut answer, head) = Answer::head(&mut ex, &pairs(&[(":status", "500")]), false, SECOND).unwrap();
    assert!(head.set.is_none() && answer.collects());
    let size = answer.room(&ex) + 1;
    let Body::Show(head) = answer.overflow(&mut ex, size, SECOND, |_| None) else { panic!() };
    assert_eq!((get(&head, ":status"), ex.verdict.unwrap().status), (Some("500"), 500));
}
