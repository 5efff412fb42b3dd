//! What the first events of a stream decide: to wait, to show it, or to ask the next candidate.

use std::rc::Rc;

use engine::config::snapshot::Snapshot;
use engine::cooldown::Mark;
use engine::exchange::{Answer, Body, Exchange, Flaw, Head, Headers, Marked, Outcome};
use serde_json::json;

use crate::support::{self, CHAT, MESSAGES, SECOND, SIDES, get, pairs};

fn snapshot() -> Rc<Snapshot> {
    let config = json!({
        "version": 1,
        "providers": {
            "openai": {"keys": [{"name": "k1", "models": ["*"]}, {"name": "k2", "models": ["*"]}]},
            "anthropic": {"hold": {"hard": "5s"}, "keys": [{"name": "k1", "models": ["*"]}]}
        },
        "hold": {"max": "10s", "max_bytes": "1KiB", "soft": "2s"}
    });
    support::snapshot(config)
}

/// A streamed request to these clusters, the first of which has begun at second 1.
fn exchange(path: &str, clusters: &[&str]) -> Exchange {
    let body = br#"{"model":"m","stream":true,"stream_options":{"include_usage":true},"max_tokens":9,"messages":[]}"#;
    let mut ex = support::exchange(&snapshot(), path, body, clusters);
    ex.begin(clusters[0], SECOND).unwrap();
    ex
}

fn stream(ex: &mut Exchange) -> Answer {
    let head = pairs(&[(":status", "200"), ("content-type", "text/event-stream")]);
    let (answer, head) = Answer::head(ex, &head, false, SECOND).unwrap();
    assert_eq!(head, Head::default(), "nothing is shown yet");
    assert!(ex.answering.is_none(), "a reply that Envoy makes up now is not the answer");
    answer
}

/// A provider's event that opens its stream, and one with content.
fn opening(cluster: &str) -> (&'static str, &'static str) {
    if cluster.starts_with("openai") {
        (
            "data: {\"id\":\"x\",\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}]}\n\n",
            "data: {\"id\":\"x\",\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"hi\"}}]}\n\n",
        )
    } else {
        (
            "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"x\",\"model\":\"m\",\"usage\":{\"input_tokens\":3,\"output_tokens\":1}}}\n\ndata: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\n",
            "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"hi\"}}\n\n",
        )
    }
}

fn error(cluster: &str) -> &'static str {
    if cluster.starts_with("openai") {
        "data: {\"error\":{\"message\":\"busy\",\"type\":\"server_error\",\"code\":\"rate_limit_exceeded\"}}\n\n"
    } else {
        "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"rate_limit_error\",\"message\":\"busy\"}}\n\n"
    }
}

#[test]
fn the_first_content_shows_what_was_held_and_nothing_is_held_after() {
    for (path, _) in SIDES {
        for (_, cluster) in SIDES {
            let mut ex = exchange(path, &[cluster]);
            let mut answer = stream(&mut ex);
            let (start, content) = opening(cluster);
            let same = (path == SIDES[0].0) == (cluster == SIDES[0].1);
            // As if it had come byte by byte, keep-alive first: Envoy's buffer, and what it becomes.
            let mut buffer: Vec<u8> = Vec::new();
            let mut shown = None;
            let sent = [": ping\n\n", start, content].concat();
            for byte in sent.as_bytes().chunks(1) {
                assert_eq!(answer.staged(), buffer.len(), "what is staged is what Envoy holds");
                buffer.extend_from_slice(byte);
                match answer.body(&mut ex, byte, false, SECOND) {
                    Body::Hold => {}
                    Body::Stage(new) => buffer = new,
                    Body::Show(head) => shown = Some(head),
                    Body::Whole(head, new) => (shown, buffer) = (Some(head), new),
                    other @ (Body::Keep | Body::Replace(_) | Body::Fail(_)) => panic!("{other:?}"),
                }
                if shown.is_some() {
                    break;
                }
            }
            let text = String::from_utf8(buffer).unwrap();
            assert_eq!(get(&shown.unwrap(), ":status"), Some("200"), "{path} {cluster}");
            assert!(text.contains("hi") && (!same || text == sent), "{path} {cluster}: {text}");
            assert!(!answer.holds());
            let after = answer.body(&mut ex, content.as_bytes(), false, SECOND);
            assert!(matches!(after, Body::Keep | Body::Replace(_)), "{after:?}");
        }
    }
}

