//! Reads and writes a user's message in CBOR as a serde type usually is there: definite lengths, no tags, 64-bit integers.
//!
//! In: the bytes of one message. Out: the message; or nothing, then ciborium is to read it, which knows all of CBOR and
//! says what is wrong. And the other way round. What is read here is what ciborium reads, and the bytes that are written
//! are those that it writes. Touches nothing.
//!
//! Texts and bytes are borrowed, and headers are read without a reader in between: 64 bytes cost half of ciborium's time,
//! and 64 KiB are copied once instead of three times.

mod deserializer;
mod items;
mod serializer;

use std::{
    any::{Any, TypeId},
    fmt,
};

use bytes::{Bytes, BytesMut};
use serde::{
    de::{self, Deserialize},
    ser::{self, Serialize},
};

use self::{items::Items, serializer::Writer};

/// How deeply a message may be nested.
const MAX_DEPTH: u8 = 128;

/// The message, if it is as usual and nothing follows it.
#[inline]
pub(crate) fn read<'de, M: Deserialize<'de>>(data: &'de [u8]) -> Option<M> {
    let mut reader = Reader {
        rest: data,
        depth: MAX_DEPTH,
    };
    let message = M::deserialize(&mut reader).ok()?;
    reader.rest.is_empty().then_some(message)
}

/// Writes the message behind what is in `block`, which may hold a part of it after an error.
#[inline]
pub(crate) fn write<M: Serialize>(message: &M, block: &mut BytesMut) -> Result<(), NotWritten> {
    let before = block.len();
    match message.serialize(&mut Writer(block)) {
        Err(NotWritten::Unusual) => {
            block.truncate(before);
            Writer(block).rare(message)
        }
        written => written,
    }
}

/// From this size on, bytes, a message keeps the memory that it was read into, which is seldom more than twice as much.
const LARGE: usize = 32 << 10;

/// A large message, if it is [`Bytes`]: the part of `whole` that it stands in, without a copy.
pub(crate) fn part<M: 'static>(data: &[u8], whole: &Bytes) -> Option<M> {
    if data.len() < LARGE || TypeId::of::<M>() != TypeId::of::<Bytes>() {
        return None;
    }
    let mut reader = Reader {
        rest: data,
        depth: MAX_DEPTH,
    };
    match reader.head().ok()? {
        Head::Bytes(len) if len == reader.rest.len() as u64 => {}
        _ => return None,
    }
    let mut bytes = Some(whole.slice_ref(reader.rest));
    let bytes: &mut dyn Any = &mut bytes;
    bytes.downcast_mut::<Option<M>>()?.take()
}

/// It is not as usual, or no such message.
#[derive(Debug)]
struct Unusual;

impl fmt::Display for Unusual {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not the usual form of a message")
    }
}

impl std::error::Error for Unusual {}

impl de::Error for Unusual {
    // It is not shown: ciborium says why.
    fn custom<T: fmt::Display>(_: T) -> Self {
        Self
    }
}

/// Why a message is not written.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum NotWritten {
    /// It has a tag.
    Unusual,
    /// Its `Serialize` says so.
    Failed(String),
}

