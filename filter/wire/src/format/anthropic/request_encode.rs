//! IR → Messages request.

use super::block_encode::{self, Place};
use super::{NAME, thinking};
use crate::format::loss::Noted;
use crate::ir::{Losses, Output, Part, Reasoning, Request, Role, Tool, ToolChoice, Turn};
use crate::json::{self, ArrayWriter, ObjectWriter};

/// The bound on the answer where the client gave none: this API requires one.
const MAX_TOKENS: u64 = 4096;

pub(super) fn encode(request: &Request, model: &str, losses: &mut Losses) -> Vec<u8> {
    let mut noted = Noted::new(request, NAME, losses);
    let own = noted.same_format();
    let plan = if own { thinking::Plan::own(request) } else { thinking::Plan::of(request, MAX_TOKENS, &mut noted) };
    let mut out = Vec::new();
    json::write_object(&mut out, |o| {
        o.str("model", model);
        if let Some(bound) = plan.max_tokens {
            o.u64("max_tokens", bound);
        }
        conversation(o, request, &mut noted);
        tools(o, request, &mut noted);
        sampling(o, request, plan.budget.is_some(), &mut noted);
        stop(o, request, &mut noted);
        if let Some(budget) = plan.budget {
            o.object("thinking", |o| {
                o.str("type", "enabled");
                o.u64("budget_tokens", budget);
                o.inner(&request.extra, NAME, "thinking");
            });
        } else if own && request.reasoning == Some(Reasoning::Off) {
            o.object("thinking", |o| o.str("type", "disabled"));
        }
        if plan.budget.is_none() && request.extra.inner("thinking").is_some() {
            o.skip("thinking");
        }
        output(o, request, &mut noted);
        if let Some(user) = &request.user {
            o.object("metadata", |o| {
                o.str("user_id", user);
                o.inner(&request.extra, NAME, "metadata");
            });
        }
        if request.n.is_some_and(|n| n > 1) {
            noted.field("n");
        }
        if request.stream {
            o.bool("stream", true);
        }
        o.extra(&request.extra, NAME);
        noted.extra(&|_| String::new(), &request.extra);
    });
    out
}

/// `system` and `messages`.
fn conversation(o: &mut ObjectWriter<'_>, request: &Request, noted: &mut Noted<'_>) {
    let own = noted.same_format();
    let turns: Vec<(usize, &Turn)> = request.turns.iter().enumerate().collect();
    // Ours: only the turn that came from `system`. Others: wherever they stand, since there is no other place for them;
    // a conversation of nothing else is the user's, because one message is required.
    let only_system = turns.iter().all(|(_, turn)| turn.role == Role::System);
    let apart =
        |turn: &Turn| turn.role == Role::System && if own { turn.extra.format.is_empty() } else { !only_system };
    let (system, rest): (Vec<_>, Vec<_>) = turns.into_iter().partition(|(_, turn)| apart(turn));
    for (at, (i, turn)) in system.iter().enumerate() {
        noted.extra(&|n| n.turn_path(*i), &turn.extra);
        if at != *i {
            noted.turn(*i, "role");
        }
    }
    if !system.is_empty() {
        content(o, "system", &system, noted);
    }
    o.array("messages", |a| {
        for group in groups(&rest, own) {
            message(a, group, noted);
        }
    });
}

/// Turns that become one message. Consecutive turns of one role are one message here; ours are left as they came.
fn groups<'t, 'a>(turns: &'t [(usize, &'a Turn)], own: bool) -> impl Iterator<Item = &'t [(usize, &'a Turn)]> {
    turns.chunk_by(move |(_, a), (_, b)| !own && (a.role == Role::Assistant) == (b.role == Role::Assistant))
}

