//! A small offer by reference: in, its parts; out, how many bytes its payload has, and what writes them. The bytes are those of
//! [`message`](super::message).
//!
//! With the size known, its frame's header is written once, and small parts go together: half of the work of a small
//! message.

use kyneta_uds_core::{DocId, Encoding, PayloadKind, PayloadWriter, SmallOffer};

use super::{BYTES, MAP, OutboundState, TEXT, Undo, alias, doc_or_alias, head, reciprocate};

/// The first keys, and places for what is not the same in all. In one word: bytes that were stored one by one stall the
/// load that copies them.
const START: u128 = u128::from_le_bytes(*b"\0\x61t\x12\x62pk\0\x62pe\0\x61d\0\0");
const START_LEN: usize = 14;

#[inline(always)]
pub(in super::super) fn offer<'a>(
    msg: &'a SmallOffer<'a>,
    sent: &mut OutboundState,
    aliases: bool,
) -> (usize, impl FnOnce(&mut PayloadWriter<'_>) + use<'a>) {
    sent.undo = Undo::Nothing;
    let alias = alias(msg.doc, sent, aliases);
    let doc = match alias {
        Some(alias) => 3 + alias_len(alias),
        None => 4 + item_len(msg.doc.as_str().len()),
    };
    let optional = if msg.reciprocate.is_some() { 3 } else { 0 };
    let size =
        START_LEN + item_len(msg.data.len()) + 2 + item_len(msg.version.len()) + doc + optional;
    let write = move |out: &mut PayloadWriter<'_>| {
        start(msg, out);
        out.put_slice(msg.data);
        match msg.version.len() {
            len @ 0..24 => out.put_slice(&[0x61, b'v', TEXT | len as u8]),
            len => long_version(len, out),
        }
        out.put_slice(msg.version);
        match alias {
            Some(alias @ 0..24) => out.put_slice(&[0x62, b'd', b'x', alias as u8]),
            alias => other_doc(msg.doc, alias, out),
        }
        if msg.reciprocate.is_some() {
            reciprocate(msg.reciprocate, out);
        }
    };
    (size, write)
}

/// Up to the head of the data.
#[inline(always)]
fn start(msg: &SmallOffer<'_>, out: &mut PayloadWriter<'_>) {
    let keys = MAP | (6 + u8::from(msg.reciprocate.is_some()));
    let kind = match msg.kind {
        PayloadKind::Entirety => 0,
        PayloadKind::Since => 1,
    };
    let encoding = match msg.encoding {
        Encoding::Json => 0,
        Encoding::Binary => 1,
    };
    let major = if msg.is_text { TEXT } else { BYTES };
    let start = START | u128::from(keys) | kind << 56 | encoding << 88;
    match msg.data.len() {
        len @ 24..0x100 => {
            let head = u128::from(major | 24) << 112 | (len as u128) << 120;
            out.put_slice(&(start | head).to_le_bytes());
        }
        len => other_start(start, major, len, out),
    }
}

#[inline(never)]
fn other_start(start: u128, major: u8, len: usize, out: &mut PayloadWriter<'_>) {
    let [fixed @ .., _, _] = start.to_le_bytes();
    out.put_slice(&fixed);
    head(major, len as u64, out);
}

#[inline(never)]
fn long_version(len: usize, out: &mut PayloadWriter<'_>) {
    out.put_slice(b"\x61v");
    head(TEXT, len as u64, out);
}

#[inline(never)]
fn other_doc(doc: &DocId, alias: Option<u32>, out: &mut PayloadWriter<'_>) {
    doc_or_alias(doc, alias, out);
}

/// A text or a byte string of so many bytes, less than 64 KiB, with its head.
#[inline(always)]
const fn item_len(len: usize) -> usize {
    1 + (len >= 24) as usize + (len >= 0x100) as usize + len
}

#[inline(always)]
const fn alias_len(alias: u32) -> usize {
    match alias {
        0..24 => 1,
        24..0x100 => 2,
        0x100..0x1_0000 => 3,
        _ => 5,
    }
}
