//! The law of strict limits: whatever becomes of a try, no less is charged than its provider may bill, and no more than was
//! reserved. Over dialects, providers, streams and whole bodies, each cut after each of their events, and ways to end.

use std::rc::Rc;

use engine::config::schema::FailedTries;
use engine::config::snapshot::Snapshot;
use engine::exchange::{Answer, Exchange, Terms};
use engine::govern::price::{Rates, Service, Tier};
use engine::govern::size::Shape;
use engine::govern::{Account, Candidate, Counted, Decision, Exhausted, Governor, Limit, Mode, Rated, Standing};
use serde_json::json;

use crate::support::{CHAT, MESSAGES, SECOND, exchange, pairs};

/// What the provider bills, whoever reads it: prompt (a part of it cached), answer (most of it reasoning).
const PROMPT: u64 = 90;
const ANSWER: u64 = 95;
/// What the request allows.
const MOST: u64 = 100;
/// Nano-dollars of a token.
const RATES: (u64, u64) = (2, 10);
const COUNTED: [Counted; 4] = [Counted::InputTokens, Counted::OutputTokens, Counted::TotalTokens, Counted::Money];

fn config() -> Snapshot {
    let key = json!({"keys": [{"name": "k1", "models": ["*"]}]});
    let config = json!({"version": 1, "providers": {"openai": key, "anthropic": key}});
    let mut config = engine::config::load(config).unwrap_or_else(|faults| panic!("{faults:?}")).snapshot;
    // What a strict limit may be billed is never given back.
    config.govern.failed_tries = FailedTries::Refund;
    config
}

fn rated(provider: &str) -> Rc<Rated> {
    let tier = Tier { input: RATES.0 * 1000, output: RATES.1 * 1000, ..Tier::default() };
    let rates = Rates { standard: vec![tier], context: Some(4000), ..Rates::default() };
    Rc::new(Rated { provider: provider.to_owned(), model: "m".to_owned(), rates, known: true })
}

/// A request that was let go under limits of this mode: its exchange, and what is reserved of each.
fn let_go(mode: Mode, path: &str, body: &[u8], clusters: &[&str]) -> (Exchange, Vec<u64>) {
    let mut ex = exchange(&Rc::new(config()), path, body, clusters);
    let limit = |counted| Limit { counted, most: u64::MAX, window: None, mode, exhausted: Exhausted::Block };
    let account =
        |(counted, id)| Account { id, scope: String::new(), limit: limit(counted), provider: None, of_pool: None };
    let accounts: Vec<_> = COUNTED.into_iter().zip(1..).map(account).collect();
    let shape = Shape::of(&ex.scan, body);
    let rated = vec![rated("openai"), rated("anthropic")];
    let of = |cluster: &&str| rated.iter().find(|one| cluster.starts_with(&one.provider)).unwrap();
    let tries: Vec<_> = clusters
        .iter()
        .map(of)
        .map(|one| {
            let size = shape.at(Some(&one.rates));
            Candidate::new(&one.provider, Some(one), &size, Service::default(), ex.snapshot.govern.unknown_price)
        })
        .collect();
    let mut governor = Governor::new(Rc::from(accounts));
    assert_eq!(governor.decide(&tries, |_, _| Standing::Fits), Decision::Go);
    let reserved = governor.needs().iter().map(|(_, amount)| *amount).collect();
    ex.terms = Terms { rated, shape: Some(shape), service: Service::default() };
    ex.governor = Some(governor);
    (ex, reserved)
}

/// As `COUNTED`, for so many tries that are billed.
fn bill(tries: u64) -> [u64; 4] {
    [PROMPT, ANSWER, PROMPT + ANSWER, PROMPT * RATES.0 + ANSWER * RATES.1].map(|amount| amount * tries)
}

