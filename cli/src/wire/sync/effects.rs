//! The effects of a program, as the vectors write them.
//!
//! In: an effect, the wire version of the walk. Out: a line of JSON; nothing for what the vectors do not have. Pure.

use kyneta_uds::{DocEntry, DocId, PeerId, SyncMode, WireVersion};
use kyneta_uds_sync::{DocEvent, Mismatch, program::Effect};
use serde::{Serialize, Serializer, ser::SerializeMap};

use crate::json::{Hashes, Msg, Number, Payload};

/// The sync modes, and the numbers that stand for them outside of messages.
pub(super) const MODES: [(SyncMode, u8); 3] = [
    (SyncMode::Collaborative, 0),
    (SyncMode::Authoritative, 1),
    (SyncMode::Ephemeral, 2),
];

/// What becomes of documents, by name.
pub(super) const EVENTS: [(DocEvent, &str); 6] = [
    (DocEvent::Created, "doc-created"),
    (DocEvent::Promoted, "doc-promoted"),
    (DocEvent::Deferred, "doc-deferred"),
    (DocEvent::Suspended, "doc-suspended"),
    (DocEvent::Resumed, "doc-resumed"),
    (DocEvent::Removed, "doc-removed"),
];

/// An effect of a walk in one wire version.
pub(super) struct Line {
    effect: Effect,
    wire: WireVersion,
}

impl Line {
    /// `None` for an effect that the reference does not have: it drops an offer that is not accepted in silence.
    pub(super) fn of(effect: Effect, wire: WireVersion) -> Option<Self> {
        match effect {
            Effect::NotAccepted { .. } => None,
            effect => Some(Self { effect, wire }),
        }
    }
}

impl Serialize for Line {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        match &self.effect {
            Effect::Send { to, msg } => {
                map.serialize_entry("out", "send")?;
                map.serialize_entry("to", &peers(to))?;
                map.serialize_entry("msg", &Msg(msg))?;
            }
            Effect::Offer {
                to,
                doc,
                since,
                reciprocate,
            } => {
                map.serialize_entry("out", "offer")?;
                map.serialize_entry("to", &peers(to))?;
                map.serialize_entry("doc", doc.as_str())?;
                if let Some(since) = since {
                    map.serialize_entry("since", since.as_str())?;
                }
                if let Some(reciprocate) = reciprocate {
                    map.serialize_entry("reciprocate", reciprocate)?;
                }
            }
            Effect::Import { from, offer } => {
                map.serialize_entry("out", "import")?;
                map.serialize_entry("doc", offer.doc.as_str())?;
                map.serialize_entry("payload", &Payload(offer))?;
                map.serialize_entry("version", offer.version.as_str())?;
                map.serialize_entry("from", from.as_str())?;
            }
            Effect::Unknown { peer, entry } => {
                map.serialize_entry("out", "unknown-doc")?;
                map.serialize_entry("doc", entry.doc.as_str())?;
                map.serialize_entry("peer", peer.as_str())?;
                write_kind(&mut map, entry)?;
            }
            Effect::Dismissed { peer, doc } => {
                map.serialize_entry("out", "dismissed")?;
                map.serialize_entry("doc", doc.as_str())?;
                map.serialize_entry("peer", peer.as_str())?;
            }
            Effect::Mismatch {
                what, peer, local, ..
            } => {
                map.serialize_entry("out", "mismatch")?;
                map.serialize_entry("what", name(*what))?;
                map.serialize_entry("doc", local.doc.as_str())?;
                // 1.8.0 names the peer in a text alone.
                if self.wire == WireVersion::V3 {
                    map.serialize_entry("peer", peer.as_str())?;
                }
            }
            Effect::PeerStatesChanged(docs) => {
                map.serialize_entry("out", "peer-states-changed")?;
                map.serialize_entry("docs", &ids(docs))?;
            }
            Effect::Advanced(docs) => {
                map.serialize_entry("out", "state-advanced")?;
                map.serialize_entry("docs", &ids(docs))?;
            }
            Effect::DocEvents(events) => {
                map.serialize_entry("out", "doc-events")?;
                let events: Vec<_> = events.iter().map(EventLine).collect();
                map.serialize_entry("events", &events)?;
            }
            // `Effect` may get more variants.
            other => map.serialize_entry("out", &format!("{other:?}"))?,
        }
        map.end()
    }
}

fn write_kind<M: SerializeMap>(map: &mut M, entry: &DocEntry) -> Result<(), M::Error> {
    let replica = &entry.replica;
    let (major, minor) = (Number(replica.major), Number(replica.minor));
    map.serialize_entry("replicaType", &(replica.name.as_str(), major, minor))?;
    let mode = MODES.iter().find(|(mode, _)| *mode == entry.mode);
    map.serialize_entry("syncMode", &mode.map(|(_, number)| number))?;
    map.serialize_entry("schemaHash", entry.schema.as_str())?;
    if let Some(all) = &entry.supported {
        map.serialize_entry("supportedHashes", &Hashes(all))?;
    }
    Ok(())
}

const fn name(what: Mismatch) -> &'static str {
    match what {
        Mismatch::ReplicaType => "replica-type",
        Mismatch::SchemaHash => "schema-hash",
        Mismatch::SyncMode => "sync-mode",
        _ => "other",
    }
}

struct EventLine<'a>(&'a (DocEvent, DocId));

impl Serialize for EventLine<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (event, doc) = self.0;
        let name = EVENTS.iter().find(|(known, _)| known == event);
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("event", &name.map(|(_, name)| name))?;
        map.serialize_entry("doc", doc.as_str())?;
        map.end()
    }
}

fn peers(peers: &[PeerId]) -> Vec<&str> {
    peers.iter().map(PeerId::as_str).collect()
}

fn ids(docs: &[DocId]) -> Vec<&str> {
    docs.iter().map(DocId::as_str).collect()
}
