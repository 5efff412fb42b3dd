//! What a failed try means for its lane and for the tries to come.
//!
//! Does not: write to a lane's record; it says what is to be noted, and the host shares that with other workers.

use std::rc::Rc;

use wire::ir::Fault;

use super::head::seal;
use super::reply::bodiless;
use super::{Disposition, Exchange, Flaw, Head, Headers, Marked, Status, Try};
use crate::config::snapshot::{ErrorRule, Snapshot};
use crate::cooldown::{LONGEST, Mark, Place};
use crate::route::Hop;

use Disposition::{
    ClientFault, ContentPolicy, ContextTooLong, Empty, Garbled, HardDown, RateLimited, Stalled, Transient,
};

/// Most bytes of a provider's words that are kept for the client.
const WORDS: usize = 16 << 10;

/// A kind of failure, and what its key is to hear besides.
#[derive(Clone, Copy)]
struct Kind {
    is: Disposition,
    mark: Option<Mark>,
}

/// The head of an error answer. True if only its body tells what it is: then [`refer`] judges it.
pub(super) fn judge(ex: &mut Exchange, status: u16, end: bool, told: Option<u64>, now: u64, out: &mut Head) -> bool {
    if let Some(current) = ex.tries.last_mut() {
        current.told = told.map(|wait| now.saturating_add(wait.min(LONGEST)));
        current.ended.get_or_insert(now);
    }
    if !end && waits(ex, status) {
        return true;
    }
    let by_rule = rules(ex).iter().find(|rule| rule.decides(status)).cloned();
    let kind = by_rule.map_or_else(|| by_status(ex, status), |rule| by_rule_of(ex, &rule, now));
    conclude(ex, kind, now, out);
    false
}

/// Is the body of such an error of any matter? Only where the configuration, or the provider's row, has words for it.
fn waits(ex: &Exchange, status: u16) -> bool {
    let first = rules(ex).iter().find(|rule| rule.decides(status) || rule.reads(status));
    match first {
        Some(rule) if rule.reads(status) => true,
        // Envoy does not ask again on its own for what the rule says may be well elsewhere; the words are the client's.
        Some(rule) => again(ex, rule.is) && !retried(status),
        None => {
            let left = ex.cursor < ex.plan.hops.len() && !ex.snapshot.retry.also.is_empty();
            left && Disposition::of_status(status) == ClientFault
        }
    }
}

/// The whole of an error that [`judge`] left open. The head that makes Envoy ask the next candidate; `None` if the client
/// gets the error, under `head`.
pub(super) fn refer(ex: &mut Exchange, head: &mut Headers, fault: &Fault, now: u64) -> Option<Head> {
    let kind = of_fault(ex, fault, now);
    let known = ex.tries.last().and_then(|current| current.disposition);
    let mut out = Head::default();
    if known.is_some() {
        // Judged by its status, and nobody is left to ask; but the key may be worse off than that said.
        if kind.is == HardDown && known == Some(RateLimited) {
            note(ex, kind);
        }
        return None;
    }
    conclude(ex, kind, now, &mut out);
    if ex.sealed {
        retrail(ex, head);
        soonest(ex, head, now);
        head.push(seal());
        return None;
    }
    let asks = asking(ex, fault.status);
    let mut set = head.clone();
    // What Envoy retries; the true one is told if it does not.
    if let Some(first) = set.first_mut() {
        first.1 = asks.to_string().into_bytes();
    }
    ex.answering = Some(Status { judged: asks, told: asks });
    ex.verdict = Some(kept(fault.clone()));
    out.set = Some(set);
    Some(out)
}

