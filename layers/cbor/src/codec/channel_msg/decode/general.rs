//! Decoding in any key order: in, a payload; out, a message, or why it is rejected.
//!
//! Three steps, each over the whole message, so that no step acts on what an earlier one would reject: check that
//! it is well-formed, read its fields, resolve its aliases.

use kyneta_uds_core::{
    AliasFault, ChannelMsg, Data, DocId, Encoding, Establish, Features, Identity, Interest, Name,
    Offer, Payload, PayloadKind, PeerId, PeerType, ProtocolVersion, Rejection, SyncMode,
    TextTooLong, WireVersion,
};

use super::{
    DecodeLimits, InboundState,
    alias::Aliased as _,
    fields::{Fault, Fields, items, text},
    item::{Item, read, without_bom},
    present::{RawEntry, RawPresent, RawSchema},
    retained::Retained,
    well_formed,
};

const KEYS: [&str; 15] = [
    "t", "id", "n", "y", "f", "pv", "docs", "doc", "dx", "v", "r", "pk", "pe", "d", "ln",
];

type Message<'a> = Fields<'a, 15>;

#[cold]
pub(super) fn message(
    payload: Payload<'_>,
    known: &mut InboundState,
    limits: &DecodeLimits,
) -> Result<ChannelMsg, Rejection> {
    Ok(decode(payload, known, limits)?)
}

fn decode(
    payload: Payload<'_>,
    known: &mut InboundState,
    limits: &DecodeLimits,
) -> Result<ChannelMsg, Fault> {
    let bytes = payload.as_slice();
    well_formed::check(bytes, limits)?;
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
            known.accepts_aliases = establish.aliases();
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
        // Peers of wire version 2 do not know this key, so it is ignored like any unknown one.
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
    let invalid = || Fault::invalid("pv", "not [major, minor], integers from 1 and from 0 on");
    let Item::Array { len: 2, at } = item else {
        return Err(invalid());
    };
    let (Item::Number(major), at) = read(bytes, *at)? else {
        return Err(invalid());
    };
    let (Item::Number(minor), _) = read(bytes, at)? else {
        return Err(invalid());
    };
    let whole = |number: f64| (number >= 0.0 && number.trunc() == number).then_some(number as u64);
    let version = whole(major).zip(whole(minor));
    version
        .and_then(|(major, minor)| ProtocolVersion::new(major, minor).ok())
        .ok_or_else(invalid)
}

fn present<'a>(
    bytes: &'a [u8],
    fields: &Message<'a>,
    limits: &DecodeLimits,
) -> Result<RawPresent<'a>, Fault> {
    let Some(Item::Array { len, at }) = fields.get("docs") else {
        return Err(Fault::invalid("docs", "not an array"));
    };
    let mut raw = RawPresent::default();
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
    raw: &mut RawPresent<'a>,
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
    let invalid = || Fault::invalid("rt", "not [text, number, number]");
    let Some(Item::Array { len: 3, at }) = item else {
        return Err(invalid());
    };
    let (name, at) = read(bytes, *at)?;
    let Item::Text(_) = name else {
        return Err(invalid());
    };
    let (major, at) = read(bytes, at)?;
    let Item::Number(major) = major else {
        return Err(invalid());
    };
    let (minor, _) = read(bytes, at)?;
    let Item::Number(minor) = minor else {
        return Err(invalid());
    };
    Ok((text(bytes, Some(&name), "rt")?, major, minor))
}

fn supported<'a>(
    bytes: &'a [u8],
    item: Option<&Item>,
    raw: &mut RawPresent<'a>,
    limits: &DecodeLimits,
) -> Result<Option<usize>, Fault> {
    let invalid = || Fault::invalid("shs", "not an array of texts");
    let (len, at) = match item {
        None => return Ok(None),
        Some(Item::Array { len, at }) => (*len, *at),
        Some(_) => return Err(invalid()),
    };
    for item in items(bytes, len, at) {
        if !raw.has_room(limits) {
            return Err(too_many(limits).within("shs"));
        }
        let item = item?;
        let Item::Text(_) = item else {
            return Err(invalid());
        };
        raw.hashes.push(text(bytes, Some(&item), "shs")?);
    }
    Ok(Some(len))
}

fn interest(
    payload: Payload<'_>,
    fields: &Message<'_>,
    known: &mut InboundState,
) -> Result<Interest, Fault> {
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
) -> Result<Offer, Fault> {
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
    let retained = Retained::new(payload, [fields.get("d"), fields.get("v")]);
    let data = match fields.get("d") {
        Some(Item::Bytes(range)) => Data::Bytes(retained.bytes(range.clone())),
        Some(item @ Item::Text(_)) => Data::Text(retained.text(item, "d")?),
        _ => return Err(Fault::invalid("d", "neither a text nor a byte string")),
    };
    let version = retained
        .optional_text(fields, "v")?
        .ok_or_else(|| Fault::invalid("v", "not a text"))?;
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
    })
}

/// How a message refers to its document.
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
    fn resolve(self, known: &mut InboundState) -> Result<DocId, Fault> {
        let doc = match self {
            Self::Text(text) => known.doc(text).map_err(|error| DocId::too_long(error.len)),
            Self::Alias(alias) => match known.docs.resolve(alias) {
                Some(meaning) => meaning.clone().into_text(),
                None => Err(AliasFault::UnknownDoc { alias }),
            },
        };
        doc.map_err(Fault::Alias)
    }
}
