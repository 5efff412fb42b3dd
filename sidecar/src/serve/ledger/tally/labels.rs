//! Which names are labels: all of the configuration, and some of those that clients bring.
//!
//! A model's name is the client's, so its places are shared out by tenant. Each has [`QUOTA`] at most. Where all are
//! taken, whoever has fewer takes one from whoever has most. So ten thousand names of one tenant are twenty labels and
//! `other`, and the next tenant's model has a label of its own.
//!
//! Decision: a place is lost only when it has not been used for [`AGE`], or to somebody who has fewer; so labels do not come
//! and go with each request. Rejected: the least recently used one in any case, by which a tenant of many names makes as
//! many series.

use std::collections::{BTreeMap, HashMap};

use super::super::Totals;

/// The label of every name that got none of its own.
pub const OTHER: &str = "other";
/// What names that have lost their label have used while they had it: in the store alone.
pub const FORMER: &str = "(former)";
/// Names beyond the configured ones that get a label of their own, per kind of label.
pub(super) const ROOM: usize = 200;
/// Of these, one tenant's.
pub(super) const QUOTA: usize = 20;
/// Seconds after which the place of a name that nobody uses is another's.
pub(super) const AGE: u64 = 24 * 3600;
/// Seconds after which a use is written again.
const FINE: u64 = 3600;
/// A longer name never gets a label of its own.
const LONGEST: usize = 128;

/// Kinds of labels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Virtual keys.
    Key,
    /// Their teams.
    Team,
    /// Models, as clients or as providers call them.
    Model,
    /// Providers.
    Provider,
    /// Dialects of clients.
    Dialect,
    /// Customers.
    Customer,
}

/// All of them.
const KINDS: [Kind; 6] = [Kind::Key, Kind::Team, Kind::Model, Kind::Provider, Kind::Dialect, Kind::Customer];

impl Kind {
    /// As metrics and columns call it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Key => "key",
            Self::Team => "team",
            Self::Model => "model",
            Self::Provider => "provider",
            Self::Dialect => "dialect",
            Self::Customer => "customer",
        }
    }

    /// Of this word.
    #[must_use]
    pub fn of_word(word: &str) -> Option<Self> {
        KINDS.into_iter().find(|kind| kind.word() == word)
    }

    /// Names that only the configuration makes.
    fn is_closed(self) -> bool {
        matches!(self, Self::Provider | Self::Dialect)
    }
}

/// Names of the configuration.
#[derive(Debug, Clone, Default)]
pub struct Names {
    /// Virtual keys.
    pub keys: Vec<String>,
    /// Their teams.
    pub teams: Vec<String>,
    /// Models, as clients or as providers call them.
    pub models: Vec<String>,
    /// Providers.
    pub providers: Vec<String>,
    /// Dialects of clients.
    pub dialects: Vec<String>,
    /// Customers.
    pub customers: Vec<String>,
}

impl Names {
    fn take(&mut self, kind: Kind) -> Vec<String> {
        std::mem::take(match kind {
            Kind::Key => &mut self.keys,
            Kind::Team => &mut self.teams,
            Kind::Model => &mut self.models,
            Kind::Provider => &mut self.providers,
            Kind::Dialect => &mut self.dialects,
            Kind::Customer => &mut self.customers,
        })
    }
}

/// The place of a name that is not configured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The tenant that brought it; empty if nobody knows.
    pub tenant: String,
    /// When it was last used, in Unix seconds of the ledger.
    pub used: u64,
}

/// Names that may be labels, and what of them a store does not have yet.
#[derive(Debug, Clone)]
pub struct Labels {
    kinds: BTreeMap<Kind, Bounded>,
    /// Places that were taken, used or lost since they were last written; `None`: lost.
    unsaved: BTreeMap<(Kind, String), Option<Place>>,
}

impl Labels {
    /// With room for a few more of each.
    #[must_use]
    pub fn new(mut names: Names) -> Self {
        let kinds = KINDS.into_iter().map(|kind| (kind, Bounded::new(names.take(kind)))).collect();
        Self { kinds, unsaved: BTreeMap::new() }
    }

    /// Names of another configuration. Those of the former one that were used become names like any other.
    pub fn replace(&mut self, mut names: Names, now: u64) {
        for (kind, bounded) in &mut self.kinds {
            bounded.replace(names.take(*kind), now);
        }
    }

    /// Names that have a label already, e.g. before a restart, keep it: their places, and what was counted under them.
    pub fn keep(&mut self, totals: &Totals, places: Vec<(Kind, String, Place)>, now: u64) {
        for (kind, name, place) in places {
            self.bounded(kind).keep(&name, place);
        }
        let mut keep = |kind: Kind, name: &String| {
            self.bounded(kind).keep(name, Place { tenant: String::new(), used: now });
        };
        for labels in totals.requests.keys() {
            keep(Kind::Key, &labels.key);
            keep(Kind::Team, &labels.team);
            keep(Kind::Model, &labels.model);
            keep(Kind::Dialect, &labels.dialect);
        }
        for labels in totals.usage.keys() {
            keep(Kind::Key, &labels.key);
            keep(Kind::Team, &labels.team);
            keep(Kind::Model, &labels.model);
            keep(Kind::Provider, &labels.provider);
        }
        for labels in totals.costs.keys() {
            keep(Kind::Customer, &labels.customer);
        }
    }

    /// Labels of one tenant's names. `earned`: they may take places, since a provider has answered for them; so a client
    /// without a key takes none.
    pub fn of<'a>(&'a mut self, tenant: &'a str, earned: bool, now: u64) -> Tenant<'a> {
        Tenant { labels: self, tenant, earned, now }
    }

