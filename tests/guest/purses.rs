//! What a worker holds: how it comes to it, how it stays in it, and what happens while it does not.

use prost::Message as _;
use sidecar_api::v1;
use sidecar_api::v1::account::Counted;

use crate::bank::{Bank, account};
use crate::fixture::{CONFIG, Dialect, LANES, chat, healthy};
use crate::gateway::Gateway;
use crate::host::guest;
use crate::quota::{ticks, with};

#[test]
fn who_comes_before_the_sidecar_has_said_hello_waits_for_it() {
    let bank = Bank::new(vec![account(1, Counted::Requests, 100), account(2, Counted::Money, 1_000_000_000)]);
    let mut gateway = Gateway::start(guest(), CONFIG, LANES, None).unwrap().expect("the configuration is good");
    gateway.provider = Box::new(healthy);
    gateway.sidecar = Box::new(bank.script());
    let plan = gateway.begin(&chat(Dialect::OpenAi, "gpt", false)).unwrap();
    // Its record, the greeting, then rates, then leases: each with what came before.
    ticks(&mut gateway, 3);
    assert_eq!(gateway.complete(plan).unwrap().status(), "200");
    let books = bank.0.borrow();
    assert!(books.asked.iter().all(|asked| asked.draws.is_empty() || !asked.vm_nonce.is_empty()));
}

#[test]
fn what_runs_low_is_filled_up_before_anybody_waits() {
    let bank = Bank::new(vec![account(1, Counted::Requests, 1_000_000)]);
    let mut gateway = with(&bank, CONFIG);
    let ask = |gateway: &mut Gateway| {
        assert_eq!(gateway.exchange(&chat(Dialect::OpenAi, "gpt", false)).unwrap().status(), "200");
    };
    ask(&mut gateway);
    for _ in 0..40 {
        ask(&mut gateway);
        ticks(&mut gateway, 1);
    }
    let draws = bank.0.borrow().draws(1);
    let waited = draws.iter().filter(|draw| draw.need > 0).count();
    assert_eq!(waited, 1, "the first of all: {draws:?}");
    assert!(draws.iter().any(|draw| draw.need == 0 && draw.want > 0), "{draws:?}");
}

#[test]
fn a_sidecar_that_answers_and_grants_nothing_is_not_asked_for_ever() {
    let bank = Bank::new(vec![account(1, Counted::Requests, 100)]);
    let mut gateway = with(&bank, CONFIG);
    let mut script = bank.script();
    // Neither a lease nor a no.
    gateway.sidecar = Box::new(move |call| {
        let answer = script(call)?.ok()?;
        if call.method != sidecar_api::ADMIT {
            return Some(Ok(answer));
        }
        let mut answer = v1::AdmitResponse::decode(answer.as_slice()).unwrap();
        answer.leases.iter_mut().for_each(|lease| lease.granted = 0);
        Some(Ok(answer.encode_to_vec()))
    });
    let plan = gateway.begin(&chat(Dialect::OpenAi, "gpt", false)).unwrap();
    ticks(&mut gateway, 55);
    let outcome = gateway.complete(plan).unwrap();
    assert_eq!((outcome.status(), outcome.tries.len()), ("503", 0));
    let calls = bank.0.borrow().draws(1).len();
    assert!((2..=30).contains(&calls), "{calls} calls");
}

#[test]
fn a_limit_that_has_gone_keeps_nobody() {
    let bank = Bank::new(vec![account(1, Counted::Requests, 100)]);
    let mut gateway = with(&bank, CONFIG);
    let mut script = bank.script();
    // The record still names it.
    gateway.sidecar = Box::new(move |call| {
        let answer = script(call)?.ok()?;
        if call.method != sidecar_api::ADMIT {
            return Some(Ok(answer));
        }
        let mut answer = v1::AdmitResponse::decode(answer.as_slice()).unwrap();
        let gone =
            |lease: &mut v1::Lease| *lease = v1::Lease { account: lease.account, gone: true, ..Default::default() };
        answer.leases.iter_mut().for_each(gone);
        Some(Ok(answer.encode_to_vec()))
    });
    assert_eq!(gateway.exchange(&chat(Dialect::OpenAi, "gpt", false)).unwrap().status(), "200");
}
