//! One request and its answer on a connection that stands: hyper decodes, [`Tap`] keeps.
//!
//! Used by [`super::Door::send`] on the network and by [`super::replay`] on a [`Recording`], so both
//! read alike. Connection and answer are polled in one task: between the system call that reads and
//! [`Keep::keep`] nothing else runs.

use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker, ready};

use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::rt::{Read, ReadBufCursor, Write};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use zeroize::Zeroizing;

use super::{Keep, LIMIT, Sent};
use crate::wire::Answer;

type Request = http::Request<Full<Bytes>>;

/// How far a request and its answer came; outlives the future that drives them.
pub(super) struct Dialogue<'a> {
    keep: &'a mut dyn Keep,
    /// Whether writing the request was tried.
    attempted: bool,
    answer: Option<Answer>,
}

impl<'a> Dialogue<'a> {
    pub(super) fn new(keep: &'a mut dyn Keep) -> Self {
        Self {
            keep,
            attempted: false,
            answer: None,
        }
    }

    /// Sends `request` over `line` and hears the answer to its end.
    pub(super) async fn hold(
        &mut self,
        line: impl AsyncRead + AsyncWrite + Unpin + Send,
        request: Request,
    ) -> hyper::Result<()> {
        self.keep.make_room(2 * CHUNK);
        let tap = Tap {
            line,
            attempted: &mut self.attempted,
            keep: self.keep,
            received: Zeroizing::new(Vec::with_capacity(2 * CHUNK)),
        };
        let (sender, connection) = handshake(tap).await?;
        let mut connection = pin!(connection);
        let mut hearing = pin!(hear(sender, request, &mut self.answer));
        let mut connected = true;
        loop {
            tokio::select! {
                biased;
                end = &mut hearing => return end,
                // Why it ended reaches `hearing`, which is asked once more.
                _ended = &mut connection, if connected => connected = false,
            }
        }
    }

    /// What came of it; `end` says how it ended, of a failure why.
    pub(super) fn judge(self, end: Result<(), String>) -> Sent {
        let cut = end.err();
        match self.answer {
            Some(answer) => Sent::Answered(Answer { cut, ..answer }),
            None if self.attempted => Sent::Silence(cut.unwrap_or_default()),
            None => Sent::Never(cut.unwrap_or_default()),
        }
    }
}

async fn hear(
    mut sender: SendRequest<Full<Bytes>>,
    request: Request,
    answer: &mut Option<Answer>,
) -> hyper::Result<()> {
    sender.ready().await?;
    let (head, mut body) = sender.send_request(request).await?.into_parts();
    let answer = answer.insert(Answer {
        status: head.status.as_u16(),
        headers: head.headers,
        body: Zeroizing::default(),
        cut: None,
    });
    while let Some(frame) = body.frame().await {
        if let Ok(bytes) = frame?.into_data() {
            make_room(&mut answer.body, bytes.len());
            answer.body.extend_from_slice(&bytes);
        }
    }
    Ok(())
}

/// The connection as hyper sees it: every read is kept before it is looked at, up to [`LIMIT`].
struct Tap<'a, L> {
    line: L,
    attempted: &'a mut bool,
    keep: &'a mut dyn Keep,
    received: Zeroizing<Vec<u8>>,
}

/// The most that one read takes; two hold most answers.
const CHUNK: usize = 4 * 1024;

/// Makes room for `more` bytes; where that takes a move, nothing unwiped stays behind.
fn make_room(bytes: &mut Zeroizing<Vec<u8>>, more: usize) {
    let needed = bytes.len() + more;
    if needed > bytes.capacity() {
        let mut larger = Zeroizing::new(Vec::with_capacity(needed.max(2 * bytes.capacity())));
        larger.extend_from_slice(bytes);
        *bytes = larger;
    }
}

impl<L: AsyncRead + Unpin> Read for Tap<'_, L> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut into: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let room = (LIMIT - this.received.len())
            .min(CHUNK)
            .min(into.remaining());
        if this.received.len() == LIMIT {
            let reason = format!("larger than {} KiB", LIMIT / 1024);
            return Poll::Ready(Err(io::Error::other(reason)));
        }
        // Before the read, so that no system call for memory comes between it and the keeping.
        make_room(&mut this.received, room);
        this.keep.make_room(this.received.len() + room);
        let mut chunk = Zeroizing::new([0; CHUNK]);
        let mut chunk = ReadBuf::new(&mut chunk[..room]);
        ready!(Pin::new(&mut this.line).poll_read(cx, &mut chunk))?;
        if !chunk.filled().is_empty() {
            this.received.extend_from_slice(chunk.filled());
            this.keep.keep(&this.received);
            into.put_slice(chunk.filled());
        }
        Poll::Ready(Ok(()))
    }
}

impl<L: AsyncWrite + Unpin> Write for Tap<'_, L> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        *this.attempted = true;
        Pin::new(&mut this.line).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().line).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().line).poll_shutdown(cx)
    }
}

/// A connection whose answer is known already. It speaks when it is asked, as a server does: hyper
/// refuses an answer that comes before the request.
pub(super) struct Recording<'a> {
    bytes: &'a [u8],
    asked: bool,
    reader: Option<Waker>,
}

impl<'a> Recording<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self {
            bytes,
            asked: false,
            reader: None,
        }
    }
}

impl AsyncRead for Recording<'_> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.asked {
            this.reader = Some(cx.waker().clone());
            return Poll::Pending;
        }
        Pin::new(&mut this.bytes).poll_read(cx, into)
    }
}

impl AsyncWrite for Recording<'_> {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.asked = true;
        if let Some(reader) = this.reader.take() {
            reader.wake();
        }
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
