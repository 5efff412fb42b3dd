//! Settlements to sums.
//!
//! Does not: store anything.
//!
//! Decision: labels are bounded here, before they are stored, so that the store's sums and the metrics made of them are
//! bounded by the same rule and survive a restart unchanged. Rejected: bounding in the metrics alone, which leaves a
//! table that any client can grow by asking for models nobody has.

mod labels;

use engine::exchange::Disposition;
use sidecar_api::v1::{Settlement, Try, Usage};

pub use self::labels::{FORMER, Kind, Labels, Names, OTHER, Place};
use super::{CostLabels, OUTCOMES, Recorded, RequestLabels, Sums, Timing, UsageLabels};

/// No try uses more tokens, or has more events. Keeps sums within the store's 64 bits whatever a provider claims.
const MOST_TOKENS: u64 = u32::MAX as u64;

/// Nor does one cost more: a million dollars.
const MOST_COST: u64 = 1_000_000_000_000_000;

/// Adds one settlement, at the ledger's time in Unix seconds.
pub fn add(labels: &mut Labels, recorded: &mut Recorded, settlement: &Settlement, now: u64) {
    let answered = settlement.tries.iter().any(|attempt| attempt.outcome() == sidecar_api::v1::r#try::Outcome::Ok);
    let tenant = [&settlement.customer, &settlement.team, &settlement.key].into_iter().find(|name| !name.is_empty());
    let mut labels = labels.of(tenant.map_or("", String::as_str), answered, now);
    let key = labels.label(Kind::Key, &settlement.key);
    let team = labels.label(Kind::Team, &settlement.team);
    let asked = labels.label(Kind::Model, &settlement.asked_model);
    let dialect = labels.label(Kind::Dialect, &settlement.dialect);
    let customer = labels.label(Kind::Customer, &settlement.customer);

    let mut place = UsageLabels { key: key.clone(), team: team.clone(), provider: String::new(), model: String::new() };
    let mut previous: Option<String> = None;
    for attempt in &settlement.tries {
        place.provider = labels.label(Kind::Provider, &attempt.provider);
        place.model = labels.label(Kind::Model, &attempt.model);
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
            let hop = (labels.label(Kind::Provider, &from), place.provider.clone());
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