#[test]
fn a_stream_that_fails_before_content_is_a_failed_try_of_a_fitting_status() {
    let garbled = "data: {\"id\": nonsense\n\n";
    let cases = |cluster| {
        let start = opening(cluster).0;
        [
            (String::new(), 502, Flaw::Empty),
            (": ping\n\n: ping\n\n".to_owned(), 502, Flaw::Empty),
            ("data: [DONE]\n\n".to_owned(), 502, if cluster == "openai_k1" { Flaw::Empty } else { Flaw::Garbled }),
            (start.to_owned(), 502, Flaw::Empty),
            (garbled.to_owned(), 502, Flaw::Garbled),
            (error(cluster).to_owned(), 429, Flaw::Fault),
            (format!("{start}{}", error(cluster)), 429, Flaw::Fault),
        ]
    };
    for (path, _) in SIDES {
        for (_, cluster) in SIDES {
            for (sent, status, flaw) in cases(cluster) {
                for last in [false, true] {
                    let clusters = [cluster, "openai_k2"];
                    let mut ex = exchange(path, if last { &clusters[..1] } else { &clusters });
                    let mut answer = stream(&mut ex);
                    let about = format!("{path} {cluster} {sent:?} {last}");
                    let Body::Fail(judged) = answer.body(&mut ex, sent.as_bytes(), true, 3 * SECOND) else {
                        panic!("{about}")
                    };
                    let head = judged.set.unwrap();
                    assert_eq!(get(&head, ":status"), Some(status.to_string().as_str()), "{about}");
                    assert_eq!(get(&head, "x-envoy-ratelimited").is_some(), last, "{about}: Envoy may not retry then");
                    assert_eq!(ex.verdict.as_ref().unwrap().status, status, "{about}");
                    let tried = &ex.settle(9 * SECOND).tries[0];
                    assert_eq!((tried.outcome, tried.status), (Outcome::Error, 200), "{about}");
                    assert_eq!((ex.tries[0].flaw, tried.duration), (Some(flaw), 2 * SECOND), "{about}");
                    if !last {
                        ex.begin("openai_k2", 4 * SECOND).unwrap();
                        assert_eq!(ex.verdict, None, "another try, another verdict");
                        let word = if status == 429 {
                            "rate_limited"
                        } else {
                            match flaw {
                                Flaw::Fault => "error",
                                Flaw::Empty => "empty",
                                Flaw::Garbled => "garbled",
                                Flaw::Stalled => "stalled",
                                Flaw::NoMemory => panic!("{about}: no try is given up here"),
                            }
                        };
                        let trail =
                            format!("{}/k1 200 {word} 2000ms -> openai/k2 none", cluster.strip_suffix("_k1").unwrap());
                        assert_eq!(ex.trail(), Some(trail));
                    }
                }
            }
        }
    }
}

#[test]
fn an_answer_that_says_why_it_stopped_is_whole_also_if_it_is_empty() {
    let finished = [
        (
            "/v1/chat/completions",
            "openai_k1",
            "data: {\"id\":\"x\",\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"length\"}]}\n\ndata: [DONE]\n\n",
        ),
        (
            "/v1/messages",
            "anthropic_k1",
            "data: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"},\"usage\":{\"output_tokens\":2}}\n\ndata: {\"type\":\"message_stop\"}\n\n",
        ),
    ];
    for (path, cluster, sent) in finished {
        let mut ex = exchange(path, &[cluster, "openai_k2"]);
        let mut answer = stream(&mut ex);
        assert!(matches!(answer.body(&mut ex, sent.as_bytes(), true, SECOND), Body::Show(_)));
        assert_eq!(ex.settle(SECOND).tries[0].outcome, Outcome::Ok);
    }
}

