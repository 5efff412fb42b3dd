//! What tries cost, and what a finished request takes from its accounts.
//!
//! A try that the provider has billed counts as reported; one it has not, nothing. Where nobody can know, the
//! configuration says whether it counts: then with what is known or likely of its prompt and, if it was the last, what was
//! seen of its answer, and never with more than the worst case. An answer whose content the client has seen counts in any case, or whoever
//! leaves before the last byte would be served for nothing.
//!
//! Does not: touch a wallet; the host settles there what it had reserved.

use std::rc::Rc;

use wire::ir::{Operation, Usage};

use super::settle::{SettledTry, estimate};
use super::{Exchange, Try};
use crate::config::schema::FailedTries;
use crate::govern::price::Service;
use crate::govern::size::Shape;
use crate::govern::{Account, Counted, Governor, Rated};

/// What is known of the prices of a request's tries.
#[derive(Debug, Default)]
pub struct Terms {
    /// What the sidecar said of the models in the plan, as far as it is held.
    pub rated: Vec<Rc<Rated>>,
    /// What the body says of its size; only where limits apply.
    pub shape: Option<Shape>,
    /// On which terms it asks to be served.
    pub service: Service,
}

impl Terms {
    fn rated(&self, provider: &str, model: &str) -> Option<&Rc<Rated>> {
        self.rated.iter().find(|rated| rated.provider == provider && rated.model == model)
    }
}

/// What a try used and cost, as accounts are charged for it.
#[derive(Debug, Clone, Copy, Default)]
struct Used {
    input: u64,
    output: u64,
    cost: Option<u64>,
}

impl Exchange {
    /// What all tries so far have cost, in nano-dollars. `None`: of one nobody knows it.
    #[must_use]
    pub fn cost(&self, now: u64) -> Option<u64> {
        if self.terms.rated.is_empty() {
            return None;
        }
        let tries = self.tries.iter().filter_map(|t| self.settle_try(t, now));
        tries.map(|t| t.cost).try_fold(0, |sum: u64, cost| cost.map(|cost| sum.saturating_add(cost)))
    }

    /// Cost of one try, with what accounts count of it.
    fn used(&self, t: &Try, settled: &SettledTry) -> Used {
        let rated = self.terms.rated(&settled.provider, &settled.model);
        let rule = self.snapshot.govern.unknown_price;
        let kept = match settled.billed {
            Some(billed) => billed,
            None => t.first_content.is_some() || self.snapshot.govern.failed_tries == FailedTries::Charge,
        };
        if !kept || self.operation != Operation::Chat {
            return Used { cost: Some(0), ..Used::default() };
        }
        let size = self.terms.shape.map(|shape| shape.at(rated.map(|rated| &rated.rates)));
        let mut usage = settled.usage.map(|used| used.usage).unwrap_or_default();
        let likely = || size.map_or_else(|| estimate(self.scan.len), |size| size.input_expected);
        if t.usage.input.is_none() {
            usage = Usage { input: Some(likely()), ..usage };
        }
        if settled.billed.is_none() {
            usage = self.seen(t, usage);
        }
        let mut most = None;
        if let Some(size) = size.filter(|_| settled.billed.is_none()) {
            let within = |tokens: Option<u64>, most: Option<u64>| {
                tokens.map(|tokens| most.map_or(tokens, |most| tokens.min(most)))
            };
            usage.input = within(usage.input, size.input_worst);
            usage.output = within(usage.output, size.output_worst);
            most = rated.and_then(|rated| rated.worst_cost(&size, self.terms.service, rule));
        }
        let cost = rated.and_then(|rated| rated.cost(&usage, self.terms.service, rule));
        Used {
            input: usage.input.unwrap_or(0),
            output: usage.output.unwrap_or(0),
            cost: cost.map(|cost| most.map_or(cost, |most| cost.min(most))),
        }
    }

    /// Of a try that nobody knows to be billed: of an answer that was left for the next try only its prompt counts, which
    /// is what was reserved for it; of one that was none, what its provider reported.
    fn seen(&self, t: &Try, usage: Usage) -> Usage {
        let left = !self.tries.last().is_some_and(|last| std::ptr::eq(last, t));
        let output = match (left, t.flaw) {
            (true, _) => Some(0),
            (false, Some(_)) => t.usage.output,
            (false, None) => return usage,
        };
        Usage { output, reasoning: None, audio_output: None, ..usage }
    }

    /// What a try cost, in nano-dollars.
    pub(super) fn try_cost(&self, t: &Try, settled: &SettledTry) -> Option<u64> {
        self.used(t, settled).cost
    }

    /// What the request takes from each of the accounts it had reserved from, in their order. Nothing if no provider was
    /// asked.
    pub(super) fn amounts(&self, tries: &[SettledTry]) -> Vec<u64> {
        let Some(governor) = &self.governor else { return Vec::new() };
        let used = self.tries.iter().zip(tries).map(|(t, s)| (s.provider.as_str(), self.used(t, s)));
        let used: Vec<_> = used.collect();
        let of = |account: &Account| {
            let counted = used.iter().filter(|(provider, _)| account.counts(provider));
            let sum = |part: fn(&Used) -> u64| counted.clone().fold(0, |sum: u64, (_, u)| sum.saturating_add(part(u)));
            match account.limit.counted {
                Counted::Concurrent => 0,
                Counted::Requests => u64::from(counted.clone().next().is_some()),
                Counted::InputTokens => sum(|used| used.input),
                Counted::OutputTokens => sum(|used| used.output),
                Counted::TotalTokens => sum(|used| used.input.saturating_add(used.output)),
                Counted::Money => sum(|used| used.cost.unwrap_or(0)),
            }
        };
        let accounts = governor.accounts();
        governor.needs().iter().map(|(at, _)| accounts.get(*at).map_or(0, of)).collect()
    }

    /// What limits did to this request: those it went on in spite of, and whether something stood in for one.
    pub(super) fn spared(&self) -> (Vec<u64>, bool) {
        let of = |governor: &Governor| (governor.exceeded().collect(), governor.downgraded());
        self.governor.as_ref().map(of).unwrap_or_default()
    }
}
