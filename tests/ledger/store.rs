//! A store that forgets exactly what was not committed, and can stop at every write.
//!
//! Does not: decide anything. What a transaction has changed is looked at when it is committed.

use std::collections::{BTreeMap, BTreeSet};

use sidecar::serve::ledger::LedgerError;
use sidecar::serve::ledger::book::{Balance, Holder, Portion};

use super::plan::{Mutant, Plan, parent};

type Window = (u64, u64);

#[derive(Debug, Default)]
pub struct Store {
    pub balances: BTreeMap<Window, Balance>,
    pub portions: BTreeMap<(u64, u64, Holder), Portion>,
    /// Settlements, by worker and counter.
    pub settled: BTreeSet<(usize, u64)>,
    undo: Vec<Undo>,
    /// Writes and commits until the process is killed.
    pub fuse: Option<u64>,
    /// It was, and stays so until it is started again.
    pub dead: bool,
    /// The latest window of each account in which anything was granted.
    latest: BTreeMap<u64, u64>,
    /// The first law that was broken.
    pub broken: Option<String>,
}

#[derive(Debug)]
enum Undo {
    Balance(Window, Option<Balance>),
    Portion((u64, u64, Holder), Option<Portion>),
    Settled((usize, u64)),
}

impl Store {
    pub fn balance(&self, account: u64, window: u64) -> Balance {
        self.balances.get(&(account, window)).copied().unwrap_or_default()
    }

    pub fn portion(&self, account: u64, window: u64, holder: &Holder) -> Portion {
        self.portions.get(&(account, window, *holder)).copied().unwrap_or_default()
    }

    pub fn portions(&self, account: u64, window: u64) -> impl Iterator<Item = (Holder, Portion)> + '_ {
        let range = (account, window, [0; 16])..=(account, window, [255; 16]);
        self.portions.range(range).map(|((_, _, holder), portion)| (*holder, *portion))
    }

    pub fn set_balance(&mut self, account: u64, window: u64, balance: Balance) -> Result<(), LedgerError> {
        self.burn()?;
        let before = self.balances.insert((account, window), balance);
        self.undo.push(Undo::Balance((account, window), before));
        Ok(())
    }

    pub fn set_portion(&mut self, at: (u64, u64, Holder), portion: Portion) -> Result<(), LedgerError> {
        self.burn()?;
        let before = self.portions.insert(at, portion);
        self.undo.push(Undo::Portion(at, before));
        Ok(())
    }

    /// False if it was there before.
    pub fn settle(&mut self, id: (usize, u64)) -> Result<bool, LedgerError> {
        self.burn()?;
        let new = self.settled.insert(id);
        if new {
            self.undo.push(Undo::Settled(id));
        }
        Ok(new)
    }

    /// Durable when it returns. Killed before it or after it, but not in between.
    pub fn commit(&mut self, plan: &Plan) -> Result<(), LedgerError> {
        self.burn()?;
        self.check(plan);
        self.undo.clear();
        self.burn()
    }

    /// What was not committed never was.
    pub fn roll_back(&mut self) {
        while let Some(undo) = self.undo.pop() {
            match undo {
                Undo::Balance(at, Some(balance)) => _ = self.balances.insert(at, balance),
                Undo::Balance(at, None) => _ = self.balances.remove(&at),
                Undo::Portion(at, Some(portion)) => _ = self.portions.insert(at, portion),
                Undo::Portion(at, None) => _ = self.portions.remove(&at),
                Undo::Settled(id) => _ = self.settled.remove(&id),
            }
        }
    }

    fn burn(&mut self) -> Result<(), LedgerError> {
        self.dead |= self.fuse == Some(0);
        self.fuse = self.fuse.map(|left| left.saturating_sub(1));
        if self.dead { Err(LedgerError::new("killed")) } else { Ok(()) }
    }

    /// The laws of what a transaction leaves behind.
    fn check(&mut self, plan: &Plan) {
        let mut touched: Vec<Window> = Vec::new();
        for undo in &self.undo {
            let at = match undo {
                Undo::Balance(at, _) => *at,
                Undo::Portion((account, window, holder), before) => {
                    let granted = before.unwrap_or_default().granted;
                    let more =
                        self.portion(*account, *window, holder).granted > granted && !plan.spec(*account).elastic;
                    let latest = self.latest.entry(*account).or_default();
                    if more && window < latest {
                        let late = format!("account {account} grants in window {window} after {latest}");
                        self.broken.get_or_insert(late);
                    }
                    if more {
                        *latest = (*latest).max(*window);
                    }
                    (*account, *window)
                }
                Undo::Settled(_) => continue,
            };
            if !touched.contains(&at) {
                touched.push(at);
            }
        }
        for (account, window) in touched {
            if let Err(broken) = self.check_one(plan, account, window) {
                self.broken.get_or_insert(broken);
            }
        }
    }

    fn check_one(&self, plan: &Plan, account: u64, window: u64) -> Result<(), String> {
        let balance = self.balance(account, window);
        let (mut sums, mut granted) = ((0, 0, 0), 0);
        for (_, it) in self.portions(account, window) {
            sums.0 += it.committed();
            sums.1 += it.spent;
            sums.2 += u64::from(it.granted > it.returned + it.spent);
            granted += it.granted.saturating_sub(it.returned);
        }
        let kept = (balance.committed, balance.used, balance.holders);
        if kept != sums {
            return Err(format!("account {account} window {window}: {balance:?} is not the sum {sums:?}"));
        }
        let spec = plan.spec(account);
        let most =
            if parent(account).is_some() { balance.allotted - balance.repaid.min(balance.allotted) } else { spec.most };
        let over = if spec.elastic { granted } else { balance.committed };
        // What was overrun in an elastic limit that shards share counts as allotted.
        let exempt = spec.elastic && account < 10;
        if over > most && !exempt && !plan.is(Mutant::Hope) {
            return Err(format!("account {account} window {window}: {over} are granted of {most}: {balance:?}"));
        }
        Ok(())
    }
}
