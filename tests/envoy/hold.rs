//! Streams that fail before their first content: the client sees nothing of them, but the next candidate's whole answer.

use std::time::{Duration, Instant};

use tests::client::{Answer, Dialect};
use tests::ledger::Outcome;
use tests::mock::Fault;
use tests::mock::vendor::Vendor;
use tests::said::{Said, text_so_far};

use crate::world::{ANTHROPIC_LANE, CASES, Case, Lane, NO_RESTS, OPENAI_LANE, TWO_VENDORS, World};

/// Each vendor before the other, and alone.
const PAIRS: &str = r#"
models:
  openai-anthropic: {candidates: [{provider: openai, model: gpt-4o}, {provider: anthropic, model: claude-3-5-haiku, priority: 1}]}
  anthropic-openai: {candidates: [{provider: anthropic, model: claude-3-5-haiku}, {provider: openai, model: gpt-4o, priority: 1}]}
"#;

const KEEPALIVE: &str = ": waiting\n\n";

fn streams() -> impl Iterator<Item = Case> {
    CASES.into_iter().filter(|case| case.stream)
}

fn pairs() -> [(Lane, Lane); 2] {
    [(OPENAI_LANE, ANTHROPIC_LANE), (ANTHROPIC_LANE, OPENAI_LANE)]
}

fn name(first: Lane, second: Lane) -> String {
    format!("{}-{}", first.provider, second.provider)
}

fn model_of(lane: Lane) -> &'static str {
    if lane.vendor == Vendor::OpenAi { "gpt-4o" } else { "claude-3-5-haiku" }
}

fn says(events: &[&str]) -> Fault {
    Fault::Says { events: events.iter().map(|event| (*event).to_owned()).collect(), ms: 5, hang: false }
}

/// A stream that lives and says nothing.
fn drones(ms: u64) -> Fault {
    Fault::Says { events: vec![KEEPALIVE.to_owned(); 40], ms, hang: true }
}

/// What goes wrong before the first content, and how the trail calls it.
fn troubles(vendor: Vendor) -> Vec<(Fault, &'static str)> {
    let (opening, busy) = (vendor.opening(), vendor.busy());
    let done = if vendor == Vendor::OpenAi { "200 empty" } else { "200 garbled" };
    vec![
        (says(&[&busy]), "200 error"),
        (says(&[&opening, &busy]), "200 error"),
        (says(&[KEEPALIVE, &opening, KEEPALIVE, &busy]), "200 error"),
        (says(&[]), "200 empty"),
        (says(&["data: [DONE]\n\n"]), done),
        (says(&[KEEPALIVE, KEEPALIVE]), "200 empty"),
        (says(&["data: {\"id\": nonsense\n\n"]), "200 garbled"),
        (says(&[&opening, "data: \u{fffd}\u{fffd}\n\n"]), "200 garbled"),
        (Fault::CutShort { after: 1 }, "200 empty"),
        (Fault::RstAfterHeaders, "200"),
        (Fault::RstMidStream { after: 1 }, "200"),
        (drones(30), "200 stalled"),
        (Fault::HangAfterHeaders, "200 stalled"),
    ]
}

fn trail(answer: &Answer) -> String {
    let value = answer.headers.get("x-attache-trail").map(|value| value.as_bytes().to_vec());
    String::from_utf8(value.unwrap_or_default()).unwrap()
}

