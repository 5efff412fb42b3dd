//! Who may go on: records of keys and identities from this VM, from the other workers, or from the sidecar.
//!
//! A request whose record must be asked for waits (`pending`).
//!
//! Who presents no key may have an identity, which then counts as one; who has neither is nobody, of whom there is a
//! record only where limits count nobody's requests, too.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use engine::config::schema::{AuthMode, ClientKeys, OnFailure};
use engine::config::snapshot::{Snapshot, VirtualKey};
use engine::exchange::{Denial, needs_key};
use engine::govern::Account;
use engine::identity::{self, Identity};
use engine::keys::{self, KeyDigest, Record};
use foldhash::fast::FixedState;
use hashbrown::HashMap;
use prost::Message;
use sidecar_api::v1;
use sidecar_api::v1::admit_response::Verdict as Said;

use crate::metrics::Counter;
use crate::patience::Waited;
use crate::request::{Admission, Request};
use crate::{host, pending, vm};

/// Records kept in this VM; when they are that many, all go: the shared table has them still.
const LOCAL: usize = 4096;
/// Shared data: the newest generation of key records any worker has heard of.
const GENERATION: &str = "generation";

/// Who asks, and under which limits.
#[derive(Clone)]
pub(crate) struct Caller {
    /// Its record; of an identity or of nobody it may have no name.
    pub(crate) key: Rc<VirtualKey>,
    /// The limits it is under.
    pub(crate) accounts: Rc<[Account]>,
    /// It is known by a key that it presented.
    pub(crate) keyed: bool,
}

/// What a record says.
#[derive(Clone)]
pub(crate) enum Verdict {
    Good(Caller),
    Bad(Denial),
}

/// By what a request may be known, until one of it is.
#[derive(Clone)]
pub(crate) enum Who {
    /// The key it presents.
    Key(KeyDigest),
    /// What the mesh says.
    Identity(Box<Identity>),
    /// Nothing.
    Nobody,
}

impl Who {
    pub(crate) fn digest(&self) -> KeyDigest {
        match self {
            Self::Key(digest) => *digest,
            Self::Identity(identity) => identity.digest(),
            Self::Nobody => identity::anonymous(),
        }
    }

    pub(crate) fn question(&self) -> v1::AdmitRequest {
        let mut question = v1::AdmitRequest::default();
        match self {
            Self::Key(digest) => question.key_sha256 = digest.to_vec(),
            Self::Identity(identity) => {
                let claim = |(provider, name, value): &(String, String, String)| v1::Claim {
                    provider: provider.clone(),
                    name: name.clone(),
                    value: value.clone(),
                };
                question.identity = Some(v1::Identity {
                    peer: identity.peer.clone().unwrap_or_default(),
                    xfcc: identity.xfcc.clone().unwrap_or_default(),
                    claims: identity.claims.iter().map(claim).collect(),
                });
            }
            Self::Nobody => question.anonymous = true,
        }
        question
    }
}

/// By what a request may be known, in order.
pub(crate) fn askers(snapshot: &Snapshot, digest: Option<KeyDigest>, identity: Identity) -> VecDeque<Who> {
    let key = digest.filter(|_| snapshot.auth != AuthMode::Open).map(Who::Key);
    let identity = Some(identity).filter(|identity| !identity.is_empty()).map(|it| Who::Identity(Box::new(it)));
    let nobody = (snapshot.govern.keyless && !needs_key(snapshot.auth)).then_some(Who::Nobody);
    key.into_iter().chain(identity).chain(nobody).collect()
}

struct Known {
    verdict: Verdict,
    expires: u64,
    generation: u64,
}

/// Admission state of one VM.
pub(crate) struct Admissions {
    known: HashMap<KeyDigest, Known, FixedState>,
    generation: u64,
}

impl Admissions {
    pub(crate) fn new(seed: u64) -> Self {
        Self { known: HashMap::with_hasher(FixedState::with_seed(seed)), generation: 0 }
    }

