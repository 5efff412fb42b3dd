//! The one thread that writes: takes what callers have queued, commits it as a group, then answers all of them.
//!
//! Does not: retry. A failed commit is told to every caller of the group, and they send again.
//!
//! Decision: a group is what queued up while the last commit was syncing, so an idle store commits at once and a busy
//! one amortises its syncs. Rejected: lingering some milliseconds for company, which delays every settlement of a quiet
//! gateway and gains nothing on a busy one.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use super::book::{Lease, Terms};
use super::tally::Names;
use super::{Ask, Ended, Entry, Group, Ledger, LedgerError, Lesson, Recorded};
use crate::serve::clock::Clock;
use crate::serve::logs::Seldom;

/// A group is committed at the latest when it holds this many settlements and draws.
const GROUP: usize = 256;
/// Callers that may wait for the thread; more wait for a place.
const QUEUE: usize = 64;

/// A full disk fails a hundred commits a second.
static FAILURES: Seldom = Seldom::new();

/// The configuration, as far as the ledger needs it.
pub type SharedTerms = Arc<dyn Terms + Send + Sync>;

/// Is told of each commit, on the ledger's thread, before anybody is answered.
pub trait Watch: Send + 'static {
    /// What the next commit should keep besides.
    fn lessons(&self) -> Vec<Lesson>;
    /// The group is durable, and this is what came of it.
    fn committed(&self, group: &Group, recorded: &Recorded, terms: &dyn Terms);
    /// The store took nothing.
    fn failed(&self) {}
}

type Done<T> = oneshot::Sender<Result<T, LedgerError>>;

enum Job {
    /// Settlements of one call; without any it is a probe.
    Settle(Vec<Entry>, Done<()>),
    /// Workers that have died.
    End(Vec<Ended>, Done<()>),
    /// Draws of one call.
    Draw(Ask, Done<Vec<Lease>>),
    /// Another configuration has these names and terms; wants the generation after this one.
    Reload(Names, SharedTerms, u64, Done<u64>),
}

/// Owner of the thread.
#[derive(Debug)]
pub struct Writer {
    handle: Handle,
    closed: oneshot::Receiver<()>,
}

/// Way to the thread.
#[derive(Debug, Clone)]
pub struct Handle {
    jobs: mpsc::Sender<Job>,
}

impl Writer {
    /// Starts the thread.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn start(
        ledger: impl Ledger,
        terms: SharedTerms,
        watch: impl Watch,
        clock: Arc<Clock>,
    ) -> std::io::Result<Self> {
        let (jobs, queue) = mpsc::channel(QUEUE);
        let (close, closed) = oneshot::channel();
        let work = move || {
            run(ledger, terms, &watch, &clock, queue);
            let _nobody_waits = close.send(());
        };
        thread::Builder::new().name("ledger".to_owned()).spawn(work)?;
        Ok(Self { handle: Handle { jobs }, closed })
    }

    /// A way to the thread.
    #[must_use]
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Waits for every [`Handle`] to go, for what they queued to be committed and for the store to close.
    pub async fn close(self) {
        let Self { handle, closed } = self;
        drop(handle);
        if closed.await.is_err() {
            tracing::error!("the ledger's thread ended badly");
        }
    }
}

impl Handle {
    /// Records settlements; durable when it returns. What is queued is written even if the caller stops waiting: it will
    /// come again as a double, and a store slower than its callers' patience still gets ahead.
    ///
    /// # Errors
    /// Nothing was recorded, as far as anybody knows.
    pub async fn settle(&self, entries: Vec<Entry>) -> Result<(), LedgerError> {
        self.ask(|done| Job::Settle(entries, done)).await
    }

    /// Takes back what workers held that have died; durable when it returns.
    ///
    /// # Errors
    /// Nothing came back, as far as anybody knows.
    pub async fn end(&self, ended: Vec<Ended>) -> Result<(), LedgerError> {
        self.ask(|done| Job::End(ended, done)).await
    }

    /// Grants leases; durable when it returns. A grant whose caller stopped waiting is handed out to it again.
    ///
    /// # Errors
    /// Nothing was granted, as far as anybody knows.
    pub async fn draw(&self, ask: Ask) -> Result<Vec<Lease>, LedgerError> {
        self.ask(|done| Job::Draw(ask, done)).await
    }

    /// Takes the names and terms of another configuration, and gives the generation of its keys: above `former`, that of
    /// the keys before, also where the store cannot write.
    ///
    /// # Errors
    /// The ledger's thread is gone.
    pub async fn reload(&self, names: Names, terms: SharedTerms, former: u64) -> Result<u64, LedgerError> {
        self.ask(|done| Job::Reload(names, terms, former, done)).await
    }

