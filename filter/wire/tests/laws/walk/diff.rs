//! What distinguishes two bodies.

use super::path;
use crate::doc::Doc;
use crate::page;

/// Longest value that is shown.
const WIDTH: usize = 120;
/// The most changes that are shown.
const SHOWN: usize = 4;

/// One member that is new, other or gone.
#[derive(Debug, PartialEq)]
pub(crate) struct Change {
    pub(crate) path: String,
    /// The value; `None` if the member is gone.
    pub(crate) value: Option<Doc>,
}

/// All changes from one body to the other. A text alone is the same whether it stands in a list or not.
pub(crate) fn between(from: &Doc, to: &Doc) -> Vec<Change> {
    let mut changes = Vec::new();
    compare("", &plain(from), &plain(to), &mut changes);
    changes
}

fn plain(doc: &Doc) -> Doc {
    match doc {
        Doc::Leaf(_) => doc.clone(),
        Doc::Array(items) => Doc::Array(items.iter().map(plain).collect()),
        Doc::Object(members) => Doc::Object(
            members
                .iter()
                .map(|(name, value)| {
                    let alone = match value.items() {
                        [Doc::Object(part)] if name == "content" && part.len() == 2 => value.items()[0].get("text"),
                        _ => None,
                    };
                    (name.clone(), alone.map_or_else(|| plain(value), Doc::clone))
                })
                .collect(),
        ),
    }
}

fn compare(at: &str, from: &Doc, to: &Doc, changes: &mut Vec<Change>) {
    match (from, to) {
        (a, b) if a == b => {}
        (Doc::Object(a), Doc::Object(b)) => {
            let dot = if at.is_empty() { "" } else { "." };
            for (name, value) in b {
                let inner = format!("{at}{dot}{name}");
                match from.get(name) {
                    Some(before) => compare(&inner, before, value, changes),
                    None => changes.push(Change { path: inner, value: Some(value.clone()) }),
                }
            }
            for (name, _) in a.iter().filter(|(name, _)| to.get(name).is_none()) {
                changes.push(Change { path: format!("{at}{dot}{name}"), value: None });
            }
        }
        (Doc::Array(a), Doc::Array(b)) => items(at, a, b, changes),
        _ => changes.push(Change { path: at.to_owned(), value: Some(to.clone()) }),
    }
}

/// Lists of one length item by item; of others only what one has between the common head and tail.
fn items(at: &str, a: &[Doc], b: &[Doc], changes: &mut Vec<Change>) {
    let named = |item: &Doc| format!("{at}[{}]", path::kind(item).unwrap_or_default());
    if a.len() == b.len() {
        return a.iter().zip(b).for_each(|(from, to)| compare(&named(to), from, to, changes));
    }
    let head = a.iter().zip(b).take_while(|(a, b)| a == b).count();
    let tail = a[head..].iter().rev().zip(b[head..].iter().rev()).take_while(|(a, b)| a == b).count();
    let (gone, new) = (&a[head..a.len() - tail], &b[head..b.len() - tail]);
    if gone.len() == 1 && new.len() > 1 && path::kind(&gone[0]) == path::kind(&new[0]) {
        // One became several: what it was grew.
        compare(&named(&new[0]), &gone[0], &new[0], changes);
        return new[1..].iter().for_each(|item| changes.push(Change { path: named(item), value: Some(item.clone()) }));
    }
    changes.extend(new.iter().map(|item| Change { path: named(item), value: Some(item.clone()) }));
    if new.is_empty() {
        changes.extend(gone.iter().map(|item| Change { path: named(item), value: None }));
    }
}

/// The changes for a cell. `sent` is shown nowhere again: who reads the row knows it.
pub(crate) fn shown(changes: &[Change], sent: &Doc) -> String {
    let mut told: Vec<String> = changes.iter().take(SHOWN).map(|change| one(change, sent)).collect();
    if changes.len() > SHOWN {
        told.push("…".to_owned());
    }
    told.join(", ")
}

fn one(change: &Change, sent: &Doc) -> String {
    match &change.value {
        None => format!("{} is left out", page::code(&change.path)),
        Some(value) if value == sent => page::code(&change.path),
        Some(value) => {
            let line = value.line();
            let cut: String = line.chars().take(WIDTH).collect();
            let more = if cut.len() < line.len() { "…" } else { "" };
            page::code(&format!("{} = {cut}{more}", change.path))
        }
    }
}

#[test]
fn changes_are_named_where_they_are() {
    let at = |a: &str, b: &str| {
        shown(&between(&Doc::parse(a.as_bytes()), &Doc::parse(b.as_bytes())), &Doc::Leaf(String::new()))
    };
    assert_eq!(at(r#"{"a":1,"b":2}"#, r#"{"a":1,"c":{"d":3}}"#), r#"`c = {"d": 3}`, `b` is left out"#);
    assert_eq!(
        at(r#"{"m":[{"role":"user","x":1}]}"#, r#"{"m":[{"role":"user","x":1},{"role":"tool"}]}"#),
        r#"`m[tool] = {"role": "tool"}`"#
    );
    assert_eq!(at(r#"{"m":[{"type":"t","x":1}]}"#, r#"{"m":[{"type":"t","x":2}]}"#), "`m[t].x = 2`");
}
