//! A caller's connection as hyper reads and writes it: TLS or not, and never stalled for long.
//!
//! The greeting of TLS happens within the first read, so the time for a request's head covers it. hyper
//! has no time-out for writing: a caller who takes nothing of its answer would keep its place for ever.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::server::TlsStream;
use tokio_rustls::{Accept, TlsAcceptor};

use crate::clock::Clock;
use crate::tls::Identity;

pub(super) struct Stream<S> {
    layer: Layer<S>,
    stall_time: Duration,
    stalled: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

enum Layer<S> {
    Plain(S),
    Greeting(Box<Accept<S>>),
    Tls(Box<TlsStream<S>>),
    /// The greeting failed.
    Gone,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Stream<S> {
    pub(super) fn new(stream: S, identity: Option<&Identity>, stall_time: Duration) -> Self {
        let layer = match identity {
            None => Layer::Plain(stream),
            Some(identity) => {
                let acceptor = TlsAcceptor::from(identity.config());
                Layer::Greeting(Box::new(acceptor.accept(stream)))
            }
        };
        Self {
            layer,
            stall_time,
            stalled: None,
        }
    }

    /// What is spoken through, once the greeting is over.
    fn spoken(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Pin<&mut dyn Duplex>>> {
        if let Layer::Greeting(greeting) = &mut self.layer {
            let greeted = ready!(Pin::new(greeting.as_mut()).poll(cx));
            self.layer = Layer::Gone;
            self.layer = Layer::Tls(Box::new(greeted?));
        }
        Poll::Ready(match &mut self.layer {
            Layer::Plain(stream) => Ok(Pin::new(stream)),
            Layer::Tls(stream) => Ok(Pin::new(stream.as_mut())),
            Layer::Greeting(_) | Layer::Gone => Err(io::ErrorKind::NotConnected.into()),
        })
    }

    /// `written`, or a failure once the caller has taken nothing for the time that it has.
    fn patiently<T>(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.stalled = None;
            return written;
        }
        let span = self.stall_time;
        let stalled = self
            .stalled
            .get_or_insert_with(|| Box::pin(async move { Clock::system().pause(span).await }));
        ready!(stalled.as_mut().poll(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

trait Duplex: AsyncRead + AsyncWrite + Unpin {}

impl<S: AsyncRead + AsyncWrite + Unpin> Duplex for S {}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Stream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        ready!(self.spoken(cx))?.poll_read(cx, buffer)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Stream<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(self.spoken(cx))?.poll_write(cx, bytes);
        self.patiently(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(self.spoken(cx))?.poll_write_vectored(cx, pieces);
        self.patiently(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        match &self.layer {
            Layer::Plain(stream) => stream.is_write_vectored(),
            // Both gather what they are given into records.
            Layer::Greeting(_) | Layer::Tls(_) => true,
            Layer::Gone => false,
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.layer {
            // Nothing was written that could wait.
            Layer::Greeting(_) | Layer::Gone => Poll::Ready(Ok(())),
            _ => {
                let written = ready!(self.spoken(cx))?.poll_flush(cx);
                self.patiently(cx, written)
            }
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.layer {
            // A stop waits for nobody's greeting.
            Layer::Greeting(_) | Layer::Gone => {
                self.layer = Layer::Gone;
                Poll::Ready(Ok(()))
            }
            _ => {
                let written = ready!(self.spoken(cx))?.poll_shutdown(cx);
                self.patiently(cx, written)
            }
        }
    }
}
