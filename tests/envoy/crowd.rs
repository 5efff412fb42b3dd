//! Many at once: what lets many requests go on in the same instant must not make Envoy's stack as deep as they are many. Some
//! two hundred were once enough to take a worker's module down.

use std::time::Duration;

use tests::client::{Answer, Call, Client, Dialect};
use tests::mock::{Fault, HostSpec};
use tests::said::Said;

use crate::world::{ANTHROPIC, OPENAI, TWO_VENDORS, World};

const CROWD: usize = 400;

const PAIR: &str = r#"
models:
  pair: {candidates: [{provider: openai, model: gpt-4o}, {provider: anthropic, model: claude-3-5-haiku, priority: 1}]}
virtual_keys: [{name: good, secret: "{{vk-good}}"}]
"#;

/// One worker, so that all of them meet in one module.
async fn world(more: &str) -> World {
    world_of(TWO_VENDORS, more).await
}

async fn world_of(vendors: &str, more: &str) -> World {
    World::with(&[OPENAI, ANTHROPIC].map(HostSpec::tls), &format!("{vendors}{PAIR}{more}"), |options| {
        options.workers = 1;
        options.sidecar = "deadline: 60s";
    })
    .await
}

fn crowd(world: &World, call: Call) -> tokio::task::JoinHandle<Vec<Answer>> {
    let client = Client::h2c(world.stack.listen());
    tokio::spawn(async move { client.all(vec![call; CROWD]).await.unwrap() })
}

/// The module is the one it was at the start.
async fn lives(world: &World) {
    let stats = world.stack.stats("vm_reload").await.unwrap();
    assert!(!stats.is_empty() && stats.iter().all(|(_, count)| *count == 0), "{stats:?}");
    let call = Dialect::OpenAi.chat("anthropic/claude-3-5-haiku", "after", false).key("vk-good");
    assert_eq!(world.send(&call).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_that_waits_for_one_key_is_served() {
    let world = world("").await;
    world.stack.freeze_sidecar(true);
    let crowd = crowd(&world, Dialect::OpenAi.chat("pair", "crowd", false).key("vk-good"));
    // Most of them wait by then; how many is of no matter to what must come of it.
    tokio::time::sleep(Duration::from_secs(3)).await;
    world.stack.freeze_sidecar(false);
    for answer in crowd.await.unwrap() {
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    lives(&world).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_whose_provider_falls_silent_before_content_is_served_by_the_next() {
    // Only the silent one: hundreds of connections to the next, all at once, take their time.
    let vendors = TWO_VENDORS.replace("openai: {", "openai: {hold: {hard: 4s}, ");
    let more = "hold: {max: 50s}\nretry: {rest: {failures: 0}}\ntimeouts: {connect: 60s}\n";
    let world = world_of(&vendors, more).await;
    world.mock.host(OPENAI).fault(Fault::HangAfterHeaders.always());
    let crowd = crowd(&world, Dialect::OpenAi.chat("pair", "crowd", true).key("vk-good"));
    for answer in crowd.await.unwrap() {
        Said::read(Dialect::OpenAi, true, &answer).unwrap_or_else(|error| panic!("{error:#}: {}", answer.text()));
        assert_eq!(answer.header("x-attache-provider"), "anthropic");
    }
    lives(&world).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_whose_provider_falls_silent_after_content_is_cut() {
    let world = world("timeouts: {idle: 4s}\n").await;
    world.mock.host(OPENAI).fault(Fault::HangMidStream { after: 3 }.always());
    let crowd = crowd(&world, Dialect::OpenAi.chat("pair", "crowd", true).key("vk-good"));
    let mut cut = 0;
    for answer in crowd.await.unwrap() {
        assert_eq!(answer.status, 200);
        let whole = Said::read(Dialect::OpenAi, true, &answer).is_ok();
        // On a busy machine some wait too long for their first content, and are served by the next.
        let by_next = answer.header("x-attache-provider") == "anthropic";
        assert_eq!(whole, by_next, "it never looks whole: {}", answer.header("x-attache-trail"));
        cut += usize::from(!whole);
    }
    assert!(cut > CROWD / 2, "{cut} were cut");
    lives(&world).await;
}
