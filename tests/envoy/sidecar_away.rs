//! The sidecar is down: the configuration decides, and nobody waits for ever.

use std::time::Duration;

use tests::mock::HostSpec;
use tests::said::Said;

use crate::world::{ANTHROPIC, CASES, OPENAI, OPENAI_LANE, TWO_VENDORS, World};

const KEYS: &str = "virtual_keys: [{name: a, secret: \"{{vk-a}}\"}, {name: b, secret: \"{{vk-b}}\"}]\n";

async fn world(sidecar: &'static str) -> World {
    let hosts = [OPENAI, ANTHROPIC].map(HostSpec::tls);
    World::with(&hosts, &format!("{TWO_VENDORS}{KEYS}"), |options| options.sidecar = sidecar).await
}

#[tokio::test(flavor = "multi_thread")]
async fn deny_answers_as_overloaded_in_the_dialect_and_known_keys_go_on() {
    let world = world("on_failure: deny, key_ttl: 60s").await;
    let known =
        world.client.all(CASES.map(|case| case.call("openai/gpt-4o", "known").key("vk-a")).to_vec()).await.unwrap();
    assert!(known.iter().all(|answer| answer.status == 200));
    world.stack.kill_sidecar();
    for case in CASES {
        let answer = world.send(&case.call("openai/gpt-4o", "unseen").key("vk-b")).await;
        assert_eq!(answer.status, case.dialect.overloaded(), "{case:?}: {}", answer.text());
        Said::error(case.dialect, &answer).unwrap_or_else(|e| panic!("{case:?}: {e:#}"));
        // Its record is still good: the outage is none of its concern.
        let answer = world.send(&case.call("openai/gpt-4o", "still known").key("vk-a")).await;
        OPENAI_LANE.check_answer(case, &answer, "gpt-4o", "still known");
    }
    assert!(world.received(OPENAI, "unseen").is_empty());
    world.stack.start_sidecar().await.unwrap();
    // Envoy's connection comes back by itself.
    let mut served = false;
    for _ in 0..100 {
        served = world.send(&CASES[0].call("openai/gpt-4o", "back").key("vk-b")).await.status == 200;
        if served {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(served, "a key is never admitted again after an outage");
}

#[tokio::test(flavor = "multi_thread")]
async fn allow_answers_as_if_no_key_were_needed() {
    let world = world("on_failure: allow").await;
    world.stack.kill_sidecar();
    for case in CASES {
        let answer = world.send(&case.call("openai/gpt-4o", "allowed").key("vk-a")).await;
        OPENAI_LANE.check_answer(case, &answer, "gpt-4o", "allowed");
    }
    world.received(OPENAI, "allowed").iter().for_each(|record| OPENAI_LANE.check(record, "gpt-4o"));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_any_sidecar_from_the_start_open_requests_are_served() {
    let hosts = [OPENAI, ANTHROPIC].map(HostSpec::tls);
    let world = World::with(&hosts, TWO_VENDORS, |options| options.no_sidecar = true).await;
    for case in CASES {
        OPENAI_LANE.check_answer(case, &world.send(&case.call("openai/gpt-4o", "alone")).await, "gpt-4o", "alone");
    }
    // What happened meanwhile is counted as soon as somebody counts.
    world.stack.start_sidecar().await.unwrap();
    assert_eq!(world.ledger().wait_for(4).await.unwrap(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sidecar_that_never_answers_is_no_worse_than_one_that_is_gone() {
    for (sidecar, served) in
        [("on_failure: deny, deadline: 100ms, patience: 500ms", false), ("on_failure: allow, patience: 500ms", true)]
    {
        let world = world(sidecar).await;
        world.stack.freeze_sidecar(true);
        for case in CASES {
            let answer = world.send(&case.call("openai/gpt-4o", "frozen").key("vk-a")).await;
            let expected = if served { 200 } else { case.dialect.overloaded() };
            assert_eq!(answer.status, expected, "{case:?}: {}", answer.text());
        }
        world.stack.freeze_sidecar(false);
        let reached = world.received(OPENAI, "frozen").len();
        assert_eq!(reached, if served { 4 } else { 0 });
        // Those that were served are in the books as soon as there is somebody to keep them.
        assert_eq!(world.ledger().wait_for(reached as u64).await.unwrap(), reached as u64);
    }
}
