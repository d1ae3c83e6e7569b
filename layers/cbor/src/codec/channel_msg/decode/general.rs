//! Reading in any key order: in, a payload; out, a message, or what is wrong with it.
//!
//! Three steps, each over the whole message, so that a later one never acts on what an earlier one
//! would have refused: well-formed ([`walk`](super::well_formed)), of the right shape, aliases known.

use std::ops::Range;

use bytes::Bytes;
use bytestring::ByteString;
use kyneta_uds_core::{
    AliasFault, ChannelMsg, Data, DocId, Encoding, Establish, Features, Identity, Interest, Name,
    Offer, Payload, PayloadKind, PeerId, PeerType, ProtocolVersion, Rejection, SyncMode, Text,
    TextTooLong, WireVersion,
};

use super::{
    fields::{Fault, Fields, items, text},
    item::{Item, read, without_bom},
    present::{Raw, RawEntry, RawSchema},
    well_formed::walk,
};
use crate::codec::channel_msg::{DecodeLimits, Inbound, alias::outbound::Aliased};

const KEYS: [&str; 15] = [
    "t", "id", "n", "y", "f", "pv", "docs", "doc", "dx", "v", "r", "pk", "pe", "d", "ln",
];

type Message<'a> = Fields<'a, 15>;

#[cold]
pub(in crate::codec::channel_msg) fn message(
    payload: Payload<'_>,
    known: &mut Inbound,
    limits: &DecodeLimits,
) -> Result<ChannelMsg, Rejection> {
    Ok(any(payload, known, limits)?)
}

fn any(
    payload: Payload<'_>,
    known: &mut Inbound,
    limits: &DecodeLimits,
) -> Result<ChannelMsg, Fault> {
    let bytes = payload.as_slice();
    walk(bytes, limits)?;
    let (Item::Map { len, at }, _) = read(bytes, 0)? else {
        return Err(Fault::invalid("", "not a map"));
    };
    let fields = Fields::read(bytes, KEYS, len, at)?;
    let unknown = || Fault::invalid("t", "no message type");
    let Some(Item::Number(kind)) = fields.get("t") else {
        return Err(unknown());
    };
    match small(*kind) {
        Some(0x01) => {
            let establish = establish(&fields, payload.wire())?;
            known.takes_aliases = establish.aliases();
            Ok(ChannelMsg::Establish(establish))
        }
        Some(0x02) => Ok(ChannelMsg::Depart),
        Some(0x10) => present(bytes, &fields, limits)?
            .resolve(known, limits)
            .map_err(Fault::Alias),
        Some(0x11) => interest(payload, &fields, known).map(ChannelMsg::Interest),
        Some(0x12) => offer(payload, &fields, known).map(ChannelMsg::Offer),
        Some(0x13) => doc_ref(&fields)?.resolve(known).map(ChannelMsg::Dismiss),
        Some(0x14) => doc_ref(&fields)?.resolve(known).map(ChannelMsg::Vacant),
        _ => Err(unknown()),
    }
}

/// A number that is one of a few small integers; -0 is 0.
fn small(number: f64) -> Option<u8> {
    let integer = number as u8;
    (f64::from(integer) == number).then_some(integer)
}

fn too_long(key: &'static str) -> impl Fn(TextTooLong) -> Fault {
    move |error| Fault::invalid(key, error.to_string())
}

fn establish(fields: &Message<'_>, wire: Option<WireVersion>) -> Result<Establish, Fault> {
    let id = fields.text("id")?;
    let name = fields.optional_text("n")?;
    let peer_type = match fields.get("y") {
        Some(Item::Text(range)) => {
            let range = without_bom(fields.bytes(), range.clone());
            let name = fields.bytes().get(range).unwrap_or_default();
            std::str::from_utf8(name).ok().and_then(PeerType::from_name)
        }
        _ => None,
    };
    let peer_type = peer_type
        .ok_or_else(|| Fault::invalid("y", "none of \"user\", \"bot\" and \"service\""))?;
    let features = features(fields)?;
    let protocol = match fields.get("pv") {
        // Peers of wire version 2 know no such key: to them it is as good as any unknown one.
        Some(item) if wire != Some(WireVersion::V2) => protocol(fields.bytes(), item)?,
        _ => ProtocolVersion::default(),
    };
    let identity = Identity {
        peer_id: PeerId::new(id).map_err(too_long("id"))?,
        name: name.map(Name::new).transpose().map_err(too_long("n"))?,
        peer_type,
    };
    Ok(Establish {
        identity,
        features,
        protocol,
    })
}

fn features(fields: &Message<'_>) -> Result<Option<Features>, Fault> {
    match fields.get("f") {
        None => Ok(None),
        Some(Item::Map { len, at }) => {
            let fields = Fields::read(fields.bytes(), ["a", "s", "d"], *len, *at)?;
            let flag = |key| fields.optional_bool(key).map_err(|fault| fault.within("f"));
            Ok(Some(Features {
                alias: flag("a")?,
                streamed: flag("s")?,
                datagram: flag("d")?,
            }))
        }
        Some(_) => Err(Fault::invalid("f", "not a map")),
    }
}

