//! The response side of one try: what the client is shown of it, event by event, and what is learned from it.
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
use wire::ir::{Event, Fault, FaultKind, Usage};

use super::head::{Kept, client_head};
use super::{Exchange, Headers, Status, bodiless};
use crate::cooldown::LONGEST;

/// Largest unary answer that is read along for its usage, and largest error body that is understood.
const READ_ALONG: usize = 1 << 20;

/// How the body of an answer is treated.
enum Mode {
    /// Same format: bytes pass untouched; a copy is kept to read the usage from.
    Through { copy: Vec<u8> },
    /// Same format, streamed: bytes pass, usage is read on the way.
    Watch(Box<dyn StreamWatch>),
    /// Other format, unary: everything is needed before anything can be said.
    Collect,
    /// Other format, streamed: events in, frames out.
    Stream { decoder: Box<dyn StreamDecode>, encoder: Box<dyn StreamEncode>, events: Vec<Event> },
    /// Other format, an error.
    Fault { status: u16, body: Vec<u8>, retry_after: Option<u64> },
}

/// What to do with the response head.
#[derive(Debug, Default)]
pub struct Head {
    /// The whole new head; `None`: wait for the body.
    pub set: Option<Headers>,
    /// This lane must rest until then.
    pub rest: Option<(String, u64)>,
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
    /// Hold it; call again with everything at the end.
    Hold,
    /// The whole answer: this head, then this body.
    Whole(Headers, Vec<u8>),
}

/// The answer of one try.
pub struct Answer {
    mode: Mode,
    /// The head of a held answer.
    held: Headers,
}

impl std::fmt::Debug for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Answer").finish_non_exhaustive()
    }
}

impl Answer {
    /// Judges the head of the running try's answer. `headers` are the provider's; `end` means there is no body.
    /// `None` if no try runs.
    pub fn head(ex: &mut Exchange, headers: &[(Vec<u8>, Vec<u8>)], end: bool, now: u64) -> Option<(Self, Head)> {
        let get = |name: &str| headers.iter().find(|(n, _)| n == name.as_bytes()).map(|(_, v)| v.as_slice());
        let status = number(get(":status")).and_then(|n| u16::try_from(n).ok()).unwrap_or(502);
        let hop = ex.tries.last()?.hop;
        let format = ex.provider(hop)?.format;
        let same = format.name() == ex.inbound.name();
        if let Some(current) = ex.tries.last_mut() {
            current.status = Some(status);
            current.complete = end;
        }
        let ok = (200..300).contains(&status);
        let streamed = get("content-type").is_some_and(|v| v.trim_ascii_start().starts_with(b"text/event-stream"));
        let retry_after = retry_after(&get);
        let mut out = Head::default();
        if !ok {
            judge(ex, hop, status, retry_after, now, &mut out);
        }
        let context = StreamContext {
            model: ex.scan.model.clone().unwrap_or_default(),
            usage: ex.scan.include_usage,
            now: now / 1_000_000_000,
        };
        let mode = match (ok, same, streamed) {
            (true, true, true) => Mode::Watch(format.stream_watch(!ex.scan.include_usage)),
            (_, true, _) => Mode::Through { copy: Vec::new() },
            (true, false, true) => Mode::Stream {
                decoder: format.stream_decoder(),
                encoder: ex.inbound.stream_encoder(context),
                events: Vec::new(),
            },
            (true, false, false) => Mode::Collect,
            (false, false, _) => {
                Mode::Fault { status, body: Vec::new(), retry_after: retry_after.map(|ns| ns.div_ceil(1_000_000_000)) }
            }
        };
        let kept = match &mode {
            Mode::Through { .. } => Kept::All,
            Mode::Watch(_) => Kept::NotLength,
            Mode::Stream { .. } => Kept::Translated { stream: true, retry_after: None },
            Mode::Collect => Kept::Translated { stream: false, retry_after: None },
            Mode::Fault { retry_after, .. } => Kept::Translated { stream: false, retry_after: *retry_after },
        };
        let head = client_head(ex, hop, headers, kept, status, now);
        let fault = matches!(mode, Mode::Fault { .. });
        let told = if fault { ex.inbound.status(&bodiless(status)) } else { status };
        ex.answering = Some(Status { judged: status, told });
        let hold = !end && (matches!(mode, Mode::Collect) || fault && ex.sealed);
        let answer = if hold {
            Self { mode, held: head }
        } else {
            out.set = Some(head);
            Self { mode, held: Vec::new() }
        };
        Some((answer, out))
    }

    /// True while the head waits for the body.
    #[must_use]
    pub fn holds(&self) -> bool {
        !self.held.is_empty()
    }

    /// True while the time of a piece matters: until a stream's first content.
    #[must_use]
    pub fn is_timed(&self, ex: &Exchange) -> bool {
        let streamed = matches!(self.mode, Mode::Watch(_) | Mode::Stream { .. });
        streamed && ex.tries.last().is_some_and(|t| t.first_content.is_none())
    }

