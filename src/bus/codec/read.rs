//! Reads items of CBOR from one payload.
//!
//! In: a payload. Out: its items one by one, or why it is rejected. Touches nothing.

use kyneta_uds_core::{Payload, Rejection};
use serde::de::DeserializeOwned;

use super::write::{BYTES, TEXT, UNSIGNED};

/// How deeply a map may be nested.
const MAX_DEPTH: usize = 16;

/// No list of a payload may have more items.
const MAX_ITEMS: u64 = 65_536;

/// Reads one payload.
pub(in crate::bus) struct Reader<'a> {
    payload: Payload<'a>,
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(in crate::bus) fn new(payload: Payload<'a>) -> Self {
        let rest = payload.as_slice();
        Self { payload, rest }
    }

    fn at(&self) -> usize {
        self.payload.as_slice().len() - self.rest.len()
    }

    pub(in crate::bus) fn fail(&self, what: &'static str) -> Rejection {
        let at = self.at();
        let what = what.into();
        Rejection::Decode { what, at }
    }

    /// The number of items of a list, if there can be as many.
    pub(in crate::bus) fn capacity(&self, items: u64) -> Result<usize, Rejection> {
        let may_be = items <= MAX_ITEMS && items <= self.rest.len() as u64;
        match usize::try_from(items) {
            Ok(items) if may_be => Ok(items),
            _ => Err(self.fail("a list of more items than there are")),
        }
    }

    fn take(&mut self, count: u64) -> Result<&'a [u8], Rejection> {
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        match self.rest.split_at_checked(count) {
            Some((taken, rest)) => {
                self.rest = rest;
                Ok(taken)
            }
            None => Err(self.fail("the payload ends within an item")),
        }
    }

    /// True when nothing comes next.
    pub(super) const fn is_at_end(&self) -> bool {
        self.rest.is_empty()
    }

    /// True when an item of this kind comes next.
    pub(super) fn next_is(&self, major: u8) -> bool {
        self.rest.first().is_some_and(|first| first >> 5 == major)
    }

    /// The value of the head of an item of this kind.
    pub(in crate::bus) fn head(&mut self, major: u8) -> Result<u64, Rejection> {
        let Some((first, rest)) = self.rest.split_first() else {
            return Err(self.fail("the payload ends within an item"));
        };
        if first >> 5 != major {
            return Err(self.fail("an item of another kind was expected"));
        }
        self.rest = rest;
        let length = match first & 31 {
            value @ 0..24 => return Ok(u64::from(value)),
            24 => 1,
            25 => 2,
            26 => 4,
            27 => 8,
            _ => return Err(self.fail("an item without a definite length")),
        };
        let bytes = self.take(length)?;
        Ok(bytes
            .iter()
            .fold(0, |value, byte| value << 8 | u64::from(*byte)))
    }

    pub(in crate::bus) fn number(&mut self) -> Result<u64, Rejection> {
        self.head(UNSIGNED)
    }

    pub(super) fn bytes(&mut self) -> Result<bytes::Bytes, Rejection> {
        let length = self.head(BYTES)?;
        let start = self.at();
        let taken = self.take(length)?;
        Ok(self.payload.slice(start..start + taken.len()))
    }

    pub(super) fn text(&mut self) -> Result<String, Rejection> {
        let length = self.head(TEXT)?;
        let taken = self.take(length)?;
        let text = std::str::from_utf8(taken).map_err(|_| self.fail("a text that is no UTF-8"))?;
        Ok(text.to_owned())
    }

    pub(in crate::bus) fn map<T: DeserializeOwned>(&mut self) -> Result<T, Rejection> {
        ciborium::de::from_reader_with_recursion_limit(&mut self.rest, MAX_DEPTH).map_err(|error| {
            Rejection::Invalid {
                path: String::new(),
                what: error
                    .to_string()
                    .chars()
                    .take(256)
                    .collect::<String>()
                    .into(),
            }
        })
    }
}
