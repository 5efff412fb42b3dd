//! The rules of the house: who may import whom, what may stand where.
//!
//! Does not: repeat what clippy checks where clippy can (clock, randomness and I/O are banned by each crate's
//! `.clippy.toml`). Decision: rules are read off manifests and source text, so that a broken one is named by file and
//! line. Rejected: a parser for Rust; every rule here is about a line.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// Which of our crates each may import. Tests and benchmarks may import all.
const ARROWS: &[(&str, &[&str])] = &[
    ("wire", &[]),
    ("engine", &["wire"]),
    ("sidecar-api", &["engine"]),
    ("filter", &["engine", "sidecar-api", "wire"]),
    ("sidecar", &["engine", "sidecar-api", "wire"]),
];

/// All that may come with `wire`: serde's family, which keeps a configuration's order in `indexmap`.
const WIRE_BRINGS: &[&str] = &[
    "equivalent",
    "foldhash",
    "hashbrown",
    "indexmap",
    "itoa",
    "memchr",
    "proc-macro2",
    "quote",
    "ryu",
    "serde",
    "serde_core",
    "serde_derive",
    "serde_json",
    "syn",
    "unicode-ident",
    "wire",
    "zmij",
];

/// All that may come with `engine` besides: a hash, which wipes its buffer, and the path of a fault.
const ENGINE_BRINGS: &[&str] = &[
    "block-buffer",
    "cfg-if",
    "const-oid",
    "cpufeatures",
    "crypto-common",
    "digest",
    "engine",
    "hybrid-array",
    "libc",
    "serde_path_to_error",
    "sha2",
    "typenum",
    "zeroize",
];

/// The top level, dotfiles and what git ignores aside.
const TOP: &[&str] = &[
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE",
    "Makefile",
    "README.md",
    "bench",
    "envoy",
    "examples",
    "filter",
    "sidecar",
    "tests",
];

const LONGEST_FILE: usize = 400;

/// The file that declares Envoy's imports, and the allocator that counts.
const UNSAFE: &[&str] = &["filter/src/host/ffi.rs", "filter/src/host/heap.rs"];

#[test]
fn crates_import_along_the_arrows_only() {
    let ours: BTreeSet<&str> = ARROWS.iter().map(|(name, _)| *name).chain(["tests", "bench", "instructions"]).collect();
    let metadata: Value = serde_json::from_str(&cargo(&["metadata", "--no-deps", "--format-version", "1"])).unwrap();
    let declared: BTreeMap<&str, Vec<&str>> = metadata["packages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|package| {
            let names = package["dependencies"].as_array().unwrap().iter().map(|d| d["name"].as_str().unwrap());
            (package["name"].as_str().unwrap(), names.filter(|name| ours.contains(name)).collect())
        })
        .collect();
    for (name, allowed) in ARROWS {
        for import in &declared[name] {
            assert!(allowed.contains(import), "{name} must not import {import}");
        }
    }
    let known: BTreeSet<&str> = declared.keys().copied().collect();
    assert_eq!(known, ours, "a new crate needs a row in ARROWS");
}

#[test]
fn pure_crates_bring_nothing_but_the_listed() {
    for (name, lists) in [("wire", &[WIRE_BRINGS][..]), ("engine", &[WIRE_BRINGS, ENGINE_BRINGS])] {
        let tree =
            cargo(&["tree", "-p", name, "-e", "normal", "--target", "all", "--prefix", "none", "--format", "{p}"]);
        let brought: BTreeSet<&str> = tree.lines().filter_map(|line| line.split(' ').next()).collect();
        assert!(brought.contains(name), "cargo tree printed no {name}");
        let surplus: Vec<_> = brought.iter().filter(|c| !lists.iter().any(|list| list.contains(c))).collect();
        assert!(surplus.is_empty(), "{name} also brings {surplus:?}");
    }
}

#[test]
fn only_the_guest_knows_proxy_wasm() {
    let tree =
        cargo(&["tree", "--workspace", "-i", "proxy-wasm", "-e", "normal", "--prefix", "none", "--format", "{p}"]);
    let parents: BTreeSet<&str> = tree.lines().filter_map(|line| line.split(' ').next()).collect();
    assert_eq!(parents, BTreeSet::from(["filter", "proxy-wasm"]));
}

#[test]
fn the_guest_is_built_without_the_configurations_schema() {
    let tree = |name| cargo(&["tree", "-p", name, "-e", "normal", "--prefix", "none", "--format", "{p}"]);
    assert!(tree("sidecar").contains("schemars "), "the command has it");
    assert!(!tree("filter").contains("schemars "), "the feature `schema` of engine is on");
}

