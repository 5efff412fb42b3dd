//! Reads along a stream of chunks that is passed through.

use memchr::memmem;

use super::usage;
use crate::format::StreamWatch;
use crate::framing::{Frame, sse};
use crate::ir::Usage;
use crate::json::{self, Object};

/// The usage chunk is a few hundred bytes; what is larger is not it.
const MAX_HELD: usize = 16 << 10;

/// Passes chunks on, except (if told to hide it) the one that holds usage and nothing else.
///
/// While hiding, the bytes of an event are held only until they show that it is another chunk: `choices` comes before
/// the content and is empty only in the usage chunk.
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
    failed: bool,
}

impl Watch {
    pub(super) fn new(hide: bool) -> Self {
        Self { hide, ..Self::default() }
    }

    /// Reads complete events; true if the last one is to be hidden.
    fn read(&mut self) -> bool {
        let mut hidden = false;
        for frame in self.frames.drain(..) {
            let data = frame.data.trim();
            self.done |= data == "[DONE]";
            hidden = false;
            self.failed |= begins(data.as_bytes(), b"\"error\"", b'{');
            // Most chunks hold neither, and looking is cheaper than parsing.
            if !begins(data.as_bytes(), b"\"usage\"", b'{') && !begins(data.as_bytes(), b"\"finish_reason\"", b'"') {
                continue;
            }
            let Ok(mut o) = Object::parse(data.as_bytes()) else { continue };
            let choices = o.array("choices").ok().flatten();
            let reported = o.raw("usage").ok().flatten();
            let groq = o.object("x_groq").ok().flatten().and_then(|mut inner| inner.raw("usage").ok().flatten());
            if let Some(raw) = reported.or(groq) {
                self.usage.update(&usage::read(raw));
            }
            hidden = reported.is_some() && choices.as_ref().is_some_and(Vec::is_empty);
            for raw in choices.unwrap_or_default() {
                let word = json::members(raw).into_iter().find(|(name, _)| name == "finish_reason");
                self.finished |= word.is_some_and(|(_, word)| json::kind(word) == "string" && word.get() != "\"\"");
            }
        }
        hidden
    }

    /// The bytes up to and including the next line end, and the rest.
    fn line(bytes: &[u8]) -> (&[u8], &[u8]) {
        memchr::memchr2(b'\r', b'\n', bytes).map_or((bytes, &[]), |at| bytes.split_at(at + 1))
    }

    fn pass_held(&mut self, out: &mut Vec<u8>) {
        out.append(&mut self.held);
        self.released = true;
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
                out.extend_from_slice(line)
            } else {
                self.held.extend_from_slice(line)
            }
            if self.sse.at_boundary() {
                let hidden = self.read() && !self.released;
                if hidden {
                    self.held.clear();
                }
                self.pass_held(out);
                self.released = false;
                self.after_cr = (line.last() == Some(&b'\r')).then_some(!hidden);
            } else if !self.released && (self.held.len() > MAX_HELD || is_other_chunk(&self.held)) {
                self.pass_held(out);
            }
        }
    }
}

/// The bytes so far show a `choices` that is not empty. Inside a string the quotes would be escaped, and a chunk has no
/// other member of that name.
fn is_other_chunk(held: &[u8]) -> bool {
    const NAME: &[u8] = b"\"choices\"";
    let Some(at) = memmem::find(held, NAME) else { return false };
    let mut after = held.iter().skip(at + NAME.len()).filter(|byte| !byte.is_ascii_whitespace());
    after.next() == Some(&b':') && after.next() == Some(&b'[') && after.next().is_some_and(|byte| *byte != b']')
}

/// Somewhere a member of this name has a value that begins so.
fn begins(data: &[u8], name: &[u8], first: u8) -> bool {
    memmem::find_iter(data, name).any(|at| {
        let mut after = data.iter().skip(at + name.len()).filter(|byte| !byte.is_ascii_whitespace());
        after.next() == Some(&b':') && after.next() == Some(&first)
    })
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
        if self.read() && self.hide {
            self.held.clear();
        }
        out.append(&mut self.held);
        // Some servers never send `[DONE]`. With a finish reason the answer is whole.
        self.done |= self.finished;
    }

    fn usage(&self) -> Usage {
        self.usage
    }

    fn done(&self) -> bool {
        self.done && !self.failed
    }
}