    /// What is older than this is asked for again.
    pub(crate) fn generation(&self) -> u64 {
        self.generation
    }

    fn find(&self, digest: &KeyDigest, now: u64) -> Option<Verdict> {
        let known = self.known.get(digest)?;
        (known.expires > now && known.generation >= self.generation).then(|| known.verdict.clone())
    }

    /// A record is here whose time is not over, of whatever generation.
    pub(crate) fn lasts(&self, digest: &KeyDigest, now: u64) -> bool {
        self.known.get(digest).is_some_and(|known| known.expires > now)
    }

    fn keep(&mut self, digest: KeyDigest, known: Known) {
        if self.known.len() >= LOCAL {
            self.known.clear();
        }
        self.known.insert(digest, known);
    }
}

/// What is known of a request, by the first of `askers` that is; `None`: it has been asked for, and `request` will be
/// woken. `context`: the one whose callback this is, if it is the request's own; else the tick asks. `waited`: what the
/// request has waited so far.
pub(crate) fn look_up(
    snapshot: &Snapshot,
    askers: &mut VecDeque<Who>,
    request: &Rc<RefCell<Request>>,
    context: Option<u32>,
    waited: &mut Waited,
) -> Option<Admission> {
    let now = host::now();
    while let Some(who) = askers.front() {
        let digest = who.digest();
        let known = vm::with(|vm| vm.admissions.find(&digest, now)).flatten().or_else(|| from_workers(&digest, now));
        let Some(verdict) = known else {
            let until = waited.until(&snapshot.sidecar, now);
            if pending::ask_for(snapshot, who, request, context, (now, until)) {
                return None;
            }
            waited.woken(now);
            return Some(away(snapshot, askers));
        };
        if let Some(admission) = judge(snapshot, askers, verdict) {
            return Some(admission);
        }
    }
    Some(unknown(snapshot))
}

/// What a record means for a request; `None`: it is known by something else, or not at all.
fn judge(snapshot: &Snapshot, askers: &mut VecDeque<Who>, verdict: Verdict) -> Option<Admission> {
    let who = askers.pop_front();
    match (verdict, who) {
        (Verdict::Good(caller), who) => Some(Ok(Some(Caller { keyed: matches!(who, Some(Who::Key(_))), ..caller }))),
        // Not ours: a provider key of the client's own, which the configuration lets pass.
        (Verdict::Bad(Denial::Unknown), Some(Who::Key(_)))
            if snapshot.client_keys == ClientKeys::Pass && snapshot.auth == AuthMode::Optional =>
        {
            None
        }
        (Verdict::Bad(Denial::Unknown), Some(Who::Identity(_) | Who::Nobody)) => None,
        (Verdict::Bad(denial), _) => Some(Err(denial)),
    }
}

/// What a request is that has waited for its record; `None`: it waits for another one.
pub(crate) fn woken(
    snapshot: &Snapshot,
    verdict: Option<Verdict>,
    askers: &mut VecDeque<Who>,
    request: &Rc<RefCell<Request>>,
    waited: &mut Waited,
) -> Option<Admission> {
    let judged = match verdict {
        Some(verdict) => judge(snapshot, askers, verdict),
        None => Some(away(snapshot, askers)),
    };
    judged.or_else(|| look_up(snapshot, askers, request, None, waited))
}

