//! May a planned request go, and what becomes of it if a limit is used up?
//!
//! Asked again whenever something has changed: a lease came, the sidecar refused one, the plan is another. What was once
//! decided against a limit stays decided for this request, so the asking ends.
//!
//! Does not: reserve, draw or plan; the host does, by what is answered.
//!
//! Decision: a limit on tokens or money that does not take a plan may take it without its dearest try, or without a
//! repetition: these leave the plan first, one by one. Then an account of one provider takes that provider's tries out,
//! whatever the others have; all other accounts do what their own rule says. Rejected: refusing at once, when another provider could serve.

use std::rc::Rc;

use super::need::{Candidate, Missing, need};
use super::{Account, Counted, Exhausted, Refused, Standing};

/// Where a limit stands with one request.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum State {
    /// It is asked.
    #[default]
    Asked,
    /// It is used up, and the request goes on; it is charged all the same.
    Exceeded,
    /// A pool stands in for it.
    Replaced,
}

/// A limit that does not take a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Over {
    /// Which.
    pub account: Account,
    /// What the sidecar said.
    pub refused: Refused,
    /// What the request would have needed.
    pub need: u64,
}

/// Why a request may not go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// These limits are used up: one that everything counts for, or one of each provider that could have served.
    Over(Vec<Over>),
    /// Nobody knows what the models cost that are left.
    Unpriced,
    /// Nothing bounds what it may use; this is what it should say.
    Unbounded(Missing),
}

/// What to do with a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// It may go; [`Governor::needs`] is to be reserved.
    Go,
    /// So much of these accounts must be drawn first.
    Draw(Vec<(u64, u64)>),
    /// Plan it again, as if these models had been asked for.
    Downgrade {
        /// The first first.
        models: Vec<String>,
        /// The limit that wants it so: if nobody serves them, it is the reason.
        over: Box<Over>,
    },
    /// It may not go.
    Refuse(Refusal),
}

/// The limits of one request.
#[derive(Debug, Clone)]
pub struct Governor {
    accounts: Rc<[Account]>,
    states: Vec<State>,
    /// Providers whose own limits are used up.
    left: Vec<Over>,
    /// Tries of the plan that would use more than there is, by their place.
    left_out: Vec<usize>,
    needs: Vec<(usize, u64)>,
    downgraded: bool,
}

impl Governor {
    /// Nothing decided yet.
    #[must_use]
    pub fn new(accounts: Rc<[Account]>) -> Self {
        let states = vec![State::Asked; accounts.len()];
        Self { accounts, states, left: Vec::new(), left_out: Vec::new(), needs: Vec::new(), downgraded: false }
    }

    /// The accounts it knows.
    #[must_use]
    pub fn accounts(&self) -> &Rc<[Account]> {
        &self.accounts
    }

    /// What to reserve: index into the accounts, and amount. Of every account that counts, also where it is used up.
    #[must_use]
    pub fn needs(&self) -> &[(usize, u64)] {
        &self.needs
    }

    /// Limits that are used up and did not keep the request.
    pub fn exceeded(&self) -> impl Iterator<Item = u64> {
        let all = self.accounts.iter().zip(&self.states);
        all.filter(|(_, state)| **state == State::Exceeded).map(|(account, _)| account.id)
    }

    /// A list of models or a pool stood in for a limit.
    #[must_use]
    pub fn downgraded(&self) -> bool {
        self.downgraded
    }

    /// Can anything be decided without the rates of the models that are asked?
    #[must_use]
    pub fn needs_rates(&self) -> bool {
        self.accounts.iter().any(Account::needs_rates)
    }

    /// May this try stay at this place of the plan?
    #[must_use]
    pub fn keeps(&self, place: usize, one: &Candidate<'_>) -> bool {
        let left = self.left.iter().any(|over| over.account.provider.as_deref() == Some(one.provider));
        let paid =
            || self.counting().any(|(_, a)| a.limit.counted == Counted::Money && a.binds() && a.counts(one.provider));
        !(left || self.left_out.contains(&place) || one.unpriced && paid())
    }

    /// The accounts that count for this request, with their index.
    fn counting(&self) -> impl Iterator<Item = (usize, &Account)> {
        let stands_in = |pool: &str| {
            let replaced = self.accounts.iter().zip(&self.states).filter(|(_, state)| **state == State::Replaced);
            replaced.into_iter().any(|(a, _)| matches!(&a.limit.exhausted, Exhausted::Pool(name) if name == pool))
        };
        let all = self.accounts.iter().zip(&self.states).enumerate();
        all.filter(move |(_, (account, state))| {
            **state != State::Replaced && account.of_pool.as_deref().is_none_or(stands_in)
        })
        .map(|(at, (account, _))| (at, account))
    }

