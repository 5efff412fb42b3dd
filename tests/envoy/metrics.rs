//! What an operator scrapes: the sidecar's page and Envoy's, for a model with a dot in its name, held to the document.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;
use tests::client::{DIALECTS, Dialect};
use tests::mock::vendor::{text, tokens};
use tests::mock::{Exchange, Fault, HostSpec};
use tests::said::Said;

use crate::world::{ANTHROPIC, OPENAI, TWO_VENDORS, World};

const YAML: &str = r#"
providers:
  openai: {keys: [{name: k1, secret: "{{sk-openai}}", models: ["gpt-4.1"]}]}
  anthropic: {keys: [{name: k1, secret: "{{sk-ant}}", models: ["claude-3-5-haiku"]}]}
models:
  gpt-4.1: {candidates: [{provider: openai}, {provider: anthropic, model: claude-3-5-haiku, priority: 1}]}
virtual_keys: [{name: app, secret: "{{vk-app}}", team: search}]
"#;

/// Metric and labels as documented.
fn documented() -> BTreeMap<String, BTreeSet<String>> {
    let text = include_str!("../../filter/docs/metrics.md");
    let quoted = |cell: &str| cell.split('`').skip(1).step_by(2).map(str::to_owned).collect::<BTreeSet<_>>();
    let rows = text.lines().filter(|line| line.starts_with("| `attache_"));
    rows.map(|row| {
        let cells: Vec<_> = row.split('|').collect();
        (quoted(cells[1]).pop_first().unwrap(), quoted(cells[3]))
    })
    .collect()
}

/// Each series of ours on a page, as its text without the value, and the value.
fn series(page: &str) -> BTreeMap<String, f64> {
    let ours = page.lines().filter(|line| line.starts_with("attache_"));
    ours.map(|line| line.rsplit_once(' ').unwrap()).map(|(s, v)| (s.to_owned(), v.parse().unwrap())).collect()
}

