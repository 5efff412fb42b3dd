//! Public model names and who serves them.

use super::provider::Known;
use super::weights;
use crate::config::fault::Faults;
use crate::config::path::Path;
use crate::config::schema::{self, Map};
use crate::config::snapshot::{Candidate, Model};
use crate::config::text;

/// What names of models are made of.
pub(in crate::config) const LABEL: &str = "a name of at most 256 bytes without control characters";

pub(super) fn resolve(typed: &Map<schema::Model>, known: Known<'_>, path: &Path, faults: &mut Faults) -> Vec<Model> {
    typed
        .0
        .iter()
        .map(|(name, given)| {
            let path = path.member(name);
            if !text::is_label(name) {
                faults.add(&path.name(), "an unusable name", LABEL);
            }
            Model { name: name.clone(), candidates: candidates(name, given, known, &path.member("candidates"), faults) }
        })
        .collect()
}

fn candidates(
    model: &str,
    given: &schema::Model,
    known: Known<'_>,
    path: &Path,
    faults: &mut Faults,
) -> Vec<Candidate> {
    if given.candidates.is_empty() {
        faults.add(path, "none", "at least one provider to serve the model");
    }
    let mut candidates: Vec<Candidate> = Vec::with_capacity(given.candidates.len());
    for (i, candidate) in given.candidates.iter().enumerate() {
        let path = path.index(i);
        let provider = known.find(candidate.provider.as_deref(), &path, faults);
        let served = candidate.model.as_deref().unwrap_or(model);
        let at = if candidate.model.is_some() { path.member("model") } else { path.clone() };
        if !text::is_label(served) {
            faults.add(&at, "an unusable name", LABEL);
        } else if let Some(provider) = provider {
            known.expect_served(provider, served, &at, faults);
        }
        if candidate.context == Some(0) {
            faults.add(
                &path.member("context"),
                "0",
                "the tokens the model takes, at least 1; if unknown, leave it out",
            );
        }
        candidates.push(Candidate {
            provider: provider.unwrap_or_default(),
            model: served.to_owned(),
            weight: 0.0,
            priority: candidate.priority.unwrap_or_default(),
            context: candidate.context,
        });
    }
    share(&mut candidates, given, path, faults);
    candidates
}

/// Weights are shares among candidates of equal priority.
fn share(candidates: &mut [Candidate], given: &schema::Model, path: &Path, faults: &mut Faults) {
    let mut priorities: Vec<u32> = candidates.iter().map(|candidate| candidate.priority).collect();
    priorities.sort_unstable();
    priorities.dedup();
    for priority in priorities {
        let group: Vec<_> = (given.candidates.iter().enumerate())
            .filter(|(_, candidate)| candidate.priority.unwrap_or_default() == priority)
            .map(|(i, candidate)| (candidate.weight, path.index(i)))
            .collect();
        let shares = weights(&group, path, faults);
        let equals = candidates.iter_mut().filter(|candidate| candidate.priority == priority);
        equals.zip(shares).for_each(|(candidate, share)| candidate.weight = share);
    }
}

/// Names in a list of what may be used or asked; `*` at the end of one matches the rest.
pub(super) fn names(list: &[String], path: &Path, faults: &mut Faults) {
    for (i, name) in list.iter().enumerate() {
        if !text::is_label(name) {
            faults.add(&path.index(i), "an unusable name", LABEL);
        } else if name.strip_suffix('*').unwrap_or(name).contains('*') {
            faults.add(&path.index(i), format!("{name:?}"), "`*` at the end of a name, or none");
        }
    }
}
