//! Rows in memory, for tests: the simplest store that could be right.

use std::collections::BTreeMap;

use super::super::LedgerError;
use super::{Balance, Holder, Portion, Rows};

/// One shard, or all of them.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    pub(crate) balances: BTreeMap<(u64, u64), Balance>,
    pub(crate) portions: BTreeMap<(u64, u64, Holder), Portion>,
}

impl Rows for Memory {
    fn balance(&mut self, account: u64, window: u64) -> Result<Balance, LedgerError> {
        Ok(self.balances.get(&(account, window)).copied().unwrap_or_default())
    }
    fn set_balance(&mut self, account: u64, window: u64, balance: &Balance) -> Result<(), LedgerError> {
        self.balances.insert((account, window), *balance);
        Ok(())
    }
    fn portion(&mut self, account: u64, window: u64, holder: &Holder) -> Result<Portion, LedgerError> {
        Ok(self.portions.get(&(account, window, *holder)).copied().unwrap_or_default())
    }
    fn set_portion(&mut self, account: u64, window: u64, holder: &Holder, it: &Portion) -> Result<(), LedgerError> {
        self.portions.insert((account, window, *holder), *it);
        Ok(())
    }
    fn portions(&mut self, account: u64, window: u64) -> Result<Vec<(Holder, Portion)>, LedgerError> {
        let mine = self.portions.iter().filter(|((a, w, _), _)| (*a, *w) == (account, window));
        Ok(mine.map(|((_, _, holder), portion)| (*holder, *portion)).collect())
    }
}
