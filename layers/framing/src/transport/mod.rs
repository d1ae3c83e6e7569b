//! The transport: the parser and the writer over one byte stream. All I/O of this layer is here.
//!
//! In: a byte stream; payloads to write. Out: frames; bytes to the stream. May touch: that stream.

use std::{
    future::Future,
    io::{self, IoSlice},
    pin::{Pin, pin},
    task::{Context, Poll, ready},
};

use kyneta_uds_core::{
    ConnectionInfo, Credentials, Frame, Frames, Payload, PayloadWriter, WireVersion, WriteBuf,
};
use tokio::task::yield_now;
use tokio_util::io::poll_read_buf;

use crate::{
    budget::Lease,
    config::FramingConfig,
    credentials,
    error::FramingError,
    parser::{FrameParser, Step},
    stream::ByteStream,
    writer::FrameWriter,
};

/// Bytes in the write buffer from which on it takes no more, but is written out first.
///
/// A stream of 64-byte messages by the size of a write, M/s: 1 KiB 11.7; 4 KiB 23.9; 8 KiB 35.3;
/// 16 KiB 48; 32 KiB 53; 64 KiB 54; 128 KiB 62; 256 KiB 54. Beyond 64 KiB there is memory to pay
/// and little to gain.
const HIGH_WATER: usize = 64 << 10;

/// Bytes of a large frame that are read in one poll, before others have their turn.
const MOST_READ: usize = 256 << 10;

/// Bytes of frames that are skipped or dropped in one poll, before others have their turn.
const MOST_PASSED: u64 = 64 << 10;

/// Slices given to one vectored write: eight large payloads and what stands between them.
const SLICES: usize = 16;

/// Frames over one byte stream.
///
/// Polled by one owner, never spawned; every `poll_*` may be abandoned and called again. Its write
/// buffer takes frames up to 64 KiB and is then written out in few, large writes; payloads of
/// 16 KiB and more are written from where they are. At rest it holds some 2 KiB at most.
///
/// ```
/// use kyneta_uds_core::Frames;
/// use kyneta_uds_framing::{FrameTransport, FramingConfig};
///
/// let (ours, _theirs) = tokio::io::duplex(1024);
/// let transport = FrameTransport::new(ours, FramingConfig::new());
/// assert_eq!(transport.connection().wire, None); // no frame has settled it
/// let _ours = transport.into_inner();
/// ```
#[derive(Debug)]
pub struct FrameTransport<Io> {
    io: Io,
    parser: FrameParser,
    writer: FrameWriter,
    out: WriteBuf,
    /// The high-water mark was met: nothing is taken until all is written.
    draining: bool,
    /// Bytes were written, and the stream not flushed since.
    unflushed: bool,
    credentials: Option<Credentials>,
}

impl<Io: ByteStream> FrameTransport<Io> {
    /// Takes a stream over, from its first byte on. Asks who is at its other end if it is a tokio
    /// `UnixStream`.
    pub fn new(io: Io, config: FramingConfig) -> Self {
        let credentials = credentials::of(&io);
        Self {
            io,
            parser: FrameParser::new(config.wire_mode(), config.frame_limit())
                .strict()
                .leasing(Lease::of(
                    config.shared_inbound_budget().cloned(),
                    credentials.map(|of| of.uid),
                )),
            writer: FrameWriter::new(config.frame_limit()),
            out: WriteBuf::default(),
            draining: false,
            unflushed: false,
            credentials,
        }
    }

