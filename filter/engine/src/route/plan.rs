//! Candidates to hops: the first drawn by weight, the rest by priority and weight, within the retry bounds.
//!
//! A lane that rests because its provider said until when is not planned. One that rests by our guess stands at the end,
//! for when all else has failed: a guess is no outage. Their share goes to the others in proportion, since the draw is over
//! what is left. Whose rest is over is planned first, if the draw says so, by the one request that tries it, and else
//! behind the others.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use super::resolve::{Resolved, resolve};
use super::{Ask, Refusal};
use crate::config::snapshot::Snapshot;
use crate::cooldown::{Cooldowns, Place};
use crate::draw::Draw;

/// One try of a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hop {
    /// Index into [`Snapshot::lanes`].
    pub lane: usize,
    /// The provider's name of the model.
    pub model: String,
    /// Another model than was asked, by the virtual key's own rule.
    pub substituted: bool,
    /// Tokens the model takes, if that is known.
    pub context: Option<u64>,
    /// Which of them may change places once one has failed: the asked model's, each fallback's, those that rest.
    pub tier: u32,
}

impl Hop {
    /// Its provider's index. `None`: its lane is not of this configuration.
    #[must_use]
    pub fn provider(&self, snapshot: &Snapshot) -> Option<usize> {
        snapshot.lanes.get(self.lane).map(|lane| lane.provider)
    }

    /// What a rest may be about. `None`: its lane is not of this configuration.
    #[must_use]
    pub fn place<'a>(&'a self, snapshot: &'a Snapshot) -> Option<Place<'a>> {
        Some(Place { lane: snapshot.lanes.get(self.lane)?, model: &self.model })
    }
}

/// Ordered ways to serve a request; never empty.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// The tries, in order.
    pub hops: Vec<Hop>,
}

struct Weighted {
    hop: Hop,
    weight: f64,
    priority: u32,
}

/// Plans a request. `fit` says which hops can take it as it is.
///
/// # Errors
/// Nobody may or can serve it now.
pub fn plan(
    snapshot: &Snapshot,
    ask: Ask<'_>,
    resting: &Cooldowns,
    now: u64,
    draw: &mut Draw,
    fit: &mut dyn FnMut(&Hop) -> bool,
) -> Result<Plan, Refusal> {
    let mut pool = Vec::new();
    let mut known = BTreeSet::new();
    let mut floor = expand(snapshot, resolve(snapshot, ask, "model")?, (0, 0), &mut known, &mut pool);
    for ((i, fallback), tier) in ask.fallbacks.iter().enumerate().zip(1..) {
        let found = resolve(snapshot, Ask { model: fallback, ..ask }, &format!("fallbacks[{i}]"))?;
        // After everything the model itself has, in the client's order.
        floor = expand(snapshot, found, (floor, tier), &mut known, &mut pool);
    }
    let unserved = pool.is_empty();
    // Before the rests: what no provider takes is refused, whoever rests.
    pool.retain(|w| fit(&w.hop));
    if pool.is_empty() && !unserved {
        return Err(Refusal::Unfit);
    }
    let until = |w: &Weighted| w.hop.place(snapshot).and_then(|place| resting.until(place, now));
    let back = pool.iter().filter_map(until).min();
    pool.retain(|w| !w.hop.place(snapshot).is_some_and(|place| resting.told(place, now)));
    if pool.is_empty() {
        return Err(match back {
            Some(until) => Refusal::Resting { until },
            None => Refusal::UnknownModel { param: "model".to_owned(), model: ask.model.to_owned(), nearest: None },
        });
    }
    let mut down: Vec<_> = pool.extract_if(.., |w| until(w).is_some()).collect();
    order(&mut pool, draw);
    let due = |w: &Weighted| w.hop.place(snapshot).is_some_and(|place| resting.due(place, now));
    let first = pool.first().map(|w| (w.hop.lane, w.hop.model.clone()));
    let is_first = |hop: &Hop| first.as_ref().is_some_and(|(lane, model)| *lane == hop.lane && *model == hop.model);
    let last: Vec<_> = pool.extract_if(.., |w| due(w) && !is_first(&w.hop)).collect();
    sort(&mut down, &|a, b| until(a).cmp(&until(b)));
    let well = pool.len() + last.len();
    pool.extend(last.into_iter().chain(down).map(|w| Weighted { hop: Hop { tier: u32::MAX, ..w.hop }, ..w }));
    let tries = usize::try_from(snapshot.retry.max).unwrap_or(1).max(1);
    let each = usize::try_from(snapshot.retry.per_candidate).unwrap_or(1).max(1);
    let repeated = |(at, w): (usize, Weighted)| {
        let times = if at >= well || due(&w) { 1 } else { each };
        std::iter::repeat_n(w.hop, times)
    };
    let hops = pool.into_iter().enumerate().flat_map(repeated).collect();
    Ok(Plan { hops: within(snapshot, hops, tries) })
}

