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
#[cfg(feature = "schema")]
mod json_schema;
mod map;
mod node;
mod path;
pub mod schema;
pub mod snapshot;
mod text;

use serde_json::Value;

use fault::Faults;
pub use fault::{Fault, Place};
#[cfg(feature = "schema")]
pub use json_schema::json_schema;
pub use path::{Path, Step};
use snapshot::{Snapshot, VirtualKey};
pub use text::is_address;

/// A configuration without faults.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// What filter and renderer work with.
    pub snapshot: Snapshot,
    /// What the sidecar admits.
    pub virtual_keys: Vec<VirtualKey>,
    /// What the user wrote.
    pub typed: schema::Config,
}

/// The user's whole file.
///
/// # Errors
/// Every fault, in the order types before rules.
pub fn load(document: Value) -> Result<Loaded, Vec<Fault>> {
    read(document, check::Scope::Whole)
}

/// What [`guest`] made: the same rules, but that virtual keys are asked for elsewhere.
///
/// # Errors
/// Every fault.
pub fn load_guest(document: Value) -> Result<Snapshot, Vec<Fault>> {
    read(document, check::Scope::Guest).map(|loaded| loaded.snapshot)
}

fn read(document: Value, scope: check::Scope) -> Result<Loaded, Vec<Fault>> {
    let mut faults = Faults::default();
    let typed = document::read(document, &mut faults);
    let (snapshot, virtual_keys) = check::resolve(&typed, scope, &mut faults);
    let faults = faults.into_list();
    if faults.is_empty() { Ok(Loaded { snapshot, virtual_keys, typed }) } else { Err(faults) }
}

/// What goes into the filter: no virtual key and no reference to a secret.
#[must_use]
pub fn guest(typed: &schema::Config) -> Value {
    let mut guest = typed.clone();
    guest.auth = Some(check::auth(typed));
    guest.virtual_keys.clear();
    guest.providers.0.iter_mut().flat_map(|(_, provider)| &mut provider.keys).for_each(|key| key.secret = None);
    // Names and numbers: there is nothing in it that JSON cannot hold.
    let mut document = serde_json::to_value(guest).unwrap_or_default();
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
