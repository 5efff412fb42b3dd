//! Messages events → events.
//!
//! An event that cannot be understood is left out and counted, and the rest goes on: one that is lost is better than an
//! answer that is. One that is too large is a fault all the same: nothing but content is so large.

use super::usage::Counts;
use super::{ANSWER_TOOL, citation, fault, response};
use crate::format::{Malformed, StreamDecode, bounds, fault as faults};
use crate::framing::{Frame, sse};
use crate::ir::{Certain, Event, PartStart};
use crate::json::Object;

#[derive(Debug, Default)]
pub(super) struct Decoder {
    sse: sse::Decoder,
    frames: Vec<Frame>,
    counts: Counts,
    /// Number of the next part.
    next: usize,
    /// The block that is open. By the documentation they never overlap, so the next one ends it at the latest.
    open: Option<Block>,
    /// The reserved tool was called, and another one.
    shaped: bool,
    calls: bool,
    begun: bool,
    skipped: u64,
    /// `message_stop` was seen.
    stopped: bool,
    /// `message_stop`, or a fault: nothing counts any more.
    over: bool,
}

#[derive(Debug)]
struct Block {
    /// The server's number for it.
    index: u64,
    part: usize,
    /// A tool's input that came with the start of its block, in case no pieces follow.
    input: Option<String>,
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
        frames.retain(|frame| Object::parse(frame.data.as_bytes()).is_ok());
        self.frames(&mut frames, out);
    }

    fn skipped(&self) -> u64 {
        self.sse.skipped() + self.skipped
    }

    fn certain(&self) -> Certain {
        self.counts.certain(self.stopped)
    }
}

impl Decoder {
    fn frames(&mut self, frames: &mut Vec<Frame>, out: &mut Vec<Event>) {
        for frame in frames.drain(..) {
            if frame.after_gap && !self.over {
                out.push(Event::Fault(faults::garbled("an event is too large")));
                self.over = true;
            }
            if !self.over && !frame.data.trim().is_empty() && self.event(&frame.data, out).is_err() {
                self.skipped += 1;
            }
        }
        self.frames = std::mem::take(frames);
    }

    /// One event.
    fn event(&mut self, data: &str, out: &mut Vec<Event>) -> Result<(), Malformed> {
        let mut o = Object::parse(data.as_bytes())?;
        let kind = o.str("type")?;
        match o.need("type", kind)?.as_ref() {
            "message_start" => self.start(&mut o, out)?,
            "content_block_start" => self.block(&mut o, out)?,
            "content_block_delta" => self.delta(&mut o, out)?,
            "content_block_stop" => {
                let index = o.u64("index")?.unwrap_or(0);
                if self.open.as_ref().is_some_and(|block| block.index == index) {
                    self.end(out);
                }
            }
            "message_delta" => {
                let mut fault = None;
                if let Some(mut delta) = o.object("delta")? {
                    let (reason, sequence) = (delta.string("stop_reason")?, delta.string("stop_sequence")?);
                    let shaped = self.shaped && !self.calls;
                    fault = reason.as_ref().and_then(|word| faults::of_reason(word));
                    let stop = reason.filter(|_| fault.is_none());
                    out.extend(stop.map(|word| Event::Stop(response::stop_of(&word, sequence, shaped))));
                }
                if let Ok(Some(raw)) = o.raw("usage") {
                    self.counts.delta(raw);
                    out.push(Event::Usage(self.counts.usage()));
                }
                self.over |= fault.is_some();
                out.extend(fault.map(Event::Fault));
            }
            "message_stop" => {
                self.stopped = true;
                // Its own end may be among what was left out.
                self.end(out);
                out.push(Event::Done);
                self.over = true;
            }
            "ping" => out.push(Event::Ping),
            "error" => {
                let fault = fault::read(0, &mut o).unwrap_or_else(|| faults::bare(0));
                out.push(Event::Fault(fault));
                self.over = true;
            }
            // The documentation asks to ignore what is new.
            _ => {}
        }
        Ok(())
    }

