//! Every kind of failure: what it is told from, who is asked next, and what is noted of its key.

use std::rc::Rc;

use engine::cooldown::Mark;
use engine::exchange::{Answer, Body, Disposition, Exchange, Headers};
use engine::route::Hop;
use serde_json::{Value, json};

use crate::support::{CHAT, MESSAGES, SECOND, hop, pairs, planned, snapshot};

const NOW: u64 = 1_795_262_400 * SECOND;
/// Clusters and the tokens their models take.
const HOPS: [(&str, Option<u64>); 5] = [
    ("openai_k1", Some(100)),
    ("xai_k1", Some(50)),
    ("anthropic_k1", None),
    ("openai_k2", Some(200)),
    ("openrouter_k1", Some(1000)),
];

/// A request whose first try runs at the first of the clusters.
fn exchange(path: &str, retry: &Value, errors: &Value, first: &str) -> Exchange {
    let keys =
        |names: &[&str]| -> Vec<Value> { names.iter().map(|name| json!({"name": name, "models": ["*"]})).collect() };
    let mut providers = json!({"openai": {"keys": keys(&["k1", "k2"])}});
    for name in ["xai", "anthropic", "openrouter"] {
        providers[name] = json!({"keys": keys(&["k1"])});
    }
    providers[first.split_once('_').unwrap().0]["errors"] = errors.clone();
    let config = json!({"version": 1, "retry": retry, "providers": providers});
    let s = snapshot(config);
    let begins = HOPS.iter().position(|(cluster, _)| *cluster == first).unwrap();
    let mut order = HOPS.to_vec();
    order[..=begins].rotate_right(1);
    let hops = order.into_iter().map(|(cluster, context)| Hop { context, ..hop(&s, cluster, cluster) }).collect();
    let head = pairs(&[(":method", "POST"), (":path", path)]);
    let mut ex = planned(&s, &head, br#"{"model":"m","max_tokens":9,"messages":[]}"#, hops, NOW);
    ex.begin(first, NOW).unwrap();
    ex
}

/// How one error ended.
#[derive(Debug, PartialEq)]
struct Ended {
    is: Disposition,
    /// What Envoy judges.
    status: u16,
    /// Who it would ask, in order; empty if it must not.
    left: Vec<&'static str>,
    mark: Option<Mark>,
}

fn ended(mut ex: Exchange, status: &str, headers: &[(&str, &str)], body: &str) -> Ended {
    let all = [&[(":status", status), ("content-type", "application/json")], headers].concat();
    let (mut answer, head) = Answer::head(&mut ex, &pairs(&all), false, NOW).unwrap();
    let shown = |head: &Headers| std::str::from_utf8(&head[0].1).unwrap().parse().unwrap();
    let status = match (head.set, answer.body(&mut ex, body.as_bytes(), true, NOW)) {
        (Some(head), Body::Keep | Body::Replace(_)) | (None, Body::Show(head) | Body::Whole(head, _)) => shown(&head),
        (None, Body::Fail(head)) => shown(&head.set.unwrap()),
        other => panic!("{other:?}"),
    };
    let left = ex.plan.hops[ex.cursor..].iter().map(|hop| ex.snapshot.lanes[hop.lane].cluster.clone());
    let name = |cluster: String| HOPS.iter().find(|(name, _)| *name == cluster).unwrap().0;
    let left: Vec<_> = left.map(name).collect();
    assert_eq!(ex.sealed, left.is_empty(), "sealed if nobody is left");
    assert!(ex.marks.len() < 2);
    let is = ex.tries[0].disposition.unwrap();
    assert_eq!(ex.settle(NOW).tries[0].disposition, Some(is));
    Ended { is, status, left, mark: ex.marks.first().map(|marked| marked.mark) }
}

const OTHERS: [&str; 4] = ["xai_k1", "anthropic_k1", "openrouter_k1", "openai_k2"];
const OTHER_KEY_FIRST: [&str; 4] = ["openai_k2", "xai_k1", "anthropic_k1", "openrouter_k1"];

fn error(code: &str, message: &str) -> String {
    json!({"error": {"message": message, "type": "x", "param": null, "code": code}}).to_string()
}

#[test]
fn a_status_says_who_is_next_and_what_is_noted() {
    use Disposition::{ClientFault, HardDown, RateLimited, Transient};
    let cases: [(&str, Disposition, &[&str], Option<Mark>); 11] = [
        ("500", Transient, &OTHERS, Some(Mark::Failed)),
        ("529", Transient, &OTHERS, Some(Mark::Failed)),
        ("408", Transient, &OTHERS, Some(Mark::Failed)),
        // Anybody may ask for a model that is not there.
        ("404", Transient, &OTHERS, None),
        ("401", HardDown, &OTHER_KEY_FIRST, Some(Mark::Refused)),
        ("402", HardDown, &OTHER_KEY_FIRST, Some(Mark::Refused)),
        ("403", HardDown, &OTHER_KEY_FIRST, Some(Mark::Doubted)),
        ("429", RateLimited, &OTHER_KEY_FIRST, Some(Mark::Limited)),
        ("400", ClientFault, &[], None),
        ("413", ClientFault, &[], None),
        ("422", ClientFault, &[], None),
    ];
    for path in [CHAT, MESSAGES] {
        for (status, is, left, mark) in cases {
            let ex = exchange(path, &json!({"max": 8}), &json!([]), "openai_k1");
            let expected = Ended { is, status: status.parse().unwrap(), left: left.to_vec(), mark };
            assert_eq!(ended(ex, status, &[], "{}"), expected, "{path} {status}");
        }
    }
}

#[test]
fn a_limited_key_rests_until_the_provider_says() {
    let requests = ("x-ratelimit-remaining-requests", "0");
    let tokens = ("x-ratelimit-remaining-tokens", "0");
    let resets = [("x-ratelimit-reset-requests", "2m0s"), ("x-ratelimit-reset-tokens", "1.5s")];
    let cases: [(&[(&str, &str)], Mark); 8] = [
        (&[("retry-after", "7")], Mark::Until(NOW + 7 * SECOND)),
        (&[("retry-after-ms", "250"), ("retry-after", "7")], Mark::Until(NOW + SECOND / 4)),
        (&[("retry-after", "7"), requests, resets[0]], Mark::Until(NOW + 7 * SECOND)),
        (&[requests, resets[0], resets[1]], Mark::Until(NOW + 120 * SECOND)),
        (&[tokens, resets[0], resets[1]], Mark::Until(NOW + 3 * SECOND / 2)),
        (&[requests, tokens, resets[0], resets[1]], Mark::Until(NOW + 120 * SECOND)),
        (&resets, Mark::Limited),
        (&[("retry-after", "tomorrow")], Mark::Limited),
    ];
    for (headers, mark) in cases {
        let ex = exchange(CHAT, &json!({}), &json!([]), "openai_k1");
        let found = ended(ex, "429", headers, &error("rate_limit_exceeded", "slow down"));
        assert_eq!((found.is, found.mark), (Disposition::RateLimited, Some(mark)), "{headers:?}");
    }
    let headers = [
        ("anthropic-ratelimit-input-tokens-remaining", "0"),
        ("anthropic-ratelimit-input-tokens-reset", "2026-11-21T12:00:20Z"),
        ("anthropic-ratelimit-requests-remaining", "7"),
        ("anthropic-ratelimit-requests-reset", "2026-11-21T12:01:00Z"),
    ];
    let found = ended(exchange(CHAT, &json!({}), &json!([]), "anthropic_k1"), "429", &headers, "{}");
    assert_eq!(found.mark, Some(Mark::Until(NOW + 20 * SECOND)), "that of the bucket that is empty");
    for (claim, mark) in [
        ("five_hour", Mark::KeyUntil(NOW + 9 * SECOND)),
        ("seven_day", Mark::KeyUntil(NOW + 9 * SECOND)),
        ("seven_day_opus", Mark::Until(NOW + 9 * SECOND)),
    ] {
        let unified = "anthropic-ratelimit-unified-representative-claim";
        let headers = [("retry-after", "9"), ("anthropic-ratelimit-unified-status", "rejected"), (unified, claim)];
        let found = ended(exchange(CHAT, &json!({}), &json!([]), "anthropic_k1"), "429", &headers, "{}");
        assert_eq!(found.mark, Some(mark), "{claim}");
    }
}

#[test]
fn a_request_that_is_too_long_goes_to_larger_windows_the_largest_first() {
    let long = error("context_length_exceeded", "too long");
    for path in [CHAT, MESSAGES] {
        let also = json!({"also": ["context_too_long"], "max": 8});
        let found = ended(exchange(path, &also, &json!([]), "openai_k1"), "400", &[], &long);
        // Smaller ones are not asked; who does not say may have more.
        let left = vec!["openrouter_k1", "openai_k2", "anthropic_k1"];
        assert_eq!(found, Ended { is: Disposition::ContextTooLong, status: 503, left, mark: None }, "{path}");
        let found = ended(
            exchange(path, &also, &json!([]), "anthropic_k1"),
            "400",
            &[],
            r#"{"type":"error","error":{"type":"invalid_request_error","message":"prompt is too long: 9 tokens > 8 maximum"}}"#,
        );
        let left = vec!["openrouter_k1", "openai_k2", "openai_k1", "xai_k1"];
        assert_eq!(
            (found.is, found.left),
            (Disposition::ContextTooLong, left),
            "{path}: nobody knows how much it takes"
        );
        let found = ended(exchange(path, &json!({}), &json!([]), "openai_k1"), "400", &[], &long);
        assert_eq!((found.status, found.left.len()), (400, 0), "{path}: not unless configured");
    }
}

#[test]
fn what_a_vendor_will_not_answer_goes_to_another_vendor_if_configured() {
    let flagged =
        error("invalid_prompt", "Invalid prompt: your prompt was flagged as potentially violating our usage policy.");
    let also = json!({"also": ["content_policy"], "max": 8});
    let found = ended(exchange(CHAT, &also, &json!([]), "openai_k1"), "400", &[], &flagged);
    let left = vec!["xai_k1", "anthropic_k1", "openrouter_k1"];
    assert_eq!(found, Ended { is: Disposition::ContentPolicy, status: 503, left, mark: None });
}

#[test]
fn what_one_vendor_means_by_a_status_is_known() {
    use Disposition::{ClientFault, ContentPolicy, HardDown};
    let poor = r#"{"type":"error","error":{"type":"invalid_request_error","message":"Your credit balance is too low to access the Anthropic API."}}"#;
    let unsafe_ = r#"{"code":"The caller does not have permission","error":"Content violates usage guidelines. Failed check: SAFETY_CHECK_TYPE_BIO"}"#;
    let wrong = r#"{"code":"Client specified an invalid argument","error":"Incorrect API key provided: na***ys."}"#;
    let moderated = r#"{"error":{"code":403,"message":"m requires moderation on OpenAI. Your input was flagged."}}"#;
    let cases = [
        ("anthropic_k1", "400", poor, HardDown, 503, Some(Mark::Refused)),
        ("openai_k1", "400", poor, ClientFault, 400, None),
        ("xai_k1", "400", wrong, HardDown, 503, Some(Mark::Refused)),
        ("xai_k1", "403", unsafe_, ContentPolicy, 403, None),
        ("xai_k1", "403", "{}", HardDown, 403, Some(Mark::Doubted)),
        ("openrouter_k1", "403", moderated, ContentPolicy, 403, None),
    ];
    for (first, status, body, is, shown, mark) in cases {
        for path in [CHAT, MESSAGES] {
            let found = ended(exchange(path, &json!({"max": 8}), &json!([]), first), status, &[], body);
            assert_eq!((found.is, found.status, found.mark), (is, shown, mark), "{first} {status} {path}");
            assert_eq!(found.left.is_empty(), is.word() != "hard_down", "{first} {status} {path}");
        }
    }
}

#[test]
fn the_configuration_knows_better_and_its_first_match_counts() {
    use Disposition::{ClientFault, ContentPolicy, HardDown, RateLimited, Transient};
    let rules = json!([
        {"status": 409, "is": "transient"},
        {"status": 404, "is": "client_fault"},
        {"status": 400, "message": "Try AGAIN", "is": "transient", "rest": "30s"},
        {"status": 400, "code": "busy", "is": "rate_limited"},
        {"code": "gone", "is": "hard_down"},
        {"status": 500, "message": "bad image", "is": "client_fault"},
        {"status": 429, "code": "insufficient_quota", "is": "hard_down", "rest": "5m"},
        {"status": 429, "is": "content_policy"}
    ]);
    let cases = [
        ("409", "", "anything", Transient, 503, 4, Some(Mark::Failed)),
        ("404", "model_not_found", "no such model", ClientFault, 404, 0, None),
        ("400", "", "please try again", Transient, 503, 4, Some(Mark::Until(NOW + 30 * SECOND))),
        ("400", "busy", "no", RateLimited, 503, 4, Some(Mark::Limited)),
        ("400", "other", "no", ClientFault, 400, 0, None),
        ("422", "gone", "no", HardDown, 503, 4, Some(Mark::Refused)),
        ("500", "gone", "no", HardDown, 500, 4, Some(Mark::Refused)),
        ("500", "", "a bad image", ClientFault, 500, 0, None),
        ("500", "", "oops", Transient, 500, 4, Some(Mark::Failed)),
        ("429", "insufficient_quota", "pay", HardDown, 429, 4, Some(Mark::KeyUntil(NOW + 300 * SECOND))),
        ("429", "rate_limit_exceeded", "wait", ContentPolicy, 429, 0, None),
        ("401", "invalid_api_key", "who?", HardDown, 401, 4, Some(Mark::Refused)),
    ];
    for (status, code, message, is, shown, left, mark) in cases {
        for path in [CHAT, MESSAGES] {
            let ex = exchange(path, &json!({"max": 8}), &rules, "openai_k1");
            let found = ended(ex, status, &[], &error(code, message));
            let about = format!("{path} {status} {code} {message}");
            assert_eq!((found.is, found.status, found.left.len(), found.mark), (is, shown, left, mark), "{about}");
        }
    }
    // Anthropic's types are its codes.
    let rules = json!([{"code": "overloaded_error", "is": "transient", "rest": "10s"}]);
    let body = r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#;
    let found = ended(exchange(CHAT, &json!({}), &rules, "anthropic_k1"), "529", &[], body);
    assert_eq!(found.mark, Some(Mark::Until(NOW + 10 * SECOND)));
}

#[test]
fn the_body_is_waited_for_only_where_somebody_has_words_for_it() {
    let waits = |path: &str, retry: &Value, errors: &Value, first: &str, status: &str| {
        let mut ex = exchange(path, retry, errors, first);
        let head = pairs(&[(":status", status)]);
        Answer::head(&mut ex, &head, false, NOW).unwrap().1.set.is_none()
    };
    let rule = json!([{"status": 500, "message": "x", "is": "client_fault"}, {"status": 409, "is": "client_fault"}]);
    for path in [CHAT, MESSAGES] {
        for status in ["401", "403", "404", "429", "500", "503", "529"] {
            assert!(!waits(path, &json!({}), &json!([]), "openai_k1", status), "{path} {status}");
            assert_eq!(waits(path, &json!({}), &rule, "openai_k1", status), status == "500", "{path} {status}");
        }
    }
    assert!(!waits(CHAT, &json!({}), &rule, "openai_k1", "409"), "the status alone decides");
    assert!(!waits(CHAT, &json!({}), &json!([]), "openai_k1", "400"));
    assert!(waits(CHAT, &json!({"also": ["client_fault"]}), &json!([]), "openai_k1", "400"));
    assert!(waits(MESSAGES, &json!({}), &json!([]), "anthropic_k1", "400"), "an account without credit says so there");
}

#[test]
fn a_try_without_an_answer_is_noted_when_the_next_begins_or_none_does() {
    let mut ex = exchange(CHAT, &json!({}), &json!([]), "openai_k1");
    ex.begin("xai_k1", NOW + SECOND).unwrap();
    assert_eq!((ex.marks.len(), ex.marks[0].lane, ex.marks[0].mark), (1, 0, Mark::Failed));
    ex.unanswered(NOW + 2 * SECOND);
    assert_eq!((ex.marks.len(), ex.marks[1].of, ex.marks[1].mark), (2, 1, Mark::Failed));
    ex.unanswered(NOW + 3 * SECOND);
    assert_eq!(ex.marks.len(), 2, "once");
    assert_eq!(ex.trail().unwrap(), "openai/k1 none 1000ms -> xai/k1 none 1000ms");
    assert_eq!(ex.served(), None);
}

#[test]
fn a_clients_own_refused_credential_is_no_matter_of_the_lane() {
    for (status, marks) in [("401", 0), ("403", 0), ("429", 0), ("500", 1)] {
        let mut ex = exchange(CHAT, &json!({}), &json!([]), "openai_k1");
        let mut snapshot = ex.snapshot.as_ref().clone();
        snapshot.client_keys = engine::config::schema::ClientKeys::Pass;
        ex.snapshot = Rc::new(snapshot);
        ex.credential = Some(("authorization".to_owned(), b"Bearer own".to_vec()));
        let head = pairs(&[(":status", status), ("retry-after", "9")]);
        Answer::head(&mut ex, &head, false, NOW).unwrap();
        assert_eq!(ex.marks.len(), marks, "{status}");
    }
}

#[test]
fn who_serves_is_who_answered_or_whom_the_client_gave_nonsense() {
    let served = |status: &str, body: &str| {
        let mut ex = exchange(CHAT, &json!({}), &json!([]), "openai_k1");
        let head = pairs(&[(":status", status), ("content-type", "application/json")]);
        let (mut answer, _) = Answer::head(&mut ex, &head, false, NOW).unwrap();
        answer.body(&mut ex, body.as_bytes(), true, NOW);
        ex.served().map(|marked| (marked.lane, marked.mark))
    };
    let whole =
        r#"{"id":"x","choices":[{"index":0,"message":{"role":"assistant","content":"hi"},"finish_reason":"stop"}]}"#;
    assert_eq!(served("200", whole), Some((0, Mark::Served(NOW))));
    assert_eq!(served("400", "{}"), Some((0, Mark::Served(NOW))));
    for (status, body) in [("200", "<html>"), ("200", ""), ("401", "{}"), ("404", "{}"), ("429", "{}"), ("500", "{}")] {
        assert_eq!(served(status, body), None, "{status} {body}");
    }
}

#[test]
fn the_trail_says_more_than_the_status_where_there_is_more() {
    let also = json!({"also": ["context_too_long"], "max": 8});
    let mut ex = exchange(CHAT, &also, &json!([]), "openai_k1");
    let head = pairs(&[(":status", "400")]);
    let (mut answer, _) = Answer::head(&mut ex, &head, false, NOW).unwrap();
    answer.body(&mut ex, error("context_length_exceeded", "too long").as_bytes(), true, NOW);
    ex.begin("openrouter_k1", NOW + SECOND).unwrap();
    let head = pairs(&[(":status", "503")]);
    Answer::head(&mut ex, &head, true, NOW + SECOND).unwrap();
    assert_eq!(ex.trail().unwrap(), "openai/k1 400 context_too_long 0ms -> openrouter/k1 503 0ms");
}

#[test]
fn a_status_is_left_as_it_is_where_envoy_retries_it() {
    let policy = include_str!("../../../../envoy/rds.yaml");
    let (_, codes) = policy.split_once("retriable_status_codes: [").unwrap();
    let retried: Vec<u16> = codes.split(']').next().unwrap().split(", ").map(|code| code.parse().unwrap()).collect();
    for status in 400..600 {
        let rules = json!([{"status": status, "is": "transient"}]);
        let found = ended(exchange(CHAT, &json!({}), &rules, "openai_k1"), &status.to_string(), &[], "{}");
        let left = status >= 500 || retried.contains(&status);
        assert_eq!(found.status, if left { status } else { 503 }, "{status}");
    }
}
