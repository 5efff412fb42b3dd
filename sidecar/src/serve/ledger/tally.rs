//! Settlements to sums.
//!
//! Does not: store anything.
//!
//! Decision: labels are bounded here, before they are stored, so that the store's sums and the metrics made of them are
//! bounded by the same rule and survive a restart unchanged. Rejected: bounding in the metrics alone, which leaves a
//! table that any client can grow by asking for models nobody has.

use std::collections::HashSet;

use engine::exchange::Disposition;
use sidecar_api::v1::{Settlement, Try, Usage};

use super::{CostLabels, OUTCOMES, Recorded, RequestLabels, Sums, Timing, Totals, UsageLabels};

/// The label of every name that got none of its own.
pub const OTHER: &str = "other";
/// Names beyond the configured ones that get a label of their own, per kind of label.
const ROOM: usize = 200;
/// A longer name never gets a label of its own.
const LONGEST: usize = 128;
/// No try uses more tokens, or has more events. Keeps sums within the store's 64 bits whatever a provider claims.
const MOST_TOKENS: u64 = u32::MAX as u64;

/// Nor does one cost more: a million dollars.
const MOST_COST: u64 = 1_000_000_000_000_000;

/// Names that may be labels. Configured ones always; others by first come, once a provider has answered for them, so
/// that a client without a key cannot use up the room.
#[derive(Debug, Clone)]
pub struct Labels {
    keys: Bounded,
    teams: Bounded,
    models: Bounded,
    providers: Bounded,
    dialects: Bounded,
    customers: Bounded,
}

/// Names of the configuration.
#[derive(Debug, Clone, Default)]
pub struct Names {
    /// Virtual keys.
    pub keys: Vec<String>,
    /// Their teams.
    pub teams: Vec<String>,
    /// Models, as clients or as providers call them.
    pub models: Vec<String>,
    /// Providers.
    pub providers: Vec<String>,
    /// Dialects of clients.
    pub dialects: Vec<String>,
    /// Customers.
    pub customers: Vec<String>,
}

impl Labels {
    /// With room for a few more of each.
    #[must_use]
    pub fn new(names: Names) -> Self {
        Self {
            keys: Bounded::new(names.keys),
            teams: Bounded::new(names.teams),
            models: Bounded::new(names.models),
            providers: Bounded::new(names.providers),
            dialects: Bounded::new(names.dialects),
            customers: Bounded::new(names.customers),
        }
    }

    /// Names of another configuration. They take no place of names that came by themselves.
    pub fn add(&mut self, names: Names) {
        self.keys.names.extend(names.keys);
        self.teams.names.extend(names.teams);
        self.models.names.extend(names.models);
        self.providers.names.extend(names.providers);
        self.dialects.names.extend(names.dialects);
        self.customers.names.extend(names.customers);
    }

    /// Names that have a label already, e.g. before a restart, keep it.
    pub fn keep(&mut self, totals: &Totals) {
        for labels in totals.requests.keys() {
            self.keys.fold(&labels.key, true);
            self.teams.fold(&labels.team, true);
            self.models.fold(&labels.model, true);
            self.dialects.fold(&labels.dialect, true);
        }
        for labels in totals.usage.keys() {
            self.keys.fold(&labels.key, true);
            self.teams.fold(&labels.team, true);
            self.models.fold(&labels.model, true);
            self.providers.fold(&labels.provider, true);
        }
        for labels in totals.costs.keys() {
            self.customers.fold(&labels.customer, true);
        }
    }
}

/// A set of names that stops growing.
#[derive(Debug, Clone)]
struct Bounded {
    names: HashSet<String>,
    room: usize,
}

impl Bounded {
    fn new(names: Vec<String>) -> Self {
        // The empty name stands for "none" and needs no room.
        Self { names: names.into_iter().chain([String::new(), OTHER.to_owned()]).collect(), room: ROOM }
    }

    /// The name's label. `earned`: it may take a free place.
    fn fold(&mut self, name: &str, earned: bool) -> String {
        if self.names.contains(name) {
            return name.to_owned();
        }
        if !earned || self.room == 0 || name.len() > LONGEST {
            return OTHER.to_owned();
        }
        self.room -= 1;
        self.names.insert(name.to_owned());
        name.to_owned()
    }
}

