//! IR → Chat Completions request.

use super::{Compatible, NAME, message_encode};
use crate::format::loss::Noted;
use crate::ir::{Losses, Output, Reasoning, Request, Tool, ToolChoice};
use crate::json::{self, ArrayWriter, ObjectWriter};

pub(super) fn encode(request: &Request, model: &str, dialect: Compatible, losses: &mut Losses) -> Vec<u8> {
    let mut noted = Noted::new(request, NAME, losses);
    let mut out = Vec::new();
    json::write_object(&mut out, |o| {
        o.str("model", model);
        o.array("messages", |messages| message_encode::turns(messages, request, &mut noted));
        tools(o, request, &mut noted);
        let sampling = &request.sampling;
        o.number("temperature", sampling.temperature.as_ref());
        o.number("top_p", sampling.top_p.as_ref());
        if noted.same_format() {
            o.number("top_k", sampling.top_k.as_ref());
        } else if sampling.top_k.is_some() {
            noted.field("top_k");
        }
        o.number("frequency_penalty", sampling.frequency_penalty.as_ref());
        o.number("presence_penalty", sampling.presence_penalty.as_ref());
        if dialect.extensions {
            o.number("seed", sampling.seed.as_ref());
        } else if sampling.seed.is_some() {
            noted.field("seed");
        }
        max_tokens(o, request, dialect);
        stop(o, request, &mut noted);
        output(o, request, &mut noted);
        reasoning(o, request, dialect, &mut noted);
        match &request.user {
            Some(user) if dialect.extensions => o.str("user", user),
            Some(_) => noted.field("user"),
            None => {}
        }
        if let Some(n) = request.n {
            o.u64("n", n);
        }
        stream(o, request, dialect);
        o.extra(&request.extra, NAME);
        noted.extra(&|_| String::new(), &request.extra);
    });
    out
}

fn stream(o: &mut ObjectWriter<'_>, request: &Request, dialect: Compatible) {
    if request.stream {
        o.bool("stream", true);
    }
    if !dialect.stream_options {
        o.skip("stream_options");
    } else if request.stream_usage {
        o.object("stream_options", |options| {
            options.bool("include_usage", true);
            options.inner(&request.extra, NAME, "stream_options");
        });
    }
}

/// The bound on the answer, under the client's name for it if it came in this format.
fn max_tokens(o: &mut ObjectWriter<'_>, request: &Request, dialect: Compatible) {
    const OLDER: &str = "max_tokens";
    const NEWER: &str = "max_completion_tokens";
    let spelled = |name| request.extra.spelling_of(NAME, name).filter(|raw| raw.get() != "null");
    let name = match (spelled(NEWER), spelled(OLDER)) {
        (None, Some(_)) => OLDER,
        _ if dialect.max_completion_tokens => NEWER,
        _ => OLDER,
    };
    match request.max_tokens {
        Some(bound) => o.u64(name, bound),
        None if spelled(name).is_some() => o.skip(name),
        None => {}
    }
    // What was sent under the other name would contradict it, or is a name this server does not know.
    for other in [OLDER, NEWER] {
        if other != name && (spelled(other).is_some() || !dialect.max_completion_tokens) {
            o.skip(other);
        }
    }
}

/// The API takes this many stop sequences.
const MAX_STOPS: usize = 4;

fn stop(o: &mut ObjectWriter<'_>, request: &Request, noted: &mut Noted<'_>) {
    let alone = request.extra.spelling_of(NAME, "stop").is_some_and(|raw| json::kind(raw) == "string");
    match request.stop.as_slice() {
        [] if alone => o.skip("stop"),
        [] => {}
        [stop] if alone => o.str("stop", stop),
        stops => {
            let taken = if noted.same_format() { stops.len() } else { MAX_STOPS };
            if stops.len() > taken {
                noted.field("stop");
            }
            o.array("stop", |a| stops.iter().take(taken).for_each(|stop| a.str(stop)));
        }
    }
}

