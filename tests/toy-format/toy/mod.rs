//! Toy: a format made up to show what a new one takes. `tests/toy.rs` adds it to a copy of the crate and runs it.
//!
//! A request is `{"of": model, "ask": text, "stream": bool}`, an answer `{"answer": text}`, a stream `{"piece": text}`
//! until `{"end": true}`, a fault `{"wrong": message}`.

use crate::format::loss::Noted;
use crate::format::{
    Inbound, Malformed, NoAnswer, Outbound, StreamContext, StreamDecode, StreamEncode, StreamWatch, same_format_edits,
};
use crate::framing::{Frame, sse};
use crate::ir::{
    Event, Extra, Fault, FaultKind, Losses, Operation, Part, PartStart, Request, Response, Role, StopReason, Turn,
    Usage,
};
use crate::json::{self, Object};
use crate::scan::{Edit, Scan};

const NAME: &str = "toy";

/// The format, both halves.
#[derive(Debug, Clone, Copy)]
pub struct Toy;

fn text(text: impl Into<String>) -> Part {
    Part::Text { text: text.into(), citations: Vec::new(), extra: Extra::default() }
}

fn texts(parts: &[Part]) -> impl Iterator<Item = &str> {
    parts.iter().filter_map(|part| if let Part::Text { text, .. } = part { Some(text.as_str()) } else { None })
}

fn one(name: &'static str, value: &str) -> Vec<u8> {
    let mut out = Vec::new();
    json::write_object(&mut out, |o| o.str(name, value));
    out
}

impl Inbound for Toy {
    fn name(&self) -> &'static str {
        NAME
    }

    fn claims(&self, path: &str) -> Option<Operation> {
        (path == "/toy").then_some(Operation::Chat)
    }

    fn forwarded_headers(&self) -> &'static [&'static str] {
        &[]
    }

    fn decode_request(&self, body: &[u8]) -> Result<Request, Malformed> {
        let mut o = Object::parse(body)?;
        let (model, ask) = (o.string("of")?, o.string("ask")?);
        let (model, ask) = (o.need("of", model)?, o.need("ask", ask)?);
        let stream = o.bool("stream")?.unwrap_or_default();
        let turn = Turn { role: Role::User, parts: vec![text(ask)], extra: Extra::default() };
        Ok(Request {
            model,
            stream,
            stream_usage: stream,
            turns: vec![turn],
            extra: o.rest(NAME),
            ..Request::default()
        })
    }

    fn encode_response(&self, response: &Response, _: &StreamContext) -> Vec<u8> {
        one("answer", &texts(&response.parts).collect::<String>())
    }

    fn encode_fault(&self, fault: &Fault) -> Vec<u8> {
        one("wrong", &fault.message)
    }

    fn encode_models(&self, models: &[String]) -> Vec<u8> {
        one("models", &models.join(" "))
    }

    fn stream_encoder(&self, _: StreamContext) -> Box<dyn StreamEncode> {
        Box::new(Encoder)
    }
}

struct Encoder;

impl StreamEncode for Encoder {
    fn event(&mut self, event: &Event, out: &mut Vec<u8>) {
        match event {
            Event::Delta { text, .. } => sse::encode(None, &one("piece", text), out),
            Event::Done => sse::encode(None, br#"{"end":true}"#, out),
            _ => {}
        }
    }

    fn finish(&mut self, _: &mut Vec<u8>) {}
}

impl Outbound for Toy {
    fn name(&self) -> &'static str {
        NAME
    }

    fn path(&self, operation: Operation) -> Option<&'static str> {
        (operation == Operation::Chat).then_some("/toy")
    }

    fn default_headers(&self) -> &'static [(&'static str, &'static str)] {
        &[]
    }

    fn encode_request(&self, request: &Request, model: &str, losses: &mut Losses) -> Vec<u8> {
        let mut noted = Noted::new(request, NAME, losses);
        if request.sampling.temperature.is_some() {
            noted.field("temperature");
        }
        if !request.stop.is_empty() {
            noted.field("stop");
        }
        let asked: Vec<&str> = request.turns.iter().flat_map(|turn| texts(&turn.parts)).collect();
        let mut out = Vec::new();
        json::write_object(&mut out, |o| {
            o.str("of", model);
            o.str("ask", &asked.join("\n"));
            if request.stream {
                o.bool("stream", true);
            }
            o.extra(&request.extra, NAME);
        });
        out
    }

    fn edits(&self, scan: &Scan, model: &str) -> Vec<Edit> {
        same_format_edits(scan, model, &[])
    }

    fn decode_response(&self, body: &[u8]) -> Result<Response, Malformed> {
        let mut o = Object::parse(body)?;
        let answer = o.string("answer")?;
        let parts = vec![text(o.need("answer", answer)?)];
        Ok(Response { parts, stop: Some(StopReason::End), extra: o.rest(NAME), ..Response::default() })
    }

    fn glance(&self, body: &[u8]) -> Result<Usage, NoAnswer> {
        NoAnswer::unless_object(body).map(|_| Usage::default())
    }

    fn decode_fault(&self, status: u16, body: &[u8]) -> Fault {
        let message = Object::parse(body).ok().and_then(|mut o| o.string("wrong").ok()?);
        let mut fault = Fault::new(FaultKind::of_status(status), message.unwrap_or_default());
        fault.status = status;
        fault
    }

    fn stream_decoder(&self) -> Box<dyn StreamDecode> {
        Box::<Decoder>::default()
    }

    fn stream_watch(&self, _: bool) -> Box<dyn StreamWatch> {
        Box::<Watch>::default()
    }
}

#[derive(Default)]
struct Decoder {
    framer: sse::Decoder,
    begun: bool,
}

impl StreamDecode for Decoder {
    fn push(&mut self, bytes: &[u8], out: &mut Vec<Event>) {
        let mut frames: Vec<Frame> = Vec::new();
        self.framer.push(bytes, &mut frames);
        for frame in frames {
            let Ok(mut o) = Object::parse(frame.data.as_bytes()) else { continue };
            if let Ok(Some(piece)) = o.string("piece") {
                if !std::mem::replace(&mut self.begun, true) {
                    out.push(Event::PartStart { index: 0, part: PartStart::Text });
                }
                out.push(Event::Delta { index: 0, text: piece });
            } else {
                out.extend([Event::PartEnd { index: 0 }, Event::Stop(StopReason::End), Event::Done]);
            }
        }
    }

    fn finish(&mut self, _: &mut Vec<Event>) {}

    fn skipped(&self) -> u64 {
        0
    }
}

#[derive(Default)]
struct Watch {
    done: bool,
}

impl StreamWatch for Watch {
    fn push(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        out.extend_from_slice(bytes);
        self.done |= bytes.windows(5).any(|piece| piece == br#""end""#);
    }

    fn finish(&mut self, _: &mut Vec<u8>) {}

    fn usage(&self) -> Usage {
        Usage::default()
    }

    fn done(&self) -> bool {
        self.done
    }

    fn content(&self) -> bool {
        true
    }

    fn skipped(&self) -> u64 {
        0
    }
}
