//! Members by which a body asks for other models, servers or accounts than `model` names: OpenRouter's `models`, a preset,
//! a tool that asks a model of its own.
//!
//! A list of allowed models is checked against the names found here. What says nothing that could be checked (`preset`)
//! is only found, and whoever has a list leaves it out.
//!
//! Does not: know who may ask for what, or which server has which member. No server is known to give one of these names
//! another meaning, and one that has never heard of it loses nothing.
//!
//! Sources: <https://openrouter.ai/docs/guides/routing>, <https://openrouter.ai/docs/features/presets>,
//! <https://openrouter.ai/docs/guides/features/server-tools/advisor>,
//! <https://openrouter.ai/docs/guides/features/plugins/fusion>,
//! <https://vercel.com/docs/ai-gateway/models-and-providers/provider-options>,
//! <https://console.groq.com/docs/api-reference>, <https://docs.litellm.ai/docs/proxy/clientside_auth>,
//! <https://lmstudio.ai/docs/app/advanced/speculative-decoding>,
//! <https://platform.claude.com/docs/en/agents-and-tools/tool-use/advisor-tool>.

use memchr::memmem;
use serde_json::value::RawValue;

use super::{List, MOST_FALLBACKS, Member, Scan, name};
use crate::json::{self, find};

/// Such members of the top level, sorted.
pub const ROUTING: &[&str] = &[
    "api_base",
    "api_key",
    "base_url",
    "compound_custom",
    "content_policy_fallbacks",
    "context_window_fallback_dict",
    "context_window_fallbacks",
    "custom_llm_provider",
    "draft_model",
    "extra_body",
    "model_list",
    "models",
    "plugins",
    "preset",
    "provider",
    "providerOptions",
    "providers",
    "route",
    "router",
    "routing",
    "transforms",
    "user_config",
];

/// Those whose values are names of models, one or a list.
const NAMING: &[&str] = &["draft_model", "models"];

/// Tools of a vendor that ask no model: what their types begin with.
const ALONE: &[&str] =
    &["openrouter:apply_patch", "openrouter:datetime", "openrouter:web_fetch", "openrouter:web_search"];

/// What a body asks for beside `model`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Routing {
    /// Where the members of [`ROUTING`] are that the body has.
    pub members: Vec<(&'static str, Member)>,
    /// Those of them that name nothing that could be checked.
    pub unclear: Vec<&'static str>,
    /// Models it names, by the paths of the names: `models[1]`.
    pub named: Vec<(String, String)>,
}

impl Routing {
    /// Where a member is.
    #[must_use]
    pub fn at(&self, name: &str) -> Option<&Member> {
        self.members.iter().find(|(have, _)| *have == name).map(|(_, at)| at)
    }

    /// One more member of the top level.
    pub(super) fn take(&mut self, name: &'static str, value: &RawValue, at: Member) {
        if value.get() != "null" {
            let names = if NAMING.contains(&name) { names(value, name) } else { None };
            match names {
                Some(names) => self.named.extend(names),
                None => self.unclear.push(name),
            }
        }
        self.members.push((name, at));
    }
}

/// Models that the tools of a scanned body ask, by their paths: `tools[2].model`.
///
/// # Errors
/// The path of a tool that asks a model nobody can tell.
pub fn tools(scan: &Scan, body: &[u8]) -> Result<Vec<(String, String)>, String> {
    let mut named = Vec::new();
    let at = scan.term("tools");
    let Some((at, body)) = at.zip(std::str::from_utf8(body).ok()) else { return Ok(named) };
    // Nearly no list of tools has one that asks.
    if !suspect(body.get(at.clone()).unwrap_or_default().as_bytes()) {
        return Ok(named);
    }
    let list = List::find(body, at).map(|list| list.items).unwrap_or_default();
    for (i, item) in list.iter().enumerate() {
        let names = asked(body.get(item.value.clone()).unwrap_or_default());
        let names = names.filter(|names| named.len() + names.len() <= MOST_FALLBACKS).ok_or(format!("tools[{i}]"))?;
        named.extend(names.into_iter().map(|name| (format!("tools[{i}].model"), name)));
    }
    Ok(named)
}

/// Some member may name a model, or some type be that of a tool which asks one.
fn suspect(tools: &[u8]) -> bool {
    naming(tools).next().is_some()
        || memchr::memchr2_iter(b'"', b'\\', tools).any(|at| {
            let rest = tools.get(at..).unwrap_or_default();
            let begins = |word: &[u8]| rest.get(..word.len()).is_some_and(|here| here.eq_ignore_ascii_case(word));
            let value = || {
                let word = find::value(rest, TYPE.len()).and_then(|at| rest.get(at..)?.strip_prefix(b"\""));
                word.and_then(|word| word.split(|byte| *byte == b'"').next()).unwrap_or_default()
            };
            begins(b"\\u00") || begins(TYPE) && advises(value())
        })
}

