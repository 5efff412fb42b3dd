//! IR → Messages request.

use super::models::{self, Model, Sampling as Takes};
use super::request_decode::SPELLED;
use super::thinking::Plan;
use super::tool_encode::{self, Answer};
use super::{NAME, conversation};
use crate::format::loss::Noted;
use crate::ir::{Losses, Request, ServiceTier};
use crate::json::{self, ObjectWriter};

pub(super) fn encode(request: &Request, model: &str, losses: &mut Losses) -> Vec<u8> {
    let mut noted = Noted::new(request, NAME, losses).with_cache_control();
    let mut out = Vec::new();
    json::write_object(&mut out, |o| {
        o.str("model", model);
        if noted.same_format() {
            own(o, request, &mut noted);
        } else {
            translated(o, request, models::of(model), &mut noted);
        }
        if request.stream {
            o.bool("stream", true);
        }
        o.extra(&request.extra, NAME);
        noted.extra(&|_| String::new(), &request.extra);
    });
    out
}

/// A request that came in this format: as it says.
fn own(o: &mut ObjectWriter<'_>, request: &Request, noted: &mut Noted<'_>) {
    if let Some(bound) = request.max_tokens {
        o.u64("max_tokens", bound);
    }
    conversation::write_own(o, request, noted);
    tool_encode::write_own(o, request);
    let sampling = &request.sampling;
    o.number("temperature", sampling.temperature.as_ref());
    o.number("top_p", sampling.top_p.as_ref());
    o.number("top_k", sampling.top_k.as_ref());
    if !request.stop.is_empty() {
        o.array("stop_sequences", |a| request.stop.iter().for_each(|stop| a.str(stop)));
    }
    for name in SPELLED {
        if let Some(raw) = request.extra.spelling_of(NAME, name) {
            o.raw(name, raw);
        }
    }
}

/// A request of another format, for this model.
fn translated(o: &mut ObjectWriter<'_>, request: &Request, model: &Model, noted: &mut Noted<'_>) {
    let answer = Answer::of(request, model, noted);
    let choice = tool_encode::choice(request, &answer, model, noted);
    let plan = Plan::of(request, model, choice.is_some_and(|choice| choice.forces()), noted);
    o.u64("max_tokens", plan.max_tokens);
    // An open turn goes with neither thinking nor a schema.
    let continues = model.prefill && !plan.thinks() && answer.schema().is_none();
    conversation::write(o, request, model, continues, noted);
    tool_encode::write(o, request, &answer, choice, model, noted);
    sampling(o, request, model, plan.thinks(), noted);
    stop(o, request, noted);
    plan.write(o);
    let schema = answer.schema();
    if plan.effort.is_some() || schema.is_some() {
        o.object("output_config", |o| {
            if let Some(effort) = plan.effort {
                o.str("effort", effort);
            }
            if let Some(schema) = schema {
                o.object("format", |o| {
                    o.str("type", "json_schema");
                    o.raw("schema", schema);
                });
            }
        });
    }
    if let Some(user) = &request.user {
        o.object("metadata", |o| o.str("user_id", user));
    }
    match request.service_tier {
        Some(ServiceTier::Auto) => o.str("service_tier", "auto"),
        Some(ServiceTier::Standard) => o.str("service_tier", "standard_only"),
        None => {}
    }
    if let Some(raw) = request.extra.cache_control() {
        o.raw("cache_control", raw);
    }
    if request.n.is_some_and(|n| n > 1) {
        noted.field("n");
    }
}

/// What the model takes of it. Thinking wants the defaults, and leaving a default out changes nothing.
fn sampling(o: &mut ObjectWriter<'_>, request: &Request, model: &Model, thinks: bool, noted: &mut Noted<'_>) {
    let sampling = &request.sampling;
    let is = |n: &serde_json::Number, value: f64| n.as_f64() == Some(value);
    let free = !thinks && model.sampling != Takes::Defaults;
    match &sampling.temperature {
        None => {}
        Some(n) if !free && is(n, 1.0) => {}
        Some(_) if !free => noted.field("temperature"),
        Some(n) if n.as_f64().is_some_and(|n| n > 1.0) => {
            noted.field("temperature");
            o.u64("temperature", 1);
        }
        Some(n) => o.number("temperature", Some(n)),
    }
    let taken = model.sampling == Takes::OneOf && sampling.temperature.is_some();
    match &sampling.top_p {
        None => {}
        Some(n) if (!free || taken) && is(n, 1.0) => {}
        Some(_) if !free || taken => noted.field("top_p"),
        top_p => o.number("top_p", top_p.as_ref()),
    }
    match &sampling.top_k {
        Some(_) if !free => noted.field("top_k"),
        top_k => o.number("top_k", top_k.as_ref()),
    }
    for (name, value) in
        [("frequency_penalty", &sampling.frequency_penalty), ("presence_penalty", &sampling.presence_penalty)]
    {
        if value.as_ref().is_some_and(|n| !is(n, 0.0)) {
            noted.field(name);
        }
    }
    if sampling.seed.is_some() {
        noted.field("seed");
    }
}

/// Sequences of nothing but white space are refused.
fn stop(o: &mut ObjectWriter<'_>, request: &Request, noted: &mut Noted<'_>) {
    let (kept, refused): (Vec<&String>, Vec<&String>) = request.stop.iter().partition(|stop| !stop.trim().is_empty());
    if !refused.is_empty() {
        noted.field("stop");
    }
    if !kept.is_empty() {
        o.array("stop_sequences", |a| kept.into_iter().for_each(|stop| a.str(stop)));
    }
}
