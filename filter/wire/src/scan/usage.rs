//! `stream_options.include_usage`: a stream says what it used if this member is true.

use serde_json::value::RawValue;

use super::{Edit, twin};
use crate::format::Malformed;
use crate::json::{self, Object};

/// The edit that makes `include_usage` true inside a `stream_options` beginning at `start`; none if it is.
pub(super) fn include(value: &RawValue, start: usize) -> Result<Option<Edit>, Malformed> {
    let path = "stream_options";
    let end = start + value.get().len();
    if value.get() == "null" {
        return Ok(Some(Edit { range: start..end, with: br#"{"include_usage":true}"#.to_vec() }));
    }
    if let Some(fault) =
        json::members(value).iter().find_map(|(name, _)| twin::fault(name, "include_usage", "stream_options."))
    {
        return Err(fault);
    }
    let mut options = Object::of(value, path)?;
    let Some(flag) = options.peek("include_usage") else {
        let comma = if options.is_empty() { "" } else { "," };
        let with = format!(r#"{comma}"include_usage":true"#).into_bytes();
        return Ok(Some(Edit { range: end - 1..end - 1, with }));
    };
    if options.bool("include_usage")? == Some(true) {
        return Ok(None);
    }
    let at = start + (flag.get().as_ptr() as usize).saturating_sub(value.get().as_ptr() as usize);
    Ok(Some(Edit { range: at..at + flag.get().len(), with: b"true".to_vec() }))
}
