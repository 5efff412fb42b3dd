//! Finds members of a chunk by their bytes, so that all its other bytes stay as they are.
//!
//! Does not: check syntax. In what is not JSON a member may be missed.

use std::ops::Range;

use crate::json::find::{Name, something, value};

const NAME: &[u8] = b"\"usage\"";
pub(super) static USAGE: Name = Name::new(NAME);

/// The bytes of `"usage":null` in the chunk of one event, with the comma that goes with it. Only if the chunk is on one
/// line: no server is known that writes it on several.
pub(super) fn null_usage(event: &[u8]) -> Option<Range<usize>> {
    // Looking for it is cheaper than reading every chunk.
    if !USAGE.begins(event, b"null") {
        return None;
    }
    let mut begin = 0;
    let mut found = None;
    for line in event.split_inclusive(|byte| matches!(byte, b'\r' | b'\n')) {
        let text = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line);
        if let Some(data) = text.strip_prefix(b"data:") {
            if found.is_some() {
                return None;
            }
            found = Some(begin + line.len() - data.len()..begin + line.len());
        }
        begin += line.len();
    }
    let data = found?;
    let start = data.start;
    let member = null_member(event.get(data)?)?;
    Some(start + member.start..start + member.end)
}

/// The member at the top of the object.
fn null_member(data: &[u8]) -> Option<Range<usize>> {
    let mut depth = 0usize;
    let mut comma = None;
    let mut at = 0;
    while let Some(byte) = data.get(at) {
        match byte {
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.saturating_sub(1),
            b',' if depth == 1 => comma = Some(at),
            b'"' => {
                let end = string_end(data, at)?;
                let named = depth == 1 && data.get(at..end) == Some(NAME);
                let null =
                    value(data, end).filter(|at| named && data.get(*at..).is_some_and(|v| v.starts_with(b"null")));
                if let Some(null) = null {
                    return Some(with_comma(data, comma, at, null + b"null".len()));
                }
                at = end;
                continue;
            }
            _ => {}
        }
        at += 1;
    }
    None
}

/// The member and the comma before it; if it is the first, the comma after it.
fn with_comma(data: &[u8], before: Option<usize>, start: usize, end: usize) -> Range<usize> {
    if let Some(comma) = before {
        return comma..end;
    }
    let after = something(data, end);
    if data.get(after) == Some(&b',') { start..something(data, after + 1) } else { start..end }
}

/// Where a string ends that begins at `at`.
fn string_end(data: &[u8], at: usize) -> Option<usize> {
    let mut from = at + 1;
    loop {
        let found = from + memchr::memchr2(b'"', b'\\', data.get(from..)?)?;
        if data.get(found) == Some(&b'"') {
            return Some(found + 1);
        }
        from = found + 2;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn without(event: &str) -> String {
        let mut text = event.to_owned();
        text.replace_range(null_usage(event.as_bytes()).unwrap_or_default(), "");
        text
    }

    #[test]
    fn the_member_goes_and_all_else_stays() {
        for (event, expected) in [
            ("data: {\"a\":1,\"usage\":null}\n\n", "data: {\"a\":1}\n\n"),
            ("data:{\"a\":1 , \"usage\" : null , \"b\":2}\r\n\r\n", "data:{\"a\":1  , \"b\":2}\r\n\r\n"),
            ("\u{feff}data: {\"usage\":null, \"b\":2}\n\n", "\u{feff}data: {\"b\":2}\n\n"),
            (": x\nid: 1\ndata: {\"usage\":null}\n\n", ": x\nid: 1\ndata: {}\n\n"),
            ("data: {\"a\":\"\\\\\",\"usage\":null}", "data: {\"a\":\"\\\\\"}"),
        ] {
            assert_eq!(without(event), expected);
        }
    }

    #[test]
    fn what_only_looks_like_it_stays() {
        for event in [
            "data: {\"usage\":{\"a\":null}}\n\n",
            "data: {\"x\":{\"usage\":null}}\n\n",
            "data: {\"a\":\"\\\"usage\\\":null\"}\n\n",
            "data: {\"a\":\"usage\",\"b\":null}\n\n",
            "data: {\"a\":1,\ndata: \"usage\":null}\n\n",
            "id: \"usage\":null\n\n",
            "data: {\"a\":\"usage",
            "data: [DONE]\n\n",
        ] {
            assert_eq!(without(event), event);
        }
    }
}
