//! Models, servers and accounts that a body asks for beside its `model`, where it reaches a provider as it is.
//!
//! Whoever is restricted to some models is so in every member. A name that is found is looked up as `model` is; what
//! names nothing that could be looked up (`preset`) is withheld from the provider. Who may ask for everything keeps
//! all.
//!
//! Does not: look at requests that are translated; there unknown members end anyway.

use wire::scan::Scan;
use wire::scan::routing::narrowed;

use super::resolve::resolve;
use super::{Ask, Hop, Refusal};
use crate::config::snapshot::{Names, Snapshot, VirtualKey};

/// The caller, or the provider's key that is used, is restricted to some models.
pub(crate) fn restricted(snapshot: &Snapshot, key: Option<&VirtualKey>, hop: &Hop) -> bool {
    let Some(lane) = snapshot.lanes.get(hop.lane) else { return true };
    let provider = snapshot.providers.get(lane.provider).map_or("", |provider| provider.name.as_str());
    let all = |list: &[String]| list.iter().any(|name| name == "*");
    let by_key = key.is_some_and(|key| {
        let own = || key.candidates.iter().filter(|c| c.provider == provider);
        matches!(key.models, Some(Names::These(_)))
            || !key.candidates.is_empty() && !own().any(|candidate| all(&candidate.models))
    });
    by_key || matches!(lane.models, Names::These(_))
}

/// May this caller have the provider of this hop asked for this model too?
///
/// # Errors
/// The same as if it had asked for it by `model`; `param` is the member to blame.
pub(crate) fn may(
    snapshot: &Snapshot,
    key: Option<&VirtualKey>,
    hop: &Hop,
    (param, model): (&str, &str),
) -> Result<(), Refusal> {
    if model == hop.model {
        return Ok(());
    }
    let unknown = || Refusal::UnknownModel { param: param.to_owned(), model: model.to_owned(), nearest: None };
    let lane = snapshot.lanes.get(hop.lane).ok_or_else(unknown)?;
    let provider = snapshot.providers.get(lane.provider).ok_or_else(unknown)?;
    let asked = |name: &str| {
        let found = resolve(snapshot, Ask { model: name, fallbacks: &[], key }, param)?;
        let same = |candidate: &crate::config::snapshot::Candidate| {
            candidate.provider == lane.provider && candidate.model == model
        };
        if found.iter().any(|found| !found.substituted && same(&found.candidate)) { Ok(()) } else { Err(unknown()) }
    };
    asked(&format!("{}/{model}", provider.name)).or_else(|refusal| asked(model).map_err(|_| refusal))?;
    if lane.models.contains(model) { Ok(()) } else { Err(unknown()) }
}

/// What a provider is not to see of a body.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Withheld {
    /// Members of the top level.
    pub(crate) members: Vec<&'static str>,
    /// Those of which a part stays, and that part.
    pub(crate) narrowed: Vec<(&'static str, String)>,
    /// What that is called, for the client: `route`, `provider.order`.
    pub(crate) names: Vec<String>,
}

/// What to withhold from the provider of this hop. `body` is read where a part of a member may pass.
pub(crate) fn withheld(snapshot: &Snapshot, key: Option<&VirtualKey>, hop: &Hop, scan: &Scan, body: &[u8]) -> Withheld {
    let mut out = Withheld::default();
    if scan.routing.unclear.is_empty() || !restricted(snapshot, key, hop) {
        return out;
    }
    let provider = snapshot.lanes.get(hop.lane).and_then(|lane| snapshot.providers.get(lane.provider));
    let narrows = provider.map_or(&[][..], |provider| provider.narrows);
    for name in scan.routing.unclear.iter().copied() {
        let keep = narrows.iter().find(|(have, _)| *have == name).map(|(_, keep)| *keep);
        let text = std::str::from_utf8(body).unwrap_or_default();
        match keep.map(|keep| narrowed(scan, text, name, keep)) {
            // All of it may pass.
            Some(None) => {}
            Some(Some((kept, lost))) if !kept.is_empty() => {
                out.narrowed.push((name, kept));
                out.names.extend(lost);
            }
            Some(Some(_)) | None => {
                out.members.push(name);
                out.names.push(name.to_owned());
            }
        }
    }
    out
}
