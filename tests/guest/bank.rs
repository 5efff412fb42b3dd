//! A sidecar with limits: it grants leases as the ledger does, to one worker, and keeps what it was asked and told.
//!
//! Does not: know calendars or prices: one window, one rate for all models.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use prost::Message as _;
use sidecar_api::v1::account::{Counted, OnExhausted};
use sidecar_api::v1::admit_response::Verdict;
use sidecar_api::{self as api, v1};

use crate::fixture::KEY;
use crate::gateway::Reply;
use crate::host::world::Call;

/// Start of the window, in Unix seconds.
pub const WINDOW: u64 = 1_799_999_000;
/// Nano-dollars of a token of the prompt, and of the answer.
pub const RATES: (u64, u64) = (2, 10);

#[derive(Debug, Clone, Copy, Default)]
struct Portion {
    granted: u64,
    returned: u64,
    spent: u64,
}

/// What it knows and has seen.
#[derive(Debug, Default)]
pub struct Books {
    pub accounts: Vec<v1::Account>,
    /// Who has neither key nor identity is under these.
    pub anonymous: Option<Vec<v1::Account>>,
    /// Models nobody knows the price of.
    pub unpriced: Vec<String>,
    /// What it counts of any prompt; 0: nobody can.
    pub tokens: u64,
    pub asked: Vec<v1::AdmitRequest>,
    pub settled: Vec<v1::Settlement>,
    pub generation: u64,
    portions: BTreeMap<u64, Portion>,
}

impl Books {
    /// Calls that asked for leases of this account.
    pub fn draws(&self, account: u64) -> Vec<v1::Draw> {
        let draws = self.asked.iter().flat_map(|asked| &asked.draws);
        draws.filter(|draw| draw.account == account).copied().collect()
    }

    /// What was settled on this account.
    pub fn charged(&self, account: u64) -> u64 {
        let charges = self.settled.iter().flat_map(|settled| &settled.charges);
        charges.filter(|charge| charge.account == account).map(|charge| charge.amount).sum()
    }

    fn admit(&mut self, request: &v1::AdmitRequest) -> v1::AdmitResponse {
        self.asked.push(request.clone());
        let mut answer = v1::AdmitResponse { ttl_ms: 30_000, generation: self.generation, ..Default::default() };
        if request.hello {
            answer.vm_nonce = vec![7; api::NONCE_LEN];
        }
        let record = |name: &str, accounts: &[v1::Account]| v1::KeyRecord {
            name: name.to_owned(),
            accounts: accounts.to_vec(),
            ..Default::default()
        };
        let own = |peer: &str| peer.strip_prefix("spiffe://").map(|name| record(name, &self.accounts));
        let found = match (&request.identity, request.anonymous, request.key_sha256.is_empty()) {
            (Some(identity), ..) => Some(own(&identity.peer)),
            (None, true, _) => Some(self.anonymous.as_ref().map(|accounts| record("", accounts))),
            (None, false, false) => {
                let known = request.key_sha256 == engine::keys::digest(KEY.as_bytes());
                Some(known.then(|| record("known", &self.accounts)))
            }
            (None, false, true) => None,
        };
        if let Some(record) = found {
            let verdict = if record.is_some() { Verdict::Admitted } else { Verdict::UnknownKey };
            (answer.verdict, answer.key) = (verdict.into(), record);
        }
        assert!(request.draws.is_empty() || request.vm_nonce == [7; api::NONCE_LEN], "whose are the leases?");
        answer.leases = request.draws.iter().map(|draw| self.lease(draw)).collect();
        let tier = v1::Tier { input: RATES.0 * 1000, output: RATES.1 * 1000, ..Default::default() };
        let rates = request.rates.iter().map(|name| {
            let known = !self.unpriced.contains(&name.model);
            let standard = if known { vec![tier] } else { Vec::new() };
            let v1::ModelName { provider, model } = name.clone();
            v1::Rates { provider, model, known, standard, ..Default::default() }
        });
        answer.rates = rates.collect();
        answer.tokens = if request.count.is_some() { self.tokens } else { 0 };
        answer
    }

    fn lease(&mut self, draw: &v1::Draw) -> v1::Lease {
        let all = self.accounts.iter().chain(self.anonymous.iter().flatten());
        let Some(account) = all.into_iter().find(|account| account.id == draw.account) else {
            return v1::Lease { account: draw.account, gone: true, ..Default::default() };
        };
        let concurrent = account.counted() == Counted::Concurrent;
        let window = if concurrent { 0 } else { WINDOW };
        let portion = self.portions.entry(draw.account).or_default();
        let (received, returned) = if draw.window == window { (draw.received, draw.returned) } else { (0, 0) };
        portion.returned = portion.returned.max(returned);
        let unheard = portion.granted - received;
        let (need, want) = (draw.need.saturating_sub(unheard), draw.want.max(draw.need).saturating_sub(unheard));
        let committed = (portion.granted - portion.returned).max(portion.spent);
        let free = account.most.saturating_sub(committed);
        let refused = draw.need > 0 && need > free;
        if !refused {
            portion.granted += want.min(free);
        }
        v1::Lease {
            account: draw.account,
            window,
            ends_in_ms: if concurrent { 0 } else { 60_000 },
            granted: portion.granted,
            returned: portion.returned,
            refused,
            used: portion.spent,
            most: account.most,
            gone: false,
            back: false,
        }
    }

    fn settle(&mut self, request: v1::SettleRequest) {
        for charge in request.settlements.iter().flat_map(|settlement| &settlement.charges) {
            self.portions.entry(charge.account).or_default().spent += charge.amount;
        }
        self.settled.extend(request.settlements);
    }
}

/// Shared with the script that answers.
#[derive(Debug, Clone, Default)]
pub struct Bank(pub Rc<RefCell<Books>>);

impl Bank {
    pub fn new(accounts: Vec<v1::Account>) -> Self {
        Self(Rc::new(RefCell::new(Books { accounts, generation: 1, ..Books::default() })))
    }

    pub fn script(&self) -> impl FnMut(&Call) -> Reply + use<> {
        let books = Rc::clone(&self.0);
        move |call| {
            let mut books = books.borrow_mut();
            let message = call.message.as_slice();
            Some(Ok(match call.method.as_str() {
                api::ADMIT => books.admit(&v1::AdmitRequest::decode(message).unwrap()).encode_to_vec(),
                api::SETTLE => {
                    books.settle(v1::SettleRequest::decode(message).unwrap());
                    v1::SettleResponse { generation: books.generation }.encode_to_vec()
                }
                other => panic!("the guest called {other}"),
            }))
        }
    }
}

/// An account of the known key, which blocks.
pub fn account(id: u64, counted: Counted, most: u64) -> v1::Account {
    let window = if counted == Counted::Concurrent { "" } else { "1M" };
    v1::Account {
        id,
        counted: counted.into(),
        scope: "key known".to_owned(),
        most,
        window: window.to_owned(),
        ..Default::default()
    }
}

pub fn ruled(rule: OnExhausted, account: v1::Account) -> v1::Account {
    v1::Account { on_exhausted: rule.into(), ..account }
}
