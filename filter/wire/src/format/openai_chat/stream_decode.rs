//! Chat Completions chunks → events.
//!
//! Chunks do not say where a part ends, so it ends when the next one begins; a tool call only if its arguments are
//! complete by then, because servers may interleave calls. Ending parts early lets encoders of formats with strictly
//! nested blocks pass everything on at once.
//!
//! A chunk that cannot be understood is left out and counted, for the rest may be well. A tool call that contradicts
//! itself is a fault: half of one must not be taken for a whole one. So is a chunk that is too large, since nothing but
//! content is.

use super::arguments::Arguments;
use super::finality::Finality;
use super::reasoning::{Detail, Said};
use super::response::{self, Piece};
use super::{annotation, fault, finish, message_decode, usage};
use crate::format::{Malformed, StreamDecode, bounds, fault as faults};
use crate::framing::{Frame, sse};
use crate::ir::{Certain, Citation, Event, Fault, PartStart, Usage};
use crate::json::Object;

/// More calls in one answer than any server makes; a bound on what is remembered.
const MAX_CALLS: usize = 512;

#[derive(Debug, Default)]
pub(super) struct Decoder {
    sse: sse::Decoder,
    frames: Vec<Frame>,
    id: Option<String>,
    /// Number of the next part.
    next: usize,
    /// The text-like part that is open.
    text: Option<(Kind, usize)>,
    /// The server's number for the item of reasoning that is open.
    item: Option<u64>,
    /// Characters of content so far, and how many of them came before the text that is open.
    chars: usize,
    before: usize,
    /// Citations that came before any text.
    early: Vec<Citation>,
    calls: Vec<Call>,
    /// `finish_reason` was seen.
    stopped: bool,
    /// `[DONE]`, or a fault: nothing counts any more.
    over: bool,
    skipped: u64,
    finality: Finality,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Text,
    Reasoning,
    Refusal,
}

#[derive(Debug)]
struct Call {
    /// The server's number for it.
    index: u64,
    id: String,
    part: usize,
    open: bool,
    arguments: Arguments,
}

impl StreamDecode for Decoder {
    fn push(&mut self, bytes: &[u8], out: &mut Vec<Event>) {
        let mut frames = std::mem::take(&mut self.frames);
        self.sse.push(bytes, &mut frames);
        self.frames(&mut frames, out);
        // One for all comments of a piece: nobody can make more of them than pieces.
        out.extend((self.sse.commented() && !self.over).then_some(Event::Ping));
    }

    fn finish(&mut self, out: &mut Vec<Event>) {
        let mut frames = std::mem::take(&mut self.frames);
        self.sse.finish(&mut frames);
        // The last event may be cut off: then the stream is, which is not this event's fault.
        frames.retain(|frame| frame.data.trim() == "[DONE]" || Object::parse(frame.data.as_bytes()).is_ok());
        self.frames(&mut frames, out);
        // Some servers never send `[DONE]`. With a finish reason the answer is whole.
        if self.stopped && !self.over {
            self.done(out);
        }
    }

    fn skipped(&self) -> u64 {
        self.sse.skipped() + self.skipped
    }

    fn certain(&self) -> Certain {
        self.finality.certain()
    }
}

impl Decoder {
    fn frames(&mut self, frames: &mut Vec<Frame>, out: &mut Vec<Event>) {
        for frame in frames.drain(..) {
            self.frame(&frame, out);
        }
        self.frames = std::mem::take(frames);
    }

    fn frame(&mut self, frame: &Frame, out: &mut Vec<Event>) {
        match frame.data.trim() {
            _ if self.over => {}
            _ if frame.after_gap => self.fail("an event is too large", out),
            "" => {}
            "[DONE]" => {
                self.finality.done();
                self.done(out);
            }
            data => self.skipped += u64::from(self.chunk(data, out).is_err()),
        }
    }

    fn done(&mut self, out: &mut Vec<Event>) {
        self.end_parts(out);
        out.push(Event::Done);
        self.over = true;
    }

    fn fail(&mut self, what: &str, out: &mut Vec<Event>) {
        out.push(Event::Fault(faults::garbled(what)));
        self.over = true;
    }

    /// The server's own error, with what was used until then.
    fn failed(&mut self, fault: Fault, counts: Usage, out: &mut Vec<Event>) {
        out.extend((!counts.is_empty()).then_some(Event::Usage(counts)));
        out.push(Event::Fault(fault));
        self.over = true;
    }

