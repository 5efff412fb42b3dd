//! What `/metrics` says.
//!
//! Does not: count on its own. Counters of requests, tries, failovers and tokens grow by what the ledger committed and
//! start from its sums, so they agree with the store and go on after a restart. Histograms, doubles and admissions
//! start anew, as Prometheus expects of any counter.

mod limits;

use std::sync::Arc;

use prometheus::core::{Collector, MetricVec, MetricVecBuilder};
use prometheus::{
    CounterVec, Gauge, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, Opts, Registry, TextEncoder,
};

use self::limits::Limits;
pub(crate) use self::limits::words;
use super::clock::{self, Clock};
use super::ledger::book::Terms;
use super::ledger::tally::{FORMER, Kind};
use super::ledger::{Group, OUTCOMES, Recorded, TOKENS, Totals};

/// In seconds: what the gateway does before a provider is asked, from a splice to a large translation.
const OVERHEAD_BUCKETS: [f64; 12] =
    [0.000_05, 0.000_1, 0.000_2, 0.000_5, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5];
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
    cooldowns: IntCounterVec,
    dropped: IntCounterVec,
    skipped: IntCounterVec,
    failures: IntCounterVec,
    settlements: IntCounter,
    duplicates: IntCounter,
    admits: IntCounterVec,
    vm_deaths: IntCounter,
    reloads: IntCounterVec,
    running: IntGauge,
    duration: HistogramVec,
    first_byte: HistogramVec,
    first_content: HistogramVec,
    overhead: HistogramVec,
    costs: CounterVec,
    limits: Limits,
    failures_of_store: IntCounter,
    offset: Gauge,
    clock: Arc<Clock>,
}

impl Metrics {
    /// With every series at zero.
    ///
    /// # Errors
    /// A name or label is malformed or used twice.
    #[expect(clippy::too_many_lines, reason = "one registration after the other; to split them would hide the list")]
    pub fn new(clock: Arc<Clock>) -> prometheus::Result<Self> {
        let registry = Registry::new();
        let counter = |name: &str, help: &str, labels: &[&str]| {
            registered(&registry, IntCounterVec::new(Opts::new(name, help), labels)?)
        };
        let histogram = |name: &str, help: &str, buckets: &[f64], labels: &[&str]| {
            let options = HistogramOpts::new(name, help).buckets(buckets.to_vec());
            registered(&registry, HistogramVec::new(options, labels)?)
        };
        let time = |name: &str, help: &str| histogram(name, help, &BUCKETS, &["model"]);
        Ok(Self {
            requests: counter(
                "attache_requests_total",
                "Finished requests by virtual key and its team, asked model, class of the status the client saw, and \
                 its dialect.",
                &["key", "team", "model", "status_class", "dialect"],
            )?,
            attempts: counter(
                "attache_attempts_total",
                "Tries at providers by outcome.",
                &["provider", "model", "key", "team", "outcome"],
            )?,
            failovers: counter(
                "attache_failovers_total",
                "Consecutive tries of one request at different providers.",
                &["from_provider", "to_provider"],
            )?,
            tokens: counter(
                "attache_tokens_total",
                "Tokens as the provider reported them, or as estimated where it did not.",
                &["provider", "model", "key", "team", "kind"],
            )?,
            cooldowns: counter(
                "attache_cooldowns_total",
                "Times a key of the provider was sent to rest.",
                &["provider"],
            )?,
            dropped: counter(
                "attache_dropped_fields_total",
                "Members of requests that were not carried over to the provider.",
                &["provider", "field"],
            )?,
            skipped: counter(
                "attache_stream_events_skipped_total",
                "Events of the provider's streams that nobody could read.",
                &["provider"],
            )?,
            failures: counter(
                "attache_failures_total",
                "Tries at the provider that failed, by the kind of failure.",
                &["provider", "disposition"],
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
            vm_deaths: registered(
                &registry,
                IntCounter::new(
                    "attache_vm_deaths_total",
                    "Modules of Envoy's workers that died, or stood still and were shut out.",
                )?,
            )?,
            reloads: counter(
                "attache_config_reloads_total",
                "Changes to the configuration or a secret of it by result: applied, refused, or failed to be put into place.",
                &["result"],
            )?,
            running: registered(
                &registry,
                IntGauge::new("attache_config_hash", "Which configuration runs: 48 bits of the SHA-256 of its text.")?,
            )?,
            duration: time("attache_request_duration_seconds", "From a request's arrival to its end.")?,
            first_byte: time("attache_first_byte_seconds", "From a request's arrival to the first byte back.")?,
            first_content: time(
                "attache_time_to_first_content_seconds",
                "From a request's arrival to the first content of a streamed answer.",
            )?,
            overhead: histogram(
                "attache_gateway_overhead_seconds",
                "From the whole request to the first try that was ready to be sent.",
                &OVERHEAD_BUCKETS,
                &[],
            )?,
            costs: registered(
                &registry,
                CounterVec::new(
                    Opts::new("attache_cost_dollars_total", "What tries cost, where their price is known."),
                    &["customer", "team", "key", "provider", "model"],
                )?,
            )?,
            limits: Limits::new(&registry)?,
            failures_of_store: registered(
                &registry,
                IntCounter::new("attache_store_errors_total", "Commits that the store refused, e.g. on a full disk.")?,
            )?,
            offset: registered(
                &registry,
                Gauge::new(
                    "attache_clock_offset_seconds",
                    "Seconds that the wall clock is ahead of the ledger's clock, which windows go by.",
                )?,
            )?,
            clock,
            registry,
        })
    }

    /// Where no ledger's clock matters.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn by_this_machine() -> prometheus::Result<Self> {
        Self::new(Arc::new(Clock::start(clock::machine(), &clock::Kept::default())))
    }

