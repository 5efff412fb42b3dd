//! Keys that clients present.

use super::model::LABEL;
use super::provider::Known;
use super::weights;
use crate::config::fault::Faults;
use crate::config::path::Path;
use crate::config::schema;
use crate::config::snapshot::{KeyCandidate, Names, VirtualKey};
use crate::config::text;

pub(super) fn resolve(
    typed: &[schema::VirtualKey],
    known: Known<'_>,
    path: &Path,
    faults: &mut Faults,
) -> Vec<VirtualKey> {
    let mut keys: Vec<VirtualKey> = Vec::with_capacity(typed.len());
    for (i, given) in typed.iter().enumerate() {
        let path = path.index(i);
        let name = given.name.clone().unwrap_or_default();
        if given.name.is_none() {
            faults.add(&path.member("name"), "nothing", LABEL);
        } else if !text::is_label(&name) {
            faults.add(&path.member("name"), "an unusable name", LABEL);
        } else if keys.iter().any(|former| former.name == name) {
            faults.add(&path.member("name"), format!("{name:?} again"), "a name of its own");
        }
        let secret = secret(given.secret.as_deref(), &keys, &path.member("secret"), faults);
        if given.models.as_ref().is_some_and(Vec::is_empty) {
            let expected = "the models that may be asked, [\"*\"] for all, or no `models` at all";
            faults.add(&path.member("models"), "none", expected);
        }
        super::model::names(given.models.as_deref().unwrap_or_default(), &path.member("models"), faults);
        keys.push(VirtualKey {
            name,
            secret,
            models: given.models.as_deref().map(Names::new),
            candidates: candidates(&given.candidates, known, &path.member("candidates"), faults),
            substitute: given.substitute.unwrap_or(!given.candidates.is_empty()),
            disabled: given.disabled,
            team: given.team.clone(),
            customer: given.customer.clone(),
        });
    }
    keys
}

/// Never quoted in a fault: it may be the key itself.
fn secret(given: Option<&str>, former: &[VirtualKey], path: &Path, faults: &mut Faults) -> String {
    let expected = "env:NAME, file:PATH or sha256:HEX, never the key itself";
    let Some(secret) = given else {
        faults.add(path, "nothing", expected);
        return String::new();
    };
    match secret.strip_prefix("sha256:") {
        Some(hex) if !text::is_sha256(hex) => {
            faults.add(path, "sha256: and something else", "64 hex digits after sha256:");
        }
        None if !text::is_reference(secret) => faults.add(path, "something else", expected),
        Some(_) | None => {}
    }
    if let Some(i) = former.iter().position(|key| key.secret.eq_ignore_ascii_case(secret)) {
        faults.add(path, format!("the secret of virtual_keys[{i}] again"), "a secret of its own");
    }
    secret.to_owned()
}

fn candidates(given: &[schema::KeyCandidate], known: Known<'_>, path: &Path, faults: &mut Faults) -> Vec<KeyCandidate> {
    let group: Vec<_> = given.iter().enumerate().map(|(i, candidate)| (candidate.weight, path.index(i))).collect();
    let shares = weights(&group, path, faults);
    let mut candidates = Vec::with_capacity(given.len());
    for (i, (candidate, weight)) in given.iter().zip(shares).enumerate() {
        let path = path.index(i);
        let provider = known.find(candidate.provider.as_deref(), &path, faults);
        if candidate.models.is_empty() {
            faults.add(&path.member("models"), "none", "the models it may serve, the substitute first");
        }
        super::model::names(&candidate.models, &path.member("models"), faults);
        for (j, model) in candidate.models.iter().enumerate().filter(|(_, model)| !model.ends_with('*')) {
            if let Some(provider) = provider {
                known.expect_served(provider, model, &path.member("models").index(j), faults);
            }
        }
        candidates.push(KeyCandidate {
            provider: candidate.provider.clone().unwrap_or_default(),
            models: candidate.models.clone(),
            weight,
        });
    }
    candidates
}
