//! The read buffer: how much memory the next read gets, and when memory is freed.
//!
//! In: bytes, appended to [`buf`](ReadBuffer::buf). Out: [`Bytes`] split off the front. Pure.
//!
//! A busy connection needs reads of 64 KiB (small messages a second with reads of 4 KiB: 40 M, 16 KiB: 47 M,
//! 64 KiB: 53 M, 256 KiB: 60 M), which an idle one must not hold. So after a small burst a connection keeps 1 KiB
//! or 512 bytes, enough for a request and its answer without an allocation, and after a large burst nothing.

use std::ops::RangeInclusive;

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

/// Frames of which a busy read is made to hold whole ones, bytes: what it would hold of a begun one would have to be moved.
/// Below that so little is moved that it does not matter; larger ones are read one by one.
const MEDIUM: RangeInclusive<usize> = 4 << 10..=BUSY_READ;

/// What a frame as large as an earlier one may use of a budget before it has arrived, bytes.
const AHEAD: usize = 4 << 20;

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
    /// The most that was ever split off at once, and what was last.
    largest_taken: usize,
    last_taken: usize,
    /// The size of the last frame that was begun and not complete after a read.
    begun: usize,
    /// A large allocation was needed since [`free_unneeded`](Self::free_unneeded) last asked.
    needed: bool,
}

impl ReadBuffer {
    pub(crate) fn new() -> Self {
        Self {
            bytes: BytesMut::new(),
            allocation: 0,
            burst: 0,
            quiet: true,
            largest_taken: 0,
            last_taken: 0,
            begun: 0,
            needed: false,
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
        self.largest_taken = self.largest_taken.max(n);
        self.last_taken = n;
        if self.is_large() {
            if n < self.allocation / 2 {
                return self.copy_out(n);
            }
            self.needed = true;
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
    /// still needs by its header, 0 if unknown; it can only make the space smaller. `keep`: a large allocation stays for
    /// the next large frame.
    #[inline]
    pub(crate) fn reserve_for_read(&mut self, missing: usize, keep: bool) {
        let len = self.bytes.len();
        if len == 0 && self.allocation > BUSY_READ && (keep || !self.is_large()) {
            // Begun behind the last one, a large frame would have to be moved.
            if self.bytes.try_reclaim(self.allocation) {
                return;
            }
            if self.is_large() {
                // A message is still there.
                return self.replace(BUSY_READ);
            }
        }
        let spare = self.bytes.capacity() - len;
        let frame = len.saturating_add(missing);
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
        } else if self.is_large()
            && frame < self.allocation / 2
            && !(keep && frame <= LARGE_ALLOCATION)
        {
            // The frame that arrives now is small: it gets an allocation of its own.
            self.replace(len + BUSY_READ);
        } else if len == 0
            && spare < self.last_taken
            && self.last_taken <= LARGE_ALLOCATION
            && self.last_taken > BUSY_READ
        {
            // A message may still hold the last one. In less space the next would have to be moved, too.
            self.grow(self.last_taken, missing);
        } else if spare < BUSY_READ / 2 && !(0 < missing && missing <= spare) {
            self.grow(self.busy_read(), missing);
        }
    }

    /// Space for a read on a busy connection: for whole frames, if they have the size of the last one that was begun.
    #[inline]
    fn busy_read(&self) -> usize {
        match self.begun {
            frame if MEDIUM.contains(&frame) => frame * BUSY_READ.div_ceil(frame),
            _ => BUSY_READ,
        }
    }

    /// The most to read next into the space that is there, if the first frame is of `frame` bytes, 0 if unknown: not
    /// beyond the end of a large one, and of smaller ones up to where one ends, if the next ones are as large. What was
    /// begun behind it would have to be moved.
    #[inline]
    pub(crate) fn most_to_read(&self, frame: usize) -> usize {
        let len = self.bytes.len();
        let most = match frame {
            0 if len == 0 && self.last_taken > BUSY_READ => self.last_taken,
            frame if frame > BUSY_READ => frame.saturating_sub(len).max(1),
            _ if MEDIUM.contains(&self.begun) && (frame > 0 || len == 0) => {
                let missing = frame.saturating_sub(len);
                let spare = self.bytes.capacity() - len;
                let whole = spare.saturating_sub(missing) / self.begun;
                missing + whole * self.begun
            }
            _ => 0,
        };
        // Reading nothing would look like the end.
        if most == 0 { usize::MAX } else { most }
    }

    /// The first frame is of so many bytes.
    #[inline]
    pub(crate) const fn begins(&mut self, frame: usize) {
        self.begun = frame;
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

    /// True when the allocation is one for large frames.
    #[inline]
    pub(crate) const fn is_large(&self) -> bool {
        self.allocation > LARGE_ALLOCATION
    }

    /// How much memory will be used after [`reserve_for_read`](Self::reserve_for_read) for a large frame. What is allocated
    /// beyond the frame, or far ahead of what has arrived, is not touched, so it does not count.
    pub(crate) fn used_after_reserve(&self, missing: usize) -> usize {
        let len = self.bytes.len();
        let spare = self.bytes.capacity() - len;
        let used = if spare < BUSY_READ / 2 && missing > spare {
            len + self.growth(BUSY_READ, missing)
        } else {
            self.allocation.min(len.saturating_add(missing))
        };
        used.min(len + len.max(AHEAD))
    }

    fn grow(&mut self, base: usize, missing: usize) {
        let len = self.bytes.len();
        let more = match len >= base / 2 {
            true => self.growth(base, missing),
            // Moves the rest to the front, if no split-off part is in use any more.
            false => base - len,
        };
        if self.bytes.try_reclaim(more) {
            return;
        }
        if base > BUSY_READ && len + more <= LARGE_ALLOCATION {
            // Exactly: `reserve` might make it one for large frames.
            self.replace(len + more);
        } else {
            self.bytes.reserve(more);
            self.allocation = self.bytes.capacity();
        }
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

    /// Frees memory; called when there is nothing to read for now. `keep`: but no large allocation.
    pub(crate) fn release(&mut self, keep: bool) {
        if keep && self.is_large() {
            return;
        }
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

    /// Frees a large allocation that was not needed since the last call, unless a frame is arriving in it.
    pub(crate) fn free_unneeded(&mut self) {
        if !std::mem::take(&mut self.needed) && self.bytes.is_empty() && self.is_large() {
            self.release(false);
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
