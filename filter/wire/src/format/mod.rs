//! Wire formats. Each has two halves that share its wire types, so both directions are tested against each other:
//! *inbound* (speaks with clients) and *outbound* (speaks with upstreams).
//!
//! Registration is a row of [`INBOUND`]; outbound formats are those the rows of [`crate::provider::PROVIDERS`] point at.

pub mod anthropic;
pub mod bounds;
mod fault;
mod label;
mod loss;
mod media;
pub mod openai_chat;
mod schema;

pub use label::label;
pub use loss::Spelling;

use crate::ir::{Certain, Event, Fault, Losses, Operation, Request, Response, StopReason, Usage};
use crate::json::Object;
use crate::scan::{Edit, Member, Scan, quoted};

/// A request body that cannot be understood, told so that its author can mend it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Malformed {
    /// The member at fault, e.g. `messages[2].content[0].type`; empty for the body as a whole.
    pub path: String,
    /// What was found and what was expected.
    pub message: String,
}

/// What makes a unary body of a good status no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoAnswer {
    /// The provider's own error.
    Fault(Fault),
    /// Nothing is in it.
    Empty,
    /// It cannot be understood.
    Garbled(Malformed),
}

impl NoAnswer {
    /// The members of a body that has some.
    ///
    /// # Errors
    /// It is empty or no object.
    pub fn unless_object(body: &[u8]) -> Result<Object<'_>, Self> {
        if body.trim_ascii().is_empty() {
            return Err(Self::Empty);
        }
        Object::parse(body).map_err(Self::Garbled)
    }

    /// Judges an answer by its end, as streams are judged: one that stopped for a known reason is whole, also if it says
    /// nothing. Every other is one if it says something; only then it is `decode`d.
    fn unless_whole(
        stop: Option<StopReason>,
        decode: impl FnOnce() -> Result<Response, Malformed>,
    ) -> Result<(), Self> {
        if stop.is_some_and(|stop| stop.is_known()) {
            return Ok(());
        }
        let events = decode().map_err(Self::Garbled)?.into_events();
        if events.iter().any(Event::is_content) { Ok(()) } else { Err(Self::Empty) }
    }
}

/// What a stream encoder must know of the request it answers.
#[derive(Debug, Clone, Default)]
pub struct StreamContext {
    /// The model's name as the client asked for it; used where the provider says none.
    pub model: String,
    /// The client asked for usage in the stream.
    pub usage: bool,
    /// Unix seconds, for formats that carry a creation time the provider did not send.
    pub now: u64,
}

/// A format as clients speak it.
pub trait Inbound: Sync {
    /// The format's name in the field, e.g. `openai_chat`.
    fn name(&self) -> &'static str;
    /// The operation, if this path (without query) belongs to this format.
    fn claims(&self, path: &str) -> Option<Operation>;
    /// A header (lower case) that clients of this format alone send, if there is one. It tells whose a path is that
    /// several formats have.
    fn marker(&self) -> Option<&'static str> {
        None
    }
    /// The host of the vendor whose format it is. A client's own key may go there and nowhere else.
    fn home(&self) -> Option<&'static str> {
        None
    }
    /// How it calls what the IR calls otherwise, to name losses.
    fn spelling(&self) -> &'static Spelling {
        &Spelling { system: None, one_list: false, reasoning: &[], annotations: None, fields: &[] }
    }
    /// Header names (lower case) that a client of this format may have forwarded to a provider of the same format.
    fn forwarded_headers(&self) -> &'static [&'static str];
    /// Body to IR.
    ///
    /// # Errors
    /// The member at fault.
    fn decode_request(&self, body: &[u8]) -> Result<Request, Malformed>;
    /// IR to a unary body. `context` fills what the provider did not send.
    fn encode_response(&self, response: &Response, context: &StreamContext) -> Vec<u8>;
    /// The status this format's clients know for the fault: the fault's own, save where a vendor has a special one.
    fn status(&self, fault: &Fault) -> u16 {
        fault.status
    }
    /// An error body.
    fn encode_fault(&self, fault: &Fault) -> Vec<u8>;
    /// The same for a request with this id, where the format has a place for ids in errors.
    fn encode_refusal(&self, fault: &Fault, _request_id: Option<&str>) -> Vec<u8> {
        self.encode_fault(fault)
    }
    /// The answer to [`Operation::CountTokens`], in formats that have it.
    fn encode_count(&self, _input_tokens: u64) -> Option<Vec<u8>> {
        None
    }
    /// The list of models the caller may use.
    fn encode_models(&self, models: &[String]) -> Vec<u8>;
    /// Events to frames.
    fn stream_encoder(&self, context: StreamContext) -> Box<dyn StreamEncode>;
}

/// Events to frames, one stream.
pub trait StreamEncode {
    /// Appends the frames of one event.
    fn event(&mut self, event: &Event, out: &mut Vec<u8>);
    /// The upstream ended: closes what is open. A stream that had no `Done` ends in a well-formed error event.
    fn finish(&mut self, out: &mut Vec<u8>);
}

/// How a server wants its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Auth {
    /// Header that carries the key, lower case.
    pub header: &'static str,
    /// What stands before the key in the value, e.g. `Bearer `.
    pub prefix: &'static str,
}

/// `Authorization: Bearer`, the usual way.
pub const BEARER: Auth = Auth { header: "authorization", prefix: "Bearer " };

