//! The filter's own counters in Envoy: unlabelled totals and counts per provider. Everything per model and key comes from
//! the sidecar. `filter/docs/metrics.md` lists all names.
//!
//! Increments are gathered in the VM and leave with the tick: a host call a request would cost more than it tells.

use engine::exchange::{Outcome, Settled};

use crate::host;
use crate::seldom::Seldom;

/// What is counted.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Counter {
    /// Requests that were planned.
    Requests,
    /// Requests answered with an error of our own.
    Refused,
    /// Tries at providers.
    Attempts,
    /// Consecutive tries of one request at different providers.
    Failovers,
    /// Tokens of requests, reported or estimated.
    InputTokens,
    /// Tokens of answers, reported or estimated.
    OutputTokens,
    /// Tries whose provider reported more than the request can have used.
    UsageCapped,
    /// Times a key was sent to rest.
    Cooldowns,
    /// Members of requests that a translation could not carry over.
    DroppedFields,
    /// Events of streams that nobody could read.
    EventsSkipped,
    /// Streams without content within the soft limit.
    SlowStarts,
    /// Calls for a key's record.
    Admits,
    /// Calls for a key's record that were not answered in time.
    AdmitsFailed,
    /// Calls for leases, rates or news of them.
    Draws,
    /// Times a request waited for leases or rates.
    Waits,
    /// Settlements the sidecar has confirmed.
    Settled,
    /// Settlements dropped because the queue was full.
    SettlementsDropped,
    /// Requests refused because the VM had no room for them.
    MemoryRefused,
    /// Answers given up because they kept most when the VM had no room.
    MemoryEnded,
}

const TOTALS: [&str; 19] = [
    "attache_filter_requests_total",
    "attache_filter_refused_total",
    "attache_filter_attempts_total",
    "attache_filter_failovers_total",
    "attache_filter_input_tokens_total",
    "attache_filter_output_tokens_total",
    "attache_filter_usage_capped_total",
    "attache_filter_cooldowns_total",
    "attache_filter_dropped_fields_total",
    "attache_filter_stream_events_skipped_total",
    "attache_filter_slow_starts_total",
    "attache_filter_admits_total",
    "attache_filter_admits_failed_total",
    "attache_filter_draws_total",
    "attache_filter_waits_total",
    "attache_filter_settled_total",
    "attache_filter_settlements_dropped_total",
    "attache_filter_memory_refused_total",
    "attache_filter_memory_ended_total",
];

/// What stands in a VM, as [`crate::account::standing`] orders it; Envoy shows the sum over its workers. What a VM that
/// died had stays in the sum.
const GAUGES: [&str; 3] =
    ["attache_filter_memory_live_bytes", "attache_filter_memory_requests_bytes", "attache_filter_memory_linear_bytes"];

/// Per provider: requests that ended there, tries, and tries that failed. The bootstrap's `stats_tags` make a label of
/// what follows `.provider.`.
const PER_PROVIDER: [&str; 3] = [
    "attache_filter_provider_requests_total",
    "attache_filter_provider_attempts_total",
    "attache_filter_provider_errors_total",
];

/// Nanoseconds between two words of them: each is a host call.
const STANDING: u64 = 1_000_000_000;

/// A value as Envoy has it.
#[derive(Debug, Default, Clone, Copy)]
struct Gauge {
    id: Option<u32>,
    told: i64,
}

impl Gauge {
    fn tell(&mut self, value: i64) {
        if let (Some(id), true) = (self.id, value != self.told)
            && host::count(id, value - self.told).is_ok()
        {
            self.told = value;
        }
    }
}

#[derive(Debug, Default, Clone, Copy)]
struct Series {
    /// Envoy's id; defining a name again would give another one.
    id: Option<u32>,
    waiting: u64,
}

impl Series {
    fn define(&mut self, name: &str) {
        self.id = self.id.or_else(|| host::define_counter(name).ok());
    }

    fn add(&mut self, by: u64) {
        self.waiting = self.waiting.saturating_add(by);
    }

    fn flush(&mut self) {
        let by = i64::try_from(self.waiting).unwrap_or(i64::MAX);
        if let (Some(id), true) = (self.id, by > 0)
            && host::count(id, by).is_ok()
        {
            self.waiting = 0;
        }
    }
}

