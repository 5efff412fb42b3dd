//! From the configuration to its accounts.

use std::collections::HashMap;
use std::sync::Arc;

use engine::config::Loaded;
use engine::config::snapshot::VirtualKey;
use engine::govern::Limit;

use super::scope;
use super::{Accounts, Heard, Key, NOBODYS, Named, Owner, Row, Rule, Shard, Team, Zone};

impl Accounts {
    /// All limits of a configuration. `heard` outlives it.
    #[must_use]
    pub fn of(loaded: &Loaded, heard: Arc<Heard>) -> Self {
        let governance = &loaded.governance;
        let named = |name: &str, limits: &[Limit]| Named { name: name.into(), limits: limits.to_vec() };
        let nobodys = Shard { name: "".into(), holder: scope::shard(""), zone: Zone::UTC, limits: Vec::new() };
        let customers = governance.customers.iter().map(|customer| Shard {
            name: customer.name.as_str().into(),
            holder: scope::shard(&customer.name),
            // The reader of the file has refused what is none.
            zone: Zone::find(&customer.zone).unwrap_or(Zone::UTC),
            limits: customer.limits.clone(),
        });
        let shards: Vec<_> = std::iter::once(nobodys).chain(customers).collect();
        let by_customer: HashMap<Box<str>, u32> =
            (NOBODYS..).zip(&shards).skip(1).map(|(at, shard)| (shard.name.clone(), at)).collect();
        let teams: Vec<_> = governance
            .teams
            .iter()
            .map(|team| Team {
                name: team.name.as_str().into(),
                shard: team.customer.as_deref().and_then(|name| by_customer.get(name)).copied().unwrap_or(NOBODYS),
                limits: team.limits.clone(),
            })
            .collect();
        let mut this = Self {
            heard,
            rows: HashMap::new(),
            rules: Vec::new(),
            shards,
            by_customer,
            global: governance.global.clone(),
            by_team: (0..).zip(&teams).map(|(at, team)| (team.name.clone(), at)).collect(),
            teams,
            keys: Vec::new(),
            by_key: HashMap::new(),
            providers: governance.providers.iter().map(|it| named(&it.name, &it.limits)).collect(),
            pools: governance.pools.iter().map(|it| named(&it.name, &it.limits)).collect(),
            candidates: Vec::new(),
            spans: std::sync::RwLock::default(),
        };
        this.add_keys(&loaded.virtual_keys);
        this.add_rows(&loaded.virtual_keys);
        this
    }

    fn add_keys(&mut self, keys: &[VirtualKey]) {
        let mut candidates = HashMap::new();
        for key in keys.iter().filter(|key| is_limited(key)) {
            let of_candidates = key.candidates.iter().filter(|candidate| !candidate.limits.is_empty());
            let of_candidates = of_candidates.map(|candidate| {
                let at = *candidates.entry(candidate.provider.as_str()).or_insert_with(|| {
                    self.candidates.push(candidate.provider.as_str().into());
                    position(self.candidates.len())
                });
                (at, candidate.limits.clone().into_boxed_slice())
            });
            let name: Arc<str> = key.name.as_str().into();
            let limits = key.limits.clone().into_boxed_slice();
            self.keys.push(Key { name: Arc::clone(&name), limits, candidates: of_candidates.collect() });
            self.by_key.insert(name, position(self.keys.len()));
        }
    }

    fn add_rows(&mut self, keys: &[VirtualKey]) {
        let mut rules = HashMap::new();
        let mut found: Vec<(Owner, u32, bool, Rule)> = Vec::new();
        for (at, shard) in (0..).zip(&self.shards) {
            found.extend(shard.limits.iter().map(|limit| (Owner::Customer, at, false, Rule::of(limit))));
        }
        for (at, team) in (0..).zip(&self.teams) {
            found.extend(team.limits.iter().map(|limit| (Owner::Team(at), team.shard, false, Rule::of(limit))));
        }
        let shared = self.global.iter().map(|limit| (Owner::Global, limit));
        let providers = (0..).zip(&self.providers);
        let shared = shared.chain(
            providers.flat_map(|(at, provider)| provider.limits.iter().map(move |limit| (Owner::Provider(at), limit))),
        );
        let pools = (0..).zip(&self.pools);
        let shared =
            shared.chain(pools.flat_map(|(at, pool)| pool.limits.iter().map(move |limit| (Owner::Pool(at), limit))));
        for (owner, limit) in shared {
            found.push((owner, NOBODYS, false, Rule::of(limit)));
            found.extend((0..).zip(&self.shards).map(|(at, _)| (owner, at, true, Rule::of(limit))));
        }
        let limited = keys.iter().filter(|key| is_limited(key));
        for ((at, key), configured) in (0..).zip(&self.keys).zip(limited) {
            let shard = self.shard_of(configured.customer.as_deref());
            found.extend(key.limits.iter().map(|limit| (Owner::Key(at), shard, false, Rule::of(limit))));
            for (provider, limits) in &key.candidates {
                let owner = Owner::KeyCandidate(at, *provider);
                found.extend(limits.iter().map(|limit| (owner, shard, false, Rule::of(limit))));
            }
        }
        self.rows.reserve(found.len());
        for (owner, shard, is_part, of) in found {
            let id = self.number(owner, shard, is_part, of);
            let rule = *rules.entry(of).or_insert_with(|| {
                self.rules.push(of);
                position(self.rules.len())
            });
            self.rows.insert(id, Row { rule, owner, shard, is_part });
        }
    }

    /// The account of a limit.
    pub(super) fn number(&self, owner: Owner, shard: u32, is_part: bool, of: Rule) -> u64 {
        let part = self.shard(shard).filter(|_| is_part).map(|shard| &*shard.name);
        self.scope(owner, shard).account(of.counted, of.window, part)
    }

    /// Of a customer, or of nobody's.
    pub(super) fn shard_of(&self, customer: Option<&str>) -> u32 {
        customer.and_then(|name| self.by_customer.get(name)).copied().unwrap_or(NOBODYS)
    }
}

impl Rule {
    pub(super) fn of(limit: &Limit) -> Self {
        Self { counted: limit.counted, window: limit.window, most: limit.most }
    }
}

fn is_limited(key: &VirtualKey) -> bool {
    !key.limits.is_empty() || key.candidates.iter().any(|candidate| !candidate.limits.is_empty())
}

/// Of the last of so many. There are fewer of anything than a file can name.
fn position(count: usize) -> u32 {
    u32::try_from(count.saturating_sub(1)).unwrap_or(u32::MAX)
}
