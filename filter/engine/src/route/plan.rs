//! Candidates to hops: the first drawn by weight, the rest by priority and weight, within the retry bounds.
//!
//! A resting lane is not planned: its share goes to the others in proportion, since the draw is over what is left.

use super::resolve::{Resolved, resolve};
use super::{Ask, Refusal};
use crate::config::snapshot::Snapshot;
use crate::cooldown::Cooldowns;
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
    let mut back: Option<u64> = None;
    expand(snapshot, resolve(snapshot, ask, "model")?, 0, &mut pool);
    for (i, fallback) in ask.fallbacks.iter().enumerate() {
        let found = resolve(snapshot, Ask { model: fallback, ..ask }, &format!("fallbacks[{i}]"))?;
        // After everything the model itself has, in the client's order.
        let floor = pool.iter().map(|w: &Weighted| w.priority).max().map_or(0, |p| p.saturating_add(1));
        expand(snapshot, found, floor, &mut pool);
    }
    let unserved = pool.is_empty();
    // Before the rests: what no provider takes is refused, whoever rests.
    pool.retain(|w| fit(&w.hop));
    if pool.is_empty() && !unserved {
        return Err(Refusal::Unfit);
    }
    pool.retain(|w| {
        let until = snapshot.lanes.get(w.hop.lane).and_then(|lane| resting.until(&lane.cluster, now));
        if let Some(until) = until {
            back = Some(back.map_or(until, |b| b.min(until)));
        }
        until.is_none()
    });
    if pool.is_empty() {
        return Err(match back {
            Some(until) if !unserved => Refusal::Resting { until },
            _ => Refusal::UnknownModel { param: "model".to_owned(), model: ask.model.to_owned(), nearest: None },
        });
    }
    order(&mut pool, draw);
    let tries = usize::try_from(snapshot.retry.max).unwrap_or(1).max(1);
    let each = usize::try_from(snapshot.retry.per_candidate).unwrap_or(1).max(1);
    let hops = pool.into_iter().flat_map(|w| std::iter::repeat_n(w.hop, each)).take(tries).collect();
    Ok(Plan { hops })
}

/// Every lane of every candidate, each (lane, model) once.
fn expand(snapshot: &Snapshot, candidates: Vec<Resolved>, floor: u32, pool: &mut Vec<Weighted>) {
    for Resolved { candidate, substituted } in candidates {
        let lanes = || {
            let range = snapshot.providers.get(candidate.provider).map(|p| p.lanes.clone()).unwrap_or_default();
            range.filter_map(|i| snapshot.lanes.get(i).map(|lane| (i, lane)))
        };
        let usable = || lanes().filter(|(_, lane)| lane.models.contains(&candidate.model));
        let total: f64 = usable().map(|(_, lane)| lane.weight).sum();
        for (lane, key) in usable() {
            if pool.iter().any(|w| w.hop.lane == lane && w.hop.model == candidate.model) {
                continue;
            }
            let share = if total > 0.0 { key.weight / total } else { 1.0 };
            pool.push(Weighted {
                hop: Hop { lane, model: candidate.model.clone(), substituted },
                weight: candidate.weight * share,
                priority: floor.saturating_add(candidate.priority),
            });
        }
    }
}

/// Draws the first among the best priority; the others follow by priority, then weight, heaviest first.
fn order(pool: &mut Vec<Weighted>, draw: &mut Draw) {
    pool.sort_by(|a, b| a.priority.cmp(&b.priority).then(b.weight.total_cmp(&a.weight)));
    let Some(best) = pool.first().map(|w| w.priority) else { return };
    let weights: Vec<f64> = pool.iter().take_while(|w| w.priority == best).map(|w| w.weight).collect();
    let first = draw.weighted(&weights);
    if first < pool.len() {
        let drawn = pool.remove(first);
        pool.insert(0, drawn);
    }
}
