//! `Admit`: who is this key and what may it do, and what do models cost.
//!
//! Does not: touch the store, so a slow or full disk never delays an admission. Draws do, and wait for it: see
//! [`super::server`].

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use engine::config::Loaded;
use sidecar_api::v1::admit_response::Verdict;
use sidecar_api::v1::{self, AdmitRequest, AdmitResponse, KeyRecord};
use sidecar_api::{DIGEST_LEN, NONCE_LEN};
use tonic::Status;

use super::accounts::Accounts;
use super::clock::Clock;
use super::identity::Identities;
use super::keys::{Digest, Found, Keys};
use super::ledger::book::{Ceiling, Draw, Holder, Lease};
use super::ledger::{Ask, Ended};
use super::observe::Lessons;
use crate::prices::Prices;

/// Draws in one call. A worker that holds more tells them in several.
pub const MOST_DRAWS: usize = 1024;
/// Ceilings of one worker that has died; as many as a filter writes.
const MOST_CEILINGS: usize = 4096;
/// Models whose rates are told, in one call.
const MOST_MODELS: usize = 256;
/// A longer name is no model's.
const LONGEST_NAME: usize = 256;

/// What every answer is made of. Replaced as a whole, so that no answer is half old.
#[derive(Debug)]
pub struct Admission {
    records: RwLock<Arc<Records>>,
    /// Keys end by it.
    clock: Arc<Clock>,
}

/// One configuration, as callers are told of it.
#[derive(Debug)]
pub struct Records {
    /// Who may call.
    pub keys: Keys,
    /// Who may call without one.
    pub identities: Identities,
    /// What they may spend.
    pub accounts: Arc<Accounts>,
    /// What models cost.
    pub prices: Prices,
    /// What was learned of them.
    pub lessons: Arc<Lessons>,
    /// How long an answer may be kept.
    pub ttl: Duration,
    /// Grows whenever any record changes.
    pub generation: u64,
}

impl Records {
    /// Of a configuration whose keys have been found.
    #[must_use]
    pub fn of(loaded: &Loaded, keys: Keys, accounts: Arc<Accounts>, lessons: Arc<Lessons>, generation: u64) -> Self {
        let (identities, prices) = (Identities::of(&loaded.governance), Prices::of(loaded));
        Self { keys, identities, accounts, prices, lessons, ttl: loaded.snapshot.sidecar.key_ttl, generation }
    }
}

impl Admission {
    /// With the first configuration.
    #[must_use]
    pub fn new(records: Records, clock: Arc<Clock>) -> Self {
        Self { records: RwLock::new(Arc::new(records)), clock }
    }

    /// Takes other records; their generation tells filters that theirs are old.
    pub fn replace(&self, records: Records) {
        *self.records.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(records);
    }

    /// Those that count now.
    pub fn records(&self) -> Arc<Records> {
        Arc::clone(&self.records.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Grows whenever any key record changes.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.records().generation
    }

    /// Answers one question, but for its draws.
    ///
    /// # Errors
    /// It asks for nothing, for too much, its digest is none, or the system has no random bytes.
    pub fn answer(&self, request: &AdmitRequest) -> Result<AdmitResponse, Status> {
        self.records().answer(request, Duration::from_nanos(self.clock.now()))
    }
}

impl Records {
    /// `now`: since 1970.
    fn answer(&self, request: &AdmitRequest, now: Duration) -> Result<AdmitResponse, Status> {
        let mut answer =
            AdmitResponse { ttl_ms: millis(self.ttl), generation: self.generation, ..AdmitResponse::default() };
        let named = !request.key_sha256.is_empty();
        let ended = !request.ended.is_empty();
        if !(named || request.hello || request.anonymous || request.identity.is_some() || ended || has_nonce(request)) {
            return Err(Status::invalid_argument("neither key nor hello"));
        }
        if request.hello {
            answer.vm_nonce = nonce()?;
        }
        if named {
            let digest = Digest::try_from(request.key_sha256.as_slice())
                .map_err(|_| Status::invalid_argument(format!("key_sha256 is not {DIGEST_LEN} bytes long")))?;
            self.admit(self.keys.find(&digest, now.as_secs()), now, &mut answer);
        } else if let Some(identity) = &request.identity {
            self.admit(self.identities.find(identity, &self.keys, now.as_secs()), now, &mut answer);
        } else if request.anonymous {
            self.tell(KeyRecord::default(), &mut answer);
        }
        // Many requests share a call: what is too much of one is not answered, or as unknown, and the others are.
        answer.rates = request.rates.iter().take(MOST_MODELS).map(|model| self.rates(model)).collect();
        Ok(answer)
    }

