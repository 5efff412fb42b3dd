//! IR → Chat Completions request.

use super::tool_decode::LOCATION;
use super::{Ask, Compatible, NAME, message_encode, quirk, strict};
use crate::format::loss::Noted;
use crate::ir::{Extra, Losses, Output, Reasoning, Request, ServiceTier, Tool, ToolChoice, WebSearch};
use crate::json::{self, ArrayWriter, ObjectWriter};

pub(super) fn encode(request: &Request, model: &str, dialect: &Compatible, losses: &mut Losses) -> Vec<u8> {
    let mut noted = Noted::new(request, NAME, losses);
    let mut out = Vec::new();
    json::write_object(&mut out, |o| {
        o.str("model", model);
        o.array("messages", |messages| message_encode::turns(messages, request, dialect, &mut noted));
        tools(o, request, model, dialect, &mut noted);
        let sampling = &request.sampling;
        o.number("temperature", sampling.temperature.as_ref());
        o.number("top_p", sampling.top_p.as_ref());
        if noted.same_format() {
            o.number("top_k", sampling.top_k.as_ref());
        } else if sampling.top_k.is_some() {
            noted.field("top_k");
        }
        for (name, own, value) in [
            ("frequency_penalty", "frequency_penalty", &sampling.frequency_penalty),
            ("presence_penalty", "presence_penalty", &sampling.presence_penalty),
            ("seed", dialect.seed, &sampling.seed),
        ] {
            quirk::number(o, dialect, (name, own), value.as_ref(), &mut noted);
        }
        max_tokens(o, request, dialect);
        stop(o, request, &mut noted);
        output(o, request, dialect, &mut noted);
        reasoning(o, request, dialect, &mut noted);
        user(o, request, dialect, &mut noted);
        service_tier(o, request, dialect, &mut noted);
        if let Some(n) = request.n {
            o.u64("n", n);
        }
        stream(o, request, dialect);
        if let Some(marker) = quirk::marker(dialect, &request.extra) {
            o.raw("cache_control", marker);
        }
        o.extra(&request.extra, NAME);
        noted.extra(&|_| String::new(), &quirk::unmarked(dialect, &request.extra));
    });
    out
}

/// Under the client's name for it.
fn user(o: &mut ObjectWriter<'_>, request: &Request, dialect: &Compatible, noted: &mut Noted<'_>) {
    /// In characters. A longer name makes OpenAI refuse the whole request; other formats allow more.
    const LONGEST: usize = 64;
    match &request.user {
        Some(_) if spelled(request, "safety_identifier") => {}
        Some(user) if !noted.same_format() && user.chars().count() > LONGEST => noted.field("user"),
        Some(user) if dialect.takes("user") => o.str("user", user),
        Some(_) => noted.field("user"),
        None => {}
    }
}

fn service_tier(o: &mut ObjectWriter<'_>, request: &Request, dialect: &Compatible, noted: &mut Noted<'_>) {
    match request.service_tier {
        Some(_) if !dialect.takes("service_tier") => noted.field("service_tier"),
        Some(ServiceTier::Auto) => o.str("service_tier", "auto"),
        Some(ServiceTier::Standard) => o.str("service_tier", "default"),
        None => {}
    }
}

/// A member whose spelling says it all, kept from a request that came in this format.
fn spelled(request: &Request, name: &str) -> bool {
    request.extra.spelling_of(NAME, name).is_some_and(|raw| raw.get() != "null")
}