/// `x-api-key`, bare.
pub const X_API_KEY: Auth = Auth { header: "x-api-key", prefix: "" };

/// A format as upstreams speak it.
pub trait Outbound: Sync {
    /// The format's name in the field; equal to the inbound half's.
    fn name(&self) -> &'static str;
    /// Path below the provider's base, e.g. `/chat/completions`; `None` where the format has no such operation.
    fn path(&self, operation: Operation) -> Option<&'static str>;
    /// How servers of this format want their key, unless their row says otherwise.
    fn auth(&self) -> Auth {
        BEARER
    }
    /// Headers every request of this format needs unless the client (of the same format) sent its own.
    fn default_headers(&self) -> &'static [(&'static str, &'static str)];
    /// IR to a request body that asks `model`.
    fn encode_request(&self, request: &Request, model: &str, losses: &mut Losses) -> Vec<u8>;
    /// Same format: the edits that turn the client's body into the provider's; all else stays byte-identical.
    fn edits(&self, scan: &Scan, model: &str) -> Vec<Edit>;
    /// Same format: this provider may refuse this body, which must be [mended](Outbound::mend) besides.
    fn particular(&self, _scan: &Scan) -> bool {
        false
    }
    /// Same format: the edits inside the body, beside [`Outbound::edits`], without which this provider would refuse it.
    /// Notes what they and those take out for that reason.
    fn mend(&self, _scan: &Scan, _body: &[u8], _losses: &mut Losses) -> Vec<Edit> {
        Vec::new()
    }
    /// Unary body to IR.
    ///
    /// # Errors
    /// What is unusable about it.
    fn decode_response(&self, body: &[u8]) -> Result<Response, Malformed>;
    /// The usage of a unary body of a good status, without building the answer.
    ///
    /// # Errors
    /// It is none.
    fn glance(&self, body: &[u8]) -> Result<Usage, NoAnswer>;
    /// The usage in the last bytes of a unary body, if its counts are among them.
    fn usage_at_end(&self, _tail: &[u8]) -> Option<Usage> {
        None
    }
    /// An error answer, whatever its body is.
    fn decode_fault(&self, status: u16, body: &[u8]) -> Fault;
    /// What the provider itself calls such a fault, where it has a word for machines.
    fn error_code<'f>(&self, fault: &'f Fault) -> Option<&'f str> {
        fault.code.as_deref()
    }
    /// Frames to events.
    fn stream_decoder(&self) -> Box<dyn StreamDecode>;
    /// Watches a stream that is passed through: takes usage, and hides what [`Outbound::edits`] asked for on its own.
    fn stream_watch(&self, hide_usage: bool) -> Box<dyn StreamWatch>;
}

/// Frames to events, one stream. Cut anywhere, the events are the same, but for [`Event::Ping`]: a piece with comments
/// has one.
pub trait StreamDecode {
    /// More bytes.
    fn push(&mut self, bytes: &[u8], out: &mut Vec<Event>);
    /// No more bytes.
    fn finish(&mut self, out: &mut Vec<Event>);
    /// Events that could not be understood, or were too large, and were left out.
    fn skipped(&self) -> u64;
    /// Which totals of the reported usage are final. By default none is.
    fn certain(&self) -> Certain {
        Certain::default()
    }
}

/// Passes a stream through and reads along.
pub trait StreamWatch {
    /// More bytes in; appends what the client may see, at once.
    fn push(&mut self, bytes: &[u8], out: &mut Vec<u8>);
    /// No more bytes in.
    fn finish(&mut self, out: &mut Vec<u8>);
    /// What has been reported so far.
    fn usage(&self) -> Usage;
    /// Which totals of it are final. By default none is.
    fn certain(&self) -> Certain {
        Certain::default()
    }
    /// The provider's own end marker was seen, so the stream is whole.
    fn done(&self) -> bool;
    /// The provider has reported an error, so the client knows that the stream is not whole.
    fn failed(&self) -> bool {
        false
    }
    /// Content has passed, see [`Event::is_content`].
    fn content(&self) -> bool;
    /// Events that could not be read along; they were passed on all the same.
    fn skipped(&self) -> u64;
}

/// All inbound formats; the first that claims a path has it.
pub static INBOUND: &[&dyn Inbound] = &[&openai_chat::OpenAiChat, &anthropic::Anthropic];

/// Takes `fallbacks` out of a request that is decoded: routing has read them, and no provider is told.
fn take_fallbacks(o: &mut Object<'_>) -> Result<(), Malformed> {
    o.raw("fallbacks")?;
    o.spell("fallbacks");
    Ok(())
}

/// The edits every format needs between a client and a provider that speak it both. `strip` are members this provider
/// does not take.
fn same_format_edits(scan: &Scan, model: &str, strip: &[&Member]) -> Vec<Edit> {
    let mut removed = strip.to_vec();
    removed.extend(&scan.fallbacks_at);
    removed.extend(scan.withheld.iter().filter_map(|name| scan.routing.at(name)));
    let mut edits = scan.remove_all(&removed);
    match &scan.model_at {
        Some(_) if scan.model.as_deref() == Some(model) => {}
        Some(at) => edits.push(Edit { range: at.value.clone(), with: quoted(model).into_bytes() }),
        None => {
            let comma = if scan.members == removed.len() { "" } else { "," };
            let with = format!(r#"{comma}"model":{}"#, quoted(model)).into_bytes();
            edits.push(Edit { range: scan.end..scan.end, with });
        }
    }
    edits
}