    fn start(&mut self, o: &mut Object<'_>, out: &mut Vec<Event>) -> Result<(), Malformed> {
        let message = o.object("message")?;
        let mut message = o.need("message", message)?;
        let (id, model) = (message.string("id")?.unwrap_or_default(), message.string("model")?.unwrap_or_default());
        if !std::mem::replace(&mut self.begun, true) {
            out.push(Event::Start { id, model, created: None });
        }
        if let Ok(Some(raw)) = message.raw("usage") {
            self.counts.start(raw);
            out.push(Event::Usage(self.counts.usage()));
        }
        Ok(())
    }

    fn block(&mut self, o: &mut Object<'_>, out: &mut Vec<Event>) -> Result<(), Malformed> {
        let server_index = o.u64("index")?.unwrap_or(0);
        self.end(out);
        let block = o.object("content_block")?;
        let mut block = o.need("content_block", block)?;
        let kind = block.str("type")?;
        let (mut first, mut input, mut cited) = (None, None, Vec::new());
        let part = match block.need("type", kind)?.as_ref() {
            "text" => {
                first = block.string("text")?;
                cited =
                    citation::decode_all(block.list("citations", &bounds::PARTS)?.unwrap_or_default(), "citations")?;
                PartStart::Text
            }
            "thinking" => {
                first = block.string("thinking")?;
                PartStart::Reasoning
            }
            "redacted_thinking" => PartStart::RedactedReasoning { data: block.string("data")?.unwrap_or_default() },
            "tool_use" => {
                let (id, name) = (block.string("id")?, block.string("name")?);
                let (id, name) = (block.need("id", id)?, block.need("name", name)?);
                input = block.raw("input")?.map(|raw| raw.get().to_owned());
                if name == ANSWER_TOOL {
                    input = input.or_else(|| Some("{}".to_owned()));
                    self.shaped = true;
                    PartStart::Text
                } else {
                    input = input.filter(|input| input != "{}");
                    self.calls = true;
                    PartStart::ToolCall { id, name }
                }
            }
            // Blocks of the provider's own tools, and new ones: their pieces find no open block and are ignored.
            _ => return Ok(()),
        };
        let index = self.next;
        self.next += 1;
        out.push(Event::PartStart { index, part });
        self.open = Some(Block { index: server_index, part: index, input });
        if let Some(text) = first.filter(|text| !text.is_empty()) {
            out.push(Event::Delta { index, text });
        }
        out.extend(cited.into_iter().map(|citation| Event::Citation { index, citation }));
        Ok(())
    }

    fn delta(&mut self, o: &mut Object<'_>, out: &mut Vec<Event>) -> Result<(), Malformed> {
        let index = o.u64("index")?.unwrap_or(0);
        let delta = o.object("delta")?;
        let mut delta = o.need("delta", delta)?;
        let Some(block) = self.open.as_mut().filter(|block| block.index == index) else { return Ok(()) };
        let kind = delta.str("type")?;
        let member = match delta.need("type", kind)?.as_ref() {
            "text_delta" => "text",
            "thinking_delta" => "thinking",
            "input_json_delta" => "partial_json",
            "signature_delta" => {
                if let Some(signature) = delta.string("signature")? {
                    out.push(Event::Signature { index: block.part, signature });
                }
                return Ok(());
            }
            "citations_delta" => {
                if let Some(raw) = delta.raw("citation")? {
                    let citation = citation::decode(raw, delta.at("citation"))?;
                    out.push(Event::Citation { index: block.part, citation });
                }
                return Ok(());
            }
            _ => return Ok(()),
        };
        if let Some(text) = delta.string(member)?.filter(|text| !text.is_empty()) {
            block.input = None;
            out.push(Event::Delta { index: block.part, text });
        }
        Ok(())
    }

    fn end(&mut self, out: &mut Vec<Event>) {
        let Some(block) = self.open.take() else { return };
        out.extend(block.input.map(|text| Event::Delta { index: block.part, text }));
        out.push(Event::PartEnd { index: block.part });
    }
}
