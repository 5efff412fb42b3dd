//! Reads along a stream of events that is passed through.

use memchr::memmem;

use super::usage::Counts;
use crate::format::StreamWatch;
use crate::framing::{Frame, sse};
use crate::ir::Usage;
use crate::json::Object;

/// Passes everything on as it comes: usage is part of the protocol, so there is nothing to hide.
#[derive(Debug, Default)]
pub(super) struct Watch {
    sse: sse::Decoder,
    frames: Vec<Frame>,
    counts: Counts,
    done: bool,
}

impl Watch {
    fn read(&mut self) {
        for frame in self.frames.drain(..) {
            let data = frame.data.as_bytes();
            // Most events are neither; looking is cheaper than parsing.
            if memmem::find(data, b"\"usage\"").is_none() && memmem::find(data, b"\"message_stop\"").is_none() {
                continue;
            }
            let Ok(mut o) = Object::parse(data) else { continue };
            let kind = o.str("type").ok().flatten();
            let holder = match kind.as_deref() {
                Some("message_stop") => {
                    self.done = true;
                    None
                }
                Some("message_start") => o.object("message").ok().flatten(),
                Some("message_delta") => Some(o),
                Some(_) | None => None,
            };
            if let Some(raw) = holder.and_then(|mut o| o.raw("usage").ok().flatten()) {
                self.counts.update(raw);
            }
        }
    }
}

impl StreamWatch for Watch {
    fn push(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        out.extend_from_slice(bytes);
        self.sse.push(bytes, &mut self.frames);
        self.read();
    }

    fn finish(&mut self, _: &mut Vec<u8>) {
        self.sse.finish(&mut self.frames);
        self.read();
    }

    fn usage(&self) -> Usage {
        self.counts.usage()
    }

    fn done(&self) -> bool {
        self.done
    }
}