    /// Can the store write, and does it get around to it within `patience`?
    ///
    /// # Errors
    /// Why not.
    pub async fn probe(&self, patience: Duration) -> Result<(), LedgerError> {
        tokio::time::timeout(patience, self.settle(Vec::new())).await.map_err(|_| LedgerError::new("too slow"))?
    }

    async fn ask<T>(&self, job: impl FnOnce(Done<T>) -> Job) -> Result<T, LedgerError> {
        let closed = || LedgerError::new("closed");
        let (done, answer) = oneshot::channel();
        self.jobs.send(job(done)).await.map_err(|_| closed())?;
        answer.await.map_err(|_| closed())?
    }
}

/// Calls that are answered together.
#[derive(Default)]
struct Waiting {
    settled: Vec<Done<()>>,
    /// In the order of [`Group::asks`].
    drawn: Vec<Done<Vec<Lease>>>,
}

fn run(
    mut ledger: impl Ledger,
    mut terms: SharedTerms,
    watch: &impl Watch,
    clock: &Clock,
    mut queue: mpsc::Receiver<Job>,
) {
    let mut left = None;
    while let Some(first) = left.take().or_else(|| queue.blocking_recv()) {
        let (mut group, mut waiting) = (Group::default(), Waiting::default());
        let mut next = Some(first);
        while let Some(job) = next {
            match job {
                Job::Settle(entries, done) => {
                    group.settlements.extend(entries);
                    waiting.settled.push(done);
                }
                Job::End(ended, done) => {
                    group.ended.extend(ended);
                    waiting.settled.push(done);
                }
                Job::Draw(ask, done) => {
                    group.asks.push(ask);
                    waiting.drawn.push(done);
                }
                Job::Reload(..) if !waiting.is_empty() => {
                    left = Some(job);
                    break;
                }
                Job::Reload(names, new, former, done) => {
                    // A key is revoked whether the disk is full or not. The number is above all that filters know, and
                    // the next that the store gives is so, too: it begins at the time in seconds.
                    let generation = ledger.next_generation().unwrap_or_else(|error| {
                        tracing::error!(%error, "the generation of the new configuration is not written");
                        former.saturating_add(1).max(clock.now() / 1_000_000_000)
                    });
                    ledger.relabel(names);
                    terms = new;
                    let _gone = done.send(Ok(generation));
                    break;
                }
            }
            next = if group.len() < GROUP { queue.try_recv().ok() } else { None };
        }
        if !waiting.is_empty() {
            let now = clock.now();
            if !group.is_empty() {
                group.lessons = watch.lessons();
                group.anchor = clock.unkept();
            }
            let result = commit(&mut ledger, terms.as_ref(), watch, (&group, &waiting), now);
            if let (Ok(_), Some(anchor)) = (&result, group.anchor) {
                clock.kept(anchor);
            }
            waiting.answer(result);
        }
    }
}

fn commit(
    ledger: &mut impl Ledger,
    terms: &dyn Terms,
    watch: &impl Watch,
    (group, waiting): (&Group, &Waiting),
    now: u64,
) -> Result<Vec<Vec<Lease>>, LedgerError> {
    if group.is_empty() {
        // Probes that piled up while the store was blocked need no answer any more.
        let left = waiting.settled.iter().all(oneshot::Sender::is_closed);
        return if left { Ok(()) } else { ledger.probe() }.map(|()| Vec::new());
    }
    let committed = ledger.commit(group, terms, now).inspect_err(|error| {
        watch.failed();
        if let Some(left_out) = FAILURES.due(&error.0) {
            tracing::error!(%error, left_out, "nothing recorded; callers will send again");
        }
    })?;
    watch.committed(group, &committed, terms);
    Ok(committed.leases)
}

impl Waiting {
    fn is_empty(&self) -> bool {
        self.settled.is_empty() && self.drawn.is_empty()
    }

    /// A caller that left does not need the answer.
    fn answer(self, result: Result<Vec<Vec<Lease>>, LedgerError>) {
        for done in self.settled {
            let _gone = done.send(result.as_ref().map(|_| ()).map_err(Clone::clone));
        }
        match result {
            Ok(leases) => self.drawn.into_iter().zip(leases).for_each(|(done, leases)| {
                let _gone = done.send(Ok(leases));
            }),
            Err(error) => self.drawn.into_iter().for_each(|done| {
                let _gone = done.send(Err(error.clone()));
            }),
        }
    }
}

#[cfg(test)]
mod tests;
