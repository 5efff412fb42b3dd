//! Time zones of customers: the one rule that takes a table of the world.
//!
//! Decision: asked of the document, beside the loader and not after it, so that a wrong zone is told with all other
//! faults. Rejected: a list of names in `engine`, which would be a second one and would not know their rules.

use engine::config::{Fault, Path};
use serde_json::Value;

use crate::serve::window::Zone;

pub(super) fn faults(document: &Value) -> Vec<Fault> {
    let customers = document.get("customers").and_then(Value::as_object).into_iter().flatten();
    customers
        .filter_map(|(name, customer)| {
            // An empty one is the loader's to tell.
            let zone = customer.get("zone")?.as_str().filter(|zone| !zone.is_empty())?;
            if Zone::find(zone).is_some() {
                return None;
            }
            let path = Path::root().member("customers").member(name).member("zone");
            let names = Zone::names();
            Some(Fault::unknown(
                &path,
                zone,
                "a time zone such as Europe/Berlin, or UTC",
                names.iter().map(String::as_str),
            ))
        })
        .collect()
}
