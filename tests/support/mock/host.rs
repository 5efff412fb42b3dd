//! One virtual host: its listener, its connections and its state.
//!
//! Does not: make answers; see `answer`.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::Result;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use super::cut::Cut;
use super::fault::{Rule, Rules};
use super::record::Journal;
use super::replay::Exchange;
use super::script::Script;
use super::tls::{Authority, Leaf};
use super::{HostSpec, answer};

/// A name no vendor has.
const WRONG_NAME: &str = "wrong.example.net";

/// What all hosts share.
pub(super) struct Context {
    pub(super) authority: Arc<Authority>,
    pub(super) journal: Arc<Journal>,
    pub(super) ids: Arc<AtomicU64>,
    pub(super) runtime: Handle,
}

/// One virtual host.
pub struct Host(Arc<Inner>);

pub(super) struct Inner {
    pub(super) name: String,
    addr: SocketAddr,
    /// Bound but not listening: keeps the port ours while connections are refused.
    _reserved: Socket,
    tls: Option<(TlsAcceptor, Arc<Leaf>)>,
    authority: Arc<Authority>,
    pub(super) journal: Arc<Journal>,
    /// Numbers of answers, over all hosts.
    pub(super) ids: Arc<AtomicU64>,
    pub(super) rules: Mutex<Rules>,
    pub(super) replay: Mutex<Option<Arc<Exchange>>>,
    pub(super) script: Mutex<Option<Arc<Script>>>,
    /// Tokens of each answer, where a story says so.
    pub(super) bill: Mutex<Option<(u64, u64)>>,
    /// Tokens of all answers so far.
    pub(super) billed: Mutex<(u64, u64)>,
    pub(super) gate: Semaphore,
    connections: Mutex<HashMap<u64, Arc<Connection>>>,
    next_connection: AtomicU64,
    accepting: Mutex<Option<JoinHandle<()>>>,
    /// Catches a connection that was accepted before the listener closed and had not finished its handshake.
    refusing: AtomicBool,
    runtime: Handle,
}

/// What a handler needs of the connection it runs on.
pub(super) struct Connection {
    pub(super) number: u64,
    pub(super) sni: Option<String>,
    kill: Notify,
    /// After the next few bytes that are written, and so much later, the connection is reset.
    cut: Mutex<Option<Duration>>,
    /// The status in the next status line.
    label: Mutex<Option<[u8; 3]>>,
}

impl Connection {
    /// TCP reset so long after the next few bytes; what else is to be written never leaves.
    pub(super) fn cut(&self, later: Duration) {
        *self.cut.lock().unwrap() = Some(later);
    }

    /// The next head has this status, whatever it was.
    pub(super) fn relabel(&self, code: [u8; 3]) {
        *self.label.lock().unwrap() = Some(code);
    }

    /// That status, once.
    pub(super) fn label(&self) -> Option<[u8; 3]> {
        self.label.lock().unwrap().take()
    }

    /// The pending cut, if there is one.
    pub(super) fn pending_cut(&self) -> Option<Duration> {
        *self.cut.lock().unwrap()
    }

    pub(super) fn kill(&self) {
        self.kill.notify_one();
    }

    /// TCP reset; never returns, since nothing may be answered any more.
    pub(super) async fn reset(&self) -> ! {
        self.kill.notify_one();
        std::future::pending().await
    }
}

