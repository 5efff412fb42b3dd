//! The loader, from YAML text as users write it.
#![cfg(test)]

use std::time::Duration;

use engine::config::schema::{AuthMode, ClientKeys, OnFailure};
use engine::config::snapshot::{Address, Names};
use engine::config::{Loaded, guest, load, load_guest};
use serde_json::Value;

const SMALL: &str = r#"
version: 1
providers:
  openai:
    keys:
      - { name: main, secret: "env:OPENAI_API_KEY", models: ["*"] }
"#;

/// As the sidecar reads it.
fn document(yaml: &str) -> Value {
    let options = serde_saphyr::options! {
        strict_booleans: true,
        non_finite_float_policy: serde_saphyr::options::NonFiniteFloatPolicy::AsString,
    };
    serde_saphyr::from_str_with_options(yaml, options).expect("the test's YAML is well-formed")
}

fn loaded(yaml: &str) -> Loaded {
    load(document(yaml)).unwrap_or_else(|faults| panic!("{}", told(&faults)))
}

fn told(faults: &[engine::config::Fault]) -> String {
    faults.iter().map(|fault| format!("{fault}\n")).collect()
}

#[test]
fn the_smallest_file_has_every_default() {
    let snapshot = loaded(SMALL).snapshot;
    assert_eq!(snapshot.listen, "127.0.0.1:8080");
    assert_eq!(snapshot.auth, AuthMode::Open);
    assert_eq!(snapshot.client_keys, ClientKeys::Strip);
    assert_eq!((snapshot.retry.per_candidate, snapshot.retry.max), (1, 4));
    assert_eq!(snapshot.retry.backoff, Duration::from_millis(5));
    assert_eq!(snapshot.body_limit, 32 << 20);
    let bounds = snapshot.bounds;
    assert_eq!((bounds.heap, bounds.connections, bounds.body_rate), (8 << 30, 50_000, 1 << 10));
    let patience = snapshot.timeouts;
    assert_eq!((patience.connect.as_secs(), patience.first_content.as_secs()), (1, 30));
    assert_eq!((patience.complete.as_secs(), patience.idle.as_secs()), (300, 60));
    assert_eq!(snapshot.sidecar.address, Address::Unix("/run/attache/sidecar.sock".to_owned()));
    assert_eq!(snapshot.sidecar.on_failure, OnFailure::Deny);
    assert_eq!(snapshot.sidecar.deadline, Duration::from_millis(250));
    assert_eq!(snapshot.sidecar.patience, Duration::from_secs(5));
    assert_eq!(snapshot.sidecar.key_ttl, Duration::from_secs(30));
    assert_eq!((snapshot.sidecar.store.as_str(), snapshot.sidecar.admin.as_str()), ("attache.db", "127.0.0.1:9091"));
    assert_eq!(snapshot.seed, None);
    let provider = &snapshot.providers[0];
    assert_eq!(
        (provider.host.as_str(), provider.port, provider.tls, provider.http2),
        ("api.openai.com", 443, true, true)
    );
    assert_eq!((provider.authority.as_str(), provider.prefix.as_str()), ("api.openai.com", "/v1"));
    assert_eq!((provider.auth_header.as_str(), provider.auth_prefix.as_str()), ("authorization", "Bearer "));
    assert_eq!(snapshot.lanes[0].cluster, "openai_main");
    assert_eq!(snapshot.lanes[0].models, Names::Any);
}

#[test]
fn weights_are_any_numbers_and_sum_to_one_in_their_group() {
    let Loaded { snapshot, virtual_keys, .. } = loaded(
        r#"
version: 1
providers:
  openai:
    keys:
      - { name: a, secret: "env:A", weight: 60, models: ["*"] }
      - { name: b, secret: "env:B", weight: 30, models: ["*"] }
      - { name: c, secret: "env:C", weight: 10, models: ["*"] }
  anthropic: { keys: [{ name: a, secret: "env:D", models: [claude-haiku] }] }
models:
  chat:
    candidates:
      - { provider: openai, model: gpt-4o-mini, weight: 3 }
      - { provider: anthropic, model: claude-haiku }
      - { provider: openai, model: gpt-4o, priority: 1, weight: 0.2 }
virtual_keys:
  - name: prod
    secret: env:VK
    candidates:
      - { provider: openai, models: [gpt-4o-mini], weight: 0.8 }
      - { provider: anthropic, models: [claude-haiku], weight: 0.2 }
"#,
    );
    let lanes: Vec<f64> = snapshot.lanes.iter().map(|lane| lane.weight).collect();
    assert_eq!(lanes, [0.6, 0.3, 0.1, 1.0]);
    let candidates: Vec<f64> = snapshot.models[0].candidates.iter().map(|candidate| candidate.weight).collect();
    assert_eq!(candidates, [0.75, 0.25, 1.0]);
    let shares: Vec<f64> = virtual_keys[0].candidates.iter().map(|candidate| candidate.weight).collect();
    assert_eq!(shares, [0.8, 0.2]);
    assert!(virtual_keys[0].substitute, "a key with its own candidates substitutes by default");
    assert_eq!(snapshot.auth, AuthMode::Required, "a configured key is asked for");
}

