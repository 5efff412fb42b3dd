//! Events → Chat Completions chunks.
//!
//! Citations wait for the end of their text: only then is it known how far that reaches.

use super::{annotation, fault, finish, reasoning, response, usage};
use crate::format::{StreamContext, StreamEncode, bounds, fault as faults};
use crate::framing::sse;
use crate::ir::{Citation, Event, PartStart, StopReason, Usage};
use crate::json::{self, ArrayWriter, ObjectWriter};

pub(super) struct Encoder {
    context: StreamContext,
    id: String,
    created: u64,
    begun: bool,
    /// What each part is that has not ended.
    parts: Vec<(usize, Kind)>,
    calls: u64,
    /// Calls whose arguments nobody has sent a piece of.
    silent: Vec<u64>,
    /// Items of reasoning so far.
    items: u64,
    /// Characters of content so far.
    chars: usize,
    /// Citations of texts that have not ended.
    cited: Vec<(usize, Citation)>,
    usage: Usage,
    stopped: bool,
    over: bool,
}

#[derive(Clone, Copy)]
enum Kind {
    /// A text, and how many characters of content came before it.
    Text(usize),
    /// Reasoning and its number among the items.
    Reasoning(u64),
    Refusal,
    /// A tool call and its number among the calls.
    Call(u64),
}

impl Encoder {
    pub(super) fn new(context: StreamContext) -> Self {
        let created = context.now;
        Self {
            context,
            id: response::answer_id("").into_owned(),
            created,
            begun: false,
            parts: Vec::new(),
            calls: 0,
            silent: Vec::new(),
            items: 0,
            chars: 0,
            cited: Vec::new(),
            usage: Usage::default(),
            stopped: false,
            over: false,
        }
    }

