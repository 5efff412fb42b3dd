//! What a failure makes of its key: who is asked next, who rests, and how one live request ends a rest.

use std::time::Duration;

use serde_json::{Value, json};
use tests::client::{Answer, Dialect};
use tests::mock::{Exchange, Fault, HostSpec};
use tests::said::Said;

use crate::world::{ANTHROPIC, ANTHROPIC_LANE, CASES, Case, OPENAI, OPENAI_LANE, TWO_VENDORS, World};

/// OpenAI first, Anthropic behind it.
const BOTH: &str = r#"
models:
  both: {candidates: [{provider: openai, model: gpt-4o}, {provider: anthropic, model: claude-3-5-haiku, priority: 1}]}
"#;

/// Long enough for anything that a story does meanwhile.
const LONG: &str = "10m";

fn refused(status: u16, code: &str, message: &str) -> Fault {
    let body = json!({"error": {"message": message, "type": "x", "param": null, "code": code}});
    Fault::Status { status, body: Some(body.to_string()), retry_after: None }
}

/// The trail without its times.
fn steps(answer: &Answer) -> String {
    let trail =
        answer.headers.get("x-attache-trail").map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
    let trail = trail.unwrap_or_default();
    trail.split(' ').filter(|word| !word.ends_with("ms")).collect::<Vec<_>>().join(" ")
}

/// Requests that OpenAI got with this key.
fn with_key(world: &World, key: &str) -> usize {
    let records = world.mock.journal().records(Some(OPENAI));
    records.iter().filter(|record| record.credentials().iter().any(|(_, value)| value.contains(key))).count()
}

