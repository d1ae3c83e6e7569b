//! The write buffer: small writes are copied together, large payloads are attached untouched.
//!
//! In: frames, part by part. Out: slices for one `writev`. Pure: it never writes anything itself.
//!
//! Layout: `small` holds every copied byte in order; `attached` says at which of them a large
//! payload belongs. Copying small ones beats `writev` of many slices by four times (a 64-byte
//! message each its own slice: 14 M/s, copied: 54 M/s), attaching beats copying from some 16 KiB on.

use std::{collections::VecDeque, fmt, io::IoSlice};

use bytes::{Buf, Bytes};

/// From this many bytes on a payload is attached, not copied.
const ATTACH: usize = 16 << 10;

/// What an emptied buffer keeps while its connection is busy, bytes.
const RETAIN_BUSY: usize = 128 << 10;

/// What [`WriteBuf::release`] keeps, bytes: a request and its answer need no allocation.
const RETAIN_IDLE: usize = 1 << 10;

/// The most that a buffer which was busy takes at once instead of growing into it, bytes: what is
/// gathered before it is written, and the message that exceeds it.
const FIRST: usize = 80 << 10;

/// Bytes on their way to the kernel.
///
/// ```
/// use bytes::Bytes;
/// use kyneta_uds_core::WriteBuf;
///
/// let mut buf = WriteBuf::default();
/// buf.writer().put_slice(&[9, 9]);
/// buf.writer().put_bytes(&Bytes::from_static(b"hi"));
/// assert_eq!(buf.len(), 4);
/// ```
#[derive(Default)]
pub struct WriteBuf {
    small: Vec<u8>,
    /// How many of `small` are written.
    sent: usize,
    /// Large payloads, and how many bytes stand before each in `small`, counted from `base`.
    attached: VecDeque<(u64, Bytes)>,
    attached_len: usize,
    /// How many bytes have been cut off the front of `small`: positions stay valid without being
    /// rewritten.
    base: u64,
    /// The most copied bytes that it has held since the last release.
    most: usize,
    /// How large the buffer was that the last release gave back, up to `FIRST`.
    released: usize,
}

impl fmt::Debug for WriteBuf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WriteBuf")
            .field("len", &self.len())
            .field("attached", &self.attached.len())
            .field("capacity", &self.small.capacity())
            .finish()
    }
}

impl WriteBuf {
    /// Bytes not yet written.
    #[inline]
    pub fn len(&self) -> usize {
        self.small.len() - self.sent + self.attached_len
    }

    /// True when all is written.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of memory held for copied writes; attached payloads are not counted.
    #[inline]
    pub fn capacity(&self) -> usize {
        self.small.capacity()
    }

    /// Marks the present end, to come back to with [`rewind`](Self::rewind).
    #[inline]
    pub fn mark(&self) -> Mark {
        Mark {
            small: self.small.len(),
            attached: self.attached.len(),
            len: self.len(),
        }
    }

    /// Forgets all that was appended since `mark`. Nothing may have been written in between.
    pub fn rewind(&mut self, mark: Mark) {
        self.small.truncate(mark.small);
        while self.attached.len() > mark.attached {
            if let Some((_, bytes)) = self.attached.pop_back() {
                self.attached_len -= bytes.len();
            }
        }
        if self.is_empty() {
            self.reset();
        }
    }

    /// Bytes appended since `mark`.
    #[inline]
    pub fn len_since(&self, mark: Mark) -> usize {
        self.len() - mark.len
    }

    /// Overwrites copied bytes, from `offset` bytes after `mark` on. Bytes beyond the end are dropped.
    #[inline]
    pub fn patch(&mut self, mark: Mark, offset: usize, bytes: &[u8]) {
        let start = mark.small + offset;
        if let Some(target) = self.small.get_mut(start..start + bytes.len()) {
            target.copy_from_slice(bytes);
        }
    }

