//! Paths of members, as the tables of parameters spell them: `messages[user].content[image_url].image_url.detail`.
//!
//! What stands in brackets is the `type` or else the `role` of an item; empty brackets are the last item.

use crate::doc::Doc;

/// How an item is called in a path.
pub(crate) fn kind(item: &Doc) -> Option<String> {
    ["type", "role"].iter().find_map(|name| item.get(name).and_then(Doc::text))
}

/// The document without what the path names, or with `instead` in its place.
pub(crate) fn without(doc: &Doc, path: &str, instead: Option<&Doc>) -> Doc {
    let mut doc = doc.clone();
    assert!(edit(&mut doc, &steps(path), instead), "the sample has no {path}: {}", doc.line());
    doc
}

/// What the path names, and where it is by numbers: `messages[0].content[1].image_url.detail`.
pub(crate) fn find<'d>(doc: &'d Doc, path: &str) -> Option<(&'d Doc, String)> {
    let mut at = String::new();
    let found = seek(doc, &steps(path), &mut at)?;
    Some((found, at))
}

/// A path by numbers leads somewhere.
pub(crate) fn leads(doc: &Doc, path: &str) -> bool {
    let end = steps(path).into_iter().try_fold(doc, |doc, step| match step.strip_prefix('[') {
        Some(number) => doc.items().get(number.trim_end_matches(']').parse::<usize>().ok()?),
        None => doc.get(step),
    });
    end.is_some()
}

/// Names and brackets, one by one. A kind may hold dots itself: `reasoning.text`.
fn steps(path: &str) -> Vec<&str> {
    let mut steps = Vec::new();
    let mut rest = path;
    while !rest.is_empty() {
        let end = if rest.starts_with('[') { rest.find(']').map(|at| at + 1) } else { rest.find(['.', '[']) };
        let (step, tail) = rest.split_at(end.unwrap_or(rest.len()));
        steps.push(step);
        rest = tail.trim_start_matches('.');
    }
    steps
}

fn fits(item: &Doc, step: &str) -> bool {
    let wanted = step.trim_start_matches('[').trim_end_matches(']');
    wanted.is_empty() || kind(item).is_some_and(|kind| kind == wanted)
}

/// Of several items the last that has the rest of the path.
fn seek<'d>(doc: &'d Doc, steps: &[&str], at: &mut String) -> Option<&'d Doc> {
    let Some((step, rest)) = steps.split_first() else { return Some(doc) };
    let before = at.len();
    match doc {
        Doc::Object(_) => {
            at.push_str(if at.is_empty() { "" } else { "." });
            at.push_str(step);
            seek(doc.get(step)?, rest, at)
        }
        Doc::Array(items) => {
            items.iter().enumerate().rev().filter(|(_, item)| fits(item, step)).find_map(|(i, item)| {
                at.truncate(before);
                at.push_str(&format!("[{i}]"));
                seek(item, rest, at)
            })
        }
        Doc::Leaf(_) => None,
    }
}

fn has(doc: &Doc, steps: &[&str]) -> bool {
    seek(doc, steps, &mut String::new()).is_some()
}

/// Changes the same place; false if there is none.
fn edit(doc: &mut Doc, steps: &[&str], instead: Option<&Doc>) -> bool {
    let Some((step, rest)) = steps.split_first() else { return false };
    let place = match doc {
        Doc::Object(members) => members.iter().position(|(name, value)| name == step && has(value, rest)),
        Doc::Array(items) => items.iter().rposition(|item| fits(item, step) && has(item, rest)),
        Doc::Leaf(_) => None,
    };
    match (doc, place, rest, instead) {
        (_, None, ..) => return false,
        (Doc::Object(members), Some(at), [], None) => drop(members.remove(at)),
        (Doc::Array(items), Some(at), [], None) => drop(items.remove(at)),
        (Doc::Object(members), Some(at), [], Some(instead)) => members[at].1 = instead.clone(),
        (Doc::Array(items), Some(at), [], Some(instead)) => items[at] = instead.clone(),
        (Doc::Object(members), Some(at), ..) => return edit(&mut members[at].1, rest, instead),
        (Doc::Array(items), Some(at), ..) => return edit(&mut items[at], rest, instead),
        (Doc::Leaf(_), ..) => return false,
    }
    true
}

#[test]
fn a_path_finds_the_item_that_has_its_rest() {
    let doc = Doc::parse(br#"{"m":[{"role":"user","c":[{"type":"a.b","x":1},{"type":"t"}]},{"role":"user","c":"q"}]}"#);
    let at = |path| without(&doc, path, None).line();
    assert_eq!(
        at("m[user].c[a.b].x"),
        r#"{"m": [{"role": "user", "c": [{"type": "a.b"}, {"type": "t"}]}, {"role": "user", "c": "q"}]}"#
    );
    assert_eq!(find(&doc, "m[user].c[a.b].x").unwrap().1, "m[0].c[0].x");
    assert_eq!(at("m"), "{}");
    assert_eq!(at("m[]"), r#"{"m": [{"role": "user", "c": [{"type": "a.b", "x": 1}, {"type": "t"}]}]}"#);
}