    /// What a store does not have yet.
    #[must_use]
    pub fn unsaved(&self) -> &BTreeMap<(Kind, String), Option<Place>> {
        &self.unsaved
    }

    /// The store has it.
    pub fn saved(&mut self) {
        self.unsaved.clear();
    }

    fn bounded(&mut self, kind: Kind) -> &mut Bounded {
        self.kinds.entry(kind).or_insert_with(|| Bounded::new(Vec::new()))
    }
}

/// One tenant, as far as labels go.
#[derive(Debug)]
pub struct Tenant<'a> {
    labels: &'a mut Labels,
    tenant: &'a str,
    earned: bool,
    now: u64,
}

impl Tenant<'_> {
    /// The label of a name.
    pub fn label(&mut self, kind: Kind, name: &str) -> String {
        let (earned, now) = (self.earned, self.now);
        // Only models are named by clients; any other name stands for itself.
        let tenant = if kind == Kind::Model { self.tenant } else { name };
        let found =
            self.labels.bounded(kind).find(name, tenant, earned && name.len() <= LONGEST, kind.is_closed(), now);
        let Found { is_label, changed, lost } = found;
        let unsaved = &mut self.labels.unsaved;
        if let Some(lost) = lost {
            unsaved.insert((kind, lost), None);
        }
        if let Some(place) = changed {
            unsaved.insert((kind, name.to_owned()), Some(place));
        }
        if is_label { name.to_owned() } else { OTHER.to_owned() }
    }
}

/// What became of one name.
#[derive(Debug, Default)]
struct Found {
    is_label: bool,
    /// Its place is new, or was not written for long.
    changed: Option<Place>,
    /// The name that had the place before.
    lost: Option<String>,
}

/// A set of names that stops growing.
#[derive(Debug, Clone)]
struct Bounded {
    /// Those of the configuration, and whether they were used.
    configured: HashMap<String, bool>,
    /// All others; and when each was last written.
    places: HashMap<String, (Place, u64)>,
    /// How many places each tenant has.
    tenants: HashMap<String, usize>,
}

impl Bounded {
    fn new(names: Vec<String>) -> Self {
        Self { configured: configured(names), places: HashMap::new(), tenants: HashMap::new() }
    }

    fn replace(&mut self, names: Vec<String>, now: u64) {
        let former = std::mem::replace(&mut self.configured, configured(names));
        let used = former.into_iter().filter_map(|(name, used)| used.then_some(name));
        used.for_each(|name| self.keep(&name, Place { tenant: String::new(), used: now }));
        for name in self.configured.keys() {
            if let Some((place, _)) = self.places.remove(name) {
                leave(&mut self.tenants, &place.tenant);
            }
        }
    }

    /// A name that has been a label.
    fn keep(&mut self, name: &str, place: Place) {
        if let Some(used) = self.configured.get_mut(name) {
            *used = true;
        } else if name != FORMER && !self.places.contains_key(name) {
            *self.tenants.entry(place.tenant.clone()).or_default() += 1;
            let written = place.used;
            self.places.insert(name.to_owned(), (place, written));
        }
    }

    fn find(&mut self, name: &str, tenant: &str, earned: bool, is_closed: bool, now: u64) -> Found {
        if let Some(used) = self.configured.get_mut(name) {
            *used = true;
            return Found { is_label: true, ..Found::default() };
        }
        if let Some((place, written)) = self.places.get_mut(name) {
            place.used = place.used.max(now);
            let due = place.used.saturating_sub(*written) > FINE;
            let changed = due.then(|| place.clone());
            *written = if due { place.used } else { *written };
            return Found { is_label: true, changed, lost: None };
        }
        if !earned || name == FORMER {
            return Found::default();
        }
        let own = self.tenants.get(tenant).copied().unwrap_or(0);
        let mut lost = None;
        if own >= QUOTA || self.places.len() >= ROOM {
            lost = if is_closed { None } else { self.weakest(tenant, own, now) };
            let Some(weakest) = &lost else { return Found::default() };
            if let Some((place, _)) = self.places.remove(weakest) {
                leave(&mut self.tenants, &place.tenant);
            }
        }
        let place = Place { tenant: tenant.to_owned(), used: now };
        self.keep(name, place.clone());
        Found { is_label: true, changed: Some(place), lost }
    }

    /// Whose place a tenant may take that has so many.
    fn weakest(&self, tenant: &str, own: usize, now: u64) -> Option<String> {
        let oldest = |of: Option<&str>| {
            let theirs = self.places.iter().filter(|(_, (place, _))| of.is_none_or(|of| place.tenant == of));
            theirs.min_by_key(|(name, (place, _))| (place.used, *name))
        };
        let unused = oldest((own >= QUOTA).then_some(tenant)).filter(|(_, (place, _))| place.used + AGE <= now);
        let richest = || {
            let (richest, most) = self.tenants.iter().max_by_key(|(name, places)| (**places, *name))?;
            if own < QUOTA && *most > own + 1 { oldest(Some(richest)) } else { None }
        };
        unused.or_else(richest).map(|(name, _)| name.clone())
    }
}

/// The empty name stands for "none" and needs no room.
fn configured(names: Vec<String>) -> HashMap<String, bool> {
    let own = [String::new(), OTHER.to_owned()];
    names.into_iter().chain(own).map(|name| (name, false)).collect()
}

fn leave(tenants: &mut HashMap<String, usize>, tenant: &str) {
    if let Some(places) = tenants.get_mut(tenant) {
        *places -= 1;
        if *places == 0 {
            tenants.remove(tenant);
        }
    }
}

#[cfg(test)]
mod tests;
