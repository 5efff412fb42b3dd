//! What single values look like: schema and loader, asked about the same ones.

use engine::config::load;
use jsonschema::Validator;
use serde_json::{Value, json};

use super::{validator, whole};

/// Pointers, and below them what is fine and what is not.
type Row<'a> = (&'a [&'a str], &'a [&'a str], &'a [&'a str]);

const SHA: &str = "sha256:0123456789abcdefABCDEF0123456789abcdefABCDEF0123456789abcdef0123";

const TEXTS: &[Row<'_>] = &[
    (&["/listen", "/sidecar/admin"], &["127.0.0.1:8080", "[::1]:1"], &["localhost:8080", "8080", "127.0.0.1", ""]),
    (
        &[
            "/retry/backoff",
            "/timeouts/connect",
            "/timeouts/first_content",
            "/timeouts/complete",
            "/timeouts/idle",
            "/sidecar/deadline",
            "/sidecar/key_ttl",
            "/sidecar/poll",
        ],
        &["1ms", "007s", "86400000ms", "86400s", "1440m", "24h", "1h", "99m", "999s"],
        &["", "5", "ms", "0s", "-1s", "1.5s", "5 s", "25h", "1441m", "86401s", "86400001ms", "5µs", "1d"],
    ),
    (&["/sidecar/store"], &["a.db", "/b"], &[""]),
    (
        &["/limits/body", "/limits/body_rate"],
        &["1", "065536", "64KiB", "1024MiB", "1GiB"],
        &["", "0", "32MB", "MiB", "2GiB", "1025MiB", "-1"],
    ),
    (
        &["/sidecar/address"],
        &["unix:/run/a.sock", "unix:a", "sidecar:9090", "[::1]:9090", "1.2.3.4:1"],
        &["", "unix:", "/run/a.sock", "host", "host:0", ":80", "host:http", "a b:80"],
    ),
    (
        &["/providers/mine/base_url"],
        &["https://a", "http://a:1/", "https://[::1]:8/v1//x", "https://a_b.c-d/v1/", "https://a/.b/..c/~"],
        &["", "a", "ftp://a", "https://", "https://u@a", "https://a?b", "https://a/#", "https://-a", "https://a:0"],
    ),
    (
        &["/providers/mine/base_url"],
        &[],
        &["https://a/..", "https://a/./b", "https://a/ b", "https://::1", "https://ä"],
    ),
    (
        &["/providers/mine/path"],
        &["/", "/a//b", "/.a", "/a:b@c", "/d/{model}/chat?api-version=1", "/a?b=c&d"],
        &["", "a", "/../b", "/a/.", "/a#b", "/a b", "/ä", "/{other}/a", "/a{model}", "/a?b={model}", "/a?b/c", "/a?"],
    ),
    (&["/providers/mine/format"], &["anthropic"], &["", "Anthropic", "x"]),
    (&["/providers/mine/like"], &["openai", "anthropic"], &["", "OpenAI", "x"]),
    (&["/providers/mine/auth_header/name"], &["X-Key", "a.b~"], &["", "a b", "a:", "ä"]),
    (&["/providers/mine/auth_header/prefix"], &["", "Bearer ", "~"], &["\t", "ä", "a\nb"]),
    (&["/providers/mine/keys/0/name"], &["a", "0", "a-b"], &["", "-a", "A", "a_b", "a.b"]),
    (&["/providers/mine/keys/0/secret"], &[], &[SHA]),
    (&["/virtual_keys/0/secret"], &[SHA], &[]),
    (
        &["/virtual_keys/0/limits/0/per", "/customers/acme/limits/0/per"],
        &["1s", "30s", "5m", "9999h", "1d", "90d", "1w", "1M", "1Q", "1Y"],
        &["", "60", "0d", "01d", "10000s", "2w", "12M", "1D", "1month", "1.5h", "-1d", "1 d"],
    ),
    (
        &["/virtual_keys/0/expires", "/virtual_keys/0/former/until"],
        &["2027-01-31T00:00:00Z", "2027-01-31t01:00:00.5+01:00", "1970-01-01T00:00:00z"],
        &["", "tomorrow", "2027-01-31", "2027-01-31 00:00:00Z", "2027-01-31T00:00:00", "2027-01-31T00:00Z"],
    ),
    (&["/virtual_keys/0/limits/0/on_exhausted"], &["block", "alert_only", "shadow"], &["", "Block", "downgrade"]),
    (&["/identities/0/from"], &["peer", "xfcc"], &["", "jwt"]),
    (
        &["/providers/mine/keys/0/secret", "/virtual_keys/0/secret"],
        &["env:_A1", "file:/run/a b"],
        &["sk-1", "env:", "env:1A", "env:A-B", "file:", "file:a\nb", "sha256:00", ""],
    ),
    (
        &["/providers/mine/keys/0/models/0", "/virtual_keys/0/models/0"],
        &["*", "gpt-*", "a b", "a *", "gpt-5.1", "ü", "a/b:c"],
        &["", " a", "a ", "*a", "a**", "a\tb"],
    ),
    (
        &["/models/chat/candidates/0/model", "/virtual_keys/0/name"],
        &["*", "a*b", "a b", "ü"],
        &["", " a", "a ", "a\nb", "\u{7f}"],
    ),
];

/// The document with this value in this place.
fn put(pointer: &str, value: Value) -> Value {
    let (around, name) = pointer.rsplit_once('/').expect("a pointer");
    let mut document = whole();
    let around = document.pointer_mut(around).expect(pointer);
    if around.is_array() {
        around[0] = value;
    } else {
        around[name] = value;
    }
    document
}

fn agree(validator: &Validator, pointer: &str, value: &Value, expected: bool) {
    let document = put(pointer, value.clone());
    assert_eq!(validator.is_valid(&document), expected, "the schema about {value} at {pointer}");
    assert_eq!(load(document).is_ok(), expected, "the loader about {value} at {pointer}");
}

#[test]
fn schema_and_loader_agree_about_texts() {
    let validator = validator();
    for (pointers, good, bad) in TEXTS {
        for pointer in *pointers {
            good.iter().for_each(|text| agree(&validator, pointer, &json!(text), true));
            bad.iter().for_each(|text| agree(&validator, pointer, &json!(text), false));
        }
    }
}

#[test]
fn schema_and_loader_agree_about_numbers() {
    let validator = validator();
    let weights = ([json!(1), json!(0.5), json!(1e12)], [json!(-1), json!(2e12), json!("1")]);
    let money = ([json!(1), json!(0.000_000_001), json!(1e9)], [json!(0), json!(-1), json!(2e9), json!("1")]);
    let price = ([json!(0), json!(2.5), json!(1e6)], [json!(-1), json!(2e6), json!("1")]);
    let amounts = ([json!(1), json!(1_000_000_000_000_000_u64)], [json!(0), json!(-1), json!(1.5), json!(2e15)]);
    let rows: [(&str, &[Value], &[Value]); 13] = [
        ("/customers/acme/limits/0/money", &money.0, &money.1),
        ("/prices/0/input", &price.0, &price.1),
        ("/virtual_keys/0/limits/0/total_tokens", &amounts.0, &amounts.1),
        ("/pools/spare/limits/0/concurrent", &amounts.0, &amounts.1),
        ("/version", &[json!(1)], &[json!(0), json!(2), json!("1"), Value::Null]),
        ("/limits/body", &[json!(1), json!(1 << 30)], &[json!(0), json!((1 << 30) + 1), json!(-1), json!(1.5)]),
        ("/limits/connections", &[json!(1), json!(1_000_000)], &[json!(0), json!(1_000_001), json!("1")]),
        ("/retry/max", &[json!(1), json!(32)], &[json!(0), json!(33), json!(1.5), json!("1")]),
        ("/retry/per_candidate", &[json!(1), json!(32)], &[json!(0), json!(33)]),
        ("/providers/openai/keys/0/weight", &weights.0, &weights.1),
        ("/models/chat/candidates/0/weight", &weights.0, &weights.1),
        ("/virtual_keys/0/candidates/0/weight", &weights.0, &weights.1),
        ("/models/chat/candidates/0/priority", &[json!(0), json!(9)], &[json!(-1), json!(0.5)]),
    ];
    for (pointer, good, bad) in rows {
        good.iter().for_each(|value| agree(&validator, pointer, value, true));
        bad.iter().for_each(|value| agree(&validator, pointer, value, false));
    }
}