    /// A piece of the body; for a held answer the whole body at `end`. `now` is read at the end, and while the answer
    /// [is timed](Self::is_timed).
    pub fn body(&mut self, ex: &mut Exchange, chunk: &[u8], end: bool, now: u64) -> Body {
        let provider = ex.tries.last().and_then(|t| ex.provider(t.hop)).map(|p| p.format);
        let inbound = ex.inbound;
        let context_model = ex.scan.model.clone();
        let Some(current) = ex.tries.last_mut() else { return Body::Keep };
        let Some(format) = provider else { return Body::Keep };
        current.bytes += chunk.len() as u64;
        let body = match &mut self.mode {
            Mode::Through { copy } => {
                if copy.len() + chunk.len() <= READ_ALONG {
                    copy.extend_from_slice(chunk);
                }
                if end {
                    current.complete = true;
                    current.usage.update(&format.response_usage(copy).unwrap_or_default());
                }
                Body::Keep
            }
            Mode::Watch(watch) => {
                let mut out = Vec::with_capacity(chunk.len());
                watch.push(chunk, &mut out);
                if end {
                    watch.finish(&mut out);
                }
                current.usage.update(&watch.usage());
                current.complete = end && watch.done();
                current.skipped = watch.skipped();
                if watch.content() {
                    current.first_content.get_or_insert(now);
                }
                if out == chunk { Body::Keep } else { Body::Replace(out) }
            }
            Mode::Stream { decoder, encoder, events } => {
                let mut out = Vec::new();
                decoder.push(chunk, events);
                if end {
                    decoder.finish(events);
                }
                for event in events.drain(..) {
                    if let Event::Usage(usage) = &event {
                        current.usage.update(usage);
                    }
                    current.complete |= event == Event::Done;
                    if event.is_content() {
                        current.first_content.get_or_insert(now);
                    }
                    encoder.event(&event, &mut out);
                }
                if end {
                    encoder.finish(&mut out);
                }
                current.skipped = decoder.skipped();
                Body::Replace(out)
            }
            Mode::Collect | Mode::Fault { .. } if !end && !self.held.is_empty() => Body::Hold,
            Mode::Fault { status, body, retry_after } => {
                let room = READ_ALONG.saturating_sub(body.len());
                body.extend(chunk.iter().take(room));
                if !end {
                    return Body::Replace(Vec::new());
                }
                current.complete = true;
                let mut fault = format.decode_fault(*status, body);
                fault.retry_after = fault.retry_after.or(*retry_after);
                let told = inbound.encode_fault(&fault);
                if self.held.is_empty() {
                    Body::Replace(told)
                } else {
                    ex.answering = Some(Status { judged: *status, told: inbound.status(&fault) });
                    whole(std::mem::take(&mut self.held), None, told)
                }
            }
            Mode::Collect => match format.decode_response(chunk) {
                Ok(response) => {
                    current.complete = true;
                    current.usage.update(&response.usage);
                    let context = StreamContext {
                        model: context_model.unwrap_or_default(),
                        usage: true,
                        now: now / 1_000_000_000,
                    };
                    let body = inbound.encode_response(&response, &context);
                    whole(std::mem::take(&mut self.held), None, body)
                }
                Err(problem) => {
                    let message = format!("The provider's answer cannot be understood: {}", problem.message);
                    let fault = Fault::new(FaultKind::BadGateway, message);
                    current.unusable = true;
                    ex.answering = Some(Status { judged: fault.status, told: inbound.status(&fault) });
                    whole(std::mem::take(&mut self.held), Some(fault.status), inbound.encode_fault(&fault))
                }
            },
        };
        if end {
            current.ended.get_or_insert(now);
        }
        body
    }
}

/// What a failed try means for the lane and for the tries to come.
fn judge(ex: &mut Exchange, hop: usize, status: u16, retry_after: Option<u64>, now: u64, out: &mut Head) {
    let lane_of = |ex: &Exchange, hop: usize| ex.plan.hops.get(hop).map(|h| h.lane);
    let Some(lane) = lane_of(ex, hop) else { return };
    if status == 429 {
        let provider = ex.snapshot.lanes.get(lane).map(|l| l.provider);
        let same_provider = |l: usize| ex.snapshot.lanes.get(l).map(|l| l.provider) == provider;
        let mut left = ex.plan.hops.split_off(ex.cursor.min(ex.plan.hops.len()));
        if let Some(wait) = retry_after {
            out.rest = ex.cluster(hop).map(|c| (c.to_owned(), now.saturating_add(wait.min(LONGEST))));
            if let Some(current) = ex.tries.last_mut() {
                current.cooled = true;
            }
            left.retain(|h| h.lane != lane);
        }
        // The same provider's other key first: it has the same model and very likely the same price.
        let (mut first, rest): (Vec<_>, Vec<_>) =
            left.into_iter().partition(|h| h.lane != lane && same_provider(h.lane));
        first.extend(rest);
        ex.plan.hops.extend(first);
        out.next = ex.cluster(ex.cursor).map(str::to_owned);
    }
    ex.sealed = ex.cursor >= ex.plan.hops.len();
}

fn whole(mut head: Headers, status: Option<u16>, body: Vec<u8>) -> Body {
    if let (Some(status), Some(first)) = (status, head.first_mut()) {
        first.1 = status.to_string().into_bytes();
    }
    head.push(("content-length".to_owned(), body.len().to_string().into_bytes()));
    Body::Whole(head, body)
}

fn number(value: Option<&[u8]>) -> Option<u64> {
    std::str::from_utf8(value?).ok()?.trim().parse().ok()
}

/// `retry-after-ms` (OpenAI, Azure) or `retry-after` in seconds (RFC 9110 §10.2.3; its date form is not used by any
/// provider we know), in nanoseconds.
fn retry_after<'a>(get: &impl Fn(&str) -> Option<&'a [u8]>) -> Option<u64> {
    let ms = number(get("retry-after-ms")).map(|n| n.saturating_mul(1_000_000));
    ms.or_else(|| number(get("retry-after")).map(|n| n.saturating_mul(1_000_000_000)))
}

impl Exchange {
    /// The sum of what the running try is known to have used, for settlement.
    #[must_use]
    pub fn usage(&self) -> Usage {
        self.tries.last().map(|t| t.usage).unwrap_or_default()
    }
}
