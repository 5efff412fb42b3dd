//! What a planned request needs of each account before it is sent.
//!
//! **Strict** limits get the worst case of every try: the longest prompt, the longest answer, the dearest candidate's worst
//! cost, each times the number of tries. A try that times out may be billed whole, although the client sees another try's
//! answer. **Elastic** limits get what such requests use as a rule: each try's prompt, one answer. A limit of one provider
//! gets what the tries there can cost.
//!
//! ```text
//! 3 tries, prompt ≤ 1,000 and answer ≤ 500 tokens   strict: 3 × 1,500   elastic (usually 200 and 50): 3 × 200 + 50
//! ```
//!
//! Does not: ask whether it fits; see `decide`.

use wire::ir::{Certain, Usage};

use super::price::{self, Rates, Service};
use super::size::Size;
use super::{Account, Counted};
use crate::config::schema::UnknownPrice;

/// What the sidecar said of one provider's model.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rated {
    /// Provider's name.
    pub provider: String,
    /// Its name of the model.
    pub model: String,
    /// Prices, bounds, and what was learned.
    pub rates: Rates,
    /// The price is known. If not, what the rates hold is an estimate, or nothing.
    pub known: bool,
}

/// What a price is worth under the configuration's rule for those nobody knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Price {
    Told,
    Free,
    Unknown,
}

impl Rated {
    fn price(&self, rule: UnknownPrice) -> Price {
        match rule {
            _ if self.known => Price::Told,
            UnknownPrice::Estimate if !self.rates.standard.is_empty() => Price::Told,
            UnknownPrice::Free => Price::Free,
            UnknownPrice::Estimate | UnknownPrice::Deny => Price::Unknown,
        }
    }

    /// What a try costs that used so much, in nano-dollars. `None`: nobody knows.
    #[must_use]
    pub fn cost(&self, usage: &Usage, service: Service, rule: UnknownPrice) -> Option<u64> {
        match self.price(rule) {
            Price::Told => Some(price::cost(&self.rates, usage, service)),
            Price::Free => Some(0),
            Price::Unknown => None,
        }
    }

    /// The most that a try of this size costs of which these totals are certain. `None`: there is no bound.
    #[must_use]
    pub fn most_cost(
        &self,
        usage: &Usage,
        certain: Certain,
        size: &Size,
        service: Service,
        rule: UnknownPrice,
    ) -> Option<u64> {
        match self.price(rule) {
            Price::Told => price::most_cost(&self.rates, usage, certain, size, service),
            Price::Free => Some(0),
            Price::Unknown => None,
        }
    }

    /// The most that a try of this size costs. `None`: there is no bound.
    #[must_use]
    pub fn worst_cost(&self, size: &Size, service: Service, rule: UnknownPrice) -> Option<u64> {
        match self.price(rule) {
            Price::Told => price::worst_cost(&self.rates, size, service),
            Price::Free => Some(0),
            Price::Unknown => None,
        }
    }
}

/// What one try may use. `None`: nothing bounds it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Amounts {
    input: Option<u64>,
    output: Option<u64>,
    money: Option<u64>,
}

/// One try of a plan, as limits see it.
#[derive(Debug, Clone)]
pub struct Candidate<'a> {
    /// Provider's name.
    pub provider: &'a str,
    worst: Amounts,
    usual: Amounts,
    /// What its prompt alone costs as a rule.
    prompt: u64,
    /// Nobody knows what it costs, and that is not to be borne where money is limited.
    pub(super) unpriced: bool,
    /// What bounds nothing: what its request is to say.
    missing: Missing,
}

/// What a request must say before a strict limit can take it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Missing {
    /// How long its answer may be.
    #[default]
    MaxTokens,
    /// Its prompt as text: nobody knows the size of what this member brings. Empty: nobody can name it.
    Text(&'static str),
    /// A service tier with a known price.
    ServiceTier,
}

impl<'a> Candidate<'a> {
    /// A try at this provider. `rated` is `None` if the sidecar could not be asked, and then nothing costs anything.
    #[must_use]
    pub fn new(provider: &'a str, rated: Option<&Rated>, size: &Size, service: Service, rule: UnknownPrice) -> Self {
        let price = rated.map_or(Price::Free, |rated| rated.price(rule));
        let told = rated.filter(|_| price == Price::Told).map(|rated| &rated.rates);
        let expected = |size: &Size| told.map_or(0, |rates| price::expected_cost(rates, size, service));
        let missing = match (size.input_worst, size.output_worst) {
            (None, _) => Missing::Text(size.way),
            (_, None) => Missing::MaxTokens,
            (Some(_), Some(_)) => Missing::ServiceTier,
        };
        Self {
            provider,
            worst: Amounts {
                input: size.input_worst,
                output: size.output_worst,
                money: told.map_or(Some(0), |rates| price::worst_cost(rates, size, service)),
            },
            usual: Amounts {
                input: Some(size.input_expected),
                output: Some(size.output_expected),
                money: Some(expected(size)),
            },
            prompt: expected(&Size { output_expected: 0, ..*size }),
            unpriced: price == Price::Unknown,
            missing,
        }
    }

    /// Nobody can be asked what it may use, and it goes on all the same: with what is usual.
    #[must_use]
    pub fn likely(self) -> Self {
        Self { worst: self.usual, ..self }
    }

    /// A try that uses neither tokens nor money: it counts those of a prompt.
    #[must_use]
    pub fn counting(provider: &'a str) -> Self {
        let none = Amounts { input: Some(0), output: Some(0), money: Some(0) };
        Self { provider, worst: none, usual: none, prompt: 0, unpriced: false, missing: Missing::MaxTokens }
    }
}

/// What an account needs for these tries; `None` if none of them counts.
///
/// # Errors
/// Nothing bounds what the request may use of a strict limit.
pub(super) fn need(account: &Account, tries: &[Candidate<'_>]) -> Result<Option<u64>, Missing> {
    let counted = || tries.iter().filter(|one| account.counts(one.provider));
    let count = counted().count() as u64;
    if count == 0 {
        return Ok(None);
    }
    let strict = account.is_strict();
    let most = |part: fn(&Amounts) -> Option<u64>| {
        counted().try_fold(0, |most: u64, one| {
            let amount = if strict { part(&one.worst) } else { part(&one.usual) };
            amount.map(|amount| most.max(amount)).ok_or(one.missing)
        })
    };
    let input = || most(|one| one.input).map(|tokens| tokens.saturating_mul(count));
    let answers = if strict { count } else { 1 };
    let output = || most(|one| one.output).map(|tokens| tokens.saturating_mul(answers));
    Ok(Some(match account.limit.counted {
        Counted::Requests | Counted::Concurrent => 1,
        Counted::InputTokens => input()?,
        Counted::OutputTokens => output()?,
        Counted::TotalTokens => input()?.saturating_add(output()?),
        Counted::Money if strict => most(|one| one.money)?.saturating_mul(count),
        Counted::Money => {
            let dearest = counted().map(|one| one.prompt).max().unwrap_or(0);
            most(|one| one.money)?.saturating_add(dearest.saturating_mul(count - 1))
        }
    }))
}

#[cfg(test)]
mod tests;
