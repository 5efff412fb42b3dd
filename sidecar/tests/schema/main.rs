//! The JSON Schema: as strict as a schema can be, and never stricter than the loader.
#![cfg(test)]

mod values;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use engine::config::{Fault, Step, json_schema, load};
use jsonschema::Validator;
use serde_json::{Map, Value};
use sidecar::read;

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn validator() -> Validator {
    jsonschema::options().build(&json_schema()).expect("a schema")
}

/// As an editor sees it; none if it is no YAML.
fn document(yaml: &str) -> Option<Value> {
    let options = serde_saphyr::options! {
        strict_booleans: true,
        non_finite_float_policy: serde_saphyr::options::NonFiniteFloatPolicy::AsString,
    };
    serde_saphyr::from_str_with_options(yaml, options).ok()
}

/// Has every kind of member once.
fn whole() -> Value {
    let yaml = r#"
version: 1
allow_open: true
providers:
  openai: { keys: [{ name: main, models: ["*"] }] }
  mine:
    base_url: https://example.com
    allow_insecure: true
    format: openai_chat
    path: /x
    auth_header: { name: api-key }
    keys: [{ name: main, secret: "env:KEY", models: ["*"] }]
    limits: [{ requests: 1, per: 1m }]
models: { chat: { candidates: [{ provider: openai, model: x }] } }
global: {}
customers: { acme: { limits: [{ money: 1, per: 1M, on_exhausted: { pool: spare } }] } }
teams: { search: { customer: acme } }
pools: { spare: { limits: [{ concurrent: 1 }] } }
prices: [{ provider: openai, model: x, input: 1 }]
governance: {}
identities: [{ from: peer, match: "a/{b}", team: "{b}" }]
virtual_keys:
  - name: prod
    secret: env:VK
    former: { secret: "env:OLD", until: "2026-12-01T00:00:00Z" }
    models: ["*"]
    team: search
    candidates: [{ provider: openai, models: [x], limits: [{ money: 1, per: 1d }] }]
    limits: [{ total_tokens: 1, per: 1w }]
retry: { rest: {} }
limits: {}
timeouts: {}
hold: {}
sidecar: { allow_insecure: true }
routing: {}
"#;
    document(yaml).expect("YAML")
}

#[test]
fn what_is_made_from_the_schema_is_current() {
    for (arguments, file) in
        [(&["schema"][..], "envoy/attache.schema.json"), (&["schema", "--markdown"], "filter/docs/configuration.md")]
    {
        let out = Command::new(env!("CARGO_BIN_EXE_attache")).args(arguments).output().expect("it starts");
        let kept = std::fs::read(repository().join(file)).unwrap_or_default();
        assert!(out.status.success() && out.stdout == kept, "{file} is stale: run `make envoy`");
    }
}

#[test]
fn it_is_a_schema_and_every_example_fits_it() {
    assert!(jsonschema::meta::is_valid(&json_schema()));
    let validator = validator();
    let files: Vec<PathBuf> = std::fs::read_dir(repository().join("examples"))
        .expect("the folder")
        .map(|entry| entry.expect("an entry").path().join("attache.yaml"))
        .filter(|path| path.exists())
        .collect();
    assert!(files.len() >= 2, "{files:?}");
    let mut texts: Vec<String> = files.iter().map(|path| std::fs::read_to_string(path).expect("a text")).collect();
    // Its runner puts in the version, and files for the secrets.
    let demo = std::fs::read_to_string(repository().join("tests/demo/attache.yaml")).expect("a text");
    texts.push(format!("version: 1\n{}", demo.replace("{{", "file:").replace("}}", "")));
    let readme = std::fs::read_to_string(repository().join("README.md")).expect("a text");
    let quoted = readme.split_once("<<'EOF'\n").and_then(|(_, rest)| rest.split_once("\nEOF\n"));
    texts.push(quoted.expect("the README's configuration").0.to_owned());
    for text in texts {
        let wrong: Vec<_> = validator.iter_errors(&document(&text).expect("YAML")).map(|e| e.to_string()).collect();
        assert!(wrong.is_empty(), "{wrong:?}\n{text}");
    }
}

