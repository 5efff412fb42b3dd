//! Data URLs.

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