/// A try of a good status has failed: Envoy sees the fault's status in its head and asks the next candidate.
pub(super) fn fail(ex: &mut Exchange, mut head: Headers, flaw: Flaw, fault: Fault, now: u64) -> Head {
    let mut out = Head::default();
    if let Some(current) = ex.tries.last_mut() {
        current.flaw = Some(flaw);
        let wait = fault.retry_after.map(|seconds| seconds.saturating_mul(1_000_000_000).min(LONGEST));
        current.told = wait.map(|wait| now.saturating_add(wait));
        current.ended.get_or_insert(now);
    }
    let failed = |is| Kind { is, mark: Some(Mark::Failed) };
    let kind = match flaw {
        Flaw::Fault => of_fault(ex, &fault, now),
        Flaw::Empty => failed(Empty),
        Flaw::Garbled => failed(Garbled),
        Flaw::Stalled => failed(Stalled),
        Flaw::NoMemory => Kind { is: Transient, mark: None },
    };
    conclude(ex, kind, now, &mut out);
    let status = asking(ex, fault.status);
    if let Some(first) = head.first_mut() {
        first.1 = status.to_string().into_bytes();
    }
    // It was written while the try was well.
    retrail(ex, &mut head);
    head.extend(ex.sealed.then(seal));
    ex.answering = Some(Status { judged: status, told: status });
    let told = ex.verdict.take().unwrap_or_else(|| kept(fault));
    ex.verdict = Some(Fault { retry_after: seconds_of(ex, now).or(told.retry_after), ..told });
    out.set = Some(head);
    out
}

impl Exchange {
    /// No answer came of the last try, or none that was shown: it was refused, reset or timed out.
    pub fn unanswered(&mut self, now: u64) {
        let Some(current) = self.tries.last_mut() else { return };
        current.ended.get_or_insert(now);
        if current.disposition.is_none() {
            note(self, Kind { is: Transient, mark: Some(Mark::Failed) });
        }
    }

    /// Hands on what the tries say of their lanes. `note` keeps one such word, and says whether the lane rests by it.
    pub fn share(&mut self, mut note: impl FnMut(&Snapshot, Place<'_>, Mark) -> bool) {
        for marked in std::mem::take(&mut self.marks) {
            if self.place(&marked).is_some_and(|place| note(&self.snapshot, place, marked.mark))
                && let Some(tried) = self.tries.get_mut(marked.of)
            {
                tried.cooled = true;
            }
        }
    }

    /// What a word is about: lane and model of its try.
    #[must_use]
    pub fn place(&self, marked: &Marked) -> Option<Place<'_>> {
        self.plan.hops.get(self.tries.get(marked.of)?.hop)?.place(&self.snapshot)
    }

    /// The lane whose answer the client is about to see, if that shows it in health: an answer, or the client's own fault.
    #[must_use]
    pub fn served(&self) -> Option<Marked> {
        let current = self.tries.last()?;
        let well = match current.disposition {
            None => current.status.is_some_and(|status| status < 400),
            Some(ClientFault | ContextTooLong | ContentPolicy) => true,
            Some(Transient | RateLimited | HardDown | Empty | Garbled | Stalled) => false,
        };
        let lane = self.plan.hops.get(current.hop)?.lane;
        well.then_some(Marked { of: self.tries.len() - 1, lane, mark: Mark::Served(current.started) })
    }
}

/// The last candidate refuses the request for what it is, but one before it might have served it: the client hears what
/// makes it ask again.
fn retryable(ex: &Exchange, is: Disposition, now: u64) -> Option<Fault> {
    if !ex.sealed || is.also().is_none() {
        return None;
    }
    let passes =
        |t: &&Try| t.disposition.is_some_and(|is| is.also().is_none() && is != HardDown) && t.status != Some(404);
    let earlier = ex.tries.iter().rev().skip(1).find(passes)?;
    let status = earlier.status.filter(|status| retried(*status)).unwrap_or(503);
    Some(Fault { retry_after: seconds_of(ex, now), ..bodiless(status) })
}

/// Seconds until the first of those who told a time may be asked again.
fn seconds_of(ex: &Exchange, now: u64) -> Option<u64> {
    let until = ex.tries.iter().filter_map(|tried| tried.told).min()?;
    Some(until.saturating_sub(now).div_ceil(1_000_000_000))
}

/// The last of several who told a time is not always the first to be back.
pub(super) fn soonest(ex: &Exchange, head: &mut Headers, now: u64) {
    let told = head.iter().any(|(name, _)| name == "retry-after" || name == "retry-after-ms");
    if let Some(seconds) = seconds_of(ex, now).filter(|_| told && ex.tries.len() > 1) {
        head.retain(|(name, _)| name != "retry-after" && name != "retry-after-ms");
        head.push(("retry-after".to_owned(), seconds.to_string().into_bytes()));
    }
}

