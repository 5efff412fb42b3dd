//! `Admit`: who is this key and what may it do.
//!
//! Does not: touch the store, so a slow or full disk never delays an admission.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use sidecar_api::v1::admit_response::Verdict;
use sidecar_api::v1::{AdmitRequest, AdmitResponse};
use sidecar_api::{DIGEST_LEN, NONCE_LEN};
use tonic::Status;

use super::keys::{Digest, Keys};

/// What every answer is made of. Replaced as a whole, so that no answer is half old.
#[derive(Debug)]
pub struct Admission(RwLock<Arc<Records>>);

#[derive(Debug)]
struct Records {
    keys: Keys,
    ttl_ms: u32,
    generation: u64,
}

impl Records {
    fn new(keys: Keys, ttl: Duration, generation: u64) -> Arc<Self> {
        Arc::new(Self { keys, ttl_ms: u32::try_from(ttl.as_millis()).unwrap_or(u32::MAX), generation })
    }
}

impl Admission {
    /// `ttl`: how long an answer may be kept.
    #[must_use]
    pub fn new(keys: Keys, ttl: Duration, generation: u64) -> Self {
        Self(RwLock::new(Records::new(keys, ttl, generation)))
    }

    /// Takes other records; `generation` tells filters that theirs are old.
    pub fn replace(&self, keys: Keys, ttl: Duration, generation: u64) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Records::new(keys, ttl, generation);
    }

    fn records(&self) -> Arc<Records> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Grows whenever any key record changes.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.records().generation
    }

    /// Answers one question.
    ///
    /// # Errors
    /// It asks for nothing, its digest is none, or the system has no random bytes.
    pub fn answer(&self, request: &AdmitRequest) -> Result<AdmitResponse, Status> {
        let records = self.records();
        let mut answer =
            AdmitResponse { ttl_ms: records.ttl_ms, generation: records.generation, ..AdmitResponse::default() };
        if request.hello {
            answer.vm_nonce = nonce()?;
        }
        if request.key_sha256.is_empty() {
            let asked = if request.hello { Ok(answer) } else { Err(Status::invalid_argument("neither key nor hello")) };
            return asked;
        }
        let digest = Digest::try_from(request.key_sha256.as_slice())
            .map_err(|_| Status::invalid_argument(format!("key_sha256 is not {DIGEST_LEN} bytes long")))?;
        match records.keys.get(&digest) {
            None => answer.set_verdict(Verdict::UnknownKey),
            Some(key) if key.disabled => answer.set_verdict(Verdict::Disabled),
            Some(key) => {
                answer.set_verdict(Verdict::Admitted);
                answer.key = Some(key.record.clone());
            }
        }
        Ok(answer)
    }
}

/// Never given twice because 128 random bits do not repeat; nothing has to be remembered for it over a restart.
fn nonce() -> Result<Vec<u8>, Status> {
    let mut nonce = vec![0; NONCE_LEN];
    getrandom::fill(&mut nonce).map_err(|error| Status::unavailable(format!("no random bytes: {error}")))?;
    Ok(nonce)
}

/// The label of an answer in metrics.
#[must_use]
pub fn label(answer: &AdmitResponse) -> &'static str {
    match answer.verdict() {
        Verdict::Unspecified => "hello",
        Verdict::Admitted => "admitted",
        Verdict::UnknownKey => "unknown_key",
        Verdict::Disabled => "disabled",
    }
}
