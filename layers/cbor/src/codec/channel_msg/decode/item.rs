//! One CBOR item.
//!
//! In: bytes and an offset. Out: the item there, and the offset after it. Touches nothing.
//!
//! Accepts only the subset of wire section 5. A length is compared with the bytes left before it is used.

use std::ops::Range;

use kyneta_uds_core::Rejection;

/// An item. Texts and byte strings are ranges of the payload; arrays and maps have the offset of their first
/// element.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Item {
    /// Any number that a JavaScript number represents exactly.
    Number(f64),
    /// An integer with an argument over 2^53 - 1: in JavaScript a BigInt, which is not a number.
    BigInt,
    Bytes(Range<usize>),
    Text(Range<usize>),
    Array {
        len: usize,
        at: usize,
    },
    /// `len` counts pairs.
    Map {
        len: usize,
        at: usize,
    },
    Bool(bool),
    Null,
    Undefined,
}

const MAX_SAFE: u64 = (1 << 53) - 1;

/// Reads the item at `at`; returns it and the offset of the next one: after a text or byte string, at the first
/// element of an array or map.
pub(super) fn read(bytes: &[u8], at: usize) -> Result<(Item, usize), Rejection> {
    let fault = |what: &'static str| Rejection::Decode {
        what: what.into(),
        at,
    };
    let rest = bytes.get(at..).unwrap_or_default();
    let Some((&first, rest)) = rest.split_first() else {
        return Err(fault("the payload ends where an item is due"));
    };
    if first >> 5 == 7 {
        let (item, len) = simple(first, rest).map_err(fault)?;
        return Ok((item, at + 1 + len));
    }
    let (number, len) = argument(first, rest).map_err(fault)?;
    let next = at + 1 + len;
    let left = bytes.len().saturating_sub(next);
    // Each element has at least one byte, so a count over the bytes left is always wrong.
    let count = |each: usize| {
        let count = usize::try_from(number)
            .ok()
            .filter(|count| *count <= left / each);
        count.ok_or_else(|| fault("a length goes beyond the payload"))
    };
    Ok(match first >> 5 {
        0 if number <= MAX_SAFE => (Item::Number(number as f64), next),
        // Down to -2^53, whose argument is 2^53 - 1: a number in the reference, too.
        1 if number <= MAX_SAFE => (Item::Number(-1.0 - number as f64), next),
        0 | 1 => (Item::BigInt, next),
        2 => {
            let end = next + count(1)?;
            (Item::Bytes(next..end), end)
        }
        3 => {
            let end = next + count(1)?;
            (Item::Text(next..end), end)
        }
        4 => (
            Item::Array {
                len: count(1)?,
                at: next,
            },
            next,
        ),
        5 => (
            Item::Map {
                len: count(2)?,
                at: next,
            },
            next,
        ),
        _ => return Err(fault("a tag")),
    })
}

/// The number in an item's head, and its length after the first byte.
fn argument(first: u8, rest: &[u8]) -> Result<(u64, usize), &'static str> {
    const CUT: &str = "the payload ends within a number or length";
    let (number, len) = match first & 0x1f {
        short @ 0..24 => return Ok((u64::from(short), 0)),
        24 => (
            rest.first_chunk().map(|b| u64::from(u8::from_be_bytes(*b))),
            1,
        ),
        25 => (
            rest.first_chunk()
                .map(|b| u64::from(u16::from_be_bytes(*b))),
            2,
        ),
        26 => (
            rest.first_chunk()
                .map(|b| u64::from(u32::from_be_bytes(*b))),
            4,
        ),
        27 => (rest.first_chunk().map(|b| u64::from_be_bytes(*b)), 8),
        31 => return Err("an indefinite length"),
        _ => return Err("a reserved head"),
    };
    match number {
        None => Err(CUT),
        Some(0..24) => Err("a number or length below 24 in a long form"),
        Some(number) => Ok((number, len)),
    }
}

fn simple(first: u8, rest: &[u8]) -> Result<(Item, usize), &'static str> {
    const CUT: &str = "the payload ends within a float";
    Ok(match first {
        0xf4 => (Item::Bool(false), 0),
        0xf5 => (Item::Bool(true), 0),
        0xf6 => (Item::Null, 0),
        0xf7 => (Item::Undefined, 0),
        0xf9 => match rest.first_chunk().ok_or(CUT)? {
            [0x7c, 0x00] => (Item::Number(f64::INFINITY), 2),
            [0xfc, 0x00] => (Item::Number(f64::NEG_INFINITY), 2),
            [0x7e, 0x00] => (Item::Number(f64::NAN), 2),
            _ => return Err("a half float that is neither an infinity nor NaN"),
        },
        0xfa => {
            let float = f32::from_be_bytes(*rest.first_chunk().ok_or(CUT)?);
            (Item::Number(f64::from(float)), 4)
        }
        0xfb => (
            Item::Number(f64::from_be_bytes(*rest.first_chunk().ok_or(CUT)?)),
            8,
        ),
        _ => return Err("a simple value other than false, true, null and undefined"),
    })
}

/// The offset after the item at `at`, however deeply nested. The payload has been checked.
pub(super) fn skip(bytes: &[u8], mut at: usize) -> Result<usize, Rejection> {
    let mut due = 1_usize;
    while due > 0 {
        let (item, next) = read(bytes, at)?;
        at = next;
        due -= 1;
        due += match item {
            Item::Array { len, .. } => len,
            Item::Map { len, .. } => 2 * len,
            _ => 0,
        };
    }
    Ok(at)
}

/// The range of a text without one leading byte order mark, as the reference reads it.
#[inline]
pub(super) fn without_bom(bytes: &[u8], range: Range<usize>) -> Range<usize> {
    let text = bytes.get(range.clone()).unwrap_or_default();
    if text.starts_with(b"\xef\xbb\xbf") {
        range.start + 3..range.end
    } else {
        range
    }
}