    /// Reads until there is a frame. [`Step::NeedMore`]: no more will come.
    fn poll_step(&mut self, cx: &mut Context<'_>) -> Poll<Result<Step, FramingError>> {
        let worked = self.parser.worked();
        let mut read = 0;
        loop {
            let step = match self.parser.step() {
                Ok(step @ (Step::NeedMore | Step::Passed)) => step,
                done => return Poll::Ready(done),
            };
            if read >= MOST_READ || self.parser.worked() - worked >= MOST_PASSED {
                let _ = pin!(yield_now()).poll(cx);
                return Poll::Pending;
            }
            if let Step::Passed = step {
                continue;
            }
            if let Err(error) = self.parser.lease_room() {
                return Poll::Ready(Err(error));
            }
            match poll_read_buf(Pin::new(&mut self.io), cx, self.parser.read_buf()) {
                Poll::Ready(Ok(0)) => {
                    return Poll::Ready(match self.parser.unfinished() {
                        None => Ok(Step::NeedMore),
                        Some((have, want)) => Err(FramingError::Truncated { have, want }),
                    });
                }
                Poll::Ready(Ok(n)) => read += n,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(FramingError::Io(error))),
                Poll::Pending => {
                    self.parser.rest();
                    return Poll::Pending;
                }
            }
        }
    }

    /// Writes until nothing is left.
    fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.out.is_empty() {
            let io = Pin::new(&mut self.io);
            let written = if self.out.is_contiguous() || !io.is_write_vectored() {
                ready!(io.poll_write(cx, self.out.front()))?
            } else {
                let mut slices = [IoSlice::new(&[]); SLICES];
                let filled = self.out.slices(&mut slices);
                let slices = slices.get(..filled).unwrap_or_default();
                ready!(io.poll_write_vectored(cx, slices))?
            };
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.unflushed = true;
            self.out.advance(written);
        }
        self.draining = false;
        Poll::Ready(Ok(()))
    }

    fn poll_flush_all(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_drain(cx))?;
        if self.unflushed {
            ready!(Pin::new(&mut self.io).poll_flush(cx))?;
            self.unflushed = false;
        }
        Poll::Ready(Ok(()))
    }
}

impl<Io> FrameTransport<Io> {
    /// The stream below.
    pub const fn get_ref(&self) -> &Io {
        &self.io
    }

    /// The stream below. Reading from it or writing to it breaks the framing.
    pub const fn get_mut(&mut self) -> &mut Io {
        &mut self.io
    }

    /// The stream below. What is buffered in either direction is lost.
    pub fn into_inner(self) -> Io {
        self.io
    }
}

impl<Io: ByteStream> Frames for FrameTransport<Io> {
    type Error = FramingError;

    #[inline]
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<'_>, Self::Error>>> {
        Poll::Ready(match ready!(self.poll_step(cx)) {
            Ok(Step::Payload(range)) => Some(Ok(Frame::Payload(self.parser.lend(range)))),
            Ok(Step::Skipped(fault)) => Some(Ok(Frame::Skipped(fault))),
            Ok(Step::Noticed(notice)) => Some(Ok(Frame::Noticed(notice))),
            Ok(Step::NeedMore | Step::Passed) => None,
            Err(error) => Some(Err(error)),
        })
    }

    #[inline(always)]
    fn arrived(&mut self) -> Option<Payload<'_>> {
        let range = self.parser.next_ready()?;
        Some(self.parser.lend(range))
    }

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        if !self.draining && self.out.len() < HIGH_WATER {
            return Poll::Ready(Ok(()));
        }
        self.draining = true;
        self.poll_flush_all(cx).map_err(FramingError::Io)
    }

    #[inline]
    fn write_frame<E>(
        &mut self,
        encode: impl FnOnce(&mut PayloadWriter<'_>) -> Result<(), E>,
        too_large: impl FnOnce(usize, usize) -> E,
    ) -> Result<(), E> {
        let wire = self.parser.outbound_wire();
        self.writer.write(wire, &mut self.out, encode, too_large)?;
        self.parser.written(wire);
        Ok(())
    }

    #[inline]
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        ready!(self.poll_flush_all(cx)).map_err(FramingError::Io)?;
        // Who flushes has no more to write for now.
        self.out.release();
        Poll::Ready(Ok(()))
    }

    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        ready!(self.poll_flush_all(cx)).map_err(FramingError::Io)?;
        Pin::new(&mut self.io)
            .poll_shutdown(cx)
            .map_err(FramingError::Io)
    }

    #[inline]
    fn buffered(&self) -> usize {
        // What a buffering stream may hold back is not with the kernel either.
        self.out.len().max(usize::from(self.unflushed))
    }

    #[inline]
    fn worked(&self) -> u64 {
        self.parser.worked()
    }

    fn connection(&self) -> ConnectionInfo {
        ConnectionInfo {
            wire: self.parser.wire(),
            credentials: self.credentials,
            copies_dropped: self.parser.copies_dropped(),
            frames_missing: self.parser.frames_missing(),
        }
    }

    fn begin_with(&mut self, wire: WireVersion) -> bool {
        self.parser.begin_with(wire)
    }
}

#[cfg(test)]
mod tests;
