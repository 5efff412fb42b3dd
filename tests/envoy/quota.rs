//! Limits, as clients meet them: who is refused in which words, who is served otherwise, and what is charged.
//!
//! Does not: count exactly what a limit lets through under load; the simulator does, and the hammer.

use tests::client::{Answer, DIALECTS, Dialect};
use tests::mock::Fault;
use tests::said::Said;

use crate::world::{CASES, OPENAI, OPENAI_LANE, TWO_VENDORS, World, until};

/// `chat` at OpenAI, then at Anthropic.
const MODELS: &str = "models:\n  chat: {candidates: [{provider: openai, model: gpt-4o-mini}, {provider: anthropic, \
                      model: claude-3-5-haiku, priority: 1}]}\n";

async fn world(limits: &str) -> World {
    let key = format!("virtual_keys: [{{name: prod, secret: \"{{{{vk-prod}}}}\", {limits}}}]\n");
    let prices = "prices:\n- {provider: openai, model: gpt-4o-mini, input: 1000, output: 1000, context: 128000, max_output: 1000}\n\
                  - {provider: anthropic, model: claude-3-5-haiku, input: 1000, output: 1000, context: 200000, max_output: 1000}\n";
    // One worker, so that no lease lies where a story does not ask.
    let hosts = [OPENAI, crate::world::ANTHROPIC].map(tests::mock::HostSpec::tls);
    World::with(&hosts, &format!("{TWO_VENDORS}{MODELS}{prices}{key}"), |options| options.workers = 1).await
}

async fn ask(world: &World, dialect: Dialect, text: &str) -> Answer {
    world.send(&dialect.chat("chat", text, false).key("vk-prod")).await
}

/// Asks until a limit has had enough; the settlements that use it up are on their way meanwhile.
async fn exhaust(world: &World, dialect: Dialect) -> u32 {
    let mut served = 0;
    until(world, "the limit to be used up", async || {
        let answer = ask(world, dialect, "more").await;
        served += u32::from(answer.status == 200);
        answer.status != 200
    })
    .await;
    served
}

