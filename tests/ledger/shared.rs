//! What the workers of one Envoy share: values with versions, as Envoy keeps them.
//!
//! Does not: come between a read and a write. What other workers do in between is another event of the schedule.

use std::collections::BTreeMap;

use engine::govern::Shared;

#[derive(Debug, Default)]
pub struct Data {
    values: BTreeMap<String, (Vec<u8>, u32)>,
    versions: u32,
}

impl Shared for Data {
    fn get(&mut self, key: &str) -> (Vec<u8>, u32) {
        self.values.get(key).cloned().unwrap_or_default()
    }

    fn swap(&mut self, key: &str, value: &[u8], version: u32) -> bool {
        let held = self.values.get(key).map_or(0, |(_, held)| *held);
        // Version 0 asks for none.
        if version != 0 && held != version {
            return false;
        }
        self.versions += 1;
        self.values.insert(key.to_owned(), (value.to_vec(), self.versions));
        true
    }
}
