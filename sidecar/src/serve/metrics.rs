//! What `/metrics` says.
//!
//! Does not: count on its own. Counters of requests, tries, failovers and tokens grow by what the ledger committed and
//! start from its sums, so they agree with the store and go on after a restart. Histograms, doubles and admissions
//! start anew, as Prometheus expects of any counter.

use prometheus::core::Collector;
use prometheus::{HistogramOpts, HistogramVec, IntCounter, IntCounterVec, Opts, Registry, TextEncoder};

use super::ledger::{OUTCOMES, Recorded, TOKENS, Totals};

/// In seconds: from a quick refusal to a reasoning model's minutes.
const BUCKETS: [f64; 14] = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0];

/// All series of the sidecar.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    requests: IntCounterVec,
    attempts: IntCounterVec,
    failovers: IntCounterVec,
    tokens: IntCounterVec,
    settlements: IntCounter,
    duplicates: IntCounter,
    admits: IntCounterVec,
    duration: HistogramVec,
    first_byte: HistogramVec,
}

impl Metrics {
    /// With every series at zero.
    ///
    /// # Errors
    /// A name or label is malformed or used twice.
    pub fn new() -> prometheus::Result<Self> {
        let registry = Registry::new();
        let counter = |name: &str, help: &str, labels: &[&str]| {
            registered(&registry, IntCounterVec::new(Opts::new(name, help), labels)?)
        };
        let histogram = |name: &str, help: &str| {
            let options = HistogramOpts::new(name, help).buckets(BUCKETS.to_vec());
            registered(&registry, HistogramVec::new(options, &["model"])?)
        };
        Ok(Self {
            requests: counter(
                "attache_requests_total",
                "Finished requests by virtual key, asked model, class of the status the client saw, and its dialect.",
                &["key", "model", "status_class", "dialect"],
            )?,
            attempts: counter(
                "attache_attempts_total",
                "Tries at providers by outcome.",
                &["provider", "model", "outcome"],
            )?,
            failovers: counter(
                "attache_failovers_total",
                "Consecutive tries of one request at different providers.",
                &["from_provider", "to_provider"],
            )?,
            tokens: counter(
                "attache_tokens_total",
                "Tokens as the provider reported them, or as estimated where it did not.",
                &["provider", "model", "kind"],
            )?,
            settlements: registered(
                &registry,
                IntCounter::new("attache_settlements_total", "Settlements recorded, each once.")?,
            )?,
            duplicates: registered(
                &registry,
                IntCounter::new(
                    "attache_settlements_duplicate_total",
                    "Settlements that came again and were ignored.",
                )?,
            )?,
            admits: counter("attache_admits_total", "Answers to Admit by verdict.", &["verdict"])?,
            duration: histogram("attache_request_duration_seconds", "From a request's arrival to its end.")?,
            first_byte: histogram("attache_first_byte_seconds", "From a request's arrival to the first byte back.")?,
            registry,
        })
    }

    /// One answer to Admit.
    pub fn admit(&self, verdict: &str) {
        bump(&self.admits, &[verdict], 1);
    }

    /// What a commit added.
    pub fn record(&self, recorded: &Recorded) {
        self.add(&recorded.totals);
        self.duplicates.inc_by(recorded.duplicates);
        for timing in &recorded.timings {
            observe(&self.duration, &timing.model, Some(timing.duration));
            observe(&self.first_byte, &timing.model, timing.first_byte);
        }
    }

    /// Sums: those of a commit, or at the start those of the store.
    pub fn add(&self, totals: &Totals) {
        for (labels, requests) in &totals.requests {
            let labels = [&*labels.key, &*labels.model, &*labels.status_class, &*labels.dialect];
            bump(&self.requests, &labels, *requests);
            self.settlements.inc_by(*requests);
        }
        for (labels, sums) in &totals.usage {
            for ((_, outcome), tries) in OUTCOMES.iter().zip(sums.tries) {
                bump(&self.attempts, &[&labels.provider, &labels.model, outcome], tries);
            }
            for (kind, tokens) in TOKENS.iter().zip(sums.tokens) {
                bump(&self.tokens, &[&labels.provider, &labels.model, kind], tokens);
            }
        }
        for ((from, to), failovers) in &totals.failovers {
            bump(&self.failovers, &[from, to], *failovers);
        }
    }

