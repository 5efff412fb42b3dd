//! Tools and the choice among them → Messages request; and structured answers, where a tool stands in for them.
//!
//! Decision: where the API cannot enforce a schema (an older model, a schema outside its subset, or no schema at all but
//! "some JSON object"), the model is made to call a tool of a reserved name whose input is the answer; decoders turn its
//! call back into text. Rejected: asking for JSON in words, which is not kept to.

use serde_json::value::RawValue;

use super::block_encode::marker;
use super::models::{Forced, Model};
use super::{ANSWER_TOOL, NAME, schema};
use crate::format::loss::Noted;
use crate::ir::{Output, Request, Tool, ToolChoice, WebSearch};
use crate::json::{self, ArrayWriter, ObjectWriter};

/// How the answer gets its shape.
#[derive(Debug)]
pub(super) enum Answer<'a> {
    Free,
    Schema(&'a RawValue),
    /// By the reserved tool; any object without a schema.
    Tool(Option<&'a RawValue>),
}

impl<'a> Answer<'a> {
    pub(super) fn of(request: &'a Request, model: &Model, noted: &mut Noted<'_>) -> Self {
        let (schema, strict) = match &request.output {
            None => return Self::Free,
            Some(Output::JsonObject) => (None, None),
            Some(Output::JsonSchema { schema, strict, .. }) => (Some(schema.as_ref()), *strict),
        };
        if let Some(schema) = schema.filter(|schema| model.structured && schema::fits(schema)) {
            return Self::Schema(schema);
        }
        if matches!(request.tool_choice, Some(ToolChoice::Required | ToolChoice::Named(_))) {
            // The answer is another tool's call.
            noted.field("output");
            return Self::Free;
        }
        if model.forced == Forced::Never {
            noted.field("output");
        } else if strict == Some(true) {
            noted.field("output_strict");
        }
        Self::Tool(schema)
    }

    /// The schema the API enforces.
    pub(super) fn schema(&self) -> Option<&'a RawValue> {
        match self {
            Self::Schema(schema) => Some(schema),
            Self::Free | Self::Tool(_) => None,
        }
    }
}

/// A `tool_choice`: its type, and the tool if it names one.
#[derive(Debug, Clone, Copy)]
pub(super) struct Choice<'a> {
    kind: &'static str,
    name: Option<&'a str>,
}

impl Choice<'_> {
    pub(super) fn forces(self) -> bool {
        matches!(self.kind, "any" | "tool")
    }
}

/// Tools that only the client's own format has.
fn foreign(tool: &Tool) -> bool {
    tool.web_search.is_none() && tool.extra.members.iter().any(|(name, _)| name == "type")
}

/// The choice for a request of another format. Without tools a choice among them is refused.
pub(super) fn choice<'a>(
    request: &'a Request,
    answer: &Answer<'_>,
    model: &Model,
    noted: &mut Noted<'_>,
) -> Option<Choice<'a>> {
    let of = |kind, name| Some(Choice { kind, name });
    let any = request.tools.iter().any(|tool| !foreign(tool));
    let shaped = matches!(answer, Answer::Tool(_));
    let choice = match &request.tool_choice {
        Some(ToolChoice::Auto) | None if shaped && any => of("any", None),
        _ if shaped => of("tool", Some(ANSWER_TOOL)),
        _ if !any => return None,
        None if request.parallel_tools == Some(false) => of("auto", None),
        None => return None,
        Some(ToolChoice::Auto) => of("auto", None),
        Some(ToolChoice::None) => of("none", None),
        Some(ToolChoice::Required) => of("any", None),
        Some(ToolChoice::Named(name)) => of("tool", Some(name)),
    };
    if model.forced == Forced::Never && choice.is_some_and(Choice::forces) {
        if !shaped {
            noted.field("tool_choice");
        }
        return of("auto", None);
    }
    choice
}

