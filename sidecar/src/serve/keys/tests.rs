use engine::config::snapshot::Former;
use sha2::{Digest as _, Sha256};

use super::*;

const SECRET: &str = "a secret of some length";

fn key(name: &str, secret: &str) -> VirtualKey {
    VirtualKey { name: name.to_owned(), secret: secret.to_owned(), ..VirtualKey::default() }
}

/// As if the environment had three variables.
fn secret(reference: &str) -> anyhow::Result<String> {
    match reference {
        "env:PROD" => Ok("vk-prod".to_owned()),
        "env:OLD" => Ok("vk-old".to_owned()),
        "env:KEY_SECRET" => Ok(SECRET.to_owned()),
        _ => crate::read::secret(reference),
    }
}

fn digest(secret: &str) -> Digest {
    Sha256::digest(secret).into()
}

fn name_of(found: Found) -> Option<String> {
    match found {
        Found::Good { record, .. } => Some(record.name),
        Found::Unknown | Found::Refused => None,
    }
}

#[test]
fn a_key_is_found_by_the_digest_of_its_secret_wherever_that_came_from() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("key");
    std::fs::write(&file, "vk-file\r\n").unwrap();
    let hex = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";
    let hmac = Printer::under(SECRET).unwrap().reference("vk-hmac");
    let mut keys = vec![
        key("from-env", "env:PROD"),
        key("from-file", &format!("file:{}", file.display())),
        key("from-digest", &format!("sha256:{hex}")),
    ];
    let plain = Keys::resolve(&keys, None, secret).unwrap();
    keys.push(key("from-hmac", &hmac));
    let keyed = Keys::resolve(&keys, Some("env:KEY_SECRET"), secret).unwrap();
    for keys in [&plain, &keyed] {
        let name = |secret: &str| name_of(keys.find(&digest(secret), 0));
        assert_eq!(name("vk-prod").as_deref(), Some("from-env"));
        assert_eq!(name("vk-file").as_deref(), Some("from-file"));
        assert_eq!(name("test").as_deref(), Some("from-digest"));
        assert_eq!(keys.find(&digest("vk-nobody"), 0), Found::Unknown);
    }
    assert_eq!(name_of(keyed.find(&digest("vk-hmac"), 0)).as_deref(), Some("from-hmac"));
    assert!(!format!("{keyed:?}").contains(SECRET));
}

#[test]
fn a_key_is_found_by_its_name_with_what_it_may_do() {
    let names = ["b", "", "a", "abc", "ab"];
    let keys: Vec<VirtualKey> = (0..)
        .zip(names)
        .map(|(i, name)| VirtualKey { team: Some(format!("team-{}", i % 2)), ..key(name, &format!("sha256:{i:064}")) })
        .collect();
    let keys = Keys::resolve(&keys, None, secret).unwrap();
    for (i, name) in (0..).zip(names) {
        let Found::Good { record, until } = keys.named(name, 0) else { panic!("{name:?} is not found") };
        assert_eq!((record.name.as_str(), record.team, until), (name, format!("team-{}", i % 2), None));
    }
    assert_eq!(keys.named("c", 0), Found::Unknown);
    assert_eq!(keys.records.len(), 2, "what keys of a team may do is kept once");
}

#[test]
fn a_key_ends_when_it_expires_and_a_disabled_one_at_once() {
    let mut expires = key("a", "env:PROD");
    expires.expires = Some(100);
    let keys = Keys::resolve(&[expires.clone()], None, secret).unwrap();
    assert!(matches!(keys.find(&digest("vk-prod"), 99), Found::Good { until: Some(100), .. }));
    assert_eq!(keys.find(&digest("vk-prod"), 100), Found::Refused);
    assert_eq!(keys.named("a", 100), Found::Refused);
    expires.disabled = true;
    let keys = Keys::resolve(&[expires], None, secret).unwrap();
    assert_eq!(keys.find(&digest("vk-prod"), 0), Found::Refused);
}

#[test]
fn a_former_secret_is_good_for_the_same_key_until_its_grace_ends() {
    let former = Former { secret: "env:OLD".to_owned(), until: 50 };
    let rotated = VirtualKey { former: Some(former), expires: Some(100), ..key("a", "env:PROD") };
    for under in [None, Some("env:KEY_SECRET")] {
        let keys = Keys::resolve(std::slice::from_ref(&rotated), under, secret).unwrap();
        assert!(matches!(keys.find(&digest("vk-old"), 49), Found::Good { until: Some(50), .. }));
        assert_eq!(keys.find(&digest("vk-old"), 50), Found::Unknown);
        assert!(matches!(keys.find(&digest("vk-prod"), 50), Found::Good { until: Some(100), .. }));
        assert_eq!(keys.len(), 1);
    }
}

#[test]
fn two_keys_with_one_secret_are_refused_by_name() {
    let hex = Sha256::digest("vk-prod").iter().map(|byte| format!("{byte:02X}")).collect::<String>();
    let same = key("b", &format!("sha256:{hex}"));
    let fault = Keys::resolve(&[key("a", "env:PROD"), same.clone()], None, secret).unwrap_err();
    assert_eq!(fault.to_string(), r#"virtual keys "a" and "b" have the same secret"#);
    let former = Former { secret: "env:PROD".to_owned(), until: 50 };
    let rotated = VirtualKey { former: Some(former), ..key("a", "env:OLD") };
    let fault = Keys::resolve(&[rotated, same], None, secret).unwrap_err();
    assert_eq!(fault.to_string(), r#"virtual keys "a" and "b" have the same secret"#);
}

#[test]
fn every_fault_is_told_and_no_secret() {
    let dir = tempfile::tempdir().unwrap();
    let empty = dir.path().join("empty");
    std::fs::write(&empty, "\n").unwrap();
    let former = Former { secret: "env:ATTACHE_TEST_ABSENT".to_owned(), until: 50 };
    let keys = [
        key("a", "env:ATTACHE_TEST_ABSENT"),
        key("b", "file:/nonexistent/key"),
        key("c", "sha256:+1"),
        key("d", "vk-put-here-by-mistake"),
        key("e", "plain:vk-put-here-by-mistake"),
        key("f", &format!("file:{}", empty.display())),
        key("g", &format!("hmac:{:064}", 0)),
        VirtualKey { former: Some(former), ..key("h", "env:PROD") },
    ];
    let faults = Keys::resolve(&keys, None, secret).unwrap_err();
    assert_eq!(faults.0.len(), keys.len());
    assert!(!faults.to_string().contains("by-mistake"), "{faults}");
    let faults = Keys::resolve(&[] as &[VirtualKey], Some("env:PROD"), secret).unwrap_err();
    assert_eq!(faults.to_string(), "sidecar.key_secret: it has less than 16 characters");
}
