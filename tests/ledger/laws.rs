//! What is true of the world, whatever the ledger says; and the laws that compare the two.
//!
//! Does not: look into wallets. Spending is what providers would bill, of killed workers too.

use std::collections::BTreeMap;

use engine::govern::{Held, overshoot};

use super::plan::{Plan, kind, parent, worker_index};
use super::store::Store;
use super::worker::{Need, Request, Worker};
use super::world::World;

/// Times that the sidecar may be asked for one request.
const ASKS: u32 = 40;

/// A lease, within what it is of: the worker, and the account that it draws on.
type Drawn = (usize, u64);

#[derive(Debug, Default)]
pub struct Truth {
    /// By account and window.
    spent: BTreeMap<(u64, u64), u64>,
    /// What requests in flight may use beyond what they reserved, and the most there ever was, by lease: the worker and the
    /// account it draws on.
    beyond: BTreeMap<(u64, u64, Drawn), (u64, u64)>,
    /// Most by which a strict limit was overrun, and an elastic one.
    pub overshoot: [u64; 2],
}

impl Truth {
    pub fn started(&mut self, worker: usize, needs: &[Need], held: &[Held]) -> Result<(), String> {
        for (need, held) in needs.iter().zip(held) {
            if held.amount != need.reserve {
                return Err(format!("{held:?} was reserved for {need:?}"));
            }
            for account in with_parent(need.account) {
                let beyond = self.beyond.entry((account, held.window, (worker, need.account))).or_default();
                beyond.0 += overshoot(1, need.worst, need.reserve);
                beyond.1 = beyond.1.max(beyond.0);
            }
        }
        Ok(())
    }

    pub fn finished(&mut self, plan: &Plan, worker: usize, needs: &[Need], held: &[Held]) -> Result<(), String> {
        for (need, held) in needs.iter().zip(held) {
            for account in with_parent(need.account) {
                let at = (account, held.window);
                let spent = self.spent.entry(at).or_default();
                *spent += need.actual;
                let over = spent.saturating_sub(plan.spec(account).most);
                let leases = (account, held.window, (0, 0))..=(account, held.window, (usize::MAX, 0));
                let bound: u64 = self.beyond.range(leases).map(|(_, (_, most))| most).sum();
                if let Some(beyond) = self.beyond.get_mut(&(account, held.window, (worker, need.account))) {
                    beyond.0 -= overshoot(1, need.worst, need.reserve);
                }
                let bound = if plan.spec(account).elastic { bound } else { 0 };
                if over > bound {
                    return Err(format!(
                        "account {account} window {} is overrun by {over}, {bound} may be",
                        held.window
                    ));
                }
                let most = &mut self.overshoot[usize::from(plan.spec(account).elastic)];
                *most = over.max(*most);
            }
        }
        Ok(())
    }

    /// Spent in truth, of a window.
    pub fn spent(&self, account: u64, window: u64) -> u64 {
        self.spent.get(&(account, window)).copied().unwrap_or_default()
    }
}

/// An account and the one it draws from.
fn with_parent(account: u64) -> impl Iterator<Item = u64> {
    [Some(account), parent(account)].into_iter().flatten()
}

/// Requests at once, those aside whose worker was cut off for too long.
pub fn at_once(plan: &Plan, workers: &[Worker]) -> Result<(), String> {
    let mut counts: BTreeMap<u64, u64> = BTreeMap::new();
    for running in workers.iter().filter(|worker| worker.alive).flat_map(|worker| &worker.running) {
        for need in running.request.needs.iter().filter(|need| !running.exempt && kind(need.account).is_slots()) {
            with_parent(need.account).for_each(|account| *counts.entry(account).or_default() += 1);
        }
    }
    counts.into_iter().try_for_each(|(account, count)| {
        let most = plan.spec(account).most;
        if count > most { Err(format!("account {account}: {count} at once, {most} may be")) } else { Ok(()) }
    })
}