    fn admit(&self, found: Found, now: Duration, answer: &mut AdmitResponse) {
        match found {
            Found::Unknown => answer.set_verdict(Verdict::UnknownKey),
            Found::Refused => answer.set_verdict(Verdict::Disabled),
            Found::Good { record, until } => {
                self.tell(record, answer);
                // Nobody keeps a record longer than its key is good.
                let left = until.map_or(Duration::MAX, |until| Duration::from_secs(until).saturating_sub(now));
                answer.ttl_ms = millis(self.ttl.min(left));
            }
        }
    }

    fn tell(&self, mut record: KeyRecord, answer: &mut AdmitResponse) {
        self.accounts.fill(&mut record);
        answer.set_verdict(Verdict::Admitted);
        answer.key = Some(record);
    }

    fn rates(&self, model: &v1::ModelName) -> v1::Rates {
        if model.provider.len().max(model.model.len()) > LONGEST_NAME {
            return v1::Rates { provider: model.provider.clone(), model: model.model.clone(), ..v1::Rates::default() };
        }
        let mut quote = self.prices.quote(&model.provider, &model.model);
        quote.rates.calibration = self.lessons.calibration(&model.provider, &model.model);
        v1::Rates {
            provider: model.provider.clone(),
            model: model.model.clone(),
            known: quote.known,
            ..v1::Rates::from(&quote.rates)
        }
    }
}

fn millis(time: Duration) -> u32 {
    u32::try_from(time.as_millis()).unwrap_or(u32::MAX)
}

fn has_nonce(request: &AdmitRequest) -> bool {
    !request.vm_nonce.is_empty()
}

/// The worker that asks; none if it has no nonce yet.
///
/// # Errors
/// Its nonce is none.
pub fn worker(nonce: &[u8]) -> Result<Option<Holder>, Status> {
    if nonce.is_empty() {
        return Ok(None);
    }
    let holder = Holder::try_from(nonce);
    holder.map(Some).map_err(|_| Status::invalid_argument(format!("vm_nonce is not {NONCE_LEN} bytes long")))
}

/// What it draws, if anything.
///
/// # Errors
/// Nobody knows whose the leases would be, or there are too many.
pub fn draws(request: &AdmitRequest, worker: Option<Holder>) -> Result<Option<Ask>, Status> {
    if request.draws.is_empty() {
        return Ok(None);
    }
    let holder = worker.ok_or_else(|| Status::invalid_argument("draws without a nonce"))?;
    if request.draws.len() > MOST_DRAWS {
        return Err(Status::invalid_argument(format!("more than {MOST_DRAWS} draws")));
    }
    let draws = request.draws.iter().map(|it| {
        let v1::Draw { account, window, received, returned, need, want } = *it;
        Draw { account, window, received, returned, need, want }
    });
    Ok(Some(Ask { holder, draws: draws.collect() }))
}

/// Workers that have died, and the most that each has used.
///
/// # Errors
/// One has no nonce, or too many ceilings.
pub fn ended(request: &AdmitRequest) -> Result<Vec<Ended>, Status> {
    let one = |it: &v1::Ended| {
        let holder = worker(&it.vm_nonce)?.ok_or_else(|| Status::invalid_argument("ended: no nonce"))?;
        if it.ceilings.len() > MOST_CEILINGS {
            return Err(Status::invalid_argument(format!("more than {MOST_CEILINGS} ceilings")));
        }
        let ceilings = it.ceilings.iter().map(|it| Ceiling { account: it.account, window: it.window, most: it.most });
        Ok(Ended { holder, ceilings: ceilings.collect() })
    };
    request.ended.iter().map(one).collect()
}

/// A lease as a worker is told of it.
#[must_use]
pub fn lease(it: &Lease) -> v1::Lease {
    v1::Lease {
        account: it.account,
        window: it.window,
        // Rounded down, but never to "no window": what is over on one side is over on the other.
        ends_in_ms: it.ends_in.map_or(0, |nanos| (nanos / 1_000_000).max(1)),
        granted: it.portion.granted,
        returned: it.portion.returned,
        refused: it.refused,
        used: it.used,
        most: it.most,
        gone: it.gone,
        back: it.back,
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
        Verdict::Unspecified if answer.vm_nonce.is_empty() => "poll",
        Verdict::Unspecified => "hello",
        Verdict::Admitted => "admitted",
        Verdict::UnknownKey => "unknown_key",
        Verdict::Disabled => "disabled",
    }
}
