//! The one thread that writes: takes what callers have queued, commits it as a group, then answers all of them.
//!
//! Does not: retry. A failed commit is told to every caller of the group, and their settlements are sent again.
//!
//! Decision: a group is what queued up while the last commit was syncing, so an idle store commits at once and a busy
//! one amortises its syncs. Rejected: lingering some milliseconds for company, which delays every settlement of a quiet
//! gateway and gains nothing on a busy one.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use super::tally::Names;
use super::{Entry, Ledger, LedgerError};
use crate::serve::metrics::Metrics;

/// A group is committed at the latest when it holds this many settlements.
const GROUP: usize = 256;
/// Callers that may wait for the thread; more wait for a place.
const QUEUE: usize = 64;

#[derive(Debug)]
enum Job {
    /// Settlements of one call; without any it is a probe.
    Settle(Settle),
    /// Another configuration has these names; wants the next generation.
    Reload(Names, oneshot::Sender<Result<u64, LedgerError>>),
}

#[derive(Debug)]
struct Settle {
    entries: Vec<Entry>,
    done: oneshot::Sender<Result<(), LedgerError>>,
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
    /// Starts the thread. `metrics` grow by what is committed, before anybody is answered.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn start(ledger: impl Ledger, metrics: Arc<Metrics>) -> std::io::Result<Self> {
        let (jobs, queue) = mpsc::channel(QUEUE);
        let (close, closed) = oneshot::channel();
        let work = move || {
            run(ledger, &metrics, queue);
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
        let (done, answer) = oneshot::channel();
        self.jobs.send(Job::Settle(Settle { entries, done })).await.map_err(|_| closed())?;
        answer.await.map_err(|_| closed())?
    }

    /// Takes the names of another configuration for labels, and gives the generation of its keys.
    ///
    /// # Errors
    /// The store gives none.
    pub async fn reload(&self, names: Names) -> Result<u64, LedgerError> {
        let (done, answer) = oneshot::channel();
        self.jobs.send(Job::Reload(names, done)).await.map_err(|_| closed())?;
        answer.await.map_err(|_| closed())?
    }

    /// Can the store write, and does it get around to it within `patience`?
    ///
    /// # Errors
    /// Why not.
    pub async fn probe(&self, patience: Duration) -> Result<(), LedgerError> {
        tokio::time::timeout(patience, self.settle(Vec::new())).await.map_err(|_| LedgerError::new("too slow"))?
    }
}

fn closed() -> LedgerError {
    LedgerError::new("closed")
}

fn run(mut ledger: impl Ledger, metrics: &Metrics, mut queue: mpsc::Receiver<Job>) {
    let mut left = None;
    while let Some(job) = left.take().or_else(|| queue.blocking_recv()) {
        let Settle { mut entries, done } = match job {
            Job::Settle(first) => first,
            Job::Reload(names, done) => {
                ledger.relabel(names);
                let _gone = done.send(ledger.next_generation());
                continue;
            }
        };
        let mut waiting = vec![done];
        while entries.len() < GROUP
            && let Ok(next) = queue.try_recv()
        {
            match next {
                Job::Settle(next) => {
                    entries.extend(next.entries);
                    waiting.push(next.done);
                }
                Job::Reload(..) => {
                    left = Some(next);
                    break;
                }
            }
        }
        let result = commit(&mut ledger, metrics, &entries, &waiting);
        if let Err(error) = &result {
            tracing::error!(settlements = entries.len(), %error, "nothing recorded; callers will send again");
        }
        for done in waiting {
            // A caller that left does not need the answer.
            let _gone = done.send(result.clone());
        }
    }
}

