//! What tries cost, and what a finished request takes from its accounts.
//!
//! A try that the provider has billed counts as reported; one it has not, nothing. Where nobody can know, a **strict**
//! limit keeps what was reserved for the try ([`bill`]), whatever the configuration says. For an **elastic** limit the
//! configuration says whether the try counts. Then it counts with what is known or likely of its prompt and, if it was
//! the last, what was seen of its answer. It never counts with more than the worst case. Content that the client has
//! seen counts in any case, or whoever leaves before the last byte would be served for nothing.
//!
//! Does not: touch a wallet; the host settles there what it had reserved.

use std::cell::LazyCell;
use std::rc::Rc;

use wire::ir::{Operation, Usage};

use super::bill::{self, Bounds};
use super::settle::{SettledTry, answered, estimate};
use super::{Exchange, Try};
use crate::config::schema::FailedTries;
use crate::govern::price::Service;
use crate::govern::size::{Shape, Size};
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
pub(super) struct Used {
    pub(super) usage: Usage,
    /// Nano-dollars. `None`: nobody knows the price.
    pub(super) cost: Option<u64>,
    /// The provider reported more than the request can have used.
    pub(super) capped: bool,
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

    /// Usage and cost of one try, as `strict` limits count it or as elastic ones do.
    pub(super) fn used(&self, t: &Try, settled: &SettledTry, strict: bool) -> Used {
        let rated = self.terms.rated(&settled.provider, &settled.model);
        let rates = rated.map(|rated| &rated.rates);
        let (service, rule) = (self.terms.service, self.snapshot.govern.unknown_price);
        let refunds = self.snapshot.govern.failed_tries == FailedTries::Refund;
        let kept = settled.billed.unwrap_or(strict || t.first_content.is_some() || !refunds);
        if !kept || self.operation != Operation::Chat {
            return Used { cost: Some(0), ..Used::default() };
        }
        let size = self.terms.shape.map(|shape| shape.towards(!self.translates(t.hop)).at(rates));
        let bounds = Bounds::of(size.as_ref(), rates);
        let capped = bounds.cap(&t.usage) != t.usage;
        let usual = bounds.cap(&self.usual(t, settled, size.as_ref()));
        let most = size.and_then(|size| rated?.worst_cost(&size, service, rule));
        let (usage, cost) = if strict {
            let (usage, certain) = bill::reserved(t, size.as_ref(), &usual);
            let usage = bounds.cap(&usage);
            let most = size.and_then(|size| rated?.most_cost(&usage, certain, &size, service, rule));
            (usage, most.or_else(|| rated?.cost(&usage, service, rule)))
        } else {
            (usual, rated.and_then(|rated| rated.cost(&usual, service, rule)))
        };
        let told = rated.filter(|_| t.certain.all()).and_then(|rated| rated.cost(&usual, service, rule));
        let capped = capped || most.zip(told).is_some_and(|(most, told)| told > most);
        Used { usage, cost: cost.map(|cost| most.map_or(cost, |most| cost.min(most))), capped }
    }

    /// The usage as reported, completed by what is likely.
    fn usual(&self, t: &Try, settled: &SettledTry, size: Option<&Size>) -> Usage {
        let mut usage = if answered(t) { self.usage_of(t).usage } else { t.usage };
        if t.usage.input.is_none() {
            let likely = size.map_or_else(|| estimate(self.scan.len), |size| size.input_expected);
            usage = Usage { input: Some(likely), ..usage };
        }
        if settled.billed.is_none() { self.seen(t, usage) } else { usage }
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

    /// What the request takes from each of the accounts it had reserved from, in their order. Nothing if no provider was
    /// asked. A strict account is charged by its own rule although the request meets an elastic one, too.
    pub(super) fn amounts(&self, tries: &[SettledTry]) -> Vec<u64> {
        let Some(governor) = &self.governor else { return Vec::new() };
        let used = |strict: bool| -> Vec<(&str, Used)> {
            self.tries.iter().zip(tries).map(|(t, s)| (s.provider.as_str(), self.used(t, s, strict))).collect()
        };
        // Most requests meet accounts of one kind alone.
        let (strict, usual) = (LazyCell::new(|| used(true)), LazyCell::new(|| used(false)));
        let of = |account: &Account| {
            let used: &Vec<_> = if account.is_strict() { &strict } else { &usual };
            let counted = used.iter().filter(|(provider, _)| account.counts(provider));
            let sum = |part: fn(&Used) -> u64| counted.clone().fold(0, |sum: u64, (_, u)| sum.saturating_add(part(u)));
            let input = |used: &Used| used.usage.input.unwrap_or(0);
            let output = |used: &Used| used.usage.output.unwrap_or(0);
            match account.limit.counted {
                Counted::Concurrent => 0,
                Counted::Requests => u64::from(counted.clone().next().is_some()),
                Counted::InputTokens => sum(input),
                Counted::OutputTokens => sum(output),
                Counted::TotalTokens => sum(input).saturating_add(sum(output)),
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
