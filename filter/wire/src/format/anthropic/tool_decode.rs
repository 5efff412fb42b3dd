//! Tools of a request → IR, and the choice among them.

use serde_json::value::RawValue;

use super::NAME;
use crate::format::{Malformed, bounds};
use crate::ir::{Extra, Request, Tool, ToolChoice, WebSearch};
use crate::json::Object;

/// `tools` and `tool_choice`.
pub(super) fn decode(o: &mut Object<'_>, request: &mut Request, nested: &mut Extra) -> Result<(), Malformed> {
    if let Some(items) = o.list("tools", &bounds::TOOLS)? {
        if items.is_empty() {
            o.spell("tools");
        }
        let tools = items.into_iter().enumerate();
        request.tools = tools.map(|(i, item)| tool(item, format!("tools[{i}]"))).collect::<Result<_, _>>()?;
    }
    choice(o, request, nested)
}

fn tool(raw: &RawValue, path: String) -> Result<Tool, Malformed> {
    let mut o = Object::of(raw, path)?;
    match o.str("type")?.as_deref() {
        None => {}
        Some("custom") => o.spell("type"),
        Some(kind) if kind.starts_with("web_search") => return web_search(raw, o),
        Some(_) => {
            // Another tool the provider runs or defines itself: its own format gets it back whole.
            o.put_back("type");
            return Ok(Tool { extra: o.rest(NAME), ..Tool::default() });
        }
    }
    let name = o.word("name", &bounds::NAME)?;
    Ok(Tool {
        name: o.need("name", name)?,
        description: o.string("description")?,
        schema: o.raw("input_schema")?.map(ToOwned::to_owned),
        strict: o.bool("strict")?,
        web_search: None,
        extra: o.rest(NAME),
    })
}

/// The provider's own search. Kept whole under its name, since the version in its type has no meaning elsewhere.
fn web_search(raw: &RawValue, mut o: Object<'_>) -> Result<Tool, Malformed> {
    o.raw("name")?;
    let mut search = WebSearch {
        max_uses: o.u64("max_uses")?,
        allowed_domains: domains(&mut o, "allowed_domains")?,
        blocked_domains: domains(&mut o, "blocked_domains")?,
        ..WebSearch::default()
    };
    let mut place = Extra::default();
    if let Some(mut at) = o.object("user_location")? {
        at.raw("type")?;
        search.location = [at.string("city")?, at.string("region")?, at.string("country")?, at.string("timezone")?];
        place = at.rest(NAME);
    }
    let mut extra = o.rest(NAME);
    extra.nest("user_location", place);
    extra.spelling.push(("web_search".to_owned(), raw.to_owned()));
    Ok(Tool { web_search: Some(search), extra, ..Tool::default() })
}

fn domains(o: &mut Object<'_>, name: &str) -> Result<Vec<String>, Malformed> {
    let path = o.at(name);
    let items = o.list(name, &bounds::DOMAINS)?.unwrap_or_default().into_iter();
    items.map(|item| crate::json::text(item, path.as_str()).map(String::from)).collect()
}

fn choice(o: &mut Object<'_>, request: &mut Request, nested: &mut Extra) -> Result<(), Malformed> {
    let Some(mut choice) = o.object("tool_choice")? else { return Ok(()) };
    let kind = choice.str("type")?;
    request.tool_choice = Some(match choice.need("type", kind)?.as_ref() {
        "auto" => ToolChoice::Auto,
        "any" => ToolChoice::Required,
        "none" => ToolChoice::None,
        "tool" => {
            let name = choice.word("name", &bounds::NAME)?;
            ToolChoice::Named(choice.need("name", name)?)
        }
        _ => {
            o.put_back("tool_choice");
            return Ok(());
        }
    });
    request.parallel_tools = choice.bool("disable_parallel_tool_use")?.map(|disable| !disable);
    nested.nest("tool_choice", choice.rest(NAME));
    o.spell("tool_choice");
    Ok(())
}
