//! The numbers and layouts of proxy-wasm ABI 0.2.1 that cross the border between host and guest.

/// Header names and values; values are bytes, since a client may send any.
pub type Headers = Vec<(String, Vec<u8>)>;

pub const OK: u32 = 0;
pub const NOT_FOUND: u32 = 1;
pub const BAD_ARGUMENT: u32 = 2;
pub const SERIALIZATION_FAILURE: u32 = 3;
pub const PARSE_FAILURE: u32 = 4;
pub const EMPTY: u32 = 7;
pub const CAS_MISMATCH: u32 = 8;
pub const INTERNAL_FAILURE: u32 = 10;
pub const UNIMPLEMENTED: u32 = 12;

pub const REQUEST_HEADERS: u32 = 0;
pub const REQUEST_TRAILERS: u32 = 1;
pub const RESPONSE_HEADERS: u32 = 2;
pub const RESPONSE_TRAILERS: u32 = 3;
pub const LAST_MAP: u32 = 7;

pub const REQUEST_BODY: u32 = 0;
pub const RESPONSE_BODY: u32 = 1;
pub const GRPC_RECEIVE: u32 = 5;
pub const VM_CONFIGURATION: u32 = 6;
pub const PLUGIN_CONFIGURATION: u32 = 7;
pub const LAST_BUFFER: u32 = 8;

/// What a callback told Envoy to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    Continue,
    Pause,
}

/// A header list from literals.
pub fn headers(pairs: &[(&str, &str)]) -> Headers {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec())).collect()
}

/// The first value of a name.
pub fn value<'a>(headers: &'a Headers, name: &str) -> Option<&'a [u8]> {
    headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_slice())
}

/// Count, then all sizes, then names and values, each closed by a zero byte.
pub fn encode_pairs(pairs: &Headers) -> Vec<u8> {
    let mut bytes = (pairs.len() as u32).to_le_bytes().to_vec();
    for (name, value) in pairs {
        bytes.extend((name.len() as u32).to_le_bytes());
        bytes.extend((value.len() as u32).to_le_bytes());
    }
    for (name, value) in pairs {
        bytes.extend(name.as_bytes());
        bytes.push(0);
        bytes.extend(value);
        bytes.push(0);
    }
    bytes
}

/// The reverse; `None` if the guest's bytes are no pairs.
pub fn decode_pairs(bytes: &[u8]) -> Option<Headers> {
    if bytes.is_empty() {
        return Some(Headers::new());
    }
    let word = |at: usize| Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?) as usize);
    let count = word(0)?;
    let mut at = 4 + count.checked_mul(8)?;
    let mut part = |size: usize| {
        let part = bytes.get(at..at + size)?;
        at += size + 1;
        Some(part)
    };
    let mut pairs = Headers::new();
    for n in 0..count {
        let name = part(word(4 + n * 8)?)?;
        let value = part(word(8 + n * 8)?)?;
        // Envoy lower-cases every name it is given.
        pairs.push((String::from_utf8(name.to_vec()).ok()?.to_lowercase(), value.to_vec()));
    }
    Some(pairs)
}