    /// In Prometheus' text format.
    ///
    /// # Errors
    /// A series cannot be written as text.
    pub fn text(&self) -> prometheus::Result<String> {
        TextEncoder::new().encode_to_string(&self.registry.gather())
    }
}

fn registered<T: Collector + Clone + 'static>(registry: &Registry, series: T) -> prometheus::Result<T> {
    registry.register(Box::new(series.clone()))?;
    Ok(series)
}

/// Series that never happened stay away: zeros of every combination would be most of the text.
fn bump(series: &IntCounterVec, labels: &[&str], by: u64) {
    // The only failure is a wrong number of labels, which the test of every series would show.
    if by > 0
        && let Ok(counter) = series.get_metric_with_label_values(labels)
    {
        counter.inc_by(by);
    }
}

fn observe(series: &HistogramVec, model: &str, seconds: Option<f64>) {
    if let Some(seconds) = seconds
        && let Ok(histogram) = series.get_metric_with_label_values(&[model])
    {
        histogram.observe(seconds);
    }
}

#[cfg(test)]
mod tests {
    use super::super::ledger::{RequestLabels, Sums, Timing, UsageLabels};
    use super::*;

    fn recorded() -> Recorded {
        let mut totals = Totals::default();
        let request = RequestLabels {
            key: "prod".to_owned(),
            model: "gpt-4.1".to_owned(),
            status_class: "2xx".to_owned(),
            dialect: "openai_chat".to_owned(),
        };
        totals.requests.insert(request, 2);
        let place =
            UsageLabels { key: "prod".to_owned(), provider: "openai".to_owned(), model: "gpt-4.1-mini".to_owned() };
        let sums = Sums { requests: 2, errors: 0, tries: [2, 1, 0, 0], tokens: [30, 4, 0, 0, 1] };
        totals.usage.insert(place.clone(), sums);
        totals.usage.insert(UsageLabels { key: "dev".to_owned(), ..place }, sums);
        totals.failovers.insert(("openai".to_owned(), "anthropic".to_owned()), 1);
        let timing = Timing { model: "gpt-4.1".to_owned(), duration: 0.2, first_byte: Some(0.04) };
        Recorded { totals, timings: vec![timing], duplicates: 3 }
    }

    #[test]
    fn every_series_is_written_with_its_labels() {
        let metrics = Metrics::new().unwrap();
        metrics.record(&recorded());
        metrics.admit("admitted");
        let text = metrics.text().unwrap();
        for line in [
            r#"attache_requests_total{dialect="openai_chat",key="prod",model="gpt-4.1",status_class="2xx"} 2"#,
            r#"attache_attempts_total{model="gpt-4.1-mini",outcome="ok",provider="openai"} 4"#,
            r#"attache_attempts_total{model="gpt-4.1-mini",outcome="error",provider="openai"} 2"#,
            r#"attache_failovers_total{from_provider="openai",to_provider="anthropic"} 1"#,
            r#"attache_tokens_total{kind="input",model="gpt-4.1-mini",provider="openai"} 60"#,
            r#"attache_tokens_total{kind="reasoning",model="gpt-4.1-mini",provider="openai"} 2"#,
            "attache_settlements_total 2",
            "attache_settlements_duplicate_total 3",
            r#"attache_admits_total{verdict="admitted"} 1"#,
            r#"attache_request_duration_seconds_bucket{model="gpt-4.1",le="0.25"} 1"#,
            r#"attache_first_byte_seconds_bucket{model="gpt-4.1",le="0.025"} 0"#,
            r#"attache_first_byte_seconds_count{model="gpt-4.1"} 1"#,
        ] {
            assert!(text.lines().any(|have| have == line), "{line} is not in\n{text}");
        }
        assert!(!text.contains("no_answer"), "what never happened is not there");
    }
}
