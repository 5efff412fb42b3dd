//! State that outlives a request, and the `attache` command's parts.
//!
//! Does not: decide about requests (that is `engine`) or understand formats (that is `wire`).

pub mod doctor;
pub mod envoy;
pub mod prices;
pub mod push;
pub mod read;
pub mod reference;
pub mod render;
pub mod serve;
