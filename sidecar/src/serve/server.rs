//! gRPC on a unix socket or TCP.
//!
//! Does not: authenticate its callers. Who may connect to the socket may ask; its mode and its directory decide.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use engine::config::snapshot::Address;
use sidecar_api::v1::sidecar_server::{Sidecar, SidecarServer};
use sidecar_api::v1::{AdmitRequest, AdmitResponse, SettleRequest, SettleResponse};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use super::accounts::Heard;
use super::admit::{self, Admission};
use super::count::Counting;
use super::ledger::Ended;
use super::ledger::writer::Handle;
use super::metrics::Metrics;
use super::settle;
use super::socket::{self, SocketFile};

/// Largest message. A filter's batch of 512 settlements with eight tries and every name at its longest is a quarter of it.
const LARGEST: usize = 16 << 20;
/// Calls in flight on one connection; Envoy opens one per worker.
const STREAMS: u32 = 1024;
/// Largest head of a call; Envoy's has some hundred bytes.
const HEAD: u32 = 16 << 10;
/// Who does not answer a ping within twenty seconds gives up its place.
const KEEPALIVE: Duration = Duration::from_secs(30);
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
        self.end(admit::ended(request)?).await?;
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

impl Service {
    /// What workers held that have died comes back.
    async fn end(&self, ended: Vec<Ended>) -> Result<(), Status> {
        if ended.is_empty() {
            return Ok(());
        }
        let dead: Vec<_> = ended.iter().map(|it| (it.holder, it.ceilings.len())).collect();
        self.ledger.end(ended).await.map_err(|error| Status::unavailable(error.to_string()))?;
        for (holder, limits) in dead.into_iter().filter(|(holder, _)| self.heard.end(*holder)) {
            self.metrics.vm_death();
            let nonce: String = holder.iter().map(|byte| format!("{byte:02x}")).collect();
            tracing::error!(nonce, limits, "the module of a worker has died: what it held of limits came back");
        }
        Ok(())
    }
}

/// A bound socket.
#[derive(Debug)]
pub enum Listener {
    /// Unix socket and its file.
    Unix(UnixListener, Arc<SocketFile>, String),
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
                let (listener, file) = socket::bind(path.into()).await?;
                Ok(Self::Unix(listener, Arc::new(file), path.clone()))
            }
            Address::Tcp(host, port) => {
                let listener = TcpListener::bind((host.as_str(), *port)).await;
                Ok(Self::Tcp(listener.with_context(|| format!("{host}:{port}"))?))
            }
        }
    }

    /// The file of a unix socket.
    #[must_use]
    pub fn file(&self) -> Option<Arc<SocketFile>> {
        match self {
            Self::Unix(_, file, _) => Some(Arc::clone(file)),
            Self::Tcp(_) => None,
        }
    }

    /// Where it is bound; the port is the real one where 0 was asked for.
    ///
    /// # Errors
    /// The system does not say.
    pub fn address(&self) -> std::io::Result<Address> {
        match self {
            Self::Unix(_, _, path) => Ok(Address::Unix(path.clone())),
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
            .http2_max_header_list_size(HEAD)
            .http2_keepalive_interval(Some(KEEPALIVE))
            .add_service(SidecarServer::new(service).max_decoding_message_size(LARGEST));
        match self {
            Self::Unix(listener, file, _) => {
                let (accepted, incoming) = mpsc::channel(1);
                let accepting = tokio::spawn(socket::accept_unix(listener, Arc::clone(&file), accepted));
                // The name goes before the listener: a successor that finds it free cannot lose it to us later.
                let shutdown = async {
                    shutdown.await;
                    file.remove();
                    accepting.abort();
                };
                router.serve_with_incoming_shutdown(ReceiverStream::new(incoming), shutdown).await?;
            }
            Self::Tcp(listener) => {
                let (accepted, incoming) = mpsc::channel(1);
                let accepting = tokio::spawn(socket::accept_tcp(listener, accepted));
                let shutdown = async {
                    shutdown.await;
                    accepting.abort();
                };
                router.serve_with_incoming_shutdown(ReceiverStream::new(incoming), shutdown).await?;
            }
        }
        Ok(())
    }
}
