//! What tries cost and accounts are charged, by what became of them.

use std::rc::Rc;

use engine::config::schema::FailedTries;
use engine::config::snapshot::Snapshot;
use engine::exchange::{Answer, Exchange, Terms};
use engine::govern::price::{Rates, Service, Tier};
use engine::govern::size::Shape;
use engine::govern::{Account, Candidate, Counted, Decision, Exhausted, Governor, Limit, Mode, Rated, Standing};
use serde_json::json;

use crate::support::{CHAT, SECOND, exchange, pairs};

const BODY: &[u8] = br#"{"model": "m", "max_tokens": 100, "messages": [{"role": "user", "content": "hello"}]}"#;
const STREAM: &[u8] = br#"{"model": "m", "max_tokens": 100, "stream": true, "messages": []}"#;
/// Nano-dollars of a token, in and out.
const RATES: (u64, u64) = (2, 10);

fn snapshot(failed: FailedTries) -> Rc<Snapshot> {
    let config = json!({
        "version": 1,
        "providers": {
            "openai": {"keys": [{"name": "k1", "models": ["*"]}]},
            "groq": {"keys": [{"name": "k1", "models": ["*"]}]}
        }
    });
    let mut snapshot = engine::config::load(config).unwrap_or_else(|faults| panic!("{faults:?}")).snapshot;
    snapshot.govern.failed_tries = failed;
    Rc::new(snapshot)
}

fn rated(provider: &str) -> Rc<Rated> {
    let tier = Tier { input: RATES.0 * 1000, output: RATES.1 * 1000, ..Tier::default() };
    let rates = Rates { standard: vec![tier], ..Rates::default() };
    Rc::new(Rated { provider: provider.to_owned(), model: "m".to_owned(), rates, known: true })
}

fn account(id: u64, counted: Counted, mode: Mode, provider: Option<&str>) -> Account {
    let limit = Limit { counted, most: 1_000_000, window: None, mode, exhausted: Exhausted::Block };
    Account { id, scope: String::new(), limit, provider: provider.map(str::to_owned), of_pool: None }
}

/// All that can be counted, and the money of one provider.
const COUNTED: [Counted; 6] = [
    Counted::Requests,
    Counted::InputTokens,
    Counted::OutputTokens,
    Counted::TotalTokens,
    Counted::Money,
    Counted::Concurrent,
];

/// A request to both providers that was let go, under elastic limits.
fn governed(snapshot: &Rc<Snapshot>, body: &[u8]) -> Exchange {
    under(Mode::Elastic, snapshot, body)
}

fn under(mode: Mode, snapshot: &Rc<Snapshot>, body: &[u8]) -> Exchange {
    let mut ex = exchange(snapshot, CHAT, body, &["openai_k1", "groq_k1"]);
    let mut accounts: Vec<_> =
        COUNTED.into_iter().zip(1..).map(|(counted, id)| account(id, counted, mode, None)).collect();
    accounts.push(account(7, Counted::Money, mode, Some("groq")));
    let shape = Shape::of(&ex.scan, body);
    let rated = vec![rated("openai"), rated("groq")];
    let mut governor = Governor::new(Rc::from(accounts));
    let tries: Vec<_> = rated
        .iter()
        .map(|one| {
            let size = shape.at(Some(&one.rates));
            Candidate::new(&one.provider, Some(one), &size, Service::default(), snapshot.govern.unknown_price)
        })
        .collect();
    assert_eq!(governor.decide(&tries, |_, _| Standing::Fits), Decision::Go);
    ex.terms = Terms { rated, shape: Some(shape), service: Service::default() };
    ex.governor = Some(governor);
    ex
}

fn answer(ex: &mut Exchange, cluster: &str, status: &str, kind: &str, body: &[u8], end: bool) {
    ex.begin(cluster, SECOND).unwrap();
    let head = pairs(&[(":status", status), ("content-type", kind)]);
    let (mut answer, _) = Answer::head(ex, &head, false, SECOND).unwrap();
    answer.body(ex, body, end, 2 * SECOND);
}

const OK: &[u8] = br#"{"id": "x", "object": "chat.completion", "created": 1, "model": "m", "choices": [{"index": 0, "message":
    {"role": "assistant", "content": "hi"}, "finish_reason": "stop"}], "usage": {"prompt_tokens": 9, "completion_tokens": 4}}"#;

/// As `COUNTED`, then the money of one provider.
fn amounts(ex: &Exchange) -> Vec<u64> {
    ex.settle(3 * SECOND).amounts
}

#[test]
fn what_was_answered_counts_as_reported() {
    let mut ex = governed(&snapshot(FailedTries::Charge), BODY);
    answer(&mut ex, "openai_k1", "200", "application/json", OK, true);
    let cost = 9 * RATES.0 + 4 * RATES.1;
    assert_eq!(amounts(&ex), [1, 9, 4, 13, cost, 0, 0]);
    assert_eq!(ex.settle(3 * SECOND).tries[0].cost, Some(cost));
    assert_eq!(ex.cost(3 * SECOND), Some(cost));
}