/// So many of them in their order: of each provider one, as often as it is repeated, as far as there is room. So no outage of
/// one provider takes all tries.
fn within(snapshot: &Snapshot, hops: Vec<Hop>, tries: usize) -> Vec<Hop> {
    let mut first = BTreeMap::new();
    let mut is_first = |hop: &Hop| first.entry(hop.provider(snapshot)).or_insert_with(|| hop.clone()) == hop;
    let (firsts, others): (Vec<_>, Vec<_>) = hops.into_iter().enumerate().partition(|(_, hop)| is_first(hop));
    let mut places: BTreeMap<usize, Hop> = firsts.into_iter().take(tries).collect();
    let room = tries - places.len();
    places.extend(others.into_iter().take(room));
    places.into_values().collect()
}

/// Every lane of every candidate, of this lowest priority and tier; of (provider, model) pairs that are `known` already
/// there is nothing more to add. Gives the priority after all that are there.
fn expand(
    snapshot: &Snapshot,
    candidates: Vec<Resolved>,
    (floor, tier): (u32, u32),
    known: &mut BTreeSet<(usize, String)>,
    pool: &mut Vec<Weighted>,
) -> u32 {
    let mut next = floor;
    for Resolved { candidate, substituted } in candidates {
        if !known.insert((candidate.provider, candidate.model.clone())) {
            continue;
        }
        let lanes = || {
            let range = snapshot.providers.get(candidate.provider).map(|p| p.lanes.clone()).unwrap_or_default();
            range.filter_map(|i| snapshot.lanes.get(i).map(|lane| (i, lane)))
        };
        let usable = || lanes().filter(|(_, lane)| lane.models.contains(&candidate.model));
        let total: f64 = usable().map(|(_, lane)| lane.weight).sum();
        let priority = floor.saturating_add(candidate.priority);
        for (lane, key) in usable() {
            next = next.max(priority.saturating_add(1));
            let share = if total > 0.0 { key.weight / total } else { 1.0 };
            pool.push(Weighted {
                hop: Hop { lane, model: candidate.model.clone(), substituted, context: candidate.context, tier },
                weight: candidate.weight * share,
                priority,
            });
        }
    }
    next
}

/// Stable. One instance of it, for its code is large.
fn sort(pool: &mut [Weighted], by: &dyn Fn(&Weighted, &Weighted) -> Ordering) {
    pool.sort_by(by);
}

/// Draws the first among the best priority; the others follow by priority, then weight, heaviest first.
fn order(pool: &mut Vec<Weighted>, draw: &mut Draw) {
    sort(pool, &|a, b| a.priority.cmp(&b.priority).then(b.weight.total_cmp(&a.weight)));
    let Some(best) = pool.first().map(|w| w.priority) else { return };
    let weights: Vec<f64> = pool.iter().take_while(|w| w.priority == best).map(|w| w.weight).collect();
    let first = draw.weighted(&weights);
    if first < pool.len() {
        let drawn = pool.remove(first);
        pool.insert(0, drawn);
    }
}
