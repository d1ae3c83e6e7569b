//! Decoding in any key order: in, a payload; out, a message, or why it is rejected.
//!
//! Three steps, each over the whole message, so that no step acts on what an earlier one would reject: check that
//! it is well-formed, read its fields, resolve its aliases.

use kyneta_uds_core::{
    AliasFault, ChannelMsg, Data, DocId, Encoding, Establish, Features, Identity, Interest, Name,
    Observe, Offer, Payload, PayloadKind, PeerId, PeerType, ProtocolVersion, Rejection, SyncMode,
    TextTooLong, Version, WireVersion,
};

use super::{
    DecodeLimits, InboundState,
    alias::Aliased as _,
    fields::{Fields, invalid, items, text, within},
    item::{Item, read, without_bom},
    present::{RawEntry, RawPresent, RawSchema},
    retained::Retained,
    well_formed,
};

const KEYS: [&str; 18] = [
    "t", "id", "n", "y", "f", "pv", "docs", "doc", "dx", "v", "r", "pk", "pe", "d", "ln", "ob",
    "od", "b",
];

type Message<'a> = Fields<'a, 18>;

#[cold]
pub(super) fn message(
    payload: Payload<'_>,
    known: &mut InboundState,
    limits: &DecodeLimits,
) -> Result<ChannelMsg, Rejection> {
    let bytes = payload.as_slice();
    well_formed::check(bytes, limits)?;
    let (Item::Map { len, at }, _) = read(bytes, 0)? else {
        return Err(invalid("", "not a map"));
    };
    let fields = Fields::read(bytes, KEYS, len, at)?;
    match fields.small_integer("t") {
        Some(0x01) => {
            let establish = establish(&fields, payload.wire())?;
            known.accepts_aliases = establish.aliases();
            Ok(ChannelMsg::Establish(establish))
        }
        Some(0x02) => Ok(ChannelMsg::Depart),
        Some(0x10) => present(bytes, &fields, limits)?
            .resolve(known, limits)
            .map_err(Rejection::Alias),
        Some(0x11) => interest(payload, &fields, known).map(ChannelMsg::Interest),
        Some(0x12) => offer(payload, &fields, known).map(ChannelMsg::Offer),
        Some(0x13) => doc_ref(&fields)?.resolve(known).map(ChannelMsg::Dismiss),
        Some(0x14) => doc_ref(&fields)?.resolve(known).map(ChannelMsg::Vacant),
        _ => Err(invalid("t", "no message type")),
    }
}

fn too_long(key: &'static str) -> impl Fn(TextTooLong) -> Rejection {
    move |error| invalid(key, error.to_string())
}

fn establish(fields: &Message<'_>, wire: Option<WireVersion>) -> Result<Establish, Rejection> {
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
    let peer_type =
        peer_type.ok_or_else(|| invalid("y", "none of \"user\", \"bot\" and \"service\""))?;
    let features = features(fields)?;
    let protocol = match fields.get("pv") {
        // Peers of wire version 2 do not know this key, so it is ignored like any unknown one.
        Some(item) if wire != Some(WireVersion::V2) => protocol(fields.bytes(), item)?,
        _ => ProtocolVersion::default(),
    };
    let identity = Identity {
        peer_id: PeerId::new(id).map_err(too_long("id"))?,
        name: name.map(Name::new).transpose().map_err(too_long("n"))?,
        peer_type,
    };
    let observe = match fields.get("ob") {
        Some(Item::Bool(true)) => Some(Observe::Messages),
        Some(Item::Bool(false)) => Some(match fields.get("od") {
            Some(Item::Bool(true)) => Observe::Documents,
            _ => Observe::Members,
        }),
        // The key is ours: the reference ignores it whatever its value.
        _ => None,
    };
    Ok(Establish {
        identity,
        features,
        protocol,
        observe,
    })
}

