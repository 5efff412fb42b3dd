//! Scopes: who has limits, and who belongs to whom.

mod identity;
mod limit;
mod price;
mod window;

use std::collections::BTreeSet;

pub(super) use self::limit::{Reach, Seen};
use super::model::LABEL;
use super::provider::Known;
use crate::config::document::Parts;
use crate::config::fault::Faults;
use crate::config::path::Path;
use crate::config::schema::{self, AuthMode, Config};
use crate::config::snapshot::{
    Customer, Governance, Governing, Pool, ProviderLimits, Snapshot, Source, Team, VirtualKey,
};
use crate::config::text;

/// What is governed, and by what the filter goes.
pub(super) fn resolve(
    typed: &Config,
    mut parts: Parts,
    snapshot: &mut Snapshot,
    faults: &mut Faults,
) -> (Vec<VirtualKey>, Governance) {
    let root = Path::root();
    let rules: schema::Governance = parts.read("governance", faults);
    let given_pools: schema::Map<schema::Pool> = parts.read("pools", faults);
    let given_keys: Vec<schema::VirtualKey> = parts.read("virtual_keys", faults);
    let reach = Reach { mode: rules.mode, pools: &given_pools, keys: &given_keys, snapshot };

    let global: schema::Global = parts.read("global", faults);
    let global = reach.limits(&global.limits, &root.member("global").member("limits"), faults);
    let customers = customers(&parts.read("customers", faults), reach, faults);
    let teams = teams(&mut parts, &customers, reach, faults);
    let pools = pools(reach, faults);
    let providers = providers(typed, &mut parts, reach, faults);
    let belongs = Belongs { teams: &teams };
    let keys = super::virtual_key::resolve(&given_keys, reach, belongs, &root.member("virtual_keys"), faults);
    let prices: Vec<schema::Price> = parts.read("prices", faults);
    let prices = price::resolve(&prices, Known::of(snapshot), &root.member("prices"), faults);
    let identities: Vec<schema::Identity> = parts.read("identities", faults);
    let identities = identity::resolve(&identities, &keys, belongs, &root.member("identities"), faults);
    if snapshot.auth == AuthMode::Required && given_keys.is_empty() && identities.is_empty() {
        let expected = "at least one, since auth is required and nobody could call";
        faults.add(&root.member("virtual_keys"), "none", expected);
    }

    let mut sources: Vec<Source> = Vec::new();
    for identity in &identities {
        if !sources.contains(&identity.source) {
            sources.push(identity.source.clone());
        }
    }
    snapshot.govern = Governing {
        unknown_price: rules.unknown_price,
        failed_tries: rules.failed_tries,
        tokenizer: rules.tokenizer,
        poll: snapshot.govern.poll,
        sources,
        keyless: !global.is_empty() || !providers.is_empty(),
    };
    (keys, Governance { global, customers, teams, pools, providers, prices, identities })
}

/// Whose a member of a team is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Belongs<'a> {
    teams: &'a [Team],
}

impl Belongs<'_> {
    /// The customer, said or by the team. A team or a customer that nothing declares is a label.
    pub(super) fn customer(
        self,
        team: Option<&str>,
        customer: Option<&str>,
        path: &Path,
        faults: &mut Faults,
    ) -> Option<String> {
        let team = team.and_then(|name| self.teams.iter().find(|team| team.name == name));
        let of_team = team.and_then(|team| team.customer.as_deref());
        if let (Some(team), Some(of_team), Some(said)) = (team, of_team, customer)
            && of_team != said
        {
            let expected = format!("{of_team}, to whom team {} belongs", team.name);
            faults.add(&path.member("customer"), format!("{said:?}"), expected);
        }
        customer.or(of_team).map(str::to_owned)
    }
}

fn named(name: &str, path: &Path, faults: &mut Faults) {
    if !text::is_label(name) {
        faults.add(&path.name(), "an unusable name", LABEL);
    }
}

fn customers(given: &schema::Map<schema::Customer>, reach: Reach<'_>, faults: &mut Faults) -> Vec<Customer> {
    let root = Path::root().member("customers");
    let mut customers = Vec::with_capacity(given.0.len());
    for (name, given) in &given.0 {
        let path = root.member(name);
        named(name, &path, faults);
        let zone = given.zone.clone().unwrap_or_else(|| "UTC".to_owned());
        if zone.is_empty() {
            faults.add(&path.member("zone"), "an empty text", "a time zone such as Europe/Berlin, or UTC");
        }
        let limits = reach.limits(&given.limits, &path.member("limits"), faults);
        customers.push(Customer { name: name.clone(), zone, limits });
    }
    customers
}

fn teams(parts: &mut Parts, customers: &[Customer], reach: Reach<'_>, faults: &mut Faults) -> Vec<Team> {
    let root = Path::root();
    let (teams, projects): (schema::Map<schema::Team>, schema::Map<schema::Team>) =
        (parts.read("teams", faults), parts.read("projects", faults));
    if !teams.0.is_empty() && !projects.0.is_empty() {
        let path = root.member("projects").name();
        faults.add(&path, "projects beside teams", "one of the two, since they are the same");
    }
    let known: BTreeSet<&str> = customers.iter().map(|customer| customer.name.as_str()).collect();
    let mut resolved = Vec::new();
    for (given, root) in [(teams, root.member("teams")), (projects, root.member("projects"))] {
        for (name, given) in given.0 {
            let path = root.member(&name);
            named(&name, &path, faults);
            if let Some(customer) = given.customer.as_deref().filter(|customer| !known.contains(customer)) {
                faults.unknown(&path.member("customer"), customer, "a name under `customers`", known.iter().copied());
            }
            let limits = reach.limits(&given.limits, &path.member("limits"), faults);
            resolved.push(Team { name, customer: given.customer, limits });
        }
    }
    resolved
}

/// A pool is the end of the way: nothing stands in for it.
fn pools(reach: Reach<'_>, faults: &mut Faults) -> Vec<Pool> {
    let root = Path::root().member("pools");
    let mut pools = Vec::with_capacity(reach.pools.0.len());
    for (name, given) in &reach.pools.0 {
        let path = root.member(name);
        named(name, &path, faults);
        if given.limits.is_empty() {
            faults.add(&path.member("limits"), "none", "at least one limit: a pool without would let everything pass");
        }
        limit::end(&given.limits, &path.member("limits"), faults);
        let limits = reach.limits(&given.limits, &path.member("limits"), faults);
        pools.push(Pool { name: name.clone(), limits });
    }
    pools
}

fn providers(typed: &Config, parts: &mut Parts, reach: Reach<'_>, faults: &mut Faults) -> Vec<ProviderLimits> {
    let root = Path::root().member("providers");
    let mut providers = Vec::new();
    for (name, _) in &typed.providers.0 {
        let path = root.member(name).member("limits");
        let limits = reach.limits(&parts.limits(name, &path, faults), &path, faults);
        if !limits.is_empty() {
            providers.push(ProviderLimits { name: name.clone(), limits });
        }
    }
    providers
}
