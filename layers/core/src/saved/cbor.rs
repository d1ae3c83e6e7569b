//! A saved value as one CBOR map, and back. A part of CBOR (RFC 8949) is enough: definite lengths, text as keys,
//! sorted.
//!
//! In: a value, or bytes. Out: bytes, or a value. Touches nothing.

use bytes::Bytes;

use super::{Fields, LOWEST, Saved, SavedError, SavedValue, VERSION};

const UNSIGNED: u8 = 0;
const BYTES: u8 = 2;
const TEXT: u8 = 3;
const LIST: u8 = 4;
const MAP: u8 = 5;
const FALSE: u8 = 0xf4;
const TRUE: u8 = 0xf5;

const TWICE: &str = "a field that is there twice";
const NOT_UTF_8: &str = "text that is not UTF-8";

/// Lists and parts inside one another.
const MAX_DEPTH: usize = 16;

pub(super) fn encode(saved: &Saved, out: &mut Vec<u8>) {
    head(MAP, saved.fields.len() as u64 + 2, out);
    for (name, number) in [(VERSION, saved.version), (LOWEST, saved.lowest)] {
        text(name, out);
        head(UNSIGNED, number, out);
    }
    for (name, value) in saved.fields.iter() {
        head(TEXT, name.len() as u64, out);
        out.extend_from_slice(name);
        encode_value(value, out);
    }
}

fn encode_value(value: &SavedValue, out: &mut Vec<u8>) {
    match value {
        SavedValue::Number(number) => head(UNSIGNED, *number, out),
        SavedValue::Flag(flag) => out.push(if *flag { TRUE } else { FALSE }),
        SavedValue::Bytes(bytes) => {
            head(BYTES, bytes.len() as u64, out);
            out.extend_from_slice(bytes);
        }
        SavedValue::Text(value) => text(value, out),
        SavedValue::List(list) => {
            head(LIST, list.len() as u64, out);
            list.iter().for_each(|value| encode_value(value, out));
        }
        SavedValue::Part(part) => encode(part, out),
    }
}

fn text(value: &str, out: &mut Vec<u8>) {
    head(TEXT, value.len() as u64, out);
    out.extend_from_slice(value.as_bytes());
}

/// The first bytes of an item: its type and a number, as short as possible.
fn head(kind: u8, number: u64, out: &mut Vec<u8>) {
    let kind = kind << 5;
    let bytes = number.to_be_bytes();
    let (info, width) = match number {
        0..=23 => return out.push(kind | number as u8),
        24..=0xff => (24, 1),
        0x100..=0xffff => (25, 2),
        0x1_0000..=0xffff_ffff => (26, 4),
        _ => (27, 8),
    };
    out.push(kind | info);
    out.extend(bytes.iter().skip(8 - width));
}

pub(super) fn decode(bytes: &[u8]) -> Result<Saved, SavedError> {
    let mut reader = Reader { bytes, at: 0 };
    let saved = reader.first()?;
    if reader.at < bytes.len() {
        return Err(reader.unreadable("bytes behind its end"));
    }
    Ok(saved)
}

