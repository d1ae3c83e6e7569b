//! The transport: the parser and the writer over one byte stream. All I/O of this layer is here.
//!
//! In: bytes of the stream; payloads to write. Out: frames; bytes to the stream. May touch: that stream.

use std::{
    future::Future,
    io::{self, IoSlice},
    pin::{Pin, pin},
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use kyneta_uds_core::{
    ConnectionInfo, Credentials, Frame, Frames, Payload, PayloadWriter, Saved, SavedError,
    WireVersion, WriteBuf,
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

/// When the write buffer holds this much, it is written out before it takes more, bytes.
///
/// Messages of 64 bytes by the size of a write, M/s: 1 KiB 11.7; 4 KiB 23.9; 8 KiB 35.3; 16 KiB 48; 32 KiB 53;
/// 64 KiB 54; 128 KiB 62; 256 KiB 54. More than 64 KiB costs memory and gains little.
const HIGH_WATER: usize = 64 << 10;

/// Bytes of a large frame read in one poll, before the task yields.
const MAX_READ_PER_POLL: usize = 256 << 10;

/// Bytes of frames skipped or dropped in one poll, before the task yields.
const MAX_SKIPPED_PER_POLL: u64 = 64 << 10;

/// Slices of one vectored write: eight large payloads and the bytes between them.
const MAX_SLICES: usize = 16;

/// Frames over one byte stream.
///
/// One owner polls it; it spawns no task. All `poll_*` are cancel safe. Frames are collected up to 64 KiB and
/// written in few, large writes; payloads of 16 KiB and more are written without a copy. When idle it holds about
/// 2 KiB at most.
///
/// ```
/// use kyneta_uds_core::Frames;
/// use kyneta_uds_framing::{FrameTransport, FramingConfig};
///
/// let (ours, _theirs) = tokio::io::duplex(1024);
/// let transport = FrameTransport::new(ours, FramingConfig::new());
/// assert_eq!(transport.connection().wire, None); // no frame yet
/// let _ours = transport.into_inner();
/// ```
#[derive(Debug)]
pub struct FrameTransport<Io> {
    io: Io,
    parser: FrameParser,
    writer: FrameWriter,
    out: WriteBuf,
    /// The high-water mark was reached: no frame is taken until all bytes are written.
    draining: bool,
    /// Bytes were written, but the stream has not been flushed since.
    unflushed: bool,
    credentials: Option<Credentials>,
}

impl<Io: ByteStream> FrameTransport<Io> {
    /// Takes over a new stream. Reads the peer's credentials if it is a tokio `UnixStream`.
    pub fn new(io: Io, config: FramingConfig) -> Self {
        let credentials = credentials::of(&io);
        Self {
            io,
            parser: FrameParser::new(config.wire_mode(), config.frame_limit())
                .strict()
                .with_lease(Lease::new(
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

    pub(crate) const fn io(&self) -> &Io {
        &self.io
    }

    /// Both directions, and the bytes that the stream has not taken.
    pub(crate) fn parts(&self) -> (&FrameParser, &FrameWriter, &WriteBuf) {
        (&self.parser, &self.writer, &self.out)
    }

    /// The bytes that the stream has not taken, which are written on.
    pub(crate) fn share(&mut self) -> Vec<Bytes> {
        self.out.share()
    }

    /// Goes on where a transport was taken apart. `ahead` is to be written before the rest.
    pub(crate) fn restore(&mut self, part: &Saved, ahead: Bytes) -> Result<(), SavedError> {
        self.parser.restore(part)?;
        self.writer.go_on_with(part.number32("next-seq-out")?);
        self.out.writer().put_bytes(&ahead);
        self.out.writer().put_bytes(part.bytes("unsent")?);
        self.unflushed = true; // perhaps: flushing once more costs nothing
        Ok(())
    }

    /// Reads until there is a frame. [`Step::NeedMore`]: the stream has ended.
    fn poll_step(&mut self, cx: &mut Context<'_>) -> Poll<Result<Step, FramingError>> {
        let worked = self.parser.worked();
        let mut read = 0;
        loop {
            let step = match self.parser.step() {
                Ok(step @ (Step::NeedMore | Step::Dropped)) => step,
                done => return Poll::Ready(done),
            };
            if read >= MAX_READ_PER_POLL || self.parser.worked() - worked >= MAX_SKIPPED_PER_POLL {
                let _ = pin!(yield_now()).poll(cx);
                return Poll::Pending;
            }
            if let Step::Dropped = step {
                continue;
            }
            if let Err(error) = self.parser.lease_room() {
                return Poll::Ready(Err(error));
            }
            match poll_read_buf(Pin::new(&mut self.io), cx, &mut self.parser.next_read()) {
                Poll::Ready(Ok(0)) => {
                    return Poll::Ready(match self.parser.partial_frame() {
                        None => Ok(Step::NeedMore),
                        Some((have, want)) => Err(FramingError::Truncated { have, want }),
                    });
                }
                Poll::Ready(Ok(n)) => read += n,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(FramingError::Io(error))),
                Poll::Pending => {
                    self.parser.release();
                    return Poll::Pending;
                }
            }
        }
    }

    /// Writes until the buffer is empty.
    fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.out.is_empty() {
            let io = Pin::new(&mut self.io);
            let written = if self.out.is_contiguous() || !io.is_write_vectored() {
                ready!(io.poll_write(cx, self.out.front()))?
            } else {
                let mut slices = [IoSlice::new(&[]); MAX_SLICES];
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
    /// The inner stream.
    pub const fn get_ref(&self) -> &Io {
        &self.io
    }

    /// The inner stream. Reading from it or writing to it breaks the framing.
    pub const fn get_mut(&mut self) -> &mut Io {
        &mut self.io
    }

    /// The inner stream. Bytes buffered in either direction are lost.
    pub fn into_inner(self) -> Io {
        self.io
    }
}

impl<Io: ByteStream> Frames for FrameTransport<Io> {
    type Error = FramingError;

    #[inline]
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<'_>, Self::Error>>> {
        Poll::Ready(match ready!(self.poll_step(cx)) {
            Ok(step) => self.parser.frame(step).map(Ok),
            Err(error) => Some(Err(error)),
        })
    }

    #[inline(always)]
    fn arrived(&mut self) -> Option<Payload<'_>> {
        let range = self.parser.next_complete()?;
        Some(self.parser.payload(range))
    }

    #[inline]
    fn has_room(&self) -> bool {
        !self.draining && self.out.len() < HIGH_WATER
    }

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        if self.has_room() {
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
        self.parser.frame_written(wire);
        Ok(())
    }

    #[inline]
    fn write_sized<E>(
        &mut self,
        size: usize,
        encode: impl FnOnce(&mut PayloadWriter<'_>),
        too_large: impl FnOnce(usize, usize) -> E,
    ) -> Result<(), E> {
        let wire = self.parser.outbound_wire();
        let Self { writer, out, .. } = self;
        writer.write_sized(wire, out, size, encode, too_large)?;
        self.parser.frame_written(wire);
        Ok(())
    }

    #[inline]
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        ready!(self.poll_flush_all(cx)).map_err(FramingError::Io)?;
        // The caller has no more to write for now.
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
        // The stream may have a buffer of its own, so unflushed bytes count.
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
            duplicates_dropped: self.parser.duplicates_dropped(),
            frames_missing: self.parser.frames_missing(),
        }
    }

    fn begin_with(&mut self, wire: WireVersion) -> bool {
        self.parser.begin_with(wire)
    }

    #[inline]
    fn keep(&mut self) -> bool {
        self.parser.keep()
    }

    fn free_kept(&mut self) {
        self.parser.free_kept();
    }
}

#[cfg(test)]
mod tests;