/// The counters of one VM.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    totals: [Series; TOTALS.len()],
    gauges: [Gauge; GAUGES.len()],
    /// When Envoy was last told of them; Unix nanoseconds.
    told: u64,
    /// Those of every configuration so far: no more names than were ever pushed.
    providers: Vec<(String, [Series; PER_PROVIDER.len()])>,
    /// Lines of the log about capped reports.
    capped_lines: Seldom,
}

impl Metrics {
    /// Defines what is not defined yet.
    pub(crate) fn define<'a>(&mut self, providers: impl Iterator<Item = &'a str>) {
        self.totals.iter_mut().zip(TOTALS).for_each(|(series, name)| series.define(name));
        for (gauge, name) in self.gauges.iter_mut().zip(GAUGES) {
            gauge.id = gauge.id.or_else(|| host::define_gauge(name).ok());
        }
        for provider in providers {
            if !self.providers.iter().any(|(known, _)| known == provider) {
                self.providers.push((provider.to_owned(), Default::default()));
            }
        }
        for (provider, series) in &mut self.providers {
            // Envoy splits names at dots.
            let provider = provider.replace('%', "%25").replace('.', "%2E");
            series.iter_mut().zip(PER_PROVIDER).for_each(|(s, name)| s.define(&format!("{name}.provider.{provider}")));
        }
    }

    pub(crate) fn add(&mut self, counter: Counter) {
        self.add_many(counter, 1);
    }

    pub(crate) fn add_many(&mut self, counter: Counter, by: usize) {
        self.add_sum(counter, by as u64);
    }

    fn add_sum(&mut self, counter: Counter, by: u64) {
        if let Some(series) = self.totals.get_mut(counter as usize) {
            series.add(by);
        }
    }

    /// One finished exchange, at this time (Unix nanoseconds).
    pub(crate) fn settle(&mut self, settled: &Settled, now: u64) {
        self.capped(settled, now);
        let mut former: Option<&str> = None;
        for t in &settled.tries {
            self.add(Counter::Attempts);
            if former.replace(&t.provider).is_some_and(|from| from != t.provider) {
                self.add(Counter::Failovers);
            }
            if let Some(used) = t.usage {
                self.add_sum(Counter::InputTokens, used.usage.input.unwrap_or(0));
                self.add_sum(Counter::OutputTokens, used.usage.output.unwrap_or(0));
            }
            self.add_many(Counter::Cooldowns, usize::from(t.cooled));
            self.add_many(Counter::DroppedFields, t.dropped.len());
            self.add_sum(Counter::EventsSkipped, t.skipped);
            self.add_many(Counter::SlowStarts, usize::from(t.slow));
            self.at_provider(&t.provider, [0, 1, u64::from(t.outcome != Outcome::Ok)]);
        }
        if let Some(provider) = former {
            self.at_provider(provider, [1, 0, 0]);
        }
    }

    /// Counts and logs reports above what is possible, one line a minute at most.
    fn capped(&mut self, settled: &Settled, now: u64) {
        for t in settled.tries.iter().filter(|t| t.capped) {
            self.add(Counter::UsageCapped);
            if self.capped_lines.is_due(now) {
                log::warn!(
                    "{} reported more tokens for a request than it can have used; the most it can is charged \
                     (attache_filter_usage_capped_total counts such reports)",
                    t.provider
                );
            }
        }
    }

    fn at_provider(&mut self, provider: &str, by: [u64; PER_PROVIDER.len()]) {
        if let Some((_, series)) = self.providers.iter_mut().find(|(name, _)| name == provider) {
            series.iter_mut().zip(by).for_each(|(series, by)| series.add(by));
        }
    }

    /// Tells Envoy what has been counted, and from time to time what stands.
    pub(crate) fn flush(&mut self, standing: [i64; GAUGES.len()], now: u64) {
        if now.abs_diff(self.told) >= STANDING {
            self.told = now;
            self.gauges.iter_mut().zip(standing).for_each(|(gauge, value)| gauge.tell(value));
        }
        let providers = self.providers.iter_mut().flat_map(|(_, series)| series);
        self.totals.iter_mut().chain(providers).for_each(Series::flush);
    }
}