fn message(a: &mut ArrayWriter<'_>, group: &[(usize, &Turn)], noted: &mut Noted<'_>) {
    let own = noted.same_format();
    let Some((first, turn)) = group.first() else { return };
    for (i, turn) in group {
        noted.extra(&|n| n.turn_path(*i), &turn.extra);
    }
    if !own && !group.iter().any(|(_, turn)| turn.parts.iter().any(block_encode::carries)) {
        // An empty message is refused.
        let lost = |part: &Part| !matches!(part, Part::Text { .. });
        for (i, turn) in group {
            let parts = turn.parts.iter().enumerate().filter(|(_, part)| lost(part));
            parts.for_each(|(j, _)| noted.part(*i, j, ""));
        }
        return;
    }
    a.object(|o| {
        let role = match turn.role {
            Role::Assistant => "assistant",
            Role::System if own => "system",
            Role::System | Role::User | Role::Tool => "user",
        };
        if role == "user" && turn.role == Role::System {
            noted.turn(*first, "role");
        }
        o.str("role", role);
        content(o, "content", group, noted);
        o.extra(&turn.extra, NAME);
    });
}

/// A string where it can be one, else blocks. Results stand before everything else: they answer the turn before.
fn content(o: &mut ObjectWriter<'_>, name: &'static str, group: &[(usize, &Turn)], noted: &mut Noted<'_>) {
    if let [(_, turn)] = group
        && let [Part::Text { text, extra }] = turn.parts.as_slice()
        && extra.format.is_empty()
    {
        return o.str(name, text);
    }
    let own = noted.same_format();
    o.array(name, |a| {
        let parts =
            group.iter().flat_map(|(i, turn)| turn.parts.iter().enumerate().map(|(j, part)| (Place(*i, j), part)));
        let result = |part: &Part| !own && matches!(part, Part::ToolResult { .. });
        let (results, others): (Vec<_>, Vec<_>) = parts.partition(|(_, part)| result(part));
        results.into_iter().chain(others).for_each(|(place, part)| block_encode::write(a, part, place, noted));
    });
}

fn sampling(o: &mut ObjectWriter<'_>, request: &Request, thinks: bool, noted: &mut Noted<'_>) {
    let sampling = &request.sampling;
    if noted.same_format() {
        o.number("temperature", sampling.temperature.as_ref());
        o.number("top_p", sampling.top_p.as_ref());
        o.number("top_k", sampling.top_k.as_ref());
    } else {
        let warm = |n: &&serde_json::Number| n.as_f64().is_some_and(|n| n > 1.0);
        match &sampling.temperature {
            None => {}
            // Thinking wants the defaults.
            Some(_) if thinks => noted.field("temperature"),
            Some(n) if warm(&n) => {
                noted.field("temperature");
                o.u64("temperature", 1);
            }
            Some(n) => o.number("temperature", Some(n)),
        }
        // Newer models take one of the two.
        match &sampling.top_p {
            Some(_) if thinks || sampling.temperature.is_some() => noted.field("top_p"),
            top_p => o.number("top_p", top_p.as_ref()),
        }
        match &sampling.top_k {
            Some(_) if thinks => noted.field("top_k"),
            top_k => o.number("top_k", top_k.as_ref()),
        }
    }
    let zero = |n: &serde_json::Number| n.as_f64() == Some(0.0);
    for (name, value) in
        [("frequency_penalty", &sampling.frequency_penalty), ("presence_penalty", &sampling.presence_penalty)]
    {
        if value.as_ref().is_some_and(|n| !zero(n)) {
            noted.field(name);
        }
    }
    if sampling.seed.is_some() {
        noted.field("seed");
    }
}

fn stop(o: &mut ObjectWriter<'_>, request: &Request, noted: &mut Noted<'_>) {
    // Sequences of nothing but white space are refused.
    let own = noted.same_format();
    let (kept, refused): (Vec<&String>, Vec<&String>) =
        request.stop.iter().partition(|stop| own || !stop.trim().is_empty());
    if !refused.is_empty() {
        noted.field("stop");
    }
    if !kept.is_empty() {
        o.array("stop_sequences", |a| kept.into_iter().for_each(|stop| a.str(stop)));
    }
}

