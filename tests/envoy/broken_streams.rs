//! Answers that break off after they have begun: too late to fail over, so the client must see that it is not whole.

use tests::client::{Answer, Dialect};
use tests::ledger::Outcome;
use tests::mock::Fault;
use tests::said::{Said, events};

use crate::world::{ANTHROPIC, ANTHROPIC_LANE, CASES, OPENAI_LANE, TWO_VENDORS, World};

/// Neither a good answer nor one that a client's library would take for good.
fn is_not_whole(dialect: Dialect, answer: &Answer) -> bool {
    Said::read(dialect, true, answer).is_err()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_breaks_off_never_looks_whole() {
    let world = World::start(TWO_VENDORS).await;
    for (lane, model) in [(OPENAI_LANE, "gpt-4o-mini"), (ANTHROPIC_LANE, "claude-3-5-haiku")] {
        for fault in [Fault::RstMidStream { after: 6 }, Fault::CutShort { after: 6 }] {
            for case in CASES.into_iter().filter(|case| case.stream) {
                world.mock.host(lane.host).fault(fault.clone().next(1));
                let answer = world.send(&case.call(&format!("{}/{model}", lane.provider), "cut")).await;
                assert_eq!(answer.status, 200, "{case:?} {fault:?}");
                let text = answer.text();
                assert!(is_not_whole(case.dialect, &answer), "{case:?} {fault:?} {}: {text}", lane.provider);
                // Where the end comes in good order the module sees it, and says so.
                let told = events(&answer.body()).unwrap_or_default().last().is_some_and(|(_, data)| {
                    serde_json::from_str::<serde_json::Value>(data).is_ok_and(|data| data["error"].is_object())
                });
                assert_eq!(
                    told,
                    matches!(fault, Fault::CutShort { .. }),
                    "{case:?} {fault:?} {}: {text}",
                    lane.provider
                );
            }
        }
    }
    let ledger = world.ledger();
    assert_eq!(ledger.wait_for(8).await.unwrap(), 8);
    for settled in ledger.all().unwrap() {
        let tried = &settled.tries[0];
        assert!(tried.outcome == Outcome::Cut && tried.estimated, "{settled:?}");
        assert!(tried.tokens.0 > 0 && tried.tokens.1 > 0, "{settled:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_lacks_its_end_at_the_trailers_is_cut_and_its_client_has_not_left() {
    let world = World::start(TWO_VENDORS).await;
    for (lane, model) in [(OPENAI_LANE, "gpt-4o-mini"), (ANTHROPIC_LANE, "claude-3-5-haiku")] {
        for case in CASES.into_iter().filter(|case| case.stream) {
            world.mock.host(lane.host).fault(Fault::Trailers { after: Some(6) }.next(1));
            let answer = world.send(&case.call(&format!("{}/{model}", lane.provider), "cut")).await;
            assert_eq!(answer.status, 200, "{case:?}");
            assert!(answer.broken.is_some(), "{case:?} {}: it ended in good order", lane.provider);
            assert!(is_not_whole(case.dialect, &answer), "{case:?} {}: {}", lane.provider, answer.text());
        }
    }
    let ledger = world.ledger();
    assert_eq!(ledger.wait_for(4).await.unwrap(), 4);
    for settled in ledger.all().unwrap() {
        assert!(settled.tries[0].outcome == Outcome::Cut && !settled.client_gone, "{settled:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_held_answer_that_breaks_off_is_served_by_the_next_provider() {
    // To translate a unary answer all of it is needed, so nothing has been said yet when it breaks.
    let yaml = format!(
        "{TWO_VENDORS}models:\n  both: {{candidates: [{{provider: anthropic, model: claude-3-5-haiku}}, \
         {{provider: openai, model: gpt-4o, priority: 1}}]}}\n"
    );
    let world = World::start(&yaml).await;
    for fault in [Fault::RstAfterHeaders, Fault::RstMidStream { after: 3 }] {
        world.mock.host(ANTHROPIC).fault(fault.next(1));
        let answer = world.send(&CASES[0].call("both", "held")).await;
        OPENAI_LANE.check_answer(CASES[0], &answer, "gpt-4o", "held");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_stream_is_no_failure() {
    let world = World::start(&format!("{TWO_VENDORS}timeouts: {{first_content: 1s, complete: 1s}}\n")).await;
    world.mock.host(ANTHROPIC).fault(Fault::Drip { ms: 60 }.always());
    for case in CASES.into_iter().filter(|case| case.stream) {
        let answer = world.send(&case.call("anthropic/claude-3-5-haiku", "slowly")).await;
        ANTHROPIC_LANE.check_answer(case, &answer, "claude-3-5-haiku", "slowly");
    }
}
