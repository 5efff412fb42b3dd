//! One budget under two Envoys with several workers each and many clients at once; a sidecar that is killed again and again.
//!
//! Does not: think of every order of events; the simulated schedules do (`tests/ledger/main.rs`).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;
use tests::client::{Client, Dialect};
use tests::mock::HostSpec;
use tests::mock::vendor::{text, tokens};

use crate::world::{ANTHROPIC, OPENAI, TWO_VENDORS, World, until};

const WORKERS: u32 = 4;
/// At each Envoy.
const CLIENTS: usize = 64;
/// A thousand dollars a million tokens: a token is a tenth of a cent, in nano-dollars.
const TOKEN: u64 = 1_000_000;
const DOLLAR: u64 = 1_000_000_000;
/// Dollars. A request costs about 15 cents.
const BUDGET: u64 = 60;
const PRICES: &str = "prices: [{provider: openai, model: gpt-4o-mini, input: 1000, output: 1000, context: 128000, \
                      max_output: 1000}]\n";
/// Rounds of killing, as many as fit into this time.
const ROUNDS: u32 = 100;
const KILLING: Duration = Duration::from_secs(45);

async fn world(keys: &str) -> World {
    let yaml = format!("{TWO_VENDORS}{PRICES}virtual_keys:\n{keys}");
    World::with(&[OPENAI, ANTHROPIC].map(HostSpec::tls), &yaml, |options| {
        options.workers = WORKERS;
    })
    .await
}

fn key(name: &str, limits: &str) -> String {
    format!("- {{name: {name}, secret: \"{{{{vk-{name}}}}}\", limits: [{limits}]}}\n")
}

/// The status of a request with this key, and what it cost by the answer's usage.
async fn ask(client: &Client, key: &str, text: &str) -> (u16, u64) {
    let message = json!([{"role": "user", "content": text}]);
    let body = json!({"model": "openai/gpt-4o-mini", "messages": message, "max_tokens": 160});
    let answer = client.send(&Dialect::OpenAi.call(&body).key(&format!("vk-{key}"))).await.unwrap();
    let usage = |field: &str| answer.json()["usage"][field].as_u64().unwrap();
    let cost = if answer.status == 200 { (usage("prompt_tokens") + usage("completion_tokens")) * TOKEN } else { 0 };
    (answer.status, cost)
}

