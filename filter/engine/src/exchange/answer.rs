//! The head of one try's answer: what it means, and how the body behind it will be treated.
//!
//! Decision: an answer of a good status is shown when it is sure to be one: a stream at its first content (`hold`),
//! everything else when it is whole (`whole`). Until then a reset, a time limit or a body that is no answer is one more
//! failed try. Rejected: passing unary answers on as they come, which saves a buffer and shows clients what proxies and
//! dying providers write under a 200.
//!
//! Decision: an error answer keeps its own status, so that Envoy's retry policy judges it natively; only when no further
//! try is left is it sealed against one. Rejected: sending a made-up 503 to ask for the retry, which would be the answer
//! whenever Envoy then does not retry for a reason of its own.
//!
//! Decision: the status in the client's dialect is a second one, see [`Status`], which the plan role writes when an answer
//! is on its way out. A sealed error of another format is held until it is whole, since its body may tell more than its
//! status (an exhausted account comes as 429). Rejected: holding every error, by which a provider that hangs after the
//! head of its error would hang the failover.

use wire::format::{StreamContext, StreamDecode, StreamEncode, StreamWatch};
use wire::ir::{Event, Fault, FaultKind};
use wire::mask::Masker;

use super::head::{Kept, client_head};
use super::hold::{Flaw, Hold, Verdict, no_memory};
use super::judge::{fail, judge, number};
use super::retry_after::retry_after;
use super::{Exchange, Headers, Status, bodiless, vendor};

/// Statuses under which an answer is one. Others below 300 have no body, or a part of one, or none yet.
const ANSWERS: [u16; 3] = [200, 201, 203];

/// How the body of an answer is treated.
pub(super) enum Mode {
    /// As it comes, masked: an error in the client's own format.
    Pass(Masker),
    /// As it comes: an answer too large to be held. Its last bytes say what it used.
    Large { tail: Vec<u8> },
    /// Same format, streamed: bytes pass, usage is read on the way.
    Watch(Box<dyn StreamWatch>),
    /// Other format, streamed: events in, frames out.
    Stream { decoder: Box<dyn StreamDecode>, encoder: Box<dyn StreamEncode>, events: Vec<Event> },
    /// Everything is needed before anything can be said.
    Collect,
    /// Other format, an error.
    Fault { status: u16, body: Vec<u8>, retry_after: Option<u64> },
    /// Nothing is read any more; the client is told so with the next piece.
    GivenUp { last: Vec<u8> },
}

/// What to do with the response head.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// The whole new head; `None`: wait for the body.
    pub set: Option<Headers>,
    /// The cluster of the next try, if the judgement changed it.
    pub next: Option<String>,
}

/// What to do with a piece of the body.
#[derive(Debug, PartialEq, Eq)]
pub enum Body {
    /// Pass it as it is.
    Keep,
    /// Pass this instead.
    Replace(Vec<u8>),
    /// Hold it, with what is held already.
    Hold,
    /// Hold this in place of all that is held.
    Stage(Vec<u8>),
    /// This head, then all that is held as it is.
    Show(Headers),
    /// This head, then this body in place of all that is held.
    Whole(Headers, Vec<u8>),
    /// The try has failed; what is held is of no use.
    Fail(Head),
}

/// The answer of one try.
pub struct Answer {
    pub(super) mode: Mode,
    /// The head of an answer that is held until it is whole.
    pub(super) held: Headers,
    /// A stream that is held until its first content.
    pub(super) hold: Option<Hold>,
    /// What the answer is, once it is shown. Until then a reply that Envoy makes up is not it.
    status: Status,
}

impl std::fmt::Debug for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Answer").finish_non_exhaustive()
    }
}

