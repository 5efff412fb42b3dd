//! Limits as the worker keeps them: what waits, what is refused, what is settled, and what it costs the hot path.

use engine::exchange::dollars;
use prost::Message as _;
use sidecar_api::v1;
use sidecar_api::v1::account::{Counted, OnExhausted};

use crate::bank::{Bank, RATES, WINDOW, account, ruled};
use crate::fixture::{CONFIG, Dialect, LANES, chat, healthy, json};
use crate::gateway::{Answer, Gateway, Outcome, Reply};
use crate::host::guest;
use crate::host::world::Call;

const SECOND: u64 = 1_000_000_000;
/// What an answer of the fixture uses: tokens in, tokens out.
const USED: (u64, u64) = (9, 2);
const COST: u64 = USED.0 * RATES.0 + USED.1 * RATES.1;

pub fn with(bank: &Bank, config: &str) -> Gateway {
    let mut gateway = Gateway::start(guest(), config, LANES, None).unwrap().expect("the configuration is good");
    gateway.provider = Box::new(healthy);
    gateway.sidecar = Box::new(bank.script());
    // It says hello.
    ticks(&mut gateway, 2);
    gateway
}

fn under(accounts: Vec<v1::Account>) -> (Gateway, Bank) {
    let bank = Bank::new(accounts);
    (with(&bank, CONFIG), bank)
}

pub fn ticks(gateway: &mut Gateway, count: u64) {
    for _ in 0..count {
        gateway.vm.world().now += SECOND / 10;
        gateway.tick().unwrap();
    }
}

fn ask(gateway: &mut Gateway, dialect: Dialect) -> Outcome {
    gateway.exchange(&chat(dialect, "gpt", false)).unwrap()
}

/// Requests of a key that has something left of each of its limits.
pub fn within(gateway: &mut Gateway) -> wasmtime::Result<Vec<Outcome>> {
    let all = [Counted::Requests, Counted::TotalTokens, Counted::Money, Counted::Concurrent];
    let accounts = all.into_iter().zip(1..).map(|(counted, id)| account(id, counted, SECOND)).collect();
    play(gateway, accounts)
}

/// Requests of a key that has nothing left of one.
pub fn beyond(gateway: &mut Gateway) -> wasmtime::Result<Vec<Outcome>> {
    play(gateway, vec![account(1, Counted::Money, SECOND), account(2, Counted::Requests, 0)])
}

fn play(gateway: &mut Gateway, accounts: Vec<v1::Account>) -> wasmtime::Result<Vec<Outcome>> {
    gateway.sidecar = Box::new(Bank::new(accounts).script());
    let mut outcomes = Vec::new();
    for dialect in [Dialect::OpenAi, Dialect::Anthropic] {
        gateway.tick()?;
        outcomes.push(gateway.exchange(&chat(dialect, "gpt", false))?);
        gateway.vm.world().now += SECOND;
    }
    gateway.tick()?;
    Ok(outcomes)
}

pub fn beyond_ends(outcomes: &[Outcome]) {
    for outcome in outcomes {
        assert_eq!((outcome.status(), outcome.tries.len()), ("429", 0), "{}", body(outcome));
    }
}

fn body(outcome: &Outcome) -> String {
    String::from_utf8(outcome.client.body()).unwrap()
}

