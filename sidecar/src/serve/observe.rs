//! What is done with a commit besides answering its callers: metrics grow, models' tokens are learned, and the log says
//! which limits are nearly used up.
//!
//! Does not: fail. What it counts is durable already; what it learns is written with a later commit, and what a crash
//! takes of that is learned again.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use engine::govern::price::Calibration;
use sidecar_api::v1::r#try::Outcome;
use sidecar_api::v1::{Settlement, Try};

use super::calibrate::{Calibrations, Learned, Sample};
use super::ledger::book::{Event, Terms};
use super::ledger::writer::Watch;
use super::ledger::{Group, Lesson, Recorded};
use super::metrics::{self, Metrics};

/// Between two writings of what was learned.
const PAUSE: Duration = Duration::from_secs(10);

/// Told by the ledger's thread.
#[derive(Debug)]
pub struct Observer {
    metrics: Arc<Metrics>,
    lessons: Arc<Lessons>,
}

impl Observer {
    /// That of one ledger.
    #[must_use]
    pub fn new(metrics: Arc<Metrics>, lessons: Arc<Lessons>) -> Self {
        Self { metrics, lessons }
    }
}

impl Watch for Observer {
    fn lessons(&self) -> Vec<Lesson> {
        self.lessons.due(Instant::now())
    }

    fn committed(&self, group: &Group, recorded: &Recorded, terms: &dyn Terms) {
        self.metrics.record(recorded);
        self.metrics.limits(group, recorded, terms, recorded.at);
        let new = recorded.new.iter().filter_map(|at| group.settlements.get(*at));
        self.lessons.learn(new.map(|entry| &entry.settlement));
        recorded.events.iter().for_each(|event| log(event, terms));
    }

    fn failed(&self) {
        self.metrics.store_failed();
    }
}

/// What is learned of models, for those who tell rates.
#[derive(Debug)]
pub struct Lessons(Mutex<Known>);

#[derive(Debug)]
struct Known {
    all: Calibrations,
    /// Those that were learned of since they were written.
    news: BTreeSet<(String, String)>,
    written: Instant,
}

impl Lessons {
    /// Goes on from what was kept.
    #[must_use]
    pub fn of(kept: Vec<Lesson>) -> Self {
        let mut all = Calibrations::default();
        kept.into_iter().for_each(|Lesson { provider, model, learned }| all.restore(provider, model, learned));
        Self(Mutex::new(Known { all, news: BTreeSet::new(), written: Instant::now() }))
    }

    /// What is known of a model.
    #[must_use]
    pub fn calibration(&self, provider: &str, model: &str) -> Calibration {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).all.of(provider, model)
    }

    fn learn<'a>(&self, settlements: impl Iterator<Item = &'a Settlement>) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for settlement in settlements {
            for attempt in &settlement.tries {
                if let Some(sample) = sample(settlement, attempt) {
                    known.all.learn(&attempt.provider, &attempt.model, sample);
                    known.news.insert((attempt.provider.clone(), attempt.model.clone()));
                }
            }
        }
    }

    fn due(&self, now: Instant) -> Vec<Lesson> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.news.is_empty() || now.duration_since(known.written) < PAUSE {
            return Vec::new();
        }
        known.written = now;
        let news = std::mem::take(&mut known.news);
        let kept = |(provider, model): (String, String)| -> Option<Lesson> {
            let learned = known.all.all().find(|(p, m, _)| (*p, *m) == (provider.as_str(), model.as_str()));
            let learned: Learned = learned.map(|(_, _, learned)| learned.clone())?;
            Some(Lesson { provider, model, learned })
        };
        news.into_iter().filter_map(kept).collect()
    }
}

/// Only what a provider counted itself teaches.
fn sample(settlement: &Settlement, attempt: &Try) -> Option<Sample> {
    let usage = attempt.usage.as_ref().filter(|usage| !usage.estimated)?;
    let whole = attempt.outcome() == Outcome::Ok;
    let counted = whole && settlement.request_bytes > 0;
    let (bytes, input, output) = (settlement.request_bytes, usage.input_tokens, usage.output_tokens);
    counted.then_some(Sample { bytes, input, output, whole })
}

/// One line for each threshold in each window.
fn log(event: &Event, terms: &dyn Terms) {
    let Some(label) = terms.label(event.account) else { return };
    let [scope, limit] = metrics::words(&label);
    let amount = |nanos: u64| if label.is_money() { format!("${}", nanos as f64 * 1e-9) } else { nanos.to_string() };
    let (used, most, percent) = (amount(event.used), amount(event.most), event.percent);
    if percent >= 100 {
        tracing::warn!(scope, limit, used, most, window = event.window, "limit used up");
    } else {
        tracing::info!(scope, limit, used, most, window = event.window, percent, "limit nearly used up");
    }
}

#[cfg(test)]
mod tests {
    use sidecar_api::v1::Usage;

    use super::*;

    fn settlement(outcome: Outcome, estimated: bool, request_bytes: u64) -> Settlement {
        let attempt = Try {
            provider: "openai".to_owned(),
            model: "gpt-4.1".to_owned(),
            outcome: outcome.into(),
            usage: Some(Usage { input_tokens: 1000, output_tokens: 9, estimated, ..Usage::default() }),
            ..Try::default()
        };
        Settlement { request_bytes, tries: vec![attempt], ..Settlement::default() }
    }

    #[test]
    fn what_a_provider_counted_is_learned_and_kept_from_time_to_time() {
        let lessons = Lessons::of(Vec::new());
        let start = Instant::now();
        for teaches_nothing in [
            settlement(Outcome::Ok, true, 5000),
            settlement(Outcome::Cut, false, 5000),
            settlement(Outcome::Ok, false, 0),
        ] {
            lessons.learn([&teaches_nothing].into_iter());
        }
        assert_eq!(lessons.calibration("openai", "gpt-4.1"), Calibration::default());
        assert_eq!(lessons.due(start + 2 * PAUSE), []);
        lessons.learn([&settlement(Outcome::Ok, false, 5000)].into_iter());
        assert_eq!(lessons.due(start), [], "not with every commit");
        let due = lessons.due(start + 2 * PAUSE);
        assert_eq!(due.len(), 1);
        assert_eq!(lessons.due(start + 4 * PAUSE), [], "nothing new");
        let after = Lessons::of(due);
        assert_eq!(after.calibration("openai", "gpt-4.1").milli_bytes_per_token, 5000);
    }
}
