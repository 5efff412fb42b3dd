//! A new format is one folder and two lines: proven on a copy of `wire`, with a format made up for it.
//!
//! Does not: run the laws on it; those walk the tables, and this shows that the tables are all there is.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

/// Where in the table, and what is put there.
const EDITS: [(&str, &str); 2] =
    [("pub mod openai_chat;\n", "pub mod toy;\n"), ("pub static INBOUND: &[&dyn Inbound] = &[", "&toy::Toy, ")];

const TABLE: &str = "filter/wire/src/format/mod.rs";

#[test]
fn a_format_is_one_folder_and_two_lines() {
    let (root, copy) = (root(), PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("toy-format"));
    let fixture = root.join("tests/toy-format");
    for stale in ["filter", "check"] {
        let _ = fs::remove_dir_all(copy.join(stale));
    }
    copy_folder(&root.join("filter/wire/src"), &copy.join("filter/wire/src"));
    for file in ["filter/wire/Cargo.toml", "Cargo.lock"] {
        fs::copy(root.join(file), copy.join(file)).unwrap();
    }

    copy_folder(&fixture.join("toy"), &copy.join("filter/wire/src/format/toy"));
    let before = fs::read_to_string(copy.join(TABLE)).unwrap();
    let mut table = before.clone();
    for (after, added) in EDITS {
        let at = table.find(after).unwrap_or_else(|| panic!("{TABLE} has no {after:?}")) + after.len();
        table.insert_str(at, added);
    }
    assert_eq!(table.lines().filter(|line| !before.lines().any(|old| old == *line)).count(), 2, "two lines");
    fs::write(copy.join(TABLE), table).unwrap();

    // The rest is no part of the format: a workspace around the copy, and a program that asks it for something.
    let members = "members = [\"filter/wire\", \"check\"]";
    let manifest = fs::read_to_string(root.join("Cargo.toml")).unwrap();
    let lines = manifest.lines().filter(|line| !line.starts_with("default-members"));
    let lines = lines.map(|line| if line.starts_with("members = ") { members } else { line });
    fs::write(copy.join("Cargo.toml"), lines.collect::<Vec<_>>().join("\n")).unwrap();
    copy_folder(&fixture.join("check"), &copy.join("check/src"));
    copy_folder(&fixture.join("corpus"), &copy.join("check/corpus"));
    let package = "[package]\nname = \"check\"\nversion = \"0.0.0\"\nedition = \"2024\"\n\n[dependencies]\nwire.workspace = true\n";
    fs::write(copy.join("check/Cargo.toml"), package).unwrap();

    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut run = Command::new(cargo);
    run.args(["run", "--offline", "--quiet", "-p", "check"]).current_dir(&copy);
    let output = run.env("CARGO_TARGET_DIR", copy.join("target")).output().unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{told}{}", String::from_utf8_lossy(&output.stderr));
    assert!(told.contains("one folder and two lines"), "{told}");
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}
