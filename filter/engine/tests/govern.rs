//! Limits, scopes, prices and identities, from YAML text as users write it.
#![cfg(test)]

use std::time::Duration;

use engine::config::schema::{AuthMode, FailedTries, Tokenizer, UnknownPrice};
use engine::config::snapshot::{Source, Who};
use engine::config::{Fault, Loaded, guest, load, load_guest};
use engine::govern::Limit;
use serde_json::Value;

const WHOLE: &str = r#"
version: 1
global: { limits: [{ money: 1000, per: 1M }] }
customers:
  acme: { zone: Europe/Berlin, limits: [{ concurrent: 100, mode: elastic }] }
  other: {}
projects:
  search: { customer: acme, limits: [{ requests: 10000, per: 1h }] }
pools:
  spare: { limits: [{ money: 50.5, per: 1d, on_exhausted: alert_only }] }
providers:
  openai:
    limits: [{ requests: 500, per: 1m }]
    keys: [{ name: main, secret: "env:KEY", models: [gpt-4o, gpt-4o-mini] }]
virtual_keys:
  - name: prod
    secret: env:PROD_KEY
    project: search
    expires: 2027-01-31T00:00:00Z
    former: { secret: "hmac:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef", until: "2026-12-01T01:00:00+01:00" }
    limits:
      - { total_tokens: 100, per: 1m }
      - { money: 0.000000001, per: 1Q, mode: strict, on_exhausted: block }
      - { money: 20, per: 1d, on_exhausted: { downgrade: [gpt-4o-mini, openai/gpt-4o] } }
      - { input_tokens: 5000000, per: 1w, on_exhausted: { pool: spare } }
      - { output_tokens: 1, per: 30s, on_exhausted: shadow }
    candidates:
      - { provider: openai, models: [gpt-4o], weight: 80, limits: [{ money: 600, per: 1M }] }
  - { name: labelled, secret: "env:L", team: nobodys, customer: nowhere }
prices:
  - { provider: openai, model: gpt-4o, input: 2.5, output: 10, cached_input: 0.000001, context: 128000 }
governance: { unknown_price: estimate, failed_tries: refund, mode: elastic, tokenizer: exact }
identities:
  - { from: peer, match: "spiffe://cluster.local/ns/{ns}/sa/*", team: "{ns}", customer: acme }
  - { from: { jwt: sub, provider: idp }, match: "*", key: prod }
  - { from: peer, match: "spiffe://cluster.local/*", customer: other }
sidecar: { poll: 500ms, key_secret: "env:KEY_SECRET" }
"#;

fn loaded(yaml: &str) -> Loaded {
    let document: Value = serde_saphyr::from_str(yaml).expect("the test's YAML is well-formed");
    let told = |faults: Vec<Fault>| faults.iter().map(|fault| format!("{fault}\n")).collect::<String>();
    load(document).unwrap_or_else(|faults| panic!("{}", told(faults)))
}

/// `money 600000000000 1M strict Block`.
fn told(limits: &[Limit]) -> Vec<String> {
    let told = |limit: &Limit| {
        let window = limit.window.map(|window| window.to_string()).unwrap_or_default();
        format!("{} {} {window} {:?} {:?}", limit.counted.word(), limit.most, limit.mode, limit.exhausted)
    };
    limits.iter().map(told).collect()
}

#[test]
fn every_scope_has_its_limits_in_whole_units() {
    let Loaded { virtual_keys, governance, .. } = loaded(WHOLE);
    assert_eq!(told(&governance.global), ["money 1000000000000 1M Elastic Block"]);
    assert_eq!(governance.customers[0].zone, "Europe/Berlin");
    assert_eq!(told(&governance.customers[0].limits), ["concurrent 100  Elastic Block"]);
    assert_eq!((governance.customers[1].zone.as_str(), governance.customers[1].limits.len()), ("UTC", 0));
    assert_eq!(governance.teams[0].customer.as_deref(), Some("acme"));
    assert_eq!(told(&governance.teams[0].limits), ["requests 10000 1h Elastic Block"]);
    assert_eq!(told(&governance.pools[0].limits), ["money 50500000000 1d Elastic AlertOnly"]);
    assert_eq!(governance.providers[0].name, "openai");
    assert_eq!(told(&governance.providers[0].limits), ["requests 500 1m Elastic Block"]);
    let prod = &virtual_keys[0];
    assert_eq!(
        told(&prod.limits),
        [
            "total_tokens 100 1m Elastic Block",
            "money 1 1Q Strict Block",
            r#"money 20000000000 1d Elastic Downgrade(["gpt-4o-mini", "openai/gpt-4o"])"#,
            r#"input_tokens 5000000 1w Elastic Pool("spare")"#,
            "output_tokens 1 30s Elastic Shadow",
        ]
    );
    assert_eq!(told(&prod.candidates[0].limits), ["money 600000000000 1M Elastic Block"]);
}