/// Longest name of a member, from `model` in it on, that is taken for one.
const SUFFIX: usize = 64;

/// Where the values of members begin whose names hold `model` in any case: `model`, `Model`, `analysis_models`.
fn naming(tools: &[u8]) -> impl Iterator<Item = usize> {
    memchr::memchr2_iter(b'm', b'M', tools).filter_map(|at| {
        let rest = tools.get(at..)?;
        rest.get(..b"model".len()).filter(|word| word.eq_ignore_ascii_case(b"model"))?;
        let name = rest.get(..SUFFIX.min(rest.len()))?;
        find::value(tools, at + memchr::memchr(b'"', name)? + 1)
    })
}

const TYPE: &[u8] = b"\"type\"";

/// The type of a tool by which a vendor may ask a model.
fn advises(word: &[u8]) -> bool {
    let vendors = word.contains(&b':') && !ALONE.iter().any(|alone| word.starts_with(alone.as_bytes()));
    vendors || word.contains(&b'\\') || memmem::find(word, b"advisor").is_some()
}

/// One name, or a list of at most [`MOST_FALLBACKS`], with their paths.
fn names(value: &RawValue, path: &str) -> Option<Vec<(String, String)>> {
    if json::kind(value) == "string" {
        return Some(vec![(path.to_owned(), name::name(value, path).ok()?)]);
    }
    let items = name::few(value)?;
    items
        .into_iter()
        .enumerate()
        .map(|(i, item)| {
            let path = format!("{path}[{i}]");
            let name = name::name(item, &path).ok()?;
            Some((path, name))
        })
        .collect()
}

/// The models that one tool asks. `None`: one that nobody can tell.
fn asked(tool: &str) -> Option<Vec<String>> {
    let members = serde_json::from_str::<&RawValue>(tool).map(json::members).unwrap_or_default();
    let types = members.iter().filter(|(name, _)| name.eq_ignore_ascii_case("type")).map(|(_, raw)| raw.get());
    let types: Vec<_> = types.filter(|word| !matches!(*word, "\"function\"" | "\"custom\"" | "null")).collect();
    let mut found = Vec::new();
    if types.is_empty() {
        return Some(found);
    }
    let advises = types.iter().any(|word| advises(word.trim_matches('"').as_bytes()));
    // At any depth: such a tool may have tools.
    for at in naming(tool.as_bytes()) {
        let value = tool.get(at..).unwrap_or_default();
        match value.as_bytes().first() {
            Some(b'"' | b'[') => {
                // A list that is longer is none that may pass.
                let value = value.get(..value.floor_char_boundary(LONGEST_LIST)).unwrap_or_default();
                let value = serde_json::Deserializer::from_str(value).into_iter::<&RawValue>().next()?.ok()?;
                let names = names(value, "").filter(|names| found.len() + names.len() <= MOST_FALLBACKS)?;
                found.extend(names.into_iter().map(|(_, name)| name));
            }
            // A property of a schema.
            Some(b'{') if !advises => {}
            Some(b'{') => return None,
            _ => {}
        }
    }
    // Its panel is the vendor's choice unless it is named.
    let panel = types.iter().any(|word| word.contains("fusion"));
    let chosen = advises && found.is_empty() || panel && !tool.contains("\"analysis_models\"");
    let escaped = memmem::find(tool.as_bytes(), b"\\u00").is_some();
    (!(escaped || chosen)).then_some(found)
}

/// Bytes of the longest list of names.
const LONGEST_LIST: usize = MOST_FALLBACKS * 6 * name::LONGEST_NAME;

/// An object without all members but these, and what it has lost: `provider.order`. `None` if that is nothing.
#[must_use]
pub fn narrowed(scan: &Scan, body: &str, name: &str, keep: &[&str]) -> Option<(String, Vec<String>)> {
    let value = body.get(scan.routing.at(name)?.value.clone())?;
    let members = serde_json::from_str::<&RawValue>(value).map(json::members).unwrap_or_default();
    let (kept, lost): (Vec<_>, Vec<_>) = members.iter().partition(|(name, _)| keep.contains(&name.as_ref()));
    if lost.is_empty() && !kept.is_empty() {
        return None;
    }
    let kept: Vec<_> = kept.iter().map(|(name, raw)| format!("{}:{}", super::quoted(name), raw.get())).collect();
    let json = if kept.is_empty() { String::new() } else { format!("{{{}}}", kept.join(",")) };
    let most = crate::ir::Losses::MAX;
    Some((json, lost.iter().take(most).map(|(lost, _)| format!("{name}.{lost}")).collect()))
}
