//! Chat Completions chunks → events.
//!
//! Chunks do not say where a part ends, so it ends when the next one begins; a tool call only if its arguments are
//! complete by then, because servers may interleave calls. Ending parts early lets encoders of formats with strictly
//! nested blocks pass everything on at once.

use super::response::{self, Piece};
use super::{fault, usage};
use crate::format::{Malformed, StreamDecode, fault as faults};
use crate::framing::{Frame, sse};
use crate::ir::{Event, PartStart};
use crate::json::{self, Object};

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
    calls: Vec<Call>,
    /// `finish_reason` was seen.
    stopped: bool,
    /// `[DONE]`, or a fault: nothing counts any more.
    over: bool,
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
}

impl Decoder {
    fn frames(&mut self, frames: &mut Vec<Frame>, out: &mut Vec<Event>) {
        for frame in frames.drain(..) {
            self.frame(&frame, out);
        }
        self.frames = std::mem::take(frames);
        if self.sse.skipped() > 0 {
            self.fail(Malformed { path: String::new(), message: "an event is too large".to_owned() }, out);
        }
    }

    fn frame(&mut self, frame: &Frame, out: &mut Vec<Event>) {
        match frame.data.trim() {
            _ if self.over => {}
            "" => {}
            "[DONE]" => self.done(out),
            data => {
                if let Err(wrong) = self.chunk(data, out) {
                    self.fail(wrong, out);
                }
            }
        }
    }

    fn done(&mut self, out: &mut Vec<Event>) {
        self.end_parts(out);
        out.push(Event::Done);
        self.over = true;
    }

    fn fail(&mut self, wrong: Malformed, out: &mut Vec<Event>) {
        if !self.over {
            let Malformed { path, message } = wrong;
            let colon = if path.is_empty() { "" } else { ": " };
            out.push(Event::Fault(faults::garbled(&format!("{path}{colon}{message}"))));
            self.over = true;
        }
    }

    fn chunk(&mut self, data: &str, out: &mut Vec<Event>) -> Result<(), Malformed> {
        let mut o = Object::parse(data.as_bytes())?;
        let counts = match o.raw("usage")? {
            Some(raw) => usage::read(raw),
            None => groq_usage(&mut o),
        };
        if let Some(fault) = fault::read(0, &mut o) {
            out.extend((!counts.is_empty()).then_some(Event::Usage(counts)));
            out.push(Event::Fault(fault));
            self.over = true;
            return Ok(());
        }
        let choices = o.array("choices")?.unwrap_or_default();
        // Azure opens with a chunk that has neither, nor an id.
        if self.id.is_none() && !(choices.is_empty() && counts.is_empty()) {
            let id = o.string("id")?.unwrap_or_default();
            let (model, created) = (o.string("model")?.unwrap_or_default(), o.u64("created")?);
            self.id = Some(id.clone());
            out.push(Event::Start { id, model, created });
        }
        for (i, raw) in choices.into_iter().enumerate() {
            let mut choice = Object::of(raw, format!("choices[{i}]"))?;
            if choice.u64("index")?.unwrap_or(0) == 0 {
                self.choice(&mut choice, out)?;
            }
        }
        out.extend((!counts.is_empty()).then_some(Event::Usage(counts)));
        Ok(())
    }

    fn choice(&mut self, choice: &mut Object<'_>, out: &mut Vec<Event>) -> Result<(), Malformed> {
        if let Some(mut delta) = choice.object("delta")? {
            let reasoning = (delta.string("reasoning_content")?, delta.string("reasoning")?);
            if let Some(text) = reasoning.0.or(reasoning.1) {
                self.text(Kind::Reasoning, text, out);
            }
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
            let path = delta.at("tool_calls");
            for (i, raw) in delta.array("tool_calls")?.unwrap_or_default().into_iter().enumerate() {
                self.call(Object::of(raw, format!("{path}[{i}]"))?, out)?;
            }
        }
        if let Some(word) = choice.str("finish_reason")?.filter(|word| !word.is_empty() && !self.stopped) {
            self.stopped = true;
            self.end_parts(out);
            out.push(Event::Stop(response::stop_of(&word)));
        }
        Ok(())
    }

    fn text(&mut self, kind: Kind, text: String, out: &mut Vec<Event>) {
        if text.is_empty() {
            return;
        }
        let index = match self.text {
            Some((open, index)) if open == kind => index,
            _ => {
                let part = match kind {
                    Kind::Text => PartStart::Text,
                    Kind::Reasoning => PartStart::Reasoning,
                    Kind::Refusal => PartStart::Refusal,
                };
                let index = self.begin(part, out);
                self.text = Some((kind, index));
                index
            }
        };
        out.push(Event::Delta { index, text });
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
        let function = o.object("function")?;
        let (mut name, mut piece) = (String::new(), String::new());
        if let Some(mut function) = function {
            name = function.string("name")?.unwrap_or_default();
            let path = function.at("arguments");
            piece = match function.raw("arguments")? {
                Some(raw) if json::kind(raw) == "string" => json::text(raw, path)?.into_owned(),
                // Some servers send the arguments as an object, at once.
                Some(raw) => raw.get().to_owned(),
                None => String::new(),
            };
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
            None if self.calls.len() >= MAX_CALLS => return Err(too_many(&o)),
            None => {
                let id = response::call_id(id, self.id.as_deref().unwrap_or_default(), self.calls.len());
                let part = self.begin(PartStart::ToolCall { id: id.clone(), name }, out);
                let index = index.unwrap_or(u64::MAX);
                self.calls.push(Call { index, id, part, open: true, arguments: Arguments::default() });
                self.calls.len() - 1
            }
        };
        let interleaved = at + 1 < self.calls.len();
        let Some(call) = self.calls.get_mut(at) else { return Ok(()) };
        if !call.open {
            let blank = piece.trim().is_empty();
            return if blank {
                Ok(())
            } else {
                Err(Malformed { path: o.at("index"), message: "a call goes on after its end".to_owned() })
            };
        }
        if !piece.is_empty() {
            call.arguments.feed(&piece);
            out.push(Event::Delta { index: call.part, text: piece });
        }
        if interleaved {
            self.end_complete_calls(out);
        }
        Ok(())
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

fn too_many(o: &Object<'_>) -> Malformed {
    Malformed { path: o.path().to_owned(), message: format!("more than {MAX_CALLS} tool calls") }
}

/// Groq puts usage here unless asked for it the standard way.
fn groq_usage(o: &mut Object<'_>) -> crate::ir::Usage {
    let inner = o.object("x_groq").ok().flatten();
    inner.and_then(|mut inner| inner.raw("usage").ok().flatten()).map(usage::read).unwrap_or_default()
}

/// Whether an object that arrives in pieces is complete. Looks at brackets and strings only.
#[derive(Debug, Default)]
struct Arguments {
    depth: usize,
    in_string: bool,
    escaped: bool,
    begun: bool,
}

impl Arguments {
    fn feed(&mut self, piece: &str) {
        for byte in piece.bytes() {
            match byte {
                _ if std::mem::take(&mut self.escaped) => {}
                b'\\' if self.in_string => self.escaped = true,
                b'"' => self.in_string = !self.in_string,
                _ if self.in_string => {}
                b'{' | b'[' => {
                    self.depth += 1;
                    self.begun = true;
                }
                b'}' | b']' => self.depth = self.depth.saturating_sub(1),
                _ => {}
            }
        }
    }

    fn complete(&self) -> bool {
        self.begun && self.depth == 0
    }
}
