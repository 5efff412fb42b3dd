//! The mock provider: one process that is every vendor, over plaintext HTTP/1 and over TLS with HTTP/2.
//!
//! Does not: know Attaché. It answers as the vendor would, fails on demand ([`Fault`]) and records what it received
//! ([`Journal`]). The tests drive it in process; `mock-provider` puts a control port in front of it.
//!
//! Decision: a listener per virtual host, under the vendor's real name. Rejected: one listener that picks the vendor by
//! SNI or `:authority`: then a wrong name would be hidden by the very code that must notice it, and one host could not
//! refuse connections while another goes on.

mod answer;
mod bill;
mod case;
pub mod control;
mod cut;
mod fault;
mod host;
mod record;
pub mod replay;
pub mod script;
#[cfg(test)]
mod tests;
mod tls;
pub mod vendor;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use anyhow::{Context, Result};
use tokio::runtime::Runtime;

pub use fault::{Fault, Rule, When};
pub use host::Host;
pub use record::{CREDENTIAL_HEADERS, Journal, Record};
pub use replay::Exchange;
pub use script::{Reply, Script};
pub use tls::Authority;

/// What a virtual host is called and how it is reached.
#[derive(Debug, Clone)]
pub struct HostSpec {
    /// Name, and SAN of its certificate.
    pub name: String,
    /// TLS with ALPN `h2, http/1.1`; otherwise plaintext.
    pub tls: bool,
}

impl HostSpec {
    /// A host with TLS.
    pub fn tls(name: &str) -> Self {
        Self { name: name.to_owned(), tls: true }
    }

    /// A host without.
    pub fn plain(name: &str) -> Self {
        Self { name: name.to_owned(), tls: false }
    }
}

/// All virtual hosts and what they have seen. Stops when dropped.
pub struct Mock {
    hosts: Vec<Arc<Host>>,
    journal: Arc<Journal>,
    ca: String,
    /// Its own runtime, so that a test's runtime being busy or ending never looks like a slow provider.
    runtime: Option<Runtime>,
}

impl Mock {
    /// Starts all hosts on free loopback ports.
    ///
    /// # Errors
    /// A port or a certificate could not be had.
    pub fn start(specs: &[HostSpec]) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        let authority = Arc::new(tls::Authority::new()?);
        let journal = Arc::new(Journal::default());
        let ids = Arc::new(AtomicU64::new(1));
        let (handle, ca) = (runtime.handle().clone(), authority.pem());
        let context = host::Context { authority, journal: Arc::clone(&journal), ids, runtime: handle };
        let start = |spec| Host::start(spec, &context);
        let hosts = specs.iter().map(start).collect::<Result<Vec<_>>>().context("the mock provider could not start")?;
        Ok(Self { hosts, journal, ca, runtime: Some(runtime) })
    }

    /// The test root in PEM.
    pub fn ca(&self) -> &str {
        &self.ca
    }

    /// The host of this name.
    ///
    /// # Panics
    /// There is none.
    pub fn host(&self, name: &str) -> &Host {
        self.find(name).unwrap_or_else(|| panic!("no mock host is called {name}"))
    }

    fn find(&self, name: &str) -> Option<&Host> {
        self.hosts.iter().find(|host| host.name() == name).map(Arc::as_ref)
    }

    /// Names and addresses, for the renderer.
    pub fn addresses(&self) -> Vec<(String, SocketAddr)> {
        self.hosts.iter().map(|host| (host.name().to_owned(), host.addr())).collect()
    }

    /// What arrived.
    pub fn journal(&self) -> &Journal {
        &self.journal
    }

    /// Back to a healthy, empty state: no faults, everybody listening, nothing recorded.
    ///
    /// # Errors
    /// A listener could not come back.
    pub fn reset(&self) -> Result<()> {
        for host in &self.hosts {
            host.clear();
            host.accept()?;
            host.wrong_name(false)?;
        }
        self.journal.clear();
        Ok(())
    }
}

impl Drop for Mock {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
