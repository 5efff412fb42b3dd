//! Small checks over JSON that both vendors share.

use serde_json::Value;

use super::Refusal;

type Checked<T> = Result<T, Refusal>;

/// Refuses members a vendor does not know. Names that begin with `x_` stand for vendor extensions and pass.
pub(super) fn known(value: &Value, path: &str, names: &[&str]) -> Checked<()> {
    let object = value.as_object().ok_or_else(|| Refusal::bad(path, format!("{path} must be an object")))?;
    match object.keys().find(|key| !names.contains(&key.as_str()) && !key.starts_with("x_")) {
        Some(key) => Err(Refusal::bad(key, format!("unrecognized member `{key}` in `{path}`"))),
        None => Ok(()),
    }
}

pub(super) fn text<'a>(value: &'a Value, path: &str, name: &str) -> Checked<&'a str> {
    let found = value.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
    found.ok_or_else(|| Refusal::bad(name, format!("`{path}.{name}` must be a non-empty string")))
}

pub(super) fn list<'a>(value: &'a Value, path: &str, name: &str) -> Checked<&'a [Value]> {
    let found = value.get(name).and_then(Value::as_array).filter(|list| !list.is_empty());
    found.map(Vec::as_slice).ok_or_else(|| Refusal::bad(name, format!("`{path}.{name}` must be a non-empty list")))
}

/// A number in this range, if it is there at all.
pub(super) fn number(value: &Value, name: &str, low: f64, high: f64) -> Checked<()> {
    match value.get(name) {
        None | Some(Value::Null) => Ok(()),
        Some(found) if found.as_f64().is_some_and(|n| (low..=high).contains(&n)) => Ok(()),
        Some(found) => Err(Refusal::bad(name, format!("`{name}` must be a number from {low} to {high}, not {found}"))),
    }
}

/// A boolean, if it is there at all.
pub(super) fn boolean(value: &Value, name: &str) -> Checked<bool> {
    match value.get(name) {
        None | Some(Value::Null) => Ok(false),
        Some(Value::Bool(yes)) => Ok(*yes),
        Some(found) => Err(Refusal::bad(name, format!("`{name}` must be a boolean, not {found}"))),
    }
}

/// A whole number of at least 1.
pub(super) fn count(value: &Value, name: &str) -> Checked<Option<u64>> {
    match value.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(found) => match found.as_u64() {
            Some(n) if n > 0 => Ok(Some(n)),
            _ => Err(Refusal::bad(name, format!("`{name}` must be a positive integer, not {found}"))),
        },
    }
}
