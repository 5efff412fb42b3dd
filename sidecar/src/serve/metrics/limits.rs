//! Series of limits: how each stands, and when it was nearly used up.
//!
//! Does not: show every account there could be. A million keys have as many; those that were used first have series of
//! their own, up to [`ROOM`], and the events of all others are counted together.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use prometheus::{Gauge, GaugeVec, IntCounterVec, Opts, Registry};

use super::{bump, registered};
use crate::serve::ledger::Standing;
use crate::serve::ledger::book::{Event, Label, Terms};
use crate::serve::ledger::tally::OTHER;

/// Limits with series of their own.
const ROOM: usize = 1000;
/// A limit, in words.
const LABELS: [&str; 2] = ["scope", "limit"];
const NANOS: f64 = 1e-9;

/// The series.
#[derive(Debug)]
pub(super) struct Limits {
    used: GaugeVec,
    most: GaugeVec,
    committed: GaugeVec,
    events: IntCounterVec,
    exceeded: IntCounterVec,
    shown: Mutex<HashMap<u64, Shown>>,
}

/// One limit's series.
#[derive(Debug)]
struct Shown {
    words: [String; 2],
    unit: f64,
    /// When its window ends, in Unix nanoseconds.
    end: Option<u64>,
    used: Gauge,
    most: Gauge,
    committed: Gauge,
}

impl Limits {
    pub(super) fn new(registry: &Registry) -> prometheus::Result<Self> {
        let gauge = |name: &str, help: &str| registered(registry, GaugeVec::new(Opts::new(name, help), &LABELS)?);
        let counter = |name: &str, help: &str, labels: &[&str]| {
            registered(registry, IntCounterVec::new(Opts::new(name, help), labels)?)
        };
        Ok(Self {
            used: gauge("attache_limit_used", "Settled in the limit's present window: requests, tokens or dollars.")?,
            most: gauge("attache_limit_max", "The limit.")?,
            committed: gauge(
                "attache_limit_committed",
                "Settled in the limit's present window or granted to workers that have not given it back.",
            )?,
            events: counter(
                "attache_limit_events_total",
                "Windows in which so many percent of the limit were used; 100 also where a request did not fit any more.",
                &["scope", "limit", "threshold"],
            )?,
            exceeded: counter(
                "attache_limit_exceeded_total",
                "Requests that went on in spite of the limit, since it is in shadow, only alerts or was overdrawn.",
                &LABELS,
            )?,
            shown: Mutex::default(),
        })
    }

    /// An account has changed.
    pub(super) fn stands(&self, it: &Standing, terms: &dyn Terms, now: u64) {
        let Some(account) = terms.account(it.account, now).filter(|account| account.parent.is_none()) else { return };
        let (window, end) = account.window.map_or((0, None), |(start, end)| (start / 1_000_000_000, Some(end)));
        if window != it.window {
            return;
        }
        self.with(it.account, terms, |shown| {
            shown.end = end;
            shown.used.set(it.balance.used as f64 * shown.unit);
            shown.committed.set(it.balance.committed as f64 * shown.unit);
            shown.most.set(account.most as f64 * shown.unit);
        });
    }

    /// A threshold was passed.
    pub(super) fn event(&self, event: &Event, terms: &dyn Terms) {
        let [scope, limit] = self.words(event.account, terms);
        bump(&self.events, &[&scope, &limit, &event.percent.to_string()], 1);
    }

    /// A request went on in spite of a limit.
    pub(super) fn exceeded(&self, account: u64, terms: &dyn Terms) {
        let [scope, limit] = self.words(account, terms);
        bump(&self.exceeded, &[&scope, &limit], 1);
    }

    /// Windows that are over have used nothing: their limits have not been asked for since.
    pub(super) fn look(&self, now: u64) {
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        for shown in shown.values_mut().filter(|shown| shown.end.is_some_and(|end| end <= now)) {
            shown.used.set(0.0);
            shown.committed.set(0.0);
        }
    }

    fn words(&self, account: u64, terms: &dyn Terms) -> [String; 2] {
        let whole = terms.account(account, 0).and_then(|account| account.parent).map_or(account, |(parent, _)| parent);
        self.with(whole, terms, |shown| shown.words.clone()).unwrap_or_else(|| [OTHER.to_owned(), OTHER.to_owned()])
    }

