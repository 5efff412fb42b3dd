//! The real process, killed under load. This shows that an acknowledged settlement survives the process; it cannot show
//! that it survives a power cut, which depends on the disk.

use std::collections::HashSet;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::process::{Child, Command};

use super::support::{Client, Place, batch, hello, page};

const WORKERS: u64 = 8;
const KILLS: u64 = 10;
/// Acknowledged batches between two kills.
const BETWEEN: u64 = 40;

/// As a filter sends: a batch again and again until it is acknowledged, then the next one.
struct Worker {
    client: Client,
    nonce: Vec<u8>,
    settled: u64,
    resent: u64,
}

impl Worker {
    async fn greet(mut client: Client) -> Self {
        let nonce = loop {
            match client.admit(hello()).await {
                Ok(answer) => break answer.into_inner().vm_nonce,
                Err(_) => tokio::time::sleep(Duration::from_millis(2)).await,
            }
        };
        Self { client, nonce, settled: 0, resent: 0 }
    }

    async fn work(mut self, acknowledged: Arc<AtomicU64>, over: Arc<AtomicBool>) -> Self {
        while !over.load(Ordering::Relaxed) {
            let next = self.settled + 1 + self.settled % 7;
            while self.client.settle(batch(&self.nonce, self.settled..next)).await.is_err() {
                self.resent += 1;
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
            self.settled = next;
            acknowledged.fetch_add(1, Ordering::Relaxed);
        }
        self
    }
}

fn serve(place: &Place) -> Child {
    Command::new(env!("CARGO_BIN_EXE_attache"))
        .args(["serve", "-c"])
        .arg(place.config())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .env("ATTACHE_LOG", "warn")
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_acknowledged_settlement_is_lost_or_doubled_by_ten_kills_under_load() {
    let place = Place::new();
    let mut child = serve(&place);
    let (acknowledged, over) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
    let mut workers = Vec::new();
    for _ in 0..WORKERS {
        let worker = Worker::greet(place.client()).await;
        workers.push(tokio::spawn(worker.work(Arc::clone(&acknowledged), Arc::clone(&over))));
    }
    for kill in 1..=KILLS {
        while acknowledged.load(Ordering::Relaxed) < kill * BETWEEN {
            assert!(child.try_wait().unwrap().is_none(), "the sidecar ended on its own");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        // SIGKILL: nothing is flushed, closed or said.
        child.kill().await.unwrap();
        child = serve(&place);
    }
    over.store(true, Ordering::Relaxed);
    let (mut expected, mut resent) = (HashSet::new(), 0);
    for worker in workers {
        let worker = worker.await.unwrap();
        resent += worker.resent;
        expected.extend((0..worker.settled).map(|counter| [&*worker.nonce, &counter.to_be_bytes()].concat()));
    }
    child.kill().await.unwrap();

    assert!(resent > 0, "no kill hit a call in flight: the test shows nothing");
    let sql = place.sql();
    let mut query = sql.prepare("SELECT admission_id FROM settlement").unwrap();
    let stored: Vec<Vec<u8>> = query.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    assert_eq!(stored.len(), expected.len());
    assert_eq!(stored.into_iter().collect::<HashSet<_>>(), expected);
    let settled = i64::try_from(expected.len()).unwrap();
    assert_eq!(place.settled(), (settled, settled), "sums agree with rows");

    let server = place.start().await;
    let (_, _, text) = page(&server, "/metrics").await;
    assert!(text.contains(&format!("\nattache_settlements_total {settled}\n")), "metrics go on where they were");
    server.stop().await;
}