/// Every series is of a documented metric and has its labels.
fn check_labels(found: &BTreeMap<String, f64>) {
    let documented = documented();
    for series in found.keys() {
        let (name, labels) = series.split_once('{').unwrap_or((series, ""));
        let base = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end));
        let known = documented.get(name).or_else(|| documented.get(base?));
        let labels = labels.split("\",").filter_map(|label| label.split_once('=')).map(|(name, _)| name.to_owned());
        let labels: BTreeSet<_> = labels.filter(|label| label != "le").collect();
        assert_eq!(Some(&labels), known, "{series}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn both_pages_say_what_happened_to_a_model_with_a_dot_in_its_name() {
    let world =
        World::with(&[HostSpec::tls(OPENAI), HostSpec::tls(ANTHROPIC)], YAML, |options| options.workers = 1).await;
    let well = world.send(&Dialect::OpenAi.chat("gpt-4.1", "well", false).key("vk-app")).await;
    Said::read(Dialect::OpenAi, false, &well).unwrap();
    world.mock.host(OPENAI).fault(Fault::rate_limited(30).next(1));
    let mut body = Dialect::OpenAi.chat("gpt-4.1", "failover", true).json();
    body["logit_bias"] = json!({"50256": -100});
    body["seed"] = json!(1);
    let failover = world.send(&Dialect::OpenAi.call(&body).key("vk-app")).await;
    Said::read(Dialect::OpenAi, true, &failover).unwrap();
    assert_eq!(world.send(&Dialect::OpenAi.chat("gpt-4.1", "whose?", false).key("vk-nobody")).await.status, 401);
    assert_eq!(world.ledger().wait_for(2).await.unwrap(), 2);

    let (well_in, well_out) = tokens("well", &text(OPENAI, "gpt-4.1", "well"));
    let (fail_in, fail_out) = tokens("failover", &text(ANTHROPIC, "claude-3-5-haiku", "failover"));
    let sidecar = series(&world.stack.metrics().await.unwrap());
    check_labels(&sidecar);
    let openai = r#"model="gpt-4.1",provider="openai",team="search"}"#;
    let anthropic = r#"model="claude-3-5-haiku",provider="anthropic",team="search"}"#;
    let tried = |outcome: &str, model: &str, provider: &str| {
        format!(r#"{{key="app",model="{model}",outcome="{outcome}",provider="{provider}",team="search"}}"#)
    };
    let used = |kind: &str, place: &str| format!(r#"{{key="app",kind="{kind}",{place}"#);
    let one = |labels: &str| labels.to_owned();
    for (name, labels, value) in [
        (
            "attache_requests_total",
            one(r#"{dialect="openai_chat",key="app",model="gpt-4.1",status_class="2xx",team="search"}"#),
            2,
        ),
        ("attache_attempts_total", tried("ok", "gpt-4.1", "openai"), 1),
        ("attache_attempts_total", tried("error", "gpt-4.1", "openai"), 1),
        ("attache_attempts_total", tried("ok", "claude-3-5-haiku", "anthropic"), 1),
        ("attache_failovers_total", one(r#"{from_provider="openai",to_provider="anthropic"}"#), 1),
        ("attache_tokens_total", used("input", openai), well_in),
        ("attache_tokens_total", used("output", openai), well_out),
        ("attache_tokens_total", used("input", anthropic), fail_in),
        ("attache_tokens_total", used("output", anthropic), fail_out),
        ("attache_cooldowns_total", one(r#"{provider="openai"}"#), 1),
        ("attache_failures_total", one(r#"{disposition="rate_limited",provider="openai"}"#), 1),
        ("attache_dropped_fields_total", one(r#"{field="logit_bias",provider="anthropic"}"#), 1),
        ("attache_dropped_fields_total", one(r#"{field="seed",provider="anthropic"}"#), 1),
        ("attache_request_duration_seconds_count", one(r#"{model="gpt-4.1"}"#), 2),
        ("attache_first_byte_seconds_count", one(r#"{model="gpt-4.1"}"#), 2),
        ("attache_time_to_first_content_seconds_count", one(r#"{model="gpt-4.1"}"#), 1),
        ("attache_gateway_overhead_seconds_count", String::new(), 2),
        ("attache_settlements_total", String::new(), 2),
    ] {
        let series = format!("{name}{labels}");
        assert_eq!(sidecar.get(&series), Some(&(value as f64)), "{series} of {sidecar:#?}");
    }
    assert!(sidecar["attache_gateway_overhead_seconds_sum"] < 1.0, "{sidecar:#?}");

    let mut envoy = series(&world.stack.prometheus().await.unwrap());
    check_labels(&envoy);
    // Polls are as many as seconds.
    assert!(envoy.remove("attache_filter_draws_total{}").is_some_and(|draws| draws > 0.0), "{envoy:#?}");
    let standing = ["live", "requests", "linear"].map(|what| format!("attache_filter_memory_{what}_bytes{{}}"));
    assert!(standing.iter().all(|gauge| envoy.remove(gauge).is_some_and(|bytes| bytes >= 0.0)), "{envoy:#?}");
    let expected = [
        ("attache_filter_requests_total{}", 2),
        ("attache_filter_refused_total{}", 1),
        ("attache_filter_attempts_total{}", 3),
        ("attache_filter_failovers_total{}", 1),
        ("attache_filter_input_tokens_total{}", well_in + fail_in),
        ("attache_filter_output_tokens_total{}", well_out + fail_out),
        ("attache_filter_usage_capped_total{}", 0),
        ("attache_filter_cooldowns_total{}", 1),
        ("attache_filter_dropped_fields_total{}", 2),
        ("attache_filter_stream_events_skipped_total{}", 0),
        ("attache_filter_slow_starts_total{}", 0),
        (r#"attache_filter_provider_requests_total{provider="openai"}"#, 1),
        (r#"attache_filter_provider_requests_total{provider="anthropic"}"#, 1),
        (r#"attache_filter_provider_attempts_total{provider="openai"}"#, 2),
        (r#"attache_filter_provider_attempts_total{provider="anthropic"}"#, 1),
        (r#"attache_filter_provider_errors_total{provider="openai"}"#, 1),
        (r#"attache_filter_provider_errors_total{provider="anthropic"}"#, 0),
        ("attache_filter_admits_total{}", 2),
        ("attache_filter_admits_failed_total{}", 0),
        ("attache_filter_waits_total{}", 0),
        ("attache_filter_settled_total{}", 2),
        ("attache_filter_settlements_dropped_total{}", 0),
        ("attache_filter_memory_refused_total{}", 0),
        ("attache_filter_memory_ended_total{}", 0),
    ];
    let expected: BTreeMap<_, _> = expected.into_iter().map(|(series, v)| (series.to_owned(), v as f64)).collect();
    assert_eq!(envoy, expected, "all of it and nothing else");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_beyond_all_measure_is_counted() {
    let world = World::start(TWO_VENDORS).await;
    let events = [
        r#"{"type":"message_start","message":{"id":"msg_1","type":"message","role":"assistant","model":"m","content":[],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":3,"output_tokens":1}}}"#,
        r#"{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}"#,
        &"x".repeat(wire::framing::sse::MAX_EVENT + 1),
        r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"the rest"}}"#,
        r#"{"type":"content_block_stop","index":0}"#,
        r#"{"type":"message_delta","delta":{"stop_reason":"end_turn","stop_sequence":null},"usage":{"output_tokens":2}}"#,
        r#"{"type":"message_stop"}"#,
    ];
    let name = |event: &str| event.split('"').nth(3).unwrap_or("garbage").to_owned();
    let text: String = events.iter().map(|event| format!("event: {}\ndata: {event}\n\n", name(event))).collect();
    let headers = json!({"content-type": "text/event-stream"});
    let file = world.stack.dir().join("garbled.json");
    let exchange = json!({"request": {}, "response": {"status": 200, "headers": headers, "text": text}});
    std::fs::write(&file, exchange.to_string()).unwrap();
    world.mock.host(ANTHROPIC).replay(Exchange::read(&file).unwrap());
    for dialect in DIALECTS {
        let answer = world.send(&dialect.chat("anthropic/claude-3-5-haiku", "say", true)).await;
        // Within a format all of it passes, read or not.
        assert_eq!((answer.status, dialect == Dialect::OpenAi || answer.text().contains("the rest")), (200, true));
    }
    assert_eq!(world.ledger().wait_for(2).await.unwrap(), 2);
    let skipped =
        world.stack.metric("attache_stream_events_skipped_total", &[r#"provider="anthropic""#]).await.unwrap();
    assert_eq!(skipped, 2.0);
    assert_eq!(world.stack.stat("attache_filter_stream_events_skipped_total").await.unwrap(), 2);
}
