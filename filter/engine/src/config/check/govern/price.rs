//! Prices that win over the table's.

use crate::config::check::model::LABEL;
use crate::config::check::provider::Known;
use crate::config::fault::Faults;
use crate::config::path::Path;
use crate::config::schema;
use crate::config::snapshot::Price;
use crate::config::text;

/// A dollar a token.
const MOST_DOLLARS: f64 = 1e6;
/// Pico-dollars per token are millionths of a dollar per million tokens.
const DECIMALS: usize = 6;

pub(super) fn resolve(given: &[schema::Price], known: Known<'_>, path: &Path, faults: &mut Faults) -> Vec<Price> {
    let mut prices: Vec<Price> = Vec::with_capacity(given.len());
    for (i, given) in given.iter().enumerate() {
        let path = path.index(i);
        known.find(given.provider.as_deref(), &path, faults);
        let model = given.model.as_deref().unwrap_or_default();
        if given.model.is_none() {
            faults.add(&path.member("model"), "nothing", "the provider's name of the model");
        } else if !text::is_label(model) {
            faults.add(&path.member("model"), "an unusable name", LABEL);
        }
        let mut rate = |dollars: Option<f64>, member: &str| rate(dollars?, &path.member(member), faults);
        let price = Price {
            provider: given.provider.clone().unwrap_or_default(),
            model: model.to_owned(),
            input: rate(given.input, "input"),
            output: rate(given.output, "output"),
            cached_input: rate(given.cached_input, "cached_input"),
            cache_write: rate(given.cache_write, "cache_write"),
            reasoning: rate(given.reasoning, "reasoning"),
            context: given.context,
            max_output: given.max_output,
        };
        for (tokens, member) in [(given.context, "context"), (given.max_output, "max_output")] {
            if tokens == Some(0) {
                faults.add(&path.member(member), "0", "tokens, at least 1; if unknown, leave it out");
            }
        }
        let named = !price.provider.is_empty() && !price.model.is_empty();
        if named && prices.iter().any(|former| former.provider == price.provider && former.model == price.model) {
            faults.add(&path, format!("{:?} at {} again", price.model, price.provider), "one price for a model");
        }
        prices.push(price);
    }
    prices
}

fn rate(dollars: f64, path: &Path, faults: &mut Faults) -> Option<u64> {
    if !(0.0..=MOST_DOLLARS).contains(&dollars) {
        faults.add(path, format!("{dollars}"), "dollars per million tokens, 0 to 1000000");
        return None;
    }
    let rate = text::decimal(dollars, DECIMALS);
    if rate.is_none() {
        faults.add(path, format!("{dollars}"), "dollars per million tokens with at most 6 decimals");
    }
    rate
}