/// Nobody asks again and again.
pub fn asked(request: &Request) -> Result<(), String> {
    if request.asks > ASKS { Err(format!("asked {} times for {request:?}", request.asks)) } else { Ok(()) }
}

/// Everybody is idle, everything is settled and a while has passed: nothing is kept from anybody but what killed workers
/// had, until their window ends.
pub fn quiet(world: &World, whole: (u64, u64)) -> Result<(), String> {
    let World { plan, store, workers, truth, latest, .. } = world;
    let dead = |holder: &[u8; 16]| holder[0] == 0 && !workers[worker_index(holder)].alive;
    for (&(account, window), balance) in &store.balances {
        let spec = plan.spec(account);
        // Of windows that began or ended meanwhile nobody gives anything back.
        if window > 0 && (window > whole.0 || window + spec.length <= whole.1) {
            continue;
        }
        // Near its end a window is over for those whose clocks are ahead.
        let far = window == 0 || window + spec.length > whole.1 + 300;
        for (holder, portion) in store.portions(account, window).filter(|_| far) {
            // A question that came twice, or after a later one, may be granted what nobody hears of until it is asked
            // again.
            let stale = |worker| latest.get(&(worker, account)).is_some_and(|(_, stale)| *stale);
            if holder[0] == 0 && stale(worker_index(&holder)) {
                continue;
            }
            if holder[0] == 0 && !dead(&holder) && portion.committed() != portion.spent {
                return Err(format!("account {account} window {window}: {portion:?} of an idle worker"));
            }
            // What others know of a dead worker is all that is kept of its lease.
            let known = (holder[0] == 0).then(|| workers[worker_index(&holder)].known.get(&account)).flatten();
            let known =
                known.filter(|it| dead(&holder) && !workers[worker_index(&holder)].leaving && it.window == window);
            if known.is_some_and(|it| window > 0 && portion.committed() > it.most.max(portion.spent)) {
                return Err(format!(
                    "account {account} window {window}: {portion:?} of a dead worker that used {known:?}"
                ));
            }
            let slots = spec.length == 0 && holder[0] == 0;
            if slots && portion.committed() > 0 {
                return Err(format!("account {account}: slots of {holder:?} never come back: {portion:?}"));
            }
        }
        if parent(account).is_some() && balance.allotted - balance.repaid != balance.committed {
            return Err(format!("account {account} window {window}: the shard keeps what is free: {balance:?}"));
        }
        if account < 10 {
            let children: Vec<_> = (1..=plan.customers).map(|c| store.balance(10 * c + account, window)).collect();
            let used: u64 = children.iter().map(|child| child.used).sum();
            let committed: u64 = children.iter().map(|child| child.committed).sum();
            if balance.used != used || (far && balance.committed != committed) {
                return Err(format!("account {account} window {window}: {balance:?}, children {used} and {committed}"));
            }
        }
        let spent = truth.spent(account, window);
        let unsettled = workers.iter().any(|worker| !worker.alive);
        if balance.used > spent || (balance.used < spent && !unsettled) {
            return Err(format!("account {account} window {window}: {} of {spent} are settled", balance.used));
        }
    }
    for (index, worker) in workers.iter().enumerate().filter(|(_, worker)| worker.alive) {
        if worker.unsettled() > 0 {
            return Err(format!("worker {index} has {} settlements that nobody takes", worker.unsettled()));
        }
    }
    Ok(())
}

/// What is free of an account, in whatever store.
pub fn free(plan: &Plan, store: &Store, account: u64, window: u64) -> u64 {
    let most = plan.spec(account).most;
    let own = store.balance(account, window);
    match parent(account) {
        None => most.saturating_sub(own.committed),
        Some(parent) => {
            let kept = own.allotted.saturating_sub(own.repaid).saturating_sub(own.committed);
            most.saturating_sub(store.balance(parent, window).committed) + kept
        }
    }
}
