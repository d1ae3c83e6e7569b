//! A message as it arrives: without what the wire does not carry.
//!
//! In: a message as it was sent, the wire version. Out: the message that the other side has to get. Pure.

use kyneta_uds_core::{
    ByteString, ChannelMsg, Data, DocEntry, DocId, Establish, Identity, Interest, Lineage, Name,
    Offer, PeerId, ProtocolVersion, ReplicaName, ReplicaType, SchemaHash, Version, WireVersion,
};

/// One byte order mark at the front of a text is removed (wire section 5).
fn text(text: &str) -> &str {
    text.strip_prefix('\u{feff}').unwrap_or(text)
}

fn doc(doc: &DocId) -> DocId {
    DocId::new(text(doc.as_str())).unwrap()
}

fn hash(hash: &SchemaHash) -> SchemaHash {
    SchemaHash::new(text(hash.as_str())).unwrap()
}

fn version(version: &Version) -> Version {
    Version::new(text(version)).unwrap()
}

pub(crate) fn normalize(msg: &ChannelMsg, wire: Option<WireVersion>) -> ChannelMsg {
    match msg {
        ChannelMsg::Establish(msg) => ChannelMsg::Establish(establish(msg, wire)),
        ChannelMsg::Depart => ChannelMsg::Depart,
        ChannelMsg::Present(docs) => ChannelMsg::Present(docs.iter().map(entry).collect()),
        ChannelMsg::Interest(msg) => ChannelMsg::Interest(Interest {
            doc: doc(&msg.doc),
            version: msg.version.as_ref().map(version),
            reciprocate: msg.reciprocate,
        }),
        ChannelMsg::Offer(msg) => ChannelMsg::Offer(Offer {
            doc: doc(&msg.doc),
            data: match &msg.data {
                Data::Text(data) => Data::Text(ByteString::from(text(data))),
                Data::Bytes(bytes) => Data::Bytes(bytes.clone()),
            },
            version: version(&msg.version),
            lineage: msg
                .lineage
                .as_ref()
                .map(|lineage| Lineage::new(text(lineage.as_str())).unwrap()),
            base: msg.base.as_deref().map(version).map(Box::new),
            ..*msg
        }),
        ChannelMsg::Dismiss(id) => ChannelMsg::Dismiss(doc(id)),
        ChannelMsg::Vacant(id) => ChannelMsg::Vacant(doc(id)),
    }
}

fn establish(msg: &Establish, wire: Option<WireVersion>) -> Establish {
    Establish {
        identity: Identity {
            peer_id: PeerId::new(text(msg.identity.peer_id.as_str())).unwrap(),
            name: msg
                .identity
                .name
                .as_ref()
                .map(|name| Name::new(text(name)).unwrap()),
            peer_type: msg.identity.peer_type,
        },
        features: msg.features,
        protocol: match wire {
            // Peers of wire version 2 do not know this key.
            Some(WireVersion::V2) => ProtocolVersion::default(),
            _ => msg.protocol,
        },
        observe: msg.observe,
    }
}

fn entry(entry: &DocEntry) -> DocEntry {
    DocEntry {
        doc: doc(&entry.doc),
        replica: ReplicaType {
            name: ReplicaName::new(text(&entry.replica.name)).unwrap(),
            // -0 is 0 (wire section 5).
            major: entry.replica.major + 0.0,
            minor: entry.replica.minor + 0.0,
        },
        mode: entry.mode,
        schema: hash(&entry.schema),
        // Only written if there is more than one.
        supported: entry
            .supported
            .as_ref()
            .filter(|hashes| hashes.len() > 1)
            .map(|hashes| hashes.iter().map(hash).collect()),
    }
}

/// Equal, with NaN equal to NaN.
pub(crate) fn same(a: &ChannelMsg, b: &ChannelMsg) -> bool {
    a == b || format!("{a:?}") == format!("{b:?}")
}
