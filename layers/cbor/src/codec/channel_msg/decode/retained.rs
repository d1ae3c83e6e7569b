//! What a decoded message retains of the read buffer: a message holds at most twice what it counts.

use std::ops::Range;

use bytes::Bytes;
use bytestring::ByteString;
use kyneta_uds_core::{BoundedStr, Payload, Rejection};

use super::{
    fields::{Fields, invalid},
    item::{Item, without_bom},
};

/// What a message retains of its payload: ranges of the read buffer, or copies if all ranges are less than half
/// of the payload. The rest belongs to unknown keys, which the message's size does not count.
#[derive(Clone, Copy)]
pub(super) struct Retained<'a> {
    payload: Payload<'a>,
    copied: bool,
}

impl<'a> Retained<'a> {
    pub(super) fn new<const N: usize>(payload: Payload<'a>, parts: [Option<&Item>; N]) -> Self {
        let lengths = parts.into_iter().flatten().map(|item| match item {
            Item::Bytes(range) | Item::Text(range) => range.len(),
            _ => 0,
        });
        Self {
            payload,
            copied: lengths.sum::<usize>() < payload.as_slice().len() / 2,
        }
    }

    pub(super) fn bytes(self, range: Range<usize>) -> Bytes {
        if self.copied {
            Bytes::copy_from_slice(self.payload.as_slice().get(range).unwrap_or_default())
        } else {
            self.payload.slice(range)
        }
    }

    /// The text under `key`, if it is present.
    pub(super) fn optional_text<const MAX: usize, const N: usize>(
        self,
        fields: &Fields<'_, N>,
        key: &'static str,
    ) -> Result<Option<BoundedStr<MAX>>, Rejection> {
        let Some(item) = fields.get(key) else {
            return Ok(None);
        };
        BoundedStr::new(self.text(item, key)?)
            .map(Some)
            .map_err(|error| invalid(key, error.to_string()))
    }

    pub(super) fn text(self, item: &Item, key: &'static str) -> Result<ByteString, Rejection> {
        let Item::Text(range) = item else {
            return Err(invalid(key, "not a text"));
        };
        let range = without_bom(self.payload.as_slice(), range.clone());
        let at = range.start;
        ByteString::try_from(self.bytes(range)).map_err(|error| Rejection::Decode {
            what: format!("invalid UTF-8 in {key}").into(),
            at: at + error.valid_up_to(),
        })
    }
}