#[test]
fn who_was_never_asked_takes_nothing() {
    let ex = governed(&snapshot(FailedTries::Charge), BODY);
    assert_eq!(amounts(&ex), [0; 7]);
}

#[test]
fn an_error_is_not_billed_and_the_try_after_it_is() {
    let mut ex = governed(&snapshot(FailedTries::Charge), BODY);
    answer(&mut ex, "openai_k1", "503", "application/json", b"{}", true);
    answer(&mut ex, "groq_k1", "200", "application/json", OK, true);
    let cost = 9 * RATES.0 + 4 * RATES.1;
    assert_eq!(amounts(&ex), [1, 9, 4, 13, cost, 0, cost]);
    assert_eq!(ex.settle(3 * SECOND).tries[0].cost, Some(0));
}

#[test]
fn what_was_no_answer_takes_no_more_than_was_reserved_for_a_further_try() {
    let mut ex = governed(&snapshot(FailedTries::Charge), BODY);
    let reserved: Vec<u64> = ex.governor.as_ref().unwrap().needs().iter().map(|(_, amount)| *amount).collect();
    let page = [b"<html>".as_slice(), &[b'x'; 10_000]].concat();
    answer(&mut ex, "openai_k1", "200", "text/html", &page, true);
    let longest = String::from_utf8_lossy(OK).replace("tokens\": 4", "tokens\": 100");
    answer(&mut ex, "groq_k1", "200", "application/json", longest.as_bytes(), true);
    let settled = ex.settle(3 * SECOND);
    let size = ex.terms.shape.unwrap().at(Some(&ex.terms.rated[0].rates));
    assert_eq!(settled.tries[0].billed, None);
    assert_eq!(settled.tries[0].cost, Some(size.input_expected * RATES.0), "its prompt, and nothing of the page");
    assert_eq!(settled.amounts[2], 100);
    assert!(
        settled.amounts.iter().zip(&reserved).all(|(used, held)| used <= held),
        "{:?} {reserved:?}",
        settled.amounts
    );
}

#[test]
fn a_try_without_an_answer_is_charged_its_prompt_or_refunded() {
    for (failed, prompt) in [(FailedTries::Charge, true), (FailedTries::Refund, false)] {
        let mut ex = governed(&snapshot(failed), BODY);
        ex.begin("openai_k1", SECOND).unwrap();
        let size = ex.terms.shape.unwrap().at(Some(&ex.terms.rated[0].rates));
        let input = if prompt { size.input_expected } else { 0 };
        assert!(!prompt || input > 0 && input <= size.input_worst.unwrap());
        assert_eq!(amounts(&ex), [1, input, 0, input, input * RATES.0, 0, 0], "{failed:?}");
    }
}

#[test]
fn what_a_client_has_seen_is_charged_whatever_is_refunded() {
    let event = br#"data: {"id":"x","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{"content":"hello"},"finish_reason":null}]}

"#;
    for failed in [FailedTries::Charge, FailedTries::Refund] {
        let mut ex = governed(&snapshot(failed), STREAM);
        answer(&mut ex, "openai_k1", "200", "text/event-stream", event, false);
        // The client leaves.
        let settled = ex.settle(3 * SECOND);
        assert_eq!(settled.tries[0].billed, None);
        assert!(settled.amounts[1] > 0 && settled.amounts[2] > 0 && settled.tries[0].cost > Some(0), "{settled:?}");
    }
}

#[test]
fn where_nobody_knows_no_more_is_charged_than_was_reserved() {
    let mut ex = governed(&snapshot(FailedTries::Charge), STREAM);
    let event = br#"data: {"id":"x","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{"content":"hello"},"finish_reason":null}]}

"#;
    // By its bytes it would be more tokens than the request allows.
    answer(&mut ex, "openai_k1", "200", "text/event-stream", &event.repeat(200), false);
    let size = ex.terms.shape.unwrap().at(Some(&ex.terms.rated[0].rates));
    let settled = ex.settle(3 * SECOND);
    assert_eq!(settled.amounts[2], 100, "the answer's bound");
    let worst = ex.terms.rated[0].worst_cost(&size, Service::default(), ex.snapshot.govern.unknown_price);
    assert!(settled.tries[0].cost <= worst, "{settled:?}");
}

#[test]
fn without_rates_nobody_says_what_it_cost() {
    let mut ex = exchange(&snapshot(FailedTries::Charge), CHAT, BODY, &["openai_k1"]);
    answer(&mut ex, "openai_k1", "200", "application/json", OK, true);
    assert_eq!((ex.cost(3 * SECOND), ex.settle(3 * SECOND).tries[0].cost), (None, None));
    assert_eq!(amounts(&ex), Vec::<u64>::new());
}
