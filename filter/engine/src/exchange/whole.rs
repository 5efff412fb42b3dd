//! Answers that are shown when they are whole: unary ones, and errors whose body decides.
//!
//! Does not: hold anything; Envoy's buffer does.
//!
//! Decision: a unary answer that goes on as it is is held up to a bound and passed on beyond it, unread: a large body is an
//! image or a sound, and a cut one has the wrong length, which no client takes for whole. Rejected: holding it as far as
//! Envoy would, by which memory for a thousand of them is a thousand times 32 MiB.

use wire::format::{NoAnswer, Outbound};
use wire::ir::{Certain, Fault, FaultKind, Operation, Response, Usage};
use wire::mask::Masker;

use super::answer::{Answer, Body, Mode};
use super::hold::Flaw;
use super::judge::{fail, refer};
use super::limited::dollars;
use super::{Exchange, Headers, Status, bodiless};

/// Most bytes of an answer that need not be read at all.
pub(super) const HELD: usize = 1 << 20;

impl Answer {
    /// Bytes of a body up to which an answer [waits for its end](Self::collects).
    #[must_use]
    pub fn room(&self, ex: &Exchange) -> usize {
        let anew = self.retells(ex);
        // Envoy's own limit is `limits.body`, and what is over it is Envoy's to answer: stay below by more than a piece.
        let limit = ex.snapshot.body_limit / 8 * 7;
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        if anew { limit } else { HELD.min(limit) }
    }

    /// Its whole body is to be told in another format.
    #[must_use]
    pub fn retells(&self, ex: &Exchange) -> bool {
        matches!(self.mode, Mode::Collect) && !goes_on(ex)
    }

    /// More than that has come: `size` bytes, of which `last` fetches so many of the last.
    pub fn overflow(
        &mut self,
        ex: &mut Exchange,
        size: usize,
        now: u64,
        last: impl FnOnce(usize) -> Option<Vec<u8>>,
    ) -> Body {
        let mut head = std::mem::take(&mut self.held);
        if self.retells(ex) {
            let fault = Fault::new(FaultKind::BadGateway, "The provider's answer is larger than this gateway buffers.");
            return Body::Fail(fail(ex, head, Flaw::Garbled, fault, now));
        }
        let error = ex.tries.last().and_then(|t| t.status).filter(|status| *status >= 400);
        if let Some(asked) = error.and_then(|status| refer(ex, &mut head, &bodiless(status), now)) {
            return Body::Fail(asked);
        }
        if let Some(status) = error {
            // Nobody will read it; the plan role tells this in its place.
            ex.verdict = Some(bodiless(status));
        }
        self.mode = Mode::Large { tail: Vec::new() };
        self.pass(ex, size, false, now, last);
        self.shown(ex, Body::Show(head))
    }
}

/// An answer of the running try goes to the client as it is.
fn goes_on(ex: &Exchange) -> bool {
    let provider = ex.tries.last().and_then(|t| ex.provider(t.hop));
    !ex.scan.stream && provider.is_some_and(|provider| provider.format.name() == ex.inbound.name())
}

/// A whole body of a good status.
pub(super) fn collected(ex: &mut Exchange, format: &dyn Outbound, mut head: Headers, body: &[u8], now: u64) -> Body {
    let (usage, response) = match read(ex, format, body) {
        Ok(read) => read,
        Err(problem) => {
            let bad = |message| Fault::new(FaultKind::BadGateway, message);
            let (flaw, fault) = match problem {
                NoAnswer::Fault(fault) => (Flaw::Fault, fault),
                NoAnswer::Empty => (Flaw::Empty, bad("The provider's answer is empty.".to_owned())),
                NoAnswer::Garbled(problem) => {
                    let message = format!("The provider's answer cannot be understood: {}", problem.message);
                    (Flaw::Garbled, bad(message))
                }
            };
            return Body::Fail(fail(ex, head, flaw, fault, now));
        }
    };
    if let Some(current) = ex.tries.last_mut() {
        current.complete = true;
        current.usage.update(&usage);
        current.certain = Certain::of(&current.usage);
        if ex.scan.stream {
            current.first_content.get_or_insert(now);
        }
    }
    // A stream begins before anybody knows; there it is in the books alone.
    if let Some(cost) = ex.cost(now).filter(|_| ex.operation == Operation::Chat && !ex.scan.stream) {
        head.push(("x-attache-cost".to_owned(), dollars(cost).into_bytes()));
    }
    let Some(response) = response else { return Body::Show(head) };
    let context = ex.stream_context(now);
    if !ex.scan.stream {
        return with_length(head, ex.inbound.encode_response(&response, &context));
    }
    let (mut encoder, mut out) = (ex.inbound.stream_encoder(context), Vec::new());
    response.into_events().iter().for_each(|event| encoder.event(event, &mut out));
    encoder.finish(&mut out);
    Body::Whole(head, out)
}

/// What a body says; the answer itself only where it must be told anew.
fn read(ex: &Exchange, format: &dyn Outbound, body: &[u8]) -> Result<(Usage, Option<Response>), NoAnswer> {
    if ex.operation != Operation::Chat {
        return NoAnswer::unless_object(body).map(|_| (Usage::default(), None));
    }
    let usage = format.glance(body)?;
    if goes_on(ex) {
        return Ok((usage, None));
    }
    let response = format.decode_response(body).map_err(NoAnswer::Garbled)?;
    Ok((response.usage, Some(response)))
}

/// A whole error of the client's own format, whose body may say that another candidate should be asked.
pub(super) fn passed(ex: &mut Exchange, format: &dyn Outbound, mut head: Headers, body: &[u8], now: u64) -> Body {
    let status = ex.tries.last().and_then(|t| t.status).unwrap_or_default();
    if let Some(asked) = refer(ex, &mut head, &format.decode_fault(status, body), now) {
        return Body::Fail(asked);
    }
    let mut masker = Masker::default();
    let mut masked = masker.push(body);
    masked.extend(masker.finish());
    if masked == body { Body::Show(head) } else { Body::Whole(head, masked) }
}

/// A whole error of another format; its head has gone on already if none is `held`.
pub(super) fn told(ex: &mut Exchange, mut held: Headers, status: u16, fault: &Fault, now: u64) -> Body {
    let told = ex.inbound.encode_fault(fault);
    if held.is_empty() {
        return Body::Replace(told);
    }
    if let Some(head) = refer(ex, &mut held, fault, now) {
        return Body::Fail(head);
    }
    ex.answering = Some(Status { judged: status, told: ex.inbound.status(fault) });
    with_length(held, told)
}

fn with_length(mut head: Headers, body: Vec<u8>) -> Body {
    head.push(("content-length".to_owned(), body.len().to_string().into_bytes()));
    Body::Whole(head, body)
}