fn request(path: &str, stream: bool, part: &str) -> Vec<u8> {
    let kind = if path == CHAT { "max_completion_tokens" } else { "max_tokens" };
    format!(r#"{{"model":"m","{kind}":{MOST},"stream":{stream},"messages":[{{"role":"user","content":[{part}]}}]}}"#)
        .into()
}

/// The events of an answer in a provider's format. Text is short: the rest of the answer is hidden reasoning.
fn events(provider: &str, stream: bool) -> Vec<String> {
    let openai = json!({"prompt_tokens": PROMPT, "completion_tokens": ANSWER, "total_tokens": PROMPT + ANSWER,
        "prompt_tokens_details": {"cached_tokens": 40}, "completion_tokens_details": {"reasoning_tokens": 90}});
    let message = json!({"id": "m", "type": "message", "role": "assistant", "model": "m", "stop_reason": "end_turn",
        "stop_sequence": null, "content": [{"type": "text", "text": "hi"}],
        "usage": {"input_tokens": PROMPT - 40, "cache_read_input_tokens": 40, "output_tokens": ANSWER}});
    match (provider, stream) {
        ("openai", false) => vec![json!({"id": "x", "object": "chat.completion", "created": 1, "model": "m", "choices":
            [{"index": 0, "message": {"role": "assistant", "content": "hi"}, "finish_reason": "stop"}], "usage": openai})
            .to_string()],
        ("openai", true) => {
            let chunk = |choices: serde_json::Value, usage: serde_json::Value| {
                let chunk = json!({"id": "x", "object": "chat.completion.chunk", "created": 1, "model": "m",
                    "choices": choices, "usage": usage});
                format!("data: {chunk}\n\n")
            };
            let choice = |delta: serde_json::Value, finish: Option<&str>| {
                json!([{"index": 0, "delta": delta, "finish_reason": finish}])
            };
            // Some servers count along; that is not the bill.
            let early = json!({"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2});
            vec![
                chunk(choice(json!({"role": "assistant", "content": ""}), None), early.clone()),
                chunk(choice(json!({"content": "hi"}), None), early.clone()),
                chunk(choice(json!({}), Some("stop")), early),
                chunk(json!([]), openai),
                "data: [DONE]\n\n".to_owned(),
            ]
        }
        (_, false) => vec![message.to_string()],
        (_, true) => {
            let event = |event: serde_json::Value| format!("event: {}\ndata: {event}\n\n", event["type"].as_str().unwrap());
            let mut start = message.clone();
            start["content"] = json!([]);
            start["usage"]["output_tokens"] = json!(1);
            let usage = json!({"output_tokens": ANSWER});
            vec![
                event(json!({"type": "message_start", "message": start})),
                event(json!({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}})),
                event(json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "hi"}})),
                // Cumulative, and not the last.
                event(json!({"type": "message_delta", "delta": {}, "usage": {"output_tokens": 2}})),
                event(json!({"type": "content_block_stop", "index": 0})),
                event(json!({"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": usage})),
                event(json!({"type": "message_stop"})),
            ]
        }
    }
}

/// How a try ends that the provider bills.
#[derive(Debug, Clone, Copy, PartialEq)]
enum End {
    /// The client leaves, a reset, a time limit: nothing more comes.
    Silence,
    /// The end, in good order.
    Clean,
    /// An error event, and the end.
    Fault,
    /// Bytes that nobody can read, and the end.
    Garbled,
}

const ENDS: [End; 4] = [End::Silence, End::Clean, End::Fault, End::Garbled];
const SIDES: [&str; 2] = ["openai", "anthropic"];

