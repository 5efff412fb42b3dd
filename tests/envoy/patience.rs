//! The sidecar stands still for a moment, cold and in the middle of a load: everybody waits, nobody is refused for it, and what
//! is served is what is charged.
//!
//! Does not: wait longer than patience lasts, or lose a sidecar; `sidecar_away` does.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::json;
use tests::client::Dialect;
use tests::mock::HostSpec;

use crate::world::{OPENAI, TWO_VENDORS, World, until};

const CLIENTS: usize = 64;
/// The last has less than its clients ask for.
const KEYS: [&str; 4] = ["team-a", "team-b", "alone", "tight"];
const TIGHT: u64 = 100;
const SHORT: Duration = Duration::from_millis(400);
const LONG: Duration = Duration::from_secs(3);

const LIMITS: &str = r#"
prices: [{provider: openai, model: gpt-4o-mini, input: 1, output: 1, context: 128000, max_output: 1000}]
global: {limits: [{concurrent: 1000}]}
teams: {crowd: {limits: [{money: 1000, per: 1M}]}}
virtual_keys:
- {name: team-a, secret: "{{vk-team-a}}", team: crowd, limits: [{requests: 1000000, per: 1M}, {total_tokens: 1000000000, per: 1d}]}
- {name: team-b, secret: "{{vk-team-b}}", team: crowd, limits: [{requests: 1000000, per: 1M}]}
- {name: alone, secret: "{{vk-alone}}", limits: [{requests: 1000000, per: 1M}, {money: 1000, per: 1M}]}
- {name: tight, secret: "{{vk-tight}}", limits: [{requests: 100, per: 1M}, {concurrent: 50}]}
"#;

/// What each key's clients were answered, while `meanwhile` happens and until one of them has used up its limit.
async fn load(world: &World, meanwhile: impl Future<Output = ()>) -> BTreeMap<(&'static str, u16), u64> {
    let refused = Arc::new(AtomicBool::new(false));
    let stop = Arc::new(AtomicBool::new(false));
    let tasks: Vec<_> = (0..CLIENTS)
        .map(|number| {
            let (client, stop, refused) = (world.stack.client(), Arc::clone(&stop), Arc::clone(&refused));
            let key = KEYS[number % KEYS.len()];
            tokio::spawn(async move {
                let mut statuses: BTreeMap<u16, u64> = BTreeMap::new();
                while !stop.load(Ordering::SeqCst) {
                    let message = json!([{"role": "user", "content": "hi"}]);
                    let body = json!({"model": "openai/gpt-4o-mini", "messages": message, "max_tokens": 10});
                    let answer = client.send(&Dialect::OpenAi.call(&body).key(&format!("vk-{key}"))).await.unwrap();
                    assert!([200, 429].contains(&answer.status), "{key}: {} {}", answer.status, answer.text());
                    *statuses.entry(answer.status).or_default() += 1;
                    refused.fetch_or(answer.status == 429, Ordering::SeqCst);
                    let pause = if answer.status == 200 { 20 } else { 200 };
                    tokio::time::sleep(Duration::from_millis(pause)).await;
                }
                (key, statuses)
            })
        })
        .collect();
    meanwhile.await;
    until(world, "the end of a limit", async || {
        refused.load(Ordering::SeqCst) || tasks.iter().any(tokio::task::JoinHandle::is_finished)
    })
    .await;
    stop.store(true, Ordering::SeqCst);
    let mut sums = BTreeMap::new();
    for task in tasks {
        let (key, statuses) = task.await.unwrap();
        statuses.into_iter().for_each(|(status, count)| *sums.entry((key, status)).or_default() += count);
    }
    sums
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sidecar_that_stands_still_for_a_moment_refuses_nobody() {
    let world = World::with(&[HostSpec::tls(OPENAI)], &format!("{TWO_VENDORS}{LIMITS}"), |options| {
        // A slow machine is no failure of the sidecar; five seconds less three are few for one.
        options.sidecar = "patience: 60s";
    })
    .await;
    let freeze = async |time: Duration| {
        world.stack.freeze_sidecar(true);
        tokio::time::sleep(time).await;
        world.stack.freeze_sidecar(false);
    };
    // Neither a record nor a lease is held.
    world.stack.freeze_sidecar(true);
    let sums = load(&world, async {
        tokio::time::sleep(SHORT).await;
        world.stack.freeze_sidecar(false);
        tokio::time::sleep(Duration::from_secs(1)).await;
        freeze(LONG).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        freeze(SHORT).await;
    })
    .await;
    println!("{sums:?}");
    let count = |key, status| sums.get(&(key, status)).copied().unwrap_or_default();
    for key in &KEYS[..3] {
        assert!(count(key, 200) > 0 && count(key, 429) == 0, "{key} has enough");
    }
    let tight = count("tight", 200);
    assert!(tight <= TIGHT && tight > TIGHT / 2 && count("tight", 429) > 0, "{sums:?}");
    let served: u64 = KEYS.iter().map(|key| count(key, 200)).sum();
    assert_eq!(world.received(OPENAI, "gpt-4o-mini").len() as u64, served);
    assert_eq!(world.ledger().wait_for(served).await.unwrap(), served);
    assert_eq!(world.ledger().used("requests").unwrap(), served);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_waited_for_longer_than_patience_lasts() {
    let keys = "virtual_keys: [{name: a, secret: \"{{vk-a}}\", limits: [{requests: 100, per: 1M}]}]\n";
    let world = World::with(&[HostSpec::tls(OPENAI)], &format!("{TWO_VENDORS}{keys}"), |options| {
        options.sidecar = "deadline: 100ms, patience: 1s";
    })
    .await;
    let ask = |text: &'static str| Dialect::OpenAi.chat("openai/gpt-4o-mini", text, false).key("vk-a");
    world.stack.freeze_sidecar(true);
    for answer in world.client.all(vec![ask("in vain"); 8]).await.unwrap() {
        assert_eq!((answer.status, answer.json()["error"]["code"].as_str()), (503, Some("admission_away")));
    }
    world.stack.freeze_sidecar(false);
    until(&world, "an answer", async || world.send(&ask("again")).await.status == 200).await;
    assert!(world.received(OPENAI, "in vain").is_empty());
}
