//! Keys that clients present.

use std::collections::{BTreeMap, BTreeSet};

use super::govern::{Belongs, Reach, Seen};
use super::model::LABEL;
use super::provider::Known;
use super::weights;
use crate::config::fault::Faults;
use crate::config::path::Path;
use crate::config::snapshot::{Former, KeyCandidate, Names, VirtualKey};
use crate::config::{schema, text, time};

pub(super) fn resolve(
    typed: &[schema::VirtualKey],
    reach: Reach<'_>,
    belongs: Belongs<'_>,
    path: &Path,
    faults: &mut Faults,
) -> Vec<VirtualKey> {
    let mut keys: Vec<VirtualKey> = Vec::with_capacity(typed.len());
    let mut names = BTreeSet::new();
    let mut secrets = Secrets { keyed: reach.snapshot.sidecar.key_secret.is_some(), known: BTreeMap::new() };
    for (i, given) in typed.iter().enumerate() {
        let path = path.index(i);
        let name = given.name.clone().unwrap_or_default();
        if given.name.is_none() {
            faults.add(&path.member("name"), "nothing", LABEL);
        } else if !text::is_label(&name) {
            faults.add(&path.member("name"), "an unusable name", LABEL);
        } else if !names.insert(name.clone()) {
            faults.add(&path.member("name"), format!("{name:?} again"), "a name of its own");
        }
        let secret = secrets.read(given.secret.as_deref(), i, &path.member("secret"), faults);
        let former = given.former.as_ref().map(|given| {
            let path = path.member("former");
            let secret = secrets.read(given.secret.as_deref(), i, &path.member("secret"), faults);
            Former { secret, until: instant(given.until.as_deref(), &path.member("until"), faults).unwrap_or_default() }
        });
        let expires = given.expires.as_deref().and_then(|text| instant(Some(text), &path.member("expires"), faults));
        if given.models.as_ref().is_some_and(Vec::is_empty) {
            let expected = "the models that may be asked, [\"*\"] for all, or no `models` at all";
            faults.add(&path.member("models"), "none", expected);
        }
        super::model::names(given.models.as_deref().unwrap_or_default(), &path.member("models"), faults);
        if given.team.is_some() && given.project.is_some() {
            faults.add(&path.member("project"), "project beside team", "one of the two, since they are the same");
        }
        let team = given.team.clone().or_else(|| given.project.clone());
        let customer = belongs.customer(team.as_deref(), given.customer.as_deref(), &path, faults);
        keys.push(VirtualKey {
            name,
            secret,
            former,
            expires,
            models: given.models.as_deref().map(Names::new),
            candidates: candidates(&given.candidates, reach, &path.member("candidates"), faults),
            substitute: given.substitute.unwrap_or(!given.candidates.is_empty()),
            disabled: given.disabled,
            team,
            customer,
            limits: reach.limits(&given.limits, &path.member("limits"), faults),
        });
    }
    keys
}

/// What the secrets of all keys have to do with each other.
struct Secrets {
    /// There is a secret under which `hmac:` ones are one.
    keyed: bool,
    /// In small letters, and whose.
    known: BTreeMap<String, usize>,
}

impl Secrets {
    /// Never quoted in a fault: it may be the key itself.
    fn read(&mut self, given: Option<&str>, key: usize, path: &Path, faults: &mut Faults) -> String {
        let expected = "env:NAME, file:PATH, sha256:HEX or hmac:HEX, never the key itself";
        let Some(secret) = given else {
            faults.add(path, "nothing", expected);
            return String::new();
        };
        match (secret.strip_prefix("sha256:"), secret.strip_prefix("hmac:")) {
            (Some(hex), _) if !text::is_sha256(hex) => {
                faults.add(path, "sha256: and something else", "64 hex digits after sha256:");
            }
            (_, Some(hex)) if !text::is_sha256(hex) => {
                faults.add(path, "hmac: and something else", "64 hex digits after hmac:");
            }
            (_, Some(_)) if !self.keyed => {
                faults.add(path, "hmac: without a sidecar.key_secret", "`sidecar.key_secret`, under which it was made");
            }
            (None, None) if !text::is_reference(secret) => faults.add(path, "something else", expected),
            _ => {}
        }
        if let Some(former) = self.known.insert(secret.to_ascii_lowercase(), key) {
            faults.add(path, format!("the secret of virtual_keys[{former}] again"), "a secret of its own");
        }
        secret.to_owned()
    }
}

fn instant(given: Option<&str>, path: &Path, faults: &mut Faults) -> Option<u64> {
    let expected = "a time such as 2027-01-31T00:00:00Z or 2027-01-31T01:00:00+01:00";
    let Some(text) = given else {
        faults.add(path, "nothing", expected);
        return None;
    };
    let instant = time::instant(text);
    if instant.is_none() {
        faults.add(path, format!("{text:?}"), expected);
    }
    instant
}

fn candidates(given: &[schema::KeyCandidate], reach: Reach<'_>, path: &Path, faults: &mut Faults) -> Vec<KeyCandidate> {
    let known = Known::of(reach.snapshot);
    let group: Vec<_> = given.iter().enumerate().map(|(i, candidate)| (candidate.weight, path.index(i))).collect();
    let shares = weights(&group, path, faults);
    // What a key spends at a provider is one scope, however many of its candidates go there.
    let mut seen: BTreeMap<&str, Seen> = BTreeMap::new();
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
        let seen = seen.entry(candidate.provider.as_deref().unwrap_or_default()).or_default();
        candidates.push(KeyCandidate {
            provider: candidate.provider.clone().unwrap_or_default(),
            models: candidate.models.clone(),
            weight,
            limits: reach.more(&candidate.limits, seen, &path.member("limits"), faults),
        });
    }
    candidates
}