fn stream(o: &mut ObjectWriter<'_>, request: &Request, dialect: &Compatible) {
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
fn max_tokens(o: &mut ObjectWriter<'_>, request: &Request, dialect: &Compatible) {
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

fn output(o: &mut ObjectWriter<'_>, request: &Request, dialect: &Compatible, noted: &mut Noted<'_>) {
    let Some(output) = &request.output else {
        if request.extra.inner("response_format").is_some() {
            o.skip("response_format");
        }
        return;
    };
    let own = noted.same_format();
    let schemaless = !own && !dialect.json_schema && matches!(output, Output::JsonSchema { .. });
    if schemaless {
        noted.field("output");
    }
    o.object("response_format", |format| {
        match output {
            Output::JsonObject => format.str("type", "json_object"),
            Output::JsonSchema { .. } if schemaless => format.str("type", "json_object"),
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
                    // Elsewhere a schema is enforced unless said otherwise. Here it is only if asked for, and refused if
                    // it is outside the subset; then it goes as a hint.
                    let enforced = strict.or((!own).then_some(true));
                    match enforced {
                        Some(true) if !own && !strict::fits(schema) => noted.field("output"),
                        Some(enforced) => inner.bool("strict", enforced),
                        None => {}
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

fn reasoning(o: &mut ObjectWriter<'_>, request: &Request, dialect: &Compatible, noted: &mut Noted<'_>) {
    let words = match dialect.reasoning {
        Ask::Effort(words) => words,
        ask @ (Ask::Object | Ask::Switch(_)) => {
            return request.reasoning.iter().for_each(|asked| quirk::reasoning(o, ask, asked, noted));
        }
    };
    if spelled(request, "reasoning") || spelled(request, "thinking") {
        return;
    }
    let effort = match &request.reasoning {
        // What models do that are told nothing.
        None | Some(Reasoning::Auto) => return,
        // Models that cannot think refuse the word, and so do those that always think.
        Some(Reasoning::Off) if !noted.same_format() => return noted.field("reasoning"),
        Some(Reasoning::Off) => "none",
        Some(Reasoning::Effort(word)) if noted.same_format() || words.contains(&word.as_str()) => word,
        Some(Reasoning::Effort(word)) => {
            noted.field("effort");
            quirk::effort(word, words).unwrap_or("high")
        }
        Some(Reasoning::Budget(tokens)) => {
            noted.field("reasoning");
            quirk::effort(quirk::effort_of(*tokens), words).unwrap_or("high")
        }
    };
    o.str("reasoning_effort", effort);
}

fn tools(o: &mut ObjectWriter<'_>, request: &Request, model: &str, dialect: &Compatible, noted: &mut Noted<'_>) {
    if noted.same_format() {
        return own_tools(o, request, dialect);
    }
    let mut kept = Vec::new();
    for (i, tool) in request.tools.iter().enumerate() {
        if let Some(search) = &tool.web_search {
            // OpenAI's models refuse it unless they are made for it, which their names say.
            let known = dialect.web_search || model.contains("search");
            web_search(o, i, (search, &tool.extra), known, noted);
        } else if is_function(tool) {
            noted.extra(&|_| format!("tools[{i}]"), &quirk::unmarked(dialect, &tool.extra));
            let strict = tool.strict.filter(|strict| !strict || tool.schema.as_deref().is_some_and(strict::fits));
            if strict != tool.strict {
                noted.tool(i, "strict");
            }
            kept.push((tool, strict));
        } else {
            noted.tool(i, "");
        }
    }
    if kept.is_empty() {
        // Without tools the members about them are refused.
        return;
    }
    o.array("tools", |a| kept.into_iter().for_each(|(tool, strict)| write_tool(a, tool, strict, dialect)));
    let forced = matches!(request.tool_choice, Some(ToolChoice::Required | ToolChoice::Named(_)));
    if forced && !dialect.forced_tools {
        noted.field("tool_choice");
        o.str("tool_choice", "auto");
    } else {
        choice(o, request);
    }
    // True is the default, and some models refuse to be told.
    if request.parallel_tools == Some(false) {
        o.bool("parallel_tool_calls", false);
    }
}

/// Of a request that came in this format. The deprecated members and the web search come with what is left of it.
fn own_tools(o: &mut ObjectWriter<'_>, request: &Request, dialect: &Compatible) {
    let has = |name: &str| request.extra.of(NAME).any(|(have, _)| have == name);
    let tools = || request.tools.iter().filter(|tool| tool.web_search.is_none());
    if !has("functions") && tools().next().is_some() {
        o.array("tools", |a| tools().for_each(|tool| write_tool(a, tool, tool.strict, dialect)));
    }
    if !has("tool_choice") && !spelled(request, "tool_choice") && !spelled(request, "function_call") {
        choice(o, request);
    }
    if let Some(parallel) = request.parallel_tools {
        o.bool("parallel_tool_calls", parallel);
    }
}

fn choice(o: &mut ObjectWriter<'_>, request: &Request) {
    match &request.tool_choice {
        None => {}
        Some(ToolChoice::Auto) => o.str("tool_choice", "auto"),
        Some(ToolChoice::None) => o.str("tool_choice", "none"),
        Some(ToolChoice::Required) => o.str("tool_choice", "required"),
        Some(ToolChoice::Named(name)) => o.object("tool_choice", |choice| {
            choice.str("type", "function");
            choice.object("function", |function| function.str("name", name));
        }),
    }
}

/// Not a tool that another provider runs itself.
fn is_function(tool: &Tool) -> bool {
    !tool.extra.members.iter().any(|(name, _)| name == "type")
}

fn write_tool(a: &mut ArrayWriter<'_>, tool: &Tool, strict: Option<bool>, dialect: &Compatible) {
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
                if let Some(strict) = strict {
                    function.bool("strict", strict);
                }
                function.inner(&tool.extra, NAME, "function");
            });
        }
        if let Some(marker) = quirk::marker(dialect, &tool.extra) {
            o.raw("cache_control", marker);
        }
        o.extra(&tool.extra, NAME);
    });
}

/// The search is a member of its own here.
fn web_search(
    o: &mut ObjectWriter<'_>,
    i: usize,
    (search, extra): (&WebSearch, &Extra),
    known: bool,
    noted: &mut Noted<'_>,
) {
    if !known {
        return noted.tool(i, "");
    }
    noted.extra(&|_| format!("tools[{i}]"), extra);
    for (name, there) in [
        ("max_uses", search.max_uses.is_some()),
        ("allowed_domains", !search.allowed_domains.is_empty()),
        ("blocked_domains", !search.blocked_domains.is_empty()),
    ] {
        if there {
            noted.tool(i, name);
        }
    }
    o.object("web_search_options", |o| {
        if let Some(size) = &search.context_size {
            o.str("search_context_size", size);
        }
        if search.location.iter().any(Option::is_some) {
            o.object("user_location", |o| {
                o.str("type", "approximate");
                o.object("approximate", |o| {
                    for (name, place) in LOCATION.into_iter().zip(&search.location) {
                        place.iter().for_each(|place| o.str(name, place));
                    }
                });
            });
        }
    });
}