    fn with<T>(&self, account: u64, terms: &dyn Terms, then: impl FnOnce(&mut Shown) -> T) -> Option<T> {
        let mut all = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(shown) = all.get_mut(&account) {
            return Some(then(shown));
        }
        if all.len() >= ROOM {
            return None;
        }
        let label = terms.label(account)?;
        let words = words(&label);
        let labels = [&*words[0], &*words[1]];
        let series = |of: &GaugeVec| of.get_metric_with_label_values(&labels).ok();
        let (used, most, committed) = (series(&self.used)?, series(&self.most)?, series(&self.committed)?);
        let unit = if label.is_money() { NANOS } else { 1.0 };
        let mut shown = Shown { words, unit, end: None, used, most, committed };
        let done = then(&mut shown);
        all.insert(account, shown);
        Some(done)
    }
}

/// Whose it is, and what it limits.
pub(crate) fn words(label: &Label) -> [String; 2] {
    let join = |one: &str, two: &str| if two.is_empty() { one.to_owned() } else { format!("{one} {two}") };
    [join(&label.scope, &label.name), join(&label.counted, &label.window)]
}

#[cfg(test)]
mod tests {
    use super::super::Metrics;
    use super::*;
    use crate::serve::ledger::book::{Account, Balance, Holder};
    use crate::serve::ledger::{Group, Recorded};

    const SECOND: u64 = 1_000_000_000;

    /// Each account has ten dollars a minute; 2 is a customer's part of 1.
    struct Config;

    impl Terms for Config {
        fn account(&self, id: u64, now: u64) -> Option<Account> {
            let start = now / (60 * SECOND) * (60 * SECOND);
            let parent = (id == 2).then_some((1, [0; 16]));
            Some(Account { most: 10 * SECOND, window: Some((start, start + 60 * SECOND)), parent })
        }
        fn is_silent(&self, _: &Holder) -> bool {
            false
        }
        fn label(&self, id: u64) -> Option<Label> {
            let text = |text: &str| text.to_owned();
            Some(Label {
                scope: text("team"),
                name: format!("t{id}"),
                counted: text("money"),
                window: text("1m"),
                ..Label::default()
            })
        }
    }

    fn standing(account: u64, window: u64) -> Standing {
        Standing { account, window, balance: Balance { used: 2 * SECOND, committed: 5 * SECOND, ..Balance::default() } }
    }

    fn has(metrics: &Metrics, now: u64, line: &str) -> bool {
        metrics.text_at(now).unwrap().lines().any(|have| have == line)
    }

    #[test]
    fn a_limit_is_shown_in_dollars_until_its_window_ends() {
        let metrics = Metrics::by_this_machine().unwrap();
        let event = Event { account: 1, window: 60, percent: 80, used: 0, most: 0 };
        let recorded = Recorded {
            balances: vec![standing(1, 60), standing(2, 60), standing(3, 0)],
            events: vec![event],
            ..Recorded::default()
        };
        metrics.limits(&Group::default(), &recorded, &Config, 70 * SECOND);
        for line in [
            r#"attache_limit_used{limit="money 1m",scope="team t1"} 2"#,
            r#"attache_limit_committed{limit="money 1m",scope="team t1"} 5"#,
            r#"attache_limit_max{limit="money 1m",scope="team t1"} 10"#,
            r#"attache_limit_events_total{limit="money 1m",scope="team t1",threshold="80"} 1"#,
        ] {
            assert!(has(&metrics, 119 * SECOND, line), "{line}");
        }
        let text = metrics.text_at(120 * SECOND).unwrap();
        assert!(text.contains(r#"attache_limit_used{limit="money 1m",scope="team t1"} 0"#), "{text}");
        assert!(!text.contains("team t2"), "a part is not shown beside the whole");
        assert!(!text.contains("team t3"), "nor is a window that is over");
    }

    #[test]
    fn what_was_exceeded_is_counted_and_the_number_of_series_is_bounded() {
        let metrics = Metrics::by_this_machine().unwrap();
        let settlement = |exceeded| sidecar_api::v1::Settlement { exceeded, ..Default::default() };
        let entry = |exceeded| crate::serve::ledger::Entry {
            id: crate::serve::ledger::AdmissionId::new([0; 16], 0),
            settlement: settlement(exceeded),
        };
        let group = Group { settlements: vec![entry(vec![2]), entry(vec![1])], ..Group::default() };
        let balances = (10..5000).map(|account| standing(account, 60)).collect();
        let recorded = Recorded { new: vec![0], balances, ..Recorded::default() };
        metrics.limits(&group, &recorded, &Config, 70 * SECOND);
        metrics.limits(&group, &recorded, &Config, 70 * SECOND);
        let text = metrics.text_at(70 * SECOND).unwrap();
        assert_eq!(text.matches("attache_limit_used{").count(), ROOM);
        let exceeded = text.lines().find(|line| line.starts_with("attache_limit_exceeded_total")).unwrap();
        assert_eq!(exceeded, r#"attache_limit_exceeded_total{limit="other",scope="other"} 2"#);
    }
}
