//! Which accounts a configuration has, and who meets which.

use std::collections::{BTreeMap, BTreeSet};

use engine::config::Loaded;
use sidecar_api::v1::{self, KeyRecord};

use super::*;

const YAML: &str = r#"
version: 1
global: {limits: [{money: 1000, per: 1M}, {concurrent: 50}]}
customers:
  acme: {zone: Europe/Berlin, limits: [{money: 500, per: 1d}]}
  free: {limits: [{requests: 5, per: 1d}]}
teams:
  search: {customer: acme, limits: [{requests: 100, per: 1d, on_exhausted: shadow}]}
  loose: {limits: [{input_tokens: 7, per: 1h}]}
pools:
  spare: {limits: [{money: 50, per: 1d}]}
  unused: {limits: [{money: 50, per: 1d}]}
providers:
  openai: {keys: [{name: main, secret: "env:X", models: ["*"]}], limits: [{requests: 500, per: 1m}]}
  anthropic: {keys: [{name: main, secret: "env:X", models: ["*"]}]}
models:
  gpt-4.1: {candidates: [{provider: openai}]}
virtual_keys:
  - name: prod
    secret: "env:X"
    team: search
    limits: [{money: 600, per: 1M, on_exhausted: {pool: spare}}, {concurrent: 8}]
    candidates:
      - {provider: openai, models: [gpt-4.1], weight: 80, limits: [{money: 9, per: 1M, on_exhausted: {downgrade: [gpt-4.1]}}]}
      - {provider: anthropic, models: [claude], weight: 20}
  - {name: plain, secret: "env:Y", customer: label}
"#;

fn loaded(yaml: &str) -> Loaded {
    crate::read::text(yaml).unwrap_or_else(|faults| panic!("{faults:?}"))
}

fn accounts(yaml: &str) -> Accounts {
    Accounts::of(&loaded(yaml), Arc::default())
}

fn record(accounts: &Accounts, name: &str, team: &str, customer: &str) -> Vec<v1::Account> {
    let mut record =
        KeyRecord { name: name.into(), team: team.into(), customer: customer.into(), ..KeyRecord::default() };
    accounts.fill(&mut record);
    record.accounts
}

fn told(list: &[v1::Account]) -> Vec<String> {
    list.iter().map(|it| format!("{}: {} {}", it.scope, it.counted().as_str_name(), it.window)).collect()
}

/// Noon of 2026-07-01 in Greenwich.
const NOON: u64 = 1_782_907_200 * SECOND;

#[test]
fn a_key_meets_every_scope_it_is_in_and_the_pools_that_stand_in() {
    let accounts = accounts(YAML);
    let list = record(&accounts, "prod", "search", "acme");
    assert_eq!(
        told(&list),
        [
            "global: COUNTED_MONEY 1M",
            "global: COUNTED_CONCURRENT ",
            "customer acme: COUNTED_MONEY 1d",
            "team search: COUNTED_REQUESTS 1d",
            "key prod: COUNTED_MONEY 1M",
            "key prod: COUNTED_CONCURRENT ",
            "key prod at openai: COUNTED_MONEY 1M",
            "provider openai: COUNTED_REQUESTS 1m",
            "pool spare: COUNTED_MONEY 1d",
        ]
    );
    let at: Vec<_> = list.iter().map(|it| (it.provider.as_str(), it.of_pool.as_str(), it.pool.as_str())).collect();
    assert_eq!(at[4..], [("", "", "spare"), ("", "", ""), ("openai", "", ""), ("openai", "", ""), ("", "spare", "")]);
    assert_eq!(list[3].on_exhausted(), v1::account::OnExhausted::Shadow);
    assert_eq!((list[6].most, list[6].downgrade.as_slice()), (9 * SECOND, &["gpt-4.1".to_owned()][..]));
}

#[test]
fn who_is_in_fewer_scopes_meets_fewer() {
    let accounts = accounts(YAML);
    let everybodys =
        ["global: COUNTED_MONEY 1M", "global: COUNTED_CONCURRENT ", "provider openai: COUNTED_REQUESTS 1m"];
    for (name, team, customer) in [("", "", ""), ("plain", "", "label"), ("unknown", "unknown", "unknown")] {
        assert_eq!(told(&record(&accounts, name, team, customer)), everybodys, "{name}");
    }
    let of_team = told(&record(&accounts, "", "loose", ""));
    assert!(of_team.contains(&"team loose: COUNTED_INPUT_TOKENS 1h".to_owned()), "without a key");
}