#[test]
fn pure_crates_name_no_file_socket_thread_or_clock() {
    let banned = ["std::fs", "std::net", "std::env", "std::process", "std::thread", "Instant::", "SystemTime::"];
    no_line_in(&["filter/wire/src", "filter/engine/src"], |line| banned.iter().any(|word| line.contains(word)));
}

#[test]
fn a_format_imports_neither_another_format_nor_a_provider() {
    let formats = folders("filter/wire/src/format");
    for format in &formats {
        no_line_in(&[&format!("filter/wire/src/format/{format}")], |line| {
            line.contains("crate::provider")
                || formats.iter().any(|other| {
                    other != format
                        && (line.contains(&format!("format::{other}")) || line.contains(&format!("super::{other}")))
                })
        });
    }
}

#[test]
fn a_provider_imports_no_other_provider() {
    for path in rust_files().iter().filter(|path| path.starts_with(root().join("filter/wire/src/provider"))) {
        let own = path.file_stem().unwrap().to_str().unwrap();
        no_line_of(path, |line| {
            line.split("crate::provider::")
                .skip(1)
                .any(|rest| rest.starts_with(char::is_lowercase) && !rest.starts_with(own))
        });
    }
}

#[test]
fn the_ir_imports_nothing_of_ours_but_itself() {
    no_line_in(&["filter/wire/src/ir"], |line| line.split("crate::").skip(1).any(|rest| !rest.starts_with("ir")));
}

#[test]
fn nothing_that_runs_in_the_guest_can_panic_by_choice() {
    let banned = [".unwrap()", ".expect(\"", "panic!(", "unreachable!(", "todo!(", "unimplemented!("];
    no_line_in(&["filter/src", "filter/wire/src", "filter/engine/src"], |line| {
        banned.iter().any(|word| line.contains(word))
    });
}

#[test]
fn unsafe_stands_in_the_named_files() {
    let named = |path: &Path| UNSAFE.iter().any(|file| path == root().join(file)) || path.ends_with("tests/house.rs");
    for path in rust_files().iter().filter(|path| !named(path)) {
        let text = std::fs::read_to_string(path).unwrap();
        for (number, line) in text.lines().enumerate() {
            let words = line.split(|c: char| !c.is_alphanumeric() && c != '_');
            let code = !line.trim_start().starts_with("//");
            assert!(
                !code || words.into_iter().all(|word| word != "unsafe"),
                "{}:{}: {line}",
                path.display(),
                number + 1
            );
        }
    }
}

#[test]
fn no_file_is_longer_than_four_hundred_lines() {
    let long: Vec<_> = rust_files()
        .into_iter()
        .map(|path| (std::fs::read_to_string(&path).unwrap().lines().count(), path))
        .filter(|(lines, _)| *lines > LONGEST_FILE)
        .collect();
    assert!(long.is_empty(), "{long:?}");
}

#[test]
fn the_top_level_is_the_fixed_list() {
    let found: BTreeSet<String> = std::fs::read_dir(root())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| !name.starts_with('.') && name != "target")
        .collect();
    assert_eq!(found, TOP.iter().map(ToString::to_string).collect());
}

#[test]
fn paths_named_in_documents_exist() {
    let mut named = 0;
    for document in files(&root(), "md") {
        let text = std::fs::read_to_string(&document).unwrap();
        for (number, line) in text.lines().enumerate() {
            for path in paths_in(line) {
                let beside = document.parent().unwrap().join(path);
                assert!(
                    beside.exists() || root().join(path).exists(),
                    "{}:{}: no such path: {path}",
                    document.display(),
                    number + 1
                );
                named += 1;
            }
        }
    }
    assert!(named > 0, "no document names a path");
}

/// `FILE.rs::NAME` names a function of that file.
#[test]
fn functions_named_in_documents_exist() {
    let mut named = 0;
    for document in files(&root(), "md") {
        let text = std::fs::read_to_string(&document).unwrap();
        for (path, function) in text.split('`').skip(1).step_by(2).filter_map(|word| word.split_once(".rs::")) {
            let source = std::fs::read_to_string(root().join(format!("{path}.rs"))).unwrap_or_default();
            let shown = document.display();
            assert!(source.contains(&format!("fn {function}(")), "{shown}: {path}.rs has no function {function}");
            named += 1;
        }
    }
    assert!(named > 0, "no document names a function");
}

