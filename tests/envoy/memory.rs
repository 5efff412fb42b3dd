//! What memory many streams, many models and many requests take, and give back.
//!
//! Does not: count random keys; see `flood`. Figures are of the whole process, so the bounds have room for Envoy's own
//! allocator, which keeps some of what was freed.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tests::client::{Client, Dialect};
use tests::mock::{Fault, HostSpec};
use tests::said::Said;

use crate::hostile::Calm;
use crate::world::{ANTHROPIC, OPENAI, World};

const STREAMS: usize = 1_000;
const ANY_MODEL: &str = r#"
providers:
  openai: {keys: [{name: k1, secret: "{{sk-openai}}", models: ["*"]}]}
  anthropic: {keys: [{name: k1, secret: "{{sk-ant}}", models: ["*"]}]}
"#;

async fn world() -> World {
    World::with(&[OPENAI, ANTHROPIC].map(HostSpec::tls), ANY_MODEL, |options| options.workers = 1).await
}

/// So many streams at once, each on a connection of its own, half of them translated. None may be cut.
async fn wave(world: &World, streams: usize) {
    let tasks = (0..streams).map(|n| {
        let client = Client::h1(world.stack.listen());
        let model = if n % 2 == 0 { "openai/m" } else { "anthropic/m" };
        let call = Dialect::OpenAi.chat(model, "slowly", true);
        tokio::spawn(async move {
            let answer = client.send(&call).await.unwrap();
            Said::read(Dialect::OpenAi, true, &answer).unwrap_or_else(|e| panic!("stream {n} was cut: {e:#}"));
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.unwrap();
    }
}

async fn idle(world: &World) -> u64 {
    tokio::time::sleep(Duration::from_secs(2)).await;
    world.stack.envoy_memory()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_slow_streams_on_one_worker_are_not_cut_and_their_memory_comes_back() {
    let world = world().await;
    let calm = Calm::of(&world).await;
    for host in [OPENAI, ANTHROPIC] {
        world.mock.host(host).fault(Fault::Drip { ms: 100 }.always());
    }
    // As many as later: the allocator and the module's memory keep what the highest tide took, so a smaller one would
    // measure that, and not whether each tide takes more.
    wave(&world, STREAMS).await;
    let warm = idle(&world).await;
    let before = world.mock.journal().records(None).len();
    let during = {
        let (all, look) = tokio::join!(wave(&world, STREAMS), async {
            tokio::time::sleep(Duration::from_millis(1_500)).await;
            let open = world.stack.stat("http.attache.downstream_rq_active").await.unwrap();
            (open, world.stack.envoy_memory())
        });
        let () = all;
        look
    };
    let after = idle(&world).await;
    let mib = |bytes: u64| bytes >> 20;
    println!("{} MiB warm, {} with {} streams open, {} after", mib(warm), mib(during.1), during.0, mib(after));
    assert_eq!(world.mock.journal().records(None).len() - before, STREAMS, "one try each");
    assert!(during.0 > STREAMS as u64 / 2, "only {} were open at once", during.0);
    assert!(after <= warm + warm / 5, "{} MiB after, {} before", mib(after), mib(warm));
    world.mock.host(OPENAI).clear();
    calm.still(&world).await;
}

/// Requests for models that nobody has heard of, some of which a provider with `*` serves all the same.
async fn models(world: &World, first: u64, n: u64) {
    let next = Arc::new(AtomicU64::new(first));
    let tasks = (0..32).map(|_| {
        let (client, next) = (Client::h1(world.stack.listen()), Arc::clone(&next));
        tokio::spawn(async move {
            loop {
                let at = next.fetch_add(1, Ordering::Relaxed);
                if at >= first + n {
                    return;
                }
                let (model, status) = match at % 3 {
                    0 => (format!("openai/model-{at:016x}"), 200),
                    1 => (format!("anthropic/model-{at:016x}"), 200),
                    _ => (format!("model-{at:016x}"), 404),
                };
                let answer = client.send(&Dialect::OpenAi.chat(&model, "who are you?", false)).await.unwrap();
                assert_eq!(answer.status, status, "{}", answer.text());
            }
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.unwrap();
    }
}

fn names(page: &str) -> BTreeSet<String> {
    page.lines().filter_map(|line| line.split([':', ' ']).next()).map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_grows_with_the_number_of_models_and_requests() {
    let world = world().await;
    world.mock.journal().counts_only(true);
    models(&world, 0, 3_000).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let (envoy, sidecar) = (world.stack.envoy_memory(), world.stack.sidecar_memory());
    let (stats, series) = (names(&world.stack.admin_page("/stats").await.unwrap()), series(&world).await);
    models(&world, 1_000_000, 9_000).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let grown =
        [world.stack.envoy_memory().saturating_sub(envoy), world.stack.sidecar_memory().saturating_sub(sidecar)];
    println!("Envoy and sidecar grew by {} and {} KiB", grown[0] >> 10, grown[1] >> 10);
    assert!(grown.iter().all(|bytes| *bytes < 8 << 20), "grown by {grown:?} bytes");
    let now = names(&world.stack.admin_page("/stats").await.unwrap());
    // A late call to the sidecar has statistics of its status, whoever asked for what.
    let new: Vec<_> = now.difference(&stats).filter(|name| !name.starts_with("cluster.sidecar.")).collect();
    assert_eq!(new, Vec::<&String>::new(), "statistics named by clients");
    assert_eq!(self::series(&world).await, series, "series named by clients");
    assert!(world.stack.metric("attache_attempts_total", &["model=\"other\""]).await.unwrap() > 5_000.0);
}

/// How many series the sidecar shows.
async fn series(world: &World) -> usize {
    world.stack.metrics().await.unwrap().lines().filter(|line| !line.starts_with('#')).count()
}
