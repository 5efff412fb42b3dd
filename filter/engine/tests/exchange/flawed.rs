//! Errors inside answers of a good status: each is the same failed try, told whole or streamed, in one format or two.

use engine::config::snapshot::Snapshot;
use engine::exchange::{Answer, Body, Disposition, Flaw};
use serde_json::{Value, json};
use std::rc::Rc;

use crate::support::{self, SECOND, SIDES, get, pairs};

fn snapshot() -> Rc<Snapshot> {
    let keys = json!({"keys": [{"name": "k1", "models": ["*"]}]});
    support::snapshot(json!({"version": 1, "providers": {"openai": keys, "anthropic": keys}}))
}

fn with(mut object: Value, more: &Value) -> Value {
    more.as_object().unwrap().iter().for_each(|(name, value)| object[name] = value.clone());
    object
}

/// OpenAI's answer: what stands beside the choices, in the first of them, and what it says.
fn openai(beside: &Value, inside: &Value, content: Option<&str>, streamed: bool) -> String {
    let member = if streamed { "delta" } else { "message" };
    let choice = json!({"index": 0, member: {"role": "assistant", "content": content}, "finish_reason": null});
    let body = with(json!({"id": "x", "model": "m", "choices": [with(choice, inside)]}), beside);
    if streamed { format!("data: {body}\n\ndata: [DONE]\n\n") } else { body.to_string() }
}

/// Anthropic's: its reason and what it says.
fn anthropic(reason: &Value, content: Option<&str>, streamed: bool) -> String {
    let usage = json!({"input_tokens": 1, "output_tokens": 1});
    let text: Vec<Value> = content.map(|text| json!({"type": "text", "text": text})).into_iter().collect();
    if !streamed {
        return json!({"id": "x", "type": "message", "role": "assistant", "model": "m", "content": text,
            "stop_reason": reason, "usage": usage})
        .to_string();
    }
    let mut events = vec![json!({"type": "message_start", "message": {"id": "x", "model": "m", "usage": usage}})];
    events.extend(text.iter().map(|text| json!({"type": "content_block_start", "index": 0, "content_block": text})));
    events.extend(text.iter().map(|_| json!({"type": "content_block_stop", "index": 0})));
    events.push(json!({"type": "message_delta", "delta": {"stop_reason": reason}, "usage": usage}));
    events.push(json!({"type": "message_stop"}));
    events.iter().map(|event| format!("data: {event}\n\n")).collect()
}

/// What becomes of an answer: `None` if the client gets it, else the status, the flaw and the kind of failure.
fn judged(path: &str, cluster: &str, said: &str, streamed: bool) -> Option<(String, Flaw, Disposition)> {
    let other = if cluster == "openai_k1" { "anthropic_k1" } else { "openai_k1" };
    let body = json!({"model": "m", "stream": streamed, "max_tokens": 9, "messages": []}).to_string();
    let mut ex = support::exchange(&snapshot(), path, body.as_bytes(), &[cluster, other]);
    ex.begin(cluster, SECOND).unwrap();
    let kind = if streamed { "text/event-stream" } else { "application/json" };
    let head = pairs(&[(":status", "200"), ("content-type", kind)]);
    let (mut answer, _) = Answer::head(&mut ex, &head, false, SECOND).unwrap();
    match answer.body(&mut ex, said.as_bytes(), true, SECOND) {
        Body::Fail(head) => {
            let status = get(&head.set.unwrap(), ":status").unwrap().to_owned();
            Some((status, ex.tries[0].flaw.unwrap(), ex.tries[0].disposition.unwrap()))
        }
        Body::Show(_) | Body::Whole(..) => None,
        other @ (Body::Keep | Body::Replace(_) | Body::Hold | Body::Stage(_)) => panic!("{other:?}"),
    }
}

fn check(cluster: &str, said: impl Fn(bool) -> String, expected: Option<(&str, Flaw, Disposition)>) {
    let expected = expected.map(|(status, flaw, is)| (status.to_owned(), flaw, is));
    for (path, _) in SIDES {
        for streamed in [false, true] {
            let said = said(streamed);
            assert_eq!(judged(path, cluster, &said, streamed), expected, "{path} {said}");
        }
    }
}

