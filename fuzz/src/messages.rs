//! Arbitrary valid messages, from any bytes.
//!
//! In: the bytes of an input. Out: messages of every kind and of any size that the wire carries; few names, so that
//! documents and hashes come again. Pure.

use arbitrary::{Result, Unstructured};
use bytes::Bytes;
use kyneta_uds_core::{
    BoundedStr, ByteString, ChannelMsg, Data, DocEntry, DocId, Encoding, Establish, Features,
    Identity, Interest, Lineage, Observe, Offer, PayloadKind, PeerId, PeerType, ProtocolVersion,
    ReplicaType, SchemaHash, SyncMode,
};

/// Names differ in their length, so that a few bytes of an input can name a document again.
const NAMES: &str = "0123456789abcdefghijklmnopqrstuvwxyz";

/// Large enough to be attached to a write buffer without a copy.
static LARGE: [u8; 20_000] = [7; 20_000];

pub(crate) fn message(u: &mut Unstructured<'_>) -> Result<ChannelMsg> {
    Ok(match u.arbitrary::<u8>()? & 15 {
        0 => ChannelMsg::Depart,
        1 => ChannelMsg::Establish(establish(u)?),
        2..=4 => {
            let entries = u.arbitrary::<u8>()? % 12;
            let entries = (0..entries).map(|_| entry(u));
            ChannelMsg::Present(entries.collect::<Result<_>>()?)
        }
        5 => ChannelMsg::Dismiss(doc(u)?),
        6 => ChannelMsg::Vacant(doc(u)?),
        7..=9 => ChannelMsg::Interest(Interest {
            doc: doc(u)?,
            version: option(u, short)?,
            reciprocate: u.arbitrary()?,
        }),
        _ => ChannelMsg::Offer(Offer {
            doc: doc(u)?,
            kind: *u.choose(&[PayloadKind::Entirety, PayloadKind::Since])?,
            encoding: *u.choose(&[Encoding::Json, Encoding::Binary])?,
            data: data(u)?,
            version: short(u)?,
            reciprocate: u.arbitrary()?,
            lineage: option(u, |u| Ok(Lineage::new(text(u)?).unwrap()))?,
            base: option(u, |u| short(u).map(Box::new))?,
        }),
    })
}

pub(crate) fn establish(u: &mut Unstructured<'_>) -> Result<Establish> {
    let types = [PeerType::User, PeerType::Bot, PeerType::Service];
    Ok(Establish {
        identity: Identity {
            peer_id: PeerId::new(text(u)?).unwrap(),
            name: option(u, short)?,
            peer_type: *u.choose(&types)?,
        },
        features: option(u, |u| {
            Ok(Features {
                alias: u.arbitrary()?,
                streamed: u.arbitrary()?,
                datagram: u.arbitrary()?,
            })
        })?,
        protocol: option(u, |u| {
            let safe = (1 << 53) - 1;
            let (major, minor) = (u.int_in_range(1..=safe)?, u.int_in_range(0..=safe)?);
            Ok(ProtocolVersion::new(major, minor).unwrap())
        })?
        .unwrap_or_default(),
        observe: option(u, |u| {
            let all = [Observe::Members, Observe::Messages, Observe::Documents];
            u.choose(&all).copied()
        })?,
    })
}

fn entry(u: &mut Unstructured<'_>) -> Result<DocEntry> {
    let modes = [
        SyncMode::Collaborative,
        SyncMode::Authoritative,
        SyncMode::Ephemeral,
    ];
    Ok(DocEntry {
        doc: doc(u)?,
        replica: ReplicaType {
            name: short(u)?,
            major: number(u)?,
            minor: number(u)?,
        },
        mode: *u.choose(&modes)?,
        schema: hash(u)?,
        supported: option(u, |u| {
            let hashes = u.arbitrary::<u8>()? % 5;
            (0..hashes).map(|_| hash(u)).collect()
        })?,
    })
}

fn option<'a, T>(
    u: &mut Unstructured<'a>,
    make: impl FnOnce(&mut Unstructured<'a>) -> Result<T>,
) -> Result<Option<T>> {
    u.arbitrary::<bool>()?.then(|| make(u)).transpose()
}

/// Mostly one of a few documents, so that aliases are used.
fn doc(u: &mut Unstructured<'_>) -> Result<DocId> {
    Ok(DocId::new(text(u)?).unwrap())
}

fn hash(u: &mut Unstructured<'_>) -> Result<SchemaHash> {
    Ok(SchemaHash::new(text(u)?).unwrap())
}

fn short<const MAX: usize>(u: &mut Unstructured<'_>) -> Result<BoundedStr<MAX>> {
    Ok(BoundedStr::new(text(u)?).unwrap())
}

/// A name, or the valid UTF-8 at the front of some bytes.
fn text<'a>(u: &mut Unstructured<'a>) -> Result<&'a str> {
    let len = usize::from(u.arbitrary::<u8>()?);
    if len < 192 {
        return Ok(&NAMES[..len % NAMES.len()]);
    }
    let bytes = u.bytes((len - 192).min(u.len()))?;
    Ok(match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => std::str::from_utf8(&bytes[..error.valid_up_to()]).unwrap_or_default(),
    })
}

fn number(u: &mut Unstructured<'_>) -> Result<f64> {
    Ok(match u.arbitrary::<u8>()? {
        255 => u.arbitrary()?,
        254 => f64::NAN,
        253 => -0.0,
        252 => 9_007_199_254_740_991.0,
        251 => -9_007_199_254_740_992.0,
        250 => f64::NEG_INFINITY,
        249 => f64::from(u.arbitrary::<f32>()?),
        small => f64::from(small) - 100.0,
    })
}

fn data(u: &mut Unstructured<'_>) -> Result<Data> {
    let len = usize::from(u.arbitrary::<u8>()?);
    Ok(match len {
        255 => Data::Bytes(Bytes::from_static(&LARGE)),
        254 => Data::Bytes(Bytes::from_static(&LARGE[..(16 << 10) - 1])),
        253 => Data::Bytes(Bytes::from_static(&LARGE[..256])),
        128..253 => Data::Bytes(Bytes::copy_from_slice(u.bytes((len - 128).min(u.len()))?)),
        _ => Data::Text(ByteString::from(text(u)?)),
    })
}
