//! A flood of random keys: it costs the flooder, not the gateway.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tests::client::{Client, Dialect};
use tests::mock::HostSpec;

use crate::world::{ANTHROPIC, OPENAI, TWO_VENDORS, World};

const KEYS: u64 = 100_000;
const PARALLEL: u64 = 64;
const WORKERS: u64 = 2;
/// What Envoy may grow by: tables of fixed size and buffers of connections, not a byte a key.
const GROWTH: u64 = 8 << 20;

#[tokio::test(flavor = "multi_thread")]
async fn random_bad_keys_are_refused_in_bounded_memory_and_asked_about_once() {
    let yaml = format!("{TWO_VENDORS}virtual_keys: [{{name: good, secret: \"{{{{vk-good}}}}\"}}]\n");
    let hosts = [OPENAI, ANTHROPIC].map(HostSpec::tls);
    let world = World::with(&hosts, &yaml, |options| {
        options.workers = WORKERS as u32;
        // A slow machine is no failure of the sidecar.
        options.sidecar = "key_ttl: 600s, deadline: 10s";
    })
    .await;
    let good = Dialect::OpenAi.chat("openai/gpt-4o", "good", false).key("vk-good");
    assert_eq!(world.send(&good).await.status, 200);

    // The same few bad keys again and again, over all workers: each is asked about once.
    let before = admits(&world).await;
    for _ in 0..20 {
        flood(&world, 0, 100).await;
    }
    assert_eq!(admits(&world).await - before, 100);
    // And the same key by everybody at once: by each worker once at most.
    let before = admits(&world).await;
    let call = Dialect::OpenAi.chat("openai/gpt-4o", "bad", false).key("vk-popular");
    for answer in world.client.all(vec![call; 200]).await.unwrap() {
        assert_eq!(answer.status, 401);
    }
    assert!(admits(&world).await - before <= WORKERS);

    // A first part brings pools and tables to size; the rest must not grow them.
    flood(&world, 1_000, KEYS / 10).await;
    let small = world.stack.envoy_memory();
    let before = admits(&world).await;
    flood(&world, 1_000_000, KEYS - KEYS / 10).await;
    assert!(admits(&world).await - before <= KEYS - KEYS / 10, "more calls than keys");
    let grown = world.stack.envoy_memory().saturating_sub(small);
    assert!(grown < GROWTH, "Envoy grew by {} MiB", grown >> 20);

    // Nobody who may use the gateway has noticed.
    let before = admits(&world).await;
    assert_eq!(world.send(&good).await.status, 200);
    assert_eq!(admits(&world).await, before, "the flood has pushed out a good key");
    assert_eq!(world.mock.journal().records(None).len(), 2);
}

/// `n` requests with the bad keys `first..first + n`; every one must be refused as such.
async fn flood(world: &World, first: u64, n: u64) {
    let next = Arc::new(AtomicU64::new(first));
    let tasks = (0..PARALLEL.min(n)).map(|_| {
        let (client, next) = (Client::h1(world.stack.listen()), Arc::clone(&next));
        tokio::spawn(async move {
            loop {
                let key = next.fetch_add(1, Ordering::Relaxed);
                if key >= first + n {
                    return;
                }
                let call = Dialect::OpenAi.chat("openai/gpt-4o", "bad", false).key(&format!("vk-{key:016x}"));
                let answer = client.send(&call).await.unwrap();
                assert_eq!(answer.status, 401, "{}", answer.text());
            }
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.unwrap();
    }
}

/// Calls for a key's record so far. The filter counts with its tick.
async fn admits(world: &World) -> u64 {
    let mut last = u64::MAX;
    loop {
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        let now = world.stack.stat("attache_filter_admits_total").await.unwrap();
        if now == last {
            return now;
        }
        last = now;
    }
}
