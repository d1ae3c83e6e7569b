//! Encoding: in, a message; out, its payload, with the same bytes that the reference writes.
//!
//! Keys are written in the order of wire section 4, numbers by the rules of section 5.

use bytes::Bytes;
use kyneta_uds_core::{
    ChannelMsg, Data, DocEntry, DocId, Encoding, Establish, Features, Interest, Observe, Offer,
    PayloadKind, PayloadWriter, ProtocolVersion, SyncMode,
};

use super::{DecodeLimits, OutboundState, Undo, alias::Announcement};

pub(super) mod by_ref;

const UINT: u8 = 0x00;
const NINT: u8 = 0x20;
const BYTES: u8 = 0x40;
const TEXT: u8 = 0x60;
const ARRAY: u8 = 0x80;
const MAP: u8 = 0xa0;

/// The largest magnitude of a JavaScript integer, 2^53 - 1.
const MAX_SAFE: f64 = 9_007_199_254_740_991.0;

#[inline]
pub(super) fn message(
    msg: &ChannelMsg,
    sent: &mut OutboundState,
    aliases: bool,
    limits: &DecodeLimits,
    out: &mut PayloadWriter<'_>,
) {
    sent.undo = Undo::Nothing;
    match msg {
        ChannelMsg::Offer(msg) => offer(msg, sent, aliases, out),
        ChannelMsg::Interest(msg) => interest(msg, sent, aliases, out),
        ChannelMsg::Dismiss(doc) => {
            out.put_slice(b"\xa2\x61t\x13");
            doc_ref(doc, sent, aliases, out);
        }
        ChannelMsg::Vacant(doc) => {
            out.put_slice(b"\xa2\x61t\x14");
            doc_ref(doc, sent, aliases, out);
        }
        ChannelMsg::Present(docs) => present(docs, sent, aliases, limits, out),
        ChannelMsg::Establish(msg) => establish(msg, sent, out),
        ChannelMsg::Depart => out.put_slice(b"\xa1\x61t\x02"),
    }
}

#[inline]
fn offer(msg: &Offer, sent: &mut OutboundState, aliases: bool, out: &mut PayloadWriter<'_>) {
    let optional = [
        msg.reciprocate.is_some(),
        msg.lineage.is_some(),
        msg.base.is_some(),
    ];
    let keys = 6 + optional.map(u8::from).iter().sum::<u8>();
    let kind = match msg.kind {
        PayloadKind::Entirety => 0,
        PayloadKind::Since => 1,
    };
    let encoding = match msg.encoding {
        Encoding::Json => 0,
        Encoding::Binary => 1,
    };
    let [t, k] = *b"tk";
    let [p, e, d] = *b"ped";
    out.put_slice(&[
        MAP | keys,
        0x61,
        t,
        0x12,
        0x62,
        p,
        k,
        kind,
        0x62,
        p,
        e,
        encoding,
        0x61,
        d,
    ]);
    match &msg.data {
        Data::Bytes(bytes) => bulk(BYTES, bytes, out),
        Data::Text(text) => bulk(TEXT, text.as_bytes(), out),
    }
    out.put_slice(b"\x61v");
    text(msg.version.as_bytes(), out);
    doc_ref(&msg.doc, sent, aliases, out);
    reciprocate(msg.reciprocate, out);
    if let Some(lineage) = &msg.lineage {
        out.put_slice(b"\x62ln");
        text(lineage.as_str().as_bytes(), out);
    }
    if let Some(base) = &msg.base {
        out.put_slice(b"\x61b");
        text(base.as_bytes(), out);
    }
}

fn interest(msg: &Interest, sent: &mut OutboundState, aliases: bool, out: &mut PayloadWriter<'_>) {
    let keys = 2 + u8::from(msg.version.is_some()) + u8::from(msg.reciprocate.is_some());
    out.put_slice(&[MAP | keys, 0x61, b't', 0x11]);
    doc_ref(&msg.doc, sent, aliases, out);
    if let Some(version) = &msg.version {
        out.put_slice(b"\x61v");
        text(version.as_bytes(), out);
    }
    reciprocate(msg.reciprocate, out);
}

