//! A stream of which the client has seen nothing yet, and what its first events mean for it.
//!
//! Nothing is shown before the first content, for so long another candidate can still give the whole answer. Envoy holds
//! the bytes; its buffer always has what the client would see, since it can be let go from outside a callback and can be
//! changed only within one.
//!
//! Does not: judge what an answer is worth. A stream that says why it stopped, in a word that is known, is whole, also if
//! it said nothing: the provider has done (and billed) what was asked.

use wire::format::StreamDecode;
use wire::ir::{Event, Fault, FaultKind};

use super::{Exchange, Headers};
use crate::config::snapshot::Provider;

/// Why a try failed whose status was good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flaw {
    /// An error before any content.
    Fault,
    /// It ended without content and did not say that it stopped.
    Empty,
    /// Events that cannot be read, and no content.
    Garbled,
    /// No content in time.
    Stalled,
    /// The gateway had no memory for it, which says nothing of the provider.
    NoMemory,
}

/// What to do with a held stream.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It may still fail over.
    Wait,
    /// The client may see it.
    Show,
    /// The next candidate is asked; if there is none, the client is told this.
    Fail(Flaw, Fault),
}

/// A stream that is held.
pub(super) struct Hold {
    pub(super) head: Headers,
    /// What the client will see, which is what Envoy's buffer holds.
    pub(super) staged: Vec<u8>,
    /// Reads along where bytes pass as they are.
    decoder: Option<Box<dyn StreamDecode>>,
    events: Vec<Event>,
    content: bool,
    stopped: bool,
    fault: Option<Fault>,
    skipped: u64,
    /// Bytes the provider sent.
    bytes: u64,
    most: u64,
    /// Unix nanoseconds.
    until: u64,
    hard: Option<u64>,
    given_up: bool,
}

/// What a client is told when no other candidate has answered in place of one that was given up.
pub(super) fn no_memory() -> Fault {
    Fault::overloaded("The gateway has no memory for the provider's answer at the moment.", "memory")
}

impl Hold {
    /// A stream that answers the try begun at `started`. `decoder` where nobody else decodes it.
    pub(super) fn new(
        ex: &Exchange,
        provider: &Provider,
        started: u64,
        head: Headers,
        decoder: Option<Box<dyn StreamDecode>>,
    ) -> Self {
        let after =
            |limit: std::time::Duration| started.saturating_add(u64::try_from(limit.as_nanos()).unwrap_or(u64::MAX));
        Self {
            head,
            staged: Vec::new(),
            decoder,
            events: Vec::new(),
            content: false,
            stopped: false,
            fault: None,
            skipped: 0,
            bytes: 0,
            most: ex.snapshot.hold.max_bytes,
            until: after(ex.snapshot.hold.max),
            hard: provider.patience.hard.map(after),
            given_up: false,
        }
    }

    /// Keeps nothing any more; the next verdict is that it failed.
    pub(super) fn give_up(&mut self) {
        (self.staged, self.decoder, self.events, self.fault) = (Vec::new(), None, Vec::new(), None);
        self.given_up = true;
    }

    /// Bytes as they came, where nobody else decodes them.
    pub(super) fn read(&mut self, chunk: &[u8], end: bool) {
        self.bytes += chunk.len() as u64;
        let Some(mut decoder) = self.decoder.take() else { return };
        let mut events = std::mem::take(&mut self.events);
        decoder.push(chunk, &mut events);
        if end {
            decoder.finish(&mut events);
        }
        events.drain(..).for_each(|event| self.note(&event));
        self.skipped = decoder.skipped();
        (self.decoder, self.events) = (Some(decoder), events);
    }

    /// Events that could not be read, where somebody else decodes.
    pub(super) fn skipped(&mut self, skipped: u64) {
        self.skipped = self.skipped.max(skipped);
    }

    pub(super) fn note(&mut self, event: &Event) {
        self.content |= event.is_content();
        match event {
            Event::Stop(stop) => self.stopped |= stop.is_known(),
            Event::Fault(fault) if !self.content => self.fault = Some(fault.clone()),
            Event::Start { .. }
            | Event::PartStart { .. }
            | Event::Delta { .. }
            | Event::Signature { .. }
            | Event::Citation { .. }
            | Event::PartEnd { .. }
            | Event::Usage(_)
            | Event::Ping
            | Event::Fault(_)
            | Event::Done => {}
        }
    }

    pub(super) fn verdict(&mut self, end: bool, now: u64) -> Verdict {
        if self.given_up {
            return Verdict::Fail(Flaw::NoMemory, no_memory());
        }
        if let Some(fault) = self.fault.take() {
            return Verdict::Fail(Flaw::Fault, fault);
        }
        if self.content {
            return Verdict::Show;
        }
        let fail = |flaw, message: &str| Verdict::Fail(flaw, Fault::new(FaultKind::BadGateway, message));
        if end && self.skipped > 0 {
            return fail(Flaw::Garbled, "The provider's stream cannot be understood.");
        }
        if end && !self.stopped {
            return fail(Flaw::Empty, "The provider's stream ended without an answer.");
        }
        if !end && let Some(late) = self.late(now) {
            return late;
        }
        let full = self.bytes.max(self.staged.len() as u64) > self.most;
        if end || full { Verdict::Show } else { Verdict::Wait }
    }

    /// What time alone decides.
    pub(super) fn late(&self, now: u64) -> Option<Verdict> {
        if self.given_up {
            return Some(Verdict::Fail(Flaw::NoMemory, no_memory()));
        }
        if self.hard.is_some_and(|hard| now >= hard) {
            let fault = Fault::new(FaultKind::Timeout, "The provider sent no content in time.");
            return Some(Verdict::Fail(Flaw::Stalled, fault));
        }
        (now >= self.until).then_some(Verdict::Show)
    }
}
