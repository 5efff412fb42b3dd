//! The module of one worker dies under load, by a header that only the module of this story knows: everybody else has what
//! was promised.
//!
//! Does not: die by what a client may send; `hostile` sees to it that nothing does. Deaths at every moment, and workers
//! that only seem dead, are simulated (`tests/ledger/main.rs`).

use std::time::{Duration, Instant};

use serde_json::json;
use tests::client::{Answer, Call, Client, Dialect};
use tests::mock::{Fault, HostSpec};
use tests::said::Said;
use tests::stack::wasm_with_trap;

use crate::world::{ANTHROPIC, CASES, OPENAI, OPENAI_LANE, TWO_VENDORS, World, until};

/// What a victim may spend, and how much of it one request takes at most: a token is a dollar's thousandth.
const PRICES: &str = "prices: [{provider: openai, model: gpt-4o-mini, input: 1000, output: 1000, context: 128000, \
                      max_output: 1000}]\n";

async fn world(keys: &str, rendered: &[(&'static str, &'static str, &'static str)], workers: u32) -> World {
    let yaml = format!("{TWO_VENDORS}{PRICES}virtual_keys:\n{keys}");
    World::with(&[OPENAI, ANTHROPIC].map(HostSpec::tls), &yaml, |options| {
        options.wasm = Some(wasm_with_trap().unwrap());
        options.workers = workers;
        options.dies = true;
        options.sidecar = "deadline: 10s, on_failure: deny";
        options.rendered = rendered.to_vec();
    })
    .await
}

fn key(name: &str, limits: &str) -> String {
    format!("- {{name: {name}, secret: \"{{{{vk-{name}}}}}\", limits: [{limits}]}}\n")
}

fn chat(text: &str, key: &str) -> Call {
    let message = json!([{"role": "user", "content": text}]);
    let body = json!({"model": "openai/gpt-4o-mini", "messages": message, "max_tokens": 160});
    Dialect::OpenAi.call(&body).key(&format!("vk-{key}"))
}

/// Kills the module of the worker that this connection is at.
async fn trap(client: &Client, dialect: Dialect) -> Answer {
    client
        .send(&dialect.chat("openai/gpt-4o-mini", "x", false).key("vk-victim").header("x-attache-trap", "now"))
        .await
        .unwrap()
}

async fn deaths(world: &World) -> f64 {
    world.stack.metric("attache_vm_deaths_total", &[]).await.unwrap()
}

/// Whoever asked is told what to do, in the words of its own protocol.
fn told(dialect: Dialect, answer: &Answer) {
    assert_eq!(answer.status, dialect.overloaded(), "{}", answer.text());
    let (_, message) = Said::error(dialect, answer).unwrap_or_else(|e| panic!("{}: {e:#}", answer.text()));
    assert!(message.contains("send the request again"), "{message}");
    assert_eq!(answer.header("content-type"), "application/json");
    assert_eq!(answer.header("retry-after"), "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_dead_worker_held_comes_back_and_nothing_is_overrun() {
    let keys = key("victim", "{requests: 40, per: 1M}, {concurrent: 6}");
    let world = world(&keys, &[], 2).await;
    let mut served = 0;
    for round in 0..3 {
        // Both workers hold leases and slots; some of it is in use when one dies.
        for number in 0..4 {
            let client = world.stack.client();
            let answer = client.send(&chat(&format!("{round} {number}"), "victim")).await.unwrap();
            assert_eq!(answer.status, 200, "{}", answer.text());
            served += 1;
        }
        told(Dialect::OpenAi, &trap(&world.stack.client(), Dialect::OpenAi).await);
        let dead = f64::from(round + 1);
        until(&world, "the death to be reported", async || deaths(&world).await >= dead).await;
    }
    assert_eq!(deaths(&world).await, 3.0, "each is counted once");
    // What is left is there to the last, but for what requests may have used that the dead never settled.
    let (mut refused, begun) = (0, Instant::now());
    while refused < 6 && begun.elapsed() < Duration::from_secs(60) {
        let answer = world.stack.client().send(&chat("rest", "victim")).await.unwrap();
        match answer.status {
            200 => (served, refused) = (served + 1, 0),
            429 => {
                refused += 1;
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
            other => panic!("{other}: {}", answer.text()),
        }
    }
    assert!(served <= 40, "{served} of 40");
    assert!(served >= 40 - 3 * 4, "{served} of 40: leases of the dead did not come back");
    let log = world.stack.sidecar_log().unwrap();
    assert_eq!(log.matches("the module of a worker has died").count(), 3, "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn slots_of_a_dead_worker_are_free_within_seconds() {
    let world = world(&key("victim", "{concurrent: 3}"), &[], 1).await;
    world.mock.host(OPENAI).fault(Fault::Hang.always());
    let hanging: Vec<_> = (0..3)
        .map(|number| {
            let client = world.stack.client();
            tokio::spawn(async move { client.send(&chat(&format!("hangs {number}"), "victim")).await })
        })
        .collect();
    until(&world, "three that hang", async || world.received(OPENAI, "hangs").len() == 3).await;
    assert_eq!(world.send(&chat("a fourth", "victim")).await.status, 429);
    world.mock.host(OPENAI).clear();
    told(Dialect::OpenAi, &trap(&world.stack.client(), Dialect::OpenAi).await);
    let begun = Instant::now();
    until(&world, "a slot", async || world.send(&chat("afterwards", "victim")).await.status == 200).await;
    println!("slots were free after {:?}", begun.elapsed());
    hanging.iter().for_each(tokio::task::JoinHandle::abort);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_waits_or_comes_while_the_module_is_dead_is_told_in_its_dialect() {
    let idle = ("rds.yaml", "idle_timeout: 40s", "idle_timeout: 2s");
    let world = world(&key("victim", "{requests: 1000, per: 1M}"), &[idle], 1).await;
    assert_eq!(world.send(&chat("warm", "victim")).await.status, 200);
    // Two are at a provider, one of them across dialects; the answer meets a module that is dead.
    world.mock.host(OPENAI).fault(Fault::Late { ms: 3000 }.always());
    let unary = CASES.iter().filter(|case| !case.stream);
    let at_provider: Vec<_> = unary
        .map(|case| {
            let (client, case) = (world.stack.client(), *case);
            let call = case.call("openai/gpt-4o-mini", "at provider").key("vk-victim");
            (case, tokio::spawn(async move { client.send(&call).await.unwrap() }))
        })
        .collect();
    until(&world, "both at the provider", async || world.received(OPENAI, "at provider").len() == 2).await;
    // New keys wait for the sidecar, which is frozen, when the module dies.
    world.stack.freeze_sidecar(true);
    let waiting: Vec<_> = CASES
        .iter()
        .map(|case| {
            let (client, case) = (world.stack.client(), *case);
            let call = case.call("openai/gpt-4o-mini", "waits").key("vk-nobody");
            (case, tokio::spawn(async move { client.send(&call).await.unwrap() }))
        })
        .collect();
    tokio::time::sleep(Duration::from_millis(500)).await;
    told(Dialect::Anthropic, &trap(&world.stack.client(), Dialect::Anthropic).await);
    for (case, answer) in waiting {
        told(case.dialect, &answer.await.unwrap());
    }
    for (case, answer) in at_provider {
        told(case.dialect, &answer.await.unwrap());
    }
    world.mock.host(OPENAI).clear();
    world.stack.freeze_sidecar(false);
    // Twice within Envoy's second: the second time nobody is there to answer, and still there are words.
    for dialect in [Dialect::OpenAi, Dialect::Anthropic] {
        told(dialect, &trap(&world.stack.client(), dialect).await);
    }
    until(&world, "service again", async || {
        world.send(&CASES[0].call("openai/gpt-4o-mini", "again").key("vk-victim")).await.status == 200
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_of_a_dead_module_that_fall_silent_end_and_slow_answers_do_not() {
    let rendered = [
        // Envoy's limits, as short as a test can wait; the module's own stay as they are.
        ("rds.yaml", "idle_timeout: 90s", "idle_timeout: 3s"),
        ("rds.yaml", "idle_timeout: 40s", "idle_timeout: 1s"),
    ];
    let yaml = key("victim", "{requests: 1000, per: 1M}") + "timeouts: {first_content: 15s, idle: 15s}\n";
    let world = world(&yaml, &rendered, 1).await;
    let host = world.mock.host(OPENAI);
    // An answer in one piece may be silent for longer than either.
    host.fault(Fault::Late { ms: 5000 }.next(1));
    let slow = world.send(&CASES[0].call("openai/gpt-4o-mini", "slow").key("vk-victim")).await;
    OPENAI_LANE.check_answer(CASES[0], &slow, "gpt-4o-mini", "slow");
    for case in CASES.into_iter().filter(|case| case.stream) {
        host.fault(Fault::HangMidStream { after: 3 }.next(1));
        let client = world.stack.client();
        let call = case.call("openai/gpt-4o-mini", "silent").key("vk-victim");
        let mut live = client.open(&call).await.unwrap();
        assert!(live.next().await.unwrap().is_some());
        trap(&world.stack.client(), case.dialect).await;
        let ended =
            tokio::time::timeout(Duration::from_secs(60), async { while let Ok(Some(_)) = live.next().await {} });
        ended.await.unwrap_or_else(|_| panic!("{case:?} is still open"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_only_stood_still_begins_anew_and_overruns_nothing() {
    let world = world(&key("victim", "{requests: 30, per: 1M}, {concurrent: 6}"), &[], 2).await;
    for number in 0..6 {
        assert_eq!(world.stack.client().send(&chat(&format!("{number}"), "victim")).await.unwrap().status, 200);
    }
    let stall = chat("stands still", "victim").header("x-attache-trap", "stall");
    assert_eq!(world.stack.client().send(&stall).await.unwrap().status, 200, "it goes on as if nothing had been");
    until(&world, "the worker to be given up", async || deaths(&world).await >= 1.0).await;
    let (mut served, mut refused) = (7, 0);
    while refused < 6 {
        match world.stack.client().send(&chat("rest", "victim")).await.unwrap().status {
            200 => served += 1,
            429 => {
                refused += 1;
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
            other => panic!("{other}"),
        }
    }
    // A lease that was on its way may be lost; nothing is ever granted twice.
    assert!((20..=30).contains(&served), "{served} of 30");
    let settled = world.ledger().wait_for(served).await.unwrap();
    assert_eq!(settled, served, "what began before is settled under its former name");
}
