//! A second Envoy beside the first, with the same configuration and the same sidecar.

use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::{SHOWN, START, Stack, envoy_binary, free_addresses};
use crate::client::Client;
use crate::process::Process;

/// The second Envoy. Stops when dropped, before the stack does.
#[derive(Debug)]
pub struct Beside {
    listen: SocketAddr,
    _process: Process,
}

impl Stack {
    /// Starts it and waits until it accepts.
    ///
    /// # Errors
    /// It does not come up.
    pub async fn beside(&self, workers: u32) -> Result<Beside> {
        let [listen, admin, _] = free_addresses()?;
        let (from, to) = (self.dir.join("envoy"), self.dir.join("beside"));
        let port = |address: SocketAddr| address.port().to_string();
        let changes = [
            (from.display().to_string(), to.display().to_string()),
            (port(self.listen), port(listen)),
            (port(self.admin), port(admin)),
        ];
        copy(&from, &to, &changes)?;
        let (bootstrap, workers) = (to.join("envoy.yaml").display().to_string(), workers.to_string());
        let shared = ["--use-dynamic-base-id", "--disable-hot-restart", "-l", "warning"];
        let arguments = ["-c", &bootstrap, "--concurrency", &workers].into_iter().chain(shared);
        let log = self.dir.join("beside.log");
        let process = Process::start(&envoy_binary()?, &arguments.collect::<Vec<_>>(), &[], &log)?;
        let deadline = Instant::now() + START;
        while tokio::net::TcpStream::connect(listen).await.is_err() {
            ensure!(Instant::now() < deadline, "it does not come up:\n{}", process.tail(SHOWN));
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(Beside { listen, _process: process })
    }
}

impl Beside {
    /// A client over HTTP/1.1 with keep-alive.
    pub fn client(&self) -> Client {
        Client::h1(self.listen)
    }
}

fn copy(from: &Path, to: &Path, changes: &[(String, String)]) -> Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        if from.is_dir() {
            copy(&from, &to, changes)?;
        } else {
            let text = std::fs::read_to_string(&from)?;
            std::fs::write(to, changes.iter().fold(text, |text, (old, new)| text.replace(old, new)))?;
        }
    }
    Ok(())
}