/// One try that has answered with the first `seen` events.
fn answer(ex: &mut Exchange, provider: &str, stream: bool, seen: usize, end: End) {
    ex.begin(&format!("{provider}_k1"), SECOND).unwrap();
    let kind = if stream { "text/event-stream" } else { "application/json" };
    let head = pairs(&[(":status", "200"), ("content-type", kind)]);
    let (mut answer, _) = Answer::head(ex, &head, false, SECOND).unwrap();
    let mut body: Vec<u8> = events(provider, stream).concat().into();
    if stream {
        body = events(provider, true).iter().take(seen).flat_map(|event| event.bytes()).collect();
        answer.body(ex, &body, false, SECOND);
        body.clear();
    } else {
        // A unary answer is held: pieces before the end are of no use to anybody.
        body.truncate(body.len() * seen / 8);
    }
    match end {
        End::Silence => return,
        End::Clean => {}
        End::Fault => {
            body = br#"data: {"type":"error","error":{"type":"overloaded_error","message":"busy"}}

"#
            .to_vec()
        }
        End::Garbled => body.extend_from_slice(b"data: <html>\n\n"),
    }
    answer.body(ex, &body, true, 2 * SECOND);
}

const TEXT: &str =
    r#"{"type":"text","text":"hello, what is the answer to everything? Think long and hard, and show nothing of it"}"#;
const FILE: &str = r#"{"type":"file","file":{"file_id":"file-1"}}"#;

fn check(context: &str, ex: &Exchange, reserved: &[u64], bill: [u64; 4]) {
    let settled = ex.settle(3 * SECOND);
    for ((charged, most), (real, counted)) in settled.amounts.iter().zip(reserved).zip(bill.into_iter().zip(COUNTED)) {
        assert!(*charged >= real, "{context}: {counted:?}: {charged} charged and {real} billed");
        assert!(charged <= most, "{context}: {counted:?}: {charged} charged and {most} reserved");
    }
    let tokens = |of: fn(&wire::ir::Usage) -> Option<u64>| -> u64 {
        settled.tries.iter().filter_map(|t| of(&t.usage?.usage)).sum()
    };
    let row = [tokens(|usage| usage.input), tokens(|usage| usage.output)];
    assert_eq!(settled.amounts[..2], row, "{context}: the row says what is charged");
    let cost: u64 = settled.tries.iter().map(|t| t.cost.unwrap()).sum();
    assert_eq!(settled.amounts[3], cost, "{context}: in money, too");
}

#[test]
fn no_less_is_charged_than_may_be_billed_and_no_more_than_was_reserved() {
    let mut cases = 0;
    for path in [CHAT, MESSAGES] {
        for provider in SIDES {
            for (stream, last) in [(true, events(provider, true).len()), (false, 8)] {
                for (end, seen) in ENDS.into_iter().flat_map(|end| (0..=last).map(move |seen| (end, seen))) {
                    let body = request(path, stream, TEXT);
                    let (mut ex, reserved) = let_go(Mode::Strict, path, &body, &[&format!("{provider}_k1")]);
                    answer(&mut ex, provider, stream, seen, end);
                    let context = format!("{path} {provider} stream {stream}, {seen} of {last}, then {end:?}");
                    check(&context, &ex, &reserved, bill(1));
                    cases += 1;
                }
            }
        }
    }
    assert!(cases > 200, "{cases}");
}

#[test]
fn each_of_several_tries_keeps_its_own() {
    for path in [CHAT, MESSAGES] {
        for (provider, end) in SIDES.into_iter().flat_map(|provider| ENDS.map(|end| (provider, end))) {
            let body = request(path, true, TEXT);
            let clusters = [format!("{provider}_k1"), "openai_k1".to_owned(), "anthropic_k1".to_owned()];
            let (mut ex, reserved) = let_go(Mode::Strict, path, &body, &[&clusters[0], &clusters[1], &clusters[2]]);
            answer(&mut ex, provider, true, 1, end);
            ex.begin(&clusters[1], SECOND).unwrap();
            answer(&mut ex, "anthropic", true, 7, End::Clean);
            check(&format!("{path} {provider} {end:?}"), &ex, &reserved, bill(3));
        }
    }
}

