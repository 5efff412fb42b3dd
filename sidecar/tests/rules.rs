//! A case for every rule of the configuration.
#![cfg(test)]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use sidecar::read;

/// File and line of a call that tells a fault.
type Site = (String, usize);

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn files(folder: &str, extension: &str) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![repository().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("the folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|found| found == extension) {
                files.push(path);
            }
        }
    }
    files
}

/// Every line of the sources that tells a fault: whoever adds a rule adds one.
fn written() -> BTreeSet<Site> {
    let calls = ["faults.add(", "faults.unknown(", "faults.meant(", "Fault::new(", "Fault::unknown("];
    let mut sites = BTreeSet::new();
    for folder in ["filter/engine/src/config", "sidecar/src/read"] {
        // What `Faults` itself calls is told in the name of its caller.
        for path in files(folder, "rs").iter().filter(|path| !path.ends_with("config/fault.rs")) {
            let source = std::fs::read_to_string(path).expect("a text");
            let code = source.lines().take_while(|line| *line != "#[cfg(test)]");
            let name = path.strip_prefix(repository()).expect("below it").display().to_string();
            let lines = code.enumerate().filter(|(_, line)| calls.iter().any(|call| line.contains(call)));
            sites.extend(lines.map(|(i, _)| (name.clone(), i + 1)));
        }
    }
    sites
}

/// Every such line that a case reached.
fn reached() -> BTreeSet<Site> {
    let cases = files("tests/bad-config", "yaml");
    let mut told: Vec<_> = cases.iter().map(|path| read::file(path).map(drop).expect_err("a bad case")).collect();
    // Three cases that are no files: one that is not there, one with more faults than a comment should list, and a filter's
    // document that no sidecar wrote.
    told.push(read::file(Path::new("/nowhere/attache.yaml")).map(drop).expect_err("there is none"));
    let many: String = (0..200).map(|i| format!("x{i}: 1\n")).collect();
    told.push(read::text(&many).map(drop).expect_err("nothing but unknown names"));
    let govern = serde_json::json!({ "version": 1, "providers": {}, "govern": { "unknown_price": "ask" } });
    told.push(engine::config::load_guest(govern).map(drop).expect_err("not what a sidecar writes"));
    for fault in told.iter().flatten() {
        let told = fault.to_string();
        assert!(!told.contains("s3cret") && !told.contains("5318008"), "a secret is echoed: {told}");
    }
    told.iter().flatten().map(|fault| (fault.rule.file().to_owned(), fault.rule.line() as usize)).collect()
}

#[test]
fn every_rule_is_broken_by_a_case() {
    let (written, reached) = (written(), reached());
    assert!(written.len() > 40, "{written:#?}");
    let unknown: Vec<_> = reached.difference(&written).collect();
    assert!(unknown.is_empty(), "told by lines that this test does not see: {unknown:#?}");
    let untested: Vec<_> = written.difference(&reached).collect();
    assert!(untested.is_empty(), "rules without a case in tests/bad-config: {untested:#?}");
}
