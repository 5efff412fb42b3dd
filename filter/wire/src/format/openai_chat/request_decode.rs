//! Chat Completions request → IR.
//!
//! Does not: check what only the provider can know (models, ranges, which tools exist).

use super::{NAME, message_decode, tool_decode};
use crate::format::{Malformed, bounds, take_fallbacks};
use crate::ir::{Extra, Output, Reasoning, Request, Sampling, ServiceTier};
use crate::json::{self, Object};

/// Members that say, with this value, what would be so without them: no loss where they cannot go.
const DEFAULTS: [(&str, &str); 7] = [
    ("logit_bias", "{}"),
    ("logprobs", "false"),
    ("metadata", "{}"),
    ("modalities", r#"["text"]"#),
    ("store", "false"),
    ("top_logprobs", "0"),
    ("verbosity", r#""medium""#),
];

pub(super) fn decode(body: &[u8]) -> Result<Request, Malformed> {
    let mut o = Object::parse(body)?;
    let model = o.string("model")?;
    let messages = o.list("messages", &bounds::MESSAGES)?;
    let (output, output_rest) = output(&mut o)?;
    let mut request = Request {
        model: o.need("model", model)?,
        stream: flag(&mut o, "stream")?,
        turns: message_decode::turns(o.need("messages", messages)?)?,
        tools: tool_decode::tools(&mut o)?,
        tool_choice: tool_decode::choice(&mut o)?,
        parallel_tools: o.bool("parallel_tool_calls")?,
        sampling: Sampling {
            temperature: o.number("temperature")?,
            top_p: o.number("top_p")?,
            top_k: o.number("top_k")?,
            frequency_penalty: o.number("frequency_penalty")?,
            presence_penalty: o.number("presence_penalty")?,
            seed: o.number("seed")?,
        },
        max_tokens: max_tokens(&mut o)?,
        stop: stop(&mut o)?,
        output,
        reasoning: reasoning(&mut o)?,
        user: user(&mut o)?,
        service_tier: service_tier(&mut o)?,
        n: o.u64("n")?,
        ..Request::default()
    };
    let mut options = o.object("stream_options")?;
    if let Some(options) = &mut options {
        request.stream_usage = flag(options, "include_usage")?;
        if options.peek("include_obfuscation").is_some_and(|raw| raw.get() == "false") {
            // Nobody else pads chunks.
            options.spell("include_obfuscation");
        }
    }
    for (name, default) in DEFAULTS {
        let same = |raw: &str| raw.chars().filter(|c| !c.is_whitespace()).eq(default.chars());
        if o.peek(name).is_some_and(|raw| same(raw.get())) {
            o.spell(name);
        }
    }
    take_fallbacks(&mut o)?;
    request.extra = o.rest(NAME);
    if let Some(options) = options {
        request.extra.nest("stream_options", options.rest(NAME));
    }
    request.extra.nest("response_format", output_rest);
    Ok(request)
}

/// A flag whose explicit `false` is kept as a spelling.
fn flag(o: &mut Object<'_>, name: &str) -> Result<bool, Malformed> {
    let value = o.bool(name)?;
    if value == Some(false) {
        o.spell(name);
    }
    Ok(value.unwrap_or(false))
}

fn max_tokens(o: &mut Object<'_>) -> Result<Option<u64>, Malformed> {
    let mut bound = |name| match o.peek(name) {
        // Servers of open models take a negative number for no bound.
        Some(raw) if json::is_negative(raw) => o.raw(name).map(|_| None),
        Some(_) | None => o.u64(name),
    };
    let (newer, older) = (bound("max_completion_tokens")?, bound("max_tokens")?);
    // Servers differ in which of the two names they know, so the client's choice is kept.
    o.spell("max_completion_tokens");
    o.spell("max_tokens");
    Ok(newer.or(older))
}

fn stop(o: &mut Object<'_>) -> Result<Vec<String>, Malformed> {
    let path = o.at("stop");
    let Some(raw) = o.raw("stop")? else { return Ok(Vec::new()) };
    if json::kind(raw) == "string" {
        o.spell("stop");
        return Ok(vec![json::text(raw, path)?.into_owned()]);
    }
    let items = json::list(raw, &bounds::STOPS, || path.clone())?;
    if items.is_empty() {
        o.spell("stop");
    }
    let texts = items.into_iter().enumerate();
    texts.map(|(i, item)| json::text(item, format!("{path}[{i}]")).map(String::from)).collect()
}

/// The shape of the answer, and what else the member says.
fn output(o: &mut Object<'_>) -> Result<(Option<Output>, Extra), Malformed> {
    let nothing = (None, Extra::default());
    let Some(mut format) = o.object("response_format")? else { return Ok(nothing) };
    match format.str("type")?.as_deref() {
        Some("text") => o.spell("response_format"),
        Some("json_object") => return Ok((Some(Output::JsonObject), format.rest(NAME))),
        Some("json_schema") => {
            let inner = format.object("json_schema")?;
            let mut inner = format.need("json_schema", inner)?;
            let (name, strict, schema) = (inner.string("name")?, inner.bool("strict")?, inner.raw("schema")?);
            let Some(schema) = schema else {
                o.put_back("response_format");
                return Ok(nothing);
            };
            let mut rest = format.rest(NAME);
            rest.nest("json_schema", inner.rest(NAME));
            return Ok((Some(Output::JsonSchema { name, schema: schema.to_owned(), strict }), rest));
        }
        Some(_) | None => o.put_back("response_format"),
    }
    Ok(nothing)
}

/// How much to think: this API's word for it, else what OpenRouter (`reasoning`) or DeepSeek and Zhipu (`thinking`) made
/// of it.
fn reasoning(o: &mut Object<'_>) -> Result<Option<Reasoning>, Malformed> {
    if let Some(effort) = o.string("reasoning_effort")? {
        return Ok(Some(effort_of(effort)));
    }
    for name in ["reasoning", "thinking"] {
        let Some(raw) = o.raw(name)? else { continue };
        let found = Object::of(raw, name).ok().and_then(|mut inner| {
            let (kind, enabled) = (inner.string("type").ok()?, inner.bool("enabled").ok()?);
            let (effort, budget) = (inner.string("effort").ok()?, inner.u64("max_tokens").ok()?);
            let reasoning = match (effort, budget, kind.as_deref(), enabled) {
                (Some(effort), None, None, None | Some(true)) => effort_of(effort),
                (None, Some(tokens), None, None | Some(true)) => Reasoning::Budget(tokens),
                (None, None, Some("enabled"), None) | (None, None, None, Some(true)) => Reasoning::Auto,
                (None, None, Some("disabled"), None) | (None, None, None, Some(false)) => Reasoning::Off,
                _ => return None,
            };
            inner.is_empty().then_some(reasoning)
        });
        if found.is_some() {
            o.spell(name);
            return Ok(found);
        }
        o.put_back(name);
    }
    Ok(None)
}

fn effort_of(word: String) -> Reasoning {
    if word == "none" { Reasoning::Off } else { Reasoning::Effort(word) }
}

/// `user`, or the member that took its place for telling end users apart.
fn user(o: &mut Object<'_>) -> Result<Option<String>, Malformed> {
    if let Some(user) = o.string("user")? {
        return Ok(Some(user));
    }
    let user = o.string("safety_identifier")?;
    o.spell("safety_identifier");
    Ok(user)
}

fn service_tier(o: &mut Object<'_>) -> Result<Option<ServiceTier>, Malformed> {
    let tier = match o.str("service_tier")?.as_deref() {
        Some("auto") => ServiceTier::Auto,
        Some("default") => ServiceTier::Standard,
        // Prices and speeds that only their own provider has.
        Some(_) => {
            o.put_back("service_tier");
            return Ok(None);
        }
        None => return Ok(None),
    };
    Ok(Some(tier))
}
