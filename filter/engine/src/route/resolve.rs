//! An asked name to candidates: public names, `provider/model`, names that keys list, and a virtual key's own candidates.
//!
//! Deny by default: what the configuration does not name is not served.

use std::collections::BTreeSet;

use super::{Ask, Refusal};
use crate::config::snapshot::{Candidate, Names, Snapshot, VirtualKey};
use crate::nearest::nearest;

/// One candidate of a plan.
#[derive(Debug, Clone, PartialEq)]
pub struct Resolved {
    /// Provider, its name of the model, weight, priority.
    pub candidate: Candidate,
    /// The virtual key's candidate serves another model than was asked.
    pub substituted: bool,
}

/// The candidates of one asked name.
///
/// # Errors
/// Nobody serves it, or this key may not ask for it. `param` is the member of the request to blame.
pub fn resolve(snapshot: &Snapshot, ask: Ask<'_>, param: &str) -> Result<Vec<Resolved>, Refusal> {
    let model = ask.model;
    if let Some(key) = ask.key {
        if key.models.as_ref().is_some_and(|names| !names.contains(model)) {
            return Err(not_allowed(param, model, key));
        }
        if !key.candidates.is_empty() {
            let found = own_candidates(snapshot, key, model);
            return if found.is_empty() { Err(not_allowed(param, model, key)) } else { Ok(found) };
        }
    }
    let found = configured(snapshot, model);
    if found.is_empty() {
        let names = listed(snapshot, ask.key);
        let nearest = nearest(model, names.iter().map(String::as_str)).map(str::to_owned);
        return Err(Refusal::UnknownModel { param: param.to_owned(), model: model.to_owned(), nearest });
    }
    Ok(found.into_iter().map(|candidate| Resolved { candidate, substituted: false }).collect())
}

fn not_allowed(param: &str, model: &str, key: &VirtualKey) -> Refusal {
    Refusal::NotAllowed { param: param.to_owned(), model: model.to_owned(), key: key.name.clone() }
}

/// `provider/model` where the provider is configured.
fn prefixed<'m>(snapshot: &Snapshot, model: &'m str) -> Option<(usize, &'m str)> {
    let (name, rest) = model.split_once('/')?;
    let provider = snapshot.providers.iter().position(|p| p.name == name)?;
    (!rest.is_empty()).then_some((provider, rest))
}

/// What the configuration itself serves under this name.
fn configured(snapshot: &Snapshot, model: &str) -> Vec<Candidate> {
    if let Some(public) = snapshot.models.iter().find(|m| m.name == model) {
        return public.candidates.clone();
    }
    if let Some((provider, rest)) = prefixed(snapshot, model) {
        let served = snapshot.lanes.iter().any(|l| l.provider == provider && l.models.contains(rest));
        let candidate = Candidate { provider, model: rest.to_owned(), weight: 1.0, priority: 0, context: None };
        return if served { vec![candidate] } else { Vec::new() };
    }
    // A bare name: the first provider whose keys list it serves it, the others stand by. `*` alone is no listing, or a
    // mistyped name would be sent to whoever is first.
    let lists = |provider: usize| {
        snapshot
            .lanes
            .iter()
            .any(|l| l.provider == provider && matches!(l.models, Names::These(_)) && l.models.contains(model))
    };
    (0..snapshot.providers.len())
        .filter(|provider| lists(*provider))
        .enumerate()
        .map(|(i, provider)| {
            let priority = u32::try_from(i).unwrap_or(u32::MAX);
            Candidate { provider, model: model.to_owned(), weight: 1.0, priority, context: None }
        })
        .collect()
}

/// Does the configuration itself serve this name to somebody?
pub(crate) fn serves(snapshot: &Snapshot, model: &str) -> bool {
    !configured(snapshot, model).is_empty()
}

/// What a key's own candidates make of this name. With an explicit provider only that provider's candidates count.
fn own_candidates(snapshot: &Snapshot, key: &VirtualKey, asked: &str) -> Vec<Resolved> {
    let (only, model) = match prefixed(snapshot, asked) {
        Some((provider, rest)) => (Some(provider), rest),
        None => (None, asked),
    };
    key.candidates
        .iter()
        .filter_map(|c| {
            let provider = snapshot.providers.iter().position(|p| p.name == c.provider)?;
            if only.is_some_and(|p| p != provider) {
                return None;
            }
            let serves = Names::list_contains(&c.models, model);
            let model = if serves {
                model
            } else if key.substitute {
                c.models.iter().find(|m| !m.contains('*'))?
            } else {
                return None;
            };
            let candidate =
                Candidate { provider, model: model.to_owned(), weight: c.weight, priority: 0, context: None };
            Some(Resolved { candidate, substituted: !serves })
        })
        .collect()
}

/// The names this caller may ask for, as `/v1/models` lists them: public names, then `provider/model`.
#[must_use]
pub fn listed(snapshot: &Snapshot, key: Option<&VirtualKey>) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    let mut seen = BTreeSet::new();
    let mut add = |name: String| {
        if !name.ends_with('*') && seen.insert(name.clone()) {
            names.push(name);
        }
    };
    match key.filter(|k| !k.candidates.is_empty()) {
        Some(key) => {
            if let Some(Names::These(list)) = &key.models {
                list.iter().for_each(|name| add(name.clone()));
            } else {
                key.candidates.iter().flat_map(|c| &c.models).for_each(|name| add(name.clone()));
            }
        }
        None => {
            snapshot.models.iter().for_each(|m| add(m.name.clone()));
            for lane in &snapshot.lanes {
                if let (Names::These(list), Some(provider)) = (&lane.models, snapshot.providers.get(lane.provider)) {
                    list.iter().for_each(|name| add(format!("{}/{name}", provider.name)));
                }
            }
            if let Some(allowed) = key.and_then(|k| k.models.as_ref()) {
                names.retain(|name| allowed.contains(name));
            }
        }
    }
    names
}