    /// One chunk. What was understood before the error counts.
    pub(super) fn chunk(&mut self, data: &str, out: &mut Vec<Event>) -> Result<(), Malformed> {
        let mut o = Object::parse(data.as_bytes())?;
        let counts = match o.raw("usage")? {
            Some(raw) => usage::read(raw),
            None => groq_usage(&mut o),
        };
        if let Some(fault) = fault::read(0, &mut o) {
            self.failed(fault, counts, out);
            return Ok(());
        }
        let choices = o.list("choices", &bounds::CHOICES)?.unwrap_or_default();
        let alone = choices.is_empty();
        // Azure opens with a chunk that has neither, nor an id.
        if self.id.is_none() && !(choices.is_empty() && counts.is_empty()) {
            let id = o.string("id")?.unwrap_or_default();
            let (model, created) = (o.string("model")?.unwrap_or_default(), o.u64("created")?);
            self.id = Some(id.clone());
            out.push(Event::Start { id, model, created });
        }
        let mut understood = Ok(());
        for (i, raw) in choices.into_iter().enumerate() {
            let mut choice = Object::of(raw, format!("choices[{i}]"))?;
            if self.over || choice.u64("index")?.unwrap_or(0) != 0 {
                continue;
            }
            if let Some(fault) = fault::of_choice(&mut choice) {
                self.failed(fault, counts, out);
            } else {
                understood = self.choice(&o, &mut choice, out);
            }
        }
        if !self.over {
            self.finality.report(&counts, self.stopped, alone);
        }
        out.extend((!counts.is_empty() && !self.over).then_some(Event::Usage(counts)));
        understood
    }

    fn choice(&mut self, chunk: &Object<'_>, choice: &mut Object<'_>, out: &mut Vec<Event>) -> Result<(), Malformed> {
        if let Some(mut delta) = choice.object("delta")? {
            let said = Said::take(&mut delta)?;
            if let Some(text) = said.plain {
                self.text(Kind::Reasoning, text, out);
            }
            said.details.into_iter().for_each(|detail| self.detail(detail, out));
            let path = delta.at("content");
            if let Some(raw) = delta.raw("content")? {
                for piece in response::pieces(raw, path)? {
                    match piece {
                        Piece::Text(text) => self.text(Kind::Text, text, out),
                        Piece::Reasoning(text) => self.text(Kind::Reasoning, text, out),
                    }
                }
            }
            if let Some(text) = delta.string("refusal")? {
                self.text(Kind::Refusal, text, out);
            }
            let annotations = delta.list("annotations", &bounds::PARTS).ok().flatten();
            self.cite(annotations.map(annotation::read).unwrap_or_default(), out);
            let path = delta.at("tool_calls");
            for (i, raw) in delta.list("tool_calls", &bounds::TOOL_CALLS)?.unwrap_or_default().into_iter().enumerate() {
                self.call(Object::of(raw, format!("{path}[{i}]"))?, out)?;
            }
            if let Some(mut function) = delta.object("function_call")? {
                let name = function.string("name")?.unwrap_or_default();
                let piece = message_decode::arguments(&mut function)?;
                if !(name.is_empty() && piece.is_empty()) {
                    self.piece(Some(0), String::new(), name, piece, out);
                }
            }
        }
        if let Some(word) = choice.str("finish_reason")?.filter(|word| !word.is_empty() && !self.stopped && !self.over)
        {
            self.stopped = true;
            self.cite(annotation::sources(chunk), out);
            self.end_parts(out);
            out.push(Event::Stop(finish::stop_of(&word)));
        }
        Ok(())
    }

    fn text(&mut self, kind: Kind, text: String, out: &mut Vec<Event>) {
        if text.is_empty() {
            return;
        }
        let index = self.open(kind, out);
        self.chars += if kind == Kind::Text { text.chars().count() } else { 0 };
        out.push(Event::Delta { index, text });
    }

    /// An item of reasoning, or a piece of one: those with the number of the open one continue it.
    fn detail(&mut self, detail: Detail, out: &mut Vec<Event>) {
        let Detail { index: item, text, signature, encrypted } = detail;
        if let Some(data) = encrypted {
            let index = self.begin(PartStart::RedactedReasoning { data }, out);
            return out.push(Event::PartEnd { index });
        }
        if self.item != item
            && let Some((Kind::Reasoning, index)) = self.text
        {
            self.text = None;
            out.push(Event::PartEnd { index });
        }
        self.item = item;
        if let Some(text) = text {
            self.text(Kind::Reasoning, text, out);
        }
        if let Some(signature) = signature {
            // Some models show nothing of their reasoning but its signature.
            let index = self.open(Kind::Reasoning, out);
            out.push(Event::Signature { index, signature });
        }
    }