#[test]
fn an_error_of_an_openai_provider_fails_the_try() {
    use Disposition::{Empty, RateLimited, Transient};
    let none = json!({});
    let reason = |word: &str| json!({"finish_reason": word});
    let limited = json!({"error": {"message": "Provider returned error", "code": 429}});
    let typed = json!({"finish_reason": "error", "error": {"message": "down", "code": 502}});
    let worded = json!({"finish_reason": "stop", "error": {"message": "slow", "code": "rate_limit_exceeded"}});
    for (beside, inside, content, expected) in [
        (&limited, &reason("stop"), None, ("429", Flaw::Fault, RateLimited)),
        (&limited, &reason("stop"), Some("half"), ("429", Flaw::Fault, RateLimited)),
        (&json!({"error": "busy"}), &reason("stop"), None, ("500", Flaw::Fault, Transient)),
        (&json!({"error": "busy", "code": 503}), &none, None, ("503", Flaw::Fault, Transient)),
        (&none, &typed, None, ("502", Flaw::Fault, Transient)),
        (&none, &typed, Some("half"), ("502", Flaw::Fault, Transient)),
        (&none, &worded, None, ("429", Flaw::Fault, RateLimited)),
        (&none, &reason("error"), None, ("500", Flaw::Fault, Transient)),
        (&none, &reason("error"), Some("half"), ("500", Flaw::Fault, Transient)),
        (&none, &reason("insufficient_system_resource"), None, ("503", Flaw::Fault, Transient)),
        (&none, &reason("network_error"), None, ("502", Flaw::Fault, Transient)),
        (&none, &reason("weird"), None, ("502", Flaw::Empty, Empty)),
        (&none, &reason(""), None, ("502", Flaw::Empty, Empty)),
        (&none, &none, None, ("502", Flaw::Empty, Empty)),
        (&none, &none, Some(""), ("502", Flaw::Empty, Empty)),
    ] {
        check("openai_k1", |streamed| openai(beside, inside, content, streamed), Some(expected));
    }
}

#[test]
fn an_error_of_an_anthropic_provider_fails_the_try() {
    use Disposition::{Empty, Transient};
    for (reason, content, expected) in [
        (json!("error"), None, ("500", Flaw::Fault, Transient)),
        (json!("weird"), None, ("502", Flaw::Empty, Empty)),
        (json!(null), None, ("502", Flaw::Empty, Empty)),
    ] {
        check("anthropic_k1", |streamed| anthropic(&reason, content, streamed), Some(expected));
    }
    let error = json!({"type": "overloaded_error", "message": "busy"});
    let beside = json!({"type": "message", "content": [], "stop_reason": "end_turn", "error": error});
    let instead = json!({"type": "error", "error": error, "content": []});
    for said in [beside, instead] {
        for (path, _) in SIDES {
            let expected = ("529".to_owned(), Flaw::Fault, Transient);
            assert_eq!(judged(path, "anthropic_k1", &said.to_string(), false), Some(expected), "{path} {said}");
        }
    }
}

#[test]
fn an_answer_that_says_something_or_why_it_stopped_is_one() {
    let none = json!({});
    for (beside, inside, content) in [
        (&none, json!({"finish_reason": "stop"}), None),
        (&none, json!({"finish_reason": "length"}), Some("")),
        (&none, json!({"finish_reason": "content_filter"}), None),
        (&none, json!({"finish_reason": "weird"}), Some("hi")),
        (&none, json!({"finish_reason": "stop", "error": null}), Some("hi")),
        (&json!({"error": null}), json!({"finish_reason": "stop"}), Some("hi")),
        (&json!({"error": {}}), json!({"finish_reason": "stop"}), Some("hi")),
        (&json!({"error": {"message": "", "code": 0}}), json!({"finish_reason": "stop"}), Some("hi")),
        (&json!({"error": ""}), json!({"finish_reason": "stop"}), Some("hi")),
        (&json!({"error": false}), json!({"finish_reason": "stop"}), Some("hi")),
        (&json!({"debug": {"error": {"message": "x"}}}), json!({"finish_reason": "stop"}), Some("hi")),
    ] {
        check("openai_k1", |streamed| openai(beside, &inside, content, streamed), None);
    }
    for (reason, content) in [("end_turn", None), ("model_context_window_exceeded", None), ("weird", Some("hi"))] {
        check("anthropic_k1", |streamed| anthropic(&json!(reason), content, streamed), None);
    }
}
