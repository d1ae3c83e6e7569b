//! Writes items of CBOR.
//!
//! In: numbers, texts, bytes. Out: the same at the end of a buffer. Touches nothing.

use kyneta_uds_cbor::EncodeError;
use kyneta_uds_core::PayloadWriter;
use serde::Serialize;

pub(in crate::bus) const UNSIGNED: u8 = 0;
pub(in crate::bus) const BYTES: u8 = 2;
pub(super) const TEXT: u8 = 3;
pub(in crate::bus) const ARRAY: u8 = 4;
pub(super) const MAP: u8 = 5;

pub(in crate::bus) fn list<const N: usize>(out: &mut PayloadWriter<'_>, items: [u64; N]) {
    head(out, ARRAY, N as u64);
    numbers(out, items);
}

pub(in crate::bus) fn numbers<const N: usize>(out: &mut PayloadWriter<'_>, items: [u64; N]) {
    items.into_iter().for_each(|item| head(out, UNSIGNED, item));
}

pub(super) fn bytes(out: &mut PayloadWriter<'_>, bytes: &bytes::Bytes) {
    head(out, BYTES, bytes.len() as u64);
    out.put_bytes(bytes);
}

pub(super) fn text(out: &mut PayloadWriter<'_>, text: &str) {
    head(out, TEXT, text.len() as u64);
    out.put_slice(text.as_bytes());
}

/// The first bytes of an item (RFC 8949, section 3).
pub(in crate::bus) fn head(out: &mut PayloadWriter<'_>, major: u8, value: u64) {
    let major = major << 5;
    let [.., e, f, g, h] = value.to_be_bytes();
    match value {
        0..24 => out.put_u8(major | h),
        24..0x100 => out.put_slice(&[major | 24, h]),
        0x100..0x1_0000 => out.put_slice(&[major | 25, g, h]),
        0x1_0000..0x1_0000_0000 => out.put_slice(&[major | 26, e, f, g, h]),
        _ => {
            out.put_u8(major | 27);
            out.put_slice(&value.to_be_bytes());
        }
    }
}

pub(super) fn with_map(
    out: &mut PayloadWriter<'_>,
    kind: u64,
    content: &impl Serialize,
) -> Result<(), EncodeError> {
    head(out, ARRAY, 2);
    numbers(out, [kind]);
    map(out, content)
}

pub(in crate::bus) fn map(
    out: &mut PayloadWriter<'_>,
    content: &impl Serialize,
) -> Result<(), EncodeError> {
    let mut text = Vec::new();
    ciborium::into_writer(content, &mut text)
        .map_err(|error| EncodeError::Serialize(error.to_string().into()))?;
    out.put_slice(&text);
    Ok(())
}
