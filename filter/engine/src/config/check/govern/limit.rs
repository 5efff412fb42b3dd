//! One limit: what it counts, up to how much, in which time, and what happens then.

use super::window::window;
use crate::config::check::model::LABEL;
use crate::config::fault::Faults;
use crate::config::path::Path;
use crate::config::schema::{self, Act, Instead, Map, WordOr};
use crate::config::snapshot::{Names, Snapshot};
use crate::config::text;
use crate::govern::{Counted, Exhausted, Limit, Mode, Window};
use crate::route::serves;

/// Of requests and tokens. Sums of them stay far below what a counter holds.
const MOST: u64 = 1_000_000_000_000_000;
/// Of dollars.
const MOST_DOLLARS: u64 = 1_000_000_000;
/// Nano-dollars.
const MONEY_DECIMALS: usize = 9;

/// What the limits of one scope have counted so far: a second limit of the same would be the same account.
pub(in crate::config::check) type Seen = Vec<(Counted, Option<Window>)>;

/// What a limit can refer to.
#[derive(Debug, Clone, Copy)]
pub(in crate::config::check) struct Reach<'a> {
    /// Of limits that do not say.
    pub(super) mode: Mode,
    pub(super) pools: &'a Map<schema::Pool>,
    pub(super) keys: &'a [schema::VirtualKey],
    pub(in crate::config::check) snapshot: &'a Snapshot,
}

impl Reach<'_> {
    /// All limits of a scope.
    pub(in crate::config::check) fn limits(
        self,
        given: &[schema::Limit],
        path: &Path,
        faults: &mut Faults,
    ) -> Vec<Limit> {
        self.more(given, &mut Seen::new(), path, faults)
    }

    /// Some limits of a scope.
    pub(in crate::config::check) fn more(
        self,
        given: &[schema::Limit],
        seen: &mut Seen,
        path: &Path,
        faults: &mut Faults,
    ) -> Vec<Limit> {
        let mut limits = Vec::with_capacity(given.len());
        for (i, given) in given.iter().enumerate() {
            let path = path.index(i);
            let Some(counted) = counted(given, &path, faults) else { continue };
            let (most, window) = (most(given, counted, &path, faults), per(given, counted, &path, faults));
            if window.is_some() || counted == Counted::Concurrent {
                if seen.contains(&(counted, window)) {
                    let per = window.map(|window| format!(" per {window}")).unwrap_or_default();
                    let expected = "each once in a scope: they would be one account";
                    faults.add(&path, format!("{}{per} again", counted.word()), expected);
                }
                seen.push((counted, window));
            }
            let exhausted = self.exhausted(given.on_exhausted.as_ref(), &path.member("on_exhausted"), faults);
            limits.push(Limit { counted, most, window, mode: given.mode.unwrap_or(self.mode), exhausted });
        }
        limits
    }

    fn exhausted(self, given: Option<&schema::OnExhausted>, path: &Path, faults: &mut Faults) -> Exhausted {
        let Instead { downgrade, pool } = match given {
            None | Some(WordOr::Word(Act::Block)) => return Exhausted::Block,
            Some(WordOr::Word(Act::AlertOnly)) => return Exhausted::AlertOnly,
            Some(WordOr::Word(Act::Shadow)) => return Exhausted::Shadow,
            Some(WordOr::Mapping(instead)) => instead,
        };
        match (downgrade, pool) {
            (Some(models), None) => self.downgrade(models, &path.member("downgrade"), faults),
            (None, Some(pool)) => {
                let names = self.pools.0.iter().map(|(name, _)| name.as_str());
                if !names.clone().any(|name| name == pool) {
                    faults.unknown(&path.member("pool"), pool, "a name under `pools`", names);
                }
                Exhausted::Pool(pool.clone())
            }
            (None, None) if faults.any_in(path) => Exhausted::Block,
            (Some(_), Some(_)) | (None, None) => {
                let found = if pool.is_some() { "downgrade and pool" } else { "nothing" };
                faults.add(path, found, "either {downgrade: [MODEL]} or {pool: NAME}");
                Exhausted::Block
            }
        }
    }

    fn downgrade(self, models: &[String], path: &Path, faults: &mut Faults) -> Exhausted {
        if models.is_empty() {
            faults.add(path, "none", "the models to ask instead, the first first");
        }
        for (i, model) in models.iter().enumerate() {
            if !text::is_label(model) {
                faults.add(&path.index(i), "an unusable name", LABEL);
            } else if !self.served(model) {
                let public = self.snapshot.models.iter().map(|model| model.name.as_str());
                let listed = self.snapshot.lanes.iter().flat_map(|lane| lane.models.list());
                let names = public.chain(listed).filter(|name| !name.ends_with('*'));
                faults.unknown(&path.index(i), model, "a model that somebody serves", names);
            }
        }
        Exhausted::Downgrade(models.to_vec())
    }

    /// By the configuration, or by a key that has candidates of its own.
    fn served(self, model: &str) -> bool {
        serves(self.snapshot, model)
            || self.keys.iter().flat_map(|key| &key.candidates).any(|own| Names::new(&own.models).contains(model))
    }
}

