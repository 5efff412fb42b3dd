//! Series as a reader of the page sees them.

use super::super::ledger::{CostLabels, RequestLabels, Sums, Timing, UsageLabels};
use super::*;

fn recorded() -> Recorded {
    let mut totals = Totals::default();
    let request = RequestLabels {
        key: "prod".to_owned(),
        team: "search".to_owned(),
        model: "gpt-4.1".to_owned(),
        status_class: "2xx".to_owned(),
        dialect: "openai_chat".to_owned(),
    };
    totals.requests.insert(request, 2);
    let place = UsageLabels {
        key: "prod".to_owned(),
        team: "search".to_owned(),
        provider: "openai".to_owned(),
        model: "gpt-4.1-mini".to_owned(),
    };
    let sums =
        Sums { requests: 2, errors: 0, tries: [2, 1, 0, 0], tokens: [30, 4, 0, 0, 1], cooldowns: 3, skipped_events: 1 };
    totals.usage.insert(place.clone(), sums);
    totals.usage.insert(UsageLabels { key: "dev".to_owned(), ..place }, sums);
    totals.failovers.insert(("openai".to_owned(), "anthropic".to_owned()), 1);
    totals.dropped.insert(("openai".to_owned(), "top_k".to_owned()), 5);
    totals.failures.insert(("openai".to_owned(), "rate_limited".to_owned()), 4);
    let usage = UsageLabels { model: "gpt-4.1".to_owned(), ..UsageLabels::default() };
    totals.costs.insert(CostLabels { customer: "acme".to_owned(), usage }, 1_250_000_000);
    let timing = Timing {
        model: "gpt-4.1".to_owned(),
        duration: 0.2,
        first_byte: Some(0.04),
        first_content: Some(0.05),
        overhead: Some(0.000_15),
    };
    Recorded { totals, timings: vec![timing], duplicates: 3, ..Recorded::default() }
}

#[test]
fn every_series_is_written_with_its_labels() {
    let metrics = Metrics::by_this_machine().unwrap();
    metrics.record(&recorded());
    metrics.admit("admitted");
    metrics.reload("applied");
    metrics.running((1 << 48) - 1);
    let text = metrics.text().unwrap();
    for line in [
        r#"attache_requests_total{dialect="openai_chat",key="prod",model="gpt-4.1",status_class="2xx",team="search"} 2"#,
        r#"attache_attempts_total{key="prod",model="gpt-4.1-mini",outcome="ok",provider="openai",team="search"} 2"#,
        r#"attache_attempts_total{key="dev",model="gpt-4.1-mini",outcome="error",provider="openai",team="search"} 1"#,
        r#"attache_failovers_total{from_provider="openai",to_provider="anthropic"} 1"#,
        r#"attache_tokens_total{key="prod",kind="input",model="gpt-4.1-mini",provider="openai",team="search"} 30"#,
        r#"attache_tokens_total{key="dev",kind="reasoning",model="gpt-4.1-mini",provider="openai",team="search"} 1"#,
        r#"attache_cooldowns_total{provider="openai"} 6"#,
        r#"attache_dropped_fields_total{field="top_k",provider="openai"} 5"#,
        r#"attache_stream_events_skipped_total{provider="openai"} 2"#,
        r#"attache_cost_dollars_total{customer="acme",key="",model="gpt-4.1",provider="",team=""} 1.25"#,
        r#"attache_failures_total{disposition="rate_limited",provider="openai"} 4"#,
        "attache_settlements_total 2",
        "attache_settlements_duplicate_total 3",
        r#"attache_admits_total{verdict="admitted"} 1"#,
        r#"attache_config_reloads_total{result="applied"} 1"#,
        "attache_config_hash 281474976710655",
        r#"attache_request_duration_seconds_bucket{model="gpt-4.1",le="0.25"} 1"#,
        r#"attache_first_byte_seconds_bucket{model="gpt-4.1",le="0.025"} 0"#,
        r#"attache_first_byte_seconds_count{model="gpt-4.1"} 1"#,
        r#"attache_time_to_first_content_seconds_bucket{model="gpt-4.1",le="0.05"} 1"#,
        r#"attache_gateway_overhead_seconds_bucket{le="0.0001"} 0"#,
        r#"attache_gateway_overhead_seconds_bucket{le="0.0002"} 1"#,
    ] {
        assert!(text.lines().any(|have| have == line), "{line} is not in\n{text}");
    }
    assert!(!text.contains("no_answer"), "what never happened is not there");
}

#[test]
fn a_name_that_lost_its_label_is_no_series_and_what_it_used_before_is_none() {
    let metrics = Metrics::by_this_machine().unwrap();
    let mut recorded = recorded();
    metrics.record(&recorded);
    let before = metrics.text().unwrap();
    assert!(before.contains(r#"model="gpt-4.1-mini""#) && before.contains(r#"model="gpt-4.1""#));
    recorded = Recorded { lost: vec![(Kind::Model, "gpt-4.1".to_owned())], ..Recorded::default() };
    metrics.record(&recorded);
    let after = metrics.text().unwrap();
    assert!(!after.contains(r#"model="gpt-4.1""#), "{after}");
    assert_eq!(after.matches(r#"model="gpt-4.1-mini""#).count(), before.matches(r#"model="gpt-4.1-mini""#).count());
    let mut totals = Totals::default();
    totals.usage.insert(
        UsageLabels { model: FORMER.to_owned(), ..UsageLabels::default() },
        Sums { tries: [1; 4], ..Sums::default() },
    );
    metrics.add(&totals);
    assert!(!metrics.text().unwrap().contains(FORMER));
}
