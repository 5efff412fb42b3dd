//! Who is in which group, and who is told what.

use std::sync::Mutex;
use std::sync::mpsc as std_mpsc;

use super::super::book::{Account, Draw, Holder};
use super::super::{AdmissionId, Totals};
use super::*;
use crate::serve::clock;

/// Says how large each group was; commits when told to, with the result it is told.
struct Scripted {
    groups: Arc<Mutex<Vec<usize>>>,
    script: std_mpsc::Receiver<Result<(), LedgerError>>,
}

impl Ledger for Scripted {
    fn commit(&mut self, group: &Group, _: &dyn Terms, _: u64) -> Result<Recorded, LedgerError> {
        self.groups.lock().unwrap().push(group.len());
        let leases = group.asks.iter().map(|ask| vec![Lease::default(); ask.draws.len()]).collect();
        self.script.recv().unwrap().map(|()| Recorded { leases, ..Recorded::default() })
    }
    fn totals(&self) -> Result<Totals, LedgerError> {
        Ok(Totals::default())
    }
    fn lessons(&self) -> Result<Vec<Lesson>, LedgerError> {
        Ok(Vec::new())
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

/// Knows no account.
struct Nothing;

impl Terms for Nothing {
    fn account(&self, _: u64, _: u64) -> Option<Account> {
        None
    }
    fn is_silent(&self, _: &Holder) -> bool {
        false
    }
}

impl Watch for Nothing {
    fn lessons(&self) -> Vec<Lesson> {
        Vec::new()
    }
    fn committed(&self, _: &Group, _: &Recorded, _: &dyn Terms) {}
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
    let clock = Arc::new(Clock::start(clock::machine(), &clock::Kept::default()));
    Stage { writer: Writer::start(ledger, Arc::new(Nothing), Nothing, clock).unwrap(), groups, script }
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
    let reload = tokio::spawn(async move { other.reload(Names::default(), Arc::new(Nothing), 0).await });
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
async fn draws_join_the_group_and_each_caller_gets_its_own_leases() {
    let stage = stage();
    let handle = stage.writer.handle();
    let first = occupy(&stage).await;
    let second = queue(&handle, 2).await;
    let mut calls = Vec::new();
    for count in [1, 3] {
        let (before, other) = (handle.jobs.capacity(), handle.clone());
        let ask = Ask { holder: [1; 16], draws: vec![Draw::default(); count] };
        calls.push(tokio::spawn(async move { other.draw(ask).await }));
        while handle.jobs.capacity() == before {
            tokio::task::yield_now().await;
        }
    }
    stage.script.send(Ok(())).unwrap();
    first.await.unwrap().unwrap();
    assert!(calls.iter().all(|call| !call.is_finished()), "nobody is answered before the commit");
    stage.script.send(Ok(())).unwrap();
    second.await.unwrap().unwrap();
    for (call, count) in calls.into_iter().zip([1, 3]) {
        assert_eq!(call.await.unwrap().unwrap().len(), count);
    }
    assert_eq!(*stage.groups.lock().unwrap(), [1, 4]);
    stage.script.send(Err(LedgerError::new("full"))).unwrap();
    let ask = Ask { holder: [1; 16], draws: vec![Draw::default()] };
    assert_eq!(handle.draw(ask).await, Err(LedgerError::new("full")));
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

/// Takes nothing.
struct Full;

impl Ledger for Full {
    fn commit(&mut self, _: &Group, _: &dyn Terms, _: u64) -> Result<Recorded, LedgerError> {
        Err(LedgerError::new("full"))
    }
    fn totals(&self) -> Result<Totals, LedgerError> {
        Ok(Totals::default())
    }
    fn lessons(&self) -> Result<Vec<Lesson>, LedgerError> {
        Ok(Vec::new())
    }
    fn next_generation(&mut self) -> Result<u64, LedgerError> {
        Err(LedgerError::new("full"))
    }
    fn relabel(&mut self, _: Names) {}
    fn probe(&mut self) -> Result<(), LedgerError> {
        Err(LedgerError::new("full"))
    }
}

#[tokio::test]
async fn keys_are_told_anew_although_the_disk_is_full() {
    let clock = Arc::new(Clock::start(clock::machine(), &clock::Kept::default()));
    let writer = Writer::start(Full, Arc::new(Nothing), Nothing, clock).unwrap();
    let handle = writer.handle();
    let first = handle.reload(Names::default(), Arc::new(Nothing), 7).await.unwrap();
    assert!(first > 1_600_000_000, "as the store would give it: above all that filters have seen");
    assert_eq!(handle.reload(Names::default(), Arc::new(Nothing), first + 10).await, Ok(first + 11));
}
