//! gRPC on a unix socket or TCP.
//!
//! Does not: authenticate its callers. Who may connect to the socket may ask; its mode and its directory decide.
//!
//! Decision: mode 0660, so that Envoy reaches it as the same user or through a shared group, and nobody else does.
//! Rejected: 0600, which forces Envoy and the sidecar to run as one user.

use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use engine::config::snapshot::Address;
use sidecar_api::v1::sidecar_server::{Sidecar, SidecarServer};
use sidecar_api::v1::{AdmitRequest, AdmitResponse, SettleRequest, SettleResponse};
use tokio::net::{TcpListener, UnixListener, UnixStream};
use tokio_stream::wrappers::UnixListenerStream;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status};

use super::accounts::Heard;
use super::admit::{self, Admission};
use super::count::Counting;
use super::ledger::writer::Handle;
use super::metrics::Metrics;
use super::settle;

/// Largest message. A filter's batch of 512 settlements with eight tries and every name at its longest is a quarter of it.
const LARGEST: usize = 16 << 20;
/// Calls in flight on one connection; Envoy opens one per worker.
const STREAMS: u32 = 1024;
/// Longest call, where the caller has no deadline of its own.
const LONGEST: Duration = Duration::from_secs(10);

/// The two calls.
#[derive(Debug)]
pub struct Service {
    /// Answers Admit.
    pub admission: Arc<Admission>,
    /// Takes settlements.
    pub ledger: Handle,
    /// Counts answers.
    pub metrics: Arc<Metrics>,
    /// Is told who is alive.
    pub heard: Arc<Heard>,
    /// Counts tokens.
    pub counting: Counting,
}

#[tonic::async_trait]
impl Sidecar for Service {
    async fn admit(&self, request: Request<AdmitRequest>) -> Result<Response<AdmitResponse>, Status> {
        let mut request = request.into_inner();
        let count = request.count.take();
        let request = &request;
        let worker = admit::worker(&request.vm_nonce)?;
        let ask = admit::draws(request, worker)?;
        worker.into_iter().for_each(|worker| self.heard.hear(worker));
        let mut answer = self.admission.answer(request)?;
        self.metrics.admit(admit::label(&answer));
        if let Some(ask) = ask {
            let leases = self.ledger.draw(ask).await.map_err(|error| Status::unavailable(error.to_string()))?;
            answer.leases = leases.iter().map(admit::lease).collect();
        }
        if let Some(count) = count {
            answer.tokens = self.counting.count(count).await?;
        }
        Ok(Response::new(answer))
    }

    async fn settle(&self, request: Request<SettleRequest>) -> Result<Response<SettleResponse>, Status> {
        let mut entries = settle::entries(request.into_inner())?;
        if let Some(entry) = entries.first() {
            self.heard.hear(entry.id.holder());
            let records = self.admission.records();
            entries.iter_mut().for_each(|entry| settle::price(&mut entry.settlement, &records.prices));
            self.ledger.settle(entries).await.map_err(|error| Status::unavailable(error.to_string()))?;
        }
        Ok(Response::new(SettleResponse { generation: self.admission.generation() }))
    }
}

/// A bound socket.
#[derive(Debug)]
pub enum Listener {
    /// Unix socket and its path.
    Unix(UnixListener, PathBuf),
    /// TCP.
    Tcp(TcpListener),
}

impl Listener {
    /// Binds.
    ///
    /// # Errors
    /// Somebody else listens there, or something that is no socket is in the way.
    pub async fn bind(address: &Address) -> anyhow::Result<Self> {
        match address {
            Address::Unix(path) => {
                let path = PathBuf::from(path);
                let listener = bind_unix(&path).await.with_context(|| format!("unix:{}", path.display()))?;
                Ok(Self::Unix(listener, path))
            }
            Address::Tcp(host, port) => {
                let listener = TcpListener::bind((host.as_str(), *port)).await;
                Ok(Self::Tcp(listener.with_context(|| format!("{host}:{port}"))?))
            }
        }
    }

    /// Where it is bound; the port is the real one where 0 was asked for.
    ///
    /// # Errors
    /// The system does not say.
    pub fn address(&self) -> std::io::Result<Address> {
        match self {
            Self::Unix(_, path) => Ok(Address::Unix(path.to_string_lossy().into_owned())),
            Self::Tcp(listener) => {
                let address = listener.local_addr()?;
                Ok(Address::Tcp(address.ip().to_string(), address.port()))
            }
        }
    }

    /// Serves until `shutdown`, then finishes the calls in flight.
    ///
    /// # Errors
    /// The transport failed.
    pub async fn serve(self, service: Service, shutdown: impl Future<Output = ()>) -> anyhow::Result<()> {
        let router = tonic::transport::Server::builder()
            .max_concurrent_streams(STREAMS)
            .timeout(LONGEST)
            .add_service(SidecarServer::new(service).max_decoding_message_size(LARGEST));
        match self {
            Self::Unix(listener, path) => {
                // The name goes while we still listen: a successor that finds it free cannot lose it to us later.
                let shutdown = async {
                    shutdown.await;
                    if let Err(error) = std::fs::remove_file(&path) {
                        tracing::warn!(path = %path.display(), %error, "socket not removed");
                    }
                };
                router.serve_with_incoming_shutdown(UnixListenerStream::new(listener), shutdown).await?;
            }
            Self::Tcp(listener) => {
                let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
                router.serve_with_incoming_shutdown(incoming, shutdown).await?;
            }
        }
        Ok(())
    }
}

async fn bind_unix(path: &Path) -> anyhow::Result<UnixListener> {
    if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        std::fs::create_dir_all(parent)?;
    }
    remove_stale(path).await?;
    let listener = UnixListener::bind(path)?;
    // Under the usual umask a new socket is closed to others; this opens it to the group.
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o660))?;
    Ok(listener)
}

/// A killed sidecar leaves its socket behind. It goes only if it is a socket and nobody answers on it.
async fn remove_stale(path: &Path) -> anyhow::Result<()> {
    let kind = match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        found => found?.file_type(),
    };
    if !kind.is_socket() {
        bail!("something that is no socket is in the way");
    }
    match UnixStream::connect(path).await {
        Ok(_) => bail!("another process listens there"),
        Err(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => Ok(std::fs::remove_file(path)?),
        Err(error) => Err(error).context("a socket is in the way"),
    }
}