fn output(o: &mut ObjectWriter<'_>, request: &Request, noted: &mut Noted<'_>) {
    let schema = match &request.output {
        None => None,
        Some(Output::JsonObject) => {
            noted.field("output");
            None
        }
        Some(Output::JsonSchema { schema, .. }) => Some(schema),
    };
    let format = |o: &mut ObjectWriter<'_>, name: &'static str| {
        if let Some(schema) = schema {
            o.object(name, |o| {
                o.str("type", "json_schema");
                o.raw("schema", schema);
            });
        }
    };
    let effort = match &request.reasoning {
        Some(Reasoning::Effort(word)) if noted.same_format() => Some(word),
        _ => None,
    };
    let former = request.extra.spelling_of(NAME, "output_format").is_some();
    if former {
        format(o, "output_format");
        o.skip("output_format");
    }
    if effort.is_some() || (schema.is_some() && !former) {
        o.object("output_config", |o| {
            if let Some(effort) = effort {
                o.str("effort", effort);
            }
            if !former {
                format(o, "format");
            }
            o.inner(&request.extra, NAME, "output_config");
        });
    }
}

fn tools(o: &mut ObjectWriter<'_>, request: &Request, noted: &mut Noted<'_>) {
    let own = noted.same_format();
    let is_ours = |tool: &Tool| own || !tool.extra.members.iter().any(|(name, _)| name == "type");
    for (i, tool) in request.tools.iter().enumerate() {
        if !is_ours(tool) {
            noted.tool(i, "");
            continue;
        }
        noted.extra(&|_| format!("tools[{i}]"), &tool.extra);
        if !own && tool.strict == Some(true) {
            // Here it narrows what a schema may say, and not every model takes it.
            noted.tool(i, "strict");
        }
    }
    let mut kept = request.tools.iter().filter(|tool| is_ours(tool)).peekable();
    if kept.peek().is_some() {
        o.array("tools", |a| kept.for_each(|tool| a.object(|o| write_tool(o, tool, own))));
    } else if !own {
        // Without tools a choice among them is refused.
        return;
    }
    let parallel = match request.parallel_tools {
        Some(true) if !own => None,
        parallel => parallel,
    };
    let (kind, named) = match &request.tool_choice {
        None if parallel == Some(false) && !request.tools.is_empty() => ("auto", None),
        None => return,
        Some(ToolChoice::Auto) => ("auto", None),
        Some(ToolChoice::None) => ("none", None),
        Some(ToolChoice::Required) => ("any", None),
        Some(ToolChoice::Named(name)) => ("tool", Some(name)),
    };
    o.object("tool_choice", |o| {
        o.str("type", kind);
        if let Some(name) = named {
            o.str("name", name);
        }
        if let Some(parallel) = parallel.filter(|_| own || kind != "none") {
            o.bool("disable_parallel_tool_use", !parallel);
        }
    });
}

fn write_tool(o: &mut ObjectWriter<'_>, tool: &Tool, own: bool) {
    if !tool.name.is_empty() {
        o.str("name", &tool.name);
    }
    if let Some(description) = &tool.description {
        o.str("description", description);
    }
    match &tool.schema {
        Some(schema) if own => o.raw("input_schema", schema),
        None if own => {}
        // Here a schema is required, and it must call itself an object.
        Some(schema) if json::members(schema).iter().any(|(name, _)| name == "type") => o.raw("input_schema", schema),
        schema => o.object("input_schema", |o| {
            o.str("type", "object");
            let members = schema.as_deref().map(json::members).unwrap_or_default();
            members.iter().for_each(|(name, value)| o.member(name, value));
        }),
    }
    if let Some(strict) = tool.strict.filter(|_| own) {
        o.bool("strict", strict);
    }
    o.extra(&tool.extra, NAME);
}
