//! Limits in time that must not get into each other's way.

use std::time::{Duration, Instant};

use tests::ledger::Outcome;
use tests::mock::Fault;
use tests::said::Said;

use crate::world::{ANTHROPIC_LANE, CASES, OPENAI_LANE, TWO_VENDORS, World};

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_is_older_than_its_first_limit_is_still_ended_when_it_stalls() {
    let world = World::start(&format!("{TWO_VENDORS}timeouts: {{first_content: 1s, idle: 2s}}\n")).await;
    for lane in [OPENAI_LANE, ANTHROPIC_LANE] {
        let mut events = lane.vendor.said(&["So ", "far ", "and ", "no ", "farther."], (1, 1));
        events.pop();
        for case in CASES.into_iter().filter(|case| case.stream) {
            let fault = Fault::Says { events: events.clone(), ms: 400, hang: true };
            world.mock.host(lane.host).fault(fault.next(1));
            let begun = Instant::now();
            let model = if lane.host == OPENAI_LANE.host { "openai/gpt-4o" } else { "anthropic/claude-3-5-haiku" };
            let answer = tokio::time::timeout(Duration::from_secs(20), world.send(&case.call(model, "stalls"))).await;
            let answer = answer.unwrap_or_else(|_| panic!("{case:?} {}: it hangs", lane.provider));
            assert!(
                answer.text().contains("farther"),
                "{case:?} {}: {:?} {}",
                lane.provider,
                begun.elapsed(),
                answer.text()
            );
            assert!(Said::read(case.dialect, true, &answer).is_err(), "{case:?}: it never looks whole");
        }
    }
    let ledger = world.ledger();
    assert_eq!(ledger.wait_for(4).await.unwrap(), 4);
    for settled in ledger.all().unwrap() {
        assert!(settled.tries[0].outcome == Outcome::Cut && !settled.client_gone, "{settled:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_unary_answer_may_take_longer_than_a_stream_may_be_silent() {
    let world = World::start(&format!("{TWO_VENDORS}timeouts: {{idle: 1s, complete: 20s}}\n")).await;
    for (lane, model) in [(OPENAI_LANE, "gpt-4o"), (ANTHROPIC_LANE, "claude-3-5-haiku")] {
        for case in CASES.into_iter().filter(|case| !case.stream) {
            world.mock.host(lane.host).fault(Fault::Late { ms: 2500 }.next(1));
            let answer = world.send(&case.call(&format!("{}/{model}", lane.provider), "slowly")).await;
            lane.check_answer(case, &answer, model, "slowly");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_of_keep_alives_ends_when_a_whole_answer_would_be_due() {
    let limits = "timeouts: {first_content: 2s, complete: 3s, idle: 2s}\nhold: {max: 500ms}\n";
    let world = World::start(&format!("{TWO_VENDORS}{limits}")).await;
    for (lane, model) in [(OPENAI_LANE, "gpt-4o"), (ANTHROPIC_LANE, "claude-3-5-haiku")] {
        for case in CASES.into_iter().filter(|case| case.stream) {
            let fault = Fault::Says { events: vec![": working\n\n".to_owned(); 1000], ms: 100, hang: true };
            world.mock.host(lane.host).fault(fault.next(1));
            let call = case.call(&format!("{}/{model}", lane.provider), "drones");
            let answer = tokio::time::timeout(Duration::from_secs(40), world.send(&call)).await;
            let answer = answer.unwrap_or_else(|_| panic!("{case:?} {}: it hangs", lane.provider));
            assert!(Said::read(case.dialect, true, &answer).is_err(), "{case:?}: it never looks whole");
        }
    }
}