/// The one thing it counts.
fn counted(given: &schema::Limit, path: &Path, faults: &mut Faults) -> Option<Counted> {
    let found: Vec<Counted> = Counted::ALL.into_iter().filter(|counted| is_given(given, *counted)).collect();
    let words = |list: &[Counted]| list.iter().map(|counted| counted.word()).collect::<Vec<_>>().join(", ");
    match found.as_slice() {
        [one] => return Some(*one),
        [] if faults.any_in(path) => {}
        [] => faults.add(path, "nothing that is counted", format!("one of {}", words(&Counted::ALL))),
        more => faults.add(path, words(more), "one of them; each other in a limit of its own"),
    }
    None
}

fn is_given(given: &schema::Limit, counted: Counted) -> bool {
    count(given, counted).is_some() || counted == Counted::Money && given.money.is_some()
}

fn count(given: &schema::Limit, counted: Counted) -> Option<u64> {
    match counted {
        Counted::Requests => given.requests,
        Counted::InputTokens => given.input_tokens,
        Counted::OutputTokens => given.output_tokens,
        Counted::TotalTokens => given.total_tokens,
        Counted::Concurrent => given.concurrent,
        Counted::Money => None,
    }
}

fn most(given: &schema::Limit, counted: Counted, path: &Path, faults: &mut Faults) -> u64 {
    let path = path.member(counted.word());
    if let Some(dollars) = given.money {
        if !(dollars > 0.0 && dollars <= MOST_DOLLARS as f64) {
            faults.add(&path, format!("{dollars}"), format!("dollars, more than 0 and at most {MOST_DOLLARS}"));
            return 0;
        }
        return text::decimal(dollars, MONEY_DECIMALS).unwrap_or_else(|| {
            faults.add(&path, format!("{dollars}"), "dollars with at most 9 decimals");
            0
        });
    }
    let most = count(given, counted).unwrap_or_default();
    if !(1..=MOST).contains(&most) {
        faults.add(&path, most.to_string(), format!("1 to {MOST}; nothing at all is `disabled: true`"));
    }
    most
}

fn per(given: &schema::Limit, counted: Counted, path: &Path, faults: &mut Faults) -> Option<Window> {
    let path = path.member("per");
    match (&given.per, counted) {
        (Some(text), Counted::Concurrent) => {
            faults.add(&path, format!("{text:?}"), "no `per`: concurrent counts what is under way now");
            None
        }
        (None, Counted::Concurrent) => None,
        (None, _) => {
            faults.add(&path, "nothing", "the time in which it counts, such as 1m, 1h, 1d or 1M");
            None
        }
        (Some(text), _) => window(text, &path, faults),
    }
}

/// Of a limit of a pool: a pool is the end of the way, nothing stands in for it.
pub(super) fn end(given: &[schema::Limit], path: &Path, faults: &mut Faults) {
    for (i, limit) in given.iter().enumerate() {
        if let Some(WordOr::Mapping(_)) = limit.on_exhausted {
            let expected = "block, alert_only or shadow: nothing stands in for a pool";
            faults.add(&path.index(i).member("on_exhausted"), "another model or pool", expected);
        }
    }
}
