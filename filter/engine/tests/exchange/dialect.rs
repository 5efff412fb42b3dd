//! What a client is told in its own dialect: statuses, headers, losses, counts.

use std::rc::Rc;

use engine::config::snapshot::Snapshot;
use engine::cooldown::Cooldowns;
use engine::draw::Draw;
use engine::exchange::{Answer, Body, Exchange, Fit, Headers, Settled, Status, estimate, intake, refusal};
use engine::route::{Ask, Refusal, plan};
use serde_json::{Value, json};
use wire::ir::{Fault, FaultKind, Operation};
use wire::scan::scan;

use crate::support::{self, CHAT, MESSAGES, SECOND, get, pairs};

const COUNT: &str = "/v1/messages/count_tokens";

/// Lanes: `openai_k1`, `anthropic_k1`, `own_k1` (Anthropic's format at a path of its own).
fn snapshot(extra: &Value) -> Rc<Snapshot> {
    let mut config = json!({
        "version": 1,
        "providers": {
            "openai": {"keys": [{"name": "k1", "models": ["*"]}]},
            "anthropic": {"keys": [{"name": "k1", "models": ["*"]}]},
            "own": {"like": "anthropic", "path": "/chat", "keys": [{"name": "k1", "models": ["*"]}]}
        },
        "models": {"both": {"candidates": [
            {"provider": "openai", "model": "gpt-4o"},
            {"provider": "anthropic", "model": "claude-sonnet-4-5", "priority": 1}
        ]}}
    });
    config.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    support::snapshot(config)
}

fn body(more: &Value) -> Vec<u8> {
    let mut body = json!({"model": "both", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]});
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body.to_string().into_bytes()
}

/// A request to these clusters, in order.
fn exchange(path: &str, more: &Value, clusters: &[&str]) -> Exchange {
    let mut ex = support::exchange(&snapshot(&json!({})), path, &body(more), clusters);
    ex.whole = 2 * SECOND;
    ex
}

/// One try that is answered by this; what Envoy sees, and both statuses.
fn answered(ex: &mut Exchange, cluster: &str, head: &[(&str, &str)], said: &str) -> (Headers, Vec<u8>, Status) {
    ex.begin(cluster, 3 * SECOND).unwrap();
    let (mut answer, judged) = Answer::head(ex, &pairs(head), false, 4 * SECOND).unwrap();
    let (head, body) = match (judged.set, answer.body(ex, said.as_bytes(), true, 5 * SECOND)) {
        (Some(head), Body::Keep) => (head, said.as_bytes().to_vec()),
        (None, Body::Show(head)) => (head, said.as_bytes().to_vec()),
        (Some(head), Body::Replace(body)) | (None, Body::Whole(head, body)) => (head, body),
        (head, body) => panic!("{head:?} {body:?}"),
    };
    (head, body, ex.answering.unwrap())
}

const OVERLOADED: &str = r#"{"type":"error","error":{"type":"overloaded_error","message":"busy"}}"#;
const EXHAUSTED: &str = r#"{"error":{"message":"pay","type":"insufficient_quota","code":"insufficient_quota"}}"#;