#[inline(always)]
fn doc_ref(doc: &DocId, sent: &mut OutboundState, aliases: bool, out: &mut PayloadWriter<'_>) {
    doc_or_alias(doc, alias(doc, sent, aliases), out);
}

#[inline(always)]
fn alias(doc: &DocId, sent: &mut OutboundState, aliases: bool) -> Option<u32> {
    if aliases { sent.docs.get(doc) } else { None }
}

#[inline(always)]
fn doc_or_alias(doc: &DocId, alias: Option<u32>, out: &mut PayloadWriter<'_>) {
    match alias {
        Some(alias) => {
            out.put_slice(b"\x62dx");
            head(UINT, u64::from(alias), out);
        }
        None => {
            out.put_slice(b"\x63doc");
            text(doc.as_str().as_bytes(), out);
        }
    }
}

#[inline]
fn reciprocate(reciprocate: Option<bool>, out: &mut PayloadWriter<'_>) {
    if let Some(reciprocate) = reciprocate {
        out.put_slice(&[0x61, b'r', boolean(reciprocate)]);
    }
}

fn present(
    docs: &[DocEntry],
    sent: &mut OutboundState,
    aliases: bool,
    limits: &DecodeLimits,
    out: &mut PayloadWriter<'_>,
) {
    sent.undo = Undo::Announced {
        docs: sent.docs.len(),
        schemas: sent.schemas.len(),
    };
    out.put_slice(b"\xa2\x61t\x10\x64docs");
    head(ARRAY, docs.len() as u64, out);
    for doc in docs {
        entry(doc, sent, aliases, limits, out);
    }
}

/// How an entry names its schema.
enum Schema {
    New(u32),
    Again,
    Alias(u32),
}

fn entry(
    entry: &DocEntry,
    sent: &mut OutboundState,
    aliases: bool,
    limits: &DecodeLimits,
    out: &mut PayloadWriter<'_>,
) {
    let alias = match sent.docs.announce(&entry.doc, limits) {
        Announcement::New(alias) | Announcement::Known(alias) => Some(alias),
        Announcement::Full => None,
    };
    let schema = match sent.schemas.announce(&entry.schema, limits) {
        Announcement::New(alias) => Schema::New(alias),
        Announcement::Known(alias) if aliases => Schema::Alias(alias),
        Announcement::Known(_) | Announcement::Full => Schema::Again,
    };
    let supported = entry.supported.as_deref().filter(|hashes| hashes.len() > 1);
    let keys = 4
        + u8::from(alias.is_some())
        + u8::from(matches!(schema, Schema::New(_)))
        + u8::from(supported.is_some());
    out.put_slice(&[MAP | keys, 0x61, b'd']);
    text(entry.doc.as_str().as_bytes(), out);
    if let Some(alias) = alias {
        out.put_slice(b"\x61a");
        head(UINT, u64::from(alias), out);
    }
    out.put_slice(b"\x62rt\x83");
    text(entry.replica.name.as_bytes(), out);
    number(entry.replica.major, out);
    number(entry.replica.minor, out);
    let mode = match entry.mode {
        SyncMode::Collaborative => 0,
        SyncMode::Authoritative => 1,
        SyncMode::Ephemeral => 2,
    };
    out.put_slice(&[0x62, b'm', b's', mode]);
    match schema {
        Schema::New(alias) => {
            out.put_slice(b"\x62sh");
            text(entry.schema.as_str().as_bytes(), out);
            out.put_slice(b"\x62sa");
            head(UINT, u64::from(alias), out);
        }
        Schema::Again => {
            out.put_slice(b"\x62sh");
            text(entry.schema.as_str().as_bytes(), out);
        }
        Schema::Alias(alias) => {
            out.put_slice(b"\x63shx");
            head(UINT, u64::from(alias), out);
        }
    }
    if let Some(hashes) = supported {
        out.put_slice(b"\x63shs");
        head(ARRAY, hashes.len() as u64, out);
        for hash in hashes {
            text(hash.as_str().as_bytes(), out);
        }
    }
}