#[test]
fn what_is_no_text_keeps_the_models_window() {
    let body = request(CHAT, true, FILE);
    let (mut ex, reserved) = let_go(Mode::Strict, CHAT, &body, &["openai_k1"]);
    assert_eq!(reserved[0], 4000, "no byte of it bounds a file");
    answer(&mut ex, "openai", true, 3, End::Silence);
    assert_eq!(ex.settle(3 * SECOND).amounts, reserved);
}

#[test]
fn a_usage_that_was_told_for_good_is_charged_as_told() {
    for provider in SIDES {
        let all = events(provider, true).len();
        // OpenAI's usage is the last but one; Anthropic's answer is counted for good with its last event.
        let seen = if provider == "openai" { all - 1 } else { all };
        let (mut ex, _) = let_go(Mode::Strict, CHAT, &request(CHAT, true, TEXT), &[&format!("{provider}_k1")]);
        answer(&mut ex, provider, true, seen, End::Silence);
        let settled = ex.settle(3 * SECOND);
        assert_eq!(settled.amounts, bill(1), "{provider}");
        assert!(!settled.tries[0].usage.unwrap().estimated, "{provider}");
    }
    let (mut ex, reserved) = let_go(Mode::Strict, MESSAGES, &request(MESSAGES, true, TEXT), &["anthropic_k1"]);
    answer(&mut ex, "anthropic", true, 1, End::Silence);
    let settled = ex.settle(3 * SECOND);
    assert_eq!(settled.amounts, [PROMPT, MOST, PROMPT + MOST, PROMPT * RATES.0 + MOST * RATES.1]);
    assert!(settled.amounts[0] < reserved[0] && settled.tries[0].usage.unwrap().estimated);
}

#[test]
fn an_answer_whose_provider_counts_nothing_keeps_what_was_reserved() {
    for (provider, stream) in SIDES.into_iter().flat_map(|provider| [(provider, true), (provider, false)]) {
        let (mut ex, reserved) = let_go(Mode::Strict, CHAT, &request(CHAT, stream, TEXT), &[&format!("{provider}_k1")]);
        ex.begin(&format!("{provider}_k1"), SECOND).unwrap();
        let kind = if stream { "text/event-stream" } else { "application/json" };
        let head = pairs(&[(":status", "200"), ("content-type", kind)]);
        let (mut answer, _) = Answer::head(&mut ex, &head, false, SECOND).unwrap();
        let body = events(provider, stream).concat().replace("\"usage\"", "\"x\"");
        answer.body(&mut ex, body.as_bytes(), true, 2 * SECOND);
        let settled = ex.settle(3 * SECOND);
        assert_eq!(settled.amounts, reserved, "{provider} stream {stream}");
        assert!(settled.tries[0].usage.unwrap().estimated);
    }
}

#[test]
fn an_error_costs_nothing_and_an_elastic_limit_beside_a_strict_one_estimates() {
    let body = request(CHAT, true, TEXT);
    let (mut ex, _) = let_go(Mode::Strict, CHAT, &body, &["openai_k1"]);
    for status in ["400", "401", "429", "500", "503"] {
        ex.begin("openai_k1", SECOND).unwrap();
        Answer::head(&mut ex, &pairs(&[(":status", status)]), true, SECOND).unwrap();
    }
    assert_eq!(ex.settle(3 * SECOND).amounts, [0; 4]);
    let both = |first: Mode| {
        let (mut ex, reserved) = let_go(first, CHAT, &body, &["openai_k1"]);
        answer(&mut ex, "openai", true, 2, End::Silence);
        (ex.settle(3 * SECOND).amounts, reserved)
    };
    let ((strict, reserved), (elastic, _)) = (both(Mode::Strict), both(Mode::Elastic));
    assert_eq!(strict, reserved);
    assert!(elastic.iter().zip(&strict).all(|(elastic, strict)| elastic < strict), "{elastic:?} {strict:?}");
}