/// What no schema tells: rules between values. By what the loader expects.
const BEYOND: &[&str] = &[
    "at least one, since auth is required and nobody could call",
    "a loopback address, `auth: required`, or `allow_open: true`",
    // Of an address and the switch beside it.
    "`allow_insecure: true`",
    "a known provider's name, or `like`, or `base_url` and `format`",
    ", since no known provider has this name",
    ", since every customer has an address of its own",
    "https://: HTTP/2 is agreed on in the TLS handshake",
    "a name under `providers`",
    "a model in `models` of a key of provider",
    "a name of its own",
    "a secret of its own",
    "at least one above 0",
    "less than hold.max",
    "a duration that is not shorter than sidecar.deadline",
    "at least four times limits.body",
    "memory such as 2GiB or 512MiB, 64MiB to 1TiB",
    "no less than the first rest",
    "at least one of status, code and message",
    "no rest: whoever sends such a request",
    // A list of names in any case.
    "a header that is not the gateway's own",
    "one of requests, input_tokens, output_tokens, total_tokens, money, concurrent",
    "one of them; each other in a limit of its own",
    "no `per`: concurrent counts what is under way now",
    "the time in which it counts, such as",
    "each once in a scope: they would be one account",
    "dollars with at most 9 decimals",
    "dollars per million tokens with at most 6 decimals",
    "one price for a model",
    "either {downgrade: [MODEL]} or {pool: NAME}",
    "a model that somebody serves",
    "a name under `pools`",
    "block, alert_only or shadow: nothing stands in for a pool",
    "a name under `customers`",
    ", to whom team",
    "one of the two, since they are the same",
    "`sidecar.key_secret`, under which it was made",
    // A day that its month does not have.
    "a time such as 2027-01-31T00:00:00Z",
    // The table of the world.
    "a time zone such as Europe/Berlin",
    "a name with {part} or * in it",
    "a name, which may use what `match` takes",
    "a name in braces that `match` takes",
    "who it is: `key`, or `team` and `customer`",
    "one of the two: a key says whose it is",
    "the name of a virtual key",
];

/// Does the schema refuse what the loader does, there or, for names and what is missing, in the mapping around it? What is
/// wrong within one of several kinds of a value is told of the value.
fn refused(fault: &Fault, errors: &BTreeSet<(String, String)>) -> bool {
    let steps: Vec<String> = fault
        .path
        .steps()
        .iter()
        .map(|step| match step {
            Step::Member(name) => format!("/{}", name.replace('~', "~0").replace('/', "~1")),
            Step::Index(index) => format!("/{index}"),
        })
        .collect();
    let around = steps.split_last().map(|(_, around)| around.concat());
    let of_members = ["required", "additionalProperties", "propertyNames"];
    errors.iter().any(|(at, keyword)| {
        let choice = keyword == "anyOf" && steps.concat().starts_with(at.as_str());
        choice || *at == steps.concat() || around.as_ref() == Some(at) && of_members.contains(&keyword.as_str())
    })
}

#[test]
fn it_refuses_every_bad_case_at_its_place_but_for_rules_between_values() {
    let validator = validator();
    let mut used = BTreeSet::new();
    let mut passed = Vec::new();
    let mut compared = 0;
    for entry in std::fs::read_dir(repository().join("tests/bad-config")).expect("the folder") {
        let path = entry.expect("an entry").path();
        let yaml = std::fs::read_to_string(&path).expect("a text");
        let Some(document) = document(&yaml) else { continue };
        let errors = validator.iter_errors(&document);
        let errors =
            errors.map(|error| (error.instance_path().to_string(), error.kind().keyword().to_owned())).collect();
        for fault in read::text(&yaml).map(drop).expect_err("a bad case") {
            compared += 1;
            if refused(&fault, &errors) {
                continue;
            }
            match BEYOND.iter().find(|beyond| fault.expected.contains(**beyond)) {
                Some(beyond) => drop(used.insert(*beyond)),
                None => passed.push(format!("{}:{fault}", path.display())),
            }
        }
    }
    assert!(passed.is_empty(), "the schema lets pass: {passed:#?}");
    assert!(compared > 100, "{compared}");
    let unused: Vec<_> = BEYOND.iter().filter(|beyond| !used.contains(*beyond)).collect();
    assert!(unused.is_empty(), "no case for: {unused:#?}");
}

/// Puts every default of the schema where the document has none.
fn fill(schema: &Value, document: &mut Value, filled: &mut usize) {
    match document {
        Value::Array(elements) => elements.iter_mut().for_each(|element| fill(&schema["items"], element, filled)),
        Value::Object(members) => {
            for (name, member) in schema["properties"].as_object().unwrap_or(&Map::new()) {
                if let (Some(default), None) = (member.get("default"), members.get(name)) {
                    members.insert(name.clone(), default.clone());
                    *filled += 1;
                }
            }
            for (name, member) in members {
                let within = schema["properties"].get(name).unwrap_or(&schema["additionalProperties"]);
                fill(within, member, filled);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[test]
fn its_defaults_are_the_loaders() {
    let without = whole();
    let mut with = without.clone();
    let mut filled = 0;
    fill(&json_schema(), &mut with, &mut filled);
    let written = json_schema().to_string().matches(r#""default":"#).count();
    assert!(filled >= written - 1, "{filled} of {written}: a member that the document has already has none to be put");
    assert!(validator().is_valid(&with));
    let told = |document| {
        let loaded = load(document).unwrap_or_else(|faults| panic!("{faults:#?}"));
        format!("{:#?}{:#?}", loaded.snapshot, loaded.virtual_keys)
    };
    assert_eq!(told(with), told(without));
}