    fn chunk(&self, out: &mut Vec<u8>, fill: impl FnOnce(&mut ObjectWriter<'_>)) {
        let mut data = Vec::with_capacity(sse::USUAL);
        json::write_object(&mut data, |o| {
            o.str("id", &self.id);
            o.str("object", "chat.completion.chunk");
            o.u64("created", self.created);
            o.str("model", &self.context.model);
            fill(o);
        });
        sse::encode(None, &data, out);
    }

    /// A chunk with one choice.
    fn choice(&self, out: &mut Vec<u8>, stop: Option<&StopReason>, delta: impl FnOnce(&mut ObjectWriter<'_>)) {
        self.chunk(out, |o| {
            o.array("choices", |choices| {
                choices.object(|choice| {
                    choice.u64("index", 0);
                    choice.object("delta", delta);
                    choice.literal("logprobs", "null");
                    match stop {
                        Some(stop) => choice.str("finish_reason", finish::word_of(stop)),
                        None => choice.literal("finish_reason", "null"),
                    }
                });
            });
            if self.context.usage {
                o.literal("usage", "null");
            }
        });
    }

    /// The first chunk names the role. A stream that begins without a start gets one.
    fn begin(&mut self, out: &mut Vec<u8>) {
        if !std::mem::replace(&mut self.begun, true) {
            self.choice(out, None, |delta| {
                delta.str("role", "assistant");
                delta.str("content", "");
            });
        }
    }

    fn part(&mut self, index: usize, part: &PartStart, out: &mut Vec<u8>) {
        let kind = match part {
            PartStart::Text => Kind::Text(self.chars),
            PartStart::Refusal => Kind::Refusal,
            PartStart::Reasoning => {
                self.items += 1;
                Kind::Reasoning(self.items - 1)
            }
            PartStart::RedactedReasoning { data } => {
                let item = self.items;
                self.items += 1;
                let details = |a: &mut ArrayWriter<'_>| reasoning::encrypted(a, item, data);
                return self.choice(out, None, |delta| delta.array(reasoning::DETAILS, details));
            }
            PartStart::ToolCall { id, name } => {
                let number = self.calls;
                self.calls += 1;
                self.silent.push(number);
                self.call(number, out, |call| {
                    call.str("id", id);
                    call.str("type", "function");
                    call.object("function", |function| {
                        function.str("name", name);
                        function.str("arguments", "");
                    });
                });
                Kind::Call(number)
            }
        };
        self.parts.push((index, kind));
    }

    fn call(&self, number: u64, out: &mut Vec<u8>, fill: impl FnOnce(&mut ObjectWriter<'_>)) {
        self.choice(out, None, |delta| {
            delta.array("tool_calls", |calls| {
                calls.object(|call| {
                    call.u64("index", number);
                    fill(call);
                });
            });
        });
    }

    fn kind(&self, index: usize) -> Option<Kind> {
        self.parts.iter().rev().find(|(part, _)| *part == index).map(|(_, kind)| *kind)
    }

    fn delta(&mut self, index: usize, text: &str, out: &mut Vec<u8>) {
        match self.kind(index) {
            None => {}
            Some(Kind::Call(number)) => {
                self.silent.retain(|silent| *silent != number);
                self.call(number, out, |call| call.object("function", |f| f.str("arguments", text)));
            }
            Some(Kind::Text(_)) => {
                self.chars += text.chars().count();
                self.choice(out, None, |delta| delta.str("content", text));
            }
            Some(Kind::Refusal) => self.choice(out, None, |delta| delta.str("refusal", text)),
            Some(Kind::Reasoning(item)) => self.choice(out, None, |delta| {
                delta.str("reasoning_content", text);
                delta.array(reasoning::DETAILS, |a| reasoning::piece(a, item, "text", text));
            }),
        }
    }

    fn signature(&self, index: usize, signature: &str, out: &mut Vec<u8>) {
        if let Some(Kind::Reasoning(item)) = self.kind(index).filter(|_| !signature.is_empty()) {
            let details = |a: &mut ArrayWriter<'_>| reasoning::piece(a, item, "signature", signature);
            self.choice(out, None, |delta| delta.array(reasoning::DETAILS, details));
        }
    }

    fn cite(&mut self, index: usize, citation: &Citation) {
        if annotation::carries(citation) && self.cited.len() < annotation::MAX {
            self.cited.push((index, citation.clone()));
        }
    }

    fn end(&mut self, index: usize, out: &mut Vec<u8>) {
        let kind = self.kind(index);
        if matches!(kind, Some(Kind::Call(number)) if self.silent.contains(&number)) {
            // Clients parse the arguments, and no piece at all is no JSON.
            self.delta(index, "{}", out);
        }
        self.parts.retain(|(part, _)| *part != index);
        let Some(Kind::Text(start)) = kind else { return };
        let (cited, others): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.cited).into_iter().partition(|(part, _)| *part == index);
        self.cited = others;
        if !cited.is_empty() {
            let len = self.chars - start;
            self.choice(out, None, |delta| {
                delta.array("annotations", |a| {
                    cited.iter().for_each(|(_, citation)| annotation::write(a, citation, start, len));
                });
            });
        }
    }

    fn stop(&mut self, stop: &StopReason, out: &mut Vec<u8>) {
        self.begin(out);
        if !std::mem::replace(&mut self.stopped, true) {
            self.choice(out, Some(stop), |_| {});
        }
    }

    fn done(&mut self, out: &mut Vec<u8>) {
        // Some servers give no reason. Clients wait for one.
        self.stop(if self.calls > 0 { &StopReason::ToolUse } else { &StopReason::End }, out);
        if self.context.usage {
            self.chunk(out, |o| {
                o.array("choices", |_| {});
                // A client that asked for usage relies on the member; counts nobody reported are zero.
                let (input, output) = (self.usage.input.or(Some(0)), self.usage.output.or(Some(0)));
                usage::write(o, &Usage { input, output, ..self.usage });
            });
        }
        sse::encode(None, b"[DONE]", out);
        self.over = true;
    }

    fn fail(&mut self, fault: &crate::ir::Fault, out: &mut Vec<u8>) {
        // No `[DONE]`: a client that overlooks the error must not take the stream for a whole one.
        sse::encode(None, &fault::encode(fault), out);
        self.over = true;
    }
}

impl StreamEncode for Encoder {
    fn event(&mut self, event: &Event, out: &mut Vec<u8>) {
        if self.over {
            return;
        }
        match event {
            Event::Start { id, model, created } => {
                // Each chunk repeats both names.
                self.id = bounds::quoted(&response::answer_id(id)).into_owned();
                self.context.model = bounds::quoted(response::or(model, &self.context.model)).into_owned();
                self.created = created.unwrap_or(self.created);
                self.begin(out);
            }
            Event::PartStart { index, part } => {
                self.begin(out);
                self.part(*index, part, out);
            }
            Event::Delta { index, text } => self.delta(*index, text, out),
            Event::Usage(usage) => self.usage.update(usage),
            Event::Stop(stop) => self.stop(stop, out),
            Event::Fault(fault) => self.fail(fault, out),
            Event::Done => self.done(out),
            Event::Signature { index, signature } => self.signature(*index, signature, out),
            Event::Citation { index, citation } => self.cite(*index, citation),
            Event::PartEnd { index } => self.end(*index, out),
            // A comment keeps the connection alive without being an event.
            Event::Ping => out.extend_from_slice(b": ping\n\n"),
        }
    }

    fn finish(&mut self, out: &mut Vec<u8>) {
        if !self.over {
            self.fail(&faults::truncated(), out);
        }
    }
}
