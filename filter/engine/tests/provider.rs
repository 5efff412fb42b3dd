//! Every provider row makes the request its vendor documents, byte for byte: `tests/corpus/provider`, a file a row.
#![cfg(test)]
#![expect(clippy::disallowed_methods, reason = "the cases are files")]

use std::collections::BTreeMap;
use std::path::Path;
use std::rc::Rc;

use engine::config::snapshot::Snapshot;
use engine::exchange::{Exchange, Outgoing, intake};
use engine::route::{Hop, Plan};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use wire::ir::Fault;
use wire::provider;
use wire::scan::scan;

/// What a file says of its row.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File<'a> {
    /// The vendor's page, as in the row.
    docs: String,
    /// The provider's part of `attache.yaml`.
    config: Value,
    /// The head, but for what depends on the body.
    head: BTreeMap<String, String>,
    /// The header the key goes into.
    key: String,
    #[serde(borrow)]
    cases: Vec<Case<'a>>,
}

/// One request. Bodies are compared as they stand in the file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case<'a> {
    case: String,
    /// The provider's name of the model.
    model: String,
    /// Where the file's own do not apply.
    config: Option<Value>,
    head: Option<BTreeMap<String, String>>,
    /// The path the client asks.
    asked: String,
    #[serde(borrow)]
    client: &'a RawValue,
    accept: String,
    #[serde(borrow)]
    sent: &'a RawValue,
    dropped: Vec<String>,
}

fn snapshot(name: &str, config: &Value) -> Rc<Snapshot> {
    let config = json!({"version": 1, "providers": {name: config}});
    Rc::new(engine::config::load(config).unwrap_or_else(|faults| panic!("{name}: {faults:?}")).snapshot)
}

fn send(snapshot: &Rc<Snapshot>, path: &str, model: &str, body: &[u8]) -> (Result<Outgoing, Fault>, Vec<String>) {
    let head = [(":method", "POST"), (":path", path), ("authorization", "Bearer sk-client"), ("api-key", "sk-client")]
        .map(|(name, value)| (name.as_bytes().to_vec(), value.as_bytes().to_vec()));
    let intake = intake(snapshot, &head).unwrap_or_else(|(_, fault)| panic!("{fault:?}"));
    let hop = Hop { lane: 0, model: model.to_owned(), substituted: false, context: None, tier: 0 };
    let plan = Plan { hops: vec![hop] };
    let mut exchange = Exchange::new(Rc::clone(snapshot), intake, scan(body).unwrap(), None, plan, 0);
    let hop = exchange.begin(&snapshot.lanes[0].cluster, 0).unwrap();
    let out = exchange.outgoing(hop, || Some(body.to_vec()));
    let dropped = exchange.tries.pop().unwrap().dropped;
    (out, dropped)
}

#[test]
fn every_row_makes_the_request_its_vendor_documents() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/corpus/provider");
    let mut cases = 0;
    for name in provider::names() {
        let text = std::fs::read_to_string(folder.join(format!("{name}.json")))
            .unwrap_or_else(|e| panic!("{name} has no case: {e}"));
        let file: File<'_> = serde_json::from_str(&text).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(file.docs, provider::find(name).unwrap().docs, "{name}");
        assert!(!file.cases.is_empty(), "{name}");
        for case in &file.cases {
            let told = format!("{name}, {}", case.case);
            let snapshot = snapshot(name, case.config.as_ref().unwrap_or(&file.config));
            let (out, dropped) = send(&snapshot, &case.asked, &case.model, case.client.get().as_bytes());
            let out = out.unwrap_or_else(|fault| panic!("{told}: {fault:?}"));
            let body = out.body.unwrap_or_else(|| case.client.get().as_bytes().to_vec());
            assert_eq!(String::from_utf8(body).unwrap(), case.sent.get(), "{told}");
            assert_eq!(dropped, case.dropped, "{told}");
            let mut head = case.head.as_ref().unwrap_or(&file.head).clone();
            head.insert("accept".to_owned(), case.accept.clone());
            head.insert("content-length".to_owned(), case.sent.get().len().to_string());
            head.insert("user-agent".to_owned(), concat!("attache/", env!("CARGO_PKG_VERSION")).to_owned());
            let sent = out.headers.iter().map(|(n, v)| (n.clone(), String::from_utf8(v.clone()).unwrap()));
            assert_eq!(sent.collect::<BTreeMap<_, _>>(), head, "{told}: nothing else, no credential among it");
            let provider = &snapshot.providers[0];
            assert_eq!(format!("{}: {}KEY", provider.auth_header, provider.auth_prefix), file.key, "{told}");
            cases += 1;
        }
    }
    let rows = provider::names().count();
    let files = std::fs::read_dir(folder).unwrap().count();
    assert_eq!(files, rows, "a file without a row");
    println!("{cases} requests of {rows} providers");
}

