//! Where gRPC listens: connections are bounded in number, and a socket's file that is gone is made anew.
//!
//! Does not: speak gRPC; that is [`super::server`].
//!
//! Decision: mode 0660, so that Envoy reaches it as the same user or through a shared group, and nobody else does.
//! Rejected: 0600, which forces Envoy and the sidecar to run as one user.

use std::io;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use anyhow::{Context as _, bail};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, UnixListener, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tonic::transport::server::Connected;

use super::logs::Seldom;

/// Connections at once. Envoy opens one for each worker; whoever comes later waits until one ends.
pub const CONNECTIONS: usize = 1024;
/// Between two looks at the socket's file.
const LOOK: Duration = Duration::from_secs(1);
/// After an accept that failed, e.g. for want of file descriptors.
const PAUSE: Duration = Duration::from_millis(100);

static FAILURES: Seldom = Seldom::new();

/// The file of a unix socket, and which of that name is this process's.
#[derive(Debug)]
pub struct SocketFile {
    path: PathBuf,
    /// Device and inode.
    own: Mutex<(u64, u64)>,
}

impl SocketFile {
    /// Who connects to this path reaches this process.
    ///
    /// # Errors
    /// What is there instead.
    pub fn check(&self) -> Result<(), String> {
        let path = self.path.display();
        match identity(&self.path) {
            Err(error) => Err(format!("the socket {path} is gone: {error}")),
            Ok(found) if found == *self.own.lock().unwrap_or_else(PoisonError::into_inner) => Ok(()),
            Ok(_) => Err(format!("{path} is not this process's socket any more")),
        }
    }

    /// Removes it, unless it is somebody else's.
    pub(super) fn remove(&self) {
        let removed = self.check().and_then(|()| std::fs::remove_file(&self.path).map_err(|error| error.to_string()));
        if let Err(error) = removed {
            tracing::warn!(path = %self.path.display(), error, "socket not removed");
        }
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    std::fs::symlink_metadata(path).map(|meta| (meta.dev(), meta.ino()))
}

/// Binds a unix socket.
///
/// # Errors
/// Somebody else listens there, or something that is no socket is in the way.
pub(super) async fn bind(path: PathBuf) -> anyhow::Result<(UnixListener, SocketFile)> {
    let listener = bind_file(&path).await.with_context(|| format!("unix:{}", path.display()))?;
    let own = Mutex::new(identity(&path)?);
    Ok((listener, SocketFile { path, own }))
}

async fn bind_file(path: &Path) -> anyhow::Result<UnixListener> {
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
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        found => found?.file_type(),
    };
    if !kind.is_socket() {
        bail!("something that is no socket is in the way");
    }
    match UnixStream::connect(path).await {
        Ok(_) => bail!("another process listens there"),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(std::fs::remove_file(path)?),
        Err(error) => Err(error).context("a socket is in the way"),
    }
}

/// Connections as they are accepted, so many at once.
pub(super) type Accepted<S> = mpsc::Sender<io::Result<Placed<S>>>;

/// Accepts on a unix socket until it is dropped. Where the file is gone, or a killed process's socket took its place, it is
/// bound again; those who are connected stay so.
pub(super) async fn accept_unix(mut listener: UnixListener, file: Arc<SocketFile>, accepted: Accepted<UnixStream>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let next = async {
            let place = Arc::clone(&places).acquire_owned().await;
            (place, listener.accept().await)
        };
        let looked = tokio::select! {
            (place, accepting) = next => {
                pass(place, accepting.map(|(stream, _)| stream), &accepted).await;
                continue;
            }
            () = tokio::time::sleep(LOOK) => file.check(),
        };
        let Err(problem) = looked else { continue };
        match bind_file(&file.path).await.and_then(|new| Ok((new, identity(&file.path)?))) {
            Ok((new, own)) => {
                listener = new;
                *file.own.lock().unwrap_or_else(PoisonError::into_inner) = own;
                tracing::warn!("{problem}; bound anew");
            }
            Err(error) => {
                if let Some(left_out) = FAILURES.due(&problem) {
                    tracing::error!(left_out, "{problem}; cannot be bound anew: {error:#}");
                }
            }
        }
    }
}

/// Accepts on TCP until it is dropped.
pub(super) async fn accept_tcp(listener: TcpListener, accepted: Accepted<tokio::net::TcpStream>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let place = Arc::clone(&places).acquire_owned().await;
        let accepting = listener.accept().await.and_then(|(stream, _)| stream.set_nodelay(true).map(|()| stream));
        pass(place, accepting, &accepted).await;
    }
}

async fn pass<S>(
    place: Result<OwnedSemaphorePermit, tokio::sync::AcquireError>,
    accepting: io::Result<S>,
    accepted: &Accepted<S>,
) {
    match (place, accepting) {
        (Ok(place), Ok(stream)) => drop(accepted.send(Ok(Placed { stream, _place: place })).await),
        (Ok(_), Err(error)) => {
            if let Some(left_out) = FAILURES.due(&error.to_string()) {
                tracing::error!(left_out, %error, "a connection was not accepted");
            }
            tokio::time::sleep(PAUSE).await;
        }
        // Nobody closes the semaphore.
        (Err(_), _) => {}
    }
}

/// A connection and its place among those that may be open.
#[derive(Debug)]
pub(super) struct Placed<S> {
    stream: S,
    _place: OwnedSemaphorePermit,
}

impl<S: Connected> Connected for Placed<S> {
    type ConnectInfo = S::ConnectInfo;

    fn connect_info(&self) -> Self::ConnectInfo {
        self.stream.connect_info()
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Placed<S> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, into)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Placed<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
