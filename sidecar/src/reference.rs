//! The page of all members of `attache.yaml`, made from its JSON Schema.
//!
//! Does not: know any member. What the schema does not tell, the page does not either.

use std::fmt::Write as _;

use serde_json::Value;

const HEAD: &str = "\
# `attache.yaml`, member by member

Made by `make envoy` from the types that read it. `attache check FILE` tells every fault of a file, by line; editors do
while you type, with [`envoy/attache.schema.json`](../../envoy/attache.schema.json). Examples: [`examples/`](../../examples).
A **bold** member must be there.
";

/// The page.
#[must_use]
pub fn markdown(schema: &Value) -> String {
    let mut page = HEAD.to_owned();
    section(&mut page, &mut Vec::new(), "", schema);
    page
}

/// One mapping, then those within it. `shown`: those before, since some stand in many places.
fn section<'a>(page: &mut String, shown: &mut Vec<(String, &'a Value)>, path: &str, schema: &'a Value) {
    let title = if path.is_empty() { "At the top".to_owned() } else { format!("`{path}`") };
    let mut rows = String::new();
    let mut below = Vec::new();
    for (name, member) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
        let full = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        if let Some((full, mapping)) = mapping(&full, member) {
            below.push((full, mapping));
        }
        let required = list(schema, "required").any(|required| required == name.as_str());
        let name = if required { format!("**`{name}`**") } else { format!("`{name}`") };
        let default = member.get("default").filter(|default| **default != "").map(code).unwrap_or_default();
        // Writing to a text cannot fail.
        let _ = writeln!(rows, "| {name} | {} | {default} | {} |", cell(&kind(member)), cell(&meaning(member)));
    }
    let _ =
        write!(page, "\n## {title}\n\n{}\n\n| member | value | default | |\n|---|---|---|---|\n{rows}", told(schema));
    for (path, mapping) in below {
        if let Some((same, _)) = shown.iter().find(|(_, former)| *former == mapping) {
            let _ = write!(page, "\n## `{path}`\n\nAs `{same}`.\n");
            continue;
        }
        shown.push((path.clone(), mapping));
        section(page, shown, &path, mapping);
    }
}

/// The mapping a member holds, if it does: itself, its members by name, or its elements.
fn mapping<'a>(path: &str, member: &'a Value) -> Option<(String, &'a Value)> {
    let has_members = |schema: &&Value| schema.get("properties").is_some();
    let by_name = member.get("additionalProperties").filter(has_members).map(|each| (format!("{path}.NAME"), each));
    let in_list = member.get("items").filter(has_members).map(|each| (format!("{path}[]"), each));
    let or = list(member, "anyOf").find(has_members).map(|choice| (path.to_owned(), choice));
    Some((path.to_owned(), member)).filter(|(_, member)| has_members(member)).or(by_name).or(in_list).or(or)
}

/// What may stand there, in words.
fn kind(schema: &Value) -> String {
    if let Some(only) = schema.get("const") {
        return format!("`{}`", bare(only));
    }
    let words: Vec<String> = list(schema, "oneOf").filter_map(|choice| choice.get("const")).map(code).collect();
    let known: Vec<String> = list(schema, "enum").map(code).collect();
    if let Some(words) = [words, known].into_iter().find(|words| !words.is_empty()) {
        return words.join(", ");
    }
    let choices: Vec<String> = list(schema, "anyOf").map(kind).collect();
    if !choices.is_empty() {
        return choices.join(", ");
    }
    if let Some(said) = schema.get("patternErrorMessage").and_then(Value::as_str) {
        return said.strip_prefix("expected ").unwrap_or(said).to_owned();
    }
    let bound = |keyword: &str| schema.get(keyword).map(bare);
    if let (Some(above), Some(to)) = (bound("exclusiveMinimum"), bound("maximum")) {
        return format!("number above {above}, at most {to}");
    }
    match (schema.get("type").and_then(Value::as_str).unwrap_or_default(), bound("minimum"), bound("maximum")) {
        ("array", ..) => schema.get("items").map(|each| format!("list: {}", kind(each))).unwrap_or_default(),
        ("object", ..) if schema.get("properties").is_none() => "mapping by name".to_owned(),
        ("object", ..) => "mapping".to_owned(),
        ("boolean", ..) => "`true`, `false`".to_owned(),
        ("string", ..) => "text".to_owned(),
        ("integer", Some(from), Some(to)) => format!("whole number from {from} to {to}"),
        ("integer", Some(from), None) => format!("whole number from {from}"),
        (_, Some(from), Some(to)) => format!("number from {from} to {to}"),
        (other, ..) => other.to_owned(),
    }
}

/// What it is for, and what each of its words means.
fn meaning(schema: &Value) -> String {
    let words = list(schema, "anyOf").chain([schema]).flat_map(|schema| list(schema, "oneOf"));
    let words = words.filter_map(|choice| Some(format!(" {}: {}", code(choice.get("const")?), told(choice))));
    std::iter::once(told(schema).to_owned()).chain(words).collect()
}

fn told(schema: &Value) -> &str {
    schema.get("description").and_then(Value::as_str).unwrap_or_default()
}

fn list<'a>(schema: &'a Value, keyword: &str) -> impl Iterator<Item = &'a Value> {
    schema.get(keyword).and_then(Value::as_array).into_iter().flatten()
}

fn code(value: &Value) -> String {
    format!("`{}`", bare(value))
}

/// A text without its quotes.
fn bare(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// A bar would end the cell.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}
