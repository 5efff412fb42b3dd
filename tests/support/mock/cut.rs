//! A connection that can be cut inside what is being written: a head of which only the beginning arrives, or one whose
//! status is another.
//!
//! Decision: below the HTTP library, which writes heads whole or not at all. Rejected: writing HTTP by hand for this.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::host::Connection;

/// Less than a status line, and less than the frame of a head.
const FIRST: usize = 12;

/// The stream of a connection.
pub(super) struct Cut<S> {
    stream: S,
    connection: Arc<Connection>,
    cut: bool,
    /// The rest of a status line that was changed.
    line: Vec<u8>,
}

impl<S> Cut<S> {
    pub(super) fn new(stream: S, connection: Arc<Connection>) -> Self {
        Self { stream, connection, cut: false, line: Vec::new() }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Cut<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Cut<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.cut {
            return Poll::Pending;
        }
        if let Some(code) = self.connection.label() {
            let mut line = bytes[..FIRST].to_vec();
            line[FIRST - code.len()..].copy_from_slice(&code);
            self.line = line;
        }
        if !self.line.is_empty() {
            let line = self.line.clone();
            let written = std::task::ready!(Pin::new(&mut self.stream).poll_write(cx, &line))?;
            self.line.drain(..written);
            return Poll::Ready(Ok(written));
        }
        let Some(later) = self.connection.pending_cut() else {
            return Pin::new(&mut self.stream).poll_write(cx, bytes);
        };
        let first = &bytes[..bytes.len().min(FIRST)];
        let written = std::task::ready!(Pin::new(&mut self.stream).poll_write(cx, first));
        self.cut = true;
        let connection = Arc::clone(&self.connection);
        tokio::spawn(async move {
            tokio::time::sleep(later).await;
            connection.kill();
        });
        Poll::Ready(written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
