//! What stands for a secret: its SHA-256, or the HMAC of that.
//!
//! Decision: with `sidecar.key_secret` a key is known by the HMAC-SHA256, under that secret, of the digest that filters
//! send. Whoever reads the configuration or the sidecar's memory without the secret then cannot even test a guess.
//! Rejected: a slow hash such as Argon2 (a key is 192 random bits, not a password that somebody chose, and every first
//! sight of it would cost milliseconds); the HMAC in the filter (the secret would be in every Envoy).

use anyhow::bail;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};
use sidecar_api::DIGEST_LEN;

/// SHA-256 of a key as the client presents it.
pub type Digest = [u8; DIGEST_LEN];
/// By what a key is known: its digest, or the HMAC of that.
pub(super) type Print = [u8; DIGEST_LEN];

/// A guess at a shorter one could be tested against a known key.
const SHORTEST: usize = 16;
/// Random bytes of a new key.
const RANDOM: usize = 24;

/// How secrets become prints.
#[derive(Clone, Default)]
pub struct Printer(Option<Hmac<Sha256>>);

impl std::fmt::Debug for Printer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Printer").field(&self.0.is_some()).finish()
    }
}

impl Printer {
    /// Under this secret.
    ///
    /// # Errors
    /// It is too short.
    pub fn under(secret: &str) -> anyhow::Result<Self> {
        if secret.len() < SHORTEST {
            bail!("it has less than {SHORTEST} characters");
        }
        Ok(Self(Some(Hmac::new_from_slice(secret.as_bytes())?)))
    }

    pub(super) fn print(&self, digest: &Digest) -> Print {
        match &self.0 {
            None => *digest,
            Some(hmac) => hmac.clone().chain_update(digest).finalize().into_bytes().into(),
        }
    }

    /// From `sha256:HEX`, `hmac:HEX`, or from the secret that the reference leads to.
    pub(super) fn read(
        &self,
        reference: &str,
        secret: impl Fn(&str) -> anyhow::Result<String>,
    ) -> anyhow::Result<Print> {
        if let Some(hex) = reference.strip_prefix("hmac:") {
            return match (unhex(hex), &self.0) {
                (Some(print), Some(_)) => Ok(print),
                (None, _) => bail!("hmac: wants 64 hexadecimal digits"),
                (_, None) => bail!("hmac: wants a sidecar.key_secret"),
            };
        }
        let digest = match reference.strip_prefix("sha256:") {
            Some(hex) => unhex(hex).ok_or_else(|| anyhow::anyhow!("sha256: wants 64 hexadecimal digits"))?,
            None => digest(&secret(reference)?),
        };
        Ok(self.print(&digest))
    }

    /// What stands for a key in `attache.yaml`.
    #[must_use]
    pub fn reference(&self, key: &str) -> String {
        let kind = if self.0.is_some() { "hmac" } else { "sha256" };
        let print = self.print(&digest(key));
        format!("{kind}:{}", hex(&print))
    }
}

/// A key that nobody has had before.
///
/// # Errors
/// The system has no random bytes.
pub fn new_key() -> anyhow::Result<String> {
    let mut random = [0; RANDOM];
    getrandom::fill(&mut random).map_err(|error| anyhow::anyhow!("no random bytes: {error}"))?;
    Ok(format!("vk-{}", hex(&random)))
}

fn digest(key: &str) -> Digest {
    Sha256::digest(key).into()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Option<Print> {
    if text.len() != 2 * DIGEST_LEN || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let mut print = [0; DIGEST_LEN];
    for (at, byte) in print.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(2 * at..2 * at + 2)?, 16).ok()?;
    }
    Some(print)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_hmac_is_the_one_of_rfc_2104() {
        let under = Printer::under("a secret of some length").unwrap();
        // printf vk-prod | openssl dgst -sha256 -binary | openssl dgst -sha256 -hmac 'a secret of some length'
        assert_eq!(under.reference("vk-prod"), "hmac:ebeea49f88c8e8a79ade10ca0e7d4e0647a59197ce2f41444ca167808e94bbce");
        assert_eq!(
            under.read(&under.reference("vk-prod"), crate::read::secret).unwrap(),
            under.print(&digest("vk-prod"))
        );
        assert!(!format!("{under:?}").contains("secret of"));
    }

    #[test]
    fn without_a_secret_a_digest_is_a_digest() {
        let plain = Printer::default();
        let hex = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";
        assert_eq!(plain.reference("test"), format!("sha256:{hex}"));
        assert_eq!(plain.read(&format!("sha256:{}", hex.to_uppercase()), crate::read::secret).unwrap(), digest("test"));
        assert!(plain.read(&format!("hmac:{hex}"), crate::read::secret).is_err());
        assert!(Printer::under("fifteen letters").is_err());
    }

    #[test]
    fn a_new_key_is_another_each_time() {
        let (a, b) = (new_key().unwrap(), new_key().unwrap());
        assert!(a.starts_with("vk-") && a.len() == 3 + 2 * RANDOM && a != b, "{a} {b}");
    }
}