fn output(o: &mut ObjectWriter<'_>, request: &Request, noted: &mut Noted<'_>) {
    let Some(output) = &request.output else {
        if request.extra.inner("response_format").is_some() {
            o.skip("response_format");
        }
        return;
    };
    let own = noted.same_format();
    if !own && matches!(output, Output::JsonSchema { .. }) {
        // Strict schemas here say less than elsewhere (every property required), so the schema goes without enforcement.
        noted.field("output");
    }
    o.object("response_format", |format| {
        match output {
            Output::JsonObject => format.str("type", "json_object"),
            Output::JsonSchema { name, schema, strict } => {
                format.str("type", "json_schema");
                format.object("json_schema", |inner| {
                    match name {
                        Some(name) => inner.str("name", name),
                        None if own => {}
                        // Required here, and without meaning elsewhere.
                        None => inner.str("name", "response"),
                    }
                    inner.raw("schema", schema);
                    if let Some(strict) = strict {
                        inner.bool("strict", *strict);
                    }
                    if let Some(rest) = request.extra.inner("response_format") {
                        inner.inner(rest, NAME, "json_schema");
                    }
                });
            }
        }
        format.inner(&request.extra, NAME, "response_format");
    });
}

fn reasoning(o: &mut ObjectWriter<'_>, request: &Request, dialect: Compatible, noted: &mut Noted<'_>) {
    if !dialect.extensions {
        if !matches!(request.reasoning, None | Some(Reasoning::Off)) {
            noted.field("reasoning");
        }
        return;
    }
    let effort = match &request.reasoning {
        None => return,
        // Elsewhere thinking is off unless asked for, and models that cannot think refuse the word.
        Some(Reasoning::Off) if !noted.same_format() => return,
        Some(Reasoning::Off) => "none",
        Some(Reasoning::Effort(word)) if noted.same_format() => word,
        Some(Reasoning::Effort(word)) => match word.as_str() {
            "minimal" | "low" | "medium" | "high" => word,
            _ => {
                noted.field("effort");
                "high"
            }
        },
        Some(Reasoning::Budget(tokens)) => {
            noted.field("reasoning");
            match tokens {
                0..=2048 => "low",
                2049..=8192 => "medium",
                _ => "high",
            }
        }
    };
    o.str("reasoning_effort", effort);
}

fn tools(o: &mut ObjectWriter<'_>, request: &Request, noted: &mut Noted<'_>) {
    let own = noted.same_format();
    let mut kept = Vec::new();
    for (i, tool) in request.tools.iter().enumerate() {
        if !own && !is_function(tool) {
            noted.tool(i, "");
            continue;
        }
        noted.extra(&|_| format!("tools[{i}]"), &tool.extra);
        if !own && tool.strict == Some(true) {
            // Strict schemas here say less than elsewhere (every property required).
            noted.tool(i, "strict");
        }
        kept.push(tool);
    }
    if !kept.is_empty() {
        o.array("tools", |a| kept.into_iter().for_each(|tool| write_tool(a, tool, own)));
    } else if !own {
        // Without tools the members about them are refused.
        return;
    }
    match &request.tool_choice {
        None => {}
        Some(ToolChoice::Auto) => o.str("tool_choice", "auto"),
        Some(ToolChoice::None) => o.str("tool_choice", "none"),
        Some(ToolChoice::Required) => {
            let word = request.extra.spelling_of(NAME, "tool_choice").map(|_| "any");
            o.str("tool_choice", word.unwrap_or("required"));
        }
        Some(ToolChoice::Named(name)) => o.object("tool_choice", |choice| {
            choice.str("type", "function");
            choice.object("function", |function| function.str("name", name));
        }),
    }
    match request.parallel_tools {
        // True is the default, and some models refuse to be told.
        Some(true) if !own => {}
        Some(parallel) => o.bool("parallel_tool_calls", parallel),
        None => {}
    }
}

/// Not a tool that another provider runs itself.
fn is_function(tool: &Tool) -> bool {
    !tool.extra.members.iter().any(|(name, _)| name == "type")
}

fn write_tool(a: &mut ArrayWriter<'_>, tool: &Tool, own: bool) {
    a.object(|o| {
        if is_function(tool) {
            o.str("type", "function");
            o.object("function", |function| {
                function.str("name", &tool.name);
                if let Some(description) = &tool.description {
                    function.str("description", description);
                }
                if let Some(schema) = &tool.schema {
                    function.raw("parameters", schema);
                }
                if let Some(strict) = tool.strict.filter(|_| own) {
                    function.bool("strict", strict);
                }
                function.inner(&tool.extra, NAME, "function");
            });
        }
        o.extra(&tool.extra, NAME);
    });
}
