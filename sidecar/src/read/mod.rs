//! `attache.yaml` from disk to the loader of `engine`, and secrets by reference.
//!
//! Does not: know any rule of the configuration. A file that cannot be read or is no YAML is a fault like any other.

mod place;
mod zone;

use std::path::Path;

use anyhow::{Context as _, Result, bail};
use engine::config::{self, Fault, Loaded, load};
use place::Places;

/// A configuration file.
///
/// # Errors
/// Every fault.
pub fn file(path: &Path) -> Result<Loaded, Vec<Fault>> {
    text(&content(path)?)
}

/// The text of a configuration file, as it is in the file.
///
/// # Errors
/// It cannot be read.
pub fn content(path: &Path) -> Result<String, Vec<Fault>> {
    std::fs::read_to_string(path).map_err(|error| {
        vec![Fault::new(&config::Path::root(), error.to_string(), "a configuration file that can be read")]
    })
}

/// The text of a configuration file.
///
/// # Errors
/// Every fault, from the top of the text to its end.
pub fn text(yaml: &str) -> Result<Loaded, Vec<Fault>> {
    let document = serde_saphyr::from_str_with_options(yaml, options()).map_err(|error| vec![malformed(&error)])?;
    let zones = zone::faults(&document);
    let mut faults = match load(document) {
        Ok(loaded) if zones.is_empty() => return Ok(loaded),
        Ok(_) => zones,
        Err(faults) => faults.into_iter().chain(zones).collect(),
    };
    if let Ok(places) = serde_saphyr::from_str_with_options::<Places>(yaml, options()) {
        faults.iter_mut().for_each(|fault| fault.place = places.find(&fault.path));
        faults.sort_by_key(|fault| fault.place);
    }
    Err(faults)
}

fn options() -> serde_saphyr::Options {
    serde_saphyr::options! {
        // Only `true` and `false`: a key named `on` is a name.
        strict_booleans: true,
        // JSON has no `.nan`; as a text it is a fault at its place.
        non_finite_float_policy: serde_saphyr::options::NonFiniteFloatPolicy::AsString,
        // A snippet would quote the lines around a slip, and secrets may be among them.
        with_snippet: false,
        // Room for a million keys; what aliases multiply is bounded by limits of its own.
        budget: serde_saphyr::budget! {
            max_events: 100_000_000,
            max_nodes: 50_000_000,
            max_total_scalar_bytes: 1 << 30,
        },
    }
}

/// What keeps the text from being YAML.
fn malformed(error: &serde_saphyr::Error) -> Fault {
    let root = config::Path::root();
    let fault = if let serde_saphyr::Error::DuplicateMappingKey { key, .. } = error {
        Fault::new(&root, format!("{:?} again", key.as_deref().unwrap_or_default()), "each name once")
    } else if matches!(error, serde_saphyr::Error::MultipleDocuments { .. }) {
        Fault::new(&root, "a second document", "one")
    } else {
        let message = error.to_string();
        let place = error.location().map(|at| format!(" at line {}, column {}", at.line(), at.column()));
        let found = place.and_then(|place| message.strip_suffix(&place)).unwrap_or(&message);
        Fault::new(&root, found, "well-formed YAML")
    };
    Fault { place: error.location().and_then(place::place), ..fault }
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
            ("a: [", "1:4: found unclosed bracket '[', expected well-formed YAML"),
            ("version: 1\nversion: 1", "2:1: found \"version\" again, expected each name once"),
            ("version: 1\n---\nversion: 1", "3:1: found a second document, expected one"),
            ("", "1:1: found nothing, expected a mapping"),
            ("- version: 1", "1:1: found a list, expected a mapping"),
        ] {
            assert_eq!(told(yaml), [expected], "{yaml}");
        }
    }

    #[test]
    fn many_keys_are_read_and_what_aliases_multiply_is_not() {
        let mut yaml =
            "version: 1\nproviders: {openai: {keys: [{name: a, models: ['*']}]}}\nvirtual_keys:\n".to_owned();
        for i in 0..26_000 {
            yaml.push_str(&format!("- {{name: k{i}, secret: 'sha256:{i:064x}', team: t, models: [a]}}\n"));
        }
        assert_eq!(text(&yaml).unwrap().virtual_keys.len(), 26_000);
        let mut laughs = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for i in 1..10 {
            let ten = format!("*a{}, ", i - 1).repeat(10);
            laughs.push_str(&format!("a{i}: &a{i} [{ten}]\n"));
        }
        let told = told(&laughs);
        assert!(told.len() == 1 && told[0].ends_with("expected well-formed YAML"), "{told:?}");
    }

    #[test]
    fn a_fault_stands_where_its_text_does() {
        let head = "version: 1\nproviders:\n  openai:\n    keys:\n";
        for (keys, expected) in [
            // A value, a name, and what is missing.
            ("    - name: a\n      models: ['*']\n      weight:  -1", "7:16: providers.openai.keys[0].weight: "),
            ("    - name: a\n      models: ['*']\n      x:  1", "7:7: providers.openai.keys[0].x: "),
            ("    - name: a", "5:7: providers.openai.keys[0].models: "),
            ("    - {name: a,\n       models: }", "6:14: providers.openai.keys[0].models: "),
            // Columns count characters.
            ("    - {name: \"ä\", models: ['*'], x: 1}", "5:14: providers.openai.keys[0].name: "),
        ] {
            let told = told(&format!("{head}{keys}"));
            assert!(told[0].starts_with(expected), "{keys}\n{told:#?}");
        }
    }

    #[test]
    fn a_fault_in_a_merge_or_an_alias_stands_where_it_was_written() {
        let yaml = "\
version: 1
providers:
  openai:
    keys:
    - &main {name: a, secret: s3cret, models: &all [1]}
    - {<<: *main, name: b}
    - {name: c, models: *all}
";
        let told = told(yaml);
        let places: Vec<_> = told.iter().filter_map(|fault| fault.split_once(": found")).map(|(at, _)| at).collect();
        let expected = [
            "5:31: providers.openai.keys[0].secret",
            "5:31: providers.openai.keys[1].secret",
            "5:53: providers.openai.keys[0].models[0]",
            "5:53: providers.openai.keys[1].models[0]",
            "5:53: providers.openai.keys[2].models[0]",
        ];
        assert_eq!(places, expected, "{told:#?}");
        assert!(!told.concat().contains("s3cret"), "{told:#?}");
    }

    #[test]
    fn a_secret_that_is_no_text_or_no_yaml_is_not_echoed() {
        for secret in [
            "s3cret",
            "!!int s3cret",
            "!s3cret x",
            "*s3cret",
            "&s3cret",
            "'s3cret",
            "s3cret: x",
            "\"\\q s3cret\"",
            "@s3cret",
            "[s3cret]",
            "{s3cret: x}",
            "{<<: s3cret}",
            "|s3cret",
            "!!binary s3cret",
        ] {
            let key =
                format!("version: 1\nproviders: {{openai: {{keys: [{{name: a, models: ['*'], secret: {secret} }}]}}}}");
            let told = told(&key).concat();
            assert!(!told.is_empty() && !told.contains("s3cret"), "{told}");
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
        assert_eq!(told(yaml), ["2:47: providers.openai.keys[0].weight: found a text, expected a number"]);
    }

    #[test]
    fn an_absent_file_is_a_fault() {
        let faults = file(Path::new("/nowhere/attache.yaml")).map(|_| ()).expect_err("there is none");
        assert!(faults[0].path.is_root() && faults[0].place.is_none(), "{faults:?}");
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