    /// Citations go to the text that is open, or wait for the next one.
    fn cite(&mut self, citations: Vec<Citation>, out: &mut Vec<Event>) {
        let Some((Kind::Text, index)) = self.text else {
            self.early.extend(citations);
            return self.early.truncate(annotation::MAX);
        };
        let before = self.before;
        let event = |citation| Event::Citation { index, citation: annotation::from(citation, before) };
        out.extend(citations.into_iter().map(event));
    }

    /// The number of the open part of this kind. If there is none it begins.
    fn open(&mut self, kind: Kind, out: &mut Vec<Event>) -> usize {
        if let Some((_, index)) = self.text.filter(|(open, _)| *open == kind) {
            return index;
        }
        let part = match kind {
            Kind::Text => PartStart::Text,
            Kind::Reasoning => PartStart::Reasoning,
            Kind::Refusal => PartStart::Refusal,
        };
        let index = self.begin(part, out);
        self.text = Some((kind, index));
        if kind == Kind::Text {
            self.before = self.chars;
            let early = std::mem::take(&mut self.early);
            self.cite(early, out);
        }
        index
    }

    fn begin(&mut self, part: PartStart, out: &mut Vec<Event>) -> usize {
        if let Some((_, index)) = self.text.take() {
            out.push(Event::PartEnd { index });
        }
        self.end_complete_calls(out);
        let index = self.next;
        self.next += 1;
        out.push(Event::PartStart { index, part });
        index
    }

    fn call(&mut self, mut o: Object<'_>, out: &mut Vec<Event>) -> Result<(), Malformed> {
        let index = o.u64("index")?;
        let id = o.string("id")?.unwrap_or_default();
        let (mut name, mut piece) = (String::new(), String::new());
        if let Some(mut function) = o.object("function")? {
            name = function.string("name")?.unwrap_or_default();
            piece = message_decode::arguments(&mut function)?;
        }
        self.piece(index, id, name, piece, out);
        Ok(())
    }

    fn piece(&mut self, index: Option<u64>, id: String, name: String, piece: String, out: &mut Vec<Event>) {
        if self.over {
            return;
        }
        // Without a number a piece belongs to the last call. A new id under a used number is a new call all the same.
        let known = match index {
            Some(index) => self.calls.iter().rposition(|call| call.index == index),
            None => self.calls.len().checked_sub(1),
        };
        let known = known.filter(|at| {
            let same = |call: &Call| id.is_empty() || call.id == id || name.is_empty();
            self.calls.get(*at).is_some_and(same)
        });
        let at = match known {
            Some(at) => at,
            None if self.calls.len() >= MAX_CALLS => {
                return self.fail(&format!("it has more than {MAX_CALLS} tool calls"), out);
            }
            None => {
                let id = response::call_id(id, self.id.as_deref().unwrap_or_default(), self.calls.len());
                let part = self.begin(PartStart::ToolCall { id: id.clone(), name }, out);
                let index = index.unwrap_or(u64::MAX);
                self.calls.push(Call { index, id, part, open: true, arguments: Arguments::default() });
                self.calls.len() - 1
            }
        };
        let interleaved = at + 1 < self.calls.len();
        let Some(call) = self.calls.get_mut(at) else { return };
        if !call.open {
            if !piece.trim().is_empty() {
                self.fail("a tool call goes on after its end", out);
            }
            return;
        }
        if !piece.is_empty() {
            call.arguments.feed(&piece);
            out.push(Event::Delta { index: call.part, text: piece });
        }
        if interleaved {
            self.end_complete_calls(out);
        }
    }

    /// Ends the calls that cannot go on.
    fn end_complete_calls(&mut self, out: &mut Vec<Event>) {
        for call in self.calls.iter_mut().filter(|call| call.open && call.arguments.complete()) {
            call.open = false;
            out.push(Event::PartEnd { index: call.part });
        }
    }

    fn end_parts(&mut self, out: &mut Vec<Event>) {
        if let Some((_, index)) = self.text.take() {
            out.push(Event::PartEnd { index });
        }
        for call in self.calls.iter_mut().filter(|call| call.open) {
            call.open = false;
            out.push(Event::PartEnd { index: call.part });
        }
    }
}

/// Groq puts usage here unless asked for it the standard way.
fn groq_usage(o: &mut Object<'_>) -> Usage {
    let inner = o.object("x_groq").ok().flatten();
    inner.and_then(|mut inner| inner.raw("usage").ok().flatten()).map(usage::read).unwrap_or_default()
}
