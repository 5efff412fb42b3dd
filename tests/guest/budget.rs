//! What an exchange costs in host calls and memory. A call costs about as much as parsing a kilobyte: one more is a
//! decision, and its number is written down here.

use std::collections::BTreeMap;

use crate::fixture::{Dialect, Sidecar, chat, healthy, json, start, with_key};
use crate::gateway::{Answer, Gateway, Message, Seen};
use crate::host::guest;

/// The canonical exchanges, with the key's record held and the answer in four pieces: host calls of plan and attempt.
const CALLS: &[(&str, Dialect, &str, bool, usize, usize)] = &[
    ("same format", Dialect::OpenAi, "gpt", false, 12, 11),
    ("same format, streamed", Dialect::OpenAi, "gpt", true, 13, 20),
    ("other format", Dialect::OpenAi, "claude", false, 12, 11),
    ("other format, streamed", Dialect::OpenAi, "claude", true, 13, 20),
];

/// Host calls of a tick that sends settlements, its answer included.
const TICK: usize = 14;
/// Host calls of a beat: its time, and its own record read and written.
const BEAT: usize = 3;

fn in_four(seen: &Seen) -> Answer {
    match healthy(seen) {
        Answer::Whole(message) => {
            let body = message.body();
            let chunks = body.chunks(body.len().div_ceil(4)).map(<[u8]>::to_vec).collect();
            Answer::Whole(Message { chunks, ..message })
        }
        other => other,
    }
}

/// A gateway that holds the key's record, the sidecar's nonce and the rates of its models, and has just polled.
fn warm() -> Gateway {
    let mut gateway = start(guest(), None).unwrap().expect("the configuration is good");
    gateway.provider = Box::new(in_four);
    for model in ["gpt", "claude"] {
        gateway.exchange(&chat(Dialect::OpenAi, model, false)).unwrap();
        settle(&mut gateway);
    }
    gateway.exchange(&chat(Dialect::OpenAi, "gpt", false)).unwrap();
    settle(&mut gateway);
    gateway
}

fn settle(gateway: &mut Gateway) {
    for _ in 0..3 {
        gateway.vm.world().now += 200_000_000;
        gateway.tick().unwrap();
    }
}

#[test]
fn an_exchange_makes_no_host_call_that_is_not_written_down() {
    let mut gateway = warm();
    for (name, dialect, model, stream, plan, attempt) in CALLS {
        gateway.vm.world().counts.clear();
        let outcome = gateway.exchange(&chat(*dialect, model, *stream)).unwrap();
        assert_eq!((outcome.status(), outcome.whole), ("200", true), "{name}");
        let counts = std::mem::take(&mut gateway.vm.world().counts);
        let mut made: BTreeMap<&str, usize> = BTreeMap::new();
        counts.iter().for_each(|((role, _), calls)| *made.entry(role).or_default() += calls);
        assert_eq!(made, BTreeMap::from([("plan", *plan), ("attempt", *attempt)]), "{name}: {counts:?}");
        let waits = counts.keys().any(|(_, import)| *import == "proxy_grpc_call");
        assert!(!waits, "{name}: the sidecar was asked although the record is held");
    }
}

/// A good answer is noted only where there is something to forget.
#[test]
fn a_lane_that_has_failed_costs_a_swap_of_its_record_and_then_nothing() {
    let mut gateway = warm();
    let plan_calls = |gateway: &mut Gateway, status: &str, failing: bool| {
        let failed = move |seen: &Seen| if failing { Answer::Whole(json("503", "{}")) } else { in_four(seen) };
        gateway.provider = Box::new(failed);
        gateway.vm.world().counts.clear();
        assert_eq!(gateway.exchange(&chat(Dialect::OpenAi, "claude", false)).unwrap().status(), status);
        let counts = std::mem::take(&mut gateway.vm.world().counts);
        counts.iter().filter(|((role, _), _)| *role == "plan").map(|(_, calls)| calls).sum::<usize>()
    };
    let well = plan_calls(&mut gateway, "200", false);
    plan_calls(&mut gateway, "503", true);
    assert_eq!(plan_calls(&mut gateway, "200", false), well + 2, "it is read and written once more");
    assert_eq!(plan_calls(&mut gateway, "200", false), well);
}

#[test]
fn a_hundred_settlements_leave_in_one_call() {
    let mut gateway = warm();
    for _ in 0..100 {
        gateway.exchange(&chat(Dialect::OpenAi, "gpt", false)).unwrap();
    }
    let sidecar = Sidecar::default();
    gateway.sidecar = Box::new(sidecar.clone().script());
    gateway.vm.world().counts.clear();
    gateway.vm.world().now += 200_000_000;
    gateway.tick().unwrap();
    let counts = std::mem::take(&mut gateway.vm.world().counts);
    assert_eq!(sidecar.seen.borrow().settled.len(), 100);
    assert_eq!(counts.values().sum::<usize>(), TICK + BEAT, "{counts:?}");
}

/// The memory of a VM never shrinks, so what a thousand exchanges need must do for ten thousand.
#[test]
fn memory_does_not_grow_with_exchanges() {
    let mut gateway = warm();
    let mut exchanges = |from: usize, to: usize| {
        for n in from..to {
            let (_, dialect, model, stream, ..) = CALLS[n % CALLS.len()];
            gateway.exchange(&chat(dialect, model, stream)).unwrap();
            if n % 64 == 0 {
                settle(&mut gateway);
            }
        }
        gateway.vm.pages()
    };
    let (early, late) = (exchanges(0, 1_000), exchanges(1_000, 10_000));
    println!("{late} pages");
    assert_eq!(early, late, "pages after 1,000 and after 10,000 exchanges");
}

/// Clients with keys nobody knows, who leave before the sidecar has answered, or do not.
#[test]
fn memory_does_not_grow_with_strangers() {
    let mut gateway = warm();
    let mut strangers = |from: usize, to: usize| {
        for n in from..to {
            let request = with_key(Dialect::OpenAi, "gpt", false, &format!("sk-{n}"));
            if n % 2 == 0 {
                assert!(gateway.exchange(&request).unwrap().tries.is_empty());
            } else {
                let plan = gateway.begin(&request).unwrap();
                gateway.leave(plan).unwrap();
            }
            if n % 64 == 0 {
                settle(&mut gateway);
            }
        }
        let world = gateway.vm.world();
        let shared: usize = world.shared.values().map(|(value, _)| value.len()).sum();
        (gateway.vm.pages(), shared)
    };
    let (early, late) = (strangers(0, 16_000), strangers(16_000, 48_000));
    println!("{late:?} pages and bytes shared");
    assert_eq!(early.0, late.0, "pages after 16,000 and after 48,000 strangers");
    assert!(late.1 <= early.1 * 2, "bytes of shared data: {} and then {}", early.1, late.1);
}
