//! Turns → `system` and `messages`.

use super::block_encode::{self, Block};
use super::{NAME, models::Model};
use crate::format::loss::{Noted, Place};
use crate::ir::{Part, Request, Role, Turn};
use crate::json::{ArrayWriter, ObjectWriter};

/// Said for the user where a conversation of another format ends with the assistant: a new turn is expected there, and
/// models that cannot continue a turn refuse to begin one.
const GO_ON: &str = "Continue.";

/// A turn and its number.
type Numbered<'a> = (usize, &'a Turn);

/// For a request that came in this format: as it says. Only the turn that came from `system` goes there again.
pub(super) fn write_own(o: &mut ObjectWriter<'_>, request: &Request, noted: &mut Noted<'_>) {
    let apart = |turn: &Turn| turn.role == Role::System && turn.extra.format.is_empty();
    let (system, rest): (Vec<_>, Vec<_>) = request.turns.iter().enumerate().partition(|(_, turn)| apart(turn));
    if !system.is_empty() {
        content(o, "system", &system, None, noted);
    }
    o.array("messages", |a| {
        for turn in &rest {
            message(a, std::slice::from_ref(turn), None, noted);
        }
    });
}

/// For a request of another format. `continues`: the assistant's last turn may be left open.
pub(super) fn write(
    o: &mut ObjectWriter<'_>,
    request: &Request,
    model: &Model,
    continues: bool,
    noted: &mut Noted<'_>,
) {
    let turns: Vec<Numbered<'_>> = request.turns.iter().enumerate().collect();
    // A conversation of nothing but instructions is the user's, because one message is required.
    let only_system = request.turns.iter().all(|turn| turn.role == Role::System);
    let stay = if model.late_system { may_stay(&request.turns) } else { Vec::new() };
    let stays = |i: usize| stay.get(i).copied().unwrap_or_default();
    let apart = |i: usize, turn: &Turn| turn.role == Role::System && !only_system && !stays(i);
    let (system, rest): (Vec<_>, Vec<_>) = turns.into_iter().partition(|(i, turn)| apart(*i, turn));
    for (at, (i, turn)) in system.iter().enumerate() {
        noted.extra(&|n| n.turn_path(*i), &turn.extra);
        if at != *i {
            noted.turn(*i, "role");
        }
    }
    if system.iter().any(|(_, turn)| turn.parts.iter().any(block_encode::carries)) {
        content(o, "system", &system, None, noted);
    }
    let last = rest.iter().rfind(|(_, turn)| turn.parts.iter().any(block_encode::carries));
    let open = last.filter(|(_, turn)| turn.role == Role::Assistant && !turn.parts.iter().any(calls)).copied();
    let end = open.and_then(|(i, turn)| turn.parts.iter().rposition(block_encode::carries).map(|j| (i, j)));
    o.array("messages", |a| {
        // Turns of one role are one here.
        for group in rest.chunk_by(|(_, a), (_, b)| role_of(a, only_system) == role_of(b, only_system)) {
            message(a, group, end, noted);
        }
        if let Some((i, _)) = open.filter(|_| !continues) {
            noted.turn(i, "role");
            a.object(|o| {
                o.str("role", "user");
                o.str("content", GO_ON);
            });
        }
    });
}

fn calls(part: &Part) -> bool {
    matches!(part, Part::ToolCall { .. })
}

/// For each turn, whether instructions may stand there: after the user's turn, if nothing or the assistant's follows.
/// Instructions in a row share the turns around them.
fn may_stay(turns: &[Turn]) -> Vec<bool> {
    let mut stay = Vec::with_capacity(turns.len());
    let mut after_user = false;
    for run in turns.chunk_by(|a, b| (a.role == Role::System) == (b.role == Role::System)) {
        let system = run.first().is_some_and(|turn| turn.role == Role::System);
        let next = turns.get(stay.len() + run.len());
        let stays = system && after_user && next.is_none_or(|turn| turn.role == Role::Assistant);
        stay.resize(stay.len() + run.len(), stays);
        after_user = run.last().is_some_and(|turn| turn.role != Role::Assistant);
    }
    stay
}

fn role_of(turn: &Turn, only_system: bool) -> &'static str {
    match turn.role {
        Role::Assistant => "assistant",
        Role::System if !only_system => "system",
        Role::System | Role::User | Role::Tool => "user",
    }
}

/// Turns that become one message. An empty one is refused.
fn message(a: &mut ArrayWriter<'_>, group: &[Numbered<'_>], end: Option<(usize, usize)>, noted: &mut Noted<'_>) {
    let own = noted.same_format();
    let Some((first, turn)) = group.first() else { return };
    for (i, turn) in group {
        noted.extra(&|n| n.turn_path(*i), &turn.extra);
    }
    if !own && !group.iter().any(|(_, turn)| turn.parts.iter().any(block_encode::carries)) {
        let lost = |part: &Part| !matches!(part, Part::Text { .. } | Part::Refusal(_));
        for (i, turn) in group {
            let parts = turn.parts.iter().enumerate().filter(|(_, part)| lost(part));
            parts.for_each(|(j, _)| noted.part(Place::new(*i, j), ""));
        }
        return;
    }
    // Without any other turn the first of them has to be the user's.
    let role = role_of(turn, !own && *first == 0);
    if role == "user" && turn.role == Role::System {
        noted.turn(*first, "role");
    }
    a.object(|o| {
        o.str("role", role);
        content(o, "content", group, end, noted);
        o.extra(&turn.extra, NAME);
    });
}

/// A string where it can be one, else blocks.
fn content(
    o: &mut ObjectWriter<'_>,
    name: &'static str,
    group: &[Numbered<'_>],
    end: Option<(usize, usize)>,
    noted: &mut Noted<'_>,
) {
    if let [(i, turn)] = group
        && let [Part::Text { text, citations, extra }] = turn.parts.as_slice()
        && extra.format.is_empty()
        && citations.is_empty()
        && (turn.extra.format == NAME || turn.extra.cache_control().is_none())
    {
        return o.str(name, if end == Some((*i, 0)) { text.trim_end() } else { text });
    }
    let own = noted.same_format();
    let mut blocks: Vec<Block<'_>> = Vec::new();
    for (i, turn) in group {
        // The marker of the message is that of its last block.
        let marked = turn.parts.iter().rposition(|part| block_encode::carries(part) && !is_reasoning(part));
        let cache = turn.extra.cache_control().filter(|_| !own);
        blocks.extend(turn.parts.iter().enumerate().map(|(j, part)| Block {
            at: Place::new(*i, j),
            part,
            cache: cache.filter(|_| marked == Some(j)),
            last: end == Some((*i, j)),
        }));
    }
    if !own {
        // Results answer the turn before, and thinking comes before what it led to.
        blocks.sort_by_key(|block| {
            let result = matches!(block.part, Part::ToolResult { .. });
            (!result, if result { 0 } else { block.at.turn }, !is_reasoning(block.part))
        });
    }
    o.array(name, |a| blocks.into_iter().for_each(|block| block_encode::write(a, block, noted)));
}

fn is_reasoning(part: &Part) -> bool {
    matches!(part, Part::Reasoning { .. })
}
