//! Virtual keys by the digest of their secret.
//!
//! Does not: keep, compare or log a secret. A secret is digested and dropped when it has been read.
//!
//! Decision: look-up by SHA-256 in a hash map, not in constant time. A caller cannot choose the digest of a guess, so
//! how far a comparison gets says nothing about a neighbouring key. Rejected: constant-time comparison with every key,
//! which costs by the number of keys and protects a digest nobody can use.

use std::collections::HashMap;

use engine::config::snapshot::VirtualKey;
use sha2::{Digest as _, Sha256};
use sidecar_api::{DIGEST_LEN, v1::KeyRecord};

/// SHA-256 of a key as the client presents it.
pub type Digest = [u8; DIGEST_LEN];

/// A key as `Admit` answers it.
#[derive(Debug, Clone)]
pub struct Key {
    /// What it may do.
    pub record: KeyRecord,
    /// Refuse it.
    pub disabled: bool,
}

/// All keys.
#[derive(Debug, Default)]
pub struct Keys {
    by_digest: HashMap<Digest, Key>,
}

impl Keys {
    /// Resolves every key's secret; `secret` follows a reference, as [`crate::read::secret`] does.
    ///
    /// # Errors
    /// Every key that has no usable secret, and every pair that shares one.
    pub fn resolve(keys: &[VirtualKey], secret: impl Fn(&str) -> anyhow::Result<String>) -> Result<Self, InvalidKeys> {
        let mut by_digest = HashMap::<Digest, Key>::new();
        let mut faults = Vec::new();
        for key in keys {
            match digest(&key.secret, &secret) {
                Err(fault) => faults.push(format!("virtual key {:?}: {fault}", key.name)),
                Ok(digest) => {
                    let new = Key { record: key.into(), disabled: key.disabled };
                    if let Some(old) = by_digest.insert(digest, new) {
                        faults.push(format!(
                            "virtual keys {:?} and {:?} have the same secret",
                            old.record.name, key.name
                        ));
                    }
                }
            }
        }
        if faults.is_empty() { Ok(Self { by_digest }) } else { Err(InvalidKeys(faults)) }
    }

    /// The key with this digest.
    #[must_use]
    pub fn get(&self, digest: &Digest) -> Option<&Key> {
        self.by_digest.get(digest)
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_digest.len()
    }

    /// There is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_digest.is_empty()
    }
}

/// What is wrong with the keys, one sentence each; names, never secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidKeys(Vec<String>);

impl std::fmt::Display for InvalidKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0.join("\n"))
    }
}

impl std::error::Error for InvalidKeys {}

/// From `sha256:HEX`, or from the secret that the reference leads to.
fn digest(reference: &str, secret: impl Fn(&str) -> anyhow::Result<String>) -> Result<Digest, String> {
    match reference.strip_prefix("sha256:") {
        Some(hex) => unhex(hex).ok_or_else(|| "sha256: wants 64 hexadecimal digits".to_owned()),
        None => secret(reference).map(|secret| Sha256::digest(secret).into()).map_err(|fault| format!("{fault:#}")),
    }
}

fn unhex(text: &str) -> Option<Digest> {
    if text.len() != 2 * DIGEST_LEN || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let mut digest = [0; DIGEST_LEN];
    for (at, byte) in digest.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(2 * at..2 * at + 2)?, 16).ok()?;
    }
    Some(digest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str, secret: &str) -> VirtualKey {
        VirtualKey {
            name: name.to_owned(),
            secret: secret.to_owned(),
            models: None,
            candidates: Vec::new(),
            substitute: false,
            disabled: false,
            team: None,
            customer: None,
        }
    }

    /// As if the environment had one variable.
    fn secret(reference: &str) -> anyhow::Result<String> {
        if reference == "env:PROD" { Ok("vk-prod".to_owned()) } else { crate::read::secret(reference) }
    }

    fn name_of(keys: &Keys, secret: &str) -> Option<String> {
        keys.get(&Sha256::digest(secret).into()).map(|key| key.record.name.clone())
    }

    #[test]
    fn a_key_is_found_by_the_digest_of_its_secret_wherever_that_came_from() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("key");
        std::fs::write(&file, "vk-file\r\n").unwrap();
        let hex = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";
        let keys = [
            key("from-env", "env:PROD"),
            key("from-file", &format!("file:{}", file.display())),
            key("from-digest", &format!("sha256:{hex}")),
        ];
        let keys = Keys::resolve(&keys, secret).unwrap();
        assert_eq!(name_of(&keys, "vk-prod").as_deref(), Some("from-env"));
        assert_eq!(name_of(&keys, "vk-file").as_deref(), Some("from-file"));
        assert_eq!(name_of(&keys, "test").as_deref(), Some("from-digest"));
        assert_eq!(name_of(&keys, "vk-nobody"), None);
    }

    #[test]
    fn two_keys_with_one_secret_are_refused_by_name() {
        let hex = Sha256::digest("vk-prod").iter().map(|byte| format!("{byte:02X}")).collect::<String>();
        let fault = Keys::resolve(&[key("a", "env:PROD"), key("b", &format!("sha256:{hex}"))], secret).unwrap_err();
        assert_eq!(fault.to_string(), r#"virtual keys "a" and "b" have the same secret"#);
    }

    #[test]
    fn every_fault_is_told_and_no_secret() {
        let dir = tempfile::tempdir().unwrap();
        let empty = dir.path().join("empty");
        std::fs::write(&empty, "\n").unwrap();
        let keys = [
            key("a", "env:ATTACHE_TEST_ABSENT"),
            key("b", "file:/nonexistent/key"),
            key("c", "sha256:+1"),
            key("d", "vk-put-here-by-mistake"),
            key("e", "plain:vk-put-here-by-mistake"),
            key("f", &format!("file:{}", empty.display())),
        ];
        let faults = Keys::resolve(&keys, secret).unwrap_err();
        assert_eq!(faults.0.len(), keys.len());
        assert!(!faults.to_string().contains("by-mistake"), "{faults}");
    }
}