    /// A writer of one payload.
    #[inline]
    pub fn writer(&mut self) -> PayloadWriter<'_> {
        if self.released > 0 {
            self.take_room();
        }
        PayloadWriter { buf: self }
    }

    /// Fills `slices` with what is to be written next; returns how many were filled.
    pub fn slices<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let mut from = self.sent;
        let mut filled = 0;
        let mut put = |bytes: &'a [u8]| match slices.get_mut(filled) {
            _ if bytes.is_empty() => true,
            Some(slot) => {
                *slot = IoSlice::new(bytes);
                filled += 1;
                true
            }
            None => false,
        };
        for (at, bytes) in &self.attached {
            let at = self.index(*at);
            if !put(self.small.get(from..at).unwrap_or_default()) || !put(bytes) {
                return filled;
            }
            from = at;
        }
        put(self.small.get(from..).unwrap_or_default());
        filled
    }

    /// The first contiguous run of bytes; empty when all is written.
    #[inline]
    pub fn front(&self) -> &[u8] {
        let end = match self.attached.front() {
            None => self.small.len(),
            Some((at, bytes)) => match self.index(*at) {
                at if at == self.sent => return bytes,
                at => at,
            },
        };
        self.small.get(self.sent..end).unwrap_or_default()
    }

    /// True when one slice says it all.
    #[inline]
    pub fn is_contiguous(&self) -> bool {
        self.attached.is_empty()
    }

    /// Drops `n` written bytes from the front, and the memory of an emptied buffer that has grown
    /// large.
    pub fn advance(&mut self, mut n: usize) {
        while let Some((at, _)) = self.attached.front() {
            let before = self.index(*at) - self.sent;
            if n < before {
                break;
            }
            self.sent += before;
            n -= before;
            let Some((_, bytes)) = self.attached.front_mut() else {
                break;
            };
            let taken = n.min(bytes.len());
            bytes.advance(taken);
            self.attached_len -= taken;
            n -= taken;
            if !bytes.is_empty() {
                return;
            }
            self.attached.pop_front();
        }
        self.sent = (self.sent + n).min(self.small.len());
        if self.is_empty() {
            self.reset();
        } else if self.sent >= FIRST && self.sent >= self.small.len() / 2 {
            // A buffer that never runs empty would otherwise keep all it has ever sent.
            self.small.drain(..self.sent);
            self.base += self.sent as u64;
            self.sent = 0;
        }
    }

    /// Gives memory back, but for a kibibyte at most: for a connection that has come to rest. Only
    /// an empty buffer does.
    pub fn release(&mut self) {
        if !self.is_empty() {
            return;
        }
        if self.small.capacity() > RETAIN_IDLE {
            self.released = self.most.min(FIRST);
            self.small = Vec::new();
        }
        self.most = 0;
        self.attached = VecDeque::new();
    }

    /// Starts over at the front; an emptied buffer only.
    fn reset(&mut self) {
        self.base += self.small.len() as u64;
        self.most = self.most.max(self.small.len());
        self.sent = 0;
        if self.small.capacity() > RETAIN_BUSY {
            self.small = Vec::new();
        } else {
            self.small.clear();
        }
    }

    /// After a release: what has grown will grow again, so it takes as much room in one go.
    #[cold]
    fn take_room(&mut self) {
        self.small.reserve(self.released);
        self.released = 0;
    }

    /// Where in `small` an attached payload's position is.
    #[inline]
    fn index(&self, at: u64) -> usize {
        (at - self.base) as usize
    }
}

/// A place in a [`WriteBuf`], valid until bytes are written from it.
#[derive(Debug, Clone, Copy)]
pub struct Mark {
    small: usize,
    attached: usize,
    len: usize,
}

/// Writes one payload into a lent [`WriteBuf`].
#[derive(Debug)]
pub struct PayloadWriter<'a> {
    buf: &'a mut WriteBuf,
}

impl PayloadWriter<'_> {
    /// One byte.
    #[inline]
    pub fn put_u8(&mut self, byte: u8) {
        self.buf.small.push(byte);
    }

    /// Bytes, copied.
    #[inline]
    pub fn put_slice(&mut self, bytes: &[u8]) {
        self.buf.small.extend_from_slice(bytes);
    }

    /// Bytes, attached without a copy when they are large (16 KiB).
    #[inline]
    pub fn put_bytes(&mut self, bytes: &Bytes) {
        if bytes.len() < ATTACH {
            self.put_slice(bytes);
        } else {
            self.attach(bytes.clone());
        }
    }

    fn attach(&mut self, bytes: Bytes) {
        let at = self.buf.base + self.buf.small.len() as u64;
        self.buf.attached_len += bytes.len();
        self.buf.attached.push_back((at, bytes));
    }
}