#[test]
fn a_provider_starts_from_its_row_and_says_what_differs() {
    let loaded = loaded(
        r#"
version: 1
providers:
  anthropic: { base_url: "https://proxy.example/claude/", http2: false, keys: [{ name: k, models: ["*"] }] }
  mine: { like: vllm, base_url: "http://gpu-1:8000/v1", keys: [{ name: k, models: ["*"] }] }
  custom: { base_url: "https://[2001:db8::1]:444", format: anthropic, path: /m, keys: [{ name: k, models: ["*"] }] }
  azure: { like: openai, auth_header: { name: API-Key }, keys: [{ name: k, models: ["*"] }] }
"#,
    );
    let told: Vec<String> = (loaded.snapshot.providers.iter())
        .map(|p| {
            let (format, http2) = (p.format.name(), p.http2);
            format!("{} {format} {}{} {}: {}| h2 {http2}", p.name, p.authority, p.prefix, p.auth_header, p.auth_prefix)
        })
        .collect();
    let expected = [
        "anthropic anthropic proxy.example/claude x-api-key: | h2 false",
        "mine openai_chat gpu-1:8000/v1 authorization: Bearer | h2 false",
        "custom anthropic [2001:db8::1]:444 x-api-key: | h2 true",
        "azure openai_chat api.openai.com/v1 api-key: | h2 true",
    ];
    assert_eq!(told, expected);
    assert_eq!(loaded.snapshot.providers[2].path.as_deref(), Some("/m"));
}

#[test]
fn the_guest_part_resolves_to_the_same_snapshot_without_secrets() {
    let whole = r#"
version: 1
listen: 0.0.0.0:8080
routing: { seed: 7 }
limits: { body: 65536 }
providers:
  zeta: { base_url: "http://127.0.0.1:8000/v1", format: openai_chat, path: /chat, keys: [{ name: none, models: ["*"] }] }
  openai: { auth_header: { name: Api-Key }, keys: [{ name: main, secret: "file:/run/secret", models: ["gpt-*"] }] }
models:
  z: { candidates: [{ provider: zeta, weight: 0.1 }, { provider: openai, model: gpt-5, weight: 0.2 }] }
  a: { candidates: [{ provider: zeta }] }
virtual_keys:
  - { name: prod, secret: env:VK_PROD }
"#;
    let mut whole = loaded(whole);
    let part = guest(&whole);
    let text = part.to_string();
    for secret in ["/run/secret", "VK_PROD", "virtual_keys", "null"] {
        assert!(!text.contains(secret), "{secret} in {text}");
    }
    let again =
        load_guest(serde_json::from_str(&text).expect("JSON")).unwrap_or_else(|faults| panic!("{}", told(&faults)));
    whole.snapshot.lanes.iter_mut().for_each(|lane| lane.secret = None);
    assert_eq!(format!("{again:#?}"), format!("{:#?}", whole.snapshot));
    assert_eq!(again.auth, AuthMode::Required);
}

fn told_of(yaml: &str) -> Vec<String> {
    let faults = load(document(yaml)).map(|_| Vec::new()).unwrap_or_else(|faults| faults);
    faults.iter().map(ToString::to_string).collect()
}

#[test]
fn faults_beyond_counting_end() {
    let mut yaml = SMALL.to_owned();
    for i in 0..1000 {
        yaml.push_str(&format!("x{i}: 1\n"));
    }
    let told = told_of(&yaml);
    assert_eq!(told.len(), 101);
    assert_eq!(told[100], "found more than can be told at once, expected the faults above to be mended first");
}