/// A fault that is kept while another candidate is asked, which may take long: a provider chose how long its words are.
fn kept(mut fault: Fault) -> Fault {
    let words = [Some(&mut fault.message), fault.code.as_mut(), fault.param.as_mut()];
    for text in words.into_iter().flatten() {
        text.truncate(text.floor_char_boundary(WORDS));
        text.shrink_to_fit();
    }
    fault
}

fn rules(ex: &Exchange) -> &[ErrorRule] {
    let provider = ex.tries.last().and_then(|current| ex.provider(current.hop));
    provider.map_or(&[], |provider| provider.errors.as_slice())
}

fn told(ex: &Exchange) -> Option<u64> {
    ex.tries.last().and_then(|current| current.told)
}

fn by_status(ex: &Exchange, status: u16) -> Kind {
    let is = Disposition::of_status(status);
    let mark = match (is, status) {
        // Whoever asks for a model that is not there must not take the key from others.
        (_, 404) => None,
        // It may be about the model or the words, and not about the key: counted, as other failures are.
        (_, 403) => Some(Mark::Doubted),
        _ => mark_of(ex, is),
    };
    Kind { is, mark }
}

fn mark_of(ex: &Exchange, is: Disposition) -> Option<Mark> {
    match is {
        RateLimited => Some(match (told(ex), ex.tries.last().is_some_and(|current| current.of_account)) {
            (Some(until), true) => Mark::KeyUntil(until),
            (Some(until), false) => Mark::Until(until),
            (None, _) => Mark::Limited,
        }),
        HardDown => Some(Mark::Refused),
        Transient | Empty | Garbled | Stalled => Some(Mark::Failed),
        ClientFault | ContextTooLong | ContentPolicy => None,
    }
}

fn by_rule_of(ex: &Exchange, rule: &ErrorRule, now: u64) -> Kind {
    let rest = rule.rest.map(|rest| u64::try_from(rest.as_nanos()).unwrap_or(LONGEST));
    // What a client can bring about by a model's name keeps nobody from the others.
    let until = if rule.is == HardDown { Mark::KeyUntil } else { Mark::Until };
    let mark = rest.map(|rest| until(now.saturating_add(rest))).or_else(|| mark_of(ex, rule.is));
    Kind { is: rule.is, mark }
}

fn of_fault(ex: &Exchange, fault: &Fault, now: u64) -> Kind {
    let format = ex.tries.last().and_then(|current| ex.provider(current.hop)).map(|provider| provider.format);
    let matching = |rule: &&ErrorRule| format.is_some_and(|format| rule.matches(format, fault));
    if let Some(rule) = rules(ex).iter().find(matching) {
        return by_rule_of(ex, rule, now);
    }
    let is = Disposition::of_fault(fault);
    if is == Disposition::of_status(fault.status) {
        by_status(ex, fault.status)
    } else {
        Kind { is, mark: mark_of(ex, is) }
    }
}

/// Notes what the running try was.
fn note(ex: &mut Exchange, kind: Kind) {
    let of = ex.tries.len().saturating_sub(1);
    let Some(current) = ex.tries.last_mut() else { return };
    current.disposition = Some(kind.is);
    let Some(lane) = ex.plan.hops.get(current.hop).map(|hop| hop.lane) else { return };
    // A credential that the client brought says nothing of the lane: its limits are the client's.
    let own = ex.provider(ex.tries.last().map_or(0, |current| current.hop));
    let passed = own.is_some_and(|provider| ex.passed_credential(provider).is_some());
    let about_key = matches!(kind.is, HardDown | RateLimited);
    if let Some(mark) = kind.mark.filter(|_| !(passed && about_key)) {
        ex.marks.push(Marked { of, lane, mark });
    }
}

