//! The trait between framing and codec: payloads in, payloads out, over one connection.
//!
//! Payloads are borrowed: an inbound one is a range of the read buffer, an outbound one is written directly
//! into the write buffer. So a small message costs a few nanoseconds.

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

/// A frame's payload, borrowed: a range of the read buffer.
///
/// ```
/// use bytes::Bytes;
/// use kyneta_uds_core::Payload;
///
/// let buffer = Bytes::from_static(b"..hello..");
/// let payload = Payload::new(&buffer, 2..7);
/// assert_eq!(payload.as_slice(), b"hello");
/// assert_eq!(payload.slice(1..3), Bytes::from_static(b"el"));
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Payload<'a> {
    buffer: &'a Bytes,
    slice: &'a [u8],
    start: usize,
    wire: Option<WireVersion>,
}

impl<'a> Payload<'a> {
    /// A range of the read buffer; what lies outside of it is cut off.
    #[inline]
    pub fn new(buffer: &'a Bytes, range: Range<usize>) -> Self {
        let end = range.end.min(buffer.len());
        let start = range.start.min(end);
        let slice = buffer.get(start..end).unwrap_or_default();
        Self {
            buffer,
            slice,
            start,
            wire: None,
        }
    }

    /// Sets the frame's wire version. On wire version 2 the codec is more lenient about fields that 1.x peers
    /// do not check.
    #[inline]
    pub const fn on(mut self, wire: WireVersion) -> Self {
        self.wire = Some(wire);
        self
    }

    /// The frame's wire version, if the frame transport has set it.
    #[inline]
    pub const fn wire(&self) -> Option<WireVersion> {
        self.wire
    }

    /// The bytes.
    #[inline]
    pub fn as_slice(&self) -> &'a [u8] {
        self.slice
    }

    /// The buffer that it is a range of.
    #[inline]
    pub fn buffer(&self) -> &'a Bytes {
        self.buffer
    }

    /// An owned part, without a copy: it keeps the read buffer alive. What lies outside the payload is cut
    /// off.
    #[inline]
    pub fn slice(&self, range: Range<usize>) -> Bytes {
        let end = range.end.min(self.slice.len());
        let start = range.start.min(end);
        self.buffer.slice(self.start + start..self.start + end)
    }
}

/// What a frame transport yields.
#[derive(Debug)]
#[non_exhaustive]
pub enum Frame<'a> {
    /// A complete frame's payload.
    Payload(Payload<'a>),
    /// A frame that was skipped; the next one is read as usual.
    Skipped(FrameFault),
    /// What the frames' sequence numbers show.
    Noticed(Notice),
}

/// A duplex of frames over one connection. The rules are those of [`Channel`](crate::Channel): one owner polls
/// it, an error ends it, and only a flush guarantees that bytes reach the kernel.
#[diagnostic::on_unimplemented(
    message = "this stack does not make frame transports: `{Self}` does not carry frames",
    label = "not a frame transport",
    note = "put a `FramingLayer` directly below the `CborLayer`"
)]
pub trait Frames: Unpin {
    /// Ends the connection.
    type Error: Into<BoxError>;

    /// The next frame; `None` when the peer has ended its direction after a complete frame.
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<'_>, Self::Error>>>;

    /// The next frame's payload, if a complete frame is in the read buffer. A fast path of
    /// [`poll_frame`](Self::poll_frame): after `None`, call that.
    fn arrived(&mut self) -> Option<Payload<'_>>;

    /// True when [`poll_ready`](Self::poll_ready) would be ready at once, without writing to the kernel. Provided:
    /// `false` makes the channel above ask that for each frame.
    #[inline]
    fn has_room(&self) -> bool {
        false
    }

    /// Ready when the write buffer has room.
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>>;

    /// Appends one frame, whose payload `encode` writes. On an error nothing is appended.
    ///
    /// # Errors
    /// What `encode` returned, or `too_large(size, limit)` for a payload over the limit.
    fn write_frame<E>(
        &mut self,
        encode: impl FnOnce(&mut PayloadWriter<'_>) -> Result<(), E>,
        too_large: impl FnOnce(usize, usize) -> E,
    ) -> Result<(), E>;

    /// As [`write_frame`](Self::write_frame), where `encode` writes exactly `size` bytes. Provided.
    ///
    /// # Errors
    /// `too_large(size, limit)` for a payload over the limit.
    #[inline]
    fn write_sized<E>(
        &mut self,
        size: usize,
        encode: impl FnOnce(&mut PayloadWriter<'_>),
        too_large: impl FnOnce(usize, usize) -> E,
    ) -> Result<(), E> {
        let _ = size;
        let encode = |out: &mut PayloadWriter<'_>| {
            encode(out);
            Ok(())
        };
        self.write_frame(encode, too_large)
    }

    /// Ready when the kernel has taken all frames.
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>>;

    /// Flushes, then ends this direction.
    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>>;

    /// Bytes written and not yet taken by the kernel.
    fn buffered(&self) -> usize;

    /// Bytes of the stream processed so far: frames that were yielded, skipped or dropped.
    fn worked(&self) -> u64;

    /// What is known of the connection.
    fn connection(&self) -> ConnectionInfo;

    /// See [`Channel::begin_with`](crate::Channel::begin_with).
    fn begin_with(&mut self, wire: WireVersion) -> bool;

    /// See [`Channel::keep`](crate::Channel::keep). Provided: it keeps nothing.
    #[inline]
    fn keep(&mut self) -> bool {
        false
    }

    /// See [`Channel::free_kept`](crate::Channel::free_kept).
    fn free_kept(&mut self) {}
}
