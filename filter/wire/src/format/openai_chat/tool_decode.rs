//! Tools and the policy about them → IR.
//!
//! The web search is a member of its own in this format and a tool in the IR; it comes after the others.

use super::NAME;
use crate::format::{Malformed, bounds};
use crate::ir::{Extra, Tool, ToolChoice, WebSearch};
use crate::json::{self, Object};

/// The user's place, in the order of [`WebSearch::location`].
pub(super) const LOCATION: [&str; 4] = ["city", "region", "country", "timezone"];

pub(super) fn choice(o: &mut Object<'_>) -> Result<Option<ToolChoice>, Malformed> {
    let path = o.at("tool_choice");
    let Some(raw) = o.raw("tool_choice")? else { return legacy_choice(o) };
    let choice = match json::text(raw, path.as_str()).as_deref() {
        Ok("auto") => return Ok(Some(ToolChoice::Auto)),
        Ok("none") => return Ok(Some(ToolChoice::None)),
        // Mistral's word for it.
        Ok("any") => {
            o.spell("tool_choice");
            return Ok(Some(ToolChoice::Required));
        }
        Ok("required") => return Ok(Some(ToolChoice::Required)),
        Ok(_) => None,
        Err(_) => {
            let mut choice = Object::of(raw, path)?;
            match choice.str("type")?.as_deref() {
                Some("function") => {
                    let function = choice.object("function")?;
                    let mut function = choice.need("function", function)?;
                    let name = function.word("name", &bounds::NAME)?;
                    return Ok(Some(ToolChoice::Named(function.need("name", name)?)));
                }
                // Which tools are allowed cannot be said elsewhere; whether one must be called can.
                Some("allowed_tools") => match choice.object("allowed_tools")? {
                    Some(mut allowed) => match allowed.str("mode")?.as_deref() {
                        Some("required") => Some(ToolChoice::Required),
                        Some("auto") => Some(ToolChoice::Auto),
                        Some(_) | None => None,
                    },
                    None => None,
                },
                Some(_) | None => None,
            }
        }
    };
    o.put_back("tool_choice");
    Ok(choice)
}

/// `function_call`, what `tool_choice` was before.
fn legacy_choice(o: &mut Object<'_>) -> Result<Option<ToolChoice>, Malformed> {
    let path = o.at("function_call");
    let Some(raw) = o.raw("function_call")? else { return Ok(None) };
    let choice = match json::text(raw, path.as_str()).as_deref() {
        Ok("auto") => ToolChoice::Auto,
        Ok("none") => ToolChoice::None,
        Ok(_) => {
            o.put_back("function_call");
            return Ok(None);
        }
        Err(_) => {
            let mut choice = Object::of(raw, path)?;
            let name = choice.word("name", &bounds::NAME)?;
            ToolChoice::Named(choice.need("name", name)?)
        }
    };
    o.spell("function_call");
    Ok(Some(choice))
}

pub(super) fn tools(o: &mut Object<'_>) -> Result<Vec<Tool>, Malformed> {
    let items = o.list("tools", &bounds::TOOLS)?;
    if items.as_ref().is_some_and(Vec::is_empty) {
        o.spell("tools");
    }
    let legacy = items.is_none();
    let items = items.unwrap_or_default().into_iter().enumerate();
    let mut tools: Vec<Tool> =
        items.map(|(i, item)| tool(Object::of(item, format!("tools[{i}]"))?)).collect::<Result<_, _>>()?;
    if legacy && let Some(items) = o.list("functions", &bounds::TOOLS)? {
        for (i, item) in items.into_iter().enumerate() {
            tools.push(function(Object::of(item, format!("functions[{i}]"))?)?.0);
        }
        // The tools are carried over, but answers call them as `tool_calls`, which a client of the deprecated members
        // may not know: so it counts as a loss.
        o.put_back("functions");
    }
    if let Some(options) = o.object("web_search_options")? {
        match web_search(options) {
            Some(search) => {
                o.spell("web_search_options");
                tools.push(Tool { web_search: Some(search), ..Tool::default() });
            }
            None => o.put_back("web_search_options"),
        }
    }
    Ok(tools)
}

fn tool(mut o: Object<'_>) -> Result<Tool, Malformed> {
    let kind = o.str("type")?;
    if kind.is_some_and(|kind| kind != "function") {
        // A tool the provider runs itself, or one that takes free text: its own format gets it back whole.
        o.put_back("type");
        return Ok(Tool { extra: o.rest(NAME), ..Tool::default() });
    }
    let inner = o.object("function")?;
    let (mut tool, rest) = function(o.need("function", inner)?)?;
    tool.extra = o.rest(NAME);
    tool.extra.nest("function", rest);
    Ok(tool)
}

fn function(mut o: Object<'_>) -> Result<(Tool, Extra), Malformed> {
    let name = o.word("name", &bounds::NAME)?;
    let tool = Tool {
        name: o.need("name", name)?,
        description: o.string("description")?,
        schema: o.raw("parameters")?.map(ToOwned::to_owned),
        strict: o.bool("strict")?,
        web_search: None,
        extra: Extra::default(),
    };
    Ok((tool, o.rest(NAME)))
}

/// What the member says, if all of it is understood.
fn web_search(mut o: Object<'_>) -> Option<WebSearch> {
    let mut search = WebSearch { context_size: o.string("search_context_size").ok()?, ..WebSearch::default() };
    if let Some(mut user) = o.object("user_location").ok()? {
        let kind = user.string("type").ok()?;
        let place = user.object("approximate").ok()?;
        let mut place = place.filter(|_| kind.as_deref() == Some("approximate") && user.is_empty())?;
        for (slot, name) in search.location.iter_mut().zip(LOCATION) {
            *slot = place.string(name).ok()?;
        }
        place.is_empty().then_some(())?;
    }
    o.is_empty().then_some(search)
}