#[tokio::test(flavor = "multi_thread")]
async fn so_many_requests_and_no_more_in_the_words_of_each_dialect() {
    let world = world("limits: [{requests: 3, per: 1M}]").await;
    assert_eq!(exhaust(&world, Dialect::OpenAi).await, 3);
    for dialect in DIALECTS {
        let refused = ask(&world, dialect, "one too many").await;
        assert_eq!(refused.status, 429, "{}", refused.text());
        let (kind, message) = Said::error(dialect, &refused).unwrap();
        assert_eq!(kind, "rate_limit_error");
        assert!(message.contains("key prod") && message.contains("3 requests a month (1M)"), "{message}");
        assert_eq!(refused.header("x-attache-limit"), "key prod;requests;1M");
        assert!(refused.header("retry-after").parse::<u64>().is_ok_and(|seconds| seconds > 0));
        let family = if dialect == Dialect::OpenAi {
            "x-ratelimit-limit-requests"
        } else {
            "anthropic-ratelimit-requests-limit"
        };
        assert_eq!(refused.header(family), "3");
    }
    assert!(world.received(OPENAI, "one too many").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_budget_is_used_up_and_says_that_waiting_is_long() {
    // A request costs some cents here; one of them must fit whole, with its longest answer.
    let world = world("limits: [{money: 2, per: 1d}]").await;
    let first = ask(&world, Dialect::OpenAi, "what does it cost").await;
    assert_eq!(first.status, 200, "{}", first.text());
    let cost: f64 = first.header("x-attache-cost").parse().unwrap_or_else(|_| panic!("{:?}", first.headers));
    assert!(cost > 0.0 && cost < 2.0, "{cost}");
    // Anthropic's clients say how long an answer may be, and need less.
    let served = 1 + exhaust(&world, Dialect::OpenAi).await + exhaust(&world, Dialect::Anthropic).await;
    for (dialect, status, word) in
        [(Dialect::OpenAi, 429, "insufficient_quota"), (Dialect::Anthropic, 402, "billing_error")]
    {
        let refused = ask(&world, dialect, "on credit").await;
        assert_eq!(refused.status, status, "{}", refused.text());
        let (kind, message) = Said::error(dialect, &refused).unwrap();
        assert_eq!(kind, word, "{message}");
        assert!(message.contains("dollars a day (1d)") && message.contains("resets in"), "{message}");
        assert_eq!(refused.header("x-should-retry"), "false");
    }
    assert!(world.received(OPENAI, "on credit").is_empty());
    assert_eq!(world.ledger().wait_for(u64::from(served)).await.unwrap(), u64::from(served));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_s_share_of_a_provider_is_used_up_and_the_other_serves() {
    let candidates = "candidates: [{provider: openai, models: [gpt-4o-mini], weight: 1, limits: [{requests: 1, per: 1M}]}, \
                      {provider: anthropic, models: [claude-3-5-haiku], weight: 0}]";
    let world = world(candidates).await;
    let mut by = Vec::new();
    for _ in 0..3 {
        let call = Dialect::OpenAi.chat("gpt-4o-mini", "who serves", false).key("vk-prod");
        let answer = world.send(&call).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        by.push(answer.header("x-attache-provider").to_owned());
    }
    assert_eq!(by, ["openai", "anthropic", "anthropic"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_try_that_does_not_fit_into_what_is_left_is_not_planned_and_the_others_are() {
    // About 1.5 dollars for each try: either may be billed whole.
    let text = "x".repeat(300);
    for (most, fails_over) in [(2.6, false), (3.4, true)] {
        let world = world(&format!("limits: [{{money: {most}, per: 1M}}]")).await;
        world.mock.host(OPENAI).fault(Fault::status(503).always());
        let answer = ask(&world, Dialect::OpenAi, &text).await;
        let expected = if fails_over { (200, "2") } else { (503, "1") };
        assert_eq!((answer.status, answer.header("x-attache-attempts")), expected, "{most}: {}", answer.text());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn other_models_stand_in_when_a_budget_is_used_up() {
    let world =
        world("limits: [{requests: 1, per: 1M, on_exhausted: {downgrade: [\"anthropic/claude-3-5-haiku\"]}}]").await;
    let answers = [ask(&world, Dialect::OpenAi, "first").await, ask(&world, Dialect::OpenAi, "second").await];
    let by = answers.each_ref().map(|answer| (answer.status, answer.header("x-attache-provider")));
    assert_eq!(by, [(200, "openai"), (200, "anthropic")]);
    let substituted = answers[1].headers.get("x-attache-substituted").map(|value| value.as_bytes().to_vec());
    assert_eq!(substituted, Some("chat->claude-3-5-haiku".as_bytes().to_vec()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shadow_and_an_alert_keep_nobody() {
    for rule in ["shadow", "alert_only"] {
        let world = world(&format!("limits: [{{requests: 1, per: 1M, on_exhausted: {rule}}}]")).await;
        for case in CASES {
            let answer = world.send(&case.call("openai/gpt-4o-mini", "all the same").key("vk-prod")).await;
            OPENAI_LANE.check_answer(case, &answer, "gpt-4o-mini", "all the same");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn so_many_at_once_and_the_next_as_soon_as_one_is_done() {
    let world = world("limits: [{concurrent: 2}]").await;
    assert_eq!(ask(&world, Dialect::OpenAi, "warm").await.status, 200);
    world.mock.host(OPENAI).fault(Fault::HangMidStream { after: 6 }.next(2));
    let call = Dialect::OpenAi.chat("openai/gpt-4o-mini", "endless", true).key("vk-prod");
    let mut streams = Vec::new();
    for _ in 0..2 {
        let mut live = world.client.open(&call).await.unwrap();
        assert!(live.next().await.unwrap().is_some(), "its first content is there");
        streams.push(live);
    }
    let refused = ask(&world, Dialect::OpenAi, "third").await;
    assert_eq!((refused.status, refused.header("retry-after")), (429, "1"), "{}", refused.text());
    assert_eq!(refused.header("x-attache-limit"), "key prod;concurrent;");
    // Their clients leave.
    drop(streams);
    until(&world, "a slot", async || ask(&world, Dialect::OpenAi, "again").await.status == 200).await;
}
