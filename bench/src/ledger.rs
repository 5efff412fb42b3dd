//! `ledger`: how many draws and settlements a second the sidecar makes durable, and how long each caller waits.
//!
//! Does not: go through Envoy. The server runs in this process, callers speak to it as a filter does: gRPC over its unix
//! socket, one call at a time each. So the numbers are about this machine's disk and cores, and are told with the size of
//! the groups that made them.

#![expect(clippy::print_stdout, reason = "a program for people")]

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::Parser;
use sha2::{Digest, Sha256};
use sidecar::serve::Server;
use sidecar_api::v1::sidecar_client::SidecarClient;
use sidecar_api::v1::r#try::Outcome;
use sidecar_api::v1::{AdmitRequest, Charge, Draw, SettleRequest, Settlement, Try, Usage};
use tonic::transport::{Channel, Endpoint};

#[derive(Debug, Parser)]
#[command(name = "ledger", about = "Draws and settlements a second, and how long they take")]
struct Args {
    /// Seconds of each case.
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// Virtual keys, each with two limits of its own.
    #[arg(long, default_value_t = 1000)]
    keys: usize,
    /// Settlements in a call.
    #[arg(long, default_value_t = 64)]
    batch: u64,
    /// Where the store is put; what counts is the disk under it.
    #[arg(long, default_value = "target")]
    folder: PathBuf,
}

#[derive(Debug, Clone, Copy)]
enum Case {
    /// A draw on all accounts of a key, as before a request.
    Draw,
    /// A batch of settlements, each with a charge to all accounts of a key.
    Settle,
    /// Both in turns.
    Both,
}

const CASES: [(&str, Case); 3] = [("draw", Case::Draw), ("settle", Case::Settle), ("both", Case::Both)];
const CALLERS: [usize; 4] = [1, 4, 16, 64];

/// As a worker's VM.
struct Caller {
    client: SidecarClient<Channel>,
    nonce: Vec<u8>,
    accounts: Arc<Vec<Vec<u64>>>,
    batch: u64,
    counter: u64,
    calls: usize,
    /// Window and sum of what was granted, by account.
    held: HashMap<u64, (u64, u64)>,
}

fn main() -> Result<()> {
    let args = Args::parse();
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(run(&args))
}