impl Host {
    pub(super) fn start(spec: &HostSpec, context: &Context) -> Result<Arc<Self>> {
        let reserved = socket(SocketAddr::from(([127, 0, 0, 1], 0)))?;
        let addr = reserved.local_addr()?.as_socket().unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 0)));
        let tls = if spec.tls {
            let leaf = Arc::new(Leaf::new(context.authority.leaf(&spec.name)?));
            Some((TlsAcceptor::from(context.authority.server(Arc::clone(&leaf))?), leaf))
        } else {
            None
        };
        let host = Self(Arc::new(Inner {
            name: spec.name.clone(),
            addr,
            _reserved: reserved,
            tls,
            authority: Arc::clone(&context.authority),
            journal: Arc::clone(&context.journal),
            ids: Arc::clone(&context.ids),
            rules: Mutex::default(),
            replay: Mutex::default(),
            script: Mutex::default(),
            bill: Mutex::default(),
            billed: Mutex::default(),
            gate: Semaphore::new(0),
            connections: Mutex::default(),
            next_connection: AtomicU64::new(0),
            accepting: Mutex::default(),
            refusing: AtomicBool::new(false),
            runtime: context.runtime.clone(),
        }));
        host.accept()?;
        Ok(Arc::new(host))
    }

    pub fn name(&self) -> &str {
        &self.0.name
    }

    pub fn addr(&self) -> SocketAddr {
        self.0.addr
    }

    /// Adds a fault.
    pub fn fault(&self, rule: Rule) {
        self.0.rules.lock().unwrap().push(rule);
    }

    /// No more faults, no replay, no script; the gate is shut.
    pub fn clear(&self) {
        self.0.rules.lock().unwrap().clear();
        *self.0.replay.lock().unwrap() = None;
        *self.0.script.lock().unwrap() = None;
        *self.0.bill.lock().unwrap() = None;
        self.0.gate.forget_permits(usize::MAX >> 4);
    }

    /// From now on plays this exchange instead of making answers.
    pub fn replay(&self, exchange: Exchange) {
        *self.0.replay.lock().unwrap() = Some(Arc::new(exchange));
    }

    /// From now on answers what the script says.
    pub fn script(&self, script: Script) {
        *self.0.script.lock().unwrap() = Some(Arc::new(script));
    }

    /// From now on each answer reports and bills so many tokens of prompt and answer, whatever can be seen of them.
    pub fn bill(&self, input: u64, output: u64) {
        *self.0.bill.lock().unwrap() = Some((input, output));
    }

    /// Tokens of prompts and answers that were billed so far: of all answers that were made, also those that nobody read.
    pub fn billed(&self) -> (u64, u64) {
        *self.0.billed.lock().unwrap()
    }

    /// Lets `n` more events through a gate.
    pub fn release(&self, n: usize) {
        self.0.gate.add_permits(n);
    }

    /// Presents a certificate for another name; existing connections are cut so that everybody sees it.
    ///
    /// # Errors
    /// The certificate could not be made.
    pub fn wrong_name(&self, yes: bool) -> Result<()> {
        if let Some((_, leaf)) = &self.0.tls {
            leaf.set(self.0.authority.leaf(if yes { WRONG_NAME } else { &self.0.name })?);
            if yes {
                self.cut();
            }
        }
        Ok(())
    }

    /// Closes the listener and resets all connections: the next one is refused.
    pub fn refuse(&self) {
        self.0.refusing.store(true, Ordering::SeqCst);
        if let Some(task) = self.0.accepting.lock().unwrap().take() {
            task.abort();
            // The listener is closed when the task is gone.
            while !task.is_finished() {
                std::thread::sleep(Duration::from_millis(1));
            }
        }
        self.cut();
    }

    /// Resets all connections and waits until they are gone.
    pub fn cut(&self) {
        let before: Vec<u64> = self.0.connections.lock().unwrap().keys().copied().collect();
        for connection in self.0.connections.lock().unwrap().values() {
            connection.kill.notify_one();
        }
        while before.iter().any(|number| self.0.connections.lock().unwrap().contains_key(number)) {
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Listens (again) on the same port.
    ///
    /// # Errors
    /// The port is gone.
    pub fn accept(&self) -> Result<()> {
        let mut accepting = self.0.accepting.lock().unwrap();
        if accepting.is_none() {
            let socket = socket(self.0.addr)?;
            socket.listen(4096)?;
            socket.set_nonblocking(true)?;
            self.0.refusing.store(false, Ordering::SeqCst);
            let inner = Arc::clone(&self.0);
            let _entered = self.0.runtime.enter();
            let listener = TcpListener::from_std(socket.into())?;
            *accepting = Some(self.0.runtime.spawn(accept_loop(inner, listener)));
        }
        Ok(())
    }
}

fn socket(addr: SocketAddr) -> Result<Socket> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.bind(&addr.into())?;
    Ok(socket)
}

async fn accept_loop(host: Arc<Inner>, listener: TcpListener) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => drop(tokio::spawn(connection(Arc::clone(&host), stream))),
            // Out of file descriptors: wait for some to be closed.
            Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    }
}

/// Serves one connection until it ends or is killed. A second descriptor of the socket lets the reset be asked for
/// while the first belongs to the HTTP library.
async fn connection(host: Arc<Inner>, stream: TcpStream) {
    let _ = stream.set_nodelay(true);
    let Ok(twin) = SockRef::from(&stream).try_clone() else { return };
    let number = host.next_connection.fetch_add(1, Ordering::Relaxed);
    let connection =
        |sni| Arc::new(Connection { number, sni, kill: Notify::new(), cut: Mutex::default(), label: Mutex::default() });
    let killed = match &host.tls {
        None => serve(Arc::clone(&host), connection(None), stream).await,
        Some((acceptor, _)) => match acceptor.accept(stream).await {
            Ok(stream) => {
                let sni = stream.get_ref().1.server_name().map(str::to_owned);
                serve(Arc::clone(&host), connection(sni), stream).await
            }
            Err(_) => false,
        },
    };
    if killed {
        let _ = twin.set_linger(Some(Duration::ZERO));
    }
    drop(twin);
    host.connections.lock().unwrap().remove(&number);
}

/// True if it was killed.
async fn serve<S>(host: Arc<Inner>, connection: Arc<Connection>, stream: S) -> bool
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    host.connections.lock().unwrap().insert(connection.number, Arc::clone(&connection));
    if host.refusing.load(Ordering::SeqCst) {
        connection.kill.notify_one();
    }
    let service = service_fn(|request| {
        let (host, connection) = (Arc::clone(&host), Arc::clone(&connection));
        async move { answer::handle(host, connection, request).await }
    });
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new());
    builder.http2().timer(TokioTimer::new()).max_concurrent_streams(4096);
    let stream = Cut::new(stream, Arc::clone(&connection));
    let served = builder.serve_connection(TokioIo::new(stream), service);
    tokio::select! {
        _ = served => false,
        () = connection.kill.notified() => true,
    }
}

/// An HTTP/2 stream reset, or an HTTP/1 connection closed without an answer.
#[derive(Debug)]
pub(super) struct Aborted;

impl std::fmt::Display for Aborted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("aborted on demand")
    }
}

impl std::error::Error for Aborted {}

impl From<Infallible> for Aborted {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}