/// The header of a key for each format, with a row and without one. A row's own counts where the row speaks the format.
#[test]
fn a_key_goes_into_the_header_that_its_server_reads() {
    let meant = [("openai_chat", "authorization: Bearer "), ("anthropic", "x-api-key: ")];
    let of = |name: &str, like: Option<&str>, format: Option<&str>| {
        let mut config = json!({"base_url": "https://llm.example.com/v1", "keys": [{"name": "k", "models": ["*"]}]});
        config.as_object_mut().unwrap().extend(like.map(|like| ("like".to_owned(), like.into())));
        config.as_object_mut().unwrap().extend(format.map(|format| ("format".to_owned(), format.into())));
        let snapshot = snapshot(name, &config);
        let provider = &snapshot.providers[0];
        (provider.format.name(), format!("{}: {}", provider.auth_header, provider.auth_prefix))
    };
    for (format, header) in meant {
        assert_eq!(of("custom", None, Some(format)), (format, header.to_owned()));
        for name in provider::names() {
            let row = provider::find(name).unwrap();
            let own = format!("{}: {}", row.auth.header, row.auth.prefix);
            let expected = if row.format.name() == format { own.clone() } else { header.to_owned() };
            assert_eq!(of(name, None, Some(format)), (format, expected.clone()), "{name} as {format}");
            assert_eq!(of("custom", Some(name), Some(format)), (format, expected), "like {name} as {format}");
            assert_eq!(of("custom", Some(name), None), (row.format.name(), own), "like {name}");
        }
    }
    assert_eq!(provider::find("azure").unwrap().auth.header, "api-key");
}

const DEPLOYMENTS: &str = "/openai/deployments/{model}/chat/completions?api-version=2024-10-21";

#[test]
fn no_models_name_leaves_its_segment_of_the_path() {
    let azure = json!({
        "base_url": "https://contoso.openai.azure.com", "path": DEPLOYMENTS, "keys": [{"name": "k", "models": ["*"]}]
    });
    let snapshot = snapshot("azure", &azure);
    let body = br#"{"model":"azure/x","messages":[]}"#;
    for (name, segment) in [
        ("gpt-4o", "gpt-4o"),
        ("../../admin", ""),
        ("x/../../../admin?api-version=1", ""),
        ("x\\..\\..", ""),
        ("..", ""),
        ("", ""),
        ("x?api-version=2000-01-01#", "x%3Fapi-version%3D2000-01-01%23"),
        ("x HTTP/1.1\r\nhost: evil", "x%20HTTP%2F1.1%0D%0Ahost%3A%20evil"),
        ("x%2f..%2fadmin", "x%252f..%252fadmin"),
    ] {
        let (out, _) = send(&snapshot, "/v1/chat/completions", name, body);
        if segment.is_empty() {
            let fault = out.unwrap_err();
            assert_eq!((fault.status, fault.param.as_deref()), (400, Some("model")), "{name}");
        } else {
            let headers = out.unwrap().headers;
            let path = headers.iter().find(|(n, _)| n == ":path").unwrap();
            assert_eq!(path.1, DEPLOYMENTS.replace("{model}", segment).as_bytes(), "{name}");
        }
    }
}

#[test]
fn no_header_that_some_provider_takes_a_key_in_travels_on() {
    let snapshot = snapshot("openai", &json!({"keys": [{"name": "k", "models": ["*"]}]}));
    let mut head = vec![(b":method".to_vec(), b"POST".to_vec()), (b":path".to_vec(), b"/v1/chat/completions".to_vec())];
    let credentials = provider::credential_headers();
    head.extend(credentials.iter().map(|name| (name.as_bytes().to_vec(), b"sk-client".to_vec())));
    let intake = intake(&snapshot, &head).unwrap_or_else(|(_, fault)| panic!("{fault:?}"));
    for name in credentials {
        assert!(intake.strip.iter().any(|stripped| stripped == name), "{name}");
    }
}