fn protocol(bytes: &[u8], item: &Item) -> Result<ProtocolVersion, Fault> {
    let odd = || Fault::invalid("pv", "not [major, minor], integers from 1 and from 0 on");
    let Item::Array { len: 2, at } = item else {
        return Err(odd());
    };
    let (Item::Number(major), at) = read(bytes, *at)? else {
        return Err(odd());
    };
    let (Item::Number(minor), _) = read(bytes, at)? else {
        return Err(odd());
    };
    let whole = |number: f64| (number >= 0.0 && number.trunc() == number).then_some(number as u64);
    let version = whole(major).zip(whole(minor));
    version
        .and_then(|(major, minor)| ProtocolVersion::new(major, minor).ok())
        .ok_or_else(odd)
}

fn present<'a>(
    bytes: &'a [u8],
    fields: &Message<'a>,
    limits: &DecodeLimits,
) -> Result<Raw<'a>, Fault> {
    let Some(Item::Array { len, at }) = fields.get("docs") else {
        return Err(Fault::invalid("docs", "not an array"));
    };
    let mut raw = Raw::default();
    for (index, item) in items(bytes, *len, *at).enumerate() {
        if !raw.has_room(limits) {
            return Err(too_many(limits).within("docs"));
        }
        let entry = entry(bytes, &item?, &mut raw, limits)
            .map_err(|fault| fault.within(&format!("docs.{index}")))?;
        raw.entries.push(entry);
    }
    Ok(raw)
}

fn too_many(limits: &DecodeLimits) -> Fault {
    Fault::invalid(
        "",
        format!(
            "more than {} documents and supported hashes",
            limits.max_docs
        ),
    )
}

fn entry<'a>(
    bytes: &'a [u8],
    item: &Item,
    raw: &mut Raw<'a>,
    limits: &DecodeLimits,
) -> Result<RawEntry<'a>, Fault> {
    let Item::Map { len, at } = *item else {
        return Err(Fault::invalid("", "not a map"));
    };
    let keys = ["d", "a", "rt", "ms", "sh", "sa", "shx", "shs"];
    let fields = Fields::read(bytes, keys, len, at)?;
    let doc = fields.text("d")?;
    let alias = fields.optional_number("a")?;
    let (name, major, minor) = replica(bytes, fields.get("rt"))?;
    let replica = raw.replica(name, major, minor).map_err(too_long("rt"))?;
    let mode = match fields.get("ms") {
        Some(Item::Number(mode)) => small(*mode),
        _ => None,
    };
    let mode = match mode {
        Some(0) => SyncMode::Collaborative,
        Some(1) => SyncMode::Authoritative,
        Some(2) => SyncMode::Ephemeral,
        _ => return Err(Fault::invalid("ms", "no sync mode")),
    };
    let hash = fields.optional_text("sh")?;
    let hash_alias = fields.optional_number("sa")?;
    let schema = match (hash, fields.optional_number("shx")?) {
        (Some(hash), None) => RawSchema::Text {
            hash,
            alias: hash_alias,
        },
        (None, Some(alias)) => RawSchema::Alias(alias),
        _ => return Err(Fault::invalid("", "not exactly one of sh and shx")),
    };
    let supported = supported(bytes, fields.get("shs"), raw, limits)?;
    Ok(RawEntry {
        doc,
        alias,
        replica,
        mode,
        schema,
        supported,
    })
}

fn replica<'a>(bytes: &'a [u8], item: Option<&Item>) -> Result<(&'a str, f64, f64), Fault> {
    let odd = || Fault::invalid("rt", "not [text, number, number]");
    let Some(Item::Array { len: 3, at }) = item else {
        return Err(odd());
    };
    let (name, at) = read(bytes, *at)?;
    let Item::Text(_) = name else {
        return Err(odd());
    };
    let (major, at) = read(bytes, at)?;
    let Item::Number(major) = major else {
        return Err(odd());
    };
    let (minor, _) = read(bytes, at)?;
    let Item::Number(minor) = minor else {
        return Err(odd());
    };
    Ok((text(bytes, Some(&name), "rt")?, major, minor))
}

fn supported<'a>(
    bytes: &'a [u8],
    item: Option<&Item>,
    raw: &mut Raw<'a>,
    limits: &DecodeLimits,
) -> Result<Option<usize>, Fault> {
    let odd = || Fault::invalid("shs", "not an array of texts");
    let (len, at) = match item {
        None => return Ok(None),
        Some(Item::Array { len, at }) => (*len, *at),
        Some(_) => return Err(odd()),
    };
    for item in items(bytes, len, at) {
        if !raw.has_room(limits) {
            return Err(too_many(limits).within("shs"));
        }
        let item = item?;
        let Item::Text(_) = item else {
            return Err(odd());
        };
        raw.hashes.push(text(bytes, Some(&item), "shs")?);
    }
    Ok(Some(len))
}

