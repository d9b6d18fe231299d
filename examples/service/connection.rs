//! A connection whose peer has to take what it asked for.

use std::io::{Error, ErrorKind, IoSlice, Result};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep};

/// At the end: for so long, and so many bytes, it goes on reading what the peer still sends. To close on
/// unread bytes resets the connection, and takes from the peer the answer that is on its way.
const LINGER: Duration = Duration::from_secs(1);
const LINGER_BYTES: usize = 1 << 20;

pub(crate) struct Bounded {
    stream: TcpStream,
    patience: Duration,
    /// Runs while answers wait for the peer to take them.
    late: Option<Pin<Box<Sleep>>>,
    /// Runs from the end on.
    lingering: Option<(Pin<Box<Sleep>>, usize)>,
}

impl Bounded {
    /// Fails once answers have waited for `patience`, however slowly they are taken meanwhile.
    pub(crate) fn new(stream: TcpStream, patience: Duration) -> Self {
        Self { stream, patience, late: None, lingering: None }
    }

    fn bounded(&mut self, written: Poll<Result<usize>>, context: &mut Context<'_>) -> Poll<Result<usize>> {
        if written.is_pending() && self.late.is_none() {
            self.late = Some(Box::pin(sleep(self.patience)));
        }
        let is_late = self.late.as_mut().is_some_and(|late| late.as_mut().poll(context).is_ready());
        if is_late {
            Poll::Ready(Err(Error::new(ErrorKind::TimedOut, "the peer does not read")))
        } else {
            written
        }
    }
}

impl AsyncRead for Bounded {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Bounded {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.bounded(written, context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.bounded(written, context)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    /// Called when everything was written.
    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        self.late = None;
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        let Self { stream, lingering, .. } = &mut *self;
        ready!(Pin::new(&mut *stream).poll_shutdown(context))?;
        let (end, read) = lingering.get_or_insert_with(|| (Box::pin(sleep(LINGER)), 0));
        loop {
            let mut bytes = [0; 4096];
            let mut buffer = ReadBuf::new(&mut bytes);
            match Pin::new(&mut *stream).poll_read(context, &mut buffer) {
                Poll::Pending => return end.as_mut().poll(context).map(Ok),
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() && *read < LINGER_BYTES => {
                    *read += buffer.filled().len();
                }
                Poll::Ready(_) => return Poll::Ready(Ok(())),
            }
        }
    }
}
