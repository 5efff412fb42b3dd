//! Small checks over JSON that both vendors share. A member that may be absent may be `null` too.

use serde_json::{Map, Value};

use super::Refusal;

pub(super) type Checked<T> = Result<T, Refusal>;

/// The member, unless it is absent or `null`.
pub(super) fn some<'a>(value: &'a Value, name: &str) -> Option<&'a Value> {
    value.get(name).filter(|found| !found.is_null())
}

/// Refuses `name` with this reason unless `holds`.
pub(super) fn ensure(holds: bool, name: &str, reason: impl FnOnce() -> String) -> Checked<()> {
    if holds { Ok(()) } else { Err(Refusal::bad(name, reason())) }
}

pub(super) fn object<'a>(value: &'a Value, path: &str) -> Checked<&'a Map<String, Value>> {
    value.as_object().ok_or_else(|| Refusal::bad(path, format!("`{path}` must be an object, not {value}")))
}

/// Refuses members a vendor does not know. Names that begin with `x_` stand for vendor extensions and pass.
pub(super) fn known(value: &Value, path: &str, names: &[&str]) -> Checked<()> {
    match object(value, path)?.keys().find(|key| !names.contains(&key.as_str()) && !key.starts_with("x_")) {
        Some(key) => Err(Refusal::bad(key, format!("unrecognized member `{key}` in `{path}`"))),
        None => Ok(()),
    }
}

pub(super) fn text<'a>(value: &'a Value, path: &str, name: &str) -> Checked<&'a str> {
    let found = value.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
    found.ok_or_else(|| Refusal::bad(name, format!("`{path}.{name}` must be a non-empty string")))
}

/// A string, empty or not, if it is there at all.
pub(super) fn maybe_text(value: &Value, name: &str) -> Checked<()> {
    ensure(some(value, name).is_none_or(Value::is_string), name, || format!("`{name}` must be a string"))
}

/// One of these words, if it is there at all.
pub(super) fn word(value: &Value, name: &str, words: &[&str]) -> Checked<()> {
    let one_of = |found: &Value| found.as_str().is_some_and(|found| words.contains(&found));
    ensure(some(value, name).is_none_or(one_of), name, || format!("`{name}` must be one of {words:?}"))
}

/// A name of letters, digits, `_` and `-`, no longer than `longest`.
pub(super) fn name<'a>(value: &'a Value, path: &str, member: &str, longest: usize) -> Checked<&'a str> {
    let found = text(value, path, member)?;
    let plain = found.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
    ensure(plain && found.len() <= longest, member, || {
        format!("`{path}.{member}`: {found:?} must match ^[a-zA-Z0-9_-]{{1,{longest}}}$")
    })?;
    Ok(found)
}

pub(super) fn list<'a>(value: &'a Value, path: &str, name: &str) -> Checked<&'a [Value]> {
    let found = value.get(name).and_then(Value::as_array).filter(|list| !list.is_empty());
    found.map(Vec::as_slice).ok_or_else(|| Refusal::bad(name, format!("`{path}.{name}` must be a non-empty list")))
}

/// A number in this range, if it is there at all.
pub(super) fn number(value: &Value, name: &str, low: f64, high: f64) -> Checked<()> {
    let inside = |found: &Value| found.as_f64().is_some_and(|n| (low..=high).contains(&n));
    ensure(some(value, name).is_none_or(inside), name, || {
        format!("`{name}` must be a number from {low} to {high}, not {}", value[name])
    })
}

/// A whole number in this range, if it is there at all.
pub(super) fn whole(value: &Value, name: &str, low: i64, high: i64) -> Checked<Option<i64>> {
    let found = some(value, name);
    let n = found.and_then(Value::as_i64).filter(|n| (low..=high).contains(n));
    ensure(found.is_none() || n.is_some(), name, || {
        format!("`{name}` must be an integer from {low} to {high}, not {}", value[name])
    })?;
    Ok(n)
}

/// A boolean, if it is there at all.
pub(super) fn boolean(value: &Value, name: &str) -> Checked<bool> {
    let found = some(value, name);
    ensure(found.is_none_or(Value::is_boolean), name, || format!("`{name}` must be a boolean, not {}", value[name]))?;
    Ok(found == Some(&Value::Bool(true)))
}

/// A whole number of at least 1.
pub(super) fn count(value: &Value, name: &str) -> Checked<Option<u64>> {
    Ok(whole(value, name, 1, i64::MAX)?.map(i64::unsigned_abs))
}

/// Base64 with its padding.
pub(super) fn base64(data: &str, path: &str) -> Checked<()> {
    let body = data.trim_end_matches('=');
    let letters = body.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'+' || b == b'/');
    let whole = !body.is_empty() && data.len().is_multiple_of(4) && data.len() - body.len() <= 2;
    ensure(letters && whole, path, || format!("`{path}` is not base64"))
}

/// An address that the vendor could fetch.
pub(super) fn url(url: &str, path: &str) -> Checked<()> {
    let web = url.starts_with("https://") || url.starts_with("http://");
    ensure(web, path, || format!("`{path}` must be an http or https address, not {url:?}"))
}
