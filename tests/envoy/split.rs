//! The weighted split, over all workers; and how a resting key's share goes to the others.

use std::time::Duration;

use tests::client::{Client, Dialect};
use tests::mock::{Fault, HostSpec};
use tests::said::Said;

use crate::world::{CASES, OPENAI, TWO_VENDORS, World};

/// Plaintext: ten thousand handshakes and frames prove nothing about the draw.
const HOSTS: [&str; 3] = ["big.example.test", "middle.example.test", "small.example.test"];
const WEIGHTS: [f64; 3] = [60.0, 30.0, 10.0];
/// Critical value of χ² with two degrees of freedom at p = 0.001.
const CHI_SQUARE_2: f64 = 13.816;
/// With one.
const CHI_SQUARE_1: f64 = 10.828;
const WORKERS: u32 = 4;
const PARALLEL: usize = 32;

async fn world() -> World {
    let mut yaml = String::from("routing: {seed: 20240229}\nproviders:\n");
    for (host, name) in HOSTS.iter().zip(["big", "middle", "small"]) {
        yaml.push_str(&format!(
            "  {name}: {{base_url: \"http://{host}/v1\", allow_insecure: true, format: openai_chat, \
             auth_header: {{name: authorization, prefix: \"Bearer \"}}, \
             keys: [{{name: k1, secret: \"{{{{sk-{name}}}}}\", models: [\"*\"]}}]}}\n"
        ));
    }
    yaml.push_str(
        "models:\n  m: {candidates: [{provider: big, weight: 60}, {provider: middle, weight: 30}, \
         {provider: small, weight: 10}]}\n",
    );
    let world = World::with(&HOSTS.map(HostSpec::plain), &yaml, |options| options.workers = WORKERS).await;
    world.mock.journal().counts_only(true);
    world
}

/// `n` requests over connections enough for every worker to have some. Every answer must be good.
async fn requests(world: &World, n: usize) {
    let call = Dialect::OpenAi.chat("m", "draw", false);
    let tasks = (0..PARALLEL).map(|_| {
        let (client, call) = (Client::h1(world.stack.listen()), call.clone());
        tokio::spawn(async move {
            for _ in 0..n.div_ceil(PARALLEL) {
                let answer = client.send(&call).await.unwrap();
                Said::read(Dialect::OpenAi, false, &answer).unwrap();
            }
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.unwrap();
    }
}

fn counts(world: &World) -> [f64; 3] {
    HOSTS.map(|host| world.mock.journal().count(host, "") as f64)
}

fn chi_square(found: &[f64], shares: &[f64]) -> f64 {
    let (total, whole) = (found.iter().sum::<f64>(), shares.iter().sum::<f64>());
    found.iter().zip(shares).map(|(n, share)| (n - total * share / whole).powi(2) / (total * share / whole)).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_requests_are_split_as_configured_and_a_resting_key_gets_none() {
    let world = world().await;
    requests(&world, 10_000).await;
    let found = counts(&world);
    assert!(found.iter().sum::<f64>() >= 10_000.0);
    assert!(chi_square(&found, &WEIGHTS) < CHI_SQUARE_2, "{found:?}");

    // Rest. What is already on its way when the 429 arrives may still come; so it is sent alone.
    let rest = Duration::from_secs(8);
    let journal = world.mock.journal();
    world.mock.host(HOSTS[1]).fault(Fault::rate_limited(rest.as_secs()).next(1));
    while !journal.counts().iter().any(|((_, _, outcome), _)| outcome.contains("429")) {
        world.send(&Dialect::OpenAi.chat("m", "draw", false)).await;
    }
    let rested = tokio::time::Instant::now();
    journal.clear();
    journal.counts_only(false);
    requests(&world, 2_000).await;
    let found = counts(&world);
    // Whether the time was over when the last of them came is told by the provider's own clock.
    let early: Vec<_> = journal.records(Some(HOSTS[1])).iter().map(|record| record.unix_nanos).collect();
    let first = journal.records(None).first().map(|record| record.unix_nanos).unwrap();
    // The rest began a moment before the first of these requests.
    let over = first + rest.as_nanos() - Duration::from_millis(500).as_nanos();
    assert!(early.iter().all(|at| *at >= over), "a resting key was asked: {early:?}, it rests until {over}");
    if early.is_empty() {
        let shares = [found[0], found[2]];
        assert!(chi_square(&shares, &[60.0, 10.0]) < CHI_SQUARE_1, "{found:?}");
    } else {
        println!("this machine is so slow that the rest ended before the requests did: shares not judged");
    }

    tokio::time::sleep_until(rested + rest + Duration::from_millis(100)).await;
    journal.clear();
    journal.counts_only(true);
    requests(&world, 2_000).await;
    assert!(chi_square(&counts(&world), &WEIGHTS) < CHI_SQUARE_2, "{:?}", counts(&world));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rate_limited_key_hands_over_to_its_providers_other_key_first() {
    let yaml = r#"
providers:
  one: {base_url: "http://one.example.test/v1", allow_insecure: true, format: openai_chat, auth_header: {name: api-key}, keys: [
    {name: a, secret: "{{sk-one-a}}", weight: 1, models: ["*"]},
    {name: b, secret: "{{sk-one-b}}", weight: 0, models: ["*"]}]}
  two: {base_url: "http://two.example.test/v1", allow_insecure: true, format: openai_chat, auth_header: {name: api-key}, keys: [
    {name: a, secret: "{{sk-two}}", models: ["*"]}]}
models:
  m: {candidates: [{provider: one, weight: 1}, {provider: two, weight: 0.5, priority: 1}]}
"#;
    let hosts = ["one.example.test", "two.example.test"].map(HostSpec::plain);
    let world = World::with(&hosts, yaml, |_| {}).await;
    let one = world.mock.host("one.example.test");
    one.fault(Fault::rate_limited(60).always().for_key("sk-one-a"));
    for _ in 0..20 {
        let answer = world.send(&Dialect::OpenAi.chat("m", "hi", false)).await;
        Said::read(Dialect::OpenAi, false, &answer).unwrap();
        assert_eq!(answer.header("x-attache-provider"), "one");
    }
    let journal = world.mock.journal();
    let asked = ["sk-one-a", "sk-one-b"].map(|key| journal.count("one.example.test", key));
    assert_eq!(asked, [1, 20], "asked once, then left alone; the other key has all");
    assert_eq!(journal.count("two.example.test", ""), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn when_every_key_rests_the_client_is_told_until_when_and_no_provider_is_asked() {
    let world = World::start(TWO_VENDORS).await;
    world.mock.host(OPENAI).fault(Fault::rate_limited(120).always());
    for case in CASES {
        let answer = world.send(&case.call("openai/gpt-4o", "wait")).await;
        assert_eq!(answer.status, 429, "{case:?}");
        let (kind, _) = Said::error(case.dialect, &answer).unwrap_or_else(|e| panic!("{case:?}: {e:#}"));
        assert!(kind.starts_with("rate_limit"), "{case:?} {kind}");
        let after: u64 = answer.header("retry-after").parse().unwrap_or_else(|e| panic!("{case:?}: {e}"));
        assert!((60..=120).contains(&after), "{case:?} {after}");
    }
    assert_eq!(world.mock.journal().count(OPENAI, ""), 1, "the first request learned it for all");
}
