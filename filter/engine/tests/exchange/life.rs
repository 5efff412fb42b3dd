//! An exchange from its head to its settlement.

use std::rc::Rc;

use engine::config::snapshot::Snapshot;
use engine::cooldown::Mark;
use engine::exchange::{Answer, Body, Exchange, Headers, Intake, Marked, Outcome, intake};
use engine::route::Hop;
use serde_json::json;

use crate::support::{self, Pairs, SECOND, get, pairs, planned};

const BODY: &[u8] = br#"{"model":"gpt-4o","temperature":1.0,"messages":[{"role":"user","content":"hi"}]}"#;

fn snapshot(extra: &serde_json::Value) -> Rc<Snapshot> {
    let mut config = json!({
        "version": 1,
        "providers": {
            "openai": {"keys": [{"name": "k1", "models": ["*"]}, {"name": "k2", "models": ["*"]}]},
            "groq": {"keys": [{"name": "k1", "models": ["*"]}]},
            "anthropic": {"keys": [{"name": "k1", "models": ["*"]}]}
        }
    });
    config.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    support::snapshot(config)
}

fn chat(more: &[(&str, &str)]) -> Pairs {
    let mut all = pairs(&[(":method", "POST"), (":path", "/v1/chat/completions"), (":authority", "gw")]);
    all.extend(pairs(more));
    all
}

fn taken(snapshot: &Snapshot, head: &Pairs) -> Intake {
    intake(snapshot, head).unwrap_or_else(|(_, fault)| panic!("{fault:?}"))
}

fn exchange(snapshot: &Rc<Snapshot>, head: &Pairs, body: &[u8], hops: &[(usize, &str)]) -> Exchange {
    let hops = hops
        .iter()
        .map(|(lane, model)| Hop { lane: *lane, model: (*model).into(), substituted: false, context: None, tier: 0 })
        .collect();
    planned(snapshot, head, body, hops, SECOND)
}

fn respond(
    ex: &mut Exchange,
    headers: &[(&str, &str)],
    body: &str,
    now: u64,
) -> (Option<Headers>, Option<String>, Body) {
    let (mut answer, h) = Answer::head(ex, &pairs(headers), false, now).unwrap();
    let body = answer.body(ex, body.as_bytes(), true, now);
    (h.set, h.next, body)
}

#[test]
fn a_try_sends_its_own_head_and_the_same_bytes_but_for_the_model() {
    let s = snapshot(&json!({}));
    let from_client = chat(&[
        ("authorization", "Bearer sk-client"),
        ("cookie", "a=b"),
        ("x-forwarded-for", "10.0.0.1"),
        ("x-envoy-max-retries", "99"),
        ("x-attache-model", "spoof"),
        ("x-whatever", "\u{fffd}"),
    ]);
    let i = taken(&s, &from_client);
    for name in ["authorization", "cookie", "x-envoy-max-retries", "x-attache-model"] {
        assert!(i.strip.iter().any(|n| n == name), "{name} must not travel");
    }
    let mut ex = exchange(&s, &from_client, BODY, &[(0, "gpt-4o"), (3, "other")]);
    let hop = ex.begin("openai_k1", SECOND).unwrap();
    let out = ex.outgoing(hop, || Some(BODY.to_vec())).unwrap();
    assert_eq!(out.body, None, "nothing changes, so nothing is written");
    let names: Vec<_> = out.headers.iter().map(|(n, _)| n.as_str()).collect();
    let expected =
        [":method", ":scheme", ":authority", ":path", "content-type", "content-length", "accept", "user-agent"];
    assert_eq!(names, expected);
    assert_eq!(get(&out.headers, ":authority"), Some("api.openai.com"));
    assert_eq!(get(&out.headers, ":path"), Some("/v1/chat/completions"));

    let mut ex = exchange(&s, &from_client, BODY, &[(0, "gpt-4o-2024-08-06")]);
    let hop = ex.begin("openai_k1", SECOND).unwrap();
    let out = ex.outgoing(hop, || Some(BODY.to_vec())).unwrap();
    let expected = String::from_utf8_lossy(BODY).replace("\"gpt-4o\"", "\"gpt-4o-2024-08-06\"");
    assert_eq!(out.body.as_deref(), Some(expected.as_bytes()), "1.0 stays 1.0 and the order stays");
    assert_eq!(get(&out.headers, "content-length"), Some(expected.len().to_string().as_str()));
}

