//! Reads along a stream of chunks that is passed through.

use super::finality::Finality;
use super::{cut, fault, stream_decode, usage};
use crate::format::{StreamWatch, bounds};
use crate::framing::{Frame, sse};
use crate::ir::{Certain, Event, Usage};
use crate::json::find::Name;
use crate::json::{self, Object};

static ERROR: Name = Name::new(b"\"error\"");
static FINISH_REASON: Name = Name::new(b"\"finish_reason\"");

/// Passes chunks on, except (if told to hide usage) what they hold because usage was asked for on the gateway's own
/// account: the chunk with usage and nothing else, and `"usage":null` in all others.
///
/// While hiding, the bytes of an event are held until its end, which is when a client could begin to read it. An event
/// too large for that is passed on as it is; it could not be read along either.
#[derive(Debug, Default)]
pub(super) struct Watch {
    hide: bool,
    sse: sse::Decoder,
    frames: Vec<Frame>,
    /// Bytes of the current event that the client has not seen.
    held: Vec<u8>,
    /// The current event is passed on as it comes.
    released: bool,
    /// What became of the event that ended with a CR, whose LF may follow: passed on, or hidden.
    after_cr: Option<bool>,
    usage: Usage,
    finished: bool,
    done: bool,
    content: bool,
    failed: bool,
    skipped: u64,
    finality: Finality,
}

impl Watch {
    pub(super) fn new(hide: bool) -> Self {
        Self { hide, ..Self::default() }
    }

    /// Reads complete events; true if the last one is to be hidden.
    fn read(&mut self) -> bool {
        let mut hidden = false;
        let mut frames = std::mem::take(&mut self.frames);
        for frame in frames.drain(..) {
            let data = frame.data.trim();
            let read = match data {
                "" => Some(false),
                "[DONE]" => {
                    self.done = true;
                    self.finality.done();
                    Some(false)
                }
                // Most chunks are not parsed. What is no JSON at all shows at its ends.
                _ if !(data.starts_with('{') && data.ends_with('}')) => None,
                _ => self.chunk(data),
            };
            self.skipped += u64::from(read.is_none());
            hidden = read == Some(true);
        }
        self.frames = frames;
        hidden
    }

    /// Reads one chunk: whether it holds usage and nothing else. None if it cannot be read.
    fn chunk(&mut self, data: &str) -> Option<bool> {
        if !self.content {
            let mut events = Vec::new();
            stream_decode::Decoder::default().chunk(data, &mut events).ok()?;
            self.content = events.iter().any(Event::is_content);
        }
        let data = data.as_bytes();
        let errs = ERROR.values(data).any(|value| value.starts_with(b"{") || value.starts_with(b"\""));
        if !errs && !cut::USAGE.begins(data, b"{") && !FINISH_REASON.begins(data, b"\"") {
            return Some(false);
        }
        let mut o = Object::parse(data).ok()?;
        self.failed |= fault::read(0, &mut o).is_some();
        let choices = o.list("choices", &bounds::CHOICES).ok().flatten();
        let reported = o.raw("usage").ok().flatten();
        let groq = o.object("x_groq").ok().flatten().and_then(|mut inner| inner.raw("usage").ok().flatten());
        let usage = reported.or(groq).map(usage::read);
        let bare = choices.as_ref().is_none_or(Vec::is_empty);
        let alone = reported.is_some() && choices.as_ref().is_some_and(Vec::is_empty);
        for raw in choices.unwrap_or_default() {
            let mut choice = Object::of(raw, "").ok()?;
            self.failed |= fault::of_choice(&mut choice).is_some();
            let word = choice.peek("finish_reason");
            self.finished |= word.is_some_and(|word| json::kind(word) == "string" && word.get() != "\"\"");
        }
        if let Some(usage) = usage {
            self.usage.update(&usage);
            self.finality.report(&usage, self.finished, bare);
        }
        Some(alone)
    }

    /// The bytes up to and including the next line end, and the rest.
    fn line(bytes: &[u8]) -> (&[u8], &[u8]) {
        memchr::memchr2(b'\r', b'\n', bytes).map_or((bytes, &[]), |at| bytes.split_at(at + 1))
    }

    /// Passes on what is held, without the member that the client did not ask for.
    fn pass_held(&mut self, out: &mut Vec<u8>) {
        let cut = cut::null_usage(&self.held).unwrap_or_default();
        out.extend_from_slice(self.held.get(..cut.start).unwrap_or_default());
        out.extend_from_slice(self.held.get(cut.end..).unwrap_or_default());
        self.held.clear();
    }

    fn push_hiding(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        let mut rest = bytes;
        while let Some(first) = rest.first() {
            if let Some(passed) = self.after_cr.take()
                && *first == b'\n'
            {
                let (lf, tail) = rest.split_at(1);
                self.sse.push(lf, &mut self.frames);
                out.extend_from_slice(if passed { lf } else { &[] });
                rest = tail;
                continue;
            }
            let (line, tail) = Self::line(rest);
            rest = tail;
            self.sse.push(line, &mut self.frames);
            if self.released {
                out.extend_from_slice(line);
            } else {
                self.held.extend_from_slice(line);
            }
            if self.sse.at_boundary() {
                let hidden = self.read() && !self.released;
                if hidden {
                    self.held.clear();
                }
                self.pass_held(out);
                self.released = false;
                self.after_cr = (line.last() == Some(&b'\r')).then_some(!hidden);
            } else if self.held.len() > sse::MAX_EVENT {
                out.append(&mut self.held);
                self.released = true;
            }
        }
    }
}

impl StreamWatch for Watch {
    fn push(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        if self.hide {
            return self.push_hiding(bytes, out);
        }
        out.extend_from_slice(bytes);
        self.sse.push(bytes, &mut self.frames);
        self.read();
    }

    fn finish(&mut self, out: &mut Vec<u8>) {
        self.sse.finish(&mut self.frames);
        // The last event may be cut off: then the stream is, which is not this event's fault.
        let skipped = self.skipped;
        if self.read() && self.hide {
            self.held.clear();
        }
        self.skipped = skipped;
        self.pass_held(out);
        // Some servers never send `[DONE]`. With a finish reason the answer is whole.
        self.done |= self.finished;
    }

    fn usage(&self) -> Usage {
        self.usage
    }

    fn certain(&self) -> Certain {
        self.finality.certain()
    }

    fn done(&self) -> bool {
        self.done && !self.failed
    }

    fn failed(&self) -> bool {
        self.failed
    }

    fn content(&self) -> bool {
        self.content
    }

    fn skipped(&self) -> u64 {
        self.sse.skipped() + self.skipped
    }
}
