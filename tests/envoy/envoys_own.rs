//! What Envoy does that `filter/docs/upstream.md` asks it to change: each is a small change to a rendered configuration, and
//! what comes of it. The day one of these fails, a page and a precaution can go.
//!
//! Does not: cover what needs a module of its own to be seen; the page says how those were.

use tests::client::Dialect;
use tests::mock::{Fault, HostSpec};

use crate::world::{ANTHROPIC, OPENAI, World};

const BOTH: &str = r#"
providers:
  openai: {keys: [{name: k1, secret: "{{sk-openai}}", models: ["*"]}]}
  anthropic: {keys: [{name: k1, secret: "{{sk-ant}}", models: ["*"]}]}
models:
  both: {candidates: [{provider: openai, model: gpt-4o}, {provider: anthropic, model: m, priority: 1}]}
  between: {candidates: [
    {provider: openai, model: a}, {provider: anthropic, model: b, priority: 1}, {provider: openai, model: c, priority: 2}]}
"#;

/// The first cluster's list of hosts in `cds.yaml`, and the breaker of all clusters.
const FIRST: &str = "clusters: [{name: openai_k1_hosts}, {name: openai_k1_hosts}, {name: openai_k1_hosts}, \
                     {name: openai_k1_hosts}, {name: guard}]";
const RETRIES: &str = ", max_retries: 4294967295}]";

async fn world(rendered: &[(&'static str, &'static str, &'static str)]) -> World {
    let hosts = [OPENAI, ANTHROPIC].map(HostSpec::tls);
    let world = World::with(&hosts, BOTH, |options| options.rendered = rendered.to_vec()).await;
    world.mock.host(OPENAI).fault(Fault::status(503).always());
    world
}

#[tokio::test(flavor = "multi_thread")]
async fn the_retry_breaker_that_counts_is_that_of_the_first_cluster() {
    let world = world(&[("cds.yaml", RETRIES, ", max_retries: 1}]")]).await;
    world.mock.host(ANTHROPIC).fault(Fault::Drip { ms: 20 }.always());
    let call = Dialect::OpenAi.chat("both", "hi", true);
    let answers = world.client.all(vec![call; 40]).await.unwrap();
    let failed = answers.iter().filter(|answer| answer.status == 503).count();
    assert!(failed > 0, "the second provider was well, and the breaker of the first let all retries through");
    assert!(world.stack.stat("cluster.openai_k1.upstream_rq_retry_overflow").await.unwrap() >= failed as u64);
    assert_eq!(world.stack.stat("cluster.anthropic_k1.upstream_rq_retry_overflow").await.unwrap(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_without_hosts_is_not_retried() {
    let world = world(&[("cds.yaml", FIRST, "clusters: [{name: nowhere}]")]).await;
    let answer = world.send(&Dialect::OpenAi.chat("both", "hi", false)).await;
    assert_eq!((answer.status, world.mock.journal().records(None).len()), (503, 0), "{}", answer.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_limit_also_ends_an_answer_that_has_not_begun() {
    let limits = "per_try_timeout: 300s\n      per_try_idle_timeout: 1s";
    let world = world(&[("rds.yaml", "per_try_timeout: 300s", limits)]).await;
    world.mock.host(ANTHROPIC).fault(Fault::Late { ms: 4000 }.always());
    let answer = world.send(&Dialect::OpenAi.chat("anthropic/m", "hi", false)).await;
    assert_eq!(answer.status, 504, "{}", answer.text());
}

/// The module answers 400 by itself where a body cannot be told to the provider whose turn it is.
#[tokio::test(flavor = "multi_thread")]
async fn a_local_reply_of_an_upstream_filter_is_not_retried() {
    let retried = ("rds.yaml", "retriable_status_codes: [401", "retriable_status_codes: [400, 401");
    let world = world(&[retried]).await;
    let call = Dialect::OpenAi.raw(br#"{"model":"between","messages":"none"}"#.to_vec());
    assert_eq!(world.send(&call).await.status, 400);
    // The first provider's 503 and the filter's 400; Envoy would try the third candidate if it saw that as a failed try.
    assert_eq!(world.mock.journal().records(None).len(), 1);
}

/// Why an access log must not print a provider's credential header.
#[tokio::test(flavor = "multi_thread")]
async fn an_injected_credential_stays_in_the_requests_headers() {
    let log = r#"stat_prefix: attache
          access_log:
          - name: envoy.access_loggers.stdout
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.access_loggers.stream.v3.StdoutAccessLog
              log_format: {text_format_source: {inline_string: "logged %REQ(X-API-KEY)%\n"}}"#;
    let world = world(&[("envoy.yaml", "stat_prefix: attache", log)]).await;
    assert_eq!(world.send(&Dialect::OpenAi.chat("both", "hi", false)).await.status, 200);
    let file = world.stack.dir().join("envoy.log");
    for _ in 0..100 {
        if std::fs::read_to_string(&file).unwrap().contains("logged sk-ant") {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    panic!("{}", std::fs::read_to_string(&file).unwrap());
}