/// In both directions: nothing undocumented, nothing documented that is gone.
#[test]
fn metrics_are_those_of_their_document() {
    let named = |path: &str, quote: char| -> BTreeSet<String> {
        let text = std::fs::read_to_string(root().join(path)).unwrap();
        let text = text.split("#[cfg(test)]").next().unwrap().to_owned();
        let quoted = text.split(quote).map(str::to_owned);
        quoted.filter(|word| word.starts_with("attache_") && !word.contains([' ', '.', '{'])).collect()
    };
    let code: BTreeSet<_> =
        ["sidecar/src/serve/metrics.rs", "sidecar/src/serve/metrics/limits.rs", "filter/src/metrics.rs"]
            .into_iter()
            .flat_map(|path| named(path, '"'))
            .collect();
    assert!(code.len() > 20, "{code:?}");
    assert_eq!(named("filter/docs/metrics.md", '`'), code);
}

#[test]
fn decisions_are_short_and_numbered_without_a_gap() {
    let mut records = files(&root().join("filter/docs/decisions"), "md");
    records.sort();
    assert!(!records.is_empty());
    for (index, record) in records.iter().enumerate() {
        let name = record.file_name().unwrap().to_str().unwrap();
        assert!(name.starts_with(&format!("{:04}-", index + 1)), "{name} is not number {}", index + 1);
        let text = std::fs::read_to_string(record).unwrap();
        assert!(text.lines().count() <= 60, "{name} is longer than 60 lines");
        for part in ["## Context", "## Choice", "## Rejected", "## Consequence"] {
            assert!(text.contains(part), "{name} has no {part}");
        }
    }
}

/// Link targets, and words in backticks that start like a path of this repository.
fn paths_in(line: &str) -> Vec<&str> {
    let links = line.split("](").skip(1).filter_map(|rest| rest.split([')', '#']).next());
    let links = links.filter(|target| !target.is_empty() && !target.contains("://"));
    let quoted = line.split('`').skip(1).step_by(2).filter(|word| {
        let first = word.split('/').next().unwrap_or_default();
        word.contains('/') && (TOP.contains(&first) || [".ci", ".github"].contains(&first))
    });
    let plain = |path: &&str| !path.contains(['*', '<', '{', ' ', '…']) && !path.contains("NNNN");
    links.chain(quoted).filter_map(|path| path.split("::").next()).filter(plain).collect()
}

/// Fails on the first line of code, tests aside, that `bad` picks.
fn no_line_in(folders: &[&str], bad: impl Fn(&str) -> bool) {
    let files: Vec<_> =
        rust_files().into_iter().filter(|path| folders.iter().any(|f| path.starts_with(root().join(f)))).collect();
    assert!(!files.is_empty(), "no source in {folders:?}");
    for path in files {
        no_line_of(&path, &bad);
    }
}

fn no_line_of(path: &Path, bad: impl Fn(&str) -> bool) {
    let within = path.strip_prefix(root()).unwrap();
    if within.ends_with("tests.rs") || within.components().any(|part| part.as_os_str() == "tests") {
        return;
    }
    let text = std::fs::read_to_string(path).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let tests = lines.windows(2).position(|pair| pair[0] == "#[cfg(test)]" && pair[1].ends_with('{'));
    for (number, line) in lines.iter().enumerate().take(tests.unwrap_or(lines.len())) {
        let comment = line.trim_start().starts_with("//");
        assert!(comment || !bad(line), "{}:{}: {}", path.display(), number + 1, line.trim());
    }
}

fn folders(under: &str) -> Vec<String> {
    let entries = std::fs::read_dir(root().join(under)).unwrap().map(Result::unwrap);
    entries.filter(|e| e.path().is_dir()).map(|e| e.file_name().into_string().unwrap()).collect()
}

#[test]
fn the_shipped_module_cannot_be_killed_by_a_header() {
    let holds = |wasm: std::path::PathBuf| {
        let (wasm, mark) = (std::fs::read(wasm).unwrap(), b"x-attache-trap");
        wasm.windows(mark.len()).any(|window| window == mark)
    };
    assert!(!holds(tests::stack::wasm().unwrap()));
    assert!(holds(tests::stack::wasm_with_trap().unwrap()), "nobody would see it");
}

fn rust_files() -> Vec<PathBuf> {
    files(&root(), "rs")
}

/// Every file with this extension, hidden folders, build output and installed packages aside.
fn files(under: &Path, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(under).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if path.is_dir() && !name.starts_with('.') && !["target", "node_modules"].contains(&name) {
            found.append(&mut files(&path, extension));
        } else if path.extension().is_some_and(|e| e == extension) {
            found.push(path);
        }
    }
    found
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn cargo(arguments: &[&str]) -> String {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo).args(arguments).arg("--offline").current_dir(root()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}