#[test]
fn bytes_and_time_end_the_wait_and_a_hard_limit_ends_the_try() {
    let (path, cluster) = SIDES[0];
    let mut ex = exchange(path, &[cluster]);
    let mut answer = stream(&mut ex);
    let keepalive = ": waiting for the model\n\n".repeat(30);
    assert_eq!(answer.body(&mut ex, keepalive.as_bytes(), false, 2 * SECOND), Body::Hold);
    assert!(matches!(answer.body(&mut ex, keepalive.as_bytes(), false, 3 * SECOND), Body::Show(_)), "1 KiB");

    let mut ex = exchange(path, &[cluster]);
    let mut answer = stream(&mut ex);
    assert_eq!(answer.late(&mut ex, 10 * SECOND), None);
    let head = answer.late(&mut ex, 11 * SECOND).unwrap();
    assert_eq!((get(&head.set.unwrap(), ":status"), ex.verdict.is_some()), (Some("200"), false), "it goes on");
    assert_eq!(answer.late(&mut ex, 12 * SECOND), None, "and waits no more");
    assert_eq!(
        answer.body(&mut ex, error(cluster).as_bytes(), false, 13 * SECOND),
        Body::Keep,
        "too late to fail over"
    );

    let mut ex = exchange(path, &["anthropic_k1", cluster]);
    let mut answer = stream(&mut ex);
    assert_eq!(answer.late(&mut ex, 5 * SECOND), None);
    let head = answer.late(&mut ex, 6 * SECOND).unwrap();
    assert_eq!(get(&head.set.unwrap(), ":status"), Some("504"), "the provider's own limit");
    assert_eq!((ex.tries[0].flaw, ex.sealed), (Some(Flaw::Stalled), false));
}

#[test]
fn keep_alives_reach_every_client_once_the_wait_is_over() {
    for (path, _) in SIDES {
        for (_, cluster) in SIDES {
            let body = br#"{"model":"m","stream":true,"stream_options":{"include_usage":true},"messages":[]}"#;
            let keys = json!({"keys": [{"name": "k1", "models": ["*"]}]});
            let providers = json!({"openai": keys, "anthropic": keys});
            let config = json!({"version": 1, "providers": providers, "hold": {"max": "10s"}});
            let mut ex = support::exchange(&support::snapshot(config), path, body, &[cluster]);
            ex.begin(cluster, SECOND).unwrap();
            let mut answer = stream(&mut ex);
            for piece in 2..9 {
                let held = answer.body(&mut ex, b": k\n\n", false, piece * SECOND);
                assert!(matches!(held, Body::Hold | Body::Stage(_)), "{path} {cluster}: {held:?}");
            }
            assert!(answer.late(&mut ex, 11 * SECOND).unwrap().set.is_some());
            for piece in 13..20 {
                let expected = match (path, (path == CHAT) == (cluster == "openai_k1")) {
                    (_, true) => Body::Keep,
                    (MESSAGES, false) => Body::Replace(b"event: ping\ndata: {\"type\":\"ping\"}\n\n".to_vec()),
                    (_, false) => Body::Replace(b": ping\n\n".to_vec()),
                };
                assert_eq!(answer.body(&mut ex, b": k\n\n", false, piece * SECOND), expected, "{path} {cluster}");
            }
        }
    }
}

#[test]
fn a_stream_without_a_body_is_an_empty_one() {
    let mut ex = exchange(SIDES[0].0, &["openai_k1", "anthropic_k1"]);
    let head = pairs(&[(":status", "200"), ("content-type", "text/event-stream")]);
    let (answer, head) = Answer::head(&mut ex, &head, true, SECOND).unwrap();
    assert_eq!(get(&head.set.unwrap(), ":status"), Some("502"));
    assert!(!answer.holds() && ex.verdict.is_some());
}