/// Both members, for a request of another format.
pub(super) fn write(
    o: &mut ObjectWriter<'_>,
    request: &Request,
    answer: &Answer<'_>,
    choice: Option<Choice<'_>>,
    model: &Model,
    noted: &mut Noted<'_>,
) {
    let (lost, kept): (Vec<_>, Vec<_>) = request.tools.iter().enumerate().partition(|(_, tool)| foreign(tool));
    lost.into_iter().for_each(|(i, _)| noted.tool(i, ""));
    if !kept.is_empty() || matches!(answer, Answer::Tool(_)) {
        o.array("tools", |a| {
            kept.into_iter().for_each(|(i, tool)| write_tool(a, i, tool, model, noted));
            if let Answer::Tool(schema) = answer {
                answer_tool(a, *schema);
            }
        });
    }
    let Some(Choice { kind, name }) = choice else { return };
    o.object("tool_choice", |o| {
        o.str("type", kind);
        if let Some(name) = name {
            o.str("name", name);
        }
        if request.parallel_tools == Some(false) && kind != "none" {
            o.bool("disable_parallel_tool_use", true);
        }
    });
}

fn write_tool(a: &mut ArrayWriter<'_>, i: usize, tool: &Tool, model: &Model, noted: &mut Noted<'_>) {
    noted.extra(&|_| format!("tools[{i}]"), &tool.extra);
    if let Some(search) = &tool.web_search {
        return a.object(|o| {
            web_search(o, i, search, noted);
            marker(o, &tool.extra, None);
        });
    }
    a.object(|o| {
        o.str("name", &tool.name);
        if let Some(description) = &tool.description {
            o.str("description", description);
        }
        input_schema(o, tool.schema.as_deref());
        if tool.strict == Some(true) {
            if model.structured && tool.schema.as_ref().is_some_and(|schema| schema::fits(schema)) {
                o.bool("strict", true);
            } else {
                noted.tool(i, "strict");
            }
        }
        marker(o, &tool.extra, None);
    });
}

/// A schema is required here, and it must call itself an object.
fn input_schema(o: &mut ObjectWriter<'_>, schema: Option<&RawValue>) {
    match schema {
        Some(schema) if json::member(schema, "type").is_some() => o.raw("input_schema", schema),
        schema => o.object("input_schema", |o| {
            o.str("type", "object");
            if let Some(schema) = schema {
                json::each_member(schema, |name, value| o.member(&name, value));
            }
        }),
    }
}

fn answer_tool(a: &mut ArrayWriter<'_>, schema: Option<&RawValue>) {
    a.object(|o| {
        o.str("name", ANSWER_TOOL);
        o.str("description", "Gives the final answer. The input is the whole answer, as a JSON object.");
        input_schema(o, schema);
    });
}

/// The first version of the tool: every model has it.
fn web_search(o: &mut ObjectWriter<'_>, i: usize, search: &WebSearch, noted: &mut Noted<'_>) {
    o.str("type", "web_search_20250305");
    o.str("name", "web_search");
    if let Some(most) = search.max_uses {
        o.u64("max_uses", most);
    }
    // One of the two lists, not both.
    let lists = [("allowed_domains", &search.allowed_domains), ("blocked_domains", &search.blocked_domains)];
    let mut lists = lists.into_iter().filter(|(_, domains)| !domains.is_empty());
    if let Some((name, domains)) = lists.next() {
        o.array(name, |a| domains.iter().for_each(|domain| a.str(domain)));
    }
    lists.for_each(|(name, _)| noted.tool(i, name));
    if search.context_size.is_some() {
        noted.tool(i, "search_context_size");
    }
    if search.location.iter().any(Option::is_some) {
        o.object("user_location", |o| {
            o.str("type", "approximate");
            let [city, region, country, timezone] = &search.location;
            for (name, value) in [("city", city), ("region", region), ("country", country), ("timezone", timezone)] {
                if let Some(value) = value {
                    o.str(name, value);
                }
            }
        });
    }
}

/// For a request that came in this format; the choice is spelled.
pub(super) fn write_own(o: &mut ObjectWriter<'_>, request: &Request) {
    if request.tools.is_empty() {
        return;
    }
    o.array("tools", |a| {
        for tool in &request.tools {
            match tool.extra.spelling_of(NAME, "web_search") {
                Some(whole) => a.raw(whole),
                None => a.object(|o| own_tool(o, tool)),
            }
        }
    });
}

fn own_tool(o: &mut ObjectWriter<'_>, tool: &Tool) {
    if !tool.name.is_empty() {
        o.str("name", &tool.name);
    }
    if let Some(description) = &tool.description {
        o.str("description", description);
    }
    if let Some(schema) = &tool.schema {
        o.raw("input_schema", schema);
    }
    if let Some(strict) = tool.strict {
        o.bool("strict", strict);
    }
    o.extra(&tool.extra, NAME);
}