fn features(fields: &Message<'_>) -> Result<Option<Features>, Rejection> {
    match fields.get("f") {
        None => Ok(None),
        Some(Item::Map { len, at }) => {
            let fields = Fields::read(fields.bytes(), ["a", "s", "d"], *len, *at)?;
            let flag = |key| {
                fields
                    .optional_bool(key)
                    .map_err(|fault| within("f", fault))
            };
            Ok(Some(Features {
                alias: flag("a")?,
                streamed: flag("s")?,
                datagram: flag("d")?,
            }))
        }
        Some(_) => Err(invalid("f", "not a map")),
    }
}

fn protocol(bytes: &[u8], item: &Item) -> Result<ProtocolVersion, Rejection> {
    let fault = || invalid("pv", "not [major, minor], integers from 1 and from 0 on");
    let Item::Array { len: 2, at } = item else {
        return Err(fault());
    };
    let (Item::Number(major), at) = read(bytes, *at)? else {
        return Err(fault());
    };
    let (Item::Number(minor), _) = read(bytes, at)? else {
        return Err(fault());
    };
    let whole = |number: f64| (number >= 0.0 && number.trunc() == number).then_some(number as u64);
    let version = whole(major).zip(whole(minor));
    version
        .and_then(|(major, minor)| ProtocolVersion::new(major, minor).ok())
        .ok_or_else(fault)
}

fn present<'a>(
    bytes: &'a [u8],
    fields: &Message<'a>,
    limits: &DecodeLimits,
) -> Result<RawPresent<'a>, Rejection> {
    let Some(Item::Array { len, at }) = fields.get("docs") else {
        return Err(invalid("docs", "not an array"));
    };
    let mut raw = RawPresent::default();
    for (index, item) in items(bytes, *len, *at).enumerate() {
        if !raw.has_room(limits) {
            return Err(within("docs", too_many(limits)));
        }
        let entry = entry(bytes, &item?, &mut raw, limits)
            .map_err(|fault| within(&format!("docs.{index}"), fault))?;
        raw.entries.push(entry);
    }
    Ok(raw)
}

fn too_many(limits: &DecodeLimits) -> Rejection {
    invalid(
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
    raw: &mut RawPresent<'a>,
    limits: &DecodeLimits,
) -> Result<RawEntry<'a>, Rejection> {
    let Item::Map { len, at } = *item else {
        return Err(invalid("", "not a map"));
    };
    let keys = ["d", "a", "rt", "ms", "sh", "sa", "shx", "shs"];
    let fields = Fields::read(bytes, keys, len, at)?;
    let doc = fields.text("d")?;
    let alias = fields.optional_number("a")?;
    let (name, major, minor) = replica(bytes, fields.get("rt"))?;
    let replica = raw.replica(name, major, minor).map_err(too_long("rt"))?;
    let mode = match fields.small_integer("ms") {
        Some(0) => SyncMode::Collaborative,
        Some(1) => SyncMode::Authoritative,
        Some(2) => SyncMode::Ephemeral,
        _ => return Err(invalid("ms", "no sync mode")),
    };
    let hash = fields.optional_text("sh")?;
    let hash_alias = fields.optional_number("sa")?;
    let schema = match (hash, fields.optional_number("shx")?) {
        (Some(hash), None) => RawSchema::Text {
            hash,
            alias: hash_alias,
        },
        (None, Some(alias)) => RawSchema::Alias(alias),
        _ => return Err(invalid("", "not exactly one of sh and shx")),
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

fn replica<'a>(bytes: &'a [u8], item: Option<&Item>) -> Result<(&'a str, f64, f64), Rejection> {
    let fault = || invalid("rt", "not [text, number, number]");
    let Some(Item::Array { len: 3, at }) = item else {
        return Err(fault());
    };
    let (name @ Item::Text(_), at) = read(bytes, *at)? else {
        return Err(fault());
    };
    let (Item::Number(major), at) = read(bytes, at)? else {
        return Err(fault());
    };
    let (Item::Number(minor), _) = read(bytes, at)? else {
        return Err(fault());
    };
    Ok((text(bytes, Some(&name), "rt")?, major, minor))
}

fn supported<'a>(
    bytes: &'a [u8],
    item: Option<&Item>,
    raw: &mut RawPresent<'a>,
    limits: &DecodeLimits,
) -> Result<Option<usize>, Rejection> {
    let fault = || invalid("shs", "not an array of texts");
    let (len, at) = match item {
        None => return Ok(None),
        Some(Item::Array { len, at }) => (*len, *at),
        Some(_) => return Err(fault()),
    };
    for item in items(bytes, len, at) {
        if !raw.has_room(limits) {
            return Err(within("shs", too_many(limits)));
        }
        let item = item?;
        let Item::Text(_) = item else {
            return Err(fault());
        };
        raw.hashes.push(text(bytes, Some(&item), "shs")?);
    }
    Ok(Some(len))
}

