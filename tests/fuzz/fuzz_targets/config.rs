//! Any document is a configuration or a list of faults, and what the user's loader takes the guest's takes too.

#![no_main]

use engine::config;
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

fuzz_target!(|bytes: &[u8]| {
    let Ok(document) = serde_json::from_slice::<Value>(bytes) else { return };
    match config::load(document.clone()) {
        Ok(loaded) => {
            let guest = config::guest(&loaded);
            assert!(!guest.to_string().contains("\"secret\""), "{guest}");
            let again = config::load_guest(guest.clone());
            assert!(again.is_ok(), "{again:?}: {guest}");
        }
        Err(faults) => assert!(!faults.is_empty() && faults.iter().all(|fault| !fault.to_string().is_empty())),
    }
    let _ = config::load_guest(document);
});
