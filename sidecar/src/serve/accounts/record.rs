//! Which accounts a request may meet, as a key's record lists them.

use engine::govern::{Counted, Exhausted, Limit, Mode};
use sidecar_api::v1::account::{Counted as Told, OnExhausted};
use sidecar_api::v1::{self, KeyRecord};

use super::{Accounts, NOBODYS, Owner, Rule};

impl Accounts {
    /// Lists in the record what its key, team and customer meet; without any of them, what everybody meets.
    pub fn fill(&self, record: &mut KeyRecord) {
        let shard = self.shard_of(Some(&record.customer));
        let mut list = List { accounts: self, shard, pools: Vec::new(), found: Vec::new() };
        list.add(Owner::Global, &self.global, true);
        if shard != NOBODYS
            && let Some(customer) = self.shard(shard)
        {
            list.add(Owner::Customer, &customer.limits, false);
        }
        if let Some(at) = self.by_team.get(&*record.team)
            && let Some(team) = self.teams.get(*at as usize)
        {
            list.add(Owner::Team(*at), &team.limits, false);
        }
        if let Some(at) = self.by_key.get(&*record.name)
            && let Some(key) = self.keys.get(*at as usize)
        {
            list.add(Owner::Key(*at), &key.limits, false);
            for (provider, limits) in &key.candidates {
                list.add(Owner::KeyCandidate(*at, *provider), limits, false);
            }
        }
        for (at, provider) in (0..).zip(&self.providers) {
            list.add(Owner::Provider(at), &provider.limits, true);
        }
        for (at, pool) in (0..).zip(&self.pools) {
            if list.pools.iter().any(|name| **name == *pool.name) {
                list.add(Owner::Pool(at), &pool.limits, true);
            }
        }
        record.accounts = list.found;
    }
}

/// A record's list as it grows.
struct List<'a> {
    accounts: &'a Accounts,
    shard: u32,
    /// Pools that stand in for a limit of the list.
    pools: Vec<&'a str>,
    found: Vec<v1::Account>,
}

impl<'a> List<'a> {
    fn add(&mut self, owner: Owner, limits: &'a [Limit], is_shared: bool) {
        let scope = self.accounts.scope(owner, self.shard);
        for limit in limits {
            if let Exhausted::Pool(pool) = &limit.exhausted {
                self.pools.push(pool);
            }
            let mut account = account(limit);
            account.id = self.accounts.number(owner, self.shard, is_shared, Rule::of(limit));
            account.scope = scope.words();
            match owner {
                Owner::KeyCandidate(..) | Owner::Provider(_) => scope.provider.clone_into(&mut account.provider),
                Owner::Pool(_) => scope.name.clone_into(&mut account.of_pool),
                Owner::Global | Owner::Customer | Owner::Team(_) | Owner::Key(_) => {}
            }
            self.found.push(account);
        }
    }
}

/// What the limit itself says.
fn account(limit: &Limit) -> v1::Account {
    let mut account = v1::Account {
        most: limit.most,
        window: limit.window.map(|window| window.to_string()).unwrap_or_default(),
        elastic: limit.mode == Mode::Elastic,
        ..v1::Account::default()
    };
    account.set_counted(match limit.counted {
        Counted::Requests => Told::Requests,
        Counted::InputTokens => Told::InputTokens,
        Counted::OutputTokens => Told::OutputTokens,
        Counted::TotalTokens => Told::TotalTokens,
        Counted::Money => Told::Money,
        Counted::Concurrent => Told::Concurrent,
    });
    let act = match &limit.exhausted {
        Exhausted::Block => OnExhausted::Block,
        Exhausted::AlertOnly => OnExhausted::AlertOnly,
        Exhausted::Shadow => OnExhausted::Shadow,
        Exhausted::Downgrade(models) => {
            account.downgrade.clone_from(models);
            OnExhausted::Downgrade
        }
        Exhausted::Pool(pool) => {
            account.pool.clone_from(pool);
            OnExhausted::Pool
        }
    };
    account.set_on_exhausted(act);
    account
}