fn establish(msg: &Establish, sent: &mut OutboundState, out: &mut PayloadWriter<'_>) {
    sent.undo = Undo::AcceptsAliases(sent.accepts_aliases);
    sent.accepts_aliases = msg.aliases();
    let version = Some(msg.protocol).filter(|version| *version != ProtocolVersion::default());
    let name = msg.identity.name.as_ref();
    let keys = 3
        + u8::from(name.is_some())
        + u8::from(msg.features.is_some())
        + u8::from(version.is_some())
        + u8::from(msg.observe.is_some())
        + u8::from(msg.observe == Some(Observe::Documents));
    out.put_slice(&[MAP | keys, 0x61, b't', 0x01]);
    out.put_slice(b"\x62id");
    text(msg.identity.peer_id.as_str().as_bytes(), out);
    if let Some(name) = name {
        out.put_slice(b"\x61n");
        text(name.as_bytes(), out);
    }
    out.put_slice(b"\x61y");
    text(msg.identity.peer_type.name().as_bytes(), out);
    if let Some(found) = &msg.features {
        out.put_slice(b"\x61f");
        features(found, out);
    }
    if let Some(version) = version {
        out.put_slice(b"\x62pv\x82");
        head(UINT, version.major(), out);
        head(UINT, version.minor(), out);
    }
    if let Some(observe) = msg.observe {
        out.put_slice(&[0x62, b'o', b'b', boolean(observe == Observe::Messages)]);
        if observe == Observe::Documents {
            // A listener that does not know this key tells the members alone.
            out.put_slice(&[0x62, b'o', b'd', boolean(true)]);
        }
    }
}

fn features(features: &Features, out: &mut PayloadWriter<'_>) {
    let known = [
        (b'a', features.alias),
        (b's', features.streamed),
        (b'd', features.datagram),
    ];
    let keys = known.iter().filter(|(_, value)| value.is_some()).count();
    head(MAP, keys as u64, out);
    for (key, value) in known {
        if let Some(value) = value {
            out.put_slice(&[0x61, key, boolean(value)]);
        }
    }
}

const fn boolean(value: bool) -> u8 {
    if value { 0xf5 } else { 0xf4 }
}

fn number(number: f64, out: &mut PayloadWriter<'_>) {
    if number.trunc() == number && number.abs() <= MAX_SAFE {
        let integer = number as i64;
        match u64::try_from(integer) {
            Ok(integer) => head(UINT, integer, out),
            Err(_) => head(NINT, !integer as u64, out),
        }
    } else if number.is_nan() {
        out.put_slice(b"\xfa\x7f\xc0\x00\x00");
    } else if f64::from(number as f32) == number {
        out.put_u8(0xfa);
        out.put_slice(&(number as f32).to_be_bytes());
    } else {
        out.put_u8(0xfb);
        out.put_slice(&number.to_be_bytes());
    }
}

#[inline(always)]
fn text(text: &[u8], out: &mut PayloadWriter<'_>) {
    head(TEXT, text.len() as u64, out);
    out.put_slice(text);
}

#[inline]
fn bulk(major: u8, bytes: &Bytes, out: &mut PayloadWriter<'_>) {
    head(major, bytes.len() as u64, out);
    out.put_bytes(bytes);
}

/// The head of an item: major type and number, in the shortest form.
#[inline(always)]
fn head(major: u8, number: u64, out: &mut PayloadWriter<'_>) {
    match number {
        0..24 => out.put_u8(major | number as u8),
        24..0x100 => out.put_slice(&[major | 24, number as u8]),
        _ => long_head(major, number, out),
    }
}

#[cold]
fn long_head(major: u8, number: u64, out: &mut PayloadWriter<'_>) {
    if let Ok(number) = u16::try_from(number) {
        out.put_u8(major | 25);
        out.put_slice(&number.to_be_bytes());
    } else if let Ok(number) = u32::try_from(number) {
        out.put_u8(major | 26);
        out.put_slice(&number.to_be_bytes());
    } else {
        out.put_u8(major | 27);
        out.put_slice(&number.to_be_bytes());
    }
}
