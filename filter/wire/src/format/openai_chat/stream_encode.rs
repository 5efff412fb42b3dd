//! Events → Chat Completions chunks.

use super::{fault, response, usage};
use crate::format::{StreamContext, StreamEncode, fault as faults};
use crate::framing::sse;
use crate::ir::{Event, PartStart, StopReason, Usage};
use crate::json::{self, ObjectWriter};

pub(super) struct Encoder {
    context: StreamContext,
    id: String,
    created: u64,
    begun: bool,
    /// What each part is, by its number here; parts of other formats are numbered without gaps, so this stays short.
    parts: Vec<(usize, Kind)>,
    calls: u64,
    usage: Usage,
    stopped: bool,
    over: bool,
}

#[derive(Clone, Copy)]
enum Kind {
    Text,
    Reasoning,
    Refusal,
    /// A tool call and its number among the calls.
    Call(u64),
}

impl Encoder {
    pub(super) fn new(context: StreamContext) -> Self {
        let created = context.now;
        Self {
            context,
            id: "chatcmpl-attache".to_owned(),
            created,
            begun: false,
            parts: Vec::new(),
            calls: 0,
            usage: Usage::default(),
            stopped: false,
            over: false,
        }
    }

    fn chunk(&self, out: &mut Vec<u8>, fill: impl FnOnce(&mut ObjectWriter<'_>)) {
        let mut data = Vec::new();
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
                        Some(stop) => choice.str("finish_reason", response::word_of(stop)),
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
            PartStart::Text => Kind::Text,
            PartStart::Reasoning => Kind::Reasoning,
            PartStart::Refusal => Kind::Refusal,
            // This format has no place for it.
            PartStart::RedactedReasoning { .. } => return,
            PartStart::ToolCall { id, name } => {
                let number = self.calls;
                self.calls += 1;
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

    fn delta(&self, index: usize, text: &str, out: &mut Vec<u8>) {
        let member = match self.parts.iter().rev().find(|(part, _)| *part == index) {
            None => return,
            Some((_, Kind::Call(number))) => {
                return self.call(*number, out, |call| call.object("function", |f| f.str("arguments", text)));
            }
            Some((_, Kind::Text)) => "content",
            Some((_, Kind::Reasoning)) => "reasoning_content",
            Some((_, Kind::Refusal)) => "refusal",
        };
        self.choice(out, None, |delta| delta.str(member, text));
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
                self.id = response::or(id, &self.id).to_owned();
                self.context.model = response::or(model, &self.context.model).to_owned();
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
            // Chunks have no ends and no signatures.
            Event::PartEnd { .. } | Event::Signature { .. } => {}
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