/// What becomes of a first candidate's error, with `also` configured: the next cluster, or the error's own status.
fn referred(path: &str, clusters: &[&str], also: &[&str], status: &str, body: &str) -> Result<String, String> {
    let config = json!({
        "version": 1,
        "retry": {"also": also},
        "providers": {
            "openai": {"keys": [{"name": "k1", "models": ["*"]}, {"name": "k2", "models": ["*"]}]},
            "anthropic": {"keys": [{"name": "k1", "models": ["*"]}]}
        }
    });
    let s = engine::config::load(config).unwrap_or_else(|faults| panic!("{faults:?}")).snapshot;
    let mut ex = exchange(path, clusters);
    ex.snapshot = Rc::new(s);
    let head = pairs(&[(":status", status), ("content-type", "application/json")]);
    let (mut answer, judged) = Answer::head(&mut ex, &head, false, SECOND).unwrap();
    let shown = |head: &Headers| Err(get(head, ":status").unwrap().to_owned());
    match (judged.set, answer.body(&mut ex, body.as_bytes(), true, SECOND)) {
        (Some(head), Body::Keep | Body::Replace(_)) | (None, Body::Show(head) | Body::Whole(head, _)) => shown(&head),
        (None, Body::Fail(judged)) => {
            assert_eq!(get(judged.set.as_ref().unwrap(), ":status"), Some("503"), "so that Envoy tries again");
            assert_eq!(ex.verdict.as_ref().unwrap().status.to_string(), status, "and if it does not, the truth");
            // Nothing is said where that was to be the next anyway.
            Ok(judged.next.unwrap_or_else(|| ex.cluster(ex.cursor).unwrap().to_owned()))
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_error_of_the_request_is_tried_elsewhere_only_as_configured() {
    const LONG: &str =
        r#"{"error":{"message":"too long","type":"invalid_request_error","code":"context_length_exceeded"}}"#;
    const POLICY: &str = r#"{"error":{"message":"no","type":"invalid_request_error","code":"content_filter"}}"#;
    const BAD: &str = r#"{"error":{"message":"bad","type":"invalid_request_error","code":null}}"#;
    let hops = ["openai_k1", "openai_k2", "anthropic_k1"];
    for (path, _) in SIDES {
        for (also, body) in [("context_too_long", LONG), ("content_policy", POLICY), ("client_fault", BAD)] {
            let about = format!("{path} {also}");
            assert_eq!(referred(path, &hops, &[also], "400", body), Ok("anthropic_k1".to_owned()), "{about}");
            assert_eq!(referred(path, &hops[..2], &[also], "400", body), Err("400".to_owned()), "{about}: nobody else");
            assert_eq!(referred(path, &hops, &[], "400", body), Err("400".to_owned()), "{about}: by default");
            let others: Vec<_> =
                ["context_too_long", "content_policy", "client_fault"].into_iter().filter(|o| *o != also).collect();
            assert_eq!(referred(path, &hops, &others, "400", body), Err("400".to_owned()), "{about}: another kind");
        }
    }
}

#[test]
fn a_refused_key_is_followed_by_the_providers_other_key() {
    let marks = [("401", Mark::Refused), ("402", Mark::Refused), ("403", Mark::Doubted), ("429", Mark::Limited)];
    for (status, mark) in marks {
        let mut ex = exchange(SIDES[0].0, &["openai_k1", "anthropic_k1", "openai_k2"]);
        let head = pairs(&[(":status", status), ("content-type", "application/json")]);
        let (_, judged) = Answer::head(&mut ex, &head, false, SECOND).unwrap();
        assert_eq!(judged.next.as_deref(), Some("openai_k2"), "{status}");
        assert_eq!(ex.marks, [Marked { of: 0, lane: 0, mark }], "{status}");
    }
}

#[test]
fn a_stream_that_is_given_up_fails_over_before_its_content_and_ends_in_an_error_after_it() {
    for (path, _) in SIDES {
        for (_, cluster) in SIDES {
            let (start, content) = opening(cluster);
            let unfinished = format!("data: {}", "x".repeat(1000));
            for by_time in [true, false] {
                let mut ex = exchange(path, &[cluster, "openai_k2"]);
                let mut answer = stream(&mut ex);
                answer.body(&mut ex, start.as_bytes(), false, SECOND);
                answer.give_up(&ex);
                assert_eq!(answer.staged(), 0, "nothing is kept");
                let head = match by_time {
                    true => answer.late(&mut ex, SECOND).unwrap(),
                    false => {
                        let body = answer.body(&mut ex, content.as_bytes(), false, SECOND);
                        let Body::Fail(head) = body else { panic!("{body:?}") };
                        head
                    }
                };
                assert_eq!(get(&head.set.unwrap(), ":status"), Some("503"), "Envoy asks the next candidate");
                assert_eq!(ex.tries[0].flaw, Some(Flaw::NoMemory));
                assert_eq!(ex.marks, [], "the provider is not to blame");
            }
            let mut ex = exchange(path, &[cluster]);
            let mut answer = stream(&mut ex);
            answer.body(&mut ex, [start, content].concat().as_bytes(), false, SECOND);
            answer.body(&mut ex, unfinished.as_bytes(), false, SECOND);
            answer.give_up(&ex);
            let Body::Replace(told) = answer.body(&mut ex, b"xxx", false, SECOND) else { panic!("{path} {cluster}") };
            assert!(String::from_utf8(told).unwrap().contains("error"), "{path} {cluster}");
            assert_eq!(answer.body(&mut ex, content.as_bytes(), true, SECOND), Body::Replace(Vec::new()));
            let settled = ex.settle(SECOND);
            assert_eq!(settled.tries[0].outcome, Outcome::Cut, "it was not whole");
        }
    }
}