async fn run(args: &Args) -> Result<()> {
    let folder = args.folder.join(format!("ledger-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let file = folder.join("attache.yaml");
    std::fs::write(&file, yaml(args.keys, &folder))?;
    let loaded = sidecar::read::file(&file).map_err(|faults| anyhow::anyhow!("{faults:?}"))?;
    let started = Instant::now();
    let server = Server::start(&loaded).await?;
    println!("{} keys, started in {:.1} s\n", args.keys, started.elapsed().as_secs_f64());
    let address = format!("unix:{}", std::path::absolute(folder.join("sidecar.sock"))?.display());
    let accounts = Arc::new(accounts(&address, args.keys).await?);

    println!("| case | callers | calls a second | settlements a second | p50 ms | p99 ms |");
    println!("|---|---|---|---|---|---|");
    for (name, case) in CASES {
        for callers in CALLERS {
            let (waits, settled) = measure(args, case, callers, &address, &accounts).await?;
            let a_second = |count: u64| count / args.seconds.max(1);
            let at =
                |percent: usize| waits.get(waits.len() * percent / 100).map_or(0.0, |wait| wait.as_secs_f64() * 1e3);
            let calls = u64::try_from(waits.len())?;
            let (calls, settlements) = (a_second(calls), a_second(settled));
            println!("| {name} | {callers} | {calls} | {settlements} | {:.2} | {:.2} |", at(50), at(99));
        }
    }
    server.stop().await;
    std::fs::remove_dir_all(&folder)?;
    Ok(())
}

/// Five accounts for each key: everybody's, the customer's, the team's, and two of its own.
fn yaml(keys: usize, folder: &Path) -> String {
    let mut text = format!(
        "version: 1
providers: {{openai: {{keys: [{{name: main, secret: \"env:UNUSED\", models: [\"*\"]}}]}}}}
global: {{limits: [{{money: 1000000000, per: 1M}}]}}
customers: {{acme: {{limits: [{{money: 1000000000, per: 1M}}]}}}}
teams: {{search: {{customer: acme, limits: [{{total_tokens: 1000000000000000, per: 1d}}]}}}}
sidecar: {{address: \"unix:{0}/sidecar.sock\", store: \"{0}/attache.db\", admin: \"127.0.0.1:0\"}}
virtual_keys:
",
        std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned()).display()
    );
    for key in 0..keys {
        let hex: String = Sha256::digest(format!("vk-{key}")).iter().map(|byte| format!("{byte:02x}")).collect();
        let limits = "[{requests: 1000000000000000, per: 1m}, {money: 1000000000, per: 1M}]";
        text.push_str(&format!("  - {{name: k{key}, secret: \"sha256:{hex}\", team: search, limits: {limits}}}\n"));
    }
    text
}

async fn accounts(address: &str, keys: usize) -> Result<Vec<Vec<u64>>> {
    let mut client = connect(address)?;
    let mut all = Vec::new();
    for key in 0..keys.min(1000) {
        let request =
            AdmitRequest { key_sha256: Sha256::digest(format!("vk-{key}")).to_vec(), ..AdmitRequest::default() };
        let record = client.admit(request).await?.into_inner().key.context("no record")?;
        ensure!(record.accounts.len() == 5, "{} accounts", record.accounts.len());
        all.push(record.accounts.iter().map(|account| account.id).collect());
    }
    Ok(all)
}

fn connect(address: &str) -> Result<SidecarClient<Channel>> {
    Ok(SidecarClient::new(Endpoint::from_shared(address.to_owned())?.connect_lazy()))
}

/// Every wait, lowest first, and how many settlements were acknowledged.
async fn measure(
    args: &Args,
    case: Case,
    callers: usize,
    address: &str,
    accounts: &Arc<Vec<Vec<u64>>>,
) -> Result<(Vec<Duration>, u64)> {
    let mut tasks = Vec::new();
    for _ in 0..callers {
        let mut client = connect(address)?;
        let hello = AdmitRequest { hello: true, ..AdmitRequest::default() };
        let nonce = client.admit(hello).await?.into_inner().vm_nonce;
        let accounts = Arc::clone(accounts);
        tasks.push(Caller { client, nonce, accounts, batch: args.batch, counter: 0, calls: 0, held: HashMap::new() });
    }
    let end = Instant::now() + Duration::from_secs(args.seconds);
    let tasks: Vec<_> = tasks.into_iter().map(|caller| tokio::spawn(caller.work(case, end))).collect();
    let (mut waits, mut settled) = (Vec::new(), 0);
    for task in tasks {
        let (mut more, count) = task.await??;
        waits.append(&mut more);
        settled += count;
    }
    waits.sort_unstable();
    Ok((waits, settled))
}

impl Caller {
    async fn work(mut self, case: Case, end: Instant) -> Result<(Vec<Duration>, u64)> {
        let mut waits = Vec::new();
        while Instant::now() < end {
            let before = Instant::now();
            self.calls += 1;
            match case {
                Case::Draw => self.draw().await?,
                Case::Settle => self.settle().await?,
                Case::Both if self.calls.is_multiple_of(2) => self.draw().await?,
                Case::Both => self.settle().await?,
            }
            waits.push(before.elapsed());
        }
        Ok((waits, self.counter))
    }

    fn key(&self) -> &[u64] {
        self.accounts.get(self.calls % self.accounts.len().max(1)).map_or(&[], Vec::as_slice)
    }

    async fn draw(&mut self) -> Result<()> {
        let draws = self.key().iter().map(|account| {
            let (window, received) = self.held.get(account).copied().unwrap_or_default();
            // A half is given back, so that it can go on for ever.
            Draw { account: *account, window, received, returned: received / 2, need: 1, want: 4 }
        });
        let request = AdmitRequest { vm_nonce: self.nonce.clone(), draws: draws.collect(), ..AdmitRequest::default() };
        let answer = self.client.admit(request).await?.into_inner();
        for lease in answer.leases {
            ensure!(!lease.refused && !lease.gone, "refused");
            self.held.insert(lease.account, (lease.window, lease.granted));
        }
        Ok(())
    }

    async fn settle(&mut self) -> Result<()> {
        let first = self.counter;
        self.counter += self.batch;
        let charge = |account: &u64| Charge { account: *account, window: 0, amount: 3 };
        let charges: Vec<_> = self.key().iter().map(charge).collect();
        let settlement = |counter| Settlement {
            counter,
            key: "k0".to_owned(),
            team: "search".to_owned(),
            customer: "acme".to_owned(),
            asked_model: "gpt-4.1".to_owned(),
            dialect: "openai_chat".to_owned(),
            status: 200,
            request_bytes: 4000,
            tries: vec![Try {
                provider: "openai".to_owned(),
                model: "gpt-4.1".to_owned(),
                status: 200,
                outcome: Outcome::Ok.into(),
                usage: Some(Usage { input_tokens: 1000, output_tokens: 50, ..Usage::default() }),
                cost: Some(2_400_000),
                ..Try::default()
            }],
            charges: charges.clone(),
            ..Settlement::default()
        };
        let settlements = (first..self.counter).map(settlement).collect();
        self.client.settle(SettleRequest { vm_nonce: self.nonce.clone(), settlements }).await?;
        Ok(())
    }
}
