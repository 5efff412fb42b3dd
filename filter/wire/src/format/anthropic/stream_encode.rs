//! Events → Messages events.
//!
//! Blocks of this format never overlap. A part that begins while another is open waits until that one ends; everything
//! else goes out at once. The stop reason waits for the usage that shares its event.

use std::collections::VecDeque;

use super::{citation, fault, response, usage};
use crate::format::{StreamContext, StreamEncode, fault as faults};
use crate::framing::sse;
use crate::ir::{Citation, Event, Extra, Fault, FaultKind, PartStart, StopReason, Usage};
use crate::json::{self, ObjectWriter};

/// Bound on what waiting parts hold together, in bytes.
const MAX_WAITING: usize = 1 << 20;

/// What a waiting part or a citation takes beside its texts, in bytes.
const OVERHEAD: usize = 256;

#[derive(Default)]
pub(super) struct Encoder {
    context: StreamContext,
    begun: bool,
    /// The part whose block is open.
    open: Option<Open>,
    /// Number of the next block.
    next: u64,
    /// In the order they began, thus by their numbers.
    waiting: VecDeque<Waiting>,
    /// Bytes they hold.
    held: usize,
    said: response::Said,
    stop: Option<StopReason>,
    /// The event with the stop reason is out.
    stopped: bool,
    usage: Usage,
    over: bool,
}

struct Open {
    part: usize,
    kind: Kind,
}

#[derive(Clone, Copy)]
enum Kind {
    Text,
    Refusal,
    Thinking,
    Input,
}

/// A part that began while another block was open.
struct Waiting {
    /// Bytes it holds.
    held: usize,
    part: usize,
    start: PartStart,
    text: String,
    signature: Option<String>,
    citations: Vec<Citation>,
    ended: bool,
}

impl Encoder {
    pub(super) fn new(context: StreamContext) -> Self {
        Self { context, ..Self::default() }
    }

    fn begin(&mut self, id: &str, model: &str, out: &mut Vec<u8>) {
        if std::mem::replace(&mut self.begun, true) {
            return;
        }
        let model = if model.is_empty() { &self.context.model } else { model };
        send(out, "message_start", |o| {
            o.object("message", |o| {
                response::head(o, id, model);
                o.array("content", |_| {});
                for name in ["stop_reason", "stop_sequence", "stop_details", "container"] {
                    o.literal(name, "null");
                }
                usage::write(o, &self.usage, &Extra::default());
            });
        });
    }

    fn start_part(&mut self, part: usize, start: &PartStart, out: &mut Vec<u8>) {
        self.begin("", "", out);
        if self.open.is_some() {
            let held = OVERHEAD
                + match start {
                    PartStart::Text | PartStart::Reasoning | PartStart::Refusal => 0,
                    PartStart::RedactedReasoning { data } => data.len(),
                    PartStart::ToolCall { id, name } => id.len() + name.len(),
                };
            let (start, text, citations) = (start.clone(), String::new(), Vec::new());
            self.waiting.push_back(Waiting { held, part, start, text, signature: None, citations, ended: false });
            return self.hold(held, out);
        }
        let mut kind = Kind::Text;
        send(out, "content_block_start", |o| {
            o.u64("index", self.next);
            o.object("content_block", |o| match start {
                PartStart::Text | PartStart::Refusal => {
                    if *start == PartStart::Refusal {
                        kind = Kind::Refusal;
                    }
                    o.str("type", "text");
                    o.str("text", "");
                    citation::write_all(o, &[]);
                }
                PartStart::Reasoning => {
                    kind = Kind::Thinking;
                    o.str("type", "thinking");
                    o.str("thinking", "");
                    o.str("signature", "");
                }
                PartStart::RedactedReasoning { data } => {
                    o.str("type", "redacted_thinking");
                    o.str("data", data);
                }
                PartStart::ToolCall { id, name } => {
                    kind = Kind::Input;
                    o.str("type", "tool_use");
                    o.str("id", id);
                    o.str("name", name);
                    o.object("input", |_| {});
                    response::caller(o);
                }
            });
        });
        self.said.calls |= matches!(kind, Kind::Input);
        self.open = Some(Open { part, kind });
    }

    fn piece(&mut self, part: usize, text: &str, out: &mut Vec<u8>) {
        let kind = match &self.open {
            Some(open) if open.part == part => open.kind,
            _ => {
                if let Some(waiting) = self.waits(part) {
                    waiting.held += text.len();
                    waiting.text.push_str(text);
                    self.hold(text.len(), out);
                }
                return;
            }
        };
        if matches!(kind, Kind::Refusal) {
            let refusal = self.said.refusal.get_or_insert_default();
            // Told once more at the end; a refusal is a sentence or two.
            if refusal.len() < MAX_WAITING {
                refusal.push_str(text);
            }
        }
        self.delta(out, |o| {
            let (name, member) = match kind {
                Kind::Text | Kind::Refusal => ("text_delta", "text"),
                Kind::Thinking => ("thinking_delta", "thinking"),
                Kind::Input => ("input_json_delta", "partial_json"),
            };
            o.str("type", name);
            o.str(member, text);
        });
    }