impl fmt::Display for NotWritten {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unusual => f.write_str("not the usual form of a message"),
            Self::Failed(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for NotWritten {}

impl ser::Error for NotWritten {
    fn custom<T: fmt::Display>(why: T) -> Self {
        Self::Failed(why.to_string())
    }
}

/// The head of an item.
#[derive(Debug, Clone, Copy)]
enum Head {
    Unsigned(u64),
    /// -1 - n.
    Negative(u64),
    Bytes(u64),
    Text(u64),
    Array(u64),
    Map(u64),
    Bool(bool),
    Nothing,
    Float(f64),
}

/// A float of 16 bits; not of what is no number, of which there are many.
fn half(bits: u16) -> Option<f64> {
    let (exponent, fraction) = (i32::from(bits >> 10 & 31), f64::from(bits & 0x3ff));
    let size = match exponent {
        0 => fraction * 2_f64.powi(-24),
        31 if fraction == 0.0 => f64::INFINITY,
        31 => return None,
        _ => (1024.0 + fraction) * 2_f64.powi(exponent - 25),
    };
    Some(if bits >> 15 == 0 { size } else { -size })
}

#[inline]
fn utf8(text: &[u8]) -> Result<&str, Unusual> {
    std::str::from_utf8(text).map_err(|_| Unusual)
}

struct Reader<'de> {
    rest: &'de [u8],
    depth: u8,
}

impl<'de> Reader<'de> {
    #[inline]
    fn take(&mut self, count: u64) -> Result<&'de [u8], Unusual> {
        let count = usize::try_from(count).map_err(|_| Unusual)?;
        let (taken, rest) = self.rest.split_at_checked(count).ok_or(Unusual)?;
        self.rest = rest;
        Ok(taken)
    }

    #[inline]
    fn chunk<const N: usize>(&mut self) -> Result<[u8; N], Unusual> {
        let (chunk, rest) = self.rest.split_first_chunk().ok_or(Unusual)?;
        self.rest = rest;
        Ok(*chunk)
    }

    #[inline]
    fn head(&mut self) -> Result<Head, Unusual> {
        let [first] = self.chunk()?;
        let (major, info) = (first >> 5, first & 31);
        if major == 7 {
            return Ok(match info {
                20 => Head::Bool(false),
                21 => Head::Bool(true),
                22 | 23 => Head::Nothing,
                25 => Head::Float(half(u16::from_be_bytes(self.chunk()?)).ok_or(Unusual)?),
                26 => Head::Float(f32::from_be_bytes(self.chunk()?).into()),
                27 => Head::Float(f64::from_be_bytes(self.chunk()?)),
                _ => return Err(Unusual),
            });
        }
        let value = match info {
            0..24 => u64::from(info),
            24 => u8::from_be_bytes(self.chunk()?).into(),
            25 => u16::from_be_bytes(self.chunk()?).into(),
            26 => u32::from_be_bytes(self.chunk()?).into(),
            27 => u64::from_be_bytes(self.chunk()?),
            _ => return Err(Unusual),
        };
        Ok(match major {
            0 => Head::Unsigned(value),
            1 => Head::Negative(value),
            2 => Head::Bytes(value),
            3 => Head::Text(value),
            4 => Head::Array(value),
            5 => Head::Map(value),
            _ => return Err(Unusual),
        })
    }

    /// What a byte string (2) or a text (3) says, if its head has one or two bytes, as that of most.
    #[inline]
    fn short(&mut self, major: u8) -> Option<&'de [u8]> {
        let (len, after) = match *self.rest {
            [head, ref after @ ..] if head >> 5 == major && head & 31 < 24 => (head & 31, after),
            [head, len, ref after @ ..] if head == (major << 5 | 24) => (len, after),
            _ => return None,
        };
        let (said, after) = after.split_at_checked(len.into())?;
        self.rest = after;
        Some(said)
    }

    #[inline]
    fn text(&mut self, len: u64) -> Result<&'de str, Unusual> {
        utf8(self.take(len)?)
    }

    /// Goes into an item of so many items.
    #[inline]
    fn inside<T>(
        &mut self,
        items: u64,
        read: impl FnOnce(Items<'_, 'de>) -> Result<T, Unusual>,
    ) -> Result<T, Unusual> {
        self.depth = self.depth.checked_sub(1).ok_or(Unusual)?;
        let inside = read(Items {
            reader: self,
            left: items,
        })?;
        self.depth += 1;
        Ok(inside)
    }

    fn signed(&mut self) -> Result<i64, Unusual> {
        match self.head()? {
            Head::Unsigned(value) => i64::try_from(value).map_err(|_| Unusual),
            Head::Negative(value) => i64::try_from(value)
                .map(|value| !value)
                .map_err(|_| Unusual),
            _ => Err(Unusual),
        }
    }
}

#[cfg(test)]
mod tests;
