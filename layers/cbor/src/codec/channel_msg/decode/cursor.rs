//! A position in a payload, for [`fast`](super::fast). Each method takes what it expects, or returns `None`.
//!
//! In: a payload. Out: items at the front of what is left, as ranges of the payload. After a `None` its position
//! means nothing. Pure.

use std::str::from_utf8;

use bytes::Bytes;
use bytestring::ByteString;
use kyneta_uds_core::{BoundedStr, Payload};

pub(super) const BYTES: u8 = 2;
pub(super) const TEXT: u8 = 3;

/// The rest of a payload.
pub(super) struct Cursor<'a> {
    /// The buffer that the payload is a range of.
    buffer: &'a Bytes,
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    #[inline(always)]
    pub(super) fn new(payload: &Payload<'a>) -> Self {
        Self {
            buffer: payload.buffer(),
            rest: payload.as_slice(),
        }
    }

    #[inline]
    pub(super) fn end(&self) -> Option<()> {
        self.rest.is_empty().then_some(())
    }

    #[inline]
    pub(super) fn byte(&mut self) -> Option<u8> {
        let (byte, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(*byte)
    }

    #[inline]
    pub(super) fn chunk<const N: usize>(&mut self) -> Option<&'a [u8; N]> {
        let (chunk, rest) = self.rest.split_first_chunk()?;
        self.rest = rest;
        Some(chunk)
    }

    /// Takes `bytes` if they come next.
    #[inline]
    pub(super) fn eat<const N: usize>(&mut self, bytes: &[u8; N]) -> bool {
        match self.rest.split_first_chunk::<N>() {
            Some((chunk, rest)) if chunk == bytes => {
                self.rest = rest;
                true
            }
            _ => false,
        }
    }

    /// The major type and number of an item's head.
    #[inline(always)]
    pub(super) fn head(&mut self) -> Option<(u8, u64)> {
        let first = self.byte()?;
        let number = match first & 0x1f {
            short @ 0..24 => return Some((first >> 5, u64::from(short))),
            24 => u64::from(self.byte()?),
            25 => u64::from(u16::from_be_bytes(*self.chunk()?)),
            26 => u64::from(u32::from_be_bytes(*self.chunk()?)),
            _ => return None,
        };
        (number >= 24).then_some((first >> 5, number))
    }

    #[inline]
    pub(super) fn uint(&mut self) -> Option<u64> {
        self.head()
            .and_then(|(major, number)| (major == 0).then_some(number))
    }

    /// A non-negative integer, as all senders write.
    #[inline]
    pub(super) fn number(&mut self) -> Option<f64> {
        self.uint().map(|number| number as f64)
    }

    pub(super) fn array(&mut self) -> Option<usize> {
        let (major, len) = self.head()?;
        (major == 4).then_some(())?;
        usize::try_from(len).ok()
    }

    #[inline]
    pub(super) fn boolean(&mut self) -> Option<bool> {
        match self.byte()? {
            0xf4 => Some(false),
            0xf5 => Some(true),
            _ => None,
        }
    }

    #[inline]
    pub(super) fn take(&mut self, len: u64) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(usize::try_from(len).ok()?)?;
        self.rest = rest;
        Some(taken)
    }

    /// The next `len` bytes, as a range of the read buffer.
    #[inline(always)]
    pub(super) fn bytes(&mut self, len: u64) -> Option<Bytes> {
        let taken = self.take(len)?;
        Some(self.buffer.slice_ref(taken))
    }

    #[inline(always)]
    pub(super) fn byte_string(&mut self, len: u64) -> Option<ByteString> {
        (!self.rest.starts_with(b"\xef\xbb\xbf")).then_some(())?;
        ByteString::try_from(self.bytes(len)?).ok()
    }

    #[inline(always)]
    pub(super) fn bounded_str<const MAX: usize>(&mut self) -> Option<BoundedStr<MAX>> {
        let (major, len) = self.head()?;
        (major == TEXT).then_some(())?;
        if len <= BoundedStr::<MAX>::SHORT as u64 {
            BoundedStr::new(self.str(len)?).ok()
        } else {
            BoundedStr::new(self.byte_string(len)?).ok()
        }
    }

    #[inline(always)]
    pub(super) fn text(&mut self) -> Option<&'a str> {
        let (major, len) = self.head()?;
        (major == TEXT).then_some(())?;
        self.str(len)
    }

    #[inline(always)]
    pub(super) fn str(&mut self, len: u64) -> Option<&'a str> {
        from_utf8(self.unmarked(len)?).ok()
    }

    /// A text whose UTF-8 is not checked.
    #[inline(always)]
    pub(super) fn text_bytes(&mut self) -> Option<&'a [u8]> {
        let (major, len) = self.head()?;
        (major == TEXT).then_some(())?;
        self.unmarked(len)
    }

    /// `general` removes a byte order mark.
    #[inline(always)]
    fn unmarked(&mut self, len: u64) -> Option<&'a [u8]> {
        (!self.rest.starts_with(b"\xef\xbb\xbf")).then_some(())?;
        self.take(len)
    }
}