impl std::io::Write for PayloadWriter<'_> {
    #[inline]
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.put_slice(bytes);
        Ok(bytes.len())
    }

    #[inline]
    fn write_all(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.put_slice(bytes);
        Ok(())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn large(byte: u8) -> Bytes {
        Bytes::from(vec![byte; ATTACH])
    }

    /// All that is to be written, as `slices` tells it in steps of `at_once`.
    fn drain(buf: &mut WriteBuf, at_once: usize, step: usize) -> Vec<u8> {
        let mut out = Vec::new();
        while !buf.is_empty() {
            let mut slices = vec![IoSlice::new(&[]); at_once];
            let filled = buf.slices(&mut slices);
            assert!(filled > 0);
            assert_eq!(slices[0].as_ptr(), buf.front().as_ptr());
            let mut n = 0;
            for slice in &slices[..filled] {
                let part = &slice[..slice.len().min(step - n)];
                out.extend_from_slice(part);
                n += part.len();
            }
            buf.advance(n);
        }
        out
    }

    /// small, large, large, small, small, large; and the same bytes in one row.
    fn mixed() -> (WriteBuf, Vec<u8>) {
        let (mut buf, mut want) = (WriteBuf::default(), Vec::new());
        for (i, part) in [3, ATTACH, ATTACH, 5, 7, ATTACH].into_iter().enumerate() {
            let bytes = Bytes::from(vec![i as u8; part]);
            buf.writer().put_bytes(&bytes);
            want.extend_from_slice(&bytes);
        }
        (buf, want)
    }

    #[test]
    fn every_way_of_writing_gives_the_same_bytes() {
        for at_once in [1, 2, 3, 16] {
            for step in [1, 2, 3, 4, 100, ATTACH - 1, ATTACH, ATTACH + 3, usize::MAX] {
                if cfg!(miri) && step < 100 {
                    // Byte by byte it takes Miri too long.
                    continue;
                }
                let (mut buf, want) = mixed();
                assert_eq!(buf.len(), want.len());
                assert!(
                    drain(&mut buf, at_once, step) == want,
                    "{at_once} slices, {step} bytes"
                );
                assert_eq!((buf.len(), buf.front()), (0, &[][..]));
            }
        }
    }

    #[test]
    fn large_payloads_are_attached_and_small_ones_copied() {
        let (below, at) = (Bytes::from(vec![1; ATTACH - 1]), large(2));
        let mut buf = WriteBuf::default();
        buf.writer().put_bytes(&below);
        assert!(buf.is_contiguous());
        buf.writer().put_bytes(&at);
        let mut slices = [IoSlice::new(&[]); 3];
        assert_eq!(buf.slices(&mut slices), 2);
        assert_ne!(slices[0].as_ptr(), below.as_ptr());
        assert_eq!(slices[1].as_ptr(), at.as_ptr());
    }

    #[test]
    fn rewind_forgets_and_patch_overwrites() {
        let mut buf = WriteBuf::default();
        buf.writer().put_slice(b"head");
        buf.writer().put_bytes(&large(1));
        let mark = buf.mark();
        buf.writer().put_slice(b"gone");
        buf.writer().put_bytes(&large(2));
        buf.writer().put_u8(9);
        assert_eq!(buf.len_since(mark), 4 + ATTACH + 1);
        buf.rewind(mark);
        assert_eq!(buf.len_since(mark), 0);
        buf.writer().put_slice(b"abcd");
        buf.writer().put_slice(b"ef");
        buf.patch(mark, 1, b"BC");
        buf.patch(mark, 5, b"too long");
        let mut want = [b"head", &large(1)[..]].concat();
        want.extend_from_slice(b"aBCdef");
        assert!(drain(&mut buf, 4, usize::MAX) == want);
    }

    #[test]
    fn a_buffer_that_never_runs_empty_stays_small() {
        let mut buf = WriteBuf::default();
        buf.writer().put_slice(&[0; 1000]);
        let (mut sent, mut appended) = (0u64, 1000u64);
        // Miri takes a thousand times as long.
        for round in 0..if cfg!(miri) { 200 } else { 10_000u64 } {
            buf.writer().put_slice(&[0; 1000]);
            appended += 1000;
            if round % 100 == 0 {
                buf.writer().put_bytes(&large(1));
                appended += ATTACH as u64;
            }
            let n = buf.len() - 500;
            buf.advance(n);
            sent += n as u64;
            assert_eq!(buf.len() as u64, appended - sent);
        }
        assert!(buf.capacity() <= 4 * FIRST, "{} bytes", buf.capacity());
    }

    #[test]
    fn memory_is_given_back() {
        let mut buf = WriteBuf::default();
        buf.writer().put_slice(&[0; 100]);
        buf.release();
        assert_eq!(buf.len(), 100, "only an empty buffer gives memory back");
        buf.advance(100);
        buf.release();
        assert!(
            (100..=RETAIN_IDLE).contains(&buf.capacity()),
            "a little is kept at rest"
        );

        buf.writer().put_slice(&[0; RETAIN_BUSY]);
        buf.advance(RETAIN_BUSY);
        assert!(buf.capacity() >= RETAIN_BUSY, "a busy one keeps more");
        buf.release();
        assert_eq!(buf.capacity(), 0);
        buf.writer().put_u8(1);
        assert!(buf.capacity() >= FIRST, "and takes it back at once");
        buf.advance(1);
        buf.release();
        buf.writer().put_u8(1);
        assert!(buf.capacity() <= RETAIN_IDLE, "but once");
        buf.advance(1);

        buf.writer().put_slice(&[0; RETAIN_BUSY + 1]);
        buf.advance(RETAIN_BUSY + 1);
        assert_eq!(buf.capacity(), 0, "no one keeps a lot");

        let mark = buf.mark();
        buf.writer().put_slice(&[0; RETAIN_BUSY + 1]);
        buf.rewind(mark);
        assert_eq!(buf.capacity(), 0, "nor what a refused message had grown");
    }

    #[test]
    fn writing_more_than_there_is_is_cut() {
        let (mut buf, _) = mixed();
        buf.advance(usize::MAX / 2);
        assert!(buf.is_empty() && buf.is_contiguous());
        buf.advance(1);
        assert!(buf.is_empty());
    }
}
