//! A body that scans is one object, and stays one under every provider's edits.

#![no_main]

use libfuzzer_sys::fuzz_target;
use wire::ir::Losses;
use wire::json::Object;
use wire::provider;
use wire::scan::{scan, splice};

fuzz_target!(|body: &[u8]| {
    let Ok(found) = scan(body) else { return };
    assert!(Object::parse(body).is_ok());
    for name in provider::names() {
        let Some(row) = provider::find(name) else { continue };
        let mut edits = row.format.edits(&found, "model");
        if row.format.particular(&found) {
            edits.extend(row.format.mend(&found, body, &mut Losses::default()));
        }
        let spliced = splice(body, &edits);
        let again = scan(&spliced);
        assert!(
            again.is_ok_and(|scan| scan.model.as_deref() == Some("model") && scan.fallbacks_at.is_none()),
            "{name}"
        );
    }
});
