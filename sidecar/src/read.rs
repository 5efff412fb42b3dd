//! `attache.yaml` from disk to the loader of `engine`, and secrets by reference.
//!
//! Does not: know any rule of the configuration. A file that cannot be read or is no YAML is a fault like any other.

use std::path::Path;

use anyhow::{Context as _, Result, bail};
use engine::config::{Fault, Loaded, load};

/// A configuration file.
///
/// # Errors
/// Every fault.
pub fn file(path: &Path) -> Result<Loaded, Vec<Fault>> {
    let yaml = std::fs::read_to_string(path).map_err(|error| {
        let expected = "a configuration file that can be read".to_owned();
        vec![Fault { path: path.display().to_string(), found: error.to_string(), expected, nearest: None }]
    })?;
    text(&yaml)
}

/// The text of a configuration file.
///
/// # Errors
/// Every fault.
pub fn text(yaml: &str) -> Result<Loaded, Vec<Fault>> {
    let options = serde_saphyr::options! {
        // Only `true` and `false`: a key named `on` is a name.
        strict_booleans: true,
        // JSON has no `.nan`; as a text it is a fault at its place.
        non_finite_float_policy: serde_saphyr::options::NonFiniteFloatPolicy::AsString,
        // A snippet would quote the lines around a slip, and secrets may be among them.
        with_snippet: false,
    };
    let document = serde_saphyr::from_str_with_options(yaml, options).map_err(|error| vec![malformed(&error)])?;
    load(document)
}

/// What keeps the text from being YAML. Lines and columns are all there is to tell the place by.
fn malformed(error: &serde_saphyr::Error) -> Fault {
    let place = error.location().map(|at| format!("line {}, column {}", at.line(), at.column())).unwrap_or_default();
    let message = error.to_string();
    let found = message.strip_suffix(&format!(" at {place}")).unwrap_or(&message);
    let (found, expected) = if let serde_saphyr::Error::DuplicateMappingKey { key, .. } = error {
        (format!("{:?} again", key.as_deref().unwrap_or_default()), "each name once")
    } else if matches!(error, serde_saphyr::Error::MultipleDocuments { .. }) {
        ("a second document".to_owned(), "one")
    } else {
        (found.to_owned(), "well-formed YAML")
    };
    let expected = expected.to_owned();
    Fault { path: place, found, expected, nearest: None }
}

/// The secret that `env:NAME` or `file:PATH` refers to, without the line break that editors leave at the end of a file.
///
/// # Errors
/// It is not there, empty, or cannot be sent in a header. The message names the reference, never the value.
pub fn secret(reference: &str) -> Result<String> {
    let value = match (reference.strip_prefix("env:"), reference.strip_prefix("file:")) {
        (Some(name), _) => std::env::var(name).with_context(|| format!("environment variable {name}"))?,
        (_, Some(path)) => std::fs::read_to_string(path).with_context(|| format!("reading {path}"))?,
        (None, None) => bail!("a reference is env:NAME or file:PATH"),
    };
    let value = value.trim_end_matches(['\r', '\n']);
    if value.is_empty() {
        bail!("{reference} is empty");
    }
    if !value.bytes().all(|b| b == b' ' || b.is_ascii_graphic()) {
        bail!("{reference} has characters that no header may hold");
    }
    Ok(value.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(yaml: &str) -> Vec<String> {
        text(yaml).map(|_| ()).unwrap_err().iter().map(Fault::to_string).collect()
    }

    #[test]
    fn a_file_that_is_no_yaml_is_told_by_line_and_column() {
        for (yaml, expected) in [
            ("a: [", "line 1, column 4: found unclosed bracket '[', expected well-formed YAML"),
            ("version: 1\nversion: 1", "line 2, column 1: found \"version\" again, expected each name once"),
            ("version: 1\n---\nversion: 1", "line 3, column 1: found a second document, expected one"),
            ("", "found nothing, expected a mapping"),
            ("- version: 1", "found a list, expected a mapping"),
        ] {
            assert_eq!(told(yaml), [expected], "{yaml}");
        }
    }

    #[test]
    fn names_that_other_yaml_versions_take_for_booleans_are_names() {
        let yaml = "version: 1\nproviders: {openai: {keys: [{name: on, models: [no]}]}}";
        let loaded = text(yaml).expect("a configuration");
        assert_eq!(loaded.snapshot.lanes[0].cluster, "openai_on");
    }

    #[test]
    fn a_number_that_is_none_is_a_fault_at_its_place() {
        let yaml = "version: 1\nproviders: {openai: {keys: [{name: a, weight: .nan, models: ['*']}]}}";
        assert_eq!(told(yaml), ["providers.openai.keys[0].weight: found a text, expected a number"]);
    }

    #[test]
    fn an_absent_file_is_a_fault() {
        let faults = file(Path::new("/nowhere/attache.yaml")).map(|_| ()).expect_err("there is none");
        assert_eq!(faults[0].path, "/nowhere/attache.yaml");
    }

    #[test]
    fn secrets_come_from_files_without_their_last_line_break() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("key");
        let reference = format!("file:{}", path.display());
        let put = |content: &str| {
            std::fs::write(&path, content).expect("written");
            secret(&reference).map_err(|error| error.to_string())
        };
        assert_eq!(put("sk-1\n"), Ok("sk-1".to_owned()));
        assert_eq!(put("\n"), Err(format!("{reference} is empty")));
        assert_eq!(put("sk-1\nx: y"), Err(format!("{reference} has characters that no header may hold")));
    }

    #[test]
    fn an_unset_variable_is_named() {
        let error = secret("env:ATTACHE_TEST_UNSET").expect_err("unset");
        assert_eq!(error.to_string(), "environment variable ATTACHE_TEST_UNSET");
    }
}