impl Answer {
    /// Judges the head of the running try's answer. `headers` are the provider's; `end` means there is no body.
    /// `None` if no try runs.
    pub fn head<B: AsRef<[u8]>>(ex: &mut Exchange, headers: &[(B, B)], end: bool, now: u64) -> Option<(Self, Head)> {
        let get = |name: &str| headers.iter().find(|(n, _)| n.as_ref() == name.as_bytes()).map(|(_, v)| v.as_ref());
        let status = number(get(":status")).and_then(|n| u16::try_from(n).ok()).unwrap_or(502);
        let hop = ex.tries.last()?.hop;
        let format = ex.provider(hop)?.format;
        let same = format.name() == ex.inbound.name();
        let ok = ANSWERS.contains(&status);
        let odd = !ok && !(400..600).contains(&status);
        if let Some(current) = ex.tries.last_mut() {
            current.status = Some(status);
            current.complete = end && !ok;
            current.of_account = vendor::of_account(headers);
        }
        let streamed = get("content-type").is_some_and(|v| v.trim_ascii_start().starts_with(b"text/event-stream"));
        let retry_after = retry_after(&get, now);
        let mut out = Head::default();
        let told = retry_after.or_else(|| vendor::exhausted(headers, format.name(), now));
        let referred = !ok && !odd && judge(ex, status, end, told, now, &mut out);
        let seconds = retry_after.map(|ns| ns.div_ceil(1_000_000_000));
        let mode = match (ok, same, streamed) {
            (true, true, true) => Mode::Watch(format.stream_watch(!ex.scan.include_usage)),
            (true, false, true) => Mode::Stream {
                decoder: format.stream_decoder(),
                encoder: ex.inbound.stream_encoder(ex.stream_context(now)),
                events: Vec::new(),
            },
            (true, _, false) => Mode::Collect,
            (false, true, _) => Mode::Pass(Masker::default()),
            (false, false, _) => Mode::Fault { status, body: Vec::new(), retry_after: seconds },
        };
        let kept = match &mode {
            Mode::Pass(_) | Mode::Large { .. } => Kept::All,
            Mode::Watch(_) => Kept::NotLength,
            Mode::Collect if same && !ex.scan.stream => Kept::All,
            Mode::Collect => Kept::Translated { stream: ex.scan.stream, retry_after: None },
            Mode::Stream { .. } => Kept::Translated { stream: true, retry_after: None },
            Mode::Fault { retry_after, .. } => Kept::Translated { stream: false, retry_after: *retry_after },
            Mode::GivenUp { .. } => Kept::NotLength,
        };
        let head = client_head(ex, hop, headers, kept, status, now);
        let fault = matches!(mode, Mode::Fault { .. });
        let told = if fault { ex.inbound.status(&bodiless(status)) } else { status };
        let status_of = Status { judged: status, told };
        let mut answer = Self { mode, held: Vec::new(), hold: None, status: status_of };
        let own = match answer.mode {
            Mode::Watch(_) => Some(Some(format.stream_decoder())),
            Mode::Stream { .. } => Some(None),
            Mode::Pass(_) | Mode::Large { .. } | Mode::Collect | Mode::Fault { .. } | Mode::GivenUp { .. } => None,
        };
        if odd || ok && (end || streamed && !ex.scan.stream) {
            let (flaw, message) = if odd {
                (
                    Flaw::Garbled,
                    format!("The provider answered with status {status}, by which nobody answers a request."),
                )
            } else if end {
                (Flaw::Empty, "The provider's answer is empty.".to_owned())
            } else {
                (Flaw::Garbled, "The provider answered with a stream where none was asked for.".to_owned())
            };
            out = fail(ex, head, flaw, Fault::new(FaultKind::BadGateway, message), now);
        } else if let Some(decoder) = own {
            let started = ex.tries.last().map_or(now, |t| t.started);
            answer.hold = Some(Hold::new(ex, ex.provider(hop)?, started, head, decoder));
        } else if !end && (ok || fault && ex.sealed || referred) {
            answer.held = head;
        } else {
            out.set = Some(head);
            ex.answering = Some(status_of);
        }
        Some((answer, out))
    }

