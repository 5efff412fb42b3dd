//! Anthropic's own API.

use super::{Base, Provider, X_API_KEY};
use crate::format::anthropic::Anthropic;

/// The row.
pub static ROWS: &[Provider] = &[Provider {
    name: "anthropic",
    base: Base::Fixed("https://api.anthropic.com/v1"),
    format: &Anthropic,
    auth: X_API_KEY,
    narrows: &[],
    docs: "https://docs.anthropic.com/en/api/overview",
}];