#[test]
fn a_failed_try_keeps_its_status_and_the_last_one_is_sealed() {
    let s = snapshot(&json!({}));
    let mut ex = exchange(&s, &chat(&[]), BODY, &[(0, "m"), (2, "m")]);
    ex.begin("openai_k1", SECOND);
    assert_eq!(ex.cluster(ex.cursor), Some("groq_k1"), "the next hop is ready before anything fails");
    let error = r#"{"error":{"message":"down","type":"server_error","param":null,"code":null}}"#;
    let (set, next, _) = respond(&mut ex, &[(":status", "503"), ("content-type", "application/json")], error, SECOND);
    assert_eq!(get(set.as_ref().unwrap(), ":status"), Some("503"));
    assert_eq!(get(set.as_ref().unwrap(), "x-envoy-ratelimited"), None, "Envoy may retry");
    assert_eq!(next, None);
    ex.begin("groq_k1", 2 * SECOND);
    let (set, _, body) = respond(&mut ex, &[(":status", "503"), ("set-cookie", "x=y")], error, 3 * SECOND);
    let set = set.unwrap();
    assert_eq!(get(&set, "x-envoy-ratelimited"), Some("true"), "no hop is left");
    assert_eq!((get(&set, "set-cookie"), get(&set, "x-attache-attempts")), (None, Some("2")));
    assert_eq!(body, Body::Keep, "the client reads the vendor's own words");
    let settled = ex.settle(4 * SECOND);
    assert_eq!(settled.tries.iter().map(|t| t.outcome).collect::<Vec<_>>(), [Outcome::Error; 2]);
    assert_eq!(settled.tries[0].duration, 0, "it ended with its answer");
}

#[test]
fn a_rate_limited_key_rests_and_the_providers_other_key_is_next() {
    let s = snapshot(&json!({}));
    let mut ex = exchange(&s, &chat(&[]), BODY, &[(0, "m"), (0, "m"), (2, "m"), (1, "m")]);
    ex.begin("openai_k1", SECOND);
    let limited = [(":status", "429"), ("retry-after", "7")];
    let (_, h) = Answer::head(&mut ex, &pairs(&limited), false, SECOND).unwrap();
    assert_eq!(ex.marks, [Marked { of: 0, lane: 0, mark: Mark::Until(8 * SECOND) }]);
    assert_eq!(h.next.as_deref(), Some("openai_k2"));
    let left: Vec<_> = ex.plan.hops[ex.cursor..].iter().map(|h| h.lane).collect();
    assert_eq!(left, [1, 2], "the resting lane is not tried again");
}

#[test]
fn usage_is_read_on_the_way_and_a_whole_answer_is_settled_once() {
    let s = snapshot(&json!({}));
    let mut ex = exchange(&s, &chat(&[]), BODY, &[(0, "m")]);
    ex.begin("openai_k1", SECOND);
    let answer = r#"{"id":"x","choices":[{"message":{"content":"hi"}}],"usage":{"prompt_tokens":9,"completion_tokens":12,"total_tokens":21}}"#;
    respond(&mut ex, &[(":status", "200"), ("content-type", "application/json")], answer, 2 * SECOND);
    ex.delivering(false, 2 * SECOND);
    ex.delivered = true;
    let settled = ex.settle(3 * SECOND);
    let t = &settled.tries[0];
    let usage = t.usage.unwrap();
    assert_eq!((usage.usage.input, usage.usage.output, usage.estimated), (Some(9), Some(12), false));
    assert_eq!((t.outcome, t.billed, settled.status, settled.client_gone), (Outcome::Ok, Some(true), 200, false));
    assert_eq!((settled.duration, settled.first_byte, t.duration), (2 * SECOND, SECOND, SECOND));
}