/// Notes it, and leaves of the plan only who may do better, the likeliest first. Where nobody is left, an earlier failure may
/// be what the client is told.
fn conclude(ex: &mut Exchange, kind: Kind, now: u64, out: &mut Head) {
    note(ex, kind);
    let failed = ex.tries.last().and_then(|current| ex.plan.hops.get(current.hop)).cloned();
    let Some(failed) = failed else { return };
    let again = again(ex, kind.is);
    let snapshot = Rc::clone(&ex.snapshot);
    let same = |hop: &Hop| hop.provider(&snapshot) == failed.provider(&snapshot);
    let mut left = ex.plan.hops.split_off(ex.cursor.min(ex.plan.hops.len()));
    let former = left.first().map(|hop| hop.lane);
    match kind.is {
        RateLimited | HardDown => {
            let rests = |hop: &Hop| match kind.mark {
                Some(Mark::KeyUntil(_) | Mark::Refused) => hop.lane == failed.lane,
                Some(Mark::Until(_) | Mark::Limited) => hop.lane == failed.lane && hop.model == failed.model,
                Some(Mark::Served(_) | Mark::Failed | Mark::Doubted) | None => false,
            };
            left.retain(|hop| !rests(hop));
            // The same provider's other key first: it has the same model and very likely the same price.
            let (mut first, rest): (Vec<_>, Vec<_>) =
                left.into_iter().partition(|hop| hop.lane != failed.lane && same(hop));
            first.extend(rest);
            left = first;
        }
        ContextTooLong => {
            let larger = |hop: &Hop| match (hop.context, failed.context) {
                (Some(other), Some(failed)) => other > failed,
                (None, _) | (_, None) => true,
            };
            left.retain(|hop| (!same(hop) || hop.model != failed.model) && larger(hop));
            left = largest_first(left);
        }
        ContentPolicy | ClientFault => left.retain(|hop| !same(hop)),
        // The order is right for these since the try began.
        Transient | Empty | Garbled | Stalled => {}
    }
    if !again {
        left.clear();
    }
    let changed = left.first().is_some_and(|hop| Some(hop.lane) != former);
    ex.plan.hops.extend(left);
    out.next = ex.cluster(ex.cursor).filter(|_| changed).map(str::to_owned);
    ex.sealed = ex.cursor >= ex.plan.hops.len();
    ex.verdict = retryable(ex, kind.is, now);
}

/// What fails at one provider likely fails with its other keys, too: of the same tier, providers that were not asked yet
/// come first. A try that is repeated where it failed is the configuration's wish and comes before them.
///
/// That is settled when a try begins: where no answer comes of it nobody is asked before Envoy goes on.
pub(super) fn others_first(ex: &mut Exchange) {
    let Some(running) = ex.tries.last().and_then(|tried| ex.plan.hops.get(tried.hop)).cloned() else { return };
    let left = ex.plan.hops.split_off(ex.cursor.min(ex.plan.hops.len()));
    let provider = |hop: &Hop| hop.provider(&ex.snapshot);
    let asked: Vec<_> = ex.tries.iter().filter_map(|tried| ex.plan.hops.get(tried.hop)).map(provider).collect();
    let is_next = |hop: &Hop| hop.tier == running.tier && !asked.contains(&provider(hop));
    let (again, left): (Vec<_>, Vec<_>) = left.into_iter().partition(|hop| *hop == running);
    let (others, left): (Vec<_>, Vec<_>) = left.into_iter().partition(is_next);
    ex.plan.hops.extend(again.into_iter().chain(others).chain(left));
}

/// By context, the plan's order among equals; those that do not say come last. A plan is short, and the library's sort is
/// several kilobytes a type.
fn largest_first(mut hops: Vec<Hop>) -> Vec<Hop> {
    let mut ordered = Vec::with_capacity(hops.len());
    while let Some((at, _)) = hops.iter().enumerate().rev().max_by_key(|(_, hop)| hop.context) {
        ordered.push(hops.remove(at));
    }
    ordered
}

/// May another candidate be asked at all? For errors of the request only if the configuration says so.
fn again(ex: &Exchange, is: Disposition) -> bool {
    is.also().is_none_or(|also| ex.snapshot.retry.also.contains(&also))
}

/// Does Envoy's policy retry it (`rds.yaml`)?
fn retried(status: u16) -> bool {
    matches!(status, 401..=404 | 408 | 429 | 500..=599)
}

/// The status for Envoy to judge, where the error has this one.
fn asking(ex: &Exchange, status: u16) -> u16 {
    if ex.sealed || retried(status) { status } else { 503 }
}

/// The trail in a head that was written before it was judged.
fn retrail(ex: &Exchange, head: &mut Headers) {
    if let Some(trail) = ex.trail() {
        head.retain(|(name, _)| name != "x-attache-trail");
        head.push(("x-attache-trail".to_owned(), trail.into_bytes()));
    }
}

pub(super) fn number(value: Option<&[u8]>) -> Option<u64> {
    std::str::from_utf8(value?).ok()?.trim().parse().ok()
}
