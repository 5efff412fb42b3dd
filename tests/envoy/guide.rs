//! What limits are for, one story each: shares of a budget, a day's cap on a runaway loop, a team that is out, a key that
//! is taken away.
//!
//! Does not: wait for midnight. The ledger's time never falls behind what its store has, so a story that writes a later time
//! there has begun that day.

use std::time::{Duration, Instant, SystemTime};

use rusqlite::Connection;
use serde_json::json;
use tests::client::{Answer, Client, Dialect};
use tests::mock::HostSpec;
use tests::said::Said;

use crate::world::{ANTHROPIC, OPENAI, TWO_VENDORS, World};

const HOUR: u64 = 3600;
const DAY: u64 = 24 * HOUR;
/// A token is a tenth of a cent, so that a request costs some ten cents.
const PRICES: &str = "prices:\n\
    - {provider: openai, model: gpt-4o-mini, input: 1000, output: 1000, context: 128000, max_output: 1000}\n\
    - {provider: openai, model: gpt-4o, input: 1000, output: 1000, context: 128000, max_output: 1000}\n\
    - {provider: anthropic, model: claude-3-5-haiku, input: 1000, output: 1000, context: 200000, max_output: 1000}\n";
/// More than any request here reserves, in dollars.
const DEAREST: f64 = 0.5;

/// One worker, so that no lease lies where a story does not ask.
async fn world(yaml: &str) -> World {
    let yaml = format!("{TWO_VENDORS}{PRICES}{yaml}");
    World::with(&[OPENAI, ANTHROPIC].map(HostSpec::tls), &yaml, |options| {
        options.workers = 1;
        options.sidecar = "deadline: 10s";
    })
    .await
}

async fn ask(client: &Client, key: &str, model: &str, text: &str) -> Answer {
    let message = json!([{"role": "user", "content": text}]);
    let body = json!({"model": model, "messages": message, "max_tokens": 160});
    client.send(&Dialect::OpenAi.call(&body).key(&format!("vk-{key}"))).await.unwrap()
}

/// Asks until a limit has had enough. What was served by which provider at what cost, and the refusal.
async fn exhaust(world: &World, key: &str, model: &str) -> (Vec<(String, f64)>, Answer) {
    let mut served = Vec::new();
    for round in 0..500 {
        let answer = ask(&world.client, key, model, &format!("{key} {round}")).await;
        if answer.status != 200 {
            return (served, answer);
        }
        let used = answer.json()["usage"]["total_tokens"].as_f64().unwrap();
        served.push((answer.header("x-attache-provider").to_owned(), used / 1000.0));
    }
    panic!("nothing stops {key}");
}

/// The ledger's time is this, and stands until the clock is there.
async fn set_clock(world: &World, seconds: u64) {
    world.stack.kill_sidecar();
    let nanos = i64::try_from(seconds).unwrap() * 1_000_000_000;
    let store = Connection::open(world.stack.store()).unwrap();
    let sql = "INSERT INTO meta (name, value) VALUES ('clock', ?1) ON CONFLICT (name) DO UPDATE SET value = ?1";
    store.execute(sql, [nanos]).unwrap();
    drop(store);
    world.stack.start_sidecar().await.unwrap();
    // Who was refused a moment ago does not ask again before a second is over.
    tokio::time::sleep(Duration::from_millis(1100)).await;
}

/// The next time that a day, or whatever it is, begins.
fn next(length: u64) -> u64 {
    (SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs() / length + 1) * length
}

