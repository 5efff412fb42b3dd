//! Messages events → events.

use super::usage::Counts;
use super::{fault, response};
use crate::format::{Malformed, StreamDecode, fault as faults};
use crate::framing::{Frame, sse};
use crate::ir::{Event, PartStart};
use crate::json::Object;

/// More blocks open at once than any server has; a bound on what is remembered.
const MAX_OPEN: usize = 64;

#[derive(Debug, Default)]
pub(super) struct Decoder {
    sse: sse::Decoder,
    frames: Vec<Frame>,
    counts: Counts,
    /// Number of the next part.
    next: usize,
    /// The blocks that are open; one at a time by the documentation.
    open: Vec<Block>,
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
    }

    fn finish(&mut self, out: &mut Vec<Event>) {
        let mut frames = std::mem::take(&mut self.frames);
        self.sse.finish(&mut frames);
        // The last event may be cut off: then the stream is, which is not this event's fault.
        frames.retain(|frame| Object::parse(frame.data.as_bytes()).is_ok());
        self.frames(&mut frames, out);
    }
}

impl Decoder {
    fn frames(&mut self, frames: &mut Vec<Frame>, out: &mut Vec<Event>) {
        for frame in frames.drain(..) {
            if self.over || frame.data.trim().is_empty() {
                continue;
            }
            if let Err(wrong) = self.event(&frame.data, out) {
                self.fail(wrong, out);
            }
        }
        self.frames = std::mem::take(frames);
        if self.sse.skipped() > 0 {
            self.fail(Malformed { path: String::new(), message: "an event is too large".to_owned() }, out);
        }
    }

    fn fail(&mut self, wrong: Malformed, out: &mut Vec<Event>) {
        if !std::mem::replace(&mut self.over, true) {
            let Malformed { path, message } = wrong;
            let colon = if path.is_empty() { "" } else { ": " };
            out.push(Event::Fault(faults::garbled(&format!("{path}{colon}{message}"))));
        }
    }

    fn event(&mut self, data: &str, out: &mut Vec<Event>) -> Result<(), Malformed> {
        let mut o = Object::parse(data.as_bytes())?;
        let kind = o.str("type")?;
        match o.need("type", kind)?.as_ref() {
            "message_start" => self.start(&mut o, out)?,
            "content_block_start" => self.block(&mut o, out)?,
            "content_block_delta" => self.delta(&mut o, out)?,
            "content_block_stop" => {
                let index = o.u64("index")?;
                self.end(index.unwrap_or(0), out);
            }
            "message_delta" => {
                if let Some(mut delta) = o.object("delta")? {
                    let (reason, sequence) = (delta.string("stop_reason")?, delta.string("stop_sequence")?);
                    out.extend(reason.map(|word| Event::Stop(response::stop_of(&word, sequence))));
                }
                self.usage(&mut o, out)?;
            }
            "message_stop" => {
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
        out.push(Event::Start { id, model, created: None });
        self.usage(&mut message, out)
    }

    fn usage(&mut self, o: &mut Object<'_>, out: &mut Vec<Event>) -> Result<(), Malformed> {
        if let Some(raw) = o.raw("usage")? {
            self.counts.update(raw);
            out.push(Event::Usage(self.counts.usage()));
        }
        Ok(())
    }

    fn block(&mut self, o: &mut Object<'_>, out: &mut Vec<Event>) -> Result<(), Malformed> {
        let server_index = o.u64("index")?.unwrap_or(0);
        let block = o.object("content_block")?;
        let mut block = o.need("content_block", block)?;
        let kind = block.str("type")?;
        let mut first = None;
        let mut input = None;
        let part = match block.need("type", kind)?.as_ref() {
            "text" => {
                first = block.string("text")?;
                PartStart::Text
            }
            "thinking" => {
                first = block.string("thinking")?;
                PartStart::Reasoning
            }
            "redacted_thinking" => PartStart::RedactedReasoning { data: block.string("data")?.unwrap_or_default() },
            "tool_use" => {
                let (id, name) = (block.string("id")?, block.string("name")?);
                input = block.raw("input")?.map(|raw| raw.get().to_owned()).filter(|input| input != "{}");
                PartStart::ToolCall { id: block.need("id", id)?, name: block.need("name", name)? }
            }
            // Blocks of the provider's own tools, and new ones: their pieces find no open block and are ignored.
            _ => return Ok(()),
        };
        if self.open.len() >= MAX_OPEN {
            return Err(Malformed { path: o.at("index"), message: format!("more than {MAX_OPEN} blocks are open") });
        }
        let index = self.next;
        self.next += 1;
        out.push(Event::PartStart { index, part });
        self.open.push(Block { index: server_index, part: index, input });
        if let Some(text) = first.filter(|text| !text.is_empty()) {
            out.push(Event::Delta { index, text });
        }
        Ok(())
    }

    fn delta(&mut self, o: &mut Object<'_>, out: &mut Vec<Event>) -> Result<(), Malformed> {
        let index = o.u64("index")?.unwrap_or(0);
        let delta = o.object("delta")?;
        let mut delta = o.need("delta", delta)?;
        let Some(block) = self.open.iter_mut().find(|block| block.index == index) else { return Ok(()) };
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
            _ => return Ok(()),
        };
        if let Some(text) = delta.string(member)?.filter(|text| !text.is_empty()) {
            block.input = None;
            out.push(Event::Delta { index: block.part, text });
        }
        Ok(())
    }

    fn end(&mut self, index: u64, out: &mut Vec<Event>) {
        let Some(at) = self.open.iter().position(|block| block.index == index) else { return };
        let block = self.open.remove(at);
        out.extend(block.input.map(|text| Event::Delta { index: block.part, text }));
        out.push(Event::PartEnd { index: block.part });
    }
}