#[test]
fn a_client_that_leaves_is_settled_by_what_was_seen_and_marked() {
    let s = snapshot(&json!({}));
    let body = BODY.strip_suffix(b"}").map(|b| [b, br#","stream":true}"#].concat()).unwrap();
    let mut ex = exchange(&s, &chat(&[]), &body, &[(0, "m"), (2, "m")]);
    ex.begin("openai_k1", SECOND);
    let waiting = ex.settle(2 * SECOND);
    assert_eq!((waiting.tries[0].outcome, waiting.tries[0].billed), (Outcome::NoAnswer, None));
    let sse = [(":status", "200"), ("content-type", "text/event-stream; charset=utf-8")];
    let (mut answer, _) = Answer::head(&mut ex, &pairs(&sse), false, SECOND).unwrap();
    answer.body(&mut ex, b"data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"hel\"}}]}\n\n", false, SECOND);
    let settled = ex.settle(2 * SECOND);
    let usage = settled.tries[0].usage.unwrap();
    assert!(usage.estimated && usage.usage.input > Some(0) && usage.usage.output > Some(0), "{usage:?}");
    assert_eq!((settled.tries[0].outcome, settled.client_gone), (Outcome::Cut, true));
}

#[test]
fn heads_that_nobody_serves_are_told_so_in_the_callers_dialect() {
    let s = snapshot(&json!({}));
    let refused = |method: &str, path: &str, more: &[(&str, &str)]| {
        let mut all = pairs(&[(":method", method), (":path", path)]);
        all.extend(pairs(more));
        intake(&s, &all).map(|i| i.inbound.name()).map_err(|(inbound, fault)| (inbound.name(), fault.status))
    };
    assert_eq!(refused("GET", "/v1/messages", &[]), Err(("anthropic", 405)));
    assert_eq!(refused("POST", "/nothing", &[]), Err(("openai_chat", 404)));
    assert_eq!(refused("POST", "/v1/x", &[("anthropic-version", "2023-06-01")]), Err(("anthropic", 404)));
    assert_eq!(refused("GET", "/v1/models?limit=5", &[("anthropic-version", "2023-06-01")]), Ok("anthropic"));
    assert_eq!(refused("GET", "/v1/models", &[]), Ok("openai_chat"));
    assert_eq!(refused("POST", "/v1/messages", &[("content-encoding", "gzip")]), Err(("anthropic", 400)));
}

#[test]
fn a_key_is_found_in_every_header_and_ours_win() {
    let s = snapshot(&json!({"auth": "optional"}));
    let key = |more: &[(&str, &str)]| {
        let i = taken(&s, &chat(more));
        (i.key.map(|k| String::from_utf8(k).unwrap()), i.key_from)
    };
    assert_eq!(key(&[]), (None, None));
    assert_eq!(key(&[("authorization", "Basic abc")]), (None, None));
    assert_eq!(key(&[("authorization", "bearer  vk-1 ")]), (Some("vk-1".into()), Some("authorization")));
    assert_eq!(key(&[("x-api-key", "vk-2"), ("x-bf-vk", "vk-3")]), (Some("vk-3".into()), Some("x-bf-vk")));
    assert_eq!(key(&[("authorization", "Bearer sk"), ("x-attache-key", "vk-4")]).1, Some("x-attache-key"));
}

#[test]
fn a_clients_own_credential_goes_to_its_own_vendor_only_and_only_if_configured() {
    for (extra, expected) in [(json!({}), None), (json!({"client_keys": "pass"}), Some("Bearer sk-own"))] {
        let s = snapshot(&extra);
        let mut ex = exchange(&s, &chat(&[("authorization", "Bearer sk-own")]), BODY, &[(0, "m"), (2, "m")]);
        let hop = ex.begin("openai_k1", SECOND).unwrap();
        assert_eq!(get(&ex.outgoing(hop, || Some(BODY.to_vec())).unwrap().headers, "authorization"), expected);
        let hop = ex.begin("groq_k1", SECOND).unwrap();
        assert_eq!(
            get(&ex.outgoing(hop, || Some(BODY.to_vec())).unwrap().headers, "authorization"),
            None,
            "another vendor"
        );
    }
}

const MESSAGE: &str = r#"{"id":"msg_1","type":"message","role":"assistant","model":"claude","content":[{"type":"text","text":"hello"}],"stop_reason":"end_turn","stop_sequence":null,"usage":{"input_tokens":3,"output_tokens":4}}"#;

#[test]
fn another_format_is_held_until_whole_and_then_told_in_the_clients() {
    let s = snapshot(&json!({}));
    let mut ex = exchange(&s, &chat(&[]), BODY, &[(3, "claude")]);
    let hop = ex.begin("anthropic_k1", SECOND).unwrap();
    let out = ex.outgoing(hop, || Some(BODY.to_vec())).unwrap();
    assert_eq!(get(&out.headers, ":path"), Some("/v1/messages"));
    assert_eq!(get(&out.headers, "anthropic-version"), Some("2023-06-01"));
    assert!(String::from_utf8(out.body.unwrap()).unwrap().contains(r#""model":"claude""#));
    let json = pairs(&[(":status", "200"), ("content-type", "application/json"), ("content-length", "999")]);
    let (mut answer, h) = Answer::head(&mut ex, &json, false, SECOND).unwrap();
    assert!(h.set.is_none() && answer.collects());
    assert_eq!(answer.body(&mut ex, b"", false, SECOND), Body::Hold);
    let Body::Whole(headers, body) = answer.body(&mut ex, MESSAGE.as_bytes(), true, SECOND) else { panic!() };
    assert_eq!(get(&headers, "content-length"), Some(body.len().to_string().as_str()));
    assert!(String::from_utf8(body).unwrap().contains(r#""content":"hello""#));
    assert_eq!(ex.settle(SECOND).tries[0].usage.unwrap().usage.output, Some(4));
}

#[test]
fn an_error_of_another_vendor_keeps_status_and_message_and_changes_its_dress() {
    let s = snapshot(&json!({}));
    let mut ex = exchange(&s, &chat(&[]), BODY, &[(3, "claude")]);
    ex.begin("anthropic_k1", SECOND);
    let error = r#"{"type":"error","error":{"type":"rate_limit_error","message":"slow down"}}"#;
    let (set, _, body) =
        respond(&mut ex, &[(":status", "429"), ("retry-after", "3"), ("request-id", "r")], error, SECOND);
    assert!(set.is_none(), "no hop is left, so nothing hurries: its body may say more than its status");
    let Body::Whole(set, body) = body else { panic!("{body:?}") };
    assert_eq!((get(&set, ":status"), get(&set, "retry-after")), (Some("429"), Some("3")));
    assert_eq!(get(&set, "x-request-id"), Some("r"));
    let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(body["error"]["message"], "slow down");
}

#[test]
fn a_stream_of_another_format_is_told_event_by_event() {
    let s = snapshot(&json!({}));
    let body = BODY.strip_suffix(b"}").map(|b| [b, br#","stream":true}"#].concat()).unwrap();
    let mut ex = exchange(&s, &chat(&[]), &body, &[(3, "claude")]);
    ex.begin("anthropic_k1", SECOND);
    let sse = pairs(&[(":status", "200"), ("content-type", "text/event-stream")]);
    let (mut answer, h) = Answer::head(&mut ex, &sse, false, SECOND).unwrap();
    assert_eq!(h.set, None, "nothing is shown before there is content");
    let events = [
        r#"{"type":"message_start","message":{"id":"msg_1","type":"message","role":"assistant","model":"claude","content":[],"stop_reason":null,"usage":{"input_tokens":3,"output_tokens":1}}}"#,
        r#"{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}"#,
        r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"hel"}}"#,
        r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"lo"}}"#,
        r#"{"type":"content_block_stop","index":0}"#,
        r#"{"type":"message_delta","delta":{"stop_reason":"end_turn","stop_sequence":null},"usage":{"output_tokens":9}}"#,
        r#"{"type":"message_stop"}"#,
    ];
    let mut told = Vec::new();
    for (i, data) in events.iter().enumerate() {
        let kind = serde_json::from_str::<serde_json::Value>(data).unwrap()["type"].as_str().unwrap().to_owned();
        let frame = format!("event: {kind}\ndata: {data}\n\n");
        let out = match (i, answer.body(&mut ex, frame.as_bytes(), i + 1 == events.len(), SECOND)) {
            (0 | 1, Body::Stage(_) | Body::Hold) => Vec::new(),
            (2, Body::Whole(head, out)) => {
                assert_eq!(get(&head, "content-type"), Some("text/event-stream"));
                out
            }
            (3.., Body::Replace(out)) => out,
            other => panic!("{other:?}"),
        };
        told.push(String::from_utf8(out).unwrap());
    }
    assert!(told[2].contains("hel") && told[3].contains("lo"), "each piece leaves when it comes: {told:?}");
    assert!(told.concat().ends_with("data: [DONE]\n\n"));
    let usage = ex.settle(SECOND).tries[0].usage.unwrap();
    assert_eq!((usage.usage.input, usage.usage.output, usage.estimated), (Some(3), Some(9), false));
}

#[test]
fn a_models_name_brings_no_line_of_its_own_into_the_clients_head() {
    let s = snapshot(&json!({}));
    let mut ex = exchange(&s, &chat(&[]), BODY, &[(0, "x\r\nset-cookie: a=b\0é")]);
    ex.begin("openai_k1", SECOND);
    let (set, ..) = respond(&mut ex, &[(":status", "404"), ("content-type", "application/json")], "{}", SECOND);
    assert_eq!(get(set.as_ref().unwrap(), "x-attache-model"), Some("x%0D%0Aset-cookie: a=b%00%C3%A9"));
}
