//! Reads along a stream of events that is passed through.

use memchr::memmem;

use super::usage::Counts;
use crate::format::{StreamWatch, fault};
use crate::framing::{Frame, sse};
use crate::ir::{Certain, Usage};
use crate::json::Object;

/// Passes everything on as it comes: usage is part of the protocol, so there is nothing to hide.
#[derive(Debug, Default)]
pub(super) struct Watch {
    sse: sse::Decoder,
    frames: Vec<Frame>,
    counts: Counts,
    done: bool,
    content: bool,
    failed: bool,
    skipped: u64,
}

impl Watch {
    fn read(&mut self) {
        let mut frames = std::mem::take(&mut self.frames);
        for frame in frames.drain(..) {
            let data = frame.data.trim();
            if self.done || data.is_empty() {
                continue;
            }
            if !(data.starts_with('{') && data.ends_with('}')) {
                self.skipped += 1;
                continue;
            }
            let has = |name: &str| memmem::find(data.as_bytes(), name.as_bytes()).is_some();
            // Most events are none of these; looking is cheaper than parsing.
            if (has("\"usage\"")
                || has("\"message_delta\"")
                || has("\"message_stop\"")
                || has("\"error\"")
                || (!self.content && has("\"content_block_")))
                && self.event(data).is_none()
            {
                self.skipped += 1;
            }
        }
        self.frames = frames;
    }

    /// None if the event is garbled.
    fn event(&mut self, data: &str) -> Option<()> {
        let mut o = Object::parse(data.as_bytes()).ok()?;
        let kind = o.str("type").ok()??;
        match kind.as_ref() {
            "message_stop" => self.done = true,
            "error" => self.failed = true,
            "message_start" => {
                if let Some(raw) = o.object("message").ok()?.and_then(|mut o| o.raw("usage").ok().flatten()) {
                    self.counts.start(raw);
                }
            }
            "message_delta" => {
                let reason = o.object("delta").ok().flatten().and_then(|mut o| o.str("stop_reason").ok().flatten());
                self.failed |= reason.is_some_and(|word| fault::of_reason(&word).is_some());
                if let Some(raw) = o.raw("usage").ok().flatten() {
                    self.counts.delta(raw);
                }
            }
            "content_block_start" => {
                let mut block = o.object("content_block").ok()??;
                let kind = block.str("type").ok()??;
                self.content |= matches!(kind.as_ref(), "tool_use" | "redacted_thinking") || says(&mut block);
            }
            "content_block_delta" => self.content |= says(&mut o.object("delta").ok()??),
            _ => {}
        }
        Some(())
    }
}

/// A block or delta has text or thinking. A tool's input needs no look: its start was content already.
fn says(o: &mut Object<'_>) -> bool {
    ["text", "thinking"].iter().any(|name| o.str(name).ok().flatten().is_some_and(|text| !text.is_empty()))
}

impl StreamWatch for Watch {
    fn push(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        out.extend_from_slice(bytes);
        self.sse.push(bytes, &mut self.frames);
        self.read();
    }

    fn finish(&mut self, _: &mut Vec<u8>) {
        self.sse.finish(&mut self.frames);
        // The last event may be cut off: then the stream is, which is not this event's fault.
        self.frames.retain(|frame| Object::parse(frame.data.as_bytes()).is_ok());
        self.read();
    }

    fn usage(&self) -> Usage {
        self.counts.usage()
    }

    fn certain(&self) -> Certain {
        self.counts.certain(self.done)
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