    /// Decides about these tries. `standing` says how an amount stands to an account.
    pub fn decide(&mut self, tries: &[Candidate<'_>], mut standing: impl FnMut(u64, u64) -> Standing) -> Decision {
        loop {
            let places: Vec<_> = (0..).zip(tries).filter(|(place, one)| self.keeps(*place, one)).collect();
            let kept: Vec<_> = places.iter().map(|(_, one)| (*one).clone()).collect();
            if kept.is_empty() {
                let over = std::mem::take(&mut self.left);
                return Decision::Refuse(if over.is_empty() { Refusal::Unpriced } else { Refusal::Over(over) });
            }
            match self.needed(&kept) {
                Ok(needs) => self.needs = needs,
                Err(_) if self.leave_unbounded(&places) => continue,
                Err(missing) => return Decision::Refuse(Refusal::Unbounded(missing)),
            }
            let mut short = Vec::new();
            let mut refused = Vec::new();
            for (at, amount) in &self.needs {
                let asked = self.states.get(*at) == Some(&State::Asked);
                let Some(account) = self.accounts.get(*at).filter(|_| asked && *amount > 0) else { continue };
                match standing(account.id, *amount) {
                    Standing::Fits => {}
                    Standing::Short => short.push((account.id, *amount)),
                    Standing::Refused(why) => refused.push((*at, why, *amount)),
                }
            }
            if refused.is_empty() {
                return if short.is_empty() { Decision::Go } else { Decision::Draw(short) };
            }
            if self.leave_dearest(&refused, &places) {
                continue;
            }
            if let Some(end) = self.apply(&refused) {
                // Another plan has other places.
                self.left_out.clear();
                return end;
            }
        }
    }

    fn needed(&self, tries: &[Candidate<'_>]) -> Result<Vec<(usize, u64)>, Missing> {
        let mut needs = Vec::with_capacity(self.accounts.len());
        for (at, account) in self.counting() {
            needs.extend(need(account, tries)?.map(|amount| (at, amount)));
        }
        Ok(needs)
    }

    /// Takes out the tries that nothing bounds. False if no other would be left.
    fn leave_unbounded(&mut self, places: &[(usize, &Candidate<'_>)]) -> bool {
        let unbounded = |one| self.counting().any(|(_, account)| need(account, std::slice::from_ref(one)).is_err());
        let out: Vec<_> = places.iter().filter(|(_, one)| unbounded(one)).map(|(place, _)| *place).collect();
        let others = !out.is_empty() && out.len() < places.len();
        if others {
            self.left_out.extend(out);
        }
        others
    }

    /// Takes out the try that needs most, of equals the last, where a limit may take the others. False if none may.
    fn leave_dearest(&mut self, refused: &[(usize, Refused, u64)], places: &[(usize, &Candidate<'_>)]) -> bool {
        let binding = || {
            let all = refused.iter().filter_map(|(at, why, _)| Some((self.accounts.get(*at)?, why)));
            all.filter(|(account, _)| account.binds())
        };
        // It is used up for everybody, however little is asked for.
        let hopeless = |account: &Account, why: &Refused| !account.needs_rates() || why.used >= why.most;
        if binding().any(|(account, why)| account.provider.is_none() && hopeless(account, why)) {
            return false;
        }
        let dearest = |account: &Account| {
            let counted = || places.iter().filter(|(_, one)| account.counts(one.provider));
            let most = || counted().max_by_key(|(_, one)| need(account, std::slice::from_ref(*one)).ok().flatten());
            if counted().count() > 1 { most().map(|(place, _)| *place) } else { None }
        };
        let out = binding().filter(|(account, why)| !hopeless(account, why)).find_map(|(account, _)| dearest(account));
        self.left_out.extend(out);
        out.is_some()
    }

    /// Does what the rules of limits say that are used up. `None`: what is left may be asked again.
    fn apply(&mut self, refused: &[(usize, Refused, u64)]) -> Option<Decision> {
        let mut end = None;
        for (at, why, amount) in refused {
            let (Some(account), Some(state)) = (self.accounts.get(*at), self.states.get_mut(*at)) else { continue };
            let over = Over { account: account.clone(), refused: *why, need: *amount };
            match &account.limit.exhausted {
                Exhausted::AlertOnly | Exhausted::Shadow => *state = State::Exceeded,
                _ if account.provider.is_some() => self.left.push(over),
                Exhausted::Block => return Some(Decision::Refuse(Refusal::Over(vec![over]))),
                Exhausted::Downgrade(list) => {
                    *state = State::Exceeded;
                    self.downgraded = true;
                    end = Some(Decision::Downgrade { models: list.clone(), over: Box::new(over) });
                }
                Exhausted::Pool(_) => {
                    *state = State::Replaced;
                    self.downgraded = true;
                }
            }
        }
        end
    }
}

#[cfg(test)]
mod tests;