#[test]
fn so_many_requests_and_no_more_and_the_next_is_told_when() {
    let (mut gateway, bank) = under(vec![account(1, Counted::Requests, 2)]);
    for _ in 0..2 {
        assert_eq!(ask(&mut gateway, Dialect::OpenAi).status(), "200");
    }
    ticks(&mut gateway, 3);
    let refused = ask(&mut gateway, Dialect::OpenAi);
    assert_eq!((refused.status(), refused.tries.len()), ("429", 0));
    assert!(body(&refused).contains("2 of 2 requests a month (1M)"), "{}", body(&refused));
    assert!(body(&refused).contains(r#""code":"rate_limit_exceeded""#), "{}", body(&refused));
    let header = |name: &str| refused.client.header(name).to_owned();
    assert_eq!(header("x-attache-limit"), "key known;requests;1M");
    assert_eq!([header("x-ratelimit-limit-requests"), header("x-ratelimit-remaining-requests")], ["2", "0"]);
    assert!(header("retry-after").parse::<u64>().is_ok_and(|seconds| (1..=60).contains(&seconds)), "{refused:?}");
    ticks(&mut gateway, 3);
    let books = bank.0.borrow();
    assert_eq!((books.settled.len(), books.charged(1)), (2, 2));
    assert!(books.settled.iter().flat_map(|settled| &settled.charges).all(|charge| charge.window == WINDOW));
}

#[test]
fn a_budget_is_charged_to_the_nano_dollar_and_told_in_both_dialects() {
    let (mut gateway, bank) = under(vec![account(1, Counted::Money, 4000)]);
    let first = ask(&mut gateway, Dialect::OpenAi);
    assert_eq!((first.status(), first.client.header("x-attache-cost")), ("200", dollars(COST).as_str()));
    while ask(&mut gateway, Dialect::OpenAi).status() == "200" {
        ticks(&mut gateway, 3);
    }
    // Less is left than a request of this length may cost.
    ticks(&mut gateway, 15);
    for (dialect, status, word) in
        [(Dialect::OpenAi, "429", "insufficient_quota"), (Dialect::Anthropic, "402", "billing_error")]
    {
        let refused = ask(&mut gateway, dialect);
        assert_eq!((refused.status(), refused.tries.len()), (status, 0), "{}", body(&refused));
        assert!(body(&refused).contains(word), "{}", body(&refused));
        assert_eq!(refused.client.header("x-should-retry"), "false");
    }
    let books = bank.0.borrow();
    assert!(books.settled.iter().all(|settled| settled.tries[0].cost == Some(COST)), "{:?}", books.settled);
    assert_eq!(books.charged(1), COST * books.settled.len() as u64);
    let asked: Vec<_> = books.asked.iter().flat_map(|asked| &asked.rates).map(|name| name.model.as_str()).collect();
    assert_eq!(asked, ["gpt-4o-mini"], "once");
}

/// The rule of the hot path: what is held is not asked for.
#[test]
fn with_everything_held_limits_cost_no_call_of_any_kind() {
    let counts = |accounts: Vec<v1::Account>| {
        let (mut gateway, _) = under(accounts);
        assert_eq!(ask(&mut gateway, Dialect::OpenAi).status(), "200");
        ticks(&mut gateway, 3);
        gateway.vm.world().counts.clear();
        assert_eq!(ask(&mut gateway, Dialect::OpenAi).status(), "200");
        std::mem::take(&mut gateway.vm.world().counts)
    };
    let limits = || {
        vec![
            account(1, Counted::Requests, 1000),
            account(2, Counted::Money, SECOND),
            account(3, Counted::TotalTokens, SECOND),
        ]
    };
    let mut free = counts(Vec::new());
    assert!(!free.keys().any(|(_, import)| *import == "proxy_grpc_call"), "{free:?}");
    assert_eq!(counts(limits()), free, "a key under limits makes the host calls of one without");
    // Whoever takes a slot makes sure that no other worker has taken this one for dead: decision 22.
    *free.entry(("plan".to_owned(), "proxy_get_shared_data")).or_default() += 1;
    let slots = [limits(), vec![account(4, Counted::Concurrent, 100)]].concat();
    assert_eq!(counts(slots), free, "a slot costs one look");
}

/// Answers all but what asks for leases, which `otherwise` does.
fn but_leases(bank: &Bank, otherwise: fn() -> Reply) -> impl FnMut(&Call) -> Reply + use<> {
    let mut script = bank.script();
    move |call| {
        let draws = call.method == sidecar_api::ADMIT
            && !v1::AdmitRequest::decode(call.message.as_slice()).unwrap().draws.is_empty();
        if draws { otherwise() } else { script(call) }
    }
}

#[test]
fn several_wait_for_one_answer_and_who_asked_may_leave() {
    let (mut gateway, bank) = under(vec![account(1, Counted::Requests, 100), account(2, Counted::Money, SECOND)]);
    gateway.sidecar = Box::new(but_leases(&bank, || None));
    let request = chat(Dialect::OpenAi, "gpt", false);
    let mut waiting: Vec<u32> = (0..4).map(|_| gateway.begin(&request).unwrap()).collect();
    // Their record comes, and with it the first of them asks for leases.
    ticks(&mut gateway, 1);
    let calls = |gateway: &mut Gateway| gateway.vm.world().calls.len();
    assert_eq!(calls(&mut gateway), 1, "one call for all of them");
    gateway.leave(waiting.remove(0)).unwrap();
    // Envoy drops its call with it.
    gateway.vm.world().calls.clear();
    gateway.sidecar = Box::new(bank.script());
    ticks(&mut gateway, 1);
    for plan in waiting {
        assert_eq!(gateway.complete(plan).unwrap().status(), "200");
    }
    ticks(&mut gateway, 3);
    let books = bank.0.borrow();
    assert_eq!((books.settled.len(), books.charged(1)), (3, 3));
    assert_eq!(books.draws(1).len(), 1, "asked again once, for all that wait: {:?}", books.draws(1));
}

#[test]
fn a_store_that_cannot_write_is_an_absent_sidecar_and_the_configuration_decides() {
    let allow = CONFIG.replace(r#""sidecar": {"#, r#""sidecar": {"on_failure": "allow", "#);
    for (config, status) in [(CONFIG, "503"), (allow.as_str(), "200")] {
        let bank = Bank::new(vec![account(1, Counted::Requests, 100)]);
        let mut gateway = with(&bank, config);
        gateway.sidecar = Box::new(but_leases(&bank, || Some(Err(14))));
        let plan = gateway.begin(&chat(Dialect::OpenAi, "gpt", false)).unwrap();
        // As long as a restart may take.
        ticks(&mut gateway, 15);
        let outcome = gateway.complete(plan).unwrap();
        assert_eq!(outcome.status(), status, "{}", body(&outcome));
        gateway.sidecar = Box::new(bank.script());
        ticks(&mut gateway, 4);
        // What went on in spite of it is charged, to whatever window it is.
        let books = bank.0.borrow();
        let charges: Vec<_> = books.settled.iter().flat_map(|settled| &settled.charges).copied().collect();
        let expected = v1::Charge { account: 1, window: 0, amount: 1 };
        assert_eq!(charges, vec![expected; usize::from(status == "200")]);
    }
}

#[test]
fn an_answer_that_is_late_is_for_the_next_request() {
    let (mut gateway, bank) = under(vec![account(1, Counted::Requests, 100)]);
    gateway.sidecar = Box::new(but_leases(&bank, || None));
    let plan = gateway.begin(&chat(Dialect::OpenAi, "gpt", false)).unwrap();
    ticks(&mut gateway, 1);
    assert!(gateway.vm.context(plan).local.is_none(), "it waits");
    ticks(&mut gateway, 55);
    assert!(gateway.vm.context(plan).local.is_some(), "not for ever");
    gateway.sidecar = Box::new(bank.script());
    ticks(&mut gateway, 1);
    let needs = bank.0.borrow().draws(1).iter().filter(|draw| draw.need > 0).count();
    assert!(needs > 0, "now it is answered");
    let outcome = gateway.complete(plan).unwrap();
    assert_eq!((outcome.status(), outcome.tries.len()), ("503", 0), "{}", body(&outcome));
    // Whoever comes now finds the lease.
    gateway.sidecar = Box::new(but_leases(&bank, || panic!("it is asked for again")));
    assert_eq!(ask(&mut gateway, Dialect::OpenAi).status(), "200");
}

#[test]
fn a_slot_is_free_again_whatever_became_of_its_request() {
    let (mut gateway, bank) = under(vec![account(1, Counted::Concurrent, 1)]);
    let request = chat(Dialect::OpenAi, "gpt", false);
    assert_eq!(gateway.exchange(&request).unwrap().status(), "200");
    // It is planned and holds the slot; its client leaves before any try.
    let held = gateway.begin(&request).unwrap();
    let refused = ask(&mut gateway, Dialect::Anthropic);
    assert_eq!((refused.status(), refused.client.header("retry-after")), ("429", "1"), "{}", body(&refused));
    assert_eq!(refused.client.header("x-attache-limit"), "key known;concurrent;");
    gateway.leave(held).unwrap();
    gateway.vm.world().now += 2 * SECOND;
    assert_eq!(gateway.exchange(&request).unwrap().status(), "200");
    gateway.provider = Box::new(|_| Answer::Refused);
    assert_eq!(gateway.exchange(&request).unwrap().status(), "503");
    gateway.provider = Box::new(healthy);
    assert_eq!(gateway.exchange(&request).unwrap().status(), "200");
    ticks(&mut gateway, 3);
    assert_eq!(bank.0.borrow().charged(1), 0, "slots are not spent");
}

#[test]
fn what_is_refused_or_left_alone_takes_nothing() {
    let (mut gateway, bank) =
        under(vec![account(1, Counted::Requests, 1), account(2, Counted::TotalTokens, 1_000_000)]);
    let request = chat(Dialect::OpenAi, "gpt", false);
    let plan = gateway.begin(&request).unwrap();
    gateway.leave(plan).unwrap();
    let nobody = chat(Dialect::OpenAi, "nobody-serves-this", false);
    assert_eq!(gateway.exchange(&nobody).unwrap().status(), "404");
    // The only request is still there.
    let outcome = gateway.exchange(&request).unwrap();
    assert_eq!(outcome.status(), "200", "{}", body(&outcome));
    ticks(&mut gateway, 3);
    let books = bank.0.borrow();
    assert_eq!([books.charged(1), books.charged(2)], [1, USED.0 + USED.1]);
}

#[test]
fn a_failed_try_is_charged_its_prompt_and_one_that_was_refused_nothing() {
    let (mut gateway, bank) = under(vec![account(1, Counted::InputTokens, 1_000_000)]);
    gateway.provider = Box::new(|seen| match seen.lane.as_str() {
        "openai_k1" => Answer::Whole(json("503", r#"{"error": {"message": "overloaded"}}"#)),
        _ => healthy(seen),
    });
    assert_eq!(ask(&mut gateway, Dialect::OpenAi).status(), "200");
    ticks(&mut gateway, 3);
    assert_eq!(bank.0.borrow().charged(1), USED.0, "an error is not billed");
    gateway.provider = Box::new(|seen| if seen.lane == "openai_k1" { Answer::Refused } else { healthy(seen) });
    assert_eq!(ask(&mut gateway, Dialect::OpenAi).status(), "200");
    ticks(&mut gateway, 3);
    let charged = bank.0.borrow().charged(1) - USED.0;
    assert!(charged > USED.0, "nobody knows whether the provider worked on it: {charged}");
}

#[test]
fn other_models_stand_in_and_a_shadow_keeps_nobody() {
    let money = |rule| ruled(rule, account(1, Counted::Requests, 1));
    let list = v1::Account { downgrade: vec!["claude".to_owned()], ..money(OnExhausted::Downgrade) };
    let (mut gateway, bank) = under(vec![list]);
    assert_eq!(ask(&mut gateway, Dialect::OpenAi).tries[0].lane, "openai_k1");
    let second = ask(&mut gateway, Dialect::OpenAi);
    assert_eq!((second.status(), second.tries[0].lane.as_str()), ("200", "anthropic_k1"));
    assert_eq!(second.client.header("x-attache-substituted"), "gpt->claude-3-5-haiku-latest");
    ticks(&mut gateway, 3);
    let told = |bank: &Bank| {
        let books = bank.0.borrow();
        books.settled.iter().map(|settled| (settled.exceeded.clone(), settled.downgraded)).collect::<Vec<_>>()
    };
    assert_eq!(told(&bank), [(vec![], false), (vec![1], true)]);
    let (mut gateway, bank) = under(vec![money(OnExhausted::Shadow)]);
    for _ in 0..2 {
        assert_eq!(ask(&mut gateway, Dialect::OpenAi).tries[0].lane, "openai_k1");
    }
    ticks(&mut gateway, 3);
    assert_eq!(told(&bank), [(vec![], false), (vec![1], false)]);
    assert_eq!(bank.0.borrow().charged(1), 2);
}

#[test]
fn a_provider_that_is_used_up_is_left_out_and_a_model_without_a_price_too() {
    let own = v1::Account { provider: "openai".to_owned(), ..account(1, Counted::Requests, 1) };
    let (mut gateway, _) = under(vec![own]);
    let both = chat(Dialect::OpenAi, "both", false);
    let lanes = [0, 1].map(|_| gateway.exchange(&both).unwrap().tries[0].lane.clone());
    assert_eq!(lanes, ["openai_k1", "anthropic_k1"]);
    let refused = ask(&mut gateway, Dialect::OpenAi);
    assert_eq!((refused.status(), refused.tries.len()), ("429", 0), "{}", body(&refused));

    let (mut gateway, bank) = under(vec![account(1, Counted::Money, SECOND)]);
    bank.0.borrow_mut().unpriced = vec!["gpt-4o-mini".to_owned()];
    assert_eq!(gateway.exchange(&both).unwrap().tries[0].lane, "anthropic_k1");
    let refused = ask(&mut gateway, Dialect::OpenAi);
    assert_eq!(refused.status(), "400");
    assert!(body(&refused).contains("costs"), "{}", body(&refused));
}

#[test]
fn a_strict_limit_asks_for_a_bound() {
    let (mut gateway, _) = under(vec![account(1, Counted::OutputTokens, 1_000_000)]);
    let mut request = chat(Dialect::OpenAi, "gpt", false);
    let text = String::from_utf8(request.body()).unwrap().replace(r#""max_tokens": 32, "#, "");
    request.chunks = vec![text.into_bytes()];
    let refused = gateway.exchange(&request).unwrap();
    assert_eq!((refused.status(), refused.tries.len()), ("400", 0));
    assert!(body(&refused).contains(r#""param":"max_tokens""#), "{}", body(&refused));
}

#[test]
fn a_poll_tells_of_changes_without_any_request_and_leases_go_back() {
    let (mut gateway, bank) = under(vec![account(1, Counted::Requests, 100)]);
    assert_eq!(ask(&mut gateway, Dialect::OpenAi).status(), "200");
    let calls = bank.0.borrow().asked.len();
    ticks(&mut gateway, 30);
    let polls = bank.0.borrow().asked.len() - calls;
    assert!((2..=5).contains(&polls), "{polls} calls in three seconds");
    // Nobody asks for anything: what is held goes back.
    ticks(&mut gateway, 120);
    let last = *bank.0.borrow().draws(1).last().unwrap();
    assert_eq!((last.need, last.want, last.returned + 1), (0, 0, last.received), "one is spent");
    let records = |bank: &Bank| bank.0.borrow().asked.iter().filter(|asked| !asked.key_sha256.is_empty()).count();
    assert_eq!(records(&bank), 1);
    bank.0.borrow_mut().generation = 2;
    ticks(&mut gateway, 15);
    assert_eq!(ask(&mut gateway, Dialect::OpenAi).status(), "200");
    assert_eq!(records(&bank), 2, "the record is asked for again");
}

#[test]
fn a_worker_that_goes_gives_back_what_it_holds() {
    let (mut gateway, bank) = under(vec![account(1, Counted::Requests, 100)]);
    assert_eq!(ask(&mut gateway, Dialect::OpenAi).status(), "200");
    gateway.vm.drop_root(gateway.plan).unwrap();
    ticks(&mut gateway, 4);
    let last = *bank.0.borrow().draws(1).last().unwrap();
    assert_eq!(last.returned + 1, last.received, "all but what was spent: {last:?}");
    assert!(!gateway.vm.world().roots.contains_key(&gateway.plan), "and then it goes");
}