#[test]
fn envoy_judges_the_providers_status_and_the_client_is_told_its_own() {
    let cases = [
        // (path, cluster, the provider's status and body, told)
        (CHAT, "anthropic_k1", "529", OVERLOADED, 503),
        (MESSAGES, "openai_k1", "503", r#"{"error":{"message":"down"}}"#, 529),
        (MESSAGES, "openai_k1", "429", EXHAUSTED, 402),
        (MESSAGES, "openai_k1", "429", r#"{"error":{"message":"slow"}}"#, 429),
        // Same format: byte for byte, the status too.
        (MESSAGES, "anthropic_k1", "503", OVERLOADED, 503),
        (CHAT, "openai_k1", "529", EXHAUSTED, 529),
    ];
    for (path, cluster, status, said, told) in cases {
        let mut ex = exchange(path, &json!({}), &[cluster]);
        let (head, body, both) = answered(&mut ex, cluster, &[(":status", status)], said);
        assert_eq!(get(&head, ":status"), Some(status), "{path} {cluster}: what Envoy judges");
        assert_eq!(both, Status { judged: status.parse().unwrap(), told }, "{path} {cluster}");
        assert_eq!(body == said.as_bytes(), ex.provider(0).unwrap().format.name() == ex.inbound.name());
        assert_eq!(ex.delivering(true, 6 * SECOND), (told != both.judged).then_some(told));
        let settled = ex.settle(7 * SECOND);
        assert_eq!((settled.status, settled.tries[0].status), (told, both.judged), "the client's and the provider's");
    }
}

#[test]
fn an_error_that_envoy_may_retry_is_not_held_for_its_body() {
    let mut ex = exchange(CHAT, &json!({}), &["anthropic_k1", "openai_k1"]);
    ex.begin("anthropic_k1", SECOND);
    let (answer, head) = Answer::head(&mut ex, &pairs(&[(":status", "529")]), false, SECOND).unwrap();
    assert!(!answer.holds(), "a provider may hang in the middle of its error");
    assert_eq!(get(&head.set.unwrap(), ":status"), Some("529"));
    assert_eq!(ex.answering, Some(Status { judged: 529, told: 503 }), "in case Envoy has reasons not to");
}

#[test]
fn a_request_given_up_after_a_failed_try_has_the_status_it_was_given_up_with() {
    let mut ex = exchange(MESSAGES, &json!({}), &["anthropic_k1", "openai_k1"]);
    answered(&mut ex, "anthropic_k1", &[(":status", "503")], "{}");
    ex.begin("openai_k1", SECOND);
    ex.abandon(400);
    assert_eq!(ex.delivering(true, SECOND), None);
    let settled = ex.settle(SECOND);
    assert_eq!((settled.status, settled.tries.len(), settled.tries[0].status), (400, 1, 503));
}

#[test]
fn ids_and_limits_cross_the_dialects_and_stay_as_they_are_within_one() {
    let head = [
        (":status", "200"),
        ("content-type", "text/event-stream"),
        ("x-request-id", "req_7"),
        ("x-ratelimit-remaining-tokens", "149984"),
        ("x-ratelimit-reset-tokens", "6m0s"),
        ("openai-processing-ms", "12"),
    ];
    let more = json!({"stream": true});
    let said = r#"data: {"choices":[{"index":0,"delta":{"content":"hi"}}]}"#.to_owned() + "\n\ndata: [DONE]\n\n";
    let (other, ..) = answered(&mut exchange(MESSAGES, &more, &["openai_k1"]), "openai_k1", &head, &said);
    assert_eq!(get(&other, "request-id"), Some("req_7"));
    assert_eq!(get(&other, "anthropic-ratelimit-tokens-remaining"), Some("149984"));
    assert_eq!(get(&other, "anthropic-ratelimit-tokens-reset"), Some("1970-01-01T00:06:04Z"));
    assert!(other.iter().all(|(name, _)| !name.starts_with("openai") && !name.starts_with("x-r")), "{other:?}");
    let (same, ..) = answered(&mut exchange(CHAT, &more, &["openai_k1"]), "openai_k1", &head, &said);
    assert!(head[1..].iter().all(|(name, value)| get(&same, name) == Some(*value)), "{same:?}");
}

#[test]
fn an_answer_of_our_own_has_envoys_id_unless_it_could_break_a_header() {
    for (id, expected) in [(&b"5f2a-1"[..], Some("5f2a-1")), (b"", None), (b"a\r\nb", None), (&[0xff; 4], None)] {
        let fault = Fault { retry_after: Some(3), ..Fault::new(FaultKind::Authentication, "who?") };
        let reply = refusal(exchange(MESSAGES, &json!({}), &[]).inbound, id, &fault);
        assert_eq!((get(&reply.headers, "request-id"), get(&reply.headers, "retry-after")), (expected, Some("3")));
        assert_eq!((reply.status, get(&reply.headers, "x-should-retry")), (401, Some("false")));
        let body: Value = serde_json::from_slice(&reply.body).unwrap();
        assert_eq!(body["request_id"], json!(expected));
    }
}

/// A try that fails so, before others.
fn failed(ex: &mut Exchange, cluster: &str, head: &[(&str, &str)]) {
    ex.begin(cluster, 3 * SECOND).unwrap();
    let (mut answer, _) = Answer::head(ex, &pairs(head), false, 4 * SECOND).unwrap();
    answer.body(ex, b"{}", true, 4 * SECOND);
}

#[test]
fn a_client_is_told_the_soonest_time_of_all_that_were_asked() {
    let limited = |seconds| [(":status", "429"), ("retry-after", seconds)];
    for (path, last) in
        [(CHAT, "anthropic_k1"), (CHAT, "openai_k1"), (MESSAGES, "anthropic_k1"), (MESSAGES, "openai_k1")]
    {
        let first = if last == "openai_k1" { "anthropic_k1" } else { "openai_k1" };
        for (one, other, told) in [("7", "300", "7"), ("300", "7", "7"), ("300", "300", "300")] {
            let mut ex = exchange(path, &json!({}), &[first, last]);
            failed(&mut ex, first, &limited(one));
            let (head, ..) = answered(&mut ex, last, &limited(other), "{}");
            assert_eq!(get(&head, "retry-after"), Some(told), "{path} {last}: {one}, then {other}");
            assert_eq!(head.iter().filter(|(name, _)| name == "retry-after").count(), 1);
        }
    }
}

#[test]
fn a_refusal_after_what_may_pass_is_told_as_what_may_pass() {
    for path in [CHAT, MESSAGES] {
        for (first, last, told) in [
            ("503", "400", Some(503)),
            ("429", "422", Some(429)),
            ("529", "413", Some(529)),
            ("500", "400", Some(500)),
            // It would be refused again, wherever it came from.
            ("401", "400", None),
            ("404", "400", None),
            ("503", "502", None),
        ] {
            let mut ex = exchange(path, &json!({}), &["openai_k1", "anthropic_k1"]);
            failed(&mut ex, "openai_k1", &[(":status", first), ("retry-after", "7")]);
            answered(&mut ex, "anthropic_k1", &[(":status", last)], "{}");
            let verdict = ex.verdict.as_ref();
            assert_eq!(verdict.map(|fault| fault.status), told, "{path}: {first}, then {last}");
            assert!(verdict.is_none_or(|fault| matches!(fault.retry_after, Some(6 | 7))), "{verdict:?}");
        }
        let mut ex = exchange(path, &json!({}), &["openai_k1"]);
        answered(&mut ex, "openai_k1", &[(":status", "400")], "{}");
        assert_eq!(ex.verdict, None, "{path}: alone");
    }
}

fn planned(s: &Snapshot, path: &str, body: &[u8]) -> (Result<Vec<String>, Refusal>, Fault) {
    let taken =
        intake(s, &pairs(&[(":method", "POST"), (":path", path)])).unwrap_or_else(|(_, fault)| panic!("{fault:?}"));
    let scan = scan(body).unwrap();
    let mut fit = Fit::new(s, taken.inbound, taken.operation, body, &scan);
    let model = scan.model.clone().unwrap();
    let ask = Ask { model: &model, fallbacks: &[], key: None };
    let found = plan(s, ask, &Cooldowns::default(), SECOND, &mut Draw::new(1), &mut |hop| fit.takes(hop));
    (found.map(|plan| plan.hops.iter().map(|hop| s.lanes[hop.lane].cluster.clone()).collect()), fit.fault())
}

#[test]
fn a_strict_gateway_plans_only_those_who_take_all_of_a_request() {
    let lossy = body(&json!({"logit_bias": {"50256": -100}, "seed": 1}));
    let (relaxed, _) = planned(&snapshot(&json!({})), CHAT, &lossy);
    assert_eq!(relaxed.unwrap(), ["openai_k1", "anthropic_k1"]);
    let strict = snapshot(&json!({"strict": true}));
    assert_eq!(planned(&strict, CHAT, &lossy).0.unwrap(), ["openai_k1"]);
    assert_eq!(planned(&strict, CHAT, &body(&json!({}))).0.unwrap(), ["openai_k1", "anthropic_k1"]);
}

#[test]
fn nobody_left_is_a_400_that_names_every_lost_member() {
    let strict = snapshot(&json!({"strict": true}));
    let only = json!({"model": "anthropic/claude-sonnet-4-5", "logit_bias": {"50256": -100}, "seed": 1});
    let (refused, fault) = planned(&strict, CHAT, &body(&only));
    assert_eq!(refused, Err(Refusal::Unfit));
    assert_eq!((fault.status, fault.code.as_deref()), (400, Some("unsupported_parameter")));
    assert!(fault.message.contains("`logit_bias`") && fault.message.contains("`seed`"), "{fault:?}");
    assert!(
        fault.message.find(&format!("`{}`", fault.param.as_ref().unwrap())) < fault.message.find(", "),
        "{fault:?}"
    );
    let odd = json!({"model": "anthropic/claude-sonnet-4-5", "messages": 7});
    let (refused, fault) = planned(&strict, CHAT, &body(&odd));
    assert_eq!((refused, fault.status, fault.param.as_deref()), (Err(Refusal::Unfit), 400, Some("messages")));
}

#[test]
fn tokens_are_counted_where_the_dialect_has_a_path_for_it() {
    let s = snapshot(&json!({}));
    assert_eq!(planned(&s, COUNT, &body(&json!({}))).0.unwrap(), ["anthropic_k1"]);
    for nobody in ["openai/gpt-4o", "own/m"] {
        assert_eq!(planned(&s, COUNT, &body(&json!({"model": nobody}))).0, Err(Refusal::Unfit), "{nobody}");
    }
    assert_eq!((estimate(0), estimate(1), estimate(8)), (0, 1, 2));
}

#[test]
fn a_count_is_spliced_to_its_path_and_settled_without_tokens() {
    let mut ex = exchange(COUNT, &json!({}), &["anthropic_k1"]);
    assert_eq!(ex.operation, Operation::CountTokens);
    let hop = ex.begin("anthropic_k1", SECOND).unwrap();
    let sent = ex.outgoing(hop, || Some(body(&json!({})))).unwrap();
    assert_eq!(get(&sent.headers, ":path"), Some("/v1/messages/count_tokens"));
    assert_eq!(sent.body.unwrap(), String::from_utf8(body(&json!({}))).unwrap().replace("both", "m").into_bytes());
    let answer = [(":status", "200"), ("content-type", "application/json")];
    let (mut answer, _) = Answer::head(&mut ex, &pairs(&answer), false, SECOND).unwrap();
    let shown = answer.body(&mut ex, br#"{"input_tokens":14}"#, true, SECOND);
    assert!(matches!(shown, Body::Show(_)), "{shown:?}");
    let Settled { operation, tries, .. } = ex.settle(SECOND);
    assert_eq!((operation, tries[0].usage, tries[0].billed), ("count_tokens", None, Some(false)));
}

#[test]
fn losses_times_and_rests_are_settled() {
    let mut ex = exchange(CHAT, &json!({"stream": true, "logit_bias": {}, "seed": 7}), &["anthropic_k1", "openai_k1"]);
    let hop = ex.begin("anthropic_k1", 3 * SECOND).unwrap();
    ex.outgoing(hop, || Some(body(&json!({"stream": true, "logit_bias": {"1": 1}, "seed": 7})))).unwrap();
    ex.ready(3 * SECOND);
    let limited = pairs(&[(":status", "429"), ("retry-after", "7")]);
    Answer::head(&mut ex, &limited, true, 4 * SECOND).unwrap();
    let mut rests = Cooldowns::default();
    ex.share(|s, place, mark| rests.note(place, mark, &s.lanes, &s.retry.rest, 4 * SECOND));
    let hop = ex.begin("openai_k1", 5 * SECOND).unwrap();
    ex.outgoing(hop, || Some(body(&json!({"stream": true})))).unwrap();
    ex.ready(5 * SECOND);
    let settled = ex.settle(9 * SECOND);
    assert_eq!((settled.overhead, settled.first_content), (SECOND, 0), "until the first try; nothing was said yet");
    assert_eq!((settled.tries[0].dropped.as_slice(), settled.tries[0].cooled), (&["logit_bias", "seed"][..], true));
    assert_eq!((settled.tries[1].dropped.len(), settled.tries[1].cooled), (0, false));
}

#[test]
fn the_first_content_of_a_translated_stream_is_timed_and_no_more() {
    let mut ex = exchange(CHAT, &json!({"stream": true}), &["anthropic_k1"]);
    ex.begin("anthropic_k1", 3 * SECOND);
    let head = pairs(&[(":status", "200"), ("content-type", "text/event-stream")]);
    let (mut answer, _) = Answer::head(&mut ex, &head, false, 4 * SECOND).unwrap();
    let events = [
        r#"{"type":"message_start","message":{"id":"msg_1","type":"message","role":"assistant","model":"m","content":[],"stop_reason":null,"usage":{"input_tokens":3,"output_tokens":1}}}"#,
        r#"{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}"#,
        r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"hel"}}"#,
    ];
    for (n, event) in (0..).zip(events) {
        assert!(answer.is_timed(&ex), "until there is content");
        answer.body(&mut ex, format!("data: {event}\n\n").as_bytes(), false, (5 + n) * SECOND);
    }
    assert!(!answer.is_timed(&ex), "a stream has many pieces and each look at the clock is a host call");
    assert_eq!(ex.settle(9 * SECOND).first_content, 6 * SECOND);
    // An event beyond all measure is left out, and counted.
    answer.body(&mut ex, format!("data: {}\n\n", "x".repeat(2 << 20)).as_bytes(), false, 9 * SECOND);
    assert_eq!(ex.settle(9 * SECOND).tries[0].skipped, 1);
}

#[test]
fn unsigned_thinking_is_lost_on_its_way_to_who_signs_and_the_strict_say_so() {
    let said = json!([{"type": "thinking", "thinking": "Hm.", "signature": ""}, {"type": "text", "text": "Ah."}]);
    let asked = |said: &Value| {
        json!({"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": said},
            {"role": "user", "content": "r"}]})
    };
    let mut ex = exchange(MESSAGES, &asked(&said), &["anthropic_k1"]);
    let hop = ex.begin("anthropic_k1", SECOND).unwrap();
    let sent = ex.outgoing(hop, || Some(body(&asked(&said)))).unwrap().body.unwrap();
    let expected = String::from_utf8(body(&asked(&json!([said[1]])))).unwrap().replace("both", "m");
    assert_eq!(String::from_utf8(sent).unwrap(), expected);
    assert_eq!(ex.settle(SECOND).tries[0].dropped, ["messages.content"]);
    let strict = snapshot(&json!({"strict": true}));
    let to_anthropic = |said: &Value| {
        let mut asked = asked(said);
        asked["model"] = json!("anthropic/claude-sonnet-4-5");
        planned(&strict, MESSAGES, &body(&asked))
    };
    assert_eq!(to_anthropic(&json!([said[1]])).0.unwrap(), ["anthropic_k1"]);
    let (refused, fault) = to_anthropic(&said);
    assert_eq!((refused, fault.param.as_deref()), (Err(Refusal::Unfit), Some("messages[1].content[0]")));
}