#[tokio::test(flavor = "multi_thread")]
async fn shares_of_80_and_20_each_have_a_budget_inside_one_for_both() {
    let world = world(
        "virtual_keys:\n- name: prod\n  secret: \"{{vk-prod}}\"\n  limits: [{money: 10, per: 1M}]\n  models: [\"*\"]\n  candidates:\n  \
         - {provider: openai, models: [gpt-4o-mini], weight: 80, limits: [{money: 6, per: 1M}]}\n  \
         - {provider: anthropic, models: [claude-3-5-haiku], weight: 20, limits: [{money: 3, per: 1M}]}\n",
    )
    .await;
    let (served, refused) = exhaust(&world, "prod", "gpt-4o-mini").await;
    let of = |provider: &str| served.iter().filter(|(by, _)| by == provider).map(|(_, cost)| cost).sum::<f64>();
    let (openai, anthropic) = (of("openai"), of("anthropic"));
    println!("openai {openai:.2} of 6, anthropic {anthropic:.2} of 3, both of 10; then {}", refused.text());
    assert!(openai <= 6.0 && openai > 6.0 - DEAREST, "{openai}");
    assert!(anthropic <= 3.0 && anthropic > 3.0 - DEAREST, "{anthropic}");
    assert_eq!(refused.status, 429);
    // The first whose budget was out did not end the other.
    let last = served.last().unwrap().0.clone();
    assert!(served.iter().rev().take_while(|(by, _)| *by == last).count() > 1, "{served:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_team_is_out_while_others_go_on() {
    let world = world(
        "teams: {search: {limits: [{requests: 3, per: 1M}]}, mail: {}}\nvirtual_keys:\n\
         - {name: a, secret: \"{{vk-a}}\", team: search}\n- {name: b, secret: \"{{vk-b}}\", team: search}\n\
         - {name: c, secret: \"{{vk-c}}\", team: mail}\n",
    )
    .await;
    assert_eq!(ask(&world.client, "b", "openai/gpt-4o-mini", "b").await.status, 200);
    assert_eq!(exhaust(&world, "a", "openai/gpt-4o-mini").await.0.len(), 2);
    let refused = ask(&world.client, "b", "openai/gpt-4o-mini", "b").await;
    assert_eq!((refused.status, refused.header("x-attache-limit")), (429, "team search;requests;1M"));
    assert_eq!(ask(&world.client, "c", "openai/gpt-4o-mini", "c").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_day_s_cap_stops_a_runaway_agent_until_midnight() {
    let world = world("virtual_keys: [{name: agent, secret: \"{{vk-agent}}\", limits: [{money: 2, per: 1d}]}]\n").await;
    // Tomorrow, in the morning.
    let midnight = next(DAY) + DAY;
    set_clock(&world, midnight - 20 * HOUR).await;
    for day in [midnight, midnight + DAY] {
        let (served, refused) = exhaust(&world, "agent", "openai/gpt-4o-mini").await;
        let spent: f64 = served.iter().map(|(_, cost)| cost).sum();
        assert!(spent <= 2.0 && spent > 2.0 - DEAREST, "{spent}");
        let (kind, _) = Said::error(Dialect::OpenAi, &refused).unwrap();
        assert_eq!(
            (refused.status, kind.as_str(), refused.header("x-should-retry")),
            (429, "insufficient_quota", "false")
        );
        // A minute before the next begins nothing is different.
        set_clock(&world, day - 60).await;
        assert_eq!(ask(&world.client, "agent", "openai/gpt-4o-mini", "today").await.status, 429);
        set_clock(&world, day).await;
    }
    assert_eq!(ask(&world.client, "agent", "openai/gpt-4o-mini", "and on").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn so_many_requests_an_hour_and_so_many_tokens_a_minute() {
    let world = world(
        "virtual_keys:\n- {name: hourly, secret: \"{{vk-hourly}}\", limits: [{requests: 10, per: 1h}]}\n\
         - {name: minutely, secret: \"{{vk-minutely}}\", limits: [{total_tokens: 1000, per: 1m}]}\n",
    )
    .await;
    let start = next(HOUR);
    for (hour, minute) in [(start, start), (start + HOUR, start + HOUR + 60)] {
        set_clock(&world, hour).await;
        let (served, refused) = exhaust(&world, "hourly", "openai/gpt-4o-mini").await;
        assert_eq!(served.len(), 10);
        assert_eq!((refused.status, refused.header("x-attache-limit")), (429, "key hourly;requests;1h"));
        // By the ledger's clock, which goes on at its own pace.
        let left = |answer: &Answer| answer.header("retry-after").parse::<u64>().unwrap();
        assert!((HOUR - 60..=HOUR + 1).contains(&left(&refused)), "{}", left(&refused));
        set_clock(&world, minute).await;
        let (served, refused) = exhaust(&world, "minutely", "openai/gpt-4o-mini").await;
        let tokens: f64 = served.iter().map(|(_, cost)| cost * 1000.0).sum();
        assert!(tokens <= 1000.0 && tokens > 1000.0 * (1.0 - DEAREST), "{tokens}");
        assert!((1..=61).contains(&left(&refused)), "{}", left(&refused));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn economy_is_used_up_and_premium_is_not() {
    let world = world(
        "virtual_keys:\n- name: economy\n  secret: \"{{vk-economy}}\"\n  limits: [{money: 1, per: 1d}]\n  models: [gpt-4o]\n  \
         candidates: [{provider: openai, models: [gpt-4o-mini]}]\n- name: premium\n  secret: \"{{vk-premium}}\"\n  \
         limits: [{money: 100, per: 1d}]\n  models: [gpt-4o]\n  candidates: [{provider: openai, models: [gpt-4o]}]\n",
    )
    .await;
    let (served, _) = exhaust(&world, "economy", "gpt-4o").await;
    assert!(!served.is_empty());
    for _ in 0..=served.len() {
        let answer = ask(&world.client, "premium", "gpt-4o", "premium").await;
        assert_eq!((answer.status, answer.header("x-attache-model")), (200, "gpt-4o"), "{}", answer.text());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_lease_nobody_waits_for_the_sidecar() {
    let limits = "limits: [{money: 1000, per: 1M}, {requests: 100000, per: 1d}, {total_tokens: 100000000, per: 1w}]";
    let world = world(&format!("virtual_keys: [{{name: prod, secret: \"{{{{vk-prod}}}}\", {limits}}}]\n")).await;
    let ask = async |text: &str| {
        let answer = ask(&world.client, "prod", "openai/gpt-4o-mini", text).await;
        (answer.status, answer.text())
    };
    for round in 0..10 {
        let (status, said) = ask("warm").await;
        assert_eq!(status, 200, "round {round}: {said}");
        // Refilled at 30 of 100 of at least four requests, so there is room for one.
        tokio::time::sleep(Duration::from_millis(300)).await;
        world.stack.freeze_sidecar(true);
        let (status, said) = ask("frozen").await;
        assert_eq!(status, 200, "round {round}: {said}");
        world.stack.freeze_sidecar(false);
    }
    assert_eq!(world.ledger().wait_for(20).await.unwrap(), 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_taken_away_is_refused_everywhere_soon() {
    let yaml = |disabled: bool| {
        format!(
            "{TWO_VENDORS}{PRICES}virtual_keys: [{{name: prod, secret: \"{{{{vk-prod}}}}\", disabled: {disabled}, \
             limits: [{{money: 1000, per: 1M}}]}}]\n"
        )
    };
    let world = World::with(&[OPENAI, ANTHROPIC].map(HostSpec::tls), &yaml(false), |_| {}).await;
    let beside = world.stack.beside(2).await.unwrap();
    // Connections are spread over both workers of both Envoys.
    let clients = (0..16).flat_map(|_| [Client::h1(world.stack.listen()), beside.client()]);
    let clients: Vec<_> = clients.collect();
    for client in &clients {
        assert_eq!(ask(client, "prod", "openai/gpt-4o-mini", "still there").await.status, 200);
    }
    world.stack.configure(&yaml(true)).unwrap();
    let saved = Instant::now();
    let mut last = Duration::ZERO;
    let mut refused = 0;
    // Until each connection was refused twice over.
    while refused < 2 * clients.len() {
        refused = 0;
        for client in &clients {
            let (before, status) = (saved.elapsed(), ask(client, "prod", "openai/gpt-4o-mini", "revoked").await.status);
            match status {
                200 => last = before,
                // A slow machine: the new record was not there within the deadline. It is asked again.
                503 => {}
                status => {
                    assert_eq!(status, 403);
                    refused += 1;
                }
            }
        }
        refused *= if last + Duration::from_millis(500) < saved.elapsed() { 2 } else { 1 };
        assert!(saved.elapsed() < Duration::from_secs(60), "{refused} of {} refuse it", clients.len());
    }
    println!("{:.2} s after the file was saved nobody takes the key any more", last.as_secs_f64());
    assert!(last < Duration::from_secs(30), "{last:?}");
}
