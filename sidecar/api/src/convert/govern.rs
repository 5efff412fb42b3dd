//! Accounts and leases, and whose rates are whose.

use engine::govern::{Account, Counted, Draw, Exhausted, Lease, Limit, Mode, Rated, Window};

use super::{InvalidRecord, some};
use crate::v1;
use crate::v1::account::{Counted as CountedSaid, OnExhausted};

/// Nanoseconds of a millisecond.
const MILLI: u64 = 1_000_000;

impl From<&Account> for v1::Account {
    fn from(account: &Account) -> Self {
        let limit = &account.limit;
        let (on_exhausted, downgrade, pool) = match &limit.exhausted {
            Exhausted::Block => (OnExhausted::Block, Vec::new(), String::new()),
            Exhausted::Downgrade(models) => (OnExhausted::Downgrade, models.clone(), String::new()),
            Exhausted::Pool(pool) => (OnExhausted::Pool, Vec::new(), pool.clone()),
            Exhausted::AlertOnly => (OnExhausted::AlertOnly, Vec::new(), String::new()),
            Exhausted::Shadow => (OnExhausted::Shadow, Vec::new(), String::new()),
        };
        let counted = match limit.counted {
            Counted::Requests => CountedSaid::Requests,
            Counted::InputTokens => CountedSaid::InputTokens,
            Counted::OutputTokens => CountedSaid::OutputTokens,
            Counted::TotalTokens => CountedSaid::TotalTokens,
            Counted::Money => CountedSaid::Money,
            Counted::Concurrent => CountedSaid::Concurrent,
        };
        Self {
            id: account.id,
            counted: counted.into(),
            scope: account.scope.clone(),
            most: limit.most,
            window: limit.window.map(|window| window.to_string()).unwrap_or_default(),
            elastic: limit.mode == Mode::Elastic,
            on_exhausted: on_exhausted.into(),
            downgrade,
            pool,
            provider: account.provider.clone().unwrap_or_default(),
            of_pool: account.of_pool.clone().unwrap_or_default(),
        }
    }
}

impl TryFrom<v1::Account> for Account {
    type Error = InvalidRecord;

    fn try_from(said: v1::Account) -> Result<Self, InvalidRecord> {
        let counted = match said.counted() {
            // Counted by a newer sidecar: to go on without it would be to lift a limit.
            CountedSaid::Unspecified => return Err(InvalidRecord::Limit),
            CountedSaid::Requests => Counted::Requests,
            CountedSaid::InputTokens => Counted::InputTokens,
            CountedSaid::OutputTokens => Counted::OutputTokens,
            CountedSaid::TotalTokens => Counted::TotalTokens,
            CountedSaid::Money => Counted::Money,
            CountedSaid::Concurrent => Counted::Concurrent,
        };
        let exhausted = match said.on_exhausted() {
            OnExhausted::Block => Exhausted::Block,
            OnExhausted::Downgrade => Exhausted::Downgrade(said.downgrade),
            OnExhausted::Pool => Exhausted::Pool(said.pool),
            OnExhausted::AlertOnly => Exhausted::AlertOnly,
            OnExhausted::Shadow => Exhausted::Shadow,
        };
        let window = Window::parse(&said.window);
        if window.is_none() != (counted == Counted::Concurrent) {
            return Err(InvalidRecord::Limit);
        }
        let mode = if said.elastic { Mode::Elastic } else { Mode::Strict };
        Ok(Self {
            id: said.id,
            scope: said.scope,
            limit: Limit { counted, most: said.most, window, mode, exhausted },
            provider: some(said.provider),
            of_pool: some(said.of_pool),
        })
    }
}

impl From<v1::Rates> for Rated {
    fn from(mut said: v1::Rates) -> Self {
        let (provider, model) = (std::mem::take(&mut said.provider), std::mem::take(&mut said.model));
        Self { provider, model, known: said.known, rates: said.into() }
    }
}

impl From<&Draw> for v1::Draw {
    fn from(draw: &Draw) -> Self {
        let Draw { account, window, received, returned, need, want } = *draw;
        Self { account, window, received, returned, need, want }
    }
}

impl From<&v1::Lease> for Lease {
    fn from(said: &v1::Lease) -> Self {
        Self {
            account: said.account,
            window: said.window,
            ends_in: (said.window > 0).then(|| said.ends_in_ms.saturating_mul(MILLI)),
            granted: said.granted,
            returned: said.returned,
            refused: said.refused,
            used: said.used,
            most: said.most,
            back: said.back,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_survives_the_way_there_and_back() {
        let rules = [
            Exhausted::Block,
            Exhausted::Downgrade(vec!["small".to_owned()]),
            Exhausted::Pool("spare".to_owned()),
            Exhausted::AlertOnly,
            Exhausted::Shadow,
        ];
        for counted in Counted::ALL {
            for exhausted in rules.clone() {
                let window = (counted != Counted::Concurrent).then(|| Window::parse("1M").unwrap());
                let limit = Limit { counted, most: 600, window, mode: Mode::Elastic, exhausted };
                let provider = Some("openai".to_owned());
                let sent = Account { id: 7, scope: "key prod".to_owned(), limit, provider, of_pool: None };
                assert_eq!(Account::try_from(v1::Account::from(&sent)), Ok(sent));
            }
        }
    }

    #[test]
    fn a_limit_that_nobody_understands_is_not_lifted() {
        let requests = CountedSaid::Requests.into();
        let unknown = v1::Account { window: "1d".to_owned(), counted: 99, ..v1::Account::default() };
        let endless = v1::Account { counted: requests, ..v1::Account::default() };
        let odd = v1::Account { counted: requests, window: "1x".to_owned(), ..v1::Account::default() };
        for said in [unknown, endless, odd] {
            assert_eq!(Account::try_from(said), Err(InvalidRecord::Limit));
        }
    }
}
