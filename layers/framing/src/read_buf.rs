//! The read buffer: how much memory the next read gets, and when memory is freed.
//!
//! In: bytes, appended to [`buf`](ReadBuffer::buf). Out: [`Bytes`] split off the front. Pure.
//!
//! A busy connection needs reads of 64 KiB (small messages a second with reads of 4 KiB: 40 M, 16 KiB: 47 M,
//! 64 KiB: 53 M, 256 KiB: 60 M), which an idle one must not hold. So after a small burst a connection keeps 1 KiB
//! or 512 bytes, enough for a request and its answer without an allocation, and after a large burst nothing.

use bytes::{Buf, Bytes, BytesMut};

/// Space for a read on a busy connection, bytes.
pub(crate) const BUSY_READ: usize = 64 << 10;

/// Space for a read on a quiet connection, and the most that an idle one holds, bytes.
pub(crate) const QUIET_READ: usize = 1 << 10;

/// After a burst of up to this size, half of `QUIET_READ` is enough, bytes.
const SMALL_BURST: usize = QUIET_READ / 4;

/// Larger allocations are only for large frames, bytes: a message that is a range of the read buffer keeps the
/// whole allocation alive.
pub(crate) const LARGE_ALLOCATION: usize = 2 * BUSY_READ;

/// The most that the buffer grows by in one step for a frame as large as an earlier one, bytes.
const MAX_GROWTH: usize = 4 << 20;

/// Bytes that have arrived and are not yet split off.
#[derive(Debug)]
pub(crate) struct ReadBuffer {
    bytes: BytesMut,
    /// The size of the allocation behind `bytes`, at least.
    allocation: usize,
    /// Bytes split off since the last release.
    burst: usize,
    /// The burst before the last release was small.
    quiet: bool,
    /// The most that was ever split off at once, up to `MAX_GROWTH`.
    largest_taken: usize,
}

impl ReadBuffer {
    pub(crate) fn new() -> Self {
        Self {
            bytes: BytesMut::new(),
            allocation: 0,
            burst: 0,
            quiet: true,
            largest_taken: 0,
        }
    }

    #[inline]
    pub(crate) fn as_slice(&self) -> &[u8] {
        &self.bytes
    }

    /// Appends a copy.
    pub(crate) fn extend(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        self.allocation = self.allocation.max(self.bytes.capacity());
    }

    /// Splits off the first `n` bytes. It copies them only if they would otherwise keep more than twice as much alive.
    #[inline]
    pub(crate) fn take(&mut self, n: usize) -> Bytes {
        self.burst += n;
        self.largest_taken = self.largest_taken.max(n.min(MAX_GROWTH));
        if self.allocation > LARGE_ALLOCATION && n < self.allocation / 2 {
            return self.copy_out(n);
        }
        self.bytes.split_to(n).freeze()
    }

    #[cold]
    fn copy_out(&mut self, n: usize) -> Bytes {
        let copy = Bytes::copy_from_slice(self.bytes.get(..n).unwrap_or_default());
        self.bytes.advance(copy.len());
        copy
    }

    /// Drops up to `n` bytes of the front; returns how many.
    pub(crate) fn skip(&mut self, n: usize) -> usize {
        let n = n.min(self.bytes.len());
        self.bytes.advance(n);
        self.burst += n;
        n
    }

    /// Reserves space for the next read in [`buf`](Self::buf). `missing` is how many bytes the first frame
    /// still needs by its header, 0 if unknown; it can only make the space smaller.
    #[inline]
    pub(crate) fn reserve_for_read(&mut self, missing: usize) {
        let len = self.bytes.len();
        let spare = self.bytes.capacity() - len;
        if self.quiet && self.burst + len < QUIET_READ {
            let base = if self.allocation <= QUIET_READ / 2 && self.burst + len <= SMALL_BURST {
                QUIET_READ / 2
            } else {
                QUIET_READ
            };
            // Space for a whole small burst, so that one read is enough.
            if spare < base - len && !self.bytes.try_reclaim(base - len) && spare < base / 2 {
                self.grow(base, missing);
            }
        } else if self.allocation > LARGE_ALLOCATION
            && len.saturating_add(missing) < self.allocation / 2
        {
            // The frame that arrives now is small: it gets an allocation of its own.
            self.replace(len + BUSY_READ);
        } else if spare < BUSY_READ / 2 {
            self.grow(BUSY_READ, missing);
        }
    }

    /// The bytes, to append to.
    #[inline]
    pub(crate) fn buf(&mut self) -> &mut BytesMut {
        &mut self.bytes
    }

    /// The size of the allocation, at least.
    #[inline]
    pub(crate) const fn allocation(&self) -> usize {
        self.allocation
    }

    /// How much memory will be used after [`reserve_for_read`](Self::reserve_for_read) for a large frame. What
    /// doubling allocates beyond the frame is never touched, so it does not count.
    pub(crate) fn used_after_reserve(&self, missing: usize) -> usize {
        let len = self.bytes.len();
        if self.bytes.capacity() - len < BUSY_READ / 2 {
            len + self.growth(BUSY_READ, missing)
        } else {
            self.allocation.min(len.saturating_add(missing))
        }
    }

    fn grow(&mut self, base: usize, missing: usize) {
        let len = self.bytes.len();
        if len >= base / 2 {
            self.bytes.reserve(self.growth(base, missing));
        } else {
            // Moves the rest to the front, if no split-off part is in use any more.
            self.bytes.reserve(base - len);
        }
        self.allocation = self.allocation.max(self.bytes.capacity());
    }

    /// By how much to grow for a large frame: double the size, or in one step up to the size of an earlier
    /// frame.
    fn growth(&self, base: usize, missing: usize) -> usize {
        self.bytes
            .len()
            .max(self.largest_taken)
            .min(missing)
            .max(base)
    }

    /// Frees memory; called when there is nothing to read for now.
    pub(crate) fn release(&mut self) {
        let len = self.bytes.len();
        let burst = std::mem::take(&mut self.burst) + len;
        self.quiet = burst < QUIET_READ;
        let keep = match burst {
            _ if len >= QUIET_READ / 2 => return,
            0..=SMALL_BURST => QUIET_READ / 2,
            _ if self.quiet || len > 0 => QUIET_READ,
            _ => 0,
        };
        if self.allocation > keep {
            self.replace(keep);
        }
    }

    /// Moves the bytes into an allocation of `size`.
    fn replace(&mut self, size: usize) {
        let mut bytes = BytesMut::with_capacity(size);
        bytes.extend_from_slice(&self.bytes);
        self.bytes = bytes;
        self.allocation = self.bytes.capacity();
    }

    #[cfg(test)]
    pub(crate) fn held(&self) -> usize {
        self.allocation.max(self.bytes.capacity())
    }
}