/// `openai/k1 200 empty 12ms -> anthropic/k1 200`, its times aside.
fn steps(answer: &Answer) -> Vec<String> {
    let untimed = |step: &str| {
        let words = step.split(' ').filter(|word| !word.ends_with("ms"));
        words.collect::<Vec<_>>().join(" ")
    };
    trail(answer).split(" -> ").map(untimed).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_fails_before_content_is_served_by_the_next_candidate() {
    let world = World::start(&format!("{TWO_VENDORS}{PAIRS}{NO_RESTS}hold: {{max: 3s, hard: 400ms}}\n")).await;
    let mut settled = 0;
    for (first, second) in pairs() {
        for (n, (fault, word)) in troubles(first.vendor).into_iter().enumerate() {
            for case in streams() {
                let mark = format!("{} {n} {case:?}", first.provider);
                world.mock.host(first.host).fault(fault.clone().next(1));
                let answer = world.send(&case.call(&name(first, second), &mark)).await;
                second.check_answer(case, &answer, model_of(second), &mark);
                let expected = [format!("{}/k1 {word}", first.provider), format!("{}/k1 200", second.provider)];
                assert_eq!(steps(&answer), expected, "{mark} {fault:?}");
                assert_eq!(answer.header("x-attache-attempts"), "2", "{mark}");
                assert_eq!(world.received(second.host, &mark).len(), 1, "{mark}");
                assert!(answer.header("server-timing").starts_with("attache;dur="), "{mark}");
                settled += 1;
            }
        }
    }
    let ledger = world.ledger();
    assert_eq!(ledger.wait_for(settled).await.unwrap(), settled);
    for row in ledger.all().unwrap() {
        assert_ne!(row.tries[0].outcome, Outcome::Ok, "{row:?}");
        assert_eq!((row.tries.len(), row.tries[1].outcome, row.status), (2, Outcome::Ok, 200), "{row:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sixty_four_clients_at_once_see_nothing_of_it() {
    let world = World::start(&format!("{TWO_VENDORS}{PAIRS}{NO_RESTS}hold: {{max: 10s, hard: 2s}}\n")).await;
    for (first, second) in pairs() {
        for fault in [says(&[&first.vendor.opening(), &first.vendor.busy()]), drones(50)] {
            world.mock.host(first.host).fault(fault.clone().always());
            let asked: Vec<_> = (0..32).flat_map(|i| streams().map(move |case| (case, format!("many {i}.")))).collect();
            let calls = asked.iter().map(|(case, mark)| case.call(&name(first, second), mark)).collect();
            for ((case, mark), answer) in asked.iter().zip(world.client.all(calls).await.unwrap()) {
                assert_eq!(answer.status, 200, "{mark}: {}", trail(&answer));
                second.check_answer(*case, &answer, model_of(second), mark);
            }
            world.mock.reset().unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn when_all_fail_the_client_gets_the_last_ones_error_in_its_own_dialect() {
    let world = World::start(&format!("{TWO_VENDORS}{PAIRS}{NO_RESTS}hold: {{max: 3s, hard: 300ms}}\n")).await;
    for (first, second) in pairs() {
        for case in streams() {
            let cases: [(Fault, Fault, [u16; 2], &str, &str); 3] = [
                (
                    says(&[&first.vendor.busy()]),
                    says(&[&second.vendor.opening(), &second.vendor.busy()]),
                    [503, 529],
                    "too busy",
                    "error",
                ),
                (says(&[]), says(&[KEEPALIVE]), [502, 502], "without an answer", "empty"),
                (drones(30), Fault::HangAfterHeaders, [504, 504], "no content in time", "stalled"),
            ];
            for (one, other, [openai, anthropic], words, flaw) in cases {
                world.mock.host(first.host).fault(one.next(1));
                world.mock.host(second.host).fault(other.next(1));
                let answer = world.send(&case.call(&name(first, second), "nobody")).await;
                let about = format!("{case:?} {} {flaw}: {}", second.provider, answer.text());
                assert_eq!(answer.status, if case.dialect == Dialect::OpenAi { openai } else { anthropic }, "{about}");
                let (_, message) = Said::error(case.dialect, &answer).unwrap_or_else(|e| panic!("{about}: {e:#}"));
                assert!(message.contains(words), "{about}");
                let expected = [first, second].map(|lane| format!("{}/k1 200 {flaw}", lane.provider));
                assert_eq!(steps(&answer), expected, "{about}");
                assert!(answer.broken.is_none() && answer.headers.get("x-envoy-ratelimited").is_none(), "{about}");
            }
        }
    }
    let ledger = world.ledger();
    assert_eq!(ledger.wait_for(12).await.unwrap(), 12);
    for row in ledger.all().unwrap() {
        assert!(row.status >= 502 && !row.client_gone, "{row:?}");
        assert_eq!(row.tries.iter().map(|t| t.outcome).collect::<Vec<_>>(), [Outcome::Error; 2], "{row:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_single_candidate_is_told_true_too() {
    let world = World::start(TWO_VENDORS).await;
    for (first, _) in pairs() {
        for case in streams() {
            world.mock.host(first.host).fault(says(&[&first.vendor.opening(), &first.vendor.busy()]).next(1));
            let answer = world.send(&case.call(&format!("{}/{}", first.provider, model_of(first)), "alone")).await;
            assert_eq!(answer.status, case.dialect.overloaded(), "{case:?}: {}", answer.text());
            assert!(Said::error(case.dialect, &answer).unwrap().1.contains("too busy"));
            assert_eq!(trail(&answer), "", "one try is no trail");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_start_is_counted_and_goes_on() {
    let yaml = format!("{TWO_VENDORS}{PAIRS}{NO_RESTS}hold: {{max: 5s, soft: 200ms}}\n");
    let world = World::start(&yaml).await;
    for (first, second) in pairs() {
        for case in streams() {
            world.mock.host(first.host).fault(Fault::Late { ms: 500 }.next(1));
            let answer = world.send(&case.call(&name(first, second), "slowly")).await;
            first.check_answer(case, &answer, model_of(first), "slowly");
            let answer = world.send(&case.call(&name(first, second), "at once")).await;
            first.check_answer(case, &answer, model_of(first), "at once");
        }
    }
    world.ledger().wait_for(8).await.unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(world.stack.stat("attache_filter_slow_starts_total").await.unwrap(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_wait_ends_in_time_and_what_comes_later_flows() {
    let world = World::start(&format!("{TWO_VENDORS}{PAIRS}{NO_RESTS}hold: {{max: 300ms}}\n")).await;
    for (first, second) in pairs() {
        for case in streams() {
            let silent = Duration::from_secs(3);
            world.mock.host(first.host).fault(Fault::Late { ms: silent.as_millis() as u64 }.next(1));
            let begun = Instant::now();
            let live = world.client.open(&case.call(&name(first, second), "late")).await.unwrap();
            let shown = begun.elapsed();
            assert!(shown < silent, "{case:?}: the head came with the first event, after {shown:?}");
            first.check_answer(case, &live.finish().await, model_of(first), "late");
            // An error is too late to fail over by then: it ends the stream, in the client's dialect.
            let late = [KEEPALIVE, KEEPALIVE, KEEPALIVE, KEEPALIVE, &first.vendor.opening(), &first.vendor.busy()];
            let events = late.map(str::to_owned).to_vec();
            world.mock.host(first.host).fault(Fault::Says { events, ms: 300, hang: false }.next(1));
            let answer = world.send(&case.call(&name(first, second), "late")).await;
            assert_eq!(answer.status, 200);
            assert!(answer.text().contains("too busy") && answer.broken.is_none(), "{case:?}: {}", answer.text());
            assert!(Said::read(case.dialect, true, &answer).is_err(), "{case:?}: {}", answer.text());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stall_after_content_ends_the_stream_in_time() {
    let world = World::start(&format!("{TWO_VENDORS}{PAIRS}timeouts: {{idle: 500ms}}\n")).await;
    for (first, second) in pairs() {
        for case in streams() {
            world.mock.host(first.host).fault(Fault::HangMidStream { after: 6 }.next(1));
            let call = case.call(&name(first, second), "stalls");
            let answer = tokio::time::timeout(Duration::from_secs(30), world.send(&call)).await;
            let answer = answer.unwrap_or_else(|_| panic!("{case:?}: it hangs"));
            assert!(!text_so_far(case.dialect, &answer.body()).is_empty(), "{case:?}: {}", answer.text());
            assert!(Said::read(case.dialect, true, &answer).is_err(), "{case:?}: it never looks whole");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_of_the_request_is_tried_elsewhere_if_configured() {
    let long = |vendor: Vendor| {
        Fault::Status {
        status: 400,
        body: Some(match vendor {
            Vendor::OpenAi => r#"{"error":{"message":"too long","type":"invalid_request_error","param":"messages","code":"context_length_exceeded"}}"#.to_owned(),
            Vendor::Anthropic => r#"{"type":"error","error":{"type":"invalid_request_error","message":"prompt is too long: 9 tokens > 8 maximum"}}"#.to_owned(),
        }),
        retry_after: None,
    }
    };
    let world =
        World::start(&format!("{TWO_VENDORS}{PAIRS}retry: {{also: [context_too_long], rest: {{failures: 0}}}}\n"))
            .await;
    for (first, second) in pairs() {
        for case in CASES {
            let mark = format!("long {case:?}");
            world.mock.host(first.host).fault(long(first.vendor).next(1));
            let answer = world.send(&case.call(&name(first, second), &mark)).await;
            second.check_answer(case, &answer, model_of(second), &mark);
            let failed = format!("{}/k1 400 context_too_long", first.provider);
            let expected = [failed, format!("{}/k1 200", second.provider)];
            assert_eq!(steps(&answer), expected, "{mark}");
            // Another error of the request stays the first one's, and so does the last candidate's.
            world.mock.host(first.host).fault(Fault::status(400).next(1));
            let answer = world.send(&case.call(&name(first, second), &mark)).await;
            assert_eq!((answer.status, answer.header("x-attache-attempts")), (400, "1"), "{mark}: {}", answer.text());
            world.mock.host(first.host).fault(long(first.vendor).next(1));
            world.mock.host(second.host).fault(long(second.vendor).next(1));
            let answer = world.send(&case.call(&name(first, second), &mark)).await;
            assert_eq!((answer.status, answer.header("x-attache-attempts")), (400, "2"), "{mark}: {}", answer.text());
            assert!(Said::error(case.dialect, &answer).unwrap().1.contains("too long"), "{mark}: {}", answer.text());
        }
    }
}