pub(super) fn decode_first(bytes: &mut &[u8]) -> Result<Saved, SavedError> {
    let mut reader = Reader { bytes, at: 0 };
    let saved = reader.first()?;
    *bytes = bytes.get(reader.at..).unwrap_or_default();
    Ok(saved)
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn first(&mut self) -> Result<Saved, SavedError> {
        let start = self.byte()?;
        if start >> 5 != MAP {
            return Err(self.unreadable("no map"));
        }
        self.map(start, MAX_DEPTH)
    }

    const fn unreadable(&self, why: &'static str) -> SavedError {
        SavedError::Unreadable { at: self.at, why }
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], SavedError> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let Some(taken) = rest.get(..count) else {
            return Err(self.unreadable("its end, too early"));
        };
        self.at += count;
        Ok(taken)
    }

    fn byte(&mut self) -> Result<u8, SavedError> {
        Ok(self.take(1)?.first().copied().unwrap_or_default())
    }

    /// The number of a head.
    fn number(&mut self, start: u8) -> Result<u64, SavedError> {
        let width = match start & 0x1f {
            short @ 0..=23 => return Ok(u64::from(short)),
            24 => 1,
            25 => 2,
            26 => 4,
            27 => 8,
            _ => return Err(self.unreadable("an item of indefinite length, or a reserved one")),
        };
        let bytes = self.take(width)?;
        Ok(bytes
            .iter()
            .fold(0, |number, byte| (number << 8) | u64::from(*byte)))
    }

    /// A length or a count: each of its bytes or items takes a byte at least, so it is at most what is left.
    fn count(&mut self, start: u8) -> Result<usize, SavedError> {
        let number = self.number(start)?;
        let left = self.bytes.len().saturating_sub(self.at);
        match usize::try_from(number) {
            Ok(count) if count <= left => Ok(count),
            _ => Err(self.unreadable("a length beyond its end")),
        }
    }

    fn text(&mut self, start: u8) -> Result<&'a str, SavedError> {
        let count = self.count(start)?;
        let bytes = self.take(count)?;
        std::str::from_utf8(bytes).map_err(|_| self.unreadable(NOT_UTF_8))
    }

    /// UTF-8. Most are ASCII, which is seen faster.
    fn key(&mut self) -> Result<&'a [u8], SavedError> {
        let start = self.byte()?;
        if start >> 5 != TEXT {
            return Err(self.unreadable("a key that is no text"));
        }
        let count = self.count(start)?;
        let bytes = self.take(count)?;
        match bytes.is_ascii() || std::str::from_utf8(bytes).is_ok() {
            true => Ok(bytes),
            false => Err(self.unreadable(NOT_UTF_8)),
        }
    }

    fn map(&mut self, start: u8, depth: usize) -> Result<Saved, SavedError> {
        let depth = self.deeper(depth)?;
        let count = self.count(start)?;
        let mut fields = Fields::with_room(count.saturating_sub(2));
        let (mut version, mut lowest) = (None, None);
        for _ in 0..count {
            let key = self.key()?;
            let number = if key == VERSION.as_bytes() {
                &mut version
            } else if key == LOWEST.as_bytes() {
                &mut lowest
            } else {
                fields.push(key, self.value(depth)?);
                continue;
            };
            let SavedValue::Number(value) = self.value(depth)? else {
                return Err(self.unreadable("a version that is no number"));
            };
            if number.replace(value).is_some() {
                return Err(self.unreadable(TWICE));
            }
        }
        if !fields.sort() {
            return Err(self.unreadable(TWICE));
        }
        match (version, lowest) {
            (Some(version), Some(lowest)) => Ok(Saved {
                version,
                lowest,
                fields,
            }),
            _ => Err(self.unreadable("a map without a version")),
        }
    }

    fn value(&mut self, depth: usize) -> Result<SavedValue, SavedError> {
        let start = self.byte()?;
        Ok(match start >> 5 {
            UNSIGNED => SavedValue::Number(self.number(start)?),
            BYTES => {
                let count = self.count(start)?;
                SavedValue::Bytes(Bytes::copy_from_slice(self.take(count)?))
            }
            TEXT => SavedValue::Text(self.text(start)?.to_owned()),
            LIST => {
                let depth = self.deeper(depth)?;
                let count = self.count(start)?;
                let list = (0..count)
                    .map(|_| self.value(depth))
                    .collect::<Result<_, _>>()?;
                SavedValue::List(list)
            }
            MAP => SavedValue::Part(self.map(start, depth)?),
            _ if start == TRUE || start == FALSE => SavedValue::Flag(start == TRUE),
            _ => return Err(self.unreadable("an item of another type")),
        })
    }

    fn deeper(&self, depth: usize) -> Result<usize, SavedError> {
        depth
            .checked_sub(1)
            .ok_or_else(|| self.unreadable("lists and parts that nest too deep"))
    }
}
