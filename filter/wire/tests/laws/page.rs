//! Documents that are written by tests.
//!
//! A test that finds one stale says so; with `ATTACHE_BLESS` in its environment it writes it instead.

#![expect(clippy::disallowed_methods, reason = "tests read and write documents")]

use std::fs;
use std::path::{Path, PathBuf};

/// Documents of this folder.
pub(crate) fn folder(below: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs").join(below)
}

/// The document must say exactly this.
pub(crate) fn check(path: &str, text: &str) {
    let at = folder("").join(path);
    if std::env::var_os("ATTACHE_BLESS").is_some() {
        fs::create_dir_all(at.parent().unwrap()).unwrap();
        return fs::write(&at, text).unwrap();
    }
    let have = fs::read_to_string(&at).unwrap_or_default();
    let line = have.lines().zip(text.lines()).take_while(|(a, b)| a == b).count();
    assert!(
        have == text,
        "filter/docs/{path} is stale from line {}:\n  has  {}\n  wants {}\nwrite it anew with `make envoy`",
        line + 1,
        have.lines().nth(line).unwrap_or("nothing"),
        text.lines().nth(line).unwrap_or("nothing"),
    );
}

/// The folder holds these documents and no others.
pub(crate) fn check_folder(below: &str, names: &[String]) {
    let mut have: Vec<String> = fs::read_dir(folder(below))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| !names.contains(name))
        .collect();
    have.sort();
    assert!(have.is_empty(), "filter/docs/{below} holds documents that nothing writes: {have:?}");
}

/// A cell of a table: a pipe would end it.
pub(crate) fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

/// Code inside a cell.
pub(crate) fn code(text: &str) -> String {
    format!("`{}`", cell(text))
}