async fn served_by_the_second(world: &World, case: Case, mark: &str, attempts: &str) -> Answer {
    let answer = world.send(&case.call("both", mark)).await;
    ANTHROPIC_LANE.check_answer(case, &answer, "claude-3-5-haiku", mark);
    assert_eq!(answer.header("x-attache-attempts"), attempts, "{mark}: {}", steps(&answer));
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_key_rests_one_request_finds_it_down_again_and_one_finds_it_well() {
    // The other key has no share: it is asked where the first one cannot be.
    let yaml = r#"
retry: {rest: {refused: 6s}}
providers:
  openai:
    keys:
    - {name: k1, secret: "{{sk-first}}", models: ["*"]}
    - {name: k2, secret: "{{sk-other}}", weight: 0, models: ["*"]}
"#;
    let world = World::with(&[HostSpec::tls(OPENAI)], yaml, |_| {}).await;
    let call = |case: Case, mark: &str| case.call("openai/gpt-4o", mark);
    let served = |case: Case, answer: &Answer, mark: &str| {
        Said::read(case.dialect, case.stream, answer).unwrap_or_else(|e| panic!("{mark}: {e:#}"))
    };
    world.mock.host(OPENAI).fault(Fault::status(401).always().for_key("sk-first"));
    let first = world.send(&call(CASES[0], "first")).await;
    served(CASES[0], &first, "first");
    assert_eq!(steps(&first), "openai/k1 401 -> openai/k2 200");
    for case in CASES {
        let answer = world.send(&call(case, "resting")).await;
        served(case, &answer, "resting");
        assert_eq!(answer.header("x-attache-attempts"), "1", "{case:?}");
    }
    assert_eq!(with_key(&world, "sk-first"), 1);

    // The rest is over. It will be twice as long, by which time all of these are through.
    tokio::time::sleep(Duration::from_secs(7)).await;
    let crowd: Vec<_> = (0..32).map(|i| (CASES[i % 4], format!("crowd {i}."))).collect();
    let answers = world.client.all(crowd.iter().map(|(case, mark)| call(*case, mark)).collect()).await.unwrap();
    for ((case, mark), answer) in crowd.iter().zip(&answers) {
        served(*case, answer, mark);
    }
    assert_eq!(with_key(&world, "sk-first"), 2, "one live request tries it");

    world.mock.host(OPENAI).clear();
    let mut tries = 0;
    while with_key(&world, "sk-first") == 2 {
        let answer = world.send(&call(CASES[0], "well?")).await;
        served(CASES[0], &answer, "well?");
        tries += 1;
        assert!(tries < 300, "nobody tries it");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    // Its verdict was written before its answer was seen.
    let before = with_key(&world, "sk-other");
    for case in CASES {
        let answer = world.send(&call(case, "well")).await;
        served(case, &answer, "well");
        assert_eq!(answer.header("x-attache-attempts"), "1", "{case:?}");
    }
    assert_eq!(with_key(&world, "sk-other"), before, "the first key has all of its share again");
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_in_a_row_send_a_key_to_rest_and_scattered_ones_do_not() {
    let world =
        World::start(&format!("{TWO_VENDORS}{BOTH}retry: {{rest: {{first: {LONG}, longest: {LONG}}}}}\n")).await;
    for well in CASES {
        for case in CASES {
            world.mock.host(OPENAI).fault(Fault::status(503).next(1));
            served_by_the_second(&world, case, &format!("scattered {well:?} {case:?}"), "2").await;
        }
        let answer = world.send(&well.call("both", "well")).await;
        OPENAI_LANE.check_answer(well, &answer, "gpt-4o", "well");
    }
    world.mock.journal().clear();
    world.mock.host(OPENAI).refuse();
    for n in 0..5 {
        served_by_the_second(&world, CASES[n % 4], &format!("down {n}"), "2").await;
    }
    world.mock.host(OPENAI).accept().unwrap();
    for case in CASES {
        served_by_the_second(&world, case, "resting", "1").await;
    }
    assert!(world.mock.journal().records(Some(OPENAI)).is_empty());
    // Where nobody else is left it is asked all the same, and if it serves that ends its rest.
    world.mock.host(ANTHROPIC).refuse();
    let answer = world.send(&CASES[0].call("openai/gpt-4o", "nobody else")).await;
    OPENAI_LANE.check_answer(CASES[0], &answer, "gpt-4o", "nobody else");
    let answer = world.send(&CASES[1].call("both", "back")).await;
    OPENAI_LANE.check_answer(CASES[1], &answer, "gpt-4o", "back");

    let ledger = world.ledger();
    let expected = 4 * 5 + 5 + 4 + 2;
    assert_eq!(ledger.wait_for(expected).await.unwrap(), expected);
    let all = ledger.all().unwrap();
    let kinds: Vec<_> = all.iter().flat_map(|settled| &settled.tries).map(|tried| tried.disposition.as_str()).collect();
    assert_eq!(kinds.iter().filter(|kind| **kind == "transient").count(), 16 + 5);
    assert!(kinds.iter().all(|kind| ["", "transient"].contains(kind)), "{kinds:?}");
    let failures = [r#"provider="openai""#, r#"disposition="transient""#];
    assert_eq!(world.stack.metric("attache_failures_total", &failures).await.unwrap(), 21.0);
    let rests = world.stack.metric("attache_cooldowns_total", &[r#"provider="openai""#]).await.unwrap();
    assert_eq!(rests, 1.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_long_goes_to_the_larger_window_and_what_a_vendor_will_not_answer_to_another() {
    let yaml = format!(
        r#"{TWO_VENDORS}
retry: {{also: [context_too_long, content_policy]}}
models:
  both:
    candidates:
    - {{provider: openai, model: gpt-4o, context: 1000}}
    - {{provider: openai, model: gpt-4o-mini, context: 500, priority: 1}}
    - {{provider: anthropic, model: claude-sonnet-4, context: 2000, priority: 2}}
    - {{provider: anthropic, model: claude-3-5-haiku, context: 200000, priority: 3}}
  vendors:
    candidates:
    - {{provider: openai, model: gpt-4o}}
    - {{provider: openai, model: gpt-4o-mini, priority: 1}}
    - {{provider: anthropic, model: claude-3-5-haiku, priority: 2}}
"#
    );
    let world = World::start(&yaml).await;
    for case in CASES {
        world.mock.host(OPENAI).fault(refused(400, "context_length_exceeded", "too long").next(1));
        let answer = served_by_the_second(&world, case, &format!("long {case:?}"), "2").await;
        assert_eq!(steps(&answer), "openai/k1 400 context_too_long -> anthropic/k1 200", "{case:?}");

        let mark = format!("policy {case:?}");
        world.mock.host(OPENAI).fault(refused(400, "content_filter", "no").next(1));
        let answer = world.send(&case.call("vendors", &mark)).await;
        ANTHROPIC_LANE.check_answer(case, &answer, "claude-3-5-haiku", &mark);
        assert_eq!(steps(&answer), "openai/k1 400 content_policy -> anthropic/k1 200", "{case:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_configuration_says_what_an_error_is() {
    let yaml = format!(
        r#"
providers:
  openai:
    errors:
    - {{status: 400, message: "is loading", is: transient, rest: {LONG}}}
    - {{status: 503, code: bad_image, is: client_fault}}
    keys: [{{name: k1, secret: "{{{{sk-openai}}}}", models: ["*"]}}]
  anthropic: {{keys: [{{name: k1, secret: "{{{{sk-ant}}}}", models: ["*"]}}]}}
{BOTH}"#
    );
    let world = World::start(&yaml).await;
    for case in CASES {
        world.mock.host(OPENAI).fault(refused(503, "bad_image", "It cannot be read.").next(1));
        let answer = world.send(&case.call("both", "image")).await;
        assert_eq!(answer.header("x-attache-attempts"), "1", "{case:?}: its own doing");
        assert!(Said::error(case.dialect, &answer).unwrap().1.contains("cannot be read"), "{case:?}");
        // Other words, the same status.
        world.mock.host(OPENAI).fault(Fault::status(503).next(1));
        served_by_the_second(&world, case, "other words", "2").await;
        world.mock.host(OPENAI).fault(refused(400, "", "A messages array is missing.").next(1));
        assert_eq!(world.send(&case.call("both", "nonsense")).await.status, 400, "{case:?}");
    }
    world.mock.host(OPENAI).fault(refused(400, "", "The model IS LOADING, try again.").next(1));
    let answer = served_by_the_second(&world, CASES[0], "loading", "2").await;
    assert_eq!(steps(&answer), "openai/k1 400 transient -> anthropic/k1 200");
    for case in CASES {
        served_by_the_second(&world, case, "resting", "1").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_without_retry_after_is_rested_until_its_bucket_is_filled() {
    let world = World::start(&format!("{TWO_VENDORS}{BOTH}")).await;
    let file = world.stack.dir().join("limited.json");
    let limited = |headers: Value| {
        let error = json!({"error": {"message": "slow down", "type": "requests", "code": "rate_limit_exceeded"}});
        let response = json!({"status": 429, "headers": headers, "text": error.to_string()});
        std::fs::write(&file, json!({"request": {}, "response": response}).to_string()).unwrap();
        Exchange::read(&file).unwrap()
    };
    world.mock.host(OPENAI).replay(limited(json!({
        "content-type": "application/json",
        "x-ratelimit-remaining-requests": "0",
        "x-ratelimit-reset-requests": "6m0s",
        "x-ratelimit-remaining-tokens": "1000",
        "x-ratelimit-reset-tokens": "1ms",
    })));
    let answer = served_by_the_second(&world, CASES[0], "limited", "2").await;
    assert_eq!(steps(&answer), "openai/k1 429 -> anthropic/k1 200");
    world.mock.host(OPENAI).clear();
    for case in CASES {
        served_by_the_second(&world, case, "resting", "1").await;
    }
    assert_eq!(world.mock.journal().records(Some(OPENAI)).len(), 1);
    // Whoever asks for this key alone is told when.
    let answer = world.send(&Dialect::OpenAi.chat("openai/gpt-4o", "when?", false)).await;
    assert_eq!(answer.status, 429, "{}", answer.text());
    let seconds: u64 = answer.header("retry-after").parse().unwrap();
    assert!((60..=360).contains(&seconds), "{seconds}");
}
