//! Pushes: the configuration and its secrets change under traffic, and nobody notices.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tests::client::{Client, Dialect};
use tests::mock::vendor::text;
use tests::mock::{Fault, HostSpec};
use tests::said::Said;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::world::{ANTHROPIC, OPENAI, TWO_VENDORS, World, until};

const SLOW: &str = "slow.test";
const PUSHES: u64 = 20;
/// New requests a second, half of them slow streams; fewer where so many wait for an answer to begin that the machine
/// cannot keep up.
const RATE: u64 = 200;
const WAITING: usize = 100;
/// Between the events of a slow stream.
const DRIP: Fault = Fault::Drip { ms: 350 };

/// Writes the configuration and waits until it runs.
async fn push(world: &World, yaml: &str) {
    let hash = world.stack.configure(yaml).unwrap();
    until(world, "the push", async || world.stack.metric("attache_config_hash", &[]).await.unwrap() == hash as f64)
        .await;
}

async fn reloads(world: &World, result: &str) -> f64 {
    world.stack.metric("attache_config_reloads_total", &[result]).await.unwrap()
}

/// The n-th configuration: each adds a provider, keys and a model, and removes some.
fn numbered(n: u64, slow: std::net::SocketAddr) -> String {
    let (mut providers, mut models, mut keys) = (String::new(), String::new(), String::new());
    for i in n.saturating_sub(2)..=n {
        writeln!(
            providers,
            "  slow-{i}: {{base_url: \"http://{slow}/v1\", format: openai_chat, keys: [{{name: k, secret: \"{{{{sk-slow-{i}}}}}\", \
             models: [\"*\"]}}]}}"
        )
        .unwrap();
        writeln!(models, "  model-{i}: {{candidates: [{{provider: slow-{i}, model: gpt-4o-mini}}]}}").unwrap();
        writeln!(keys, "- {{name: extra-{i}, secret: \"{{{{vk-extra-{i}}}}}\"}}").unwrap();
    }
    format!(
        r#"
providers:
  openai:
    keys:
    - {{name: main, secret: "{{{{rotated}}}}", models: ["*"]}}
    - {{name: extra-{n}, secret: "{{{{sk-extra-{n}}}}}", models: ["*"]}}
{providers}
models:
  quick: {{candidates: [{{provider: openai, model: gpt-4o-mini}}]}}
{models}
virtual_keys:
- {{name: prod, secret: "{{{{vk-prod}}}}"}}
{keys}
"#
    )
}

/// A request whose answer has not begun.
struct Asking {
    model: u64,
    /// How many ask for each model.
    counts: Arc<Mutex<BTreeMap<u64, usize>>>,
    _place: OwnedSemaphorePermit,
}

impl Asking {
    fn new(model: u64, counts: &Arc<Mutex<BTreeMap<u64, usize>>>, place: OwnedSemaphorePermit) -> Self {
        *counts.lock().unwrap().entry(model).or_default() += 1;
        Self { model, counts: counts.clone(), _place: place }
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        *self.counts.lock().unwrap().entry(self.model).or_default() -= 1;
    }
}

#[derive(Default)]
struct Tally {
    sent: AtomicU64,
    quick: AtomicU64,
    streams: AtomicU64,
    /// Streams that a push was applied during.
    across: AtomicU64,
    shortest: Mutex<Option<Duration>>,
    failed: Mutex<Vec<String>>,
}

