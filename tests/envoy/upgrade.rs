//! A new module: it is pushed like a configuration, and the streams and tries of the former one go on in it.

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tests::client::{Client, DIALECTS};
use tests::mock::vendor::text;
use tests::mock::{Fault, HostSpec};
use tests::said::Said;
use tests::stack::attache;

use crate::world::{ANTHROPIC, OPENAI, World, until};

const YAML: &str = r#"
providers:
  openai: {keys: [{name: k1, secret: "{{sk-openai}}", models: ["*"]}]}
  anthropic: {keys: [{name: k1, secret: "{{sk-ant}}", models: ["*"]}]}
models:
  slow: {candidates: [{provider: anthropic, model: claude-3-5-haiku}]}
  quick: {candidates: [{provider: openai, model: gpt-4o-mini}]}
  both: {candidates: [{provider: openai, model: gpt-4o-mini}, {provider: anthropic, model: claude-3-5-haiku, priority: 1}]}
virtual_keys: [{name: a, secret: "{{vk-a}}"}]
"#;
const WORKERS: usize = 60;

async fn world() -> World {
    World::with(&[HostSpec::tls(OPENAI), HostSpec::tls(ANTHROPIC)], YAML, |options| options.push = Some(1)).await
}

/// Replaces the module and waits until requests are planned by the new one.
async fn upgrade(world: &World) {
    let applied = async || world.stack.metric("attache_config_reloads_total", &["applied"]).await.unwrap();
    let before = applied().await;
    world.stack.upgrade().unwrap();
    until(world, "the upgrade", async || applied().await > before).await;
}

#[derive(Default)]
struct Load {
    over: AtomicBool,
    upgrades: AtomicU64,
    sent: AtomicU64,
    /// Streams that an upgrade was applied during.
    across: AtomicU64,
}

/// One stream after the other until it is over.
async fn streams(client: Client, load: Arc<Load>, worker: usize) {
    while !load.over.load(Ordering::SeqCst) {
        let (dialect, number) = (DIALECTS[worker % 2], load.sent.fetch_add(1, Ordering::SeqCst));
        let slow = worker > 3;
        let (model, host, served) =
            if slow { ("slow", ANTHROPIC, "claude-3-5-haiku") } else { ("quick", OPENAI, "gpt-4o-mini") };
        let mark = format!("stream {number}");
        let before = load.upgrades.load(Ordering::SeqCst);
        let answer = client.send(&dialect.chat(model, &mark, true).key("vk-a")).await.unwrap();
        let said = Said::read(dialect, true, &answer).unwrap_or_else(|e| panic!("{mark}: {e:#}"));
        assert_eq!(said.text, text(host, served, &mark));
        let across = slow && load.upgrades.load(Ordering::SeqCst) > before;
        load.across.fetch_add(u64::from(across), Ordering::SeqCst);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_module_cuts_no_stream_fails_no_request_and_loses_no_settlement() {
    let world = world().await;
    world.mock.host(ANTHROPIC).fault(Fault::Drip { ms: 500 }.always());
    let created = async || world.stack.stat("wasm.envoy.wasm.runtime.v8.created").await.unwrap();
    let (former, load) = (created().await, Arc::new(Load::default()));
    let workers: Vec<_> =
        (0..WORKERS).map(|worker| tokio::spawn(streams(world.stack.client(), load.clone(), worker))).collect();
    for n in 1..=2 {
        let sent = load.sent.load(Ordering::SeqCst);
        until(&world, "traffic", async || load.sent.load(Ordering::SeqCst) > sent + 100).await;
        upgrade(&world).await;
        load.upgrades.store(n, Ordering::SeqCst);
    }
    load.over.store(true, Ordering::SeqCst);
    for worker in workers {
        worker.await.unwrap();
    }
    let (sent, across) = (load.sent.load(Ordering::SeqCst), load.across.load(Ordering::SeqCst));
    println!("2 upgrades: {sent} streams, {across} of them across an upgrade; 0 failed");
    assert!(across > 0, "no stream was live during an upgrade");
    assert!(created().await > former, "no new module was loaded");
    assert_eq!(world.ledger().wait_for(sent).await.unwrap(), sent);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_waits_in_its_first_try_fails_over_in_the_module_that_planned_it() {
    let world = world().await;
    for dialect in DIALECTS {
        for stream in [false, true] {
            let mark = format!("planned {dialect:?} {stream}.");
            world.mock.host(OPENAI).fault(Fault::Hang.always());
            let (client, call) = (world.client.clone(), dialect.chat("both", &mark, stream).key("vk-a"));
            let request = tokio::spawn(async move { client.send(&call).await.unwrap() });
            until(&world, "the first try", async || !world.received(OPENAI, &mark).is_empty()).await;
            upgrade(&world).await;
            world.mock.host(OPENAI).cut();
            let answer = request.await.unwrap();
            let said = Said::read(dialect, stream, &answer).unwrap();
            assert_eq!(said.text, text(ANTHROPIC, "claude-3-5-haiku", &mark));
            assert_eq!(answer.header("x-attache-attempts"), "2");
            world.mock.reset().unwrap();
        }
    }
    let admin = format!("http://{}", world.stack.admin());
    let doctor = Command::new(attache().unwrap()).args(["doctor", &admin]).output().unwrap();
    assert!(doctor.status.success(), "{}", String::from_utf8_lossy(&doctor.stdout));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_module_that_envoy_cannot_load_changes_nothing_and_stands_in_no_good_ones_way() {
    let world = World::with(&[HostSpec::tls(OPENAI), HostSpec::tls(ANTHROPIC)], YAML, |options| {
        // Envoy says much about it, which no other story may cause.
        (options.push, options.log) = (Some(1), "off");
    })
    .await;
    let count = async |result| world.stack.metric("attache_config_reloads_total", &[result]).await.unwrap();
    let served = async |mark: &str| {
        for dialect in DIALECTS {
            let answer = world.send(&dialect.chat("quick", mark, true).key("vk-a")).await;
            assert_eq!(Said::read(dialect, true, &answer).unwrap().text, text(OPENAI, "gpt-4o-mini", mark));
        }
    };
    let file = world.stack.dir().join("attache.wasm");
    let good = std::fs::read(&file).unwrap();
    std::fs::write(&file, b"\0asm\x01\0\0\0and then nothing that makes sense").unwrap();
    until(&world, "the failure", async || count("failed").await > 0.0).await;
    assert!(world.stack.sidecar_log().unwrap().contains("has not taken up cds.yaml"));
    served("the former one").await;
    std::fs::write(&file, good).unwrap();
    world.stack.upgrade().unwrap();
    until(&world, "the good one", async || count("applied").await > 0.0).await;
    served("the next").await;
}
