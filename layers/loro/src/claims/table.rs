//! A table of keys and values, whose blocks may be packed.
//!
//! In: its bytes, how many may be unpacked. Out: each key with its value, or why it is refused. Touches nothing.

use std::io::Read as _;

use lz4_flex::frame::FrameDecoder;

use super::{Refused, walk::Walk};

const MAGIC: &[u8] = b"LORO";
/// Where its blocks are said stands at the end.
const END: usize = 4;
const CHECKSUM: usize = 4;
const IS_LARGE: u8 = 0x80;
const PACKED: u8 = 1;

const NO_TABLE: Refused = "a table of it is damaged";

/// Where a block begins, its first key, and how it is written.
struct Block<'a> {
    from: usize,
    key: &'a [u8],
    how: u8,
}

/// Gives each key with its value. `unpacked` is how many bytes may still be unpacked.
pub(super) fn each(
    table: &[u8],
    unpacked: &mut usize,
    mut each: impl FnMut(&[u8], &[u8]) -> Result<(), Refused>,
) -> Result<(), Refused> {
    let (data, end) = table.split_last_chunk::<END>().ok_or(NO_TABLE)?;
    let end = u32::from_le_bytes(*end) as usize;
    let (data, meta) = data.split_at_checked(end).ok_or(NO_TABLE)?;
    if !data.starts_with(MAGIC) {
        return Err(NO_TABLE);
    }
    let mut walk = Walk(meta);
    let blocks = u32::from_le_bytes(walk.fixed()?);
    let mut before: Option<Block<'_>> = None;
    for _ in 0..blocks {
        let block = block(&mut walk)?;
        if let Some(before) = before.replace(Block { ..block }) {
            entries(data, &before, block.from, unpacked, &mut each)?;
        }
    }
    match before {
        Some(last) => entries(data, &last, end, unpacked, &mut each),
        None => Ok(()),
    }
}

fn block<'a>(walk: &mut Walk<'a>) -> Result<Block<'a>, Refused> {
    let from = u32::from_le_bytes(walk.fixed()?) as usize;
    let key = short(walk)?;
    let how = walk.byte()?;
    if how & IS_LARGE == 0 {
        // Its last key.
        short(walk)?;
    }
    Ok(Block { from, key, how })
}

/// Bytes behind a short length.
fn short<'a>(walk: &mut Walk<'a>) -> Result<&'a [u8], Refused> {
    let len = u16::from_le_bytes(walk.fixed()?);
    walk.take(usize::from(len))
}

fn entries(
    data: &[u8],
    block: &Block<'_>,
    to: usize,
    unpacked: &mut usize,
    each: &mut impl FnMut(&[u8], &[u8]) -> Result<(), Refused>,
) -> Result<(), Refused> {
    let packed = data.get(block.from..to).ok_or(NO_TABLE)?;
    let packed = packed
        .get(..packed.len().saturating_sub(CHECKSUM))
        .unwrap_or_default();
    let bytes = unpack(packed, block.how & !IS_LARGE, unpacked)?;
    if block.how & IS_LARGE != 0 {
        return each(block.key, &bytes);
    }
    let (bytes, count) = bytes.split_last_chunk::<2>().ok_or(NO_TABLE)?;
    let count = usize::from(u16::from_le_bytes(*count));
    let offsets = bytes.len().checked_sub(2 * count).ok_or(NO_TABLE)?;
    let (bytes, offsets) = bytes.split_at(offsets);
    let (offsets, _) = offsets.as_chunks::<2>();
    let offset = |at: usize| {
        let offset = offsets.get(at).map(|offset| u16::from_le_bytes(*offset));
        offset.map_or(bytes.len(), usize::from)
    };
    for at in 0..count {
        let entry = bytes.get(offset(at)..offset(at + 1)).ok_or(NO_TABLE)?;
        let mut walk = Walk(entry);
        if at == 0 {
            each(block.key, walk.0)?;
            continue;
        }
        let shared = usize::from(walk.byte()?);
        let shared = block.key.get(..shared).ok_or(NO_TABLE)?;
        let rest = short(&mut walk)?;
        each(&[shared, rest].concat(), walk.0)?;
    }
    Ok(())
}

fn unpack(bytes: &[u8], how: u8, left: &mut usize) -> Result<Vec<u8>, Refused> {
    const MORE: Refused = "it is packed too tightly";
    let mut unpacked = Vec::new();
    if how == PACKED {
        let limit = (*left as u64).saturating_add(1);
        let mut read = FrameDecoder::new(bytes).take(limit);
        read.read_to_end(&mut unpacked).map_err(|_| NO_TABLE)?;
    } else {
        unpacked.extend_from_slice(bytes);
    }
    *left = left.checked_sub(unpacked.len()).ok_or(MORE)?;
    Ok(unpacked)
}