    fn signature(&mut self, part: usize, signature: &str, out: &mut Vec<u8>) {
        if self.open.as_ref().is_some_and(|open| open.part == part) {
            self.delta(out, |o| {
                o.str("type", "signature_delta");
                o.str("signature", signature);
            });
        } else if let Some(waiting) = self.waits(part) {
            waiting.held += signature.len();
            waiting.signature = Some(signature.to_owned());
            self.hold(signature.len(), out);
        }
    }

    /// The part of this number, if it waits.
    fn waits(&mut self, part: usize) -> Option<&mut Waiting> {
        let at = self.waiting.binary_search_by_key(&part, |waiting| waiting.part).ok()?;
        self.waiting.get_mut(at)
    }

    /// So many more bytes wait. Too many end the stream: they would be one client's hold on everybody's memory.
    fn hold(&mut self, bytes: usize, out: &mut Vec<u8>) {
        self.held += bytes;
        if self.held > MAX_WAITING && !self.over {
            self.waiting.clear();
            self.fail(&Fault::new(FaultKind::BadGateway, "Parts of the answer interleave too widely."), out);
        }
    }

    fn citation(&mut self, part: usize, cited: &Citation, out: &mut Vec<u8>) {
        if self.open.as_ref().is_some_and(|open| open.part == part) {
            if citation::tellable(std::slice::from_ref(cited)).next().is_some() {
                self.delta(out, |o| {
                    o.str("type", "citations_delta");
                    citation::write(o, "citation", cited);
                });
            }
        } else if let Some(waiting) = self.waits(part) {
            let held = OVERHEAD + citation::size(cited);
            waiting.held += held;
            waiting.citations.push(cited.clone());
            self.hold(held, out);
        }
    }

    fn delta(&self, out: &mut Vec<u8>, fill: impl FnOnce(&mut ObjectWriter<'_>)) {
        send(out, "content_block_delta", |o| {
            o.u64("index", self.next);
            o.object("delta", fill);
        });
    }

    fn end_part(&mut self, part: usize, out: &mut Vec<u8>) {
        if self.open.as_ref().is_some_and(|open| open.part == part) {
            self.close(out);
            self.promote(out);
        } else if let Some(waiting) = self.waits(part) {
            waiting.ended = true;
        }
    }

    fn close(&mut self, out: &mut Vec<u8>) {
        if self.open.take().is_some() {
            send(out, "content_block_stop", |o| o.u64("index", self.next));
            self.next += 1;
        }
    }

    /// Lets waiting parts out, up to the first that is not complete: it goes on live.
    fn promote(&mut self, out: &mut Vec<u8>) {
        while self.open.is_none() {
            let Some(Waiting { held, part, start, text, signature, citations, ended }) = self.waiting.pop_front()
            else {
                return;
            };
            self.held = self.held.saturating_sub(held);
            self.start_part(part, &start, out);
            if !text.is_empty() {
                self.piece(part, &text, out);
            }
            if let Some(signature) = signature {
                self.signature(part, &signature, out);
            }
            citations.iter().for_each(|cited| self.citation(part, cited, out));
            if ended {
                self.close(out);
            }
        }
    }

    /// The event with the stop reason and the final counts.
    fn stop(&mut self, out: &mut Vec<u8>) {
        if std::mem::replace(&mut self.stopped, true) {
            return;
        }
        self.begin("", "", out);
        while self.open.is_some() {
            self.close(out);
            self.promote(out);
        }
        send(out, "message_delta", |o| {
            o.object("delta", |o| {
                response::stop(o, self.stop.as_ref(), &self.said, None);
                o.literal("container", "null");
            });
            usage::write_last(o, &self.usage);
        });
    }

    fn fail(&mut self, fault: &Fault, out: &mut Vec<u8>) {
        sse::encode(Some("error"), &fault::encode(fault, None), out);
        self.over = true;
    }
}

/// Appends one event; its data begins with its name.
fn send(out: &mut Vec<u8>, name: &str, fill: impl FnOnce(&mut ObjectWriter<'_>)) {
    let mut data = Vec::with_capacity(sse::USUAL);
    json::write_object(&mut data, |o| {
        o.str("type", name);
        fill(o);
    });
    sse::encode(Some(name), &data, out);
}

impl StreamEncode for Encoder {
    fn event(&mut self, event: &Event, out: &mut Vec<u8>) {
        if self.over {
            return;
        }
        match event {
            Event::Start { id, model, .. } => self.begin(id, model, out),
            Event::PartStart { index, part } => self.start_part(*index, part, out),
            Event::Delta { index, text } => self.piece(*index, text, out),
            Event::Signature { index, signature } => self.signature(*index, signature, out),
            Event::PartEnd { index } => self.end_part(*index, out),
            Event::Usage(usage) => {
                self.usage.update(usage);
                if self.stop.is_some() {
                    self.stop(out);
                }
            }
            Event::Stop(stop) => self.stop = Some(stop.clone()),
            Event::Citation { index, citation } => self.citation(*index, citation, out),
            Event::Ping => send(out, "ping", |_| {}),
            Event::Fault(fault) => self.fail(fault, out),
            Event::Done => {
                self.stop(out);
                send(out, "message_stop", |_| {});
                self.over = true;
            }
        }
    }

    fn finish(&mut self, out: &mut Vec<u8>) {
        if !self.over {
            self.fail(&faults::truncated(), out);
        }
    }
}
