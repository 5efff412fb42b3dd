//! Data URLs and what is in them.

use crate::ir::MediaSource;

/// What an address points at: the bytes themselves if it is a base64 data URL.
pub(crate) fn of_url(url: &str) -> MediaSource {
    let inline = url.strip_prefix("data:").and_then(|rest| rest.split_once(";base64,"));
    match inline {
        Some((media_type, data)) => MediaSource::Base64 { media_type: media_type.to_owned(), data: data.to_owned() },
        None => MediaSource::Url(url.to_owned()),
    }
}

/// The address of a source, if it has one.
pub(crate) fn to_url(source: &MediaSource) -> Option<String> {
    match source {
        MediaSource::Base64 { media_type, data } => Some(format!("data:{media_type};base64,{data}")),
        MediaSource::Url(url) => Some(url.clone()),
        MediaSource::FileId(_) => None,
    }
}

/// The text in base64, if it is one. White space between the digits is allowed, as everywhere where bodies are written
/// by hand.
pub(crate) fn text_of_base64(data: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(data.len() / 4 * 3);
    let (mut bits, mut held) = (0u32, 0u32);
    for byte in data.bytes().filter(|byte| !byte.is_ascii_whitespace()) {
        let digit = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            b'=' => break,
            _ => return None,
        };
        bits = (bits << 6 | u32::from(digit)) & 0xff_ffff;
        held += 6;
        if held >= 8 {
            held -= 8;
            bytes.extend(u8::try_from((bits >> held) & 0xff));
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_text_or_it_is_not() {
        assert_eq!(text_of_base64("aMOpbGxv\nIQ==").as_deref(), Some("héllo!"));
        assert_eq!(text_of_base64("aGk").as_deref(), Some("hi"));
        assert_eq!(text_of_base64("").as_deref(), Some(""));
        assert_eq!(text_of_base64("/w=="), None);
        assert_eq!(text_of_base64("a*"), None);
    }
}