/// Adds one settlement.
pub fn add(labels: &mut Labels, recorded: &mut Recorded, settlement: &Settlement) {
    let answered = settlement.tries.iter().any(|attempt| attempt.outcome() == sidecar_api::v1::r#try::Outcome::Ok);
    let key = labels.keys.fold(&settlement.key, answered);
    let team = labels.teams.fold(&settlement.team, answered);
    let asked = labels.models.fold(&settlement.asked_model, answered);
    let dialect = labels.dialects.fold(&settlement.dialect, answered);
    let customer = labels.customers.fold(&settlement.customer, answered);

    let mut place = UsageLabels { key: key.clone(), team: team.clone(), provider: String::new(), model: String::new() };
    let mut previous: Option<String> = None;
    for attempt in &settlement.tries {
        place.provider = labels.providers.fold(&attempt.provider, answered);
        place.model = labels.models.fold(&attempt.model, answered);
        let sums = recorded.totals.usage.entry(place.clone()).or_default();
        add_try(sums, attempt);
        if let Some(cost) = attempt.cost.filter(|cost| *cost > 0) {
            let at = CostLabels { customer: customer.clone(), usage: place.clone() };
            *recorded.totals.costs.entry(at).or_default() += cost.min(MOST_COST);
        }
        for field in &attempt.dropped {
            // A label of the closed list is its own label; all else is folded into it.
            let dropped = (place.provider.clone(), wire::format::label(field).to_owned());
            *recorded.totals.dropped.entry(dropped).or_default() += 1;
        }
        if !attempt.disposition.is_empty() {
            let word = Disposition::of_word(&attempt.disposition).map_or(OTHER, Disposition::word);
            *recorded.totals.failures.entry((place.provider.clone(), word.to_owned())).or_default() += 1;
        }
        if let Some(from) = previous.replace(attempt.provider.clone())
            && from != attempt.provider
        {
            let hop = (labels.providers.fold(&from, answered), place.provider.clone());
            *recorded.totals.failovers.entry(hop).or_default() += 1;
        }
    }

    // The request itself counts where it ended: at its last try, or nowhere.
    let sums = recorded.totals.usage.entry(place).or_default();
    sums.requests += 1;
    if settlement.status == 0 || settlement.status >= 400 {
        sums.errors += 1;
    }
    recorded.timings.push(Timing {
        model: asked.clone(),
        duration: seconds(settlement.duration_micros),
        first_byte: known(settlement.first_byte_micros),
        first_content: known(settlement.first_content_micros),
        overhead: known(settlement.overhead_micros),
    });
    let request = RequestLabels { key, team, model: asked, status_class: class(settlement.status).to_owned(), dialect };
    *recorded.totals.requests.entry(request).or_default() += 1;
}

fn add_try(sums: &mut Sums, attempt: &Try) {
    // An outcome this version does not know is no good answer.
    let known = OUTCOMES.iter().any(|(outcome, _)| *outcome == attempt.outcome());
    let outcome = if known { attempt.outcome() } else { sidecar_api::v1::r#try::Outcome::Error };
    for (count, (of, _)) in sums.tries.iter_mut().zip(OUTCOMES) {
        *count += u64::from(of == outcome);
    }
    for (sum, tokens) in sums.tokens.iter_mut().zip(tokens(attempt.usage.as_ref())) {
        *sum += tokens;
    }
    sums.cooldowns += u64::from(attempt.cooled);
    sums.skipped_events += attempt.skipped_events.min(MOST_TOKENS);
}

/// In the order of [`super::TOKENS`].
pub(super) fn tokens(usage: Option<&Usage>) -> [u64; 5] {
    let usage = usage.copied().unwrap_or_default();
    [usage.input_tokens, usage.output_tokens, usage.cache_read_tokens, usage.cache_write_tokens, usage.reasoning_tokens]
        .map(|tokens| tokens.min(MOST_TOKENS))
}

fn class(status: u32) -> &'static str {
    match status {
        100..=199 => "1xx",
        200..=299 => "2xx",
        300..=399 => "3xx",
        400..=499 => "4xx",
        500..=599 => "5xx",
        _ => "none",
    }
}

/// A time that was never taken is 0.
fn known(micros: u64) -> Option<f64> {
    (micros > 0).then(|| seconds(micros))
}

fn seconds(micros: u64) -> f64 {
    std::time::Duration::from_micros(micros).as_secs_f64()
}

#[cfg(test)]
mod tests;