/// All clients at once with this key, until each was refused three times; or, with a counter, until that says so: it is
/// looked at before the request and raised after the answer.
async fn hammer(clients: &[Client], key: &'static str, counter: Option<Arc<AtomicU64>>) {
    let tasks: Vec<_> = clients.iter().flat_map(|client| std::iter::repeat_n(client.clone(), CLIENTS)).collect();
    let tasks = tasks.into_iter().enumerate().map(|(number, client)| {
        let counter = counter.clone();
        tokio::spawn(async move {
            let mut refused = 0;
            for round in 0.. {
                if counter.as_ref().is_some_and(|counter| counter.load(Ordering::SeqCst) >= BUDGET * DOLLAR) {
                    return;
                }
                let (status, cost) = ask(&client, key, &format!("{key} {number} {round}")).await;
                if let Some(counter) = &counter {
                    counter.fetch_add(cost, Ordering::SeqCst);
                }
                match status {
                    200 => {}
                    429 if refused < 2 => {
                        refused += 1;
                        tokio::time::sleep(Duration::from_millis(300)).await;
                    }
                    429 => return,
                    other => panic!("{other}"),
                }
            }
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.unwrap();
    }
}

/// What the provider has served by the first word of the question: how often, the cost of all and of the dearest.
fn served(world: &World) -> BTreeMap<String, (u64, u64, u64)> {
    let mut sums: BTreeMap<String, (u64, u64, u64)> = BTreeMap::new();
    for record in world.mock.journal().records(Some(OPENAI)) {
        let asked = record.json()["messages"][0]["content"].as_str().unwrap().to_owned();
        let (input, output) = tokens(&asked, &text(OPENAI, "gpt-4o-mini", &asked));
        let cost = (input + output) * TOKEN;
        let sum = sums.entry(asked.split(' ').next().unwrap().to_owned()).or_default();
        *sum = (sum.0 + 1, sum.1 + cost, sum.2.max(cost));
    }
    sums
}

#[tokio::test(flavor = "multi_thread")]
async fn a_budget_that_everybody_hammers_is_not_overrun() {
    let limit = |mode: &str| format!("{{money: {BUDGET}, per: 1M, mode: {mode}}}");
    let keys = [key("strict", &limit("strict")), key("elastic", &limit("elastic")), key("naive", "")].concat();
    let world = world(&keys).await;
    let beside = world.stack.beside(WORKERS).await.unwrap();
    let clients = [world.stack.client(), beside.client()];
    hammer(&clients, "strict", None).await;
    hammer(&clients, "elastic", None).await;
    hammer(&clients, "naive", Some(Arc::default())).await;

    let sums = served(&world);
    let budget = BUDGET * DOLLAR;
    let over = |key: &str| sums[key].1.saturating_sub(budget);
    // Nothing is known here of what was reserved: as if it were nothing.
    let bound = engine::govern::overshoot(2 * CLIENTS as u64, sums["elastic"].2, 0);
    for (key, bound) in [("strict", Some(0)), ("elastic", Some(bound)), ("naive", None)] {
        let (requests, spent, _) = sums[key];
        let cents = |nanos: u64| nanos / (DOLLAR / 100);
        let bound = bound.map_or("none".to_owned(), |bound| cents(bound).to_string());
        println!(
            "{key:>8}: {requests} requests spent {} of {} cents, {} too much; bound {bound}",
            cents(spent),
            BUDGET * 100,
            cents(over(key))
        );
    }
    assert_eq!(over("strict"), 0);
    assert!(over("elastic") <= bound);
    assert!(over("naive") > 0, "the hammer is too soft to show anything");
    // Neither does it keep much of a budget from everybody.
    assert!(sums["strict"].1 > budget / 2 && sums["elastic"].1 > budget / 2, "{sums:?}");
    // Every exchange with a provider is settled, and to the unit.
    let requests: u64 = sums.values().map(|sum| sum.0).sum();
    let cost: u64 = sums.values().map(|sum| sum.1).sum();
    settled(&world, requests, cost).await;
    let limited = sums["strict"].1 + sums["elastic"].1;
    assert_eq!(world.ledger().used("money").unwrap(), limited);
}

/// Everything that the provider served is in the ledger once.
async fn settled(world: &World, requests: u64, cost: u64) {
    until(world, "settlements", async || world.ledger().spent().is_ok_and(|(found, _)| found >= requests)).await;
    assert_eq!(world.ledger().spent().unwrap(), (requests, cost));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sidecar_that_is_killed_at_any_moment_counts_everything_once() {
    let world = world(&key("busy", "{money: 1000000, per: 1M}, {requests: 1000000, per: 1d}")).await;
    let stop = Arc::new(AtomicBool::new(false));
    let tasks: Vec<_> = (0..8)
        .map(|number| {
            let (client, stop) = (world.stack.client(), Arc::clone(&stop));
            tokio::spawn(async move {
                let mut finished = 0_u64;
                for round in 0.. {
                    if stop.load(Ordering::SeqCst) {
                        break;
                    }
                    // Without a lease and without a sidecar it is refused, and asked again.
                    match ask(&client, "busy", &format!("busy {number} {round}")).await.0 {
                        200 => finished += 1,
                        503 => tokio::time::sleep(Duration::from_millis(20)).await,
                        other => panic!("{other}"),
                    }
                }
                finished
            })
        })
        .collect();
    let (start, mut rounds) = (Instant::now(), 0);
    while rounds < ROUNDS && start.elapsed() < KILLING {
        // Primes, so that it is another moment each time.
        tokio::time::sleep(Duration::from_millis(u64::from(rounds) * 37 % 211)).await;
        world.stack.kill_sidecar();
        world.stack.start_sidecar().await.unwrap();
        rounds += 1;
    }
    stop.store(true, Ordering::SeqCst);
    let mut finished = 0;
    for task in tasks {
        finished += task.await.unwrap();
    }
    let (requests, cost, _) = served(&world)["busy"];
    println!("{rounds} times killed, {finished} requests finished");
    assert_eq!(requests, finished);
    settled(&world, requests, cost).await;
    assert_eq!(world.ledger().used("money").unwrap(), cost);
    assert_eq!(world.ledger().used("requests").unwrap(), requests);
}