    /// True while the answer waits for its end.
    #[must_use]
    pub fn collects(&self) -> bool {
        !self.held.is_empty()
    }

    /// True while the answer waits for its first content.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.hold.is_some()
    }

    /// True if the body is on its way to the client and has no other end than its own.
    #[must_use]
    pub fn flows(&self) -> bool {
        matches!(self.mode, Mode::Pass(_) | Mode::Large { .. }) && self.held.is_empty()
    }

    /// True if nobody needs to see the rest of the body.
    #[must_use]
    pub fn passes(&self) -> bool {
        matches!(self.mode, Mode::Large { .. }) && self.held.is_empty()
    }

    /// Bytes of what is held that [`Answer::body`] must not be given again.
    #[must_use]
    pub fn staged(&self) -> usize {
        self.hold.as_ref().map_or(0, |hold| hold.staged.len())
    }

    /// Time has passed: whether the wait for the first content is over by it, and the head to go on with. What is held
    /// stays as it is.
    pub fn late(&mut self, ex: &mut Exchange, now: u64) -> Option<Head> {
        let verdict = self.hold.as_ref()?.late(now)?;
        let hold = self.hold.take()?;
        Some(match verdict {
            Verdict::Fail(flaw, fault) => fail(ex, hold.head, flaw, fault, now),
            Verdict::Show | Verdict::Wait => {
                ex.answering = Some(self.status);
                Head { set: Some(hold.head), ..Head::default() }
            }
        })
    }

    /// Gives back what the stream keeps, since there is no room for it. Nothing of it was shown: the try fails with the
    /// next piece, or when time is next [looked at](Self::late). Else the next piece is an error event, and the host ends it.
    pub fn give_up(&mut self, ex: &Exchange) {
        let mut last = Vec::new();
        match &mut self.mode {
            _ if self.hold.is_some() => {}
            Mode::Stream { encoder, .. } => encoder.finish(&mut last),
            Mode::Watch(_) => {
                // Of an event that is not whole the client has the beginning.
                last.extend_from_slice(b"\n\n");
                ex.inbound.stream_encoder(StreamContext::default()).finish(&mut last);
            }
            Mode::Pass(_) | Mode::Large { .. } | Mode::Collect | Mode::Fault { .. } | Mode::GivenUp { .. } => return,
        }
        if let Some(hold) = &mut self.hold {
            hold.give_up();
        }
        self.mode = Mode::GivenUp { last };
    }

    /// There is no room for what has come: an answer that waits for its end fails, a stream is [given up](Self::give_up).
    pub fn no_room(&mut self, ex: &mut Exchange, end: bool, now: u64) -> Body {
        if self.collects() {
            let head = std::mem::take(&mut self.held);
            return Body::Fail(fail(ex, head, Flaw::NoMemory, no_memory(), now));
        }
        self.give_up(ex);
        self.body(ex, &[], end, now)
    }

    /// What comes of a body, once the client may see it.
    pub(super) fn shown(&self, ex: &mut Exchange, body: Body) -> Body {
        if matches!(body, Body::Show(_) | Body::Whole(..)) {
            ex.answering.get_or_insert(self.status);
        }
        body
    }

    /// True while the time of a piece matters: until a stream's first content.
    #[must_use]
    pub fn is_timed(&self, ex: &Exchange) -> bool {
        let streamed = matches!(self.mode, Mode::Watch(_) | Mode::Stream { .. } | Mode::GivenUp { .. });
        streamed && ex.tries.last().is_some_and(|t| t.first_content.is_none())
    }
}

impl Exchange {
    /// What the encoder of the client's stream must know.
    pub(super) fn stream_context(&self, now: u64) -> StreamContext {
        StreamContext {
            model: self.scan.model.clone().unwrap_or_default(),
            usage: self.scan.include_usage,
            now: now / 1_000_000_000,
        }
    }
}