/// One request; what a client calls failed is noted. `asking` is held until its answer begins.
async fn one(client: Client, tally: Arc<Tally>, applied: Arc<AtomicU64>, stream: bool, mark: String, asking: Asking) {
    let (began, before) = (Instant::now(), applied.load(Ordering::SeqCst));
    let n = asking.model;
    let (model, key) =
        if stream { (format!("model-{n}"), format!("vk-extra-{n}")) } else { ("quick".into(), "vk-prod".into()) };
    let host = if stream { SLOW } else { OPENAI };
    let read = match client.open(&Dialect::OpenAi.chat(&model, &mark, stream).key(&key)).await {
        Ok(live) => {
            drop(asking);
            Said::read(Dialect::OpenAi, stream, &live.finish().await)
        }
        Err(error) => Err(error),
    };
    match read {
        Ok(said) if said.text == text(host, "gpt-4o-mini", &mark) && said.stop == "stop" => {
            if stream {
                tally.streams.fetch_add(1, Ordering::SeqCst);
                let took = began.elapsed();
                let mut shortest = tally.shortest.lock().unwrap();
                *shortest = Some(shortest.map_or(took, |shortest| shortest.min(took)));
                if applied.load(Ordering::SeqCst) > before {
                    tally.across.fetch_add(1, Ordering::SeqCst);
                }
            } else {
                tally.quick.fetch_add(1, Ordering::SeqCst);
            }
        }
        Ok(said) => tally.failed.lock().unwrap().push(format!("{mark}: {said:?}")),
        Err(error) => {
            let (took, now) = (began.elapsed(), applied.load(Ordering::SeqCst));
            let told = format!("{mark} {model} sent at {before}, failed at {now} after {took:.1?}: {error:#}");
            tally.failed.lock().unwrap().push(told);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_request_fails_over_twenty_pushes_under_load() {
    let hosts = [HostSpec::tls(OPENAI), HostSpec::plain(SLOW)];
    let mock = tests::mock::Mock::start(&hosts).unwrap();
    let slow = mock.host(SLOW).addr();
    mock.host(SLOW).fault(DRIP.always());
    let mut options = tests::stack::StackOptions::new(&mock);
    options.resolve.retain(|(host, _)| host == OPENAI);
    options.push = Some(1);
    // Each push has a key that nobody knows yet, and a machine that builds meanwhile may take longer than the default.
    options.sidecar = "deadline: 30s";
    let stack =
        tests::stack::Stack::start(&numbered(0, slow), options).await.unwrap_or_else(|error| panic!("{error:#}"));
    let world = World { client: stack.client(), stack, mock };

    let (tally, applied) = (Arc::new(Tally::default()), Arc::new(AtomicU64::new(0)));
    // Which of the numbered models clients know of.
    let (known, over) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
    let counts = Arc::new(Mutex::new(BTreeMap::new()));
    let began = Instant::now();
    let load = {
        let (tally, applied, known, over) = (tally.clone(), applied.clone(), known.clone(), over.clone());
        let (counts, places) = (counts.clone(), Arc::new(Semaphore::new(WAITING)));
        let (h1, h2) = (world.stack.client(), Client::h2c(world.stack.listen()));
        tokio::spawn(async move {
            let mut beat = tokio::time::interval(Duration::from_micros(1_000_000 / RATE));
            let mut running = Vec::new();
            for i in 0.. {
                beat.tick().await;
                let place = places.clone().acquire_owned().await.unwrap();
                if over.load(Ordering::SeqCst) {
                    break;
                }
                let stream = i % 2 == 0;
                let client = if stream { h2.clone() } else { h1.clone() };
                let asking = Asking::new(known.load(Ordering::SeqCst), &counts, place);
                let (mark, tally, applied) = (format!("mark {i}."), tally.clone(), applied.clone());
                tally.sent.fetch_add(1, Ordering::SeqCst);
                running.push(tokio::spawn(one(client, tally, applied, stream, mark, asking)));
            }
            for request in running {
                request.await.unwrap();
            }
        })
    };
    for n in 1..=PUSHES {
        // Nobody removes a model that is asked for; on a busy machine a request may take seconds to arrive.
        let kept = n.saturating_sub(2);
        until(&world, "answers of the models that go", async || {
            counts.lock().unwrap().range(..kept).all(|(_, asking)| *asking == 0)
        })
        .await;
        std::fs::write(world.stack.secret("rotated"), format!("sk-rotated-{n}")).unwrap();
        push(&world, &numbered(n, slow)).await;
        applied.fetch_add(1, Ordering::SeqCst);
        known.store(n, Ordering::SeqCst);
    }
    over.store(true, Ordering::SeqCst);
    let took = began.elapsed();
    load.await.unwrap();
    let failed = std::mem::take(&mut *tally.failed.lock().unwrap());
    let count = |number: &AtomicU64| number.load(Ordering::SeqCst);
    let shortest = tally.shortest.lock().unwrap().unwrap_or_default();
    println!(
        "{PUSHES} pushes in {took:.1?}: {} requests ({:.0}/s), {} of them streams of at least {shortest:.1?}, {} of those \
         across a push; {} failed",
        count(&tally.sent),
        count(&tally.sent) as f64 / took.as_secs_f64(),
        count(&tally.streams),
        count(&tally.across),
        failed.len()
    );
    assert!(failed.is_empty(), "{} failed: {:#?}", failed.len(), &failed[..failed.len().min(10)]);
    assert_eq!(count(&tally.quick) + count(&tally.streams), count(&tally.sent));
    assert!(shortest > Duration::from_secs(5) && count(&tally.across) > 0);
    assert_eq!((reloads(&world, "applied").await, reloads(&world, "refused").await), (PUSHES as f64, 0.0));
    // Every secret that was rotated in was used, and in order.
    let mut keys: BTreeMap<String, u64> = BTreeMap::new();
    for record in world.mock.journal().records(Some(OPENAI)) {
        for (_, value) in record.credentials() {
            *keys.entry(value).or_default() += 1;
        }
    }
    assert!(keys.contains_key(&format!("Bearer sk-rotated-{PUSHES}")), "{keys:?}");
    assert_eq!(world.ledger().wait_for(count(&tally.sent)).await.unwrap(), count(&tally.sent));
}

/// Three hosts of which a request tries one after the other.
fn chain(second: Option<&str>, addresses: &[std::net::SocketAddr; 3]) -> String {
    let provider = |name: &str, address| {
        format!(
            "  {name}: {{base_url: \"http://{address}/v1\", format: openai_chat, keys: [{{name: k, secret: \"{{{{sk-{name}}}}}\", models: [\"*\"]}}]}}\n"
        )
    };
    let [a, b, c] = addresses;
    let second_provider = second.map(|name| provider(name, b)).unwrap_or_default();
    let second_candidate =
        second.map(|name| format!("{{provider: {name}, model: m, priority: 1}}, ")).unwrap_or_default();
    format!(
        "providers:\n{}{second_provider}{}models:\n  chain: {{candidates: [{{provider: first, model: m}}, {second_candidate}\
         {{provider: third, model: m, priority: 2}}]}}\n",
        provider("first", a),
        provider("third", c)
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_planned_try_at_a_removed_provider_fails_over() {
    let names = ["first.test", "second.test", "third.test"];
    let mock = tests::mock::Mock::start(&names.map(HostSpec::plain)).unwrap();
    let addresses = names.map(|name| mock.host(name).addr());
    let mut options = tests::stack::StackOptions::new(&mock);
    options.resolve.clear();
    options.push = Some(1);
    let stack = tests::stack::Stack::start(&chain(Some("second"), &addresses), options).await.unwrap();
    let world = World { client: stack.client(), stack, mock };
    for dialect in tests::client::DIALECTS {
        for stream in [false, true] {
            push(&world, &chain(Some("second"), &addresses)).await;
            world.mock.host(names[0]).fault(Fault::Hang.always());
            let mark = format!("planned {dialect:?} {stream}.");
            let (client, call) = (world.client.clone(), dialect.chat("chain", &mark, stream));
            let request = tokio::spawn(async move { client.send(&call).await.unwrap() });
            until(&world, "the first try", async || !world.received(names[0], &mark).is_empty()).await;
            push(&world, &chain(None, &addresses)).await;
            let secret = world.stack.dir().join("envoy/sds/second_k.yaml");
            until(&world, "the end of the grace", async || {
                !std::fs::read_to_string(&secret).unwrap_or_default().contains("sk-second")
            })
            .await;
            let hosts = |name: &str| name.starts_with("second_k@") && name.ends_with("_hosts");
            until(&world, "Envoy", async || !world.stack.config_dump().await.unwrap().split('"').any(hosts)).await;
            world.mock.host(names[0]).cut();
            let answer = request.await.unwrap();
            let said = Said::read(dialect, stream, &answer).unwrap();
            assert_eq!(said.text, text(names[2], "m", &mark));
            assert_eq!(answer.header("x-attache-provider"), "third");
            assert_eq!(answer.header("x-attache-attempts"), "3");
            assert!(world.received(names[1], &mark).is_empty(), "a withdrawn key was used");
            world.mock.reset().unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_configuration_is_refused_with_every_fault_and_the_last_good_one_goes_on() {
    let world = World::with(&[HostSpec::tls(OPENAI), HostSpec::tls(ANTHROPIC)], TWO_VENDORS, |options| {
        options.push = Some(1);
    })
    .await;
    let ask = || Dialect::OpenAi.chat("openai/gpt-4o", "good", false);
    let file = world.stack.dir().join("attache.yaml");
    let good = std::fs::read_to_string(&file).unwrap();
    let running = world.stack.metric("attache_config_hash", &[]).await.unwrap();
    let several =
        format!("strcit: true\n{}", TWO_VENDORS.replace("models: [\"gpt-4o-mini\", \"gpt-4o\"]", "weight: -1"));
    let elsewhere = TWO_VENDORS.replace("{{sk-openai}}", "file:/nowhere/key");
    let twice = format!(
        "{TWO_VENDORS}virtual_keys: [{{name: a, secret: \"{{{{vk}}}}\"}}, {{name: b, secret: \"{{{{vk2}}}}\"}}]"
    );
    std::fs::write(world.stack.secret("vk2"), "vk").unwrap();
    let cases: [(&str, &[&str]); 3] = [
        (
            &several,
            &[
                "strcit: found an unknown name",
                "providers.openai.keys[0].weight: found",
                "providers.openai.keys[0].models: ",
            ],
        ),
        (&elsewhere, &["the secret of provider key openai_k1: reading /nowhere/key"]),
        (&twice, &["virtual keys \"a\" and \"b\" have the same secret"]),
    ];
    for (n, (yaml, faults)) in cases.iter().enumerate() {
        world.stack.configure(yaml).unwrap();
        until(&world, "the refusal", async || reloads(&world, "refused").await == (n + 1) as f64).await;
        let log = world.stack.sidecar_log().unwrap();
        for fault in *faults {
            assert!(log.contains(fault), "{fault} is not in\n{log}");
        }
        assert_eq!(world.send(&ask()).await.status, 200);
        assert_eq!(world.stack.metric("attache_config_hash", &[]).await.unwrap(), running);
    }
    // What is only read at the start.
    std::fs::write(&file, good.replace("/s.sock", "/other.sock")).unwrap();
    until(&world, "the refusal", async || reloads(&world, "refused").await == (cases.len() + 1) as f64).await;
    assert!(world.stack.sidecar_log().unwrap().contains("sidecar.address: changed, which needs a restart of Envoy"));
    assert_eq!(reloads(&world, "applied").await, 0.0);
    push(&world, &format!("{TWO_VENDORS}auth: required\nvirtual_keys: [{{name: a, secret: \"{{{{vk-a}}}}\"}}]\n"))
        .await;
    until(&world, "the push", async || world.send(&ask()).await.status == 401).await;
    assert_eq!(world.send(&ask().key("vk-a")).await.status, 200);
    // And back, with another key: the former one is heard of no more.
    push(&world, &format!("{TWO_VENDORS}auth: required\nvirtual_keys: [{{name: b, secret: \"{{{{vk-b}}}}\"}}]\n"))
        .await;
    until(&world, "the revocation", async || world.send(&ask().key("vk-a")).await.status == 401).await;
    assert_eq!(world.send(&ask().key("vk-b")).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotated_key_is_the_only_one_a_provider_sees() {
    let world = World::with(&[HostSpec::tls(OPENAI), HostSpec::tls(ANTHROPIC)], TWO_VENDORS, |options| {
        options.push = Some(1);
    })
    .await;
    let key = world.stack.secret("sk-openai");
    let over = Arc::new(AtomicBool::new(false));
    let load: Vec<_> = (0..8)
        .map(|worker| {
            let (client, over) = (world.stack.client(), over.clone());
            tokio::spawn(async move {
                for i in 0.. {
                    if over.load(Ordering::SeqCst) {
                        break;
                    }
                    let call = Dialect::OpenAi.chat("openai/gpt-4o", &format!("{worker} {i}"), i % 2 == 0);
                    assert_eq!(client.send(&call).await.unwrap().status, 200);
                }
            })
        })
        .collect();
    for n in 1..=5 {
        let (former, new) = (format!("Bearer sk-rotated-{}", n - 1), format!("Bearer sk-rotated-{n}"));
        let before = world.stack.stat("sds.openai_k1.update_success").await.unwrap();
        std::fs::write(&key, format!("sk-rotated-{n}")).unwrap();
        until(&world, "Envoy", async || world.stack.stat("sds.openai_k1.update_success").await.unwrap() > before).await;
        until(&world, "the new key", async || world.mock.journal().count(OPENAI, &new) > 0).await;
        // Both workers were told in the instant the counter grew; requests on their way had a second to arrive.
        tokio::time::sleep(Duration::from_secs(1)).await;
        let (old, rotated) = (world.mock.journal().count(OPENAI, &former), world.mock.journal().count(OPENAI, &new));
        until(&world, "more requests", async || world.mock.journal().count(OPENAI, &new) > rotated + 100).await;
        assert_eq!(world.mock.journal().count(OPENAI, &former), old, "the former key was used again");
    }
    over.store(true, Ordering::SeqCst);
    for worker in load {
        worker.await.unwrap();
    }
    assert_eq!(reloads(&world, "applied").await, 5.0);
}
