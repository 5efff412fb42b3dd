//! A limit of a few tokens: by its length no request fits, by its tokens some do.
//!
//! Does not: check how well is counted; the sidecar's tests do.

use serde_json::json;
use tests::client::{Answer, Dialect};
use tests::mock::Fault;

use crate::world::{OPENAI, OPENAI_LANE, TWO_VENDORS, World, until};

/// What each answer uses.
const USED: (u64, u64) = (10, 5);

async fn world(tokenizer: &str) -> World {
    let key = "virtual_keys: [{name: prod, secret: \"{{vk-prod}}\", limits: [{total_tokens: 100, per: 1M}]}]\n";
    let yaml = format!("{TWO_VENDORS}{key}governance: {{tokenizer: {tokenizer}}}\n");
    let world = World::with(&[tests::mock::HostSpec::tls(OPENAI)], &yaml, |options| options.workers = 1).await;
    let events = OPENAI_LANE.vendor.said(&["pong"], USED);
    world.mock.host(OPENAI).fault(Fault::Says { events, ms: 1, hang: false }.next(100));
    world
}

async fn ask(world: &World) -> Answer {
    let mut body = Dialect::OpenAi.chat("openai/gpt-4o-mini", "ping", true).json();
    body["max_tokens"] = json!(20);
    world.send(&Dialect::OpenAi.call(&body).key("vk-prod")).await
}

#[tokio::test(flavor = "multi_thread")]
async fn short_requests_are_served_until_the_tokens_are_used_up() {
    let world = world("exact").await;
    let mut served = 0;
    // Who asks before the tables are unpacked is told that limits cannot be checked; who asks while a lease is on its way
    // back, that there is no room.
    until(&world, "all that fits", async || {
        let answer = ask(&world).await;
        served += u64::from(answer.status == 200);
        assert!([200, 429, 503].contains(&answer.status), "{}", answer.text());
        answer.status == 429 && answer.text().contains("75 of 100 tokens a month (1M) are used")
    })
    .await;
    // 5 × 15, and another one may take 15 and 20.
    assert_eq!((served, world.received(OPENAI, "ping").len()), (5, 5));
    assert_eq!(world.ledger().wait_for(served).await.unwrap(), served);
}

#[tokio::test(flavor = "multi_thread")]
async fn by_bytes_none_fits_and_repeating_it_is_no_use() {
    let world = world("bytes").await;
    let refused = ask(&world).await;
    assert_eq!(refused.status, 400, "{}", refused.text());
    assert!(refused.text().contains("the limit of key prod is 100 tokens a month (1M)"), "{}", refused.text());
    assert_eq!(refused.json()["error"]["code"], "request_exceeds_limit");
    assert_eq!((refused.header("retry-after"), refused.header("x-attache-limit")), ("", "key prod;total_tokens;1M"));
    assert!(world.received(OPENAI, "ping").is_empty());
}
