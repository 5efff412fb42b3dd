//! The filter's own counters in Envoy: unlabelled totals. Everything per model and key comes from the sidecar.
//!
//! Increments are gathered in the VM and leave with the tick: a host call a request would cost more than it tells.

use crate::host;

/// What is counted.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Counter {
    /// Requests that were planned.
    Requests,
    /// Requests answered with an error of our own.
    Refused,
    /// Calls for a key's record.
    Admits,
    /// Calls for a key's record that were not answered in time.
    AdmitsFailed,
    /// Settlements the sidecar has confirmed.
    Settled,
    /// Settlements dropped because the queue was full.
    SettlementsDropped,
}

const NAMES: [&str; 6] = [
    "attache_filter_requests_total",
    "attache_filter_refused_total",
    "attache_filter_admits_total",
    "attache_filter_admits_failed_total",
    "attache_filter_settled_total",
    "attache_filter_settlements_dropped_total",
];

/// The counters of one VM.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    /// Envoy's ids; defining a name again would give another one.
    ids: [Option<u32>; NAMES.len()],
    waiting: [i64; NAMES.len()],
}

impl Metrics {
    pub(crate) fn define(&mut self) {
        for (id, name) in self.ids.iter_mut().zip(NAMES) {
            *id = id.or_else(|| host::define_counter(name).ok());
        }
    }

    pub(crate) fn add(&mut self, counter: Counter) {
        self.add_many(counter, 1);
    }

    pub(crate) fn add_many(&mut self, counter: Counter, by: usize) {
        if let Some(waiting) = self.waiting.get_mut(counter as usize) {
            *waiting = waiting.saturating_add(i64::try_from(by).unwrap_or(i64::MAX));
        }
    }

    pub(crate) fn flush(&mut self) {
        for (id, waiting) in self.ids.iter().zip(&mut self.waiting) {
            if let (Some(id), true) = (id, *waiting > 0)
                && host::count(*id, *waiting).is_ok()
            {
                *waiting = 0;
            }
        }
    }
}