#[test]
fn a_key_belongs_to_its_team_and_through_it_to_a_customer() {
    let Loaded { virtual_keys, .. } = loaded(WHOLE);
    let labels = |i: usize| (virtual_keys[i].team.as_deref(), virtual_keys[i].customer.as_deref());
    assert_eq!(labels(0), (Some("search"), Some("acme")));
    assert_eq!(labels(1), (Some("nobodys"), Some("nowhere")), "labels that nothing declares stay labels");
}

#[test]
fn a_key_ends_and_the_one_before_it_does() {
    let Loaded { virtual_keys, .. } = loaded(WHOLE);
    assert_eq!(virtual_keys[0].expires, Some(1_801_353_600));
    assert_eq!(virtual_keys[0].former.as_ref().map(|former| former.until), Some(1_796_083_200));
    assert_eq!((virtual_keys[1].expires, virtual_keys[1].former.as_ref()), (None, None));
}

#[test]
fn prices_are_pico_dollars_a_token() {
    let price = &loaded(WHOLE).governance.prices[0];
    assert_eq!((price.input, price.output, price.cached_input), (Some(2_500_000), Some(10_000_000), Some(1)));
    assert_eq!((price.cache_write, price.context, price.max_output), (None, Some(128_000), None));
}

#[test]
fn an_identity_says_who_somebody_is() {
    let identities = loaded(WHOLE).governance.identities;
    let taken = identities[0].pattern.take("spiffe://cluster.local/ns/search/sa/web").expect("it matches");
    let Who::Member { team: Some(team), customer: Some(customer) } = &identities[0].who else {
        panic!("{:?}", identities[0]);
    };
    assert_eq!((team.fill(&taken).as_str(), customer.fill(&taken).as_str()), ("search", "acme"));
    assert!(matches!(&identities[1].who, Who::Key(key) if key.plain() == Some("prod")));
}

#[test]
fn the_filter_knows_how_and_not_how_much() {
    let whole = loaded(WHOLE);
    let part = guest(&whole);
    let text = part.to_string();
    for word in ["1000", "acme", "search", "spiffe", "PROD_KEY", "KEY_SECRET", "prices", "virtual_keys", "null"] {
        assert!(!text.contains(word), "{word} in {text}");
    }
    let snapshot = load_guest(part).expect("the guest's part has no faults");
    let govern = snapshot.govern;
    assert_eq!(govern, whole.snapshot.govern);
    assert_eq!((govern.unknown_price, govern.failed_tries), (UnknownPrice::Estimate, FailedTries::Refund));
    assert_eq!(govern.tokenizer, Tokenizer::Exact);
    assert_eq!((govern.poll, govern.keyless), (Duration::from_millis(500), true));
    let jwt = Source::Jwt { provider: "idp".to_owned(), claim: "sub".to_owned() };
    assert_eq!(govern.sources, [Source::Peer, jwt], "each once, in the order of the identities");
    assert_eq!(snapshot.auth, AuthMode::Required);
}

#[test]
fn without_governance_nothing_is_governed() {
    let plain = loaded("version: 1\nproviders: { openai: { keys: [{ name: a, models: ['*'] }] } }");
    let govern = plain.snapshot.govern;
    assert!(!govern.keyless && govern.sources.is_empty());
    assert_eq!((govern.unknown_price, govern.failed_tries), (UnknownPrice::Deny, FailedTries::Charge));
    assert_eq!(govern.tokenizer, Tokenizer::Bytes);
    assert_eq!(govern.poll, Duration::from_secs(1));
    assert_eq!(plain.snapshot.auth, AuthMode::Open);
}

#[test]
fn a_mesh_without_keys_is_asked_who_it_is() {
    let yaml = "version: 1\nproviders: { openai: { keys: [{ name: a, models: ['*'] }] } }\n\
                identities: [{ from: xfcc, match: '*', team: all }]";
    let mesh = loaded(yaml);
    assert_eq!(mesh.snapshot.auth, AuthMode::Required);
    let limited = loaded(&format!("{yaml}\nglobal: {{ limits: [{{ requests: 1, per: 1d }}] }}"));
    assert_eq!(told(&limited.governance.global), ["requests 1 1d Strict Block"], "what a limit is that says no more");
}