fn commit(
    ledger: &mut impl Ledger,
    metrics: &Metrics,
    entries: &[Entry],
    waiting: &[oneshot::Sender<Result<(), LedgerError>>],
) -> Result<(), LedgerError> {
    if entries.is_empty() {
        // Probes that piled up while the store was blocked need no answer any more.
        return if waiting.iter().all(oneshot::Sender::is_closed) { Ok(()) } else { ledger.probe() };
    }
    let recorded = ledger.record(entries)?;
    metrics.record(&recorded);
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::mpsc as std_mpsc;

    use super::super::{AdmissionId, Recorded, Totals};
    use super::*;

    /// Says how large each group was; commits when told to, with the result it is told.
    struct Scripted {
        groups: Arc<Mutex<Vec<usize>>>,
        script: std_mpsc::Receiver<Result<(), LedgerError>>,
    }

    impl Ledger for Scripted {
        fn record(&mut self, batch: &[Entry]) -> Result<Recorded, LedgerError> {
            self.groups.lock().unwrap().push(batch.len());
            self.script.recv().unwrap().map(|()| Recorded::default())
        }
        fn totals(&self) -> Result<Totals, LedgerError> {
            Ok(Totals::default())
        }
        fn next_generation(&mut self) -> Result<u64, LedgerError> {
            Ok(1)
        }
        fn relabel(&mut self, names: Names) {
            self.groups.lock().unwrap().push(names.keys.len() + 1000);
        }
        fn probe(&mut self) -> Result<(), LedgerError> {
            self.groups.lock().unwrap().push(0);
            self.script.recv().unwrap()
        }
    }

    struct Stage {
        writer: Writer,
        groups: Arc<Mutex<Vec<usize>>>,
        script: std_mpsc::Sender<Result<(), LedgerError>>,
    }

    fn stage() -> Stage {
        let groups = Arc::new(Mutex::new(Vec::new()));
        let (script, told) = std_mpsc::channel();
        let ledger = Scripted { groups: Arc::clone(&groups), script: told };
        Stage { writer: Writer::start(ledger, Arc::new(Metrics::new().unwrap())).unwrap(), groups, script }
    }

    fn entries(count: usize) -> Vec<Entry> {
        let settlement = sidecar_api::v1::Settlement::default();
        vec![Entry { id: AdmissionId::new([0; 16], 0), settlement }; count]
    }

    /// Has the thread in the middle of a commit.
    async fn occupy(stage: &Stage) -> tokio::task::JoinHandle<Result<(), LedgerError>> {
        let handle = stage.writer.handle();
        let call = tokio::spawn(async move { handle.settle(entries(1)).await });
        while stage.groups.lock().unwrap().is_empty() {
            tokio::task::yield_now().await;
        }
        call
    }

    /// Queues a call behind those already there.
    async fn queue(handle: &Handle, count: usize) -> tokio::task::JoinHandle<Result<(), LedgerError>> {
        let (before, other) = (handle.jobs.capacity(), handle.clone());
        let call = tokio::spawn(async move { other.settle(entries(count)).await });
        while handle.jobs.capacity() == before {
            tokio::task::yield_now().await;
        }
        call
    }

    #[tokio::test]
    async fn what_queues_up_during_a_commit_is_the_next_group() {
        let stage = stage();
        let handle = stage.writer.handle();
        let first = occupy(&stage).await;
        let (second, third) = (queue(&handle, 2).await, queue(&handle, 3).await);
        stage.script.send(Ok(())).unwrap();
        assert_eq!(first.await.unwrap(), Ok(()));
        assert!(!second.is_finished(), "nobody is answered before the commit");
        stage.script.send(Ok(())).unwrap();
        assert_eq!((second.await.unwrap(), third.await.unwrap()), (Ok(()), Ok(())));
        assert_eq!(*stage.groups.lock().unwrap(), [1, 5]);
    }

    #[tokio::test]
    async fn a_reload_waits_its_turn_and_holds_nobody_up() {
        let stage = stage();
        let handle = stage.writer.handle();
        let first = occupy(&stage).await;
        let second = queue(&handle, 2).await;
        let (before, other) = (handle.jobs.capacity(), handle.clone());
        let reload = tokio::spawn(async move { other.reload(Names::default()).await });
        while handle.jobs.capacity() == before {
            tokio::task::yield_now().await;
        }
        let third = queue(&handle, 3).await;
        (0..3).for_each(|_| stage.script.send(Ok(())).unwrap());
        for call in [first, second, third] {
            call.await.unwrap().unwrap();
        }
        assert_eq!(reload.await.unwrap(), Ok(1));
        assert_eq!(*stage.groups.lock().unwrap(), [1, 2, 1000, 3]);
    }

    #[tokio::test]
    async fn a_group_stops_growing_at_its_limit() {
        let stage = stage();
        let handle = stage.writer.handle();
        let first = occupy(&stage).await;
        let calls = [queue(&handle, GROUP).await, queue(&handle, 1).await];
        (0..3).for_each(|_| stage.script.send(Ok(())).unwrap());
        first.await.unwrap().unwrap();
        for call in calls {
            call.await.unwrap().unwrap();
        }
        assert_eq!(*stage.groups.lock().unwrap(), [1, GROUP, 1]);
    }

    #[tokio::test]
    async fn a_failed_commit_is_told_to_the_whole_group_and_the_thread_goes_on() {
        let stage = stage();
        let handle = stage.writer.handle();
        stage.script.send(Err(LedgerError::new("full"))).unwrap();
        assert_eq!(handle.settle(entries(2)).await, Err(LedgerError::new("full")));
        stage.script.send(Ok(())).unwrap();
        assert_eq!(handle.settle(entries(2)).await, Ok(()));
    }

    #[tokio::test]
    async fn what_is_queued_is_written_although_its_caller_left() {
        let stage = stage();
        let handle = stage.writer.handle();
        let first = occupy(&stage).await;
        let behind = queue(&handle, 7).await;
        behind.abort();
        first.abort();
        drop(handle);
        (0..2).for_each(|_| stage.script.send(Ok(())).unwrap());
        let groups = Arc::clone(&stage.groups);
        stage.writer.close().await;
        assert_eq!(*groups.lock().unwrap(), [1, 7], "closing waits for the queue");
    }

    #[tokio::test]
    async fn a_blocked_store_fails_its_probe() {
        let stage = stage();
        let handle = stage.writer.handle();
        let first = occupy(&stage).await;
        assert_eq!(handle.probe(Duration::from_millis(1)).await, Err(LedgerError::new("too slow")));
        stage.script.send(Ok(())).unwrap();
        first.await.unwrap().unwrap();
        stage.script.send(Err(LedgerError::new("read-only"))).unwrap();
        assert_eq!(handle.probe(Duration::from_secs(30)).await, Err(LedgerError::new("read-only")));
        assert_eq!(*stage.groups.lock().unwrap(), [1, 0], "the probe that nobody waits for is not made");
    }
}
