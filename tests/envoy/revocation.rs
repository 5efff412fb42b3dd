//! A key that is revoked while Envoy refuses what is pushed: keys and limits do not wait for Envoy.

use std::time::Instant;

use tests::client::Dialect;
use tests::mock::HostSpec;

use crate::world::{ANTHROPIC, OPENAI, World, until};

const YAML: &str = r#"
providers:
  openai: {keys: [{name: k1, secret: "{{sk-openai}}", models: ["*"]}]}
models:
  quick: {candidates: [{provider: openai, model: gpt-4o-mini}]}
auth: required
virtual_keys:
- {name: a, secret: "{{vk-a}}"}
- {name: b, secret: "{{vk-b}}"}
- {name: c, secret: "{{vk-c}}", candidates: [{provider: openai, models: [gpt-4o-mini]}]}
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_revoked_and_limits_count_while_envoy_refuses_a_module() {
    let world = World::with(&[HostSpec::tls(OPENAI), HostSpec::tls(ANTHROPIC)], YAML, |options| {
        // Envoy complains of half a module, as it should.
        (options.push, options.log) = (Some(1), "off");
    })
    .await;
    let ask =
        async |model: &str, key: &str| world.send(&Dialect::OpenAi.chat(model, "said", false).key(key)).await.status;
    for (model, key) in [("quick", "vk-a"), ("quick", "vk-b"), ("gpt-4o-mini", "vk-c")] {
        assert_eq!(ask(model, key).await, 200, "{key}");
    }
    let module = world.stack.dir().join("attache.wasm");
    let whole = std::fs::read(&module).unwrap();
    let replace = |bytes: &[u8]| {
        let aside = module.with_extension("new");
        std::fs::write(&aside, bytes).unwrap();
        std::fs::rename(aside, &module).unwrap();
    };
    let failed = async || world.stack.metric("attache_config_reloads_total", &["failed"]).await.unwrap();
    let tries = async || {
        let log = world.stack.sidecar_log().unwrap();
        log.contains("has not taken up")
    };
    replace(&whole[..whole.len() / 2]);
    until(&world, "Envoy to refuse the module", async || failed().await > 0.0 && tries().await).await;

    // In the middle of the next try. The third key swaps all its candidates for one that no filter knows yet.
    let revoked = YAML
        .replace("{name: a,", "{name: a, disabled: true,")
        .replace("{name: b,", "{name: b, limits: [{requests: 1, per: 1Y}],")
        .replace("providers:", "providers:\n  anthropic: {keys: [{name: k1, secret: \"{{sk-ant}}\", models: [\"*\"]}]}")
        .replace("{provider: openai, models: [gpt-4o-mini]}", "{provider: anthropic, models: [claude-3-5-haiku]}");
    let since = Instant::now();
    let hash = world.stack.configure(&revoked).unwrap();
    until(&world, "the revocation", async || ask("quick", "vk-a").await == 403).await;
    println!("revoked after {:.1?}", since.elapsed());
    until(&world, "the limit", async || ask("quick", "vk-b").await == 429).await;
    assert_eq!(ask("gpt-4o-mini", "vk-c").await, 200, "it keeps what it had until Envoy knows the other");
    let running = async || world.stack.metric("attache_config_hash", &[]).await.unwrap() == hash as f64;
    assert!(!running().await, "Envoy has not taken it up, and the metric says so");

    replace(&whole);
    until(&world, "the push", async || running().await).await;
    until(&world, "the new candidate", async || ask("claude-3-5-haiku", "vk-c").await == 200).await;
    // The key's only candidate stands in for a model that it lacks.
    let call = Dialect::OpenAi.chat("gpt-4o-mini", "said", false).key("vk-c");
    let served = async || world.send(&call).await.header("x-attache-provider").to_owned();
    until(&world, "the former candidate to go", async || served().await == "anthropic").await;
    assert_eq!(ask("quick", "vk-a").await, 403);
}
