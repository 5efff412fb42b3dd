//! The body of one try's answer, piece by piece.
//!
//! Does not: know anything of answers that come in one piece; that is `whole`.

use wire::format::StreamContext;
use wire::ir::{Certain, Event};

use super::answer::{Answer, Body, Mode};
use super::hold::{Hold, Verdict};
use super::judge::fail;
use super::{Exchange, whole};

/// Largest error body that is understood. A stream's worth of requests may have one each.
const READ_ALONG: usize = 64 << 10;

/// Last bytes of a large answer that are read: the counts and what may stand after them.
const TAIL: usize = 4096;

impl Answer {
    /// A piece of the body; for a held answer the whole body at `end`. `now` is read at the end, and while the answer
    /// [is timed](Self::is_timed).
    pub fn body(&mut self, ex: &mut Exchange, chunk: &[u8], end: bool, now: u64) -> Body {
        let body = self.piece(ex, chunk, end, now);
        self.shown(ex, body)
    }

    fn piece(&mut self, ex: &mut Exchange, chunk: &[u8], end: bool, now: u64) -> Body {
        let provider = ex.tries.last().and_then(|t| ex.provider(t.hop)).map(|p| p.format);
        let inbound = ex.inbound;
        let Some(current) = ex.tries.last_mut() else { return Body::Keep };
        let Some(format) = provider else { return Body::Keep };
        current.bytes += chunk.len() as u64;
        if end {
            current.ended.get_or_insert(now);
        }
        let body = match &mut self.mode {
            Mode::Pass(_) | Mode::Collect | Mode::Fault { .. } if !end && !self.held.is_empty() => return Body::Hold,
            Mode::Large { .. } => return Body::Keep,
            Mode::Collect => return whole::collected(ex, format, std::mem::take(&mut self.held), chunk, now),
            Mode::Pass(masker) => {
                current.complete |= end;
                let head = std::mem::take(&mut self.held);
                if !head.is_empty() {
                    return whole::passed(ex, format, head, chunk, now);
                }
                let mut out = masker.push(chunk);
                if end {
                    out.extend(masker.finish());
                }
                return if out == chunk { Body::Keep } else { Body::Replace(out) };
            }
            Mode::Fault { status, body, retry_after } => {
                let room = READ_ALONG.saturating_sub(body.len());
                body.extend(chunk.iter().take(room));
                if !end {
                    return Body::Replace(Vec::new());
                }
                current.complete = true;
                let mut fault = format.decode_fault(*status, body);
                fault.retry_after = fault.retry_after.or(*retry_after);
                return whole::told(ex, std::mem::take(&mut self.held), *status, &fault, now);
            }
            Mode::GivenUp { last } => {
                current.complete = false;
                Body::Replace(std::mem::take(last))
            }
            Mode::Watch(watch) => {
                let mut out = Vec::with_capacity(chunk.len());
                watch.push(chunk, &mut out);
                if end {
                    watch.finish(&mut out);
                    if watch.content() && !watch.done() && !watch.failed() {
                        // Cut, and in good order: without a word it might be taken for whole.
                        inbound.stream_encoder(StreamContext::default()).finish(&mut out);
                    }
                }
                current.usage.update(&watch.usage());
                current.certain = watch.certain();
                current.complete = end && watch.done();
                current.skipped = watch.skipped();
                if watch.content() {
                    current.first_content.get_or_insert(now);
                }
                if let Some(hold) = &mut self.hold {
                    hold.read(chunk, end);
                }
                if out == chunk { Body::Keep } else { Body::Replace(out) }
            }
            Mode::Stream { decoder, encoder, events } => {
                let mut out = Vec::with_capacity(2 * chunk.len());
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
                    if let Some(hold) = &mut self.hold {
                        hold.note(&event);
                    }
                    encoder.event(&event, &mut out);
                }
                if end {
                    encoder.finish(&mut out);
                }
                current.certain = decoder.certain();
                current.skipped = decoder.skipped();
                if let Some(hold) = &mut self.hold {
                    hold.read(chunk, end);
                    hold.skipped(current.skipped);
                }
                Body::Replace(out)
            }
        };
        match self.hold.take() {
            Some(hold) => self.held_stream(hold, ex, chunk, body, end, now),
            None => body,
        }
    }

    /// So many bytes of a body that [passes](Self::passes); `last` fetches so many of their last.
    pub fn pass(
        &mut self,
        ex: &mut Exchange,
        size: usize,
        end: bool,
        now: u64,
        last: impl FnOnce(usize) -> Option<Vec<u8>>,
    ) {
        let format = ex.tries.last().and_then(|t| ex.provider(t.hop)).map(|p| p.format);
        let (Some(current), Some(format)) = (ex.tries.last_mut(), format) else { return };
        current.bytes += size as u64;
        if let Mode::Large { tail } = &mut self.mode {
            if size > 0 {
                tail.extend(last(size.min(TAIL)).unwrap_or_default());
                tail.drain(..tail.len().saturating_sub(TAIL));
            }
            if end {
                current.usage.update(&format.usage_at_end(tail).unwrap_or_default());
                current.certain = Certain::of(&current.usage);
            }
        }
        if end {
            current.complete = true;
            current.ended.get_or_insert(now);
        }
    }

    /// What becomes of a held stream by its next piece, which the client is to see as `body`.
    fn held_stream(
        &mut self,
        mut hold: Hold,
        ex: &mut Exchange,
        chunk: &[u8],
        body: Body,
        end: bool,
        now: u64,
    ) -> Body {
        let changed = match body {
            Body::Replace(new) => {
                hold.staged.extend_from_slice(&new);
                new != chunk
            }
            Body::Keep | Body::Hold | Body::Stage(_) | Body::Show(_) | Body::Whole(..) | Body::Fail(_) => {
                hold.staged.extend_from_slice(chunk);
                false
            }
        };
        match hold.verdict(end, now) {
            Verdict::Show if changed => Body::Whole(hold.head, hold.staged),
            Verdict::Show => Body::Show(hold.head),
            Verdict::Fail(flaw, fault) => Body::Fail(fail(ex, hold.head, flaw, fault, now)),
            Verdict::Wait => {
                let staged = changed.then(|| hold.staged.clone());
                self.hold = Some(hold);
                staged.map_or(Body::Hold, Body::Stage)
            }
        }
    }
}
