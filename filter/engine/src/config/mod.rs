//! `attache.yaml`: typed stage ([`schema`]), resolved stage ([`snapshot`]), and [`load`] from one to the other.
//!
//! Does not: read YAML, files or the environment. Hosts bring the document as a JSON value, so filter, sidecar, command
//! and tests share one loader and differ only in the text they parse.
//!
//! Decision: load, don't validate: whoever holds a [`Snapshot`] holds a configuration without faults. Rejected: a
//! protobuf twin for the filter, which would need conversions and could differ.

mod check;
mod document;
mod fault;
mod governing;
#[cfg(feature = "schema")]
mod json_schema;
mod map;
mod node;
mod path;
pub mod schema;
pub mod snapshot;
pub(crate) mod text;
mod time;

use std::sync::Arc;

use serde_json::Value;

use fault::Faults;
pub use fault::{Fault, Place};
#[cfg(feature = "schema")]
pub use json_schema::json_schema;
pub use path::{Path, Step};
use snapshot::{Governance, Snapshot, VirtualKey};
pub use text::is_address;

/// A configuration without faults.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// What filter and renderer work with.
    pub snapshot: Snapshot,
    /// What the sidecar admits. Shared: there may be a million, and a configuration has several holders.
    pub virtual_keys: Arc<Vec<VirtualKey>>,
    /// What the sidecar governs by.
    pub governance: Governance,
    /// What the user wrote, without what only the sidecar reads.
    pub typed: schema::Config,
}

/// The user's whole file.
///
/// # Errors
/// Every fault, in the order types before rules.
pub fn load(mut document: Value) -> Result<Loaded, Vec<Fault>> {
    let mut faults = Faults::default();
    let parts = document::Parts::take(&mut document, &mut faults);
    let typed = document::read(document, &mut faults);
    let (snapshot, virtual_keys, governance) = check::whole(&typed, parts, &mut faults);
    faults.or(Loaded { snapshot, virtual_keys: Arc::new(virtual_keys), governance, typed })
}

/// What [`guest`] made: the same rules, but that virtual keys and limits are asked for elsewhere.
///
/// # Errors
/// Every fault.
pub fn load_guest(mut document: Value) -> Result<Snapshot, Vec<Fault>> {
    let mut faults = Faults::default();
    let govern = governing::take(&mut document);
    let typed = document::read(document, &mut faults);
    let mut snapshot = check::resolve(&typed, &mut faults);
    governing::read(govern, &mut snapshot.govern, &mut faults);
    faults.or(snapshot)
}

/// What goes into the filter: no virtual key, no limit, and no reference to a secret.
#[must_use]
pub fn guest(loaded: &Loaded) -> Value {
    let mut guest = loaded.typed.clone();
    guest.auth = Some(loaded.snapshot.auth);
    guest.sidecar.key_secret = None;
    guest.providers.0.iter_mut().flat_map(|(_, provider)| &mut provider.keys).for_each(|key| key.secret = None);
    // Names and numbers: there is nothing in it that JSON cannot hold.
    let mut document = serde_json::to_value(guest).unwrap_or_default();
    governing::put(&mut document, &loaded.snapshot.govern);
    leave_out_nothing(&mut document);
    document
}

/// What the user did not write does not get written.
fn leave_out_nothing(value: &mut Value) {
    match value {
        Value::Object(members) => {
            members.retain(|_, member| !member.is_null());
            members.values_mut().for_each(leave_out_nothing);
        }
        Value::Array(elements) => elements.iter_mut().for_each(leave_out_nothing),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
