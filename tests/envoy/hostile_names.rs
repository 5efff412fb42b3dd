//! Names and headers by which a client tries to steer what is not its to steer: paths at providers, lines of heads, and
//! the gateway's and Envoy's own controls.

use serde_json::json;
use tests::client::{Client, DIALECTS, Dialect};
use tests::mock::{Fault, HostSpec};
use tests::said::Said;

use crate::hostile::{Calm, DEPLOYED, hostile_world};
use crate::world::{ANTHROPIC, OPENAI, World};

/// Model names that would be more than a name, if somebody let them.
const NAMES: [&str; 16] = [
    "x\r\nhost: evil.example",
    "x\nx-injected: 1",
    "x HTTP/1.1\r\n\r\nGET /admin HTTP/1.1\r\n\r\n",
    "../../admin",
    "..%2f..%2fadmin",
    "%2e%2e/%2e%2e/admin",
    "a/../../admin",
    "a\\..\\..\\admin",
    "a?api-version=2&admin=1",
    "a#fragment",
    "a;b=c",
    "a%00b",
    "a\0b",
    "@evil.example/",
    "{model}",
    "\u{202e}nimda\u{1f4a5}",
];

#[tokio::test(flavor = "multi_thread")]
async fn a_models_name_is_one_segment_of_a_path_and_no_line_of_a_head() {
    let world = hostile_world().await;
    let calm = Calm::of(&world).await;
    for dialect in DIALECTS {
        for name in NAMES {
            for provider in ["deployed", "openai", "anthropic"] {
                world.mock.journal().clear();
                let asked = format!("{provider}/{name}");
                let body = json!({"model": asked, "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]});
                let answer = world.send(&dialect.call(&body)).await;
                let records = world.mock.journal().records(None);
                let shown = || {
                    format!("{asked:?}: {} {:?} {:?}", answer.status, answer.headers, records.first().map(|r| &r.path))
                };
                assert!(answer.headers.get("x-injected").is_none() && answer.header("host").is_empty(), "{}", shown());
                let text = |value: &[u8]| value.iter().all(|byte| (b' '..=b'~').contains(byte));
                assert!(answer.headers.values().all(|value| text(value.as_bytes())), "{}", shown());
                if records.is_empty() {
                    assert!((400..500).contains(&answer.status), "{}", shown());
                    let (_, message) = Said::error(dialect, &answer).unwrap();
                    assert!(!message.chars().any(char::is_control), "{message:?}");
                    continue;
                }
                assert_eq!(records.len(), 1, "{}", shown());
                let record = &records[0];
                assert_eq!(record.json()["model"], name, "the name itself is told as it is");
                assert!(record.header("x-injected").is_empty(), "{}", shown());
                assert!(!record.header("host").contains(&"evil.example".to_owned()), "{}", shown());
                match provider {
                    "deployed" => {
                        let (path, query) = record.path.split_once('?').unwrap();
                        assert_eq!((record.authority.as_str(), query), (DEPLOYED, "api-version=1"), "{}", shown());
                        let segments: Vec<_> = path.split('/').collect();
                        assert!(
                            matches!(segments[..], ["", "base", "deployments", _, "chat", "completions"]),
                            "{}",
                            shown()
                        );
                        assert!(![".", ".."].contains(&segments[3]), "{}", shown());
                    }
                    "openai" => {
                        assert_eq!((record.path.as_str(), record.authority.as_str()), ("/v1/chat/completions", OPENAI))
                    }
                    _ => assert_eq!((record.path.as_str(), record.authority.as_str()), ("/v1/messages", ANTHROPIC)),
                }
            }
        }
    }
    calm.still(&world).await;
}

/// Headers that steer Envoy's router or us, each with a value that would change what happens.
const CONTROLS: [(&str, &str); 30] = [
    ("x-envoy-max-retries", "0"),
    ("x-envoy-max-retries", "99"),
    ("x-envoy-retry-on", "retriable-4xx,retriable-status-codes"),
    ("x-envoy-retry-grpc-on", "internal"),
    ("x-envoy-retriable-status-codes", "200"),
    ("x-envoy-retriable-header-names", "content-type"),
    ("x-envoy-upstream-rq-per-try-timeout-ms", "1"),
    ("x-envoy-upstream-rq-timeout-ms", "1"),
    ("x-envoy-upstream-stream-duration-ms", "1"),
    ("x-envoy-expected-rq-timeout-ms", "1"),
    ("x-envoy-hedge-on-per-try-timeout", "true"),
    ("x-envoy-attempt-count", "9"),
    ("x-envoy-is-timeout-retry", "true"),
    ("x-envoy-ratelimited", "true"),
    ("x-envoy-internal", "true"),
    ("x-envoy-original-path", "/admin"),
    ("x-envoy-original-host", "evil.example"),
    ("x-envoy-original-url", "/admin"),
    ("x-envoy-decorator-operation", "spoofed"),
    ("x-envoy-downstream-service-cluster", "anthropic_k1"),
    ("x-envoy-upstream-alt-stat-name", "spoofed"),
    ("x-envoy-force-trace", "true"),
    ("x-envoy-degraded", "true"),
    ("x-envoy-immediate-health-check-fail", "true"),
    ("x-attache-next", "anthropic_k1"),
    ("x-attache-provider", "anthropic"),
    ("x-attache-model", "spoofed"),
    ("x-attache-attempts", "99"),
    ("x-attache-trail", "spoofed"),
    ("wasm.next", "anthropic_k1"),
];

#[tokio::test(flavor = "multi_thread")]
async fn no_header_of_a_client_steers_tries_times_or_routes() {
    let yaml = r#"
providers:
  openai: {keys: [{name: k1, secret: "{{sk-openai}}", models: ["*"]}]}
  anthropic: {keys: [{name: k1, secret: "{{sk-ant}}", models: ["*"]}]}
models:
  both: {candidates: [{provider: openai, model: gpt-4o}, {provider: anthropic, model: m, priority: 1}]}
retry: {rest: {failures: 0}}
"#;
    let world = World::with(&[OPENAI, ANTHROPIC].map(HostSpec::tls), yaml, |options| options.workers = 1).await;
    let calm = Calm::of(&world).await;
    // Each answer takes longer than the times that the headers ask for.
    world.mock.host(ANTHROPIC).fault(Fault::Drip { ms: 5 }.always());
    for client in [Client::h1(world.stack.listen()), Client::h2c(world.stack.listen())] {
        for (name, value) in [("x-nothing", "1")].into_iter().chain(CONTROLS) {
            // One by one, in capitals where the protocol has them, and together with the key that would be ours.
            for more in [false, true] {
                world.mock.journal().clear();
                world.mock.host(OPENAI).fault(Fault::status(503).next(1));
                let mut call = Dialect::OpenAi.chat("both", "steer", false).header(name, value);
                if more {
                    call = call.header(name, "second");
                }
                let answer = client.send(&call).await.unwrap();
                let shown = || format!("{name}: {value}: {} {:?}", answer.status, answer.headers);
                Said::read(Dialect::OpenAi, false, &answer).unwrap_or_else(|e| panic!("{}: {e:#}", shown()));
                assert_eq!(answer.header("x-attache-attempts"), "2", "{}", shown());
                assert_eq!(answer.header("x-attache-provider"), "anthropic", "{}", shown());
                assert_eq!(answer.header("x-attache-model"), "m", "{}", shown());
                let records = world.mock.journal().records(None);
                let hosts: Vec<_> = records.iter().map(|record| record.host.as_str()).collect();
                assert_eq!(hosts, [OPENAI, ANTHROPIC], "{}", shown());
                for record in &records {
                    assert!(record.header(name).is_empty(), "{} reached {record:?}", shown());
                }
                assert!(!answer.headers.keys().any(|key| key.as_str().starts_with("x-envoy")), "{}", shown());
            }
        }
    }
    world.mock.host(ANTHROPIC).clear();
    calm.still(&world).await;
    // A client fault is not tried again, whatever it asks for.
    world.mock.journal().clear();
    world.mock.host(OPENAI).fault(Fault::status(422).next(1));
    let call = Dialect::OpenAi.chat("both", "steer", false);
    let call =
        call.header("x-envoy-retry-on", "retriable-status-codes").header("x-envoy-retriable-status-codes", "422");
    assert_eq!((world.send(&call).await.status, world.mock.journal().records(None).len()), (422, 1));
}
