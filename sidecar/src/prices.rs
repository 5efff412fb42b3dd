//! What models cost: the table in `sidecar/prices`, and the user's own prices, which win.
//!
//! Does not: work out a cost (`engine::govern::price` does), or know which limits there are.
//!
//! Decision: names are looked up as they are, and otherwise only where a vendor says that two names are one thing: a
//! snapshot under its date, a fine-tuned model under its base, a model under its own provider's name. Rejected: the
//! nearest name. `gpt-4o-mini-realtime` is no `gpt-4o-mini`, and a wrong price is worse than none.

mod table;
#[cfg(test)]
mod tests;

use engine::config::Loaded;
use engine::config::schema::UnknownPrice;
use engine::config::snapshot::Price;
use engine::govern::price::{Rates, Tier};

pub use table::{Header, table};

/// The prices of one configuration.
#[derive(Debug, Clone)]
pub struct Prices {
    unknown: UnknownPrice,
    own: Vec<Price>,
    /// Providers' names and the rows they are like.
    rows: Vec<(String, String)>,
}

/// The answer for one model.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Quote {
    /// Without tiers if nobody knows the price and none is to be made up.
    pub rates: Rates,
    /// The price is known. If not, tiers are an estimate.
    pub known: bool,
}

impl Prices {
    /// The prices as this configuration has them.
    #[must_use]
    pub fn of(loaded: &Loaded) -> Self {
        let providers = loaded.typed.providers.0.iter();
        let row = |name: &String, like: &Option<String>| (name.clone(), like.clone().unwrap_or_else(|| name.clone()));
        Self {
            unknown: loaded.snapshot.govern.unknown_price,
            own: loaded.governance.prices.clone(),
            rows: providers.map(|(name, given)| row(name, &given.like)).collect(),
        }
    }

    /// What this provider's model costs and takes. None: nobody knows the price.
    #[must_use]
    pub fn rates(&self, provider: &str, model: &str) -> Option<Rates> {
        let quote = self.look_up(provider, model);
        quote.known.then_some(quote.rates)
    }

    /// The same, and for a model without a price what `governance.unknown_price` says: the dearest of its provider, or
    /// of all where that has none; or nothing.
    #[must_use]
    pub fn quote(&self, provider: &str, model: &str) -> Quote {
        let mut quote = self.look_up(provider, model);
        match self.unknown {
            UnknownPrice::Estimate if !quote.known => {
                quote.rates.standard = vec![self.dearest(provider)];
            }
            UnknownPrice::Estimate | UnknownPrice::Deny | UnknownPrice::Free => {}
        }
        quote
    }

    fn look_up(&self, provider: &str, model: &str) -> Quote {
        let mut rates = table().find(self.row(provider), model).cloned().unwrap_or_default();
        let own = self.own.iter().find(|price| price.provider == provider && price.model == model);
        if let Some(own) = own {
            overlay(&mut rates, own);
        }
        rates.preamble = preamble(model);
        Quote { known: !rates.standard.is_empty(), rates }
    }

    fn row<'a>(&'a self, provider: &'a str) -> &'a str {
        self.rows.iter().find(|(name, _)| name == provider).map_or(provider, |(_, row)| row)
    }

    /// The dearest plain rates of a provider's models, the user's prices among them.
    fn dearest(&self, provider: &str) -> Tier {
        let row = self.row(provider);
        let own = self.own.iter().filter(|price| price.provider == provider);
        let mut own = own.filter_map(|price| self.rates(provider, &price.model)).peekable();
        let listed = table().of(row);
        if listed.is_empty() && own.peek().is_none() {
            return dearest(table().all());
        }
        dearest(listed.values()).max_each(dearest(&own.collect::<Vec<_>>()))
    }
}

/// Tokens a vendor puts before every prompt and bills. xAI does, wherever its models are asked: 680 were recorded.
fn preamble(model: &str) -> u64 {
    if model.contains("grok") { 1024 } else { 0 }
}

/// What is given holds for every length and every service; what is not is the table's.
fn overlay(rates: &mut Rates, own: &Price) {
    rates.context = own.context.or(rates.context);
    rates.max_output = own.max_output.or(rates.max_output);
    if rates.standard.is_empty() {
        // Half a price is none.
        let (Some(input), Some(output)) = (own.input, own.output) else { return };
        rates.standard.push(Tier { input, output, ..Tier::default() });
    }
    let lists = [&mut rates.standard, &mut rates.flex, &mut rates.priority, &mut rates.fast, &mut rates.batch];
    for tier in lists.into_iter().flatten() {
        tier.input = own.input.unwrap_or(tier.input);
        tier.output = own.output.unwrap_or(tier.output);
        tier.cache_read = own.cached_input.or(tier.cache_read);
        tier.cache_write = own.cache_write.or(tier.cache_write);
        tier.reasoning = own.reasoning.or(tier.reasoning);
    }
}

fn dearest<'a>(all: impl IntoIterator<Item = &'a Rates>) -> Tier {
    all.into_iter().flat_map(|rates| &rates.standard).fold(Tier::default(), |most, tier| most.max_each(*tier))
}

/// The dearer of two rates, each.
trait MaxEach {
    fn max_each(self, other: Self) -> Self;
}

impl MaxEach for Tier {
    fn max_each(self, other: Self) -> Self {
        Self {
            from: 0,
            input: self.input.max(other.input),
            output: self.output.max(other.output),
            cache_write: self.cache_write.max(other.cache_write),
            cache_write_long: self.cache_write_long.max(other.cache_write_long),
            reasoning: self.reasoning.max(other.reasoning),
            audio_in: self.audio_in.max(other.audio_in),
            audio_out: self.audio_out.max(other.audio_out),
            // Reading from a cache costs as much as not reading from it.
            cache_read: None,
        }
    }
}