/// The sidecar is away. A record that is only older than the generation still has its time: which key has changed nobody can
/// say, and to refuse them all would make an outage of every push that the sidecar does not survive. So `key_ttl` is how
/// long a revoked key lasts at most. Beyond it the configuration decides, and where that allows, an ended record is better
/// than none.
fn away(snapshot: &Snapshot, askers: &mut VecDeque<Who>) -> Admission {
    vm::with(|vm| vm.metrics.add(Counter::AdmitsFailed));
    let now = host::now();
    let held = |digest: KeyDigest| {
        vm::with(|vm| vm.admissions.known.get(&digest).map(|known| (known.verdict.clone(), known.expires > now)))
            .flatten()
    };
    while let Some(who) = askers.front() {
        let verdict = match held(who.digest()) {
            Some((verdict, lasts)) if lasts || snapshot.sidecar.on_failure == OnFailure::Allow => verdict,
            Some(_) | None => {
                return match snapshot.sidecar.on_failure {
                    OnFailure::Deny => Err(Denial::Away),
                    OnFailure::Allow => Ok(None),
                };
            }
        };
        if let Some(admission) = judge(snapshot, askers, verdict) {
            return admission;
        }
    }
    unknown(snapshot)
}

/// By nothing that it presents is the request known.
fn unknown(snapshot: &Snapshot) -> Admission {
    if needs_key(snapshot.auth) { Err(Denial::Missing) } else { Ok(None) }
}

fn slot(digest: &KeyDigest) -> String {
    format!("key.{}", keys::set(digest))
}

/// A record that another worker has asked for.
fn from_workers(digest: &KeyDigest, now: u64) -> Option<Verdict> {
    let bytes = host::shared(&slot(digest));
    let record = keys::find(&bytes, digest, now)?;
    let answer = v1::AdmitResponse::decode(record.payload).ok()?;
    let known = known(&answer, record.expires)?;
    let verdict = known.verdict.clone();
    vm::with(|vm| {
        let current = known.generation >= vm.admissions.generation;
        current.then(|| vm.admissions.keep(*digest, known))
    })
    .flatten()
    .map(|()| verdict)
}

fn known(answer: &v1::AdmitResponse, expires: u64) -> Option<Known> {
    let verdict = match answer.verdict() {
        Said::Admitted => {
            let mut record = answer.key.clone()?;
            let accounts = std::mem::take(&mut record.accounts).into_iter().map(TryInto::try_into);
            let accounts: Result<Rc<[Account]>, _> = accounts.collect();
            Verdict::Good(Caller { key: Rc::new(record.try_into().ok()?), accounts: accounts.ok()?, keyed: false })
        }
        Said::UnknownKey => Verdict::Bad(Denial::Unknown),
        Said::Disabled => Verdict::Bad(Denial::Disabled),
        Said::Unspecified => return None,
    };
    Some(Known { verdict, expires, generation: answer.generation })
}

/// Keeps an answer here and where the other workers find it.
pub(crate) fn learn(digest: &KeyDigest, bytes: &[u8], now: u64) -> Option<Verdict> {
    let answer = v1::AdmitResponse::decode(bytes).ok()?;
    heard(Some(answer.generation));
    let expires = now.saturating_add(u64::from(answer.ttl_ms).saturating_mul(1_000_000));
    let known = known(&answer, expires)?;
    let verdict = known.verdict.clone();
    let good = matches!(verdict, Verdict::Good(_));
    vm::with(|vm| vm.admissions.keep(*digest, known));
    let shared =
        host::update_shared(&slot(digest), |old| keys::put(old, Record { digest, expires, good, payload: bytes }, now));
    if shared.is_err() {
        log::warn!("a key record could not be shared");
    }
    Some(verdict)
}

/// A generation was heard of: records older than it are asked for again, by every worker.
pub(crate) fn heard(generation: Option<u64>) {
    let Some(new) = generation else { return };
    let newer = vm::with(|vm| {
        let newer = new > vm.admissions.generation;
        vm.admissions.generation = vm.admissions.generation.max(new);
        newer
    });
    if newer == Some(true) {
        let told = host::update_shared(GENERATION, |old| vm::word(old).max(new).to_le_bytes().to_vec());
        if told.is_err() {
            log::warn!("the generation of key records could not be shared");
        }
    }
}

/// What the other workers have heard of, this one has.
pub(crate) fn tick() {
    let shared = vm::word(&host::shared(GENERATION));
    vm::with(|vm| vm.admissions.generation = vm.admissions.generation.max(shared));
}
