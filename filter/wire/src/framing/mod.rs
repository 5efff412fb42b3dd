//! How messages are cut out of a byte stream.

pub mod sse;

/// One message of a stream.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Frame {
    /// Its name, where the framing has one.
    pub event: Option<String>,
    /// Its payload.
    pub data: String,
    /// The one before it was too large and is missing.
    pub after_gap: bool,
}