fn interest(
    payload: Payload<'_>,
    fields: &Message<'_>,
    known: &mut Inbound,
) -> Result<Interest, Fault> {
    let doc = doc_ref(fields)?;
    let held = Held::of(payload, [fields.get("v")]);
    let version = optional_slice(held, fields, "v")?;
    let reciprocate = fields.optional_bool("r")?;
    Ok(Interest {
        doc: doc.resolve(known)?,
        version,
        reciprocate,
    })
}

fn offer(payload: Payload<'_>, fields: &Message<'_>, known: &mut Inbound) -> Result<Offer, Fault> {
    let flag = |key| match fields.get(key) {
        Some(Item::Number(number)) => small(*number).filter(|flag| *flag < 2),
        _ => None,
    };
    let kind = match flag("pk") {
        Some(0) => PayloadKind::Entirety,
        Some(_) => PayloadKind::Since,
        None => return Err(Fault::invalid("pk", "no payload kind")),
    };
    let encoding = match flag("pe") {
        Some(0) => Encoding::Json,
        Some(_) => Encoding::Binary,
        None => return Err(Fault::invalid("pe", "no payload encoding")),
    };
    let held = Held::of(payload, [fields.get("d"), fields.get("v")]);
    let data = match fields.get("d") {
        Some(Item::Bytes(range)) => Data::Bytes(held.bytes(range.clone())),
        Some(item @ Item::Text(_)) => Data::Text(slice(held, item, "d")?),
        _ => return Err(Fault::invalid("d", "neither a text nor a byte string")),
    };
    let version =
        optional_slice(held, fields, "v")?.ok_or_else(|| Fault::invalid("v", "not a text"))?;
    let doc = doc_ref(fields)?;
    let reciprocate = fields.optional_bool("r")?;
    let lineage = match fields.get("ln") {
        // Peers of wire version 2 do not check it: an odd one does not cost the message.
        Some(item) if payload.wire() == Some(WireVersion::V2) && !matches!(item, Item::Text(_)) => {
            None
        }
        _ => fields.optional_text("ln")?,
    };
    let doc = doc.resolve(known)?;
    let lineage = lineage.map(|text| known.lineage(text));
    Ok(Offer {
        doc,
        kind,
        encoding,
        data,
        version,
        reciprocate,
        lineage: lineage.transpose().map_err(too_long("ln"))?,
    })
}

/// What a message keeps of its payload: ranges of the read buffer, or copies where the ranges are less
/// than half of it. A message counts what it keeps, and the rest is of unknown keys.
#[derive(Clone, Copy)]
struct Held<'a> {
    payload: Payload<'a>,
    copied: bool,
}

impl<'a> Held<'a> {
    fn of<const N: usize>(payload: Payload<'a>, kept: [Option<&Item>; N]) -> Self {
        let kept = kept.into_iter().flatten().map(|item| match item {
            Item::Bytes(range) | Item::Text(range) => range.len(),
            _ => 0,
        });
        Self {
            payload,
            copied: kept.sum::<usize>() < payload.as_slice().len() / 2,
        }
    }

    fn bytes(self, range: Range<usize>) -> Bytes {
        if self.copied {
            Bytes::copy_from_slice(self.payload.as_slice().get(range).unwrap_or_default())
        } else {
            self.payload.slice(range)
        }
    }
}

fn optional_slice<const MAX: usize>(
    held: Held<'_>,
    fields: &Message<'_>,
    key: &'static str,
) -> Result<Option<Text<MAX>>, Fault> {
    let Some(item) = fields.get(key) else {
        return Ok(None);
    };
    let text = slice(held, item, key)?;
    Text::new(text).map(Some).map_err(too_long(key))
}

fn slice(held: Held<'_>, item: &Item, key: &'static str) -> Result<ByteString, Fault> {
    let Item::Text(range) = item else {
        return Err(Fault::invalid(key, "not a text"));
    };
    let range = without_bom(held.payload.as_slice(), range.clone());
    let at = range.start;
    ByteString::try_from(held.bytes(range)).map_err(|error| Fault::Decode {
        what: format!("invalid UTF-8 in {key}").into(),
        at: at + error.valid_up_to(),
    })
}

/// How a message names its document.
enum DocRef<'a> {
    Text(&'a str),
    Alias(f64),
}

fn doc_ref<'a>(fields: &Message<'a>) -> Result<DocRef<'a>, Fault> {
    match (fields.optional_text("doc")?, fields.optional_number("dx")?) {
        (Some(doc), None) => Ok(DocRef::Text(doc)),
        (None, Some(alias)) => Ok(DocRef::Alias(alias)),
        _ => Err(Fault::invalid("", "not exactly one of doc and dx")),
    }
}

impl DocRef<'_> {
    fn resolve(self, known: &mut Inbound) -> Result<DocId, Fault> {
        let doc = match self {
            Self::Text(text) => known.doc(text).map_err(|error| DocId::too_long(error.len)),
            Self::Alias(alias) => match known.docs.get(alias) {
                Some(meaning) => meaning.clone().into_text(),
                None => Err(AliasFault::UnknownDoc { alias }),
            },
        };
        doc.map_err(Fault::Alias)
    }
}
