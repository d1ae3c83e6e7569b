//! Messages to JSON.
//!
//! In: a message, by reference. Out: the JSON that `read` takes back, written piece by piece: the hex of large data
//! is never held as a whole. Pure.

use std::fmt;

use kyneta_uds::{
    ChannelMsg, Data, DocEntry, Encoding, Establish, Features, Identity, Lineage, Observe, Offer,
    PayloadKind, ProtocolVersion, SchemaHash, SyncMode,
};
use serde::{Serialize, Serializer, ser::SerializeMap};

use super::number::Number;

/// A message, to be serialised.
pub(crate) struct Msg<'a>(pub(crate) &'a ChannelMsg);

impl Serialize for Msg<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        write_msg(&mut map, self.0)?;
        map.end()
    }
}

/// A message as it passes over a link: an offer says which version it starts from.
pub(crate) struct LinkedMsg<'a>(pub(crate) &'a ChannelMsg);

impl Serialize for LinkedMsg<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        write_msg(&mut map, self.0)?;
        if let ChannelMsg::Offer(offer) = self.0 {
            optional(
                &mut map,
                "base",
                offer.base.as_ref().map(|base| base.as_str()),
            )?;
        }
        map.end()
    }
}

fn write_msg<M: SerializeMap>(map: &mut M, msg: &ChannelMsg) -> Result<(), M::Error> {
    map.serialize_entry("type", msg.kind())?;
    match msg {
        ChannelMsg::Establish(establish) => write_establish(map, establish)?,
        ChannelMsg::Depart => {}
        ChannelMsg::Present(docs) => map.serialize_entry("docs", &Docs(docs))?,
        ChannelMsg::Interest(interest) => {
            map.serialize_entry("docId", interest.doc.as_str())?;
            optional(map, "version", interest.version.as_deref())?;
            optional(map, "reciprocate", interest.reciprocate)?;
        }
        ChannelMsg::Offer(offer) => {
            map.serialize_entry("docId", offer.doc.as_str())?;
            map.serialize_entry("payload", &Payload(offer))?;
            map.serialize_entry("version", &*offer.version)?;
            optional(map, "reciprocate", offer.reciprocate)?;
        }
        ChannelMsg::Dismiss(doc) | ChannelMsg::Vacant(doc) => {
            map.serialize_entry("docId", doc.as_str())?;
        }
    }
    Ok(())
}

fn write_establish<M: SerializeMap>(map: &mut M, establish: &Establish) -> Result<(), M::Error> {
    map.serialize_entry("identity", &IdentityJson(&establish.identity))?;
    optional(map, "features", establish.features.map(FeaturesJson))?;
    if establish.protocol != ProtocolVersion::default() {
        let version = establish.protocol;
        map.serialize_entry("protocolVersion", &ProtocolJson(version))?;
    }
    let observe = establish.observe.map(|what| match what {
        Observe::Members => "members",
        Observe::Messages => "messages",
        Observe::Documents => "documents",
    });
    optional(map, "observe", observe)
}

fn optional<M: SerializeMap>(
    map: &mut M,
    key: &'static str,
    value: Option<impl Serialize>,
) -> Result<(), M::Error> {
    value.map_or(Ok(()), |value| map.serialize_entry(key, &value))
}

struct IdentityJson<'a>(&'a Identity);

impl Serialize for IdentityJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("peerId", self.0.peer_id.as_str())?;
        optional(&mut map, "name", self.0.name.as_deref())?;
        map.serialize_entry("type", self.0.peer_type.name())?;
        map.end()
    }
}

struct FeaturesJson(Features);

impl Serialize for FeaturesJson {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        optional(&mut map, "alias", self.0.alias)?;
        optional(&mut map, "streamed", self.0.streamed)?;
        optional(&mut map, "datagram", self.0.datagram)?;
        map.end()
    }
}

struct ProtocolJson(ProtocolVersion);

impl Serialize for ProtocolJson {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(version) = *self;
        serializer.collect_map([("major", version.major()), ("minor", version.minor())])
    }
}

struct Docs<'a>(&'a [DocEntry]);

impl Serialize for Docs<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(Doc))
    }
}

struct Doc<'a>(&'a DocEntry);

impl Serialize for Doc<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(doc) = *self;
        let replica = (
            doc.replica.name.as_str(),
            Number(doc.replica.major),
            Number(doc.replica.minor),
        );
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("docId", doc.doc.as_str())?;
        map.serialize_entry("replicaType", &replica)?;
        map.serialize_entry("syncMode", &ModeJson(doc.mode))?;
        map.serialize_entry("schemaHash", doc.schema.as_str())?;
        optional(
            &mut map,
            "supportedHashes",
            doc.supported.as_deref().map(Hashes),
        )?;
        map.end()
    }
}

/// Schema hashes, as a list.
pub(crate) struct Hashes<'a>(pub(crate) &'a [SchemaHash]);

impl Serialize for Hashes<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(SchemaHash::as_str))
    }
}

struct ModeJson(SyncMode);

impl Serialize for ModeJson {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(mode_fields(self.0))
    }
}

/// The three properties that a sync mode stands for.
pub(super) const fn mode_fields(mode: SyncMode) -> [(&'static str, &'static str); 3] {
    let (writers, delivery, durability) = match mode {
        SyncMode::Collaborative => ("concurrent", "delta-capable", "persistent"),
        SyncMode::Authoritative => ("serialized", "delta-capable", "persistent"),
        SyncMode::Ephemeral => ("concurrent", "snapshot-only", "transient"),
    };
    [
        ("writerModel", writers),
        ("delivery", delivery),
        ("durability", durability),
    ]
}

/// What an offer holds.
pub(crate) struct Payload<'a>(pub(crate) &'a Offer);

impl Serialize for Payload<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(offer) = *self;
        let kind = match offer.kind {
            PayloadKind::Entirety => "entirety",
            PayloadKind::Since => "since",
        };
        let encoding = match offer.encoding {
            Encoding::Json => "json",
            Encoding::Binary => "binary",
        };
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("kind", kind)?;
        map.serialize_entry("encoding", encoding)?;
        match &offer.data {
            Data::Text(text) => map.serialize_entry("data", &**text)?,
            Data::Bytes(bytes) => map.serialize_entry("data", &BytesJson(bytes))?,
        }
        optional(
            &mut map,
            "lineage",
            offer.lineage.as_ref().map(Lineage::as_str),
        )?;
        map.end()
    }
}

/// `{"$bytes": hex}`.
struct BytesJson<'a>(&'a [u8]);

impl Serialize for BytesJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map([("$bytes", Hex(self.0))])
    }
}

/// Bytes as hex, written piece by piece.
pub(crate) struct Hex<'a>(pub(crate) &'a [u8]);

impl Serialize for Hex<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const PIECE: usize = 2048;
        let mut piece = [0; 2 * PIECE];
        for bytes in self.0.chunks(PIECE) {
            let digits = piece.get_mut(..2 * bytes.len()).ok_or(fmt::Error)?;
            hex::encode_to_slice(bytes, digits).map_err(|_| fmt::Error)?;
            f.write_str(str::from_utf8(digits).map_err(|_| fmt::Error)?)?;
        }
        Ok(())
    }
}
