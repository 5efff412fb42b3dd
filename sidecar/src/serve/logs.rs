//! Logs to stderr, as text or JSON.
//!
//! Does not: log keys, bodies or single requests.

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tracing_subscriber::EnvFilter;

/// Between two lines about the same kind of error.
const PAUSE: Duration = Duration::from_mins(1);
/// Kinds of errors that are told apart; all others are one.
const KINDS: usize = 32;

/// What to log, e.g. `info` or `sidecar=debug`.
const FILTER: &str = "ATTACHE_LOG";
/// `json`, or text.
const FORMAT: &str = "ATTACHE_LOG_FORMAT";

/// Starts logging, unless the process that embeds the sidecar has done so.
pub fn init() {
    let filter = EnvFilter::try_from_env(FILTER).unwrap_or_else(|_| EnvFilter::new("info"));
    let stderr = std::io::stderr;
    let logs = tracing_subscriber::fmt().with_env_filter(filter).with_ansi(stderr().is_terminal()).with_writer(stderr);
    let json = std::env::var(FORMAT).is_ok_and(|format| format == "json");
    let started = if json { logs.json().try_init() } else { logs.try_init() };
    if started.is_err() {
        tracing::debug!("logging was started before");
    }
}

/// Errors that may come by the thousand: a line a minute for each kind, and how many lines were left out.
#[derive(Debug, Default)]
pub struct Seldom(Mutex<BTreeMap<String, (Instant, u64)>>);

impl Seldom {
    /// None had an error yet.
    #[must_use]
    pub const fn new() -> Self {
        Self(Mutex::new(BTreeMap::new()))
    }

    /// One more error of this kind. If it is due a line: how many had none since the last line.
    pub fn due(&self, kind: &str) -> Option<u64> {
        self.due_at(kind, Instant::now())
    }

    fn due_at(&self, kind: &str, now: Instant) -> Option<u64> {
        let mut kinds = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let kind = if kinds.len() < KINDS || kinds.contains_key(kind) { kind } else { "" };
        let Some((told, left_out)) = kinds.get_mut(kind) else {
            kinds.insert(kind.to_owned(), (now, 0));
            return Some(0);
        };
        if now.duration_since(*told) < PAUSE {
            *left_out = left_out.saturating_add(1);
            return None;
        }
        *told = now;
        Some(std::mem::take(left_out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_error_has_a_line_a_minute_and_the_rest_is_counted() {
        let (seldom, start) = (Seldom::new(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        let lines: Vec<_> = (0..150).filter_map(|second| seldom.due_at("full", at(second))).collect();
        assert_eq!(lines, [0, 59, 59]);
        assert_eq!(seldom.due_at("locked", at(1)), Some(0), "another kind has a minute of its own");
        let invented = (0..10_000).filter(|n| seldom.due_at(&format!("kind {n}"), at(1)).is_some()).count();
        assert_eq!(invented, KINDS - 1, "kinds are bounded, and those beyond have one line together");
    }
}
