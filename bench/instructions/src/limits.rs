//! Limits, as a worker has them that holds what it needs: everybody's, a customer's, a team's and a key's own.

use std::rc::Rc;

use anyhow::{Result, ensure};
use engine::config::schema::UnknownPrice;
use engine::exchange::{Exchange, Terms};
use engine::govern::price::{Rates, Service, Tier};
use engine::govern::size::Shape;
use engine::govern::{
    Account, Candidate, Counted, Decision, Exhausted, Governor, Held, Lease, Limit, Mode, Rated, Unit, Wallet, Window,
};
use wire::scan::Scan;

const LIMITS: [(&str, Counted); 4] = [
    ("everybody", Counted::Money),
    ("customer acme", Counted::Requests),
    ("team search", Counted::Requests),
    ("key prod", Counted::Money),
];
/// Far from used up.
const PLENTY: u64 = 1 << 50;

/// One worker's, and what it knows of the model that is asked.
pub(crate) struct Limits {
    accounts: Rc<[Account]>,
    wallet: Wallet,
    rated: Rc<Rated>,
}

/// What a request was let go with.
pub(crate) struct Gone {
    pub(crate) governor: Governor,
    pub(crate) terms: Terms,
    pub(crate) held: Vec<Held>,
}

impl Limits {
    pub(crate) fn new(provider: &str, model: &str) -> Self {
        let (ids, mut wallet) = (1.., Wallet::default());
        let accounts = ids.zip(LIMITS).map(|(id, (scope, counted))| {
            let lease = Lease { account: id, window: 1, ends_in: Some(PLENTY), granted: PLENTY, ..Lease::default() };
            // Only what was asked for is taken.
            let _asked = wallet.draw(id, 1, 1);
            wallet.answered(&lease, 1, 1);
            let window = Some(Window { count: 1, unit: Unit::Month });
            let limit = Limit { counted, most: PLENTY, window, mode: Mode::Strict, exhausted: Exhausted::Block };
            Account { id, scope: scope.to_owned(), limit, provider: None, of_pool: None }
        });
        let accounts = accounts.collect();
        let rates = Rates {
            standard: vec![Tier { input: 150_000, output: 600_000, cache_read: Some(75_000), ..Tier::default() }],
            context: Some(128_000),
            max_output: Some(16_384),
            ..Rates::default()
        };
        let rated = Rated { provider: provider.to_owned(), model: model.to_owned(), rates, known: true };
        Self { accounts, wallet, rated: Rc::new(rated) }
    }

    /// Measures the request, decides and reserves, as the plan role does.
    pub(crate) fn go(&mut self, scan: &Scan, body: &[u8]) -> Result<Gone> {
        let (shape, service) = (Shape::of(scan, body), Service::asked(scan, body));
        let mut governor = Governor::new(Rc::clone(&self.accounts));
        let (rated, wallet) = (&self.rated, &mut self.wallet);
        let size = shape.at(Some(&rated.rates));
        let one = Candidate::new(&rated.provider, Some(rated), &size, service, UnknownPrice::Deny);
        let decision = governor.decide(&[one], |account, amount| wallet.standing(account, amount, 2));
        ensure!(decision == Decision::Go, "{decision:?}");
        let needs = governor.needs().iter().filter_map(|(at, amount)| Some((self.accounts.get(*at)?.id, *amount)));
        let held = needs.map(|(account, amount)| wallet.reserve(account, amount, 2)).collect();
        Ok(Gone { governor, terms: Terms { rated: vec![Rc::clone(rated)], shape: Some(shape), service }, held })
    }

    /// Settles it, as it is done at the end of the client's stream.
    pub(crate) fn settle(&mut self, ex: &Exchange, held: Vec<Held>) -> Result<()> {
        let settled = ex.settle(4);
        let charges = held.into_iter().zip(&settled.amounts).filter_map(|(held, used)| self.wallet.settle(held, *used));
        let charges = charges.count();
        ensure!(charges == LIMITS.len(), "{charges} charges");
        std::hint::black_box(settled);
        Ok(())
    }
}
