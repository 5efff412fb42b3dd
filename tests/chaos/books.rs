//! What the sidecar has settled, against what was played: each request once, each try with what became of it.

use std::collections::BTreeMap;

use tests::client::Dialect;
use tests::ledger::{Outcome, Settled, Tried};
use tests::mock::vendor::{Vendor, text, tokens};

use crate::play::{Cell, Play};
use crate::row::{Expected, Half, Row};
use crate::world::{Lane, Scope, VENDORS, model_of};

/// All settlements by who asked what and how.
pub(crate) struct Books(BTreeMap<(String, String, String, bool), Vec<Settled>>);

type Problems = Vec<String>;

impl Books {
    pub(crate) fn new(all: Vec<Settled>) -> Self {
        let mut books = BTreeMap::<_, Vec<Settled>>::new();
        for settled in all {
            let Settled { key, asked_model, dialect, stream, .. } = &settled;
            books.entry((key.clone(), asked_model.clone(), dialect.clone(), *stream)).or_default().push(settled);
        }
        Self(books)
    }

    /// What is wrong with the settlements of a cell.
    pub(crate) fn check(&self, row: &Row, half: &Half, cell: Cell, plays: &[Play]) -> Problems {
        let mut problems = Vec::new();
        for begins in VENDORS {
            let dialect = if cell.dialect == Dialect::OpenAi { "openai_chat" } else { "anthropic" };
            let who = (cell.key().to_owned(), row.model(cell.scope, begins), dialect.to_owned(), cell.stream);
            let settled = self.0.get(&who).map(Vec::as_slice).unwrap_or_default();
            let tried = plays.iter().filter(|play| play.begins == begins && play.tried).count();
            if settled.len() != tried {
                problems.push(format!("{tried} requests and {} settlements of {who:?}", settled.len()));
            }
            for settled in settled {
                let problem = right(row, half, cell, begins, settled).err();
                problems.extend(problem.map(|problem| format!("{problem}: {settled:?}")));
            }
        }
        problems
    }

    /// Tries at each provider.
    pub(crate) fn tries(&self) -> BTreeMap<&str, u64> {
        let mut tries = BTreeMap::new();
        for tried in self.0.values().flatten().flat_map(|settled| &settled.tries) {
            *tries.entry(tried.provider.as_str()).or_default() += 1;
        }
        tries
    }
}

fn right(row: &Row, half: &Half, cell: Cell, begins: Vendor, settled: &Settled) -> Result<(), &'static str> {
    let ensure = |holds: bool, what| if holds { Ok(()) } else { Err(what) };
    let lanes = row.candidates(cell.scope, begins);
    let expected = cell.expected(half, begins);
    ensure(settled.status == expected.status(cell.dialect, lanes[1].vendor), "another status is settled")?;
    // Every client stays to the end.
    ensure(!settled.client_gone, "it is said to have left")?;
    let mut lanes = &lanes[..];
    if row.rests.is_some() && cell.crowd && settled.tries.len() < expected.tries() {
        // Planned around the key that rests.
        let skipped = lanes.iter().position(|lane| settled.tries.first().is_some_and(|t| t.provider == lane.provider));
        lanes = &lanes[skipped.unwrap_or(0)..][..settled.tries.len()];
    }
    let lanes = if row.rests.is_some() && cell.crowd { lanes } else { &lanes[..expected.tries()] };
    ensure(settled.tries.len() == lanes.len(), "it has not as many tries")?;
    for (i, (lane, tried)) in lanes.iter().zip(&settled.tries).enumerate() {
        ensure(tried.provider == lane.provider, "a try is another provider's")?;
        let last = i + 1 == lanes.len();
        match expected {
            Expected::Next if last => {
                let faulty = Some(half).filter(|_| cell.scope == Scope::All);
                ensure(answered(lane, row, faulty, tried), "the answer's try is wrong")?;
            }
            Expected::Answer => ensure(answered(lane, row, Some(half), tried), "the answer's try is wrong")?,
            _ => ensure(failed(half, tried), "the failed try is wrong")?,
        }
    }
    Ok(())
}

/// A whole answer, with the usage its provider reported.
fn answered(lane: &Lane, row: &Row, faulty: Option<&Half>, tried: &Tried) -> bool {
    // As long as all its marks.
    let mark = format!("{} 000", row.id);
    let own = tokens(&mark, &text(&lane.host, model_of(lane.vendor), &mark));
    let (input, output) = faulty.and_then(|half| half.says.as_ref()).map_or(own, |(_, usage)| *usage);
    let tokens = (input as u32, output as u32);
    tried.status == 200 && tried.outcome == Outcome::Ok && tried.tokens == tokens && !tried.estimated
}

/// Nothing is used where an error was answered or nothing; where there was something, nobody knows how much.
fn failed(half: &Half, tried: &Tried) -> bool {
    let used = if tried.status == 200 { tried.estimated && tried.tokens.0 > 0 } else { tried.tokens == (0, 0) };
    let status = half.status.is_none_or(|status| status == tried.status);
    status && used && !matches!(tried.outcome, Outcome::Ok | Outcome::Unspecified)
}
