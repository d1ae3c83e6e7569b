//! The trait between framing and codec: payloads in, payloads out, one connection.
//!
//! Payloads are lent, not given: what comes in is a range of the read buffer, what goes out is
//! written straight into the write buffer. That is what keeps a small message at a few nanoseconds.

use std::{
    ops::Range,
    task::{Context, Poll},
};

use bytes::Bytes;

use crate::{
    disconnect::BoxError,
    notice::Notice,
    rejection::FrameFault,
    wire::{ConnectionInfo, WireVersion},
    write_buf::PayloadWriter,
};

/// A frame's payload, lent: a range of one read's bytes.
///
/// ```
/// use bytes::Bytes;
/// use kyneta_uds_core::Payload;
///
/// let read = Bytes::from_static(b"..hello..");
/// let payload = Payload::new(&read, 2..7);
/// assert_eq!(payload.as_slice(), b"hello");
/// assert_eq!(payload.slice(1..3), Bytes::from_static(b"el"));
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Payload<'a> {
    read: &'a Bytes,
    slice: &'a [u8],
    start: usize,
    wire: Option<WireVersion>,
}

impl<'a> Payload<'a> {
    /// A range of a read's bytes; one outside of them is cut to what there is.
    #[inline]
    pub fn new(read: &'a Bytes, range: Range<usize>) -> Self {
        let end = range.end.min(read.len());
        let start = range.start.min(end);
        let slice = read.get(start..end).unwrap_or_default();
        Self {
            read,
            slice,
            start,
            wire: None,
        }
    }

    /// Says which wire version the frame was of; the codec reads what 1.x peers do not check more
    /// leniently on wire version 2.
    #[inline]
    pub const fn on(mut self, wire: WireVersion) -> Self {
        self.wire = Some(wire);
        self
    }

    /// The frame's wire version, when the frame transport said so.
    #[inline]
    pub const fn wire(&self) -> Option<WireVersion> {
        self.wire
    }

    /// The bytes.
    #[inline]
    pub fn as_slice(&self) -> &'a [u8] {
        self.slice
    }

    /// The bytes that it is a range of: all of one read.
    #[inline]
    pub fn read(&self) -> &'a Bytes {
        self.read
    }

    /// A part that outlives the lending, without a copy: it keeps the read buffer alive. A range
    /// outside the payload is cut to it.
    #[inline]
    pub fn slice(&self, range: Range<usize>) -> Bytes {
        let end = range.end.min(self.slice.len());
        let start = range.start.min(end);
        self.read.slice(self.start + start..self.start + end)
    }
}

/// What a frame transport yields.
#[derive(Debug)]
#[non_exhaustive]
pub enum Frame<'a> {
    /// A complete frame's payload.
    Payload(Payload<'a>),
    /// A frame that was skipped; the stream stays in step.
    Skipped(FrameFault),
    /// What the numbers of the frames show.
    Noticed(Notice),
}

/// A duplex of frames over one connection. The same rules as [`Channel`](crate::Channel)'s: polled
/// by one owner, errors are the end, flushing is what reaches the kernel.
#[diagnostic::on_unimplemented(
    message = "this stack does not make frame transports: `{Self}` does not carry frames",
    label = "not a frame transport",
    note = "put a `FramingLayer` directly below the `CborLayer`"
)]
pub trait Frames: Unpin {
    /// Ends the connection.
    type Error: Into<BoxError>;

    /// The next frame; `None` when the peer has ended its direction between two frames.
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<'_>, Self::Error>>>;

    /// The next frame's payload if it has arrived and is complete: what [`poll_frame`](Self::poll_frame)
    /// would yield, without a detour over memory. `None` says nothing.
    fn arrived(&mut self) -> Option<Payload<'_>>;

    /// Ready when there is room in the write buffer.
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>>;

    /// Appends one frame, whose payload `encode` writes. When `encode` fails or the payload is
    /// over the limit, nothing is appended and the error is returned.
    ///
    /// # Errors
    /// What `encode` returned, or a size over the limit made an `E`.
    fn write_frame<E>(
        &mut self,
        encode: impl FnOnce(&mut PayloadWriter<'_>) -> Result<(), E>,
        too_large: impl FnOnce(usize, usize) -> E,
    ) -> Result<(), E>;

    /// Ready when the kernel has taken all frames.
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>>;

    /// Flushes, then ends this direction.
    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>>;

    /// Bytes written and not yet taken by the kernel.
    fn buffered(&self) -> usize;

    /// Bytes of the stream that were worked on so far: frames that were lent, skipped or dropped.
    fn worked(&self) -> u64;

    /// What is known of the connection.
    fn connection(&self) -> ConnectionInfo;

    /// See [`Channel::begin_with`](crate::Channel::begin_with).
    fn begin_with(&mut self, wire: WireVersion) -> bool;
}