    /// One answer to Admit.
    pub fn admit(&self, verdict: &str) {
        bump(&self.admits, &[verdict], 1);
    }

    /// A commit that the store refused.
    pub fn store_failed(&self) {
        self.failures_of_store.inc();
    }

    /// The module of one worker has died.
    pub fn vm_death(&self) {
        self.vm_deaths.inc();
    }

    /// One change to the configuration.
    pub fn reload(&self, result: &str) {
        bump(&self.reloads, &[result], 1);
    }

    /// The configuration that runs.
    pub fn running(&self, hash: u64) {
        self.running.set(i64::try_from(hash).unwrap_or_default());
    }

    /// A name is no label any more: its series go.
    fn forget(&self, kind: Kind, name: &str) {
        for counters in [&self.requests, &self.attempts, &self.tokens] {
            remove(counters, kind.word(), name);
        }
        for histograms in [&self.duration, &self.first_byte, &self.first_content] {
            remove(histograms, kind.word(), name);
        }
        remove(&self.costs, kind.word(), name);
    }

    /// What a commit added.
    pub fn record(&self, recorded: &Recorded) {
        self.add(&recorded.totals);
        self.duplicates.inc_by(recorded.duplicates);
        for timing in &recorded.timings {
            let model = [timing.model.as_str()];
            observe(&self.duration, &model, Some(timing.duration));
            observe(&self.first_byte, &model, timing.first_byte);
            observe(&self.first_content, &model, timing.first_content);
            observe(&self.overhead, &[], timing.overhead);
        }
        recorded.lost.iter().for_each(|(kind, name)| self.forget(*kind, name));
    }

    /// Sums: those of a commit, or at the start those of the store.
    pub fn add(&self, totals: &Totals) {
        for (labels, requests) in &totals.requests {
            let labels = [&*labels.key, &*labels.team, &*labels.model, &*labels.status_class, &*labels.dialect];
            bump(&self.requests, &labels, *requests);
            self.settlements.inc_by(*requests);
        }
        for (labels, sums) in &totals.usage {
            let at = |last| [&*labels.provider, &*labels.model, &*labels.key, &*labels.team, last];
            for ((_, outcome), tries) in OUTCOMES.iter().zip(sums.tries) {
                bump(&self.attempts, &at(outcome), tries);
            }
            for (kind, tokens) in TOKENS.iter().zip(sums.tokens) {
                bump(&self.tokens, &at(kind), tokens);
            }
            bump(&self.cooldowns, &[&labels.provider], sums.cooldowns);
            bump(&self.skipped, &[&labels.provider], sums.skipped_events);
        }
        for ((from, to), failovers) in &totals.failovers {
            bump(&self.failovers, &[from, to], *failovers);
        }
        for ((provider, field), dropped) in &totals.dropped {
            bump(&self.dropped, &[provider, field], *dropped);
        }
        for ((provider, disposition), failures) in &totals.failures {
            bump(&self.failures, &[provider, disposition], *failures);
        }
        for (labels, nanos) in &totals.costs {
            let of = &labels.usage;
            let labels = [&*labels.customer, &*of.team, &*of.key, &*of.provider, &*of.model];
            if !labels.contains(&FORMER)
                && let Ok(cost) = self.costs.get_metric_with_label_values(&labels)
            {
                cost.inc_by(*nanos as f64 * 1e-9);
            }
        }
    }

    /// What a commit did to limits, at this time (Unix nanoseconds).
    pub fn limits(&self, group: &Group, recorded: &Recorded, terms: &dyn Terms, now: u64) {
        recorded.balances.iter().for_each(|it| self.limits.stands(it, terms, now));
        recorded.events.iter().for_each(|it| self.limits.event(it, terms));
        let new = recorded.new.iter().filter_map(|at| group.settlements.get(*at));
        for account in new.flat_map(|entry| &entry.settlement.exceeded) {
            self.limits.exceeded(*account, terms);
        }
    }

    /// In Prometheus' text format.
    ///
    /// # Errors
    /// A series cannot be written as text.
    pub fn text(&self) -> prometheus::Result<String> {
        self.offset.set(self.clock.offset());
        self.text_at(self.clock.now())
    }

    fn text_at(&self, now: u64) -> prometheus::Result<String> {
        self.limits.look(now);
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
        && !labels.contains(&FORMER)
        && let Ok(counter) = series.get_metric_with_label_values(labels)
    {
        counter.inc_by(by);
    }
}

/// Removes every series of which this label has this value.
fn remove<M: MetricVecBuilder>(series: &MetricVec<M>, label: &str, value: &str) {
    let order: Vec<String> = series.desc().iter().flat_map(|desc| desc.variable_labels.clone()).collect();
    for family in series.collect() {
        for metric in family.get_metric() {
            let of =
                |name: &str| metric.get_label().iter().find(|pair| pair.name() == name).map_or("", |pair| pair.value());
            if of(label) == value {
                let values: Vec<&str> = order.iter().map(|name| of(name)).collect();
                let _gone_already = series.remove_label_values(&values);
            }
        }
    }
}

fn observe(series: &HistogramVec, labels: &[&str], seconds: Option<f64>) {
    if let Some(seconds) = seconds
        && let Ok(histogram) = series.get_metric_with_label_values(labels)
    {
        histogram.observe(seconds);
    }
}

#[cfg(test)]
mod tests;