fn interest(
    payload: Payload<'_>,
    fields: &Message<'_>,
    known: &mut InboundState,
) -> Result<Interest, Rejection> {
    let doc = doc_ref(fields)?;
    let retained = Retained::new(payload, [fields.get("v")]);
    let version = retained.optional_text(fields, "v")?;
    let reciprocate = fields.optional_bool("r")?;
    Ok(Interest {
        doc: doc.resolve(known)?,
        version,
        reciprocate,
    })
}

fn offer(
    payload: Payload<'_>,
    fields: &Message<'_>,
    known: &mut InboundState,
) -> Result<Offer, Rejection> {
    let kind = match fields.small_integer("pk") {
        Some(0) => PayloadKind::Entirety,
        Some(1) => PayloadKind::Since,
        _ => return Err(invalid("pk", "no payload kind")),
    };
    let encoding = match fields.small_integer("pe") {
        Some(0) => Encoding::Json,
        Some(1) => Encoding::Binary,
        _ => return Err(invalid("pe", "no payload encoding")),
    };
    let retained = Retained::new(payload, [fields.get("d"), fields.get("v")]);
    let data = match fields.get("d") {
        Some(Item::Bytes(range)) => Data::Bytes(retained.bytes(range.clone())),
        Some(item @ Item::Text(_)) => Data::Text(retained.text(item, "d")?),
        _ => return Err(invalid("d", "neither a text nor a byte string")),
    };
    let version = retained
        .optional_text(fields, "v")?
        .ok_or_else(|| invalid("v", "not a text"))?;
    // To other decoders it is an unknown key: whatever its value, the message is accepted.
    let base = fields.optional_text("b").ok().flatten();
    let base = base.and_then(|text| Version::new(text).ok());
    let doc = doc_ref(fields)?;
    let reciprocate = fields.optional_bool("r")?;
    let lineage = match fields.get("ln") {
        // Peers of wire version 2 do not check it: if it is invalid, the message is still accepted.
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
        base: base.map(Box::new),
    })
}

/// How a message refers to its document.
enum DocRef<'a> {
    Text(&'a str),
    Alias(f64),
}

fn doc_ref<'a>(fields: &Message<'a>) -> Result<DocRef<'a>, Rejection> {
    match (fields.optional_text("doc")?, fields.optional_number("dx")?) {
        (Some(doc), None) => Ok(DocRef::Text(doc)),
        (None, Some(alias)) => Ok(DocRef::Alias(alias)),
        _ => Err(invalid("", "not exactly one of doc and dx")),
    }
}

impl DocRef<'_> {
    fn resolve(self, known: &mut InboundState) -> Result<DocId, Rejection> {
        let doc = match self {
            Self::Text(text) => known.doc(text).map_err(|error| DocId::too_long(error.len)),
            Self::Alias(alias) => match known.docs.resolve(alias) {
                Some(meaning) => meaning.clone().into_text(),
                None => Err(AliasFault::UnknownDoc { alias }),
            },
        };
        doc.map_err(Rejection::Alias)
    }
}