#[test]
fn what_customers_share_has_a_part_for_each_and_all_else_is_one() {
    let accounts = accounts(YAML);
    let of = |customer: &str| record(&accounts, "", "", customer).into_iter().map(|it| it.id).collect::<BTreeSet<_>>();
    let (acme, free, nobody) = (of("acme"), of("free"), of(""));
    assert!(acme.is_disjoint(&free) && free.is_disjoint(&nobody) && acme.is_disjoint(&nobody));
    assert_eq!(of("label"), nobody, "a label has no shard");
    let mut wholes = BTreeMap::<u64, BTreeSet<Holder>>::new();
    for id in acme.iter().chain(&free).chain(&nobody) {
        if let Some((whole, shard)) = accounts.account(*id, NOON).unwrap().parent {
            assert!(wholes.entry(whole).or_default().insert(shard), "each shard once");
            let whole = accounts.account(whole, NOON).unwrap();
            assert_eq!(whole.parent, None);
            assert_eq!(whole.window, accounts.account(*id, NOON).unwrap().window);
            assert!(!accounts.is_silent(&shard));
        }
    }
    let shards: Vec<_> = wholes.values().map(BTreeSet::len).collect();
    assert_eq!(shards, [3, 3, 3], "two global limits and one of a provider, each of two customers and of nobody");
}

#[test]
fn every_account_of_a_record_has_terms_and_words() {
    let accounts = accounts(YAML);
    for it in record(&accounts, "prod", "search", "acme") {
        let account = accounts.account(it.id, NOON).unwrap();
        assert_eq!(account.most, it.most, "{}", it.scope);
        assert_eq!(account.window.is_none(), it.window.is_empty());
        let label = accounts.label(it.id).unwrap();
        assert_eq!(crate::serve::metrics::words(&label)[0], it.scope);
        assert_eq!((label.window, label.shard.as_str()), (it.window, "acme"));
    }
    assert_eq!(accounts.account(1, NOON), None);
}

#[test]
fn days_are_those_of_the_customers_zone() {
    let accounts = accounts(YAML);
    let list = record(&accounts, "prod", "search", "acme");
    let start = |at: usize| (NOON - accounts.account(list[at].id, NOON).unwrap().window.unwrap().0) / SECOND / 3600;
    assert_eq!((start(2), start(3), start(8)), (14, 14, 12), "its own, its team's, and a pool's, which is everybody's");
    for _ in 0..2 {
        let (start, end) = accounts.account(list[2].id, NOON + 10 * 3600 * SECOND).unwrap().window.unwrap();
        assert_eq!(
            (end - NOON, end - start),
            (34 * 3600 * SECOND, 24 * 3600 * SECOND),
            "the next one, once it is there"
        );
    }
}

#[test]
fn a_changed_maximum_is_the_same_account() {
    let (before, after) = (accounts(YAML), accounts(&YAML.replace("{money: 600,", "{money: 700,")));
    let ids = |of: &Accounts| record(of, "prod", "search", "acme").iter().map(|it| it.id).collect::<Vec<_>>();
    assert_eq!(ids(&before), ids(&after));
    let most = |of: &Accounts| of.account(ids(of)[4], NOON).unwrap().most / SECOND;
    assert_eq!((most(&before), most(&after)), (600, 700));
}

#[test]
fn many_keys_share_their_rules() {
    let mut keys = String::from("virtual_keys:\n");
    for key in 0..500 {
        let one = format!("  - {{name: k{key}, secret: \"env:K{key}\", limits: [{{requests: 10, per: 1h}}]}}\n");
        keys.push_str(&one);
    }
    let (head, _) = YAML.split_once("virtual_keys:").unwrap();
    let accounts = accounts(&format!("{head}{keys}"));
    assert_eq!(accounts.rules.len(), 9);
    let ids: BTreeSet<_> = (0..500).map(|key| record(&accounts, &format!("k{key}"), "", "")[2].id).collect();
    assert_eq!(ids.len(), 500);
}
