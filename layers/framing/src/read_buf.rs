//! The read buffer's memory: how much room there is for the next read, and when it is given back.
//!
//! In: bytes, appended to [`buf`](ReadBuffer::buf). Out: [`Bytes`] split off the front. Pure.
//!
//! Rooms of 64 KiB are what a busy connection wants (reads of 4 KiB: 40 M small messages a second,
//! 16 KiB: 47, 64 KiB: 53, 256 KiB: 60), and what an idle one must not hold. So a connection whose
//! last burst was small waits with a kibibyte or half of one, which is enough for a request and its
//! answer without an allocation, and one whose last burst was large with nothing at all.

use bytes::{Buf, Bytes, BytesMut};

/// The room for a read on a busy connection, bytes.
pub(crate) const BUSY: usize = 64 << 10;

/// The room for a read on a quiet connection, and what one at rest may hold, bytes.
pub(crate) const QUIET: usize = 1 << 10;

/// A burst after which half of that will do, bytes.
const SMALL: usize = QUIET / 4;

/// An allocation above this is for large frames alone, bytes: a message that is a range of what was read
/// keeps all of the allocation alive.
pub(crate) const LARGE: usize = 2 * BUSY;

/// The most room that is made in one go for a frame as large as one that has arrived before, bytes.
const RETAIN: usize = 4 << 20;

/// Bytes that have arrived and are not yet handed out.
#[derive(Debug)]
pub(crate) struct ReadBuffer {
    bytes: BytesMut,
    /// The size of the allocation behind `bytes`, at least.
    backing: usize,
    /// Bytes handed out since the connection last rested.
    taken: usize,
    /// The burst before the last rest was small.
    quiet: bool,
    /// The most handed out at once, ever, up to `RETAIN`.
    proven: usize,
}

impl ReadBuffer {
    pub(crate) fn new() -> Self {
        Self {
            bytes: BytesMut::new(),
            backing: 0,
            taken: 0,
            quiet: true,
            proven: 0,
        }
    }

    #[inline]
    pub(crate) fn as_slice(&self) -> &[u8] {
        &self.bytes
    }

    /// Copies in.
    pub(crate) fn extend(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        self.backing = self.backing.max(self.bytes.capacity());
    }

    /// Hands out the front: without a copy, unless that would keep more than twice its size alive.
    #[inline]
    pub(crate) fn take(&mut self, n: usize) -> Bytes {
        self.taken += n;
        self.proven = self.proven.max(n.min(RETAIN));
        if self.backing > LARGE && n < self.backing / 2 {
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

    /// Drops the front; at most what there is. Returns how much that was.
    pub(crate) fn skip(&mut self, n: usize) -> usize {
        let n = n.min(self.bytes.len());
        self.bytes.advance(n);
        self.taken += n;
        n
    }

    /// Makes room for the next read behind what is there, in [`buf`](Self::buf). `missing` is what the
    /// frame at the front lacks, by its header's word, 0 if that is not known: it only ever makes the
    /// room smaller.
    #[inline]
    pub(crate) fn room(&mut self, missing: usize) {
        let len = self.bytes.len();
        let spare = self.bytes.capacity() - len;
        if self.quiet && self.taken + len < QUIET {
            let base = if self.backing <= QUIET / 2 && self.taken + len <= SMALL {
                QUIET / 2
            } else {
                QUIET
            };
            // Room for a whole small burst each time, so that it takes one read and no more.
            if spare < base - len && !self.bytes.try_reclaim(base - len) && spare < base / 2 {
                self.make_room(base, missing);
            }
        } else if self.backing > LARGE && len.saturating_add(missing) < self.backing / 2 {
            // What arrives now is small: it gets an allocation of its size.
            self.replace(len + BUSY);
        } else if spare < BUSY / 2 {
            self.make_room(BUSY, missing);
        }
    }

    /// What is there, to append to.
    #[inline]
    pub(crate) fn buf(&mut self) -> &mut BytesMut {
        &mut self.bytes
    }

    /// The size of the allocation, at least.
    #[inline]
    pub(crate) const fn backing(&self) -> usize {
        self.backing
    }

    /// How much of the allocation is used once [`room`](Self::room) has been made for a large frame that
    /// is arriving. What doubling has allocated beyond the frame is not touched.
    pub(crate) fn used_for(&self, missing: usize) -> usize {
        let len = self.bytes.len();
        if self.bytes.capacity() - len < BUSY / 2 {
            len + self.growth(BUSY, missing)
        } else {
            self.backing.min(len.saturating_add(missing))
        }
    }

    fn make_room(&mut self, base: usize, missing: usize) {
        let len = self.bytes.len();
        if len >= base / 2 {
            self.bytes.reserve(self.growth(base, missing));
        } else {
            // Moves the tail to the front when nobody holds what was handed out.
            self.bytes.reserve(base - len);
        }
        self.backing = self.backing.max(self.bytes.capacity());
    }

    /// By how much to grow when a large frame is arriving: double. What has grown as large before does
    /// it in one go.
    fn growth(&self, base: usize, missing: usize) -> usize {
        self.bytes.len().max(self.proven).min(missing).max(base)
    }

    /// Gives memory back: called when nothing more is to be read for now.
    pub(crate) fn rest(&mut self) {
        let len = self.bytes.len();
        let burst = std::mem::take(&mut self.taken) + len;
        self.quiet = burst < QUIET;
        let keep = match burst {
            _ if len >= QUIET / 2 => return,
            0..=SMALL => QUIET / 2,
            _ if self.quiet || len > 0 => QUIET,
            _ => 0,
        };
        if self.backing > keep {
            self.replace(keep);
        }
    }

    /// Moves what is there into an allocation of `size`.
    fn replace(&mut self, size: usize) {
        let mut bytes = BytesMut::with_capacity(size);
        bytes.extend_from_slice(&self.bytes);
        self.bytes = bytes;
        self.backing = self.bytes.capacity();
    }

    #[cfg(test)]
    pub(crate) fn held(&self) -> usize {
        self.backing.max(self.bytes.capacity())
    }
}
